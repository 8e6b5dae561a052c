"""State dicts: files of tensors by name, as PyTorch frameworks publish them (.pth, .pt, .pkl, .safetensors).

A .safetensors file is a JSON header with the dtype, shape and place of each tensor, followed by their values. It is read here
and not by the package safetensors, whose NumPy reader has no bfloat16.

Source: the description of the format in the README of huggingface/safetensors.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.text import printable, short, shorten_names
from mrcnn.io.pickles import describe, read_pickle
from mrcnn.io.torch_files import BFLOAT16, LEGACY_MAGIC, ZIP_MAGIC, Tensor, from_bytes, read_torch

SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors")
# A checkpoint holds its state dict under one of these names; the average of the weights, if it has one, is preferred.
NESTED = ("ema", "model", "state_dict")
_DEPTH = 4
_PICKLE = b"\x80"
# torch.nn.DataParallel puts this before every name
_WRAPPER = "module."
_LARGEST_PICKLE = 4 * 2**30
# .safetensors: the NumPy dtype of each of its names; the bytes that hold the length of the header, and the maximum length
_DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
           "U8": "u1", "BOOL": "?"}  # fmt: skip
_LENGTH, _LARGEST_HEADER = 8, 100_000_000


def is_state_dict_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is to be read by `read_state_dict`: by its ending, or by its first bytes."""
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file() or path.suffix.lower() in (".h5", ".keras"):  # a .keras file is a zip archive too
        return False
    return _head(path).startswith((ZIP_MAGIC, _PICKLE)) or is_safetensors(path)


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a file by name, without PyTorch and without executing code from it.

    Args:
        path: a file of torch.save of any version, a pickle of NumPy arrays (detectron2's .pkl), or .safetensors. A checkpoint
            may hold the state dict under "model", "state_dict" or "ema", the last of which is preferred.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is damaged, contains anything but tensors and plain containers, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    head = _head(path)
    if head.startswith((ZIP_MAGIC, LEGACY_MAGIC)):
        tensors = read_torch(path, lambda value: _state_dict(value, path))
    elif head.startswith(_PICKLE):
        tensors = dict(_state_dict(read_pickle(path, _LARGEST_PICKLE), path))
    elif is_safetensors(path):
        tensors = read_safetensors(path)
    else:
        raise DataError(f"{path} is neither a file of torch.save, nor a pickle, nor .safetensors. If it was downloaded or "
                        "copied, do that again")
    if all(name.startswith(_WRAPPER) for name in tensors):
        return {name.removeprefix(_WRAPPER): values for name, values in tensors.items()}
    return tensors


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(len(LEGACY_MAGIC))


def _state_dict(value: Any, path: Path) -> Mapping[str, Any]:
    """Return the dict of tensors in the value of a file."""
    for _ in range(_DEPTH):
        inner = [value[key] for key in NESTED if type(value) is dict and type(value.get(key)) is dict]
        if not inner:
            break
        value = inner[0]
    if type(value) is not dict or not value:
        raise DataError(f"{path} holds {describe(value)}, expected tensors by name, or those under one of {', '.join(NESTED)}")
    others = [f"{name}: {describe(item)}" for name, item in value.items()
              if type(name) is not str or not isinstance(item, Tensor | np.ndarray)]  # fmt: skip
    if others:
        raise DataError(f"{path} holds values that are not tensors: {shorten_names(others, 'value', 3)}. Expected tensors by "
                        f"name, or those under one of {', '.join(NESTED)}")
    return value


def is_safetensors(path: Path | str) -> bool:
    """Return whether a file begins like a .safetensors file: with the length of its header, and a brace."""
    with open(path, "rb") as file:
        head = file.read(_LENGTH + 1)
    return int.from_bytes(head[:_LENGTH], "little") < os.path.getsize(path) and head[_LENGTH:] == b"{"


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Read the tensors of a .safetensors file by name. bfloat16 becomes float32.

    Raises:
        DataError: the file is damaged, or a tensor has a dtype that NumPy lacks.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            if length > min(_LARGEST_HEADER, os.path.getsize(path) - _LENGTH):
                raise DataError(f"{path} is not a complete .safetensors file: it declares a header of {length} bytes")
            header, data = json.loads(file.read(length)), file.read()
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not a complete .safetensors file: {short(error)}") from error
    if not isinstance(header, dict):
        raise DataError(f"{path} is not a .safetensors file: its header is a {type(header).__name__}, expected an object")
    return {name: _tensor(entry, data, f"{path}: tensor {short(name, 80)}")
            for name, entry in header.items() if name != "__metadata__"}  # fmt: skip


def _tensor(entry: Any, data: bytes, where: str) -> np.ndarray:
    """Return the tensor of an entry of the header."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (fields.get(key, ()) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DataError(f"{where} has the dtype {printable(dtype)!r:.40}, expected one of {', '.join(_DTYPES)}")
    if not all(isinstance(sizes, list) and all(type(size) is int and size >= 0 for size in sizes) for sizes in (shape, place)):
        raise DataError(f"{where} has no shape or data_offsets")
    itemsize = 2 if dtype == "BF16" else np.dtype(_DTYPES[dtype]).itemsize
    if len(place) != 2 or place[1] > len(data) or place[1] - place[0] != math.prod(shape) * itemsize:
        raise DataError(f"{where} has the shape {short(shape, 80)} and lies at {short(place, 80)} of {len(data)} bytes: the "
                        "file is damaged")
    return from_bytes(data[place[0] : place[1]], _DTYPES[dtype]).reshape(shape)
