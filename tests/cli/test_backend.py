"""The backend is loaded without printing its notices; a missing backend gives a clear error."""
import os
import subprocess
import sys

import keras
import pytest

from mrcnn.cli.backend import _without_notices, compiling_first, load_backend
from mrcnn.cli.main import run_script
from mrcnn.training.progress import COMPILING


def test_unknown_or_missing_backend_is_an_error(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "pytorch")
    with pytest.raises(ImportError, match="KERAS_BACKEND is 'pytorch': choose tensorflow, jax, torch"):
        load_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"jax is not installed: run pip install '.\[jax\]'"):
        load_backend()


def test_only_notices_are_suppressed(capfd):
    with pytest.raises(RuntimeError), _without_notices():
        os.write(2, b"I0000 port.cc] oneDNN custom operations are on.\nsomething real\n")
        raise RuntimeError
    assert capfd.readouterr().err == "something real\n"


def test_backend_loads_without_printing_notices():
    code = "from mrcnn.cli.backend import load_backend; load_backend()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("gpus, calls", [([], 1), (["GPU:0"], 0)])
def test_freed_memory_is_kept_with_tensorflow_on_a_cpu_only(gpus, calls, monkeypatch):
    import tensorflow as tf

    kept = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr("mrcnn.base.memory.keep_freed_memory", lambda: kept.append(True))
    load_backend()
    assert len(kept) == calls
    run_script(lambda arguments: None, [])
    assert len(kept) == 2 * calls, "run_script does the same for samples"


@pytest.mark.parametrize("backend, lines", [("tensorflow", [COMPILING + " ..."]), ("jax", [COMPILING + " ..."]), ("torch", [])])
def test_only_the_first_stage_compiles_and_none_on_pytorch(backend, lines, capsys, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    stages = compiling_first()
    with stages("detecting"):
        pass
    with stages("scoring masks"):
        pass
    assert capsys.readouterr().err.splitlines() == lines
