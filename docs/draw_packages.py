"""Draw docs/images/packages.png: the packages, their sizes and who imports whom. Run it after the layout has changed."""

import ast
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

PACKAGE = Path(__file__).resolve().parent.parent / "mrcnn"
PICTURE = Path(__file__).resolve().parent / "images" / "packages.png"
FACADE = ("model", "utils", "visualize", "parallel_model")
CLASSIC = "classic names"
WHAT = {
    "base": "errors, progress, pools", "config": "Config",
    "recipes": "named configurations", "geometry": "boxes, masks, anchors", "io": "untrusted files",
    "datasets": "Dataset, the formats", "loading": "samples, targets, batches", "evaluation": "COCO and LVIS AP",
    "viz": "figures", "network": "image to five losses", "weights": "files of weights", "inference": "photograph to detections",
    "training": "MaskRCNN, fit, resume", "semantic": "semantic maps", "tools": "doctor, convert, report", "cli": "arguments",
    CLASSIC: "model, utils, visualize",
}  # fmt: skip

# Where each package stands from left to right: data on the left, the network on the right.
COLUMNS = {
    "semantic": -3.6, "base": -1.0, "io": -1.0, "datasets": -1.0, "loading": -1.0, "evaluation": -1.0, "viz": -1.0,
    "geometry": 1.6, "inference": 1.6, "training": 1.6, "tools": 1.6, "cli": 1.6, "weights": 4.2, "network": 4.2, CLASSIC: 4.2,
    "config": 6.8, "recipes": 6.8,
}  # fmt: skip


def read_packages() -> tuple[dict[str, list[int]], set[tuple[str, str]]]:
    """Return {package: [files, lines]} and the imports between packages."""
    sizes: dict[str, list[int]] = {}
    arrows = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        part = _name(path.relative_to(PACKAGE).with_suffix("").parts[0])
        if part.startswith("__"):
            continue
        text = path.read_text(encoding="utf-8")
        size = sizes.setdefault(part, [0, 0])
        size[0] += 1
        size[1] += len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mrcnn"):
                below = node.module.split(".")[1:2] or [alias.name for alias in node.names]
                arrows |= {(part, _name(name)) for name in below if not name.startswith("__")}
    return sizes, {(a, b) for a, b in arrows if a != b and b in sizes}


def _name(part: str) -> str:
    return CLASSIC if part in FACADE else "config" if part == "config_rules" else part


def draw(sizes: dict[str, list[int]], arrows: set[tuple[str, str]]) -> None:
    """Draw each package one floor above the highest package that it imports; arrows that others imply are left out."""
    below = {part: {b for a, b in arrows if a == part} for part in sizes}
    floors: dict[str, int] = {}
    while len(floors) < len(sizes):
        ready = [part for part in sizes if part not in floors and below[part] <= floors.keys()]
        floors |= {part: 1 + max((floors[b] for b in below[part]), default=-1) for part in ready}
    reach: dict[str, set[str]] = {}
    for part in sorted(sizes, key=floors.get):
        reach[part] = below[part].union(*(reach[b] for b in below[part]))
    places = {part: (COLUMNS[part], floor * 1.3) for part, floor in floors.items()}
    figure, ax = plt.subplots(figsize=(11, 10))
    for a, b in sorted(arrows):
        if not any(b in reach[other] for other in below[a] - {b}):
            ax.annotate("", (places[b][0], places[b][1] + 0.36), (places[a][0], places[a][1] - 0.36),
                        arrowprops={"arrowstyle": "-|>", "color": "#8a94a6", "shrinkA": 0, "shrinkB": 0}, zorder=1)  # fmt: skip
    for part, (x, y) in places.items():
        files, lines = sizes[part]
        ax.add_patch(matplotlib.patches.FancyBboxPatch((x - 1.2, y - 0.34), 2.4, 0.68, boxstyle="round,pad=0.02",
                                                       facecolor="#eef3fa", edgecolor="#3b5b8c", zorder=2))  # fmt: skip
        ax.text(x, y + 0.17, part, ha="center", va="center", fontsize=11, weight="bold")
        ax.text(x, y - 0.03, WHAT[part], ha="center", va="center", fontsize=8)
        ax.text(x, y - 0.22, f"{files} files, {lines} lines" if files > 1 else f"{lines} lines", ha="center", va="center",
                fontsize=7, color="#555555")  # fmt: skip
    xs, ys = zip(*places.values(), strict=True)
    ax.set(xlim=(min(xs) - 1.4, max(xs) + 1.4), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.set_axis_off()
    figure.savefig(PICTURE, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    draw(*read_packages())
