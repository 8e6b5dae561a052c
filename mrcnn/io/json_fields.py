"""Reading JSON files written by other programs; errors name the file and the missing or malformed field.

msgspec parses them in a quarter of the time of the standard library. What it rejects is parsed again by the standard library,
which accepts a little more (numbers beyond the range of float, unpaired surrogates) and reports the line of an error.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, SupportsIndex, overload

import msgspec

from mrcnn.base.errors import DataError, data_errors
from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.io.encoding import EncodingError, approximate, to_utf8

# a note on a value of the places that `read_json` lists
NULLED = "it is NaN or infinite, which JSON does not have, and is read as null"
_KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false"}
# Bytes of a JSON file to read at a time.
_PIECE = 2**20
_DECODER = msgspec.json.Decoder()
_Stamp = tuple[str, int, int]


def read_json(
    path: Path | str,
    *,
    nonfinite: list[str] | None = None,
    encoding: str | None = None,
    lazy: str | None = None,
    progress: Stages | None = None,
) -> Any:
    """Read a JSON file.

    Args:
        nonfinite: receives the place of each NaN and infinity, such as "images[0].license"; they are read as null, and the
            caller reports them. None refuses NaN and Infinity.
        encoding: of a file that is not UTF-8; see `mrcnn.io.encoding.to_utf8`.
        lazy: field of the top-level object to return as a `JsonList` if it is a list; for lists of millions of entries.
        progress: receives the stages reading, counted in MiB, and parsing.

    Returns:
        The content: dict, list, str, number, bool or None.

    Raises:
        DataError: the file is missing, is not valid JSON, contains NaN or Infinity that are refused, or is nested too deeply.
        EncodingError: it is not in UTF-8 or in `encoding`; this is a DataError.
    """
    path, progress = Path(path), progress or unseen
    with _json_errors(path):
        text = _outlined.pop(_stamp(path), None) or _JsonText(to_utf8(_read(path, progress), path, encoding))
        with paused_collector(), progress(f"parsing {path.name}"):
            entries = None if lazy is None else text.entries(lazy)
            if entries is None:
                content = decode_json(text.content, nonfinite)
            else:
                content = {name: JsonList(entries) if name == lazy else decode_json(value)
                           for name, value in text.fields.items()}  # fmt: skip
            _refuse_doubled_lists(content, text.content, path)
            return content


@contextmanager
def _json_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading and parsing a file into a DataError that names it."""
    with data_errors(path):
        try:
            yield
        except DataError:
            raise
        except ValueError as error:  # JSONDecodeError, UnicodeDecodeError and ours
            raise DataError(f"{path} is not valid JSON: {error}") from error


