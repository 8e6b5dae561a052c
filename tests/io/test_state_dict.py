"""State dicts are found in the files that PyTorch frameworks publish."""
import pickle

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.state_dict import is_state_dict_file, read_state_dict

ONE, TWO = np.ones((2, 3), np.float32), np.zeros(2, np.float32)


def _pickle(path, value):
    path.write_bytes(pickle.dumps(value, 2))
    return path


@pytest.mark.parametrize("value", [
    {"a.weight": ONE, "b": TWO},
    {"model": {"a.weight": ONE, "b": TWO}, "__author__": "someone", "matching_heuristics": True},
    {"meta": {"epoch": 12}, "state_dict": {"a.weight": ONE, "b": TWO}},
    {"model": {"a.weight": TWO}, "ema": {"state_dict": {"a.weight": ONE, "b": TWO}}, "epoch": 3},
    {"module.a.weight": ONE, "module.b": TWO},
])  # fmt: skip
def test_state_dict_may_be_nested(tmp_path, value):
    tensors = read_state_dict(_pickle(tmp_path / "w.pkl", value))
    assert list(tensors) == ["a.weight", "b"] and np.array_equal(tensors["a.weight"], ONE)


def test_one_name_with_the_prefix_of_a_wrapper_is_left(tmp_path):
    assert list(read_state_dict(_pickle(tmp_path / "w.pkl", {"module.a": ONE, "b": TWO}))) == ["module.a", "b"]


def _inside_itself():
    value = {}
    value["model"] = value
    return value


@pytest.mark.parametrize("value, message", [
    ([ONE], "holds a list of 1, expected tensors by name"), ({}, "holds a dict of 0"), (ONE, "holds an array of shape"),
    ({"blobs": {"conv1_w": ONE}}, r"values that are not tensors: 1 value \(blobs: a dict of 1\)"),
    ({"model": {"a": ONE, "b": 3.5}}, r"values that are not tensors: 1 value \(b: 3.5\)"),
    ({"model": {1: ONE}}, r"1 value \(1: an array"), (_inside_itself(), "values that are not tensors"),
])  # fmt: skip
def test_other_content_is_described(tmp_path, value, message):
    with pytest.raises(DataError, match=f"w.pkl holds .*{message}|w.pkl {message}"):
        read_state_dict(_pickle(tmp_path / "w.pkl", value))


def test_files_are_recognised_by_ending_or_content(tmp_path):
    for name in ("a.pth", "a.PT", "a.pkl", "a.safetensors"):
        assert is_state_dict_file(tmp_path / name)
    for content, expected in ((b"PK\x03\x04", True), (b"\x80\x02}", True), (b"\x89HDF\r\n\x1a\n", False), (b"", False)):
        (tmp_path / "download").write_bytes(content)
        assert is_state_dict_file(tmp_path / "download") is expected
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04")
    assert not is_state_dict_file(tmp_path / "m.keras") and not is_state_dict_file(tmp_path / "missing")


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="w.pth is neither a file of torch.save, nor a pickle, nor .safetensors"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(FileNotFoundError, match="there is no weight file .*gone.pth"):
        read_state_dict(tmp_path / "gone.pth")


@pytest.mark.parametrize("is_zip", [True, False])
def test_files_of_torch(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    path = tmp_path / "w.pth"
    torch.save({"model": {"a.weight": torch.ones(2, 3)}, "optimizer": {"state": {0: torch.ones(4)}}}, path,
               _use_new_zipfile_serialization=is_zip)  # fmt: skip
    tensors = read_state_dict(path)
    assert list(tensors) == ["a.weight"] and np.array_equal(tensors["a.weight"], ONE)
