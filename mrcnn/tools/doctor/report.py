"""What the doctor found: counts, tables for the terminal, JSON, and the exit status of a check."""

import io

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table

from mrcnn.base.atomic_write import save_json
from mrcnn.base.text import printable
from mrcnn.tools.doctor.finding import ERROR, KINDS, SEVERITIES, WARNING

# classes listed in the terminal
_CLASSES = 15


class Report:
    """The findings and figures of a data set.

    Attributes:
        source: str. What was checked.
        findings: list of Finding, the worst severity first, then in the order of KINDS. Of each kind and severity no more
            than 1000 are kept; `counts` counts all.
        counts: dict kind -> dict severity -> int.
        statistics: dict: "parts", "classes" and "sizes", as `to_dict` writes them.
        checked: list of (Part, list of ImageScan), for `mend`.
    """

    def __init__(self, source, findings, statistics, checked):
        """Make a report. Args: source: str; findings: Findings; statistics, checked: see the class."""
        order = {kind: position for position, kind in enumerate(KINDS)}
        self.source = printable(source)
        self.findings = sorted(findings.kept, key=lambda f: (SEVERITIES.index(f.severity), order[f.kind]))
        self.counts = {}
        for kind, severity in sorted(findings.counts, key=lambda key: (order[key[0]], SEVERITIES.index(key[1]))):
            self.counts.setdefault(kind, {})[severity] = findings.counts[kind, severity]
        self.statistics = statistics
        self.checked = checked

    def count(self, severity):
        """Count findings. Args: severity: "error", "warning" or "info". Returns: int."""
        return sum(of.get(severity, 0) for of in self.counts.values())

    def exit_code(self, strict=False):
        """Status for a script: 1 when there are errors (strict: or warnings), else 0."""
        return int(bool(self.count(ERROR) or (strict and self.count(WARNING))))

    def summary(self):
        """The numbers of images, annotations and findings in one line: str."""
        parts = self.statistics["parts"]
        images, annotations = (sum(part[key] for part in parts) for key in ("images", "annotations"))
        words = zip(SEVERITIES, ("error", "warning", "note"))
        found = ", ".join(f"{self.count(s)} {word}{'' if self.count(s) == 1 else 's'}" for s, word in words)
        return f"{self.source}: {images} images, {annotations} annotations: {found}"

    def to_dict(self):
        """All that was found, as JSON can hold it: a dict."""
        return {
            "source": self.source,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "kinds": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
            "statistics": _safe(self.statistics),
        }

    def save(self, path):
        """Write `to_dict` as JSON. Args: path: path."""
        save_json(path, self.to_dict(), indent=1)

    def save_html(self, path, progress=None):
        """Write a page with the findings, pictures of the worst, and the figures; it needs no other file.

        Args:
            path: path.
            progress: function (done, total), called after each picture, or None.
        """
        from mrcnn.tools.doctor.html import write_page

        write_page(self, path, progress)

    def table(self, width=110):
        """The report for a terminal.

        Args:
            width: int. Characters in a line.

        Returns:
            str of several lines.
        """
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None, force_jupyter=False, markup=False, emoji=False)
        console.print(self.summary())
        if self.findings:
            console.print(self._finding_table())
        for table in (_part_table(self.statistics["parts"]), _class_table(self.statistics["classes"])):
            if table is not None:
                console.print(table)
        for line in size_lines(self.statistics["sizes"]):
            console.print(line)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"

    def _finding_table(self):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("what was found, such as", overflow="fold", ratio=3)
        table.add_column("what to do", overflow="fold", ratio=2)
        for finding in self.examples():
            count = self.counts[finding.kind][finding.severity]
            told = Group(KINDS[finding.kind].title, Padding(finding.told(), (0, 0, 0, 2)))
            table.add_row(finding.severity, str(count), told, finding.todo)
        return table

    def examples(self):
        """The worst finding of each kind and severity: list of Finding, in the order of `findings`."""
        worst = {}
        for finding in self.findings:
            key = finding.kind, finding.severity
            if key not in worst or finding.weight > worst[key].weight:
                worst[key] = finding
        return list(worst.values())


def _part_table(parts):
    if len(parts) < 2:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", overflow="fold")
    for name in ("images", "without objects", "annotations", "crowds"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        cells = (part[key] for key in ("images", "without_objects", "annotations", "crowds"))
        table.add_row(printable(part["part"]), *map(str, cells))
    return table


def _class_table(classes):
    """The most frequent classes; those that do not occur are told in the findings."""
    present = [row for row in classes if row["objects"]]
    if not present:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("objects", justify="right", no_wrap=True)
    table.add_column("images", justify="right", no_wrap=True)
    parts = list(present[0]["by_part"])
    for part in parts if len(parts) > 1 else ():
        table.add_column(printable(part), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in present[:_CLASSES]:
        bar = "#" * max(round(20 * row["objects"] / present[0]["objects"]), 1)
        by_part = [str(row["by_part"].get(part, 0)) for part in parts] if len(parts) > 1 else []
        table.add_row(printable(row["name"]), str(row["objects"]), str(row["images"]), *by_part, bar)
    if len(present) > _CLASSES:
        rest = present[_CLASSES:]
        by_part = [str(sum(row["by_part"].get(part, 0) for row in rest)) for part in parts] if len(parts) > 1 else []
        table.add_row(f"{len(rest)} more classes", str(sum(row["objects"] for row in rest)), "", *by_part, "")
    return table


def size_lines(sizes):
    """The figures of `object_sizes.measure` in words: list of str."""
    if not sizes["objects"]:
        return []
    areas = sizes["areas"]
    lines = [
        f"objects by COCO's areas: {areas['small']} small, {areas['medium']} medium, {areas['large']} large",
        "side in the network's input, in pixels: " + ", ".join(f"{name}: {n}" for name, n in sizes["sides"].items() if n),
    ]
    lines.append("configured: " + _settings_line(sizes["configured"]))
    lines.append("suggested:  " + _settings_line(sizes["suggested"]))
    return lines


def _settings_line(told):
    shares = ", ".join(f"{told[key]:.1%} by {key.removeprefix('share_')}" for key in told if key.startswith("share_"))
    return (f"IMAGE_MIN_DIM={told['IMAGE_MIN_DIM']} IMAGE_MAX_DIM={told['IMAGE_MAX_DIM']} "
            f"RPN_ANCHOR_SCALES={tuple(told['RPN_ANCHOR_SCALES'])}: the best anchor overlaps {shares} of the objects")


def _safe(value):
    """Make all text of the statistics printable."""
    if isinstance(value, dict):
        return {printable(key): _safe(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(v) for v in value]
    return printable(value) if isinstance(value, str) else value
