"""What a pickle may call by name: NumPy's arrays, scalars and dtypes, and the containers that older protocols name.

Nothing of NumPy that takes a pickled state is handed that state: a dtype's could declare raw bytes to be pointers to
objects. The states are read here, and arrays are made from them by NumPy's public functions.

Source: what `numpy.ndarray.__reduce__`, `numpy.generic.__reduce__` and `numpy.dtype.__reduce__` give, of NumPy 1 and 2.
"""

import math
import re

import numpy as np

# what a dtype is called in a pickle: kind and bytes of an item. Records, dates and sub-arrays are not read.
_DTYPE = re.compile(r"[biu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|O[48]?|[SU][1-9][0-9]{0,6}")
_MOST_DIMENSIONS, _LONGEST_SIDE, _LAST_CHARACTER = 32, 2**31, 0x10FFFF
# of a key or an item of a set: whole numbers beyond that can be chosen to fall on one another in a table
_LEAST_KEY, _MOST_KEY = -(2**63), 2**64


class Unfit(ValueError):
    """What was found in a pickle is not read. The message says what it was."""


class Budget:
    """What may still be copied out of a pickle: its own size a few times over.

    An honest one names each piece of its content once. One that calls for copies of the same megabytes again and again, at a
    few bytes a call, would fill the memory.
    """

    def __init__(self, size):
        """Begin. Args: size: int, bytes of the file."""
        self.left = 4 * size + 1024

    def spend(self, size):
        """Note a copy. Args: size: int, bytes or items. Raises: Unfit: too much was copied."""
        self.left -= size
        if self.left < 0:
            raise Unfit("content many times its own size")


class Name:
    """A name that a pickle may call. Attributes: title: str, "module.name"; call: function (args, budget) -> value."""

    __slots__ = ("call", "title")

    def __init__(self, title, call):
        """Make one."""
        self.title, self.call = title, call


