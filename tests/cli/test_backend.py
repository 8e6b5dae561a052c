"""The backend is loaded without its notices, and its absence is told."""
import os
import subprocess
import sys

import pytest

from mrcnn.cli.backend import _without_notices, load_backend


def test_a_backend_that_is_none_or_absent_is_told(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "pytorch")
    with pytest.raises(ImportError, match="KERAS_BACKEND is 'pytorch': choose tensorflow, jax, torch"):
        load_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"jax is not installed: pip install '.\[jax\]'"):
        load_backend()


def test_notices_are_left_out_and_all_else_is_told(capfd):
    with pytest.raises(RuntimeError), _without_notices():
        os.write(2, b"I0000 port.cc] oneDNN custom operations are on.\nsomething real\n")
        raise RuntimeError
    assert capfd.readouterr().err == "something real\n"


def test_a_command_starts_without_notices():
    code = "from mrcnn.cli.backend import load_backend; load_backend()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
