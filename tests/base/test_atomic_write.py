"""Files that are either complete or absent."""
import json
import os

import numpy as np
import pytest

from mrcnn.base.atomic_write import atomic_open, atomic_path, save_json


def test_json_accepts_numpy_and_writes_nan_as_null(tmp_path):
    value = {"a": np.float32(0.5), 3: np.int64(4), "n": float("nan"), "l": (np.nan, np.arange(2)), "t": "x"}
    save_json(tmp_path / "v.json", value)
    assert json.loads((tmp_path / "v.json").read_text()) == {"a": 0.5, "3": 4, "n": None, "l": [None, [0, 1]], "t": "x"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "v.json"
    save_json(path, [1])
    with pytest.raises(TypeError):
        save_json(path, [object()])
    assert path.read_text() == "[1]\n"
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


def test_an_interrupted_write_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    with pytest.raises(KeyboardInterrupt), atomic_open(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    with atomic_open(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_new_file_has_default_permissions(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_open(tmp_path / "atomic", "w") as file:
        file.write("\xe4")
    assert os.stat(tmp_path / "atomic").st_mode == os.stat(tmp_path / "plain").st_mode
    assert (tmp_path / "atomic").read_bytes() == b"\xc3\xa4"


def test_atomic_path_replaces_the_target_when_the_block_ends(tmp_path):
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").write_text("old")
    with atomic_path(tmp_path / "target") as temporary:
        assert not temporary.exists() and temporary.parent == tmp_path
        os.link(tmp_path / "source", temporary)
        assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "target").read_text() == "new"
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "target"):
        pass  # writes nothing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]
