"""The package's source as the layout tests see it: files, parsed trees, and who imports what."""
import ast
from dataclasses import dataclass
from functools import lru_cache

from tests.shared_data import REPOSITORY

PACKAGE = REPOSITORY / "mrcnn"

# How far out each part lies. An import goes inwards or stays level.
RINGS = {
    "geometry": 0, "data": 0, "targets": 0, "evaluation": 0, "viz": 0,
    "ops": 1, "layers": 1, "backbones": 1, "heads": 1, "losses": 1,
    "config": 2, "engine": 2, "weights": 2, "inference": 2, "report": 2,
    "model": 3, "utils": 3, "visualize": 3, "parallel_model": 3, "cli": 3, "__main__": 3,
}  # fmt: skip

FACADES = ("model", "utils", "visualize", "parallel_model")


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package ("ops.nms", "" for the package), its path, text and tree."""

    name: str
    path: object
    text: str
    tree: ast.Module

    @property
    def part(self):
        """The first component of the name: a key of RINGS."""
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Import:
    """One imported module: full dotted name, line, and whether it happens when the importing module is imported."""

    target: str
    line: int
    at_import: bool


@lru_cache(maxsize=1)
def modules():
    """Return every Module of the package, in the order of their paths."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        text = path.read_text(encoding="utf-8")
        found.append(Module(".".join(parts), path, text, ast.parse(text, str(path))))
    return tuple(found)


def imports(module):
    """Return the Imports of a Module, relative ones made absolute; `from a import b` gives both a and a.b."""
    inside = {id(node) for outer in ast.walk(module.tree) if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
              for node in ast.walk(outer)}  # fmt: skip
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [Import(target, node.lineno, id(node) not in inside) for target in targets]
    return found


def _absolute(module, node):
    if not node.level:
        return node.module
    parts = ["mrcnn", *module.name.split(".")] if module.name else ["mrcnn"]
    climb = node.level - (module.path.name == "__init__.py")
    parts = parts[: len(parts) - climb]
    return ".".join([*parts, node.module] if node.module else parts)
