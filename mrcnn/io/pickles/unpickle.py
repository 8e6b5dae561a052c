"""Reading pickles: the one way in, which runs nothing.

A pickle is a program. Python's own reader imports whatever function the program names and calls it with whatever
arguments, so that a data file can do anything. The reader here knows the part of the language that makes NumPy arrays and
plain containers (`mrcnn.io.pickles.opcodes`), and refuses all else by its name; it has no means to import, or to call
anything but the few functions of `mrcnn.io.pickles.arrays`.
"""

import contextlib
import struct
from pathlib import Path

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.io.pickles.arrays import Unfit
from mrcnn.io.pickles.opcodes import Machine

LARGEST_FILE = 256 * 2**20
_LARGE = 2**20


def read_pickle(path, largest=LARGEST_FILE):
    """Read a pickle of NumPy arrays and plain containers, of any protocol of Python 3.

    Args:
        path: path.
        largest: int. Bytes that the file may have.

    Returns:
        What it holds, made of: dict, list, tuple, set, frozenset, str, bytes, int, float, bool, None; np.ndarray, NumPy
        scalars, np.dtype. An OrderedDict becomes a dict, a bytearray bytes. Keys of a dict and items of a set are text,
        bytes, None, or whole numbers of up to 64 bits.

    Raises:
        DataError: the file is missing, too large, damaged, or names anything else, which the message tells. Nothing of it
            was run.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path} is no file" if path.exists() else f"{path} does not exist")
        with open(path, "rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(data) > largest:
        raise DataError(f"{path} has more than {largest} bytes, which is too large for what it is to hold")
    return parse_pickle(data, path)


def parse_pickle(data, where):
    """Read the bytes of a pickle. Args: data: bytes; where: path or str, for messages. Returns, Raises: see `read_pickle`."""
    try:
        # a small file is read sooner than the collector would begin
        with paused_collector() if len(data) > _LARGE else contextlib.nullcontext():
            return Machine(data).run()
    except Unfit as error:
        raise DataError(
            f"{where} is a pickle with {error}. NumPy arrays and plain containers alone are read from a pickle, for one can "
            "run any program; do not load it by other means unless you trust whoever made it"
        ) from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
            struct.error) as error:
        raise DataError(f"{where} is no whole pickle: {type(error).__name__}: {error}") from error


def told(value):
    """Say in a few words what a value of a pickle is, for messages: str. Never long, whatever the value holds."""
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= 40 else repr(value[:37]) + "..."
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    size = f" of {len(value)}" if isinstance(value, dict | list | tuple | set | frozenset) else ""
    return f"a {type(value).__name__}{size}"
