"""Ids of images and categories, which programs write as numbers (7, 7.0) or as text ("7").

Ids that a file lists once are often referred to in another way: web tools write every id as text, data frames turn whole
numbers into 7.0. A reference is matched with the listed id of the same number if there is only one.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeGuard, TypeVar

from mrcnn.io.json_fields import shown, whole

Id = int | str
Entry = TypeVar("Entry")

# A number as text. More digits than a float holds exactly may have been rounded on the way.
_NUMBER = re.compile(r"\s*(-?\d{1,15})(?:\.0*)?\s*", re.ASCII)


def is_id(value: object) -> TypeGuard[Id]:
    """Return whether a value can be the id of an image or category: a whole number or text, but not true or false."""
    return value.__class__ is int or value.__class__ is str


def read_id(value: object) -> Id | None:
    """Return a value as an id, 7.0 as 7; None if it is neither a whole number nor text."""
    return value if is_id(value) else whole(value)


class ById(dict[Id, Entry]):
    """The entries of a list by their ids. Do not add entries after the first `find`."""

    def find(self, reference: object) -> Id | None:
        """Return the listed id that a reference means, which may be written differently; None if no id, or more than one, fits.

        Args:
            reference: the value of a field such as image_id, of any type.
        """
        # check the type first: looking up True or 1.0 in a dict finds the key 1
        if is_id(reference) and reference in self:
            return reference
        number = _number(reference)
        return None if number is None else self._by_number.get(number)

    def fault(self, reference: object, field: str, plural: str) -> str:
        """Return why `find` finds no id for a reference.

        Args:
            reference: the value of the field.
            field: its name, such as "image_id".
            plural: what the ids are of, such as "images".
        """
        if reference is None:
            return f"it has no {field}"
        number = _number(reference)
        if number in self._by_number:
            return f"its {field} fits two ids of the {plural}, which are text that stands for the same number"
        kinds = {listed.__class__ for listed in self}
        if reference.__class__ is str and number is None and kinds == {int}:
            return f"its {field} is text, but the ids of the {plural} are numbers"
        if reference.__class__ is int and kinds == {str} and not self._by_number:
            return f"its {field} is a number, but the ids of the {plural} are text"
        return f"its {field} is not among the {plural}"

    @cached_property
    def _by_number(self) -> dict[int, Id | None]:
        """The listed ids by their numbers; None for a number that two ids have, such as "7" and "007"."""
        found: dict[int, Id | None] = {}
        for listed in self:
            number = _number(listed)
            if number is not None:
                found[number] = None if number in found else listed
        return found


def _number(value: Any) -> int | None:
    if value.__class__ is str:
        match = _NUMBER.fullmatch(value)
        return int(match[1]) if match else None
    return whole(value)



def reread_fields(written: Mapping[str, Any], read: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that are read as something else than is written, such as 7 for "7" or 7.0."""
    return [name for name, value in read.items() if written[name].__class__ is not value.__class__ or written[name] != value]


def reread_note(field: str) -> str:
    """Return a note about such a field of an annotation."""
    return f"its {field} is written differently from the id in the list, and is matched by its number"


def unify_numbers(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Write the ids and sizes of a COCO file in one way: whole numbers without a decimal point, references as in the lists.

    Args:
        content: with the lists "images", "annotations" and "categories", whose entries may be anything.

    Returns:
        (content, messages): a copy that shares the entries that are not changed; a message for each field that is.
    """
    content, changed = dict(content), list[str]()
    numbers = [("images", "id"), ("images", "height"), ("images", "width"), ("categories", "id"), ("annotations", "id")]
    for name, field in numbers:
        content[name], message = _rewritten(content[name], f"{name}: {field!r}", field, read_id)
        changed += message
    for name, field in (("images", "image_id"), ("categories", "category_id")):
        ids = [entry["id"] for entry in content[name] if isinstance(entry, dict) and is_id(entry.get("id"))]
        listed = ById(dict.fromkeys(ids))
        content["annotations"], message = _rewritten(content["annotations"], f"annotations: {field!r}", field, listed.find)
        changed += message
    return content, changed


def _rewritten(entries: list[Any], where: str, field: str, read: Callable[[object], Id | None]) -> tuple[list[Any], list[str]]:
    """Replace the values of a field that are read as something else; return the entries, and a message if there are any."""
    changed = {}
    for position, entry in enumerate(entries):
        value = read(entry.get(field)) if isinstance(entry, dict) else None
        if value is not None and reread_fields(entry, {field: value}):
            changed[position] = {**entry, field: value}
    if not changed:
        return entries, []
    first = next(iter(changed))
    message = (f"{where} of {len(changed)} of {len(entries)} entries is written differently, such as "
               f"{shown(entries[first][field])} for {shown(changed[first][field])}: read by its number")  # fmt: skip
    return [changed.get(position, entry) for position, entry in enumerate(entries)], [message]