def _read(path: Path, progress: Stages) -> bytearray:
    """Read a file in pieces."""
    content = bytearray()
    with progress(f"reading {path.name}, MiB") as show, open(path, "rb") as file:
        pieces = -(-path.stat().st_size // _PIECE)
        for piece in tracked(iter(lambda: file.read(_PIECE), b""), show, pieces):
            content += piece
    return content


def decode_json(text: bytes | bytearray | msgspec.Raw, nonfinite: list[str] | None = None) -> Any:
    """Decode JSON text in UTF-8.

    Args:
        nonfinite: see `read_json`. NaN and Infinity are not valid JSON, but Python writes them.

    Raises:
        ValueError: it is not valid JSON, or contains a number with more digits than Python converts.
        RecursionError: it is nested too deeply.
    """
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        value = json.loads(str(memoryview(text), "utf-8"), parse_constant=_refuse_constant if nonfinite is None else None)
        return value if nonfinite is None else _nulled(value, nonfinite)


def _refuse_doubled_lists(content: Any, text: bytearray, path: Path) -> None:
    """Refuse an object in which the key of a list occurs twice, because readers of JSON keep only the last of the lists.

    The text is parsed again, for the pairs, only if a key occurs in it twice at all.

    Args:
        content: what `text` contains.
        path: the file, for the message.

    Raises:
        DataError: a key occurs twice.
    """
    lists = [name for name, value in content.items() if isinstance(value, list | JsonList)] if isinstance(content, dict) else []
    names = [name for name in lists if text.count(json.dumps(name, ensure_ascii=False).encode("utf-8", "replace")) > 1]
    if not names:
        return
    pairs: list[tuple[str, Any]] = []

    def keep(last: list[tuple[str, Any]]) -> None:
        pairs[:] = last  # the object that is completed last is the outermost

    json.loads(text, object_pairs_hook=keep)
    counts = Counter(name for name, _ in pairs)
    for name in names:
        if counts[name] > 1:
            raise DataError(f"{path}: the key {name!r} occurs {counts[name]} times, and only the last list would be read: "
                            "merge the lists")


def _nulled(value: Any, nonfinite: list[str], place: str = "") -> Any:
    """Copy a JSON value with null for NaN and infinity, and list their places."""
    if isinstance(value, dict):
        return {name: _nulled(v, nonfinite, f"{place}.{name}" if place else name) for name, v in value.items()}
    if isinstance(value, list):
        return [_nulled(v, nonfinite, f"{place}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, float) and not is_kind(value, float):
        nonfinite.append(place)
        return None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


class JsonList(Sequence):
    """A list from a JSON file that stores its entries as text and decodes an entry each time it is accessed.

    The text of an annotation takes a sixth of the memory of its Python objects. Changes to an entry are lost: to change one,
    assign a new one.

    Attributes:
        texts: JSON text of each entry.
    """

    def __init__(self, texts: list[msgspec.Raw]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, position: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, position: slice) -> "JsonList": ...
    def __getitem__(self, position):
        """Decode an entry.

        Raises:
            DataError: it contains a number with too many digits, or is nested too deeply.
        """
        if isinstance(position, slice):
            return JsonList(self.texts[position])
        try:
            return decode_json(self.texts[position])
        except RecursionError as error:
            raise DataError("it is nested too deeply") from error
        except ValueError as error:
            raise DataError(f"it is not valid JSON: {error}") from error

    def __setitem__(self, position: int, entry: Any) -> None:
        """Replace an entry."""
        self.texts[position] = msgspec.Raw(json.dumps(entry).encode())

    def select(self, positions: Sequence[int]) -> "JsonList":
        """Return a list of the entries at these positions."""
        return JsonList([self.texts[i] for i in positions])


class _JsonText:
    """The text of a JSON file, split into fields and entries on demand."""

    def __init__(self, content: bytearray) -> None:
        self.content = content
        self._entries: dict[str, list[msgspec.Raw] | None] = {}

    @cached_property
    def fields(self) -> dict[str, msgspec.Raw]:
        """The text of each field of the top-level object. Empty if it is not an object, or if msgspec rejects the text."""
        try:
            return msgspec.json.decode(self.content, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, RecursionError):
            return {}

    def entries(self, name: str) -> list[msgspec.Raw] | None:
        """Return the text of each entry of a list field; None for any other field."""
        if name not in self._entries:
            value = self.fields.get(name, msgspec.Raw())
            is_list = memoryview(value)[:1] == b"["
            self._entries[name] = msgspec.json.decode(value, type=list[msgspec.Raw]) if is_list else None
        return self._entries[name]

    def first_entry(self, name: str) -> Any:
        """Decode the first entry of a list or object field; None for any other field."""
        entries = self.entries(name)
        if entries is None and memoryview(self.fields[name])[:1] == b"{":
            entries = list(msgspec.json.decode(self.fields[name], type=dict[str, msgspec.Raw]).values())
        return decode_json(entries[0]) if entries else None


# The text that `json_outline` read last, by the file's stamp, until `read_json` consumes it. Without it, a file of half a
# gigabyte would be read twice: to detect its format and to load it.
_outlined: dict[_Stamp, _JsonText] = {}


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def forget_outlined() -> None:
    """Free the text that `json_outline` read last, when no `read_json` will follow."""
    _outlined.clear()


def json_outline(path: Path | str) -> dict[str, frozenset[str]]:
    """List the fields of a JSON file, to detect its format. The text is kept for a subsequent `read_json`.

    Returns:
        For each field of the top-level object, the keys of its first entry if the field is a list or an object of objects,
        else an empty set. Empty if the file does not contain an object.

    Raises:
        DataError: see `read_json`.
    """
    path = Path(path)
    with _json_errors(path):
        return _outline(path, _stamp(path))


@lru_cache(maxsize=1)
def _outline(path: Path, stamp: _Stamp) -> dict[str, frozenset[str]]:
    _outlined.clear()
    content = _read(path, unseen)
    try:
        text, is_exact = _JsonText(to_utf8(content, path)), True
    except EncodingError:  # the caller may give the encoding when it reads the file
        text, is_exact = _JsonText(approximate(content)), False
    with paused_collector():
        if text.fields:
            first = {name: text.first_entry(name) for name in text.fields}
        else:
            value = decode_json(text.content, [])
            first = {name: _first(entry) for name, entry in value.items()} if isinstance(value, dict) else {}
    if is_exact:
        _outlined[stamp] = text
    return {name: frozenset(entry) if isinstance(entry, dict) else frozenset() for name, entry in first.items()}


def _first(value: Any) -> Any:
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(iter(entries), None)


def is_kind(value: Any, kind: type) -> bool:
    """Return whether a JSON value is of a kind: dict, list, str, int, float or bool.

    A float is any finite number, including integers; a bool is not a number.
    """
    if kind is float:
        # compared, because math.isfinite fails on integers beyond the range of float
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def whole(value: Any) -> int | None:
    """Return a number without a fraction as an int, 96.0 as 96; None for any other value.

    A float of 2^53 or more may have been rounded, so it is not one.
    """
    if value.__class__ is float:
        return int(value) if abs(value) < 2**53 and value == int(value) else None
    return value if value.__class__ is int else None


def field(record: Any, name: str, kind: type | tuple[type, ...], where: str, default: Any = ...) -> Any:
    """Return a field of a JSON object.

    Args:
        record: expected to be an object.
        name: of the field.
        kind: required kind of the value, see `is_kind`, or a tuple of accepted kinds. An int may be written as 96.0.
        where: file and place for messages, such as "a.json: shapes[3]".
        default: returned if the field is missing or null; without a default, that is an error.

    Raises:
        DataError: the record is not an object, or the field is missing or of the wrong kind.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(record, dict):
        raise DataError(f"{where} is {shown(record)}, expected an object with the field {name!r}")
    value = record.get(name)
    if value is None:
        if default is not ...:
            return default
        raise DataError(f"{where} has no field {name!r}, expected {_named(kinds)}")
    if int in kinds and float not in kinds and whole(value) is not None:
        return whole(value)
    if not any(is_kind(value, one) for one in kinds):
        raise DataError(f"{where}: {name!r} is {shown(value)}, expected {_named(kinds)}")
    return value


def points_field(record: Any, name: str, where: str, min_points: int = 1) -> list[tuple[float, float]]:
    """Return a field that is a list of [x, y] points.

    Args:
        record: see `field`.
        name: see `field`.
        where: see `field`.
        min_points: minimum number of points.

    Raises:
        DataError: it is not a list of points, or is too short.
    """
    points = field(record, name, list, where)
    for i, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 2 or not all(is_kind(v, float) for v in point):
            raise DataError(f"{where}: {name}[{i}] is {shown(point)}, expected two finite numbers [x, y]")
    if len(points) < min_points:
        raise DataError(f"{where}: {name!r} has {len(points)} points, expected at least {min_points}")
    return [(float(x), float(y)) for x, y in points]


def shown(value: Any) -> str:
    """Format a value from a data file for a message, truncated to one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _named(kinds: tuple[type, ...]) -> str:
    return " or ".join(_KINDS[kind] for kind in kinds)
