"""The package's source as the layout tests see it: files, parsed trees, and who imports what."""
import ast
from dataclasses import dataclass
from functools import lru_cache

from tests.shared_data import REPOSITORY

PACKAGE = REPOSITORY / "mrcnn"

# The packages and modules of the package from the ground up: each imports only what stands above it here.
PARTS = (
    "base", "config", "geometry", "io", "datasets", "loading", "evaluation", "viz", "network", "weights", "inference",
    "training", "semantic", "tools", "utils", "visualize", "model", "parallel_model", "cli", "__main__",
)  # fmt: skip

# The classic module names, which nothing inside imports.
FACADES = ("model", "utils", "visualize", "parallel_model")

# Packages that work without Keras and any backend, but for KERAS_FILES in them.
NUMPY_PARTS = ("base", "config", "geometry", "io", "datasets", "loading", "evaluation", "viz", "semantic", "utils", "visualize")
KERAS_FILES = ("semantic.training",)


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package ("ops.nms", "" for the package), its path, text and tree."""

    name: str
    path: object
    text: str
    tree: ast.Module

    @property
    def part(self):
        """The first component of the name, one of PARTS."""
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Import:
    """One imported module: full dotted name, line, whether it happens when the importing module is imported, and whether it
    never happens: under `if TYPE_CHECKING`."""

    target: str
    line: int
    at_import: bool
    for_types: bool


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
    for_types = {id(node) for outer in ast.walk(module.tree)
                 if isinstance(outer, ast.If) and getattr(outer.test, "id", "") == "TYPE_CHECKING"
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
        found += [Import(target, node.lineno, id(node) not in inside, id(node) in for_types) for target in targets]
    return found


def _absolute(module, node):
    if not node.level:
        return node.module
    parts = ["mrcnn", *module.name.split(".")] if module.name else ["mrcnn"]
    climb = node.level - (module.path.name == "__init__.py")
    parts = parts[: len(parts) - climb]
    return ".".join([*parts, node.module] if node.module else parts)
