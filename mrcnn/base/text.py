"""Making text from data files safe to print, and shortening lists and messages."""

from collections.abc import Iterable, Sequence


def printable(value: object) -> str:
    """Make text safe for a terminal and for UTF-8: unprintable characters become escape sequences."""
    text = str(value)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def short(value: object, max_length: int = 150) -> str:
    """Make text printable, and truncate it to a number of characters."""
    text = printable(value)
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def shorten_names(names: Iterable[str], noun: str = "layer", limit: int = 6) -> str:
    """Count names and list the first few, such as "2 layers (conv1, res2a)"."""
    names = list(names)
    more = ", ..." if len(names) > limit else ""
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'} ({', '.join(names[:limit])}{more})"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """List names that users chose; of more than `limit`, the first, and the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(printable, names[:limit])) + more


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
