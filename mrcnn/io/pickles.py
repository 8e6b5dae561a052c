"""Reading pickles of NumPy arrays and plain containers without executing code from them.

A pickle is a program: Python's unpickler imports any function it names and calls it with any arguments. This reader is the
standard library's with three changes: it refuses every opcode that plain values do not need; it looks names up in the table
below and imports nothing; and a pickle can call only the functions in that table, which check their arguments. A pickled
state is never passed to NumPy, because the state of a dtype could declare raw bytes to be object pointers.

Memory and time stay proportional to the size of the file. That is why this builds on `pickle._Unpickler`, the Python
implementation: the C implementation allocates memory by numbers in the file, and hashes the keys of a dict before they can be
checked (hashing nested tuples can take forever, or overflow the C stack).

Source: opcodes from the standard library's `pickletools`; calls from the results of `numpy.ndarray.__reduce__`,
`numpy.generic.__reduce__` and `numpy.dtype.__reduce__` in NumPy 1 and 2.
"""

import contextlib
import io
import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.base.text import short

LARGEST_FILE = 256 * 2**20
# Memory is at most about 70 times the size of the file, plus that of the sets. The worst case is empty lists and dicts: one
# takes one byte in the file and about 70 in memory, or 1.4 GB for this many.
MAX_CONTAINERS = 20_000_000
# Even an empty set takes about 230 bytes, or 230 MB for this many.
MAX_SETS = 1_000_000
_MAX_MARKS = 10_000
# Smaller files are read before the garbage collector would run.
_LARGE = 2**20
# Accepted dtype names: kind and item size. Structured dtypes, dates and sub-arrays are refused.
_DTYPE = re.compile(r"[biu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|O[48]?|[SU][1-9][0-9]{0,6}")
_MAX_DIMENSIONS, _MAX_SIDE, _MAX_CHARACTER = 32, 2**31, 0x10FFFF
# Maximum size of an integer used as a key or a set item. Larger integers could be chosen to have equal hashes.
_MIN_KEY, _MAX_KEY = -(2**63), 2**64

_OPCODES = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
_PLAIN_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    LIST EMPTY_LIST APPEND APPENDS DICT EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE BUILD INST
""".split()
_REFUSED_OPCODES = {
    "EXT1 EXT2 EXT4": "an extension code, which stands for a name",
    "PERSID BINPERSID": "a persistent id, which stands for an object stored elsewhere",
    "OBJ NEWOBJ NEWOBJ_EX": "an object of a class",
    "STRING BINSTRING SHORT_BINSTRING": "text of Python 2",
    "NEXT_BUFFER READONLY_BUFFER": "a buffer stored elsewhere",
}
# Opcodes of a few bytes that create a container, or a memo entry, which takes as much memory.
_MAKE_CONTAINERS = """
    LIST EMPTY_LIST DICT EMPTY_DICT TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_SET FROZENSET REDUCE MEMOIZE PUT LONG_BINPUT
