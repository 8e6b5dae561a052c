"""Reading JSON that somebody else wrote: what is missing or of the wrong kind is told by file and field."""

import json
import sys
from functools import lru_cache
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import tracked, unseen

_KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false"}


# Bytes of a JSON file that are read at once.
_PIECE = 2**20


def read_json(path, *, constants=False, progress=None):
    """Read a JSON file.

    Args:
        path: path.
        constants: bool. True lets NaN and infinities pass, for those who look for the places where they stand.
        progress: maker of stages (`mrcnn.base.progress`), or None: the reading, counted in MiB, and the parsing.

    Returns:
        What it holds: dict, list, str, number, bool or None.

    Raises:
        DataError: the file is missing, is no valid JSON, holds NaN or infinity, or is nested too deeply.
    """
    path, progress = Path(path), progress or unseen
    try:
        kept = None if constants else _outlined.pop(_stamp(path), None)
        if kept is not None:
            return kept
        content = _read(path, progress)
        with paused_collector(), progress(f"parsing {path.name}"):
            return json.loads(content.decode("utf-8-sig"), parse_constant=None if constants else _refuse_constant)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a data file") from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError and ours
        raise DataError(f"{path} is no valid JSON: {error}") from error


def _read(path, progress):
    """Read a file piece by piece: bytes."""
    with progress(f"reading {path.name}, MiB") as show, open(path, "rb") as file:
        pieces = -(-path.stat().st_size // _PIECE)
        return b"".join(tracked(iter(lambda: file.read(_PIECE), b""), show, pieces))


def _refuse_constant(name):
    raise ValueError(f"{name} is no number of JSON")


# What `json_outline` parsed last, by the file's stamp, until `read_json` takes it: a file of half a gigabyte that was
# recognised is not parsed a second time.
_outlined = {}


def _stamp(path):
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def forget_outlined():
    """Let go of the file that `json_outline` read last, where nobody is going to ask for it."""
    _outlined.clear()


def json_outline(path):
    """Say what a JSON file holds; the last file asked for is kept for the `read_json` that follows.

    Args:
        path: path.

    Returns:
        dict: key of the top object -> the keys of its first entry where that is a list or an object of objects, else
        an empty set. Empty for a file that holds anything but an object.

    Raises:
        DataError: see `read_json`.
    """
    path = Path(path)
    try:
        return _outline(path, _stamp(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _outline(path, stamp):
    _outlined.clear()
    content = _outlined[stamp] = read_json(path)
    found = {}
    for key, value in content.items() if isinstance(content, dict) else ():
        entries = list(value.values())[:1] if isinstance(value, dict) else value[:1] if isinstance(value, list) else []
        found[key] = frozenset(entries[0]) if entries and isinstance(entries[0], dict) else frozenset()
    return found


def is_kind(value, kind):
    """Tell whether a JSON value is of a kind.

    Args:
        value: what `read_json` gives.
        kind: dict, list, str, int, float or bool. A float is any finite number, and no bool is a number.
    """
    if kind is float:
        # compared, and not asked of math.isfinite, which fails on whole numbers beyond the largest float
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def field(record, name, kind, where, default=...):
    """Take a field of a JSON object.

    Args:
        record: dict; anything else is refused by the name of its place.
        name: str.
        kind: dict, list, str, int, float or bool, or a tuple of them. See `is_kind`.
        where: str. File and place, for the message, such as "a.json: shapes[3]".
        default: returned when the field is missing or null. Without it that is an error.

    Returns:
        The value.

    Raises:
        DataError: the record is no object, or the field is missing or of another kind.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(record, dict):
        raise DataError(f"{where} is {shown(record)}, expected an object with the field {name!r}")
    value = record.get(name)
    if value is None:
        if default is not ...:
            return default
        raise DataError(f"{where} has no field {name!r}, expected {_named(kinds)}")
    if not any(is_kind(value, one) for one in kinds):
        raise DataError(f"{where}: {name!r} is {shown(value)}, expected {_named(kinds)}")
    return value


def points_field(record, name, where, least=1):
    """Take a field that is a list of [x, y] points.

    Args:
        record, name, where: see `field`.
        least: int. Fewest points.

    Returns:
        list of (x, y) floats, finite.

    Raises:
        DataError: it is something else, or shorter.
    """
    points = field(record, name, list, where)
    for i, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 2 or not all(is_kind(v, float) for v in point):
            raise DataError(f"{where}: {name}[{i}] is {shown(point)}, expected two finite numbers [x, y]")
    if len(points) < least:
        raise DataError(f"{where}: {name!r} has {len(points)} points, expected at least {least}")
    return [(float(x), float(y)) for x, y in points]


def shown(value):
    """Show a value of a data file in a message, cut to one line: str."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _named(kinds):
    return " or ".join(_KINDS[kind] for kind in kinds)
