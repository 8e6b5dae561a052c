"""Reading .safetensors files: a JSON header with the dtype, shape and place of each tensor, then their values.

A few lines here instead of the package safetensors, whose NumPy reader has no bfloat16.

Source: the format's description in the README of huggingface/safetensors.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.text import printable, short
from mrcnn.io.torch_files import BFLOAT16, from_bytes

_DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
           "U8": "u1", "BOOL": "?"}  # fmt: skip
# the length of the header, in bytes of its number, and at most
_LENGTH, _LARGEST_HEADER = 8, 100_000_000


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
