"""Files in the .safetensors format are read, and damaged ones are reported."""
import json
import struct

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.state_dict import is_safetensors, read_safetensors


def _write(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def test_tensors_are_read(tmp_path):
    data = np.arange(6, dtype="<f4").tobytes() + struct.pack("<2H", 0x3FC0, 0xC000) + struct.pack("<q", -3) + b"\x01\x00"
    path = _write(tmp_path / "w.safetensors", {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]},
        "steps": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
        "flags": {"dtype": "BOOL", "shape": [2], "data_offsets": [36, 38]},
        "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [38, 38]},
    }, data)  # fmt: skip
    assert is_safetensors(path)
    tensors = read_safetensors(path)
    assert list(tensors) == ["a.weight", "b", "steps", "flags", "none"]
    assert tensors["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and tensors["b"].tolist() == [1.5, -2.0]
    assert tensors["steps"] == -3 and tensors["flags"].tolist() == [True, False] and tensors["none"].shape == (0, 3)


@pytest.mark.parametrize("entry, message", [
    ({"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}, "tensor w has the dtype 'F8_E4M3', expected one of F64, F32"),
    ({"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}, "has the dtype"),
    ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, r"shape \[3\] and lies at \[0, 8\] of 8 bytes"),
    ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "the file is damaged"),
    ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "the file is damaged"),
    ({"dtype": "F32", "shape": [2], "data_offsets": [8]}, "the file is damaged"),
    ({"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}, "has no shape or data_offsets"),
    ({"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}, "has no shape or data_offsets"),
    ({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}, "has no shape or data_offsets"),
    ({"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}, "the file is damaged"),
    ([1], "has the dtype"),
])  # fmt: skip
def test_entries_that_do_not_fit_the_file_are_reported(tmp_path, entry, message):
    with pytest.raises(DataError, match=message):
        read_safetensors(_write(tmp_path / "w.safetensors", {"w": entry}, bytes(8)))


@pytest.mark.parametrize("header, length, message", [
    (b"{}", 2**40, "declares a header of 1099511627776 bytes"), (b"{}", 3, "declares a header of 3 bytes"),
    (b"{", None, "not a complete .safetensors file"), (b"[1]", None, "its header is a list"),
    (b"\xff{", None, "not a complete"), (b"[" * 100_000, None, "not a complete"),
])  # fmt: skip
def test_damaged_headers_are_reported(tmp_path, header, length, message):
    with pytest.raises(DataError, match=message):
        read_safetensors(_write(tmp_path / "w.safetensors", header, length=length))


def test_other_files_are_not_taken_for_safetensors(tmp_path):
    for content in (b"", b"PK\x03\x04", b"{}", struct.pack("<Q", 10**6) + b"{", b"\x89HDF\r\n\x1a\n{}"):
        (tmp_path / "w").write_bytes(content)
        assert not is_safetensors(tmp_path / "w")
