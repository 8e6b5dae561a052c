"""Packages that are loaded when a module is imported in a new interpreter."""
import os
import subprocess
import sys

import pytest

from tests.layout.source import KERAS_FILES, NUMPY_PARTS, modules
from tests.shared_data import REPOSITORY

# Run as `python -c SCRIPT BLOCKED MODULE...`: import each module while the packages in BLOCKED (a,b,c) cannot be imported.
SCRIPT = """
import importlib, sys
blocked, names = set(sys.argv[1].split(",")), sys.argv[2:]
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)
sys.meta_path.insert(0, Blocker())
for name in names:
    importlib.import_module(name)
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


def _import(names, blocked, **env):
    """Import `names` in a new interpreter without `blocked`, and return the loaded top-level packages."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(blocked), *names],
        cwd=REPOSITORY, env={**os.environ, **env}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return set(done.stdout.split())


def _names(keep):
    return [f"mrcnn.{module.name}".rstrip(".") for module in modules() if keep(module)]


def test_numpy_packages_can_be_imported_without_keras():
    names = _names(lambda module: not module.name or module.part in NUMPY_PARTS and module.name not in KERAS_FILES)
    assert {"mrcnn", "mrcnn.config", "mrcnn.utils", "mrcnn.visualize", "mrcnn.geometry.boxes"} <= set(names)
    loaded = _import(names, ("keras", "tensorflow", "jax", "jaxlib", "torch"))
    assert "imgaug" not in loaded, "imgaug takes seconds to import: import it where it is used"


def test_everything_can_be_imported_without_tensorflow():
    pytest.importorskip("jax")
    names = _names(lambda module: not module.name.endswith("__main__"))
    assert "mrcnn.model" in names
    loaded = _import(names, ("tensorflow",), KERAS_BACKEND="jax")
    assert "keras" in loaded


def test_importing_the_package_or_the_command_line_imports_no_heavy_package():
    heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "cv2", "skimage", "matplotlib", "pycocotools", "h5py"}
    assert not heavy & _import(["mrcnn"], ())
    assert not heavy & _import(["mrcnn.cli", "mrcnn.cli.main"], ())


def test_what_check_and_report_import_needs_no_keras():
    """`check` takes its settings from `training.run_start`; `report` reads a run."""
    names = ["mrcnn.tools.doctor", "mrcnn.tools.report.page", "mrcnn.training.run_start", "mrcnn.training.runs"]
    _import(names, ("keras", "tensorflow", "jax", "jaxlib", "torch"))