""".split()


def read_pickle(path: Path | str, largest: int = LARGEST_FILE) -> Any:
    """Read a pickle of NumPy arrays and plain containers, of any protocol of Python 3.

    Args:
        largest: maximum size of the file in bytes.

    Returns:
        A value composed of dict, list, tuple, set, frozenset, str, bytes, int, float, bool, None, np.ndarray, NumPy scalars
        and np.dtype. An OrderedDict becomes a dict, and a bytearray becomes bytes. Keys and set items are str, bytes, None,
        or integers of up to 64 bits.

    Raises:
        DataError: the file is missing, too large or damaged, or contains anything else, which the message names. No code
            from it was executed.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
        with open(path, "rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(data) > largest:
        raise DataError(f"{path} has more than {largest} bytes, which is too large for what it should contain")
    return parse_pickle(data, path)


def parse_pickle(data: bytes, where: Path | str) -> Any:
    """Read a pickle from bytes; see `read_pickle`. `where` names the file in messages."""
    with reported(where, "NumPy arrays"), paused_collector() if len(data) > _LARGE else contextlib.nullcontext():
        return PickleReader(data).load()


@contextlib.contextmanager
def reported(where: Path | str, accepted: str) -> Iterator[None]:
    """Report what a `PickleReader` refuses, and the errors of a damaged pickle, as a DataError.

    Args:
        where: names the file in messages.
        accepted: what is read besides plain containers.
    """
    try:
        yield
    except RefusedError as error:
        raise DataError(
            f"{where} is a pickle with {error}. Only {accepted} and plain containers are read, because loading a pickle can "
            "execute arbitrary code; do not load it by other means unless you trust its author"
        ) from error
    except DataError:
        raise
    except (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
            pickle.UnpicklingError, struct.error) as error:
        raise DataError(f"{where} is not a complete pickle: {type(error).__name__}: {short(error)}") from error


def describe(value: object) -> str:
    """Describe a value from a pickle for a message, in a few words regardless of its size."""
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


class RefusedError(ValueError):
    """A pickle contains something that is refused; the message says what. `reported` turns it into a DataError."""


class Name:
    """Stand-in for a name in the table: its title, "module.name", and the function that is called instead."""

    __slots__ = ("call", "title")

    def __init__(self, title: str, call: Callable[..., Any]) -> None:
        self.title, self.call = title, call


class Unbuilt:
    """Stand-in for an array or a dtype until its state has been read.

    Attributes:
        build: makes the value from (state, spend).
        value: None until the state has been read.
    """

    __slots__ = ("build", "value")

    def __init__(self, build: Callable[[Any, Callable[[int], None]], Any]) -> None:
        self.build, self.value = build, None


class _Memo(dict):
    """The memo of a reader, which returns the finished array rather than its stand-in."""

    def __getitem__(self, index: int) -> Any:
        value = super().__getitem__(index)
        if type(value) is not Unbuilt:
            return value
        if value.value is None:
            raise RefusedError("an array that contains itself")
        return value.value


_StandardReader: Any = pickle._Unpickler  # type: ignore[attr-defined]


class PickleReader(_StandardReader):
    """The standard library's unpickler, restricted to plain values and the names in `names`.

    Args:
        data: bytes that contain a pickle.
        start: where the pickle begins.

    Attributes:
        names: what is called for each (module, name) of a pickle. Names that are not in this table are refused.
    """

    names: ClassVar[dict[tuple[str, str], Name]] = {}  # set at the end of this module

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._stream = io.BytesIO(data)
        self._stream.seek(start)
        super().__init__(self._stream)
        self.memo = _Memo()
        self.has_names = False
        self.num_sets = 0
        # A genuine pickle uses each piece of its content once. A malicious one could exhaust memory by repeatedly copying the
        # same megabytes, at a few bytes per call.
        self.copies_left = 4 * len(data) + 1024
        # An upper bound, because text and images can contain the same bytes.
        if len(data) > MAX_CONTAINERS and sum(data.count(_OPCODES[name]) for name in _MAKE_CONTAINERS) > MAX_CONTAINERS:
            raise RefusedError(f"more than {MAX_CONTAINERS} containers")

    def load(self) -> Any:
        """Return the value of the pickle."""
        value = super().load()
        if self.has_names:  # otherwise all values are plain, and checking millions of them would take seconds
            _refuse_stand_ins(value)
        return value

    @property
    def end(self) -> int:
        """Where the pickle ended in the data, after `load`."""
        return self._stream.tell()

    def spend(self, size: int) -> None:
        """Count copied bytes or items."""
        self.copies_left -= size
        if self.copies_left < 0:
            raise RefusedError("content that expands to many times its size")

    def find_class(self, module: str, name: str) -> Name:
        """Look a name up in `names`, and import nothing."""
        self.has_names = True
        if (module, name) not in self.names:
            raise RefusedError(f"the name {ascii(module)[1:-1]:.80}.{ascii(name)[1:-1]:.80}")
        return self.names[module, name]

    def load_mark(self) -> None:
        """Limit the number of open containers."""
        if len(self.metastack) >= _MAX_MARKS:
            raise RefusedError(f"more than {_MAX_MARKS} open containers")
        super().load_mark()

    def load_reduce(self) -> None:
        """Call a function of the table."""
        args, name = self.stack.pop(), self.stack[-1]
        if type(name) is not Name or type(args) is not tuple:
            raise RefusedError(f"a call of a {type(name).__name__} rather than a name")
        self.stack[-1] = name.call(self.spend, *args)

    def load_build(self) -> None:
        """Give a state to an array or a dtype."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not Unbuilt:
            raise RefusedError(f"a state for {target.title if type(target) is Name else 'a ' + type(target).__name__}")
        self.stack[-1] = target.value = target.build(state, self.spend)

    def load_inst(self) -> NoReturn:
        """Refuse an object of a class."""
        self.find_class(self.readline()[:-1].decode(), self.readline()[:-1].decode())
        raise RefusedError("an object of a class")

    def load_setitem(self) -> None:
        """Add an item to a dict, after checking its key."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        """Add items to a dict, after checking their keys."""
        self._set_items(self.pop_mark())

    def load_dict(self) -> None:
        """Make a dict, after checking its keys."""
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _set_items(self, items: list) -> None:
        """Add the alternating keys and values in `items` to the dict on top of the stack."""
        target = self.stack[-1]
        if type(target) is not dict:
            raise TypeError(f"expected a dict, found a {type(target).__name__}")
        target.update(zip(map(_checked_key, items[::2]), items[1::2], strict=True))

    def load_empty_set(self) -> None:
        """Make a set, and count it."""
        self._count_set()
        super().load_empty_set()

    def _count_set(self) -> None:
        self.num_sets += 1
        if self.num_sets > MAX_SETS:
            raise RefusedError(f"more than {MAX_SETS} sets")

    def load_additems(self) -> None:
        """Add items to a set, after checking them."""
        items, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise TypeError(f"expected a set, found a {type(target).__name__}")
        target.update(map(_checked_key, items))

    def load_frozenset(self) -> None:
        """Make a frozenset, and count it."""
        self._count_set()
        items = self.pop_mark()  # first, because it replaces `self.append`
        self.append(frozenset(map(_checked_key, items)))

    def load_bytearray8(self) -> None:
        """Read a bytearray as bytes; the standard library's version allocates as much as the file declares."""
        self.load_binbytes8()

    def load_unknown(self) -> NoReturn:
        """Report a byte that is not an opcode."""
        raise ValueError("it contains a byte that is not an opcode")


def _refuse(reason: str) -> Callable[[PickleReader], NoReturn]:
    def refuse(reader: PickleReader) -> NoReturn:
        raise RefusedError(reason)

    return refuse


PickleReader.dispatch = {
    **dict.fromkeys(range(256), PickleReader.load_unknown),
    **{ord(_OPCODES[name]): _refuse(reason) for names, reason in _REFUSED_OPCODES.items() for name in names.split()},
    # looked up by name, so that the methods overridden in this module are used
    **{code: getattr(PickleReader, method.__name__) for code, method in _StandardReader.dispatch.items()
       if code in {ord(_OPCODES[name]) for name in _PLAIN_OPCODES}},
}  # fmt: skip


def _refuse_stand_ins(value: Any) -> None:
    """Refuse a value that contains a bare name, or an array without its state."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if type(value) is Name:
            raise RefusedError(f"the name {value.title} as a value")
        if type(value) is Unbuilt:
            raise RefusedError("an array or a dtype without its state")
        is_array = type(value) is np.ndarray and value.dtype.hasobject
        if (is_array or type(value) in (list, tuple, dict)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if type(value) is dict else value.flat if is_array else value)


def _checked_key(value: Any) -> Any:
    """Return a dict key or set item unchanged if it is str, bytes, None, or an integer of up to 64 bits."""
    if type(value) is int:
        if not _MIN_KEY <= value < _MAX_KEY:
            raise RefusedError("a key of more than 64 bits")
    elif type(value) not in (str, bytes, bool, type(None)) and not isinstance(value, np.integer):
        raise RefusedError(f"a key that is a {type(value).__name__}")
    return value


# The functions that a pickle can call. The first argument is `PickleReader.spend`; the others come from the pickle, and can
# have any number and type. A wrong number raises a TypeError, and the file is reported as damaged.


def _dtype(spend: Callable[[int], None], text: Any, align: object = False, copy: object = True) -> Unbuilt:
    if type(text) is not str or not _DTYPE.fullmatch(text):
        raise RefusedError(f"the dtype {text!r:.40}" if type(text) is str else "a dtype without a name")
    return Unbuilt(partial(_built_dtype, np.dtype("O" if text[0] == "O" else "?" if text == "b1" else text)))


def _built_dtype(dtype: np.dtype, state: Any, spend: Callable[[int], None]) -> np.dtype:
    """Apply the byte order of a state: (3, byte order, None, None, None, item size, alignment, flags)."""
    is_plain = type(state) is tuple and len(state) == 8 and state[0] == 3 and state[2:5] == (None, None, None)
    if not is_plain or state[1] not in ("<", ">", "|", "="):
        raise RefusedError("the state of a dtype with fields, metadata or an unknown version")
    return dtype if state[1] == "|" else dtype.newbyteorder(state[1])


def _reconstruct(spend: Callable[[int], None], kind: Any, shape: object, letter: object) -> Unbuilt:
    if kind is not _NDARRAY:
        raise RefusedError("an array of a class other than numpy.ndarray")
    return Unbuilt(_built_array)  # the state replaces the shape and the letter


def _built_array(state: Any, spend: Callable[[int], None]) -> np.ndarray:
    """Make an array from a state: (1, shape, dtype, is Fortran order, bytes or list of objects)."""
    if type(state) is not tuple or len(state) != 5 or state[0] != 1 or type(state[3]) not in (bool, int):
        raise RefusedError("an array state of an unknown version")
    return _filled(spend, state[4], state[2], state[1], "F" if state[3] else "C")


def _filled(spend: Callable[[int], None], data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Make an array from bytes, or from a list of objects."""
    if not isinstance(dtype, np.dtype) or type(shape) is not tuple or order not in ("C", "F"):
        raise RefusedError("an array without a dtype, a shape or an order")
    if len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < _MAX_SIDE for n in shape):
        raise RefusedError("an array of an impossible shape")
    count = math.prod(shape)
    if dtype.kind == "O":
        if type(data) is not list or len(data) != count:
            raise RefusedError("an object array whose number of items does not match its shape")
        spend(count)
        objects = np.empty(count, object)
        for i, value in enumerate(data):
            objects[i] = value
        return objects.reshape(shape, order=order)
    if type(data) is not bytes or len(data) != count * dtype.itemsize:
        raise RefusedError("an array whose number of bytes does not match its shape and dtype")
    spend(len(data))
    if not count:
        return np.empty(shape, dtype)
    # a bytearray, so that the array is writeable
    array: np.ndarray = np.frombuffer(bytearray(data), dtype).reshape(shape, order=order)
    if dtype.kind == "U" and np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder)).max() > _MAX_CHARACTER:
        raise RefusedError("an array of text with invalid characters")
    return np.asarray(array.view(np.uint8) != 0) if dtype.kind == "b" else array


