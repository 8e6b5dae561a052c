"""Text of data files, made safe to print, and lists of names cut to a line."""

from collections.abc import Iterable


def printable(value: object) -> str:
    """Make text safe for a terminal and for UTF-8: a character that is not printable becomes its escape sequence."""
    text = str(value)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def short(value: object, most: int = 150) -> str:
    """Make text printable, and cut it to a number of characters."""
    text = printable(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def shorten_names(names: Iterable[str], noun: str = "layer", most: int = 6) -> str:
    """Count names and list the first ones, such as "2 layers (conv1, res2a)"."""
    names = list(names)
    more = ", ..." if len(names) > most else ""
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'} ({', '.join(names[:most])}{more})"
