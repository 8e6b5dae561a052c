"""One label file: a line per instance, `class x1 y1 x2 y2 ...`, in fractions of the image."""

import math
import os
from collections.abc import Sequence, Set
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.class_names import read_lines

# maximum distance of a point outside the image, as a fraction of its size: rounding, and slightly oversized polygons
_MARGIN = 0.01
# numbers of a line of the shortest label, a box
_SHORTEST = 5


def is_label_name(name: str) -> bool:
    """Return whether a file name is that of a label file, and not that of a hidden file or a list of classes."""
    return name.lower().endswith(".txt") and name != "classes.txt" and not name.startswith(".")


def holds_labels(path: Path) -> bool:
    """Return whether a text file is empty or begins with a label, unlike a list of images or a text to read."""
    try:
        lines = [line for line in read_lines(path) if line]
        return not lines or len([float(word) for word in lines[0].split()]) >= _SHORTEST
    except (DataError, ValueError):
        return False


def read_label_file(path: Path, classes: Set[int]) -> tuple[list[tuple[int, list[float]]], list[tuple[int, str]]]:
    """Read the label file of an image.

    Args:
        path: the file. If it does not exist, the image has no instances.
        classes: the known classes.

    Returns:
        (instances, faults): (class, [x1, y1, x2, y2, ...]) in fractions of the image; (line number, reason) of the lines
        that are skipped.

    Raises:
        DataError: it is not text.
    """
    if not os.path.exists(path):
        return [], []
    instances, faults = [], []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = [math.nan]
        fault = _line_fault(values, classes)
        if fault:
            faults.append((number, fault))
        else:
            instances.append((int(values[0]), values[1:]))
    return instances, faults


def _line_fault(values: Sequence[float], classes: Set[int]) -> str | None:
    """Return why a line of numbers is not an instance."""
    count = len(values) - 1
    if not all(map(math.isfinite, values)):
        return "it is not a line of finite numbers"
    if values[0] not in classes:
        return "its class is not among the names"
    if count == 4:
        return "it is a box without a mask"
    if count < 6 or count % 2:
        return "it does not have three or more pairs x y after the class"
    if min(values[1:]) < -_MARGIN or max(values[1:]) > 1 + _MARGIN:
        return "its coordinates are not fractions of the image, from 0 to 1"
    return None
