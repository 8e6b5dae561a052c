"""Values of COCO annotations that are not in COCO's form, but can be read in one way only.

The readers and the doctor read such values in the same way, and report them. Whatever can be read in two ways is left as it is,
for the checks to refuse.

Shape letters: H W image.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mrcnn.datasets.annotated_dataset import is_ring
from mrcnn.geometry.polygons import polygon_bounds
from mrcnn.io.json_fields import is_kind, whole

# A point or a box further away than this many times the longer side of its image is a mistake, and rasterising an outline takes
# memory in proportion to its length.
FAR = 10
_NUMBERS = frozenset([int, float])
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_CROWD = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_COMPUTED = "is not usable, and is computed from the mask"
_AS_POLYGONS = "is not a list of polygons, and is read as [[x1, y1, x2, y2, ...], ...]"

# what a field is read as, and how that differs from what is written, as the end of a sentence
Reading = tuple[Any, str]


def mended_fields(annotation: Mapping[str, Any], size: tuple[int, int] | None) -> dict[str, Reading]:
    """Find the fields of an annotation that are read as something else than is written.

    Args:
        annotation: an entry of a COCO file; its values may be anything.
        size: (height, width) of its image; None if it is unknown.

    Returns:
        For each such field, its reading. The text is the same for all readings of a kind.
    """
    fields: dict[str, Reading] = {}
    crowd, segmentation = annotation.get("iscrowd"), annotation.get("segmentation")
    if crowd.__class__ is str and crowd.strip().lower() in _CROWD:
        fields["iscrowd"] = _CROWD[crowd.strip().lower()], "is text, and is read as a number"
    if annotation.get("area") is not None and not is_usable_area(annotation["area"], size):
        fields["area"] = None, _COMPUTED
    if annotation.get("bbox") not in (None, []) and not is_usable_box(annotation["bbox"], size):
        fields["bbox"] = None, _COMPUTED
    if segmentation.__class__ is dict or segmentation.__class__ is list or segmentation.__class__ is str:
        reading = _read_segmentation(segmentation)
        if reading is not None:
            fields["segmentation"] = reading
    return fields


def is_usable_area(area: Any, size: tuple[int, int] | None) -> bool:
    """Return whether a value is an area of at least 0 that fits into the image, give or take a pixel on each side."""
    return is_kind(area, float) and 0 <= area <= (math.inf if size is None else (size[0] + 1) * (size[1] + 1))


def is_usable_box(box: Any, size: tuple[int, int] | None) -> bool:
    """Return whether a value is a list [x, y, width, height] of finite numbers, not far outside the image."""
    if box.__class__ is not list or len(box) != 4 or not all(is_kind(v, float) for v in box):
        return False
    return min(box[2:]) > 0 and (size is None or math.hypot(*box) <= FAR * max(size))


# --- segmentations


def _read_segmentation(value: Any) -> Reading | None:
    """Return the reading of a segmentation; None if it is in COCO's form, or has no reading, or several."""
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, dict):
        return _read_rle(value)
    if len(value) == 1 and isinstance(value[0], dict):
        reading = _read_rle(value[0])
        return reading[0] if reading else value[0], "is a list that holds an RLE, and is read as that RLE"
    if all(item.__class__ is list and _NUMBERS.issuperset(map(type, item)) for item in value) and not _are_points(value):
        return None
    rings = _rings(value)
    if rings is None or not any(map(is_ring, rings)):
        return None
    # in lists that are nested more deeply than COCO's, a polygon within another one may be a hole
    is_deep = any(isinstance(part, list) for item in value if isinstance(item, list) for part in item)
    return None if is_deep and _is_one_in_another(rings) else (rings, _AS_POLYGONS)


def _read_text(text: str) -> Reading | None:
    """Return the reading of JSON in text, which spreadsheets and data frames make of a list."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list | dict) or not value:
        return None
    reading = _read_segmentation(value)
    return reading[0] if reading else value, "is text, and is read as the JSON in it"


def _read_rle(rle: Mapping[str, Any]) -> Reading | None:
    """Return the reading of an RLE whose whole numbers are written as 7.0, or whose counts are Python bytes made text."""
    counts = rle.get("counts")
    if isinstance(counts, str) and counts.startswith("b'") and counts.endswith("'"):
        # Python doubles the backslashes; compressed counts never contain a quote
        unquoted = counts[2:-1].replace("\\\\", "\\")
        return {**rle, "counts": unquoted}, "is an RLE with counts such as b'...', and is read as the counts in the quotes"
    mended = {name: [whole(v) for v in rle[name]] for name in ("size", "counts") if isinstance(rle.get(name), list)}
    if any(None in values for values in mended.values()) or not any(
        v.__class__ is float for name in mended for v in rle[name]
    ):
        return None
    return {**rle, **mended}, "is an RLE with numbers such as 7.0, and is read with whole numbers"


def _are_points(value: Sequence[Any]) -> bool:
    """Return whether a list is one of three or more pairs of numbers."""
    return len(value) > 2 and all(isinstance(p, list) and len(p) == 2 and None not in map(_number, p) for p in value)


def _rings(value: Any) -> list[list[Any]] | None:
    """Return the polygons [x1, y1, ...] in nested lists of numbers or of points; None if there is anything else."""
    if not isinstance(value, list):
        return None
    if _are_points(value):
        return [[_number(v) for point in value for v in point]]
    if not any(isinstance(item, list) for item in value):
        numbers = [_number(v) for v in value]
        return None if None in numbers else [numbers]
    found: list[list[Any]] = []
    for item in value:
        rings = _rings(item)
        if rings is None:
            return None
        found += rings
    return found


def _number(value: Any) -> int | float | None:
    """Return a finite number, or the one that a text stands for; None for anything else."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    return value if is_kind(value, float) else None


def _is_one_in_another(rings: Sequence[Sequence[Any]]) -> bool:
    """Return whether the bounds of a polygon lie within those of another one."""
    bounds = [polygon_bounds([np.asarray(ring, np.float64)]) for ring in rings if is_ring(ring)]
    return any(a is not b and a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3] for a in bounds for b in bounds)
