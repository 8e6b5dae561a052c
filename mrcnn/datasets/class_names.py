"""Class names given by the user, for formats whose data do not list their classes."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.io.encoding import to_utf8
from mrcnn.io.json_fields import is_kind, whole

# entries of labelme label files that are not classes
NO_CLASSES = ("__ignore__", "_background_")


def read_lines(path: Path | str) -> list[str]:
    """Read the lines of a text file in UTF-8, without surrounding spaces.

    Raises:
        DataError: the file is missing, or is not in UTF-8.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    text = to_utf8(bytearray(content), path, advice="save it as UTF-8; it is in another encoding").decode()
    return [line.strip() for line in text.splitlines()]


def read_class_names(labels: Iterable[object] | os.PathLike[str] | str) -> list[str]:
    """Return the class names that a user gives, without duplicates, in their order.

    Args:
        labels: the names, or the path of a text file with one name on each line. Empty lines are skipped, and so are the
            entries of labelme label files that are not classes (__ignore__, _background_).

    Raises:
        DataError: the file cannot be read, or names no class.
    """
    where = "labels"
    if isinstance(labels, str | os.PathLike):
        where, labels = str(labels), read_lines(os.fspath(labels))
    names = [str(label).strip() for label in labels]
    names = list(dict.fromkeys(name for name in names if name and name not in NO_CLASSES))
    if not names:
        raise DataError(f"{where} names no class: expected one name on each line")
    return names


def text_names(categories: Sequence[Any]) -> tuple[list[Any], list[tuple[str, str]]]:
    """Write the names of categories as text: digits and part numbers are often written as numbers.

    Args:
        categories: entries of a COCO file, which may be anything.

    Returns:
        (categories, notes): a copy that shares the entries that are not changed; (place, note) of each that is.
    """
    entries, notes = list(categories), list[tuple[str, str]]()
    for i, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if is_kind(name, float):
            number = whole(name)
            entries[i] = {**entry, "name": str(name if number is None else number)}
            notes.append((f"categories[{i}]", "its name is a number, and is read as text"))
    return entries, notes


def natural_key(label: str) -> tuple[list[tuple[str, int]], str]:
    """Return a sort key that puts "stage 2" before "stage 10"."""
    parts = re.split(r"([0-9]+)", label)
    texts, numbers = parts[::2], [int(n) for n in parts[1::2]]
    return [(text.casefold(), number) for text, number in zip(texts, [*numbers, -1])], label
