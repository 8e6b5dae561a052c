"""The names of classes where a format has no list of them: given by the user, or sorted."""

import os
import re
from pathlib import Path

from mrcnn.base.errors import DataError

# lines of a file of labels, and labels of shapes, that are no classes
NO_CLASSES = ("__ignore__", "_background_")


def read_class_names(labels):
    """Give the classes that a user names, in their order.

    Args:
        labels: list of str, or path of a text file with one on a line. Empty lines, and the lines of labelme's own label
            files that are no classes (__ignore__, _background_), are left out.

    Returns:
        list of str, each once.

    Raises:
        DataError: the file cannot be read, or none is left.
    """
    where = "labels"
    if isinstance(labels, str | os.PathLike):
        where = str(labels)
        try:
            labels = Path(labels).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{where}: the file of labels cannot be read: {error}") from error
    found = [str(label).strip() for label in labels]
    found = list(dict.fromkeys(label for label in found if label and label not in NO_CLASSES))
    if not found:
        raise DataError(f"{where}: no label is in it, expected one on a line")
    return found


def natural_key(label):
    """Sort key by which "stage 2" comes before "stage 10". Args: label: str. Returns: tuple."""
    parts = re.split(r"([0-9]+)", label)
    texts, numbers = parts[::2], [int(n) for n in parts[1::2]]
    return [(text.casefold(), number) for text, number in zip(texts, [*numbers, -1])], label
