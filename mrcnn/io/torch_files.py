"""Reading the tensors of PyTorch's files (.pth, .pt) without PyTorch, and without executing code from them.

A file of `torch.save` is a pickle in which a tensor is a call of `torch._utils._rebuild_tensor_v2` with a storage, an offset,
a shape and strides, all in elements. A storage is a persistent id with its type, its key and its number of elements; its
values lie outside the pickle:

- since PyTorch 1.6, the file is a zip archive, uncompressed, with the pickle in `NAME/data.pkl` and a storage in
  `NAME/data/KEY`;
- before, it is five pickles, one after another (a magic number, the version of the layout, facts about the machine, the
  value, and the keys of the storages), and then each storage: its number of elements as an int64, and its values.

Only storages of the chosen tensors are read, so that a checkpoint's optimizer costs neither time nor memory. A storage that
several tensors share is read once.

Source: `torch/serialization.py` and `torch/_utils.py` of PyTorch 2.
"""

import math
import os
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.text import short
from mrcnn.io.pickles import Name, PickleReader, RefusedError, reported

ZIP_MAGIC = b"PK\x03\x04"
# the first pickle of the layout before PyTorch 1.6: protocol 2, and a LONG1 of ten bytes
LEGACY_MAGIC = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
_LEGACY_VERSION = 1001
# The pickles are in the first bytes of a file: those of a network with thousands of tensors have less than a megabyte.
_LARGEST_PICKLE = 16 * 2**20
_MAX_DIMENSIONS = 32
# NumPy has no bfloat16, which is the upper half of a float32.
BFLOAT16 = "bfloat16"
_STORAGES = {"Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": BFLOAT16, "Long": "i8", "Int": "i4", "Short": "i2",
             "Char": "i1", "Byte": "u1", "Bool": "?"}  # fmt: skip
_OPCODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}


