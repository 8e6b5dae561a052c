"""State dicts: files of tensors by name, as PyTorch frameworks publish them (.pth, .pt, .pkl, .safetensors)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.text import shorten_names
from mrcnn.io.pickles import describe, read_pickle
from mrcnn.io.safetensors import is_safetensors, read_safetensors
from mrcnn.io.torch_files import LEGACY_MAGIC, ZIP_MAGIC, Tensor, read_torch
from mrcnn.weights.tensors import FilePath

SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors")
# A checkpoint holds its state dict under one of these names; the average of the weights, if it has one, is preferred.
NESTED = ("ema", "model", "state_dict")
_DEPTH = 4
_PICKLE = b"\x80"
# torch.nn.DataParallel puts this before every name
_WRAPPER = "module."
_LARGEST_PICKLE = 4 * 2**30


def is_state_dict_file(path: FilePath) -> bool:
    """Return whether a file is to be read by `read_state_dict`: by its ending, or by its first bytes."""
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file() or path.suffix.lower() in (".h5", ".keras"):  # a .keras file is a zip archive too
        return False
    return _head(path).startswith((ZIP_MAGIC, _PICKLE)) or is_safetensors(path)


def read_state_dict(path: FilePath) -> dict[str, np.ndarray]:
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
