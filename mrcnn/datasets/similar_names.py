"""Class names that are probably the same class: written differently, or misspelt."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

# a shorter name is often one letter away from another one, such as "cat" and "car"
_SHORTEST = 4
# a misspelling is rare: the other name has at least this many times as many objects
_RARER = 5


# Punctuation that people add or forget; not between digits, where it makes another number, and not + and -, as in blood groups
# A+ and A-, except for hyphens.
_PUNCTUATION = r"[\s_.,;:'\"()]|(?<=\w)-(?=\w)"
_ADDED = re.compile(rf"(?<!\d)(?:{_PUNCTUATION})|(?:{_PUNCTUATION})(?!\d)")


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
        if len(text) < _SHORTEST:
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