@dataclass(frozen=True)
class Storage:
    """A storage of a file: its key, the dtype of its elements (a value of _STORAGES), and their number."""

    key: str
    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return self.count * (2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file, whose values are not read yet. Offset, shape and strides are in elements of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the tensor as a view of the values of its storage, which may not be written to."""
        bytes_per_step = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, bytes_per_step, writeable=False)


def read_torch(path: Path | str, choose: Callable[[Any], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Read tensors from a file of `torch.save`.

    Args:
        path: the file.
        choose: gets the value of the pickle, composed as `read_pickle` says, with `Tensor`s in it; returns the tensors to
            read, or NumPy arrays, by name.

    Returns:
        The values of these tensors. bfloat16 becomes float32.

    Raises:
        DataError: the file is damaged, or contains anything but tensors, NumPy arrays and plain containers. No code from it
            was executed.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
                return _read_zip(file, path, choose)
            return _read_legacy(file, path, choose)
    except DataError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a complete file of torch.save ({type(error).__name__}: {short(error)}). If it was "
                        "downloaded or copied, do that again") from error


# --- The two layouts --------------------------------------------------------------------------------------------------
def _read_zip(file: BinaryIO, path: Path, choose: Callable[[Any], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # An archive whose entries overlap could hold more bytes than its size.
        if sum(entry.file_size for entry in entries.values()) > os.path.getsize(path):
            raise DataError(f"{path} declares more bytes than the file has: it is damaged, or compressed, which torch.save "
                            "never does")
        heads = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(heads) != 1:
            raise DataError(f"{path} is a zip archive without data.pkl, which torch.save did not write")
        if f"{heads[0]}constants.pkl" in entries:
            raise DataError(f"{path} is a program of TorchScript: give a file of torch.save(model.state_dict(), path)")
        with reported(path, "tensors, NumPy arrays"):
            value = _TorchReader(archive.read(f"{heads[0]}data.pkl")).load()
        order = archive.read(f"{heads[0]}byteorder") if f"{heads[0]}byteorder" in entries else b"little"

        def read(storage: Storage) -> bytes:
            entry = entries.get(f"{heads[0]}data/{storage.key}")
            return archive.read(entry) if entry is not None else b""

        return _values(choose(value), read, order == b"big", path)


def _read_legacy(file: BinaryIO, path: Path, choose: Callable[[Any], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    file.seek(0)
    head = file.read(_LARGEST_PICKLE)
    if not head.startswith(LEGACY_MAGIC):
        raise DataError(f"{path} is not a file of torch.save")
    end = len(LEGACY_MAGIC)
    values: list[Any] = []
    with reported(path, "tensors, NumPy arrays"):
        for kind in (PickleReader, PickleReader, _TorchReader, PickleReader):
            reader = kind(head, end)
            values.append(reader.load())
            end = reader.end
    version, machine, value, keys = values
    if version != _LEGACY_VERSION or type(machine) is not dict or type(keys) is not list:
        raise DataError(f"{path} has a layout of torch.save that is not known: load it with torch and save it again")
    starts = _storage_starts(file, path, end, keys, value)

    def read(storage: Storage) -> bytes:
        file.seek(starts.get(storage.key, os.path.getsize(path)))
        return file.read(storage.nbytes)

    return _values(choose(value), read, machine.get("little_endian") is False, path)


def _storage_starts(file: BinaryIO, path: Path, start: int, keys: list[Any], value: Any) -> dict[str, int]:
    """Return where the values of each storage begin in a file of the older layout."""
    size, starts = os.path.getsize(path), {}
    storages = {tensor.storage.key: tensor.storage for tensor in _tensors_in(value)}
    for key in keys:
        file.seek(start)
        (count,) = struct.unpack("<q", file.read(8))
        if key not in storages or storages[key].count != count or start + 8 + storages[key].nbytes > size:
            raise DataError(f"{path}: the storages of its tensors are not complete. If it was downloaded or copied, do that "
                            "again")
        starts[key] = start + 8
        start += 8 + storages[key].nbytes
    return starts


def _tensors_in(value: Any) -> list[Tensor]:
    found, waiting, seen = [], [value], set()
    while waiting:
        value = waiting.pop()
        if type(value) is Tensor:
            found.append(value)
        elif type(value) in (dict, list, tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if type(value) is dict else value)
    return found


def _values(chosen: Mapping[str, Any], read: Callable[[Storage], bytes], is_big: bool, path: Path) -> dict[str, np.ndarray]:
    """Read the storages of the chosen tensors, and return the tensors."""
    storages: dict[str, np.ndarray] = {}
    for tensor in chosen.values():
        if isinstance(tensor, Tensor) and tensor.storage.key not in storages:
            data = read(tensor.storage)
            if len(data) != tensor.storage.nbytes:
                raise DataError(f"{path}: a storage of {tensor.storage.nbytes} bytes has {len(data)} in the file, which is "
                                "damaged. If it was downloaded or copied, do that again")
            storages[tensor.storage.key] = from_bytes(data, tensor.storage.dtype, is_big)
    return {name: tensor.of(storages[tensor.storage.key]) if isinstance(tensor, Tensor) else tensor
            for name, tensor in chosen.items()}  # fmt: skip


def from_bytes(data: bytes, dtype: str, is_big: bool = False) -> np.ndarray:
    """Return the values in `data`: those of `dtype`, or float32 if that is bfloat16."""
    order = ">" if is_big else "<"
    if dtype == BFLOAT16:
        return (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "?":  # another byte than 0 and 1 is not a valid bool
        return np.frombuffer(data, np.uint8) != 0
    return np.frombuffer(data, f"{order}{dtype}")


# --- The pickle -------------------------------------------------------------------------------------------------------
class _TorchReader(PickleReader):
    """Reads tensors as `Tensor`, in addition to what `PickleReader` reads."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        super().__init__(data, start)
        self._storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage of a persistent id: ("storage", type, key, device, number of elements), and before PyTorch 1.6
        a sixth item, which is None unless the storage is part of another."""
        is_storage = type(pid) is tuple and len(pid) in (5, 6) and pid[0] == "storage" and pid[5:] in ((), (None,))
        if not is_storage or type(pid[1]) is not Name or type(pid[2]) is not str or type(pid[4]) is not int or pid[4] < 0:
            raise RefusedError("a persistent id that is not a storage of a tensor")
        dtype = _DTYPES.get(pid[1].title)
        if dtype is None:
            raise RefusedError(f"a storage of type {pid[1].title}")
        storage = Storage(pid[2], dtype, pid[4])
        if self._storages.setdefault(storage.key, storage) != storage:
            raise RefusedError("a storage with two types or sizes")
        return storage

    def load_build(self) -> None:
        """Ignore the attributes of an OrderedDict: a state dict has `_metadata`, the versions of its modules."""
        if type(self.stack[-2]) is dict and type(self.stack[-1]) is dict:
            self.stack.pop()
        else:
            super().load_build()


def _tensor(spend: Callable[[int], None], storage: Any, offset: Any, shape: Any, strides: Any, *more: object) -> Tensor:
    """Check the arguments of `_rebuild_tensor_v2`; `more` are about gradients."""
    sizes = (*shape, *strides, offset) if type(shape) is tuple and type(strides) is tuple else (None,)
    if type(storage) is not Storage or not all(type(size) is int and size >= 0 for size in sizes):
        raise RefusedError("a tensor without a storage, a shape or strides")
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise RefusedError("a tensor of an impossible shape")
    count = math.prod(shape)
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) if count else offset - 1
    if count > storage.count or last >= storage.count:
        raise RefusedError(f"a tensor of shape {shape}, larger than its storage of {storage.count} values")
    return Tensor(storage, offset, shape, strides)


def _parameter(spend: Callable[[int], None], tensor: Any, *more: object) -> Tensor:
    if type(tensor) is not Tensor:
        raise RefusedError("a parameter that is not a tensor")
    return tensor


def _no_call(spend: Callable[[int], None], *args: object, title: str = "") -> Any:
    raise RefusedError(f"a call of {title}")


_DTYPES = {f"torch.{kind}Storage": dtype for kind, dtype in _STORAGES.items()}
_TorchReader.names = {
    **PickleReader.names,
    ("torch._utils", "_rebuild_tensor_v2"): Name("torch._utils._rebuild_tensor_v2", _tensor),
    ("torch._utils", "_rebuild_parameter"): Name("torch._utils._rebuild_parameter", _parameter),
    **{("torch", f"{kind}Storage"): Name(f"torch.{kind}Storage", partial(_no_call, title=f"torch.{kind}Storage"))
       for kind in _STORAGES},
}  # fmt: skip
# BINPERSID, which a PickleReader refuses, calls `persistent_load`
_TorchReader.dispatch = {**PickleReader.dispatch, _OPCODES["BINPERSID"]: PickleReader.load_binpersid,
                         _OPCODES["BUILD"]: _TorchReader.load_build}  # fmt: skip
