"""Files of torch.save, of both layouts, are read without torch; anything but tensors and plain containers is refused."""
import argparse
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.torch_files import LEGACY_MAGIC, Tensor, read_torch
from tests.io.harmful_pickles import harmful

LAYOUTS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def _all(value):
    return {name: item for name, item in value.items() if isinstance(item, Tensor | np.ndarray)}


# --- Files made by hand ------------------------------------------------------------------------------------------------
def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _tuple_of_ints(values):
    return b"(" + b"".join(b"M" + struct.pack("<H", value) for value in values) + b"t"


def _tensor(key, count, shape, strides, offset=0, kind="Float", legacy=False):
    """Return the opcodes of a tensor, as in the listing of `pickletools` for a file of torch.save."""
    storage = b"(" + _text("storage") + f"ctorch\n{kind}Storage\n".encode() + _text(key) + _text("cpu")
    storage += b"J" + struct.pack("<i", count) + (b"N" if legacy else b"") + b"tQ"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset) + _tuple_of_ints(shape)
            + _tuple_of_ints(strides) + b"\x89ccollections\nOrderedDict\n)RtR")  # fmt: skip


def _dict(**items):
    return b"\x80\x02}(" + b"".join(_text(name) + value for name, value in items.items()) + b"u."


def _archive(path, pickled, storages, compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("w/data.pkl", pickled)
        for name, data in [*((f"data/{key}", data) for key, data in storages.items()), *extra]:
            archive.writestr(f"w/{name}", data)
    return path


def _legacy(path, pickled, storages, counts=None):
    """Write the layout before PyTorch 1.6; `counts` replaces the numbers of elements before the storages."""
    head = LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    data = [struct.pack("<q", (counts or {}).get(key, values.size)) + values.tobytes() for key, values in storages.items()]
    path.write_bytes(head + pickled + pickle.dumps(list(storages), 2) + b"".join(data))
    return path


SIX = np.arange(6, dtype=np.float32)


def test_strided_tensors_share_a_storage(tmp_path):
    """Six values 0 to 5: rows (0 1 2) and (3 4 5), the same transposed, and the last column from offset 2 with step 3."""
    pickled = _dict(rows=_tensor("0", 6, (2, 3), (3, 1)), turned=_tensor("0", 6, (3, 2), (1, 3)),
                    column=_tensor("0", 6, (2,), (3,), offset=2))  # fmt: skip
    tensors = read_torch(_archive(tmp_path / "w.pth", pickled, {"0": SIX.tobytes()}), _all)
    assert tensors["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["column"].tolist() == [2, 5]
    assert np.shares_memory(tensors["rows"], tensors["turned"]) and not tensors["rows"].flags.writeable


def test_legacy_layout(tmp_path):
    pickled = _dict(a=_tensor("k7", 6, (2, 3), (3, 1), legacy=True), b=_tensor("k8", 2, (2,), (1,), kind="Long", legacy=True))
    path = _legacy(tmp_path / "w.pth", pickled, {"k8": np.array([-1, 2**40]), "k7": SIX})
    tensors = read_torch(path, _all)
    assert tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and tensors["b"].tolist() == [-1, 2**40]


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    """1.5 is 0x3FC0 and -2 is 0xC000 in bfloat16."""
    data = struct.pack("<2H", 0x3FC0, 0xC000)
    path = _archive(tmp_path / "w.pth", _dict(a=_tensor("0", 2, (2,), (1,), kind="BFloat16")), {"0": data})
    values = read_torch(path, _all)["a"]
    assert values.tolist() == [1.5, -2.0] and values.dtype == np.float32


def test_big_endian_values(tmp_path):
    path = _archive(tmp_path / "w.pth", _dict(a=_tensor("0", 2, (2,), (1,))), {"0": np.array([1, 2], ">f4").tobytes()},
                    extra=[("byteorder", "big")])  # fmt: skip
    assert read_torch(path, _all)["a"].tolist() == [1, 2]


def test_storages_that_are_not_chosen_are_not_read(tmp_path):
    pickled = _dict(a=_tensor("0", 6, (6,), (1,)), b=_tensor("1", 6, (6,), (1,)))
    path = _archive(tmp_path / "w.pth", pickled, {"0": SIX.tobytes()})  # the storage of b is missing
    assert read_torch(path, lambda value: {"a": value["a"]})["a"].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(DataError, match="a storage of 24 bytes has 0 in the file"):
        read_torch(path, _all)


@pytest.mark.parametrize("tensor, message", [
    (_tensor("0", 6, (2, 4), (4, 1)), r"a tensor of shape \(2, 4\), larger than its storage of 6 values"),
    (_tensor("0", 6, (2, 3), (3, 1), offset=1), "larger than its storage"),
    (_tensor("0", 6, (2, 2), (9, 1)), "larger than its storage"),
    (_tensor("0", 6, (60000, 60000), (0, 0)), "larger than its storage"),  # 3.6e9 values that share one
    (_tensor("0", 6, (6,), (1,), offset=-1), "a tensor without a storage, a shape or strides"),
    (_tensor("0", 6, (2, 3), (3,)), "a tensor of an impossible shape"),
    (_tensor("0", -6, (6,), (1,)), "a persistent id that is not a storage"),
    (_tensor("0", 6, (6,), (1,), kind="ComplexFloat"), "the name torch.ComplexFloatStorage"),
    (b"cos\nsystem\n" + _text("true") + b"\x85R", "the name os.system"),
    (b"ctorch\nFloatStorage\nK\x06\x85R", "a call of torch.FloatStorage"),
    (b"ctorch\nFloatStorage\n", "the name torch.FloatStorage as a value"),
    (_text("module") + b"Q", "a persistent id that is not a storage"),
    (b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R", "a parameter that is not a tensor"),
    (_tensor("0", 6, (6,), (1,))[:-1] + b"N\x85b", "an object of a class|a state for|not a complete"),
])  # fmt: skip
def test_impossible_tensors_and_other_objects_are_refused(tmp_path, tensor, message):
    with pytest.raises(DataError, match=message):
        read_torch(_archive(tmp_path / "w.pth", _dict(a=tensor), {"0": SIX.tobytes()}), _all)
    with pytest.raises(DataError, match=message):
        read_torch(_legacy(tmp_path / "w.pth", _dict(a=tensor), {"0": SIX}), _all)


def test_a_storage_has_one_type(tmp_path):
    pickled = _dict(a=_tensor("0", 6, (6,), (1,)), b=_tensor("0", 3, (3,), (1,), kind="Long"))
    with pytest.raises(DataError, match="a storage with two types or sizes"):
        read_torch(_archive(tmp_path / "w.pth", pickled, {"0": SIX.tobytes()}), _all)


def test_harmful_pickles_are_refused_and_not_run(tmp_path):
    trap = tmp_path / "trap"
    for data, message in harmful(trap):
        if message == "a state for a dict":  # as that of a state dict, which is ignored
            continue
        for path in (_archive(tmp_path / "w.pth", data, {}), _legacy(tmp_path / "v.pth", data, {})):
            with pytest.raises(DataError):
                read_torch(path, _all)
    assert not trap.exists()


@LAYOUTS
def test_truncated_files_are_reported(tmp_path, is_zip):
    pickled, path = _dict(a=_tensor("0", 6, (6,), (1,))), tmp_path / "w.pth"
    whole = (_archive(path, pickled, {"0": SIX.tobytes()}) if is_zip else _legacy(path, pickled, {"0": SIX})).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="w.pth"):
            read_torch(path, _all)


def test_declared_sizes_are_compared_with_the_file(tmp_path):
    pickled = _dict(a=_tensor("0", 2**30, (6,), (1,)))
    with pytest.raises(DataError, match="a storage of 4294967296 bytes has 24 in the file"):
        read_torch(_archive(tmp_path / "w.pth", pickled, {"0": SIX.tobytes()}), _all)
    with pytest.raises(DataError, match="the storages of its tensors are not complete"):
        read_torch(_legacy(tmp_path / "w.pth", pickled, {"0": SIX}, counts={"0": 2**30}), _all)
    with pytest.raises(DataError, match="the storages of its tensors are not complete"):
        read_torch(_legacy(tmp_path / "w.pth", _dict(a=_tensor("0", 6, (6,), (1,))), {"0": SIX}, counts={"0": 7}), _all)


def test_compressed_archives_are_refused(tmp_path):
    """A megabyte of zeros in a kilobyte."""
    pickled = _dict(a=_tensor("0", 2**18, (512, 512), (512, 1)))
    path = _archive(tmp_path / "w.pth", pickled, {"0": bytes(2**20)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 5000
    with pytest.raises(DataError, match="declares more bytes than the file has"):
        read_torch(path, _all)


def test_other_archives_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("photo.txt", "x")
    with pytest.raises(DataError, match="a zip archive without data.pkl"):
        read_torch(tmp_path / "a.pth", _all)
    path = _archive(tmp_path / "w.pth", _dict(), {}, extra=[("constants.pkl", b"")])
    with pytest.raises(DataError, match=r"a program of TorchScript: give a file of torch.save\(model.state_dict"):
        read_torch(path, _all)


# --- Files made by torch ----------------------------------------------------------------------------------------------
@LAYOUTS
def test_checkpoints_of_torch(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm2d(3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0).reshape(4, 6)
    expected = {**layer.state_dict(), "turned": base.t(), "steps": base[1::2, ::3], "half": torch.tensor([0.5]).half(),
                "double": torch.tensor([1.0, 2.0]).double(), "none": torch.zeros(0, 3), "flags": torch.tensor([True, False]),
                "parameter": torch.nn.Parameter(torch.ones(2)), "bytes": torch.tensor([200], dtype=torch.uint8)}  # fmt: skip
    value = {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
             **{name: tensor for name, tensor in expected.items() if name not in layer.state_dict()}}  # fmt: skip
    torch.save(value, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    tensors = read_torch(tmp_path / "w.pth", lambda value: {**_all(value), **value["model"]})
    assert set(tensors) == set(expected) and tensors["num_batches_tracked"] == 1
    for name, tensor in expected.items():
        array = tensor.detach().numpy()
        assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape
        np.testing.assert_array_equal(tensors[name], array)


@LAYOUTS
def test_objects_in_checkpoints_of_torch_are_named(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    for value, name in ((torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
                        ({"model": {}, "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
                        (torch.tensor([1 + 2j]), "torch.ComplexFloatStorage")):  # fmt: skip
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=is_zip)
        (tmp_path / "w.pth").write_bytes(buffer.getvalue())
        with pytest.raises(DataError, match=f"w.pth is a pickle with the name {name}. Only tensors"):
            read_torch(tmp_path / "w.pth", lambda value: {})


def test_a_file_that_is_read_is_closed(tmp_path):
    path = _archive(tmp_path / "w.pth", _dict(a=_tensor("0", 6, (6,), (1,))), {"0": SIX.tobytes()})
    tensors = read_torch(path, _all)
    os.remove(path)
    assert tensors["a"].sum() == 15
