"""The scripts of benchmarks/ as modules."""
import importlib
import sys
from types import ModuleType

from tests.shared_data import REPOSITORY


def benchmark(name: str) -> ModuleType:
    """Import a script of benchmarks/, which is not a package."""
    path = sys.path[:]
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path
