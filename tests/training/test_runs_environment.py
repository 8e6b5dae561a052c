"""The software and hardware of a run in environment.json."""
import os
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from mrcnn.training.runs import add_environment, describe_environment, peak_device_memory, read_environments
from tests.shared_data import REPOSITORY


def test_environment_describes_this_process():
    found = describe_environment()
    assert found["backend"] == keras.backend.backend() == os.environ["KERAS_BACKEND"]
    assert found["versions"]["keras"] == keras.__version__ and found["versions"]["numpy"] == np.__version__
    assert found["versions"][found["backend"]] == version(found["backend"])
    assert found["devices"] and all(found["devices"]) and found["processor"]
    assert found["command"] == sys.argv and found["cores"] == os.cpu_count() and found["memory_mb"] > 100


def test_each_call_adds_an_entry(tmp_path):
    add_environment(tmp_path, first_epoch=1, layers="heads")
    add_environment(tmp_path, first_epoch=3, layers="all")
    entries = read_environments(tmp_path / "environment.json")
    assert [(entry["first_epoch"], entry["layers"]) for entry in entries] == [(1, "heads"), (3, "all")]
    assert entries[0]["began"] <= entries[1]["began"] and entries[1]["backend"] == keras.backend.backend()


@pytest.mark.parametrize("content", [None, "", "{", "7", '{"backend": "x"}', "[1, 2]"])
def test_invalid_environment_file_is_ignored(tmp_path, content):
    path = tmp_path / "environment.json"
    if content is not None:
        path.write_text(content)
    assert read_environments(path) == []
    add_environment(tmp_path, first_epoch=1)
    assert len(read_environments(path)) == 1


@pytest.mark.tensorflow_only
def test_peak_memory_of_a_gpu(monkeypatch):
    """TensorFlow is patched to list two GPUs and to report their peak memory in bytes."""
    import tensorflow as tf

    gpus = [SimpleNamespace(name="/device:GPU:0"), SimpleNamespace(name="/device:GPU:1")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_memory_info",
                        lambda name: {"current": 1, "peak": {"GPU:0": 3 * 2**20, "GPU:1": 0}[name]})
    assert peak_device_memory() == 3

    def refuse(name):
        raise ValueError("Allocator stats not available")

    monkeypatch.setattr(tf.config.experimental, "get_memory_info", refuse)
    assert peak_device_memory() is None


def test_peak_memory_grows_with_allocations():
    """Measured in a new process, which a shell starts because Linux includes the memory of the parent process."""
    script = ("import sys; from mrcnn.training.runs import peak_memory; before = peak_memory();"
              "held = b'x' * (100 * 2**20); print(before, peak_memory(), 'keras' in sys.modules)")  # fmt: skip
    done = subprocess.run(["sh", "-c", '"$0" -c "$1"; true', sys.executable, script], cwd=REPOSITORY,
                          capture_output=True, text=True, check=True)  # fmt: skip
    before, after, loaded = done.stdout.split()
    assert 5 < float(before) < 500 and 90 < float(after) - float(before) < 130 and loaded == "False"
