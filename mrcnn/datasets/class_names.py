"""Class names: those given by the user, for formats whose data do not list their classes, and names that are probably meant to
be the same one, because they are written differently or misspelt.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.io.encoding import to_utf8
from mrcnn.io.json_fields import is_kind, whole

# entries of labelme label files that are not classes
NO_CLASSES = ("__ignore__", "_background_")

# a shorter name is often one letter away from another one, such as "cat" and "car"
_SHORTEST = 4
# longer names are sentences, or come from damaged files
_LONGEST = 200
# a misspelling is rare: the other name has at least this many times as many objects
_RARER = 5

# Punctuation that people add or forget; not between digits, where it makes another number, and not + and -, as in blood groups
# A+ and A-, except for hyphens.
_PUNCTUATION = r"[\s_.,;:'\"()]|(?<=\w)-(?=\w)"
_ADDED = re.compile(rf"(?<!\d)(?:{_PUNCTUATION})|(?:{_PUNCTUATION})(?!\d)")


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


def folded(name: str) -> str:
    """Return a name without what people mix up: case, spaces, punctuation, and forms of the same letters."""
    return _ADDED.sub("", unicodedata.normalize("NFKC", name).casefold()) or name


def same_but_for_spelling(names: Iterable[str]) -> list[list[str]]:
    """Group names that differ only in case, spaces or punctuation, such as "Cat", "cat" and "cat."."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(folded(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def likely_typos(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Find rare names that differ from a frequent one by a letter, or by two swapped letters, such as "dtae" and "date".

    Names that differ only in digits are not misspelt.

    Args:
        counts: number of objects by class name; those without objects are ignored.

    Returns:
        (rare name, frequent name) of each pair.
    """
    by_variant: dict[str, list[str]] = {}
    pairs: dict[tuple[str, str], None] = {}
    for name in sorted((name for name in counts if counts[name]), key=lambda name: -counts[name]):
        text = folded(name)
        if not _SHORTEST <= len(text) <= _LONGEST:
            continue
        # names a letter apart, or with two swapped letters, are the same after one letter is taken from each, as few others are
        variants = {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))}
        for other in dict.fromkeys(other for variant in variants for other in by_variant.get(variant, ())):
            if counts[other] >= _RARER * counts[name] and _is_slip(text, folded(other)):
                pairs[name, other] = None
        for variant in variants:
            by_variant.setdefault(variant, []).append(name)
    return list(pairs)


def _is_slip(a: str, b: str) -> bool:
    """Return whether two names differ by one letter or by two swapped neighbours, and not only in digits."""
    if re.sub(r"\d+", "", a) == re.sub(r"\d+", "", b):
        return False
    if len(a) != len(b):
        shorter, longer = sorted((a, b), key=len)
        return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))
    apart = [i for i in range(len(a)) if a[i] != b[i]]
    return len(apart) == 1 or (len(apart) == 2 and a[apart[0] : apart[1] + 1] == b[apart[0] : apart[1] + 1][::-1]
                               and apart[1] - apart[0] == 1)  # fmt: skip
