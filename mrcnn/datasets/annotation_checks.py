"""What is wrong with an annotation of COCO's form, told before anything is computed from it.

The checks look at millions of numbers while a data set is opened, so each is one call on a whole list where it can be.
The reasons are the same words for each fault of a kind, so that they can be counted.

Shape letters: H W image.
"""

import math
import sys

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import is_ring
from mrcnn.geometry.rle import counts_fault, sum_faults, text_fault

# A point further out than this many times the longer side of its image is a mistake, and an outline that runs so far
# takes memory by its length.
FAR = 10
# annotations whose packed counts are added up at once: enough to pay, few enough to stay in the processor's cache
_AT_ONCE = 128
_NUMBERS = frozenset([int, float])
_WHOLE = frozenset([int])
_LARGEST = sys.float_info.max


def with_faults(annotations, images, categories):
    """Go through annotations, and say of each why it cannot be used.

    Args:
        annotations: list of anything; a COCO file has dicts there.
        images: mapping of the known image ids to dicts with "height" and "width", whole numbers.
        categories: container of the known category ids.

    Yields:
        (annotation, fault): fault a str, or None when it can be used.
    """
    for start in range(0, len(annotations), _AT_ONCE):
        chunk, faults = [], []
        for position in range(start, min(start + _AT_ONCE, len(annotations))):
            try:
                chunk.append(annotations[position])
            except DataError as error:
                chunk.append(None)
                faults.append(str(error))
            else:
                faults.append(_fault(chunk[-1], images, categories))
        packed = [i for i, fault in enumerate(faults) if fault is None and _is_packed(chunk[i]["segmentation"])]
        rles = [chunk[i]["segmentation"] for i in packed]
        sums = sum_faults([rle["counts"] for rle in rles], [rle["size"][0] * rle["size"][1] for rle in rles])
        for i, fault in zip(packed, sums, strict=True):
            faults[i] = fault and f"the counts of its RLE {fault}"
        yield from zip(chunk, faults, strict=True)


def _is_packed(segmentation):
    return segmentation.__class__ is dict and segmentation["counts"].__class__ is str


def _fault(annotation, images, categories):
    """Say why an annotation cannot be used, but for what the packed counts of an RLE add up to: str or None."""
    if annotation.__class__ is not dict:
        return "it is no object"
    image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
    # the kind first: True is found where 1 is, and 1.0 too
    if not is_id(image_id) or image_id not in images:
        return "its image_id is not among the images"
    if not is_id(category_id) or category_id not in categories:
        return "its category_id is not among the categories"
    if annotation.get("iscrowd") not in (None, 0, 1):
        return "its iscrowd is neither 0 nor 1"
    area, bbox = annotation.get("area"), annotation.get("bbox")
    if area is not None and not (area.__class__ in _NUMBERS and 0 <= area <= _LARGEST):
        return "its area is no finite number from 0 on"
    if bbox and not (bbox.__class__ is list and len(bbox) == 4 and reach(bbox) <= _LARGEST):
        return "its bbox is not a list of four finite numbers"
    image = images[image_id]
    return _segmentation_fault(annotation.get("segmentation"), image["height"], image["width"])


def is_id(value):
    """Tell whether a value can be the id of an image or category: a whole number or text, and not true or false."""
    return value.__class__ is int or value.__class__ is str


def _segmentation_fault(segmentation, height, width):
    if not segmentation:
        return "it has no segmentation"
    if segmentation.__class__ is dict:
        return _rle_fault(segmentation, height, width)
    if segmentation.__class__ is not list:
        return "its segmentation is neither a list of polygons nor an RLE"
    farthest, has_ring = FAR * max(height, width), False
    for polygon in segmentation:
        if polygon.__class__ is not list:
            return "its segmentation holds something else than polygons, lists [x1, y1, x2, y2, ...]"
        away = reach(polygon)
        if away > farthest:
            if away == math.inf:
                return "a polygon of its segmentation holds something else than finite numbers"
            # the length of all coordinates together is more than that of any one
            if max(map(abs, polygon)) > farthest:
                return f"a polygon of its segmentation is further out than {FAR} times the size of the image"
        has_ring = has_ring or is_ring(polygon)
    return None if has_ring else "no polygon of its segmentation has three points"


def reach(values):
    """Measure how far a list of numbers reaches from 0, in one call.

    Args:
        values: list of anything.

    Returns:
        float. The length of the vector of them, at least as much as the largest; infinity where one of them is no
        finite number (true and false are none).
    """
    try:
        length = math.hypot(*values) if _NUMBERS.issuperset(map(type, values)) else math.inf
    except OverflowError:  # a whole number beyond the largest float
        return math.inf
    return length if length <= _LARGEST else math.inf  # nan is no less than anything


def _rle_fault(rle, height, width):
    if "counts" not in rle or "size" not in rle:
        return "its RLE segmentation lacks counts or size"
    size, counts = rle["size"], rle["counts"]
    if size.__class__ is not list or not _WHOLE.issuperset(map(type, size)):
        return "the size of its RLE is not a list of whole numbers [height, width]"
    if size != [height, width]:
        return "its RLE is not of the image's size"
    fault = counts_fault(counts, height * width) if counts.__class__ is list else text_fault(counts)
    return f"the counts of its RLE {fault}" if fault else None
