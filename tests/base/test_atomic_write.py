"""JSON files that are whole or absent."""
import json
import os

import numpy as np
import pytest

from mrcnn.base.atomic_write import save_json, whole_file


def test_json_takes_numpy_and_writes_nan_as_null(tmp_path):
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
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    with whole_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and os.stat(path).st_mode & 0o444 == 0o444