def _frombuffer(spend: Callable[[int], None], data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if type(data) is not bytes:
        raise RefusedError("an array over something other than bytes")
    return _filled(spend, data, dtype, shape, order)


def _scalar(spend: Callable[[int], None], dtype: Any, data: Any) -> Any:
    if type(data) is not bytes:
        raise RefusedError("a NumPy scalar that is an object")
    return _filled(spend, data, dtype, (1,), "C")[0]


def _encode(spend: Callable[[int], None], text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise RefusedError("bytes in an encoding other than latin1")
    spend(len(text))
    return text.encode("latin1")


def _bytes(spend: Callable[[int], None], *args: object) -> bytes:
    if args:  # protocols before 3 call it only for empty bytes
        raise RefusedError("a call of bytes with arguments")
    return b""


def _items(spend: Callable[[int], None], items: Any, kind: type) -> Any:
    if type(items) is not list:
        raise RefusedError("a set of something other than a list")
    spend(len(items))
    return kind(map(_checked_key, items))


def _ordered(spend: Callable[[int], None], pairs: Any = None) -> dict:
    if type(pairs) not in (list, type(None)):
        raise RefusedError("an OrderedDict of something other than a list")
    spend(len(pairs or ()))
    return {_checked_key(key): value for key, value in pairs or ()}


def _no_call(spend: Callable[[int], None], *args: object) -> NoReturn:
    raise RefusedError("a call of numpy.ndarray")


_NDARRAY = Name("numpy.ndarray", _no_call)
_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered,
}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _CALLS[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _CALLS[f"{_core}.multiarray", "scalar"] = _scalar
    _CALLS[f"{_core}.numeric", "_frombuffer"] = _frombuffer
for _module in ("builtins", "__builtin__"):
    _CALLS[_module, "bytes"] = _bytes
    _CALLS[_module, "set"] = partial(_items, kind=set)
    _CALLS[_module, "frozenset"] = partial(_items, kind=frozenset)
PickleReader.names = {("numpy", "ndarray"): _NDARRAY, **{key: Name(".".join(key), call) for key, call in _CALLS.items()}}
