"""The source of the package for the layout tests: files, parsed trees and imports."""
import ast
from dataclasses import dataclass
from functools import lru_cache

from tests.shared_data import REPOSITORY

PACKAGE = REPOSITORY / "mrcnn"

# The packages and modules in order of dependency: each imports only earlier ones.
PARTS = (
    "base", "config_rules", "config", "recipes", "geometry", "io", "datasets", "loading", "evaluation", "viz", "network",
    "weights", "inference", "training", "semantic", "tools", "utils", "visualize", "model", "parallel_model", "cli", "__main__",
)  # fmt: skip

# The classic module names, which nothing inside imports.
FACADES = ("model", "utils", "visualize", "parallel_model")

# Packages that work without Keras and a backend, except KERAS_FILES.
NUMPY_PARTS = ("base", "config_rules", "config", "recipes", "geometry", "io", "datasets", "loading", "evaluation", "viz",
               "semantic", "utils", "visualize")
KERAS_FILES = ("semantic.training",)


@dataclass(frozen=True)
class Module:
    """A source file: its dotted name inside the package ("ops.nms", "" for the package), path, text and tree."""

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
    """An imported module: full dotted name, line, whether it is imported when the importing module is, and whether it is
    imported only for type checking."""

    target: str
    line: int
    at_import: bool
    for_types: bool


@lru_cache(maxsize=1)
def modules():
    """Return every Module of the package, ordered by path."""
    result = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        text = path.read_text(encoding="utf-8")
        result.append(Module(".".join(parts), path, text, ast.parse(text, str(path))))
    return tuple(result)


def imports(module):
    """Return the Imports of a Module, relative ones made absolute; `from a import b` gives both a and a.b."""
    inside = {id(node) for outer in ast.walk(module.tree) if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
              for node in ast.walk(outer)}  # fmt: skip
    for_types = {id(node) for outer in ast.walk(module.tree)
                 if isinstance(outer, ast.If) and getattr(outer.test, "id", "") == "TYPE_CHECKING"
                 for node in ast.walk(outer)}  # fmt: skip
    result = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        result += [Import(target, node.lineno, id(node) not in inside, id(node) in for_types) for target in targets]
    return result


def _absolute(module, node):
    if not node.level:
        return node.module
    parts = ["mrcnn", *module.name.split(".")] if module.name else ["mrcnn"]
    climb = node.level - (module.path.name == "__init__.py")
    parts = parts[: len(parts) - climb]
    return ".".join([*parts, node.module] if node.module else parts)
