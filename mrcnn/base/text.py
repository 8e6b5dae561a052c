"""Text of data files, made safe to print."""


def printable(value):
    """Make text of the data safe for a terminal and for UTF-8: what is no printable character is written as its code."""
    text = str(value)
    return text if text.isprintable() else "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def short(value, most=150):
    """Make text of the data printable and cut it. Args: value: anything; most: int, characters. Returns: str."""
    text = printable(value)
    return text if len(text) <= most else text[: most - 3] + "..."