class DType:
    """A dtype, whose byte order comes with its state. Attributes: dtype: np.dtype."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        """Make one of the native byte order."""
        self.dtype = dtype

    def build(self, state, budget):
        """Take the byte order. Args: state: tuple (3, order, None, None, None, item size, alignment, flags)."""
        plain = type(state) is tuple and len(state) == 8 and state[0] == 3 and state[2:5] == (None, None, None)
        if not plain or state[1] not in ("<", ">", "|", "="):
            raise Unfit("the state of a dtype with fields, metadata or an unknown version")
        if state[1] != "|":
            self.dtype = self.dtype.newbyteorder(state[1])

    def finish(self, plain):
        """Give the np.dtype. Args: plain: not needed."""
        return self.dtype


class Array:
    """An array that is being read. Attributes: content: np.ndarray; or (shape, list) of objects; None before its state."""

    __slots__ = ("content",)

    def __init__(self, content=None):
        """Make one."""
        self.content = content

    def build(self, state, budget):
        """Take the content. Args: state: tuple (1, shape, DType, is Fortran order, bytes, or list of objects)."""
        if type(state) is not tuple or len(state) != 5 or state[0] != 1 or type(state[3]) not in (bool, int):
            raise Unfit("the state of an array of an unknown version")
        self.content = _fill(state[4], state[2], state[1], "F" if state[3] else "C", budget)

    def finish(self, plain):
        """Give the np.ndarray. Args: plain: function that finishes each object in an array of objects."""
        if self.content is None:
            raise Unfit("an array without its content")
        if isinstance(self.content, np.ndarray):
            return self.content
        shape, objects, order = self.content
        flat = np.empty(len(objects), object)
        for i, value in enumerate(objects):
            flat[i] = plain(value)
        return flat.reshape(shape, order=order)


def _fill(data, dtype, shape, order, budget):
    """Lay bytes, or a list of objects, out as an array: np.ndarray, or (shape, list, order)."""
    if type(dtype) is not DType or type(shape) is not tuple or order not in ("C", "F"):
        raise Unfit("an array whose dtype, shape or order is none")
    dtype = dtype.dtype
    if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and 0 <= n < _LONGEST_SIDE for n in shape):
        raise Unfit("an array whose shape is none")
    count = math.prod(shape)
    if dtype.kind == "O":
        if type(data) is not list or len(data) != count:
            raise Unfit("an array of objects of another number than its shape says")
        budget.spend(count)
        return shape, data, order
    if type(data) is not bytes or len(data) != count * dtype.itemsize:
        raise Unfit("an array of another number of bytes than its shape and dtype say")
    budget.spend(len(data))
    if not count:
        return np.empty(shape, dtype)
    # over a bytearray, that the array can be written to
    array = np.frombuffer(bytearray(data), dtype).reshape(shape, order=order)
    if dtype.kind == "U" and np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder)).max() > _LAST_CHARACTER:
        raise Unfit("an array of text with characters that there are none of")
    return np.asarray(array.view(np.uint8) != 0) if dtype.kind == "b" else array


def check_key(value):
    """Refuse what no plain dict has as a key, and no plain set as an item: all but text, bytes, None, and 64-bit numbers."""
    if type(value) is int:
        if not _LEAST_KEY <= value < _MOST_KEY:
            raise Unfit("a key of more than 64 bits")
    elif type(value) not in (str, bytes, bool, type(None)) and not isinstance(value, np.integer):
        raise Unfit(f"a key that is a {type(value).__name__}")


def _dtype(args, budget):
    text = args[0]
    if type(text) is not str or not _DTYPE.fullmatch(text) or len(args) > 3:
        raise Unfit(f"the dtype {text!r:.40}" if type(text) is str else "a dtype without a name")
    return DType(np.dtype("O" if text[0] == "O" else "?" if text == "b1" else text))


def _reconstruct(args, budget):
    # the other two arguments are a shape and a letter that the state replaces
    if len(args) != 3 or args[0] is not _NDARRAY:
        raise Unfit("an array of another class than numpy.ndarray")
    return Array()


def _frombuffer(args, budget):
    data, dtype, shape, order = args
    if type(data) is not bytes:
        raise Unfit("an array over something that is no bytes")
    return Array(_fill(data, dtype, shape, order, budget))


def _scalar(args, budget):
    dtype, data = args
    if type(data) is not bytes:
        raise Unfit("a NumPy scalar that is an object")
    return _fill(data, dtype, (1,), "C", budget)[0]


def _encode(args, budget):
    text, encoding = args
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Unfit("bytes in another encoding than latin1")
    budget.spend(len(text))
    return text.encode("latin1")


def _bytes(args, budget):
    # protocols before 3 name it for what is empty alone
    if args:
        raise Unfit("a call of bytes with arguments")
    return b""


def _items(args, budget):
    (items,) = args
    if type(items) is not list:
        raise Unfit("a set of something that is no list")
    budget.spend(len(items))
    for item in items:
        check_key(item)
    return items


def _ordered(args, budget):
    pairs = args[0] if args else []
    if type(pairs) is not list or len(args) > 1:
        raise Unfit("an OrderedDict of something that is no list")
    budget.spend(len(pairs))
    found = {}
    for key, value in pairs:
        check_key(key)
        found[key] = value
    return found


def _no_call(args, budget):
    raise Unfit("a call of numpy.ndarray")


_NDARRAY = Name("numpy.ndarray", _no_call)


def _table():
    calls = {
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): _ordered,
    }
    for core in ("numpy.core", "numpy._core"):
        calls[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        calls[f"{core}.multiarray", "scalar"] = _scalar
        calls[f"{core}.numeric", "_frombuffer"] = _frombuffer
    for module in ("builtins", "__builtin__"):
        calls[module, "bytes"] = _bytes
        calls[module, "set"] = lambda args, budget: set(_items(args, budget))
        calls[module, "frozenset"] = lambda args, budget: frozenset(_items(args, budget))
    return {("numpy", "ndarray"): _NDARRAY, **{key: Name(".".join(key), call) for key, call in calls.items()}}


# (module, name) -> Name. Nothing is imported or looked up by name: what does not stand here does not exist for a pickle.
NAMES = _table()
