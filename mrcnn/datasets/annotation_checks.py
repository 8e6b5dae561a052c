"""Checks of COCO annotations, made before anything is computed from them.

Opening COCO checks millions of numbers. Nearly all annotations match `PlainAnnotation`, so msgspec checks their types while
it parses them; every other annotation is parsed without types and checked field by field, to find the reason why it cannot
be used. All faults of one kind have the same reason, word for word, so that they can be counted.

Shape letters: H W image.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import is_ring
from mrcnn.datasets.annotation_mending import FAR, mended_fields
from mrcnn.datasets.ids import ById, Id, reread_fields, reread_note
from mrcnn.geometry.rle import counts_fault, sum_faults, text_fault
from mrcnn.io.json_fields import JsonList

# annotations whose packed counts are summed together: enough to be worth it, few enough to stay in the processor's cache
_AT_ONCE = 128
_NUMBERS = frozenset([int, float])
_WHOLE = frozenset([int])
_MAX_FLOAT = sys.float_info.max
_Coordinate = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Side = Annotated[float, Meta(gt=0, le=1e9)]


class Checked(NamedTuple):
    """The result of checking an annotation.

    Attributes:
        image_id: id of its image in the list of images; None if it cannot be used.
        category_id: id of its category in the list of categories; None if it cannot be used.
        fault: why it cannot be used, or None.
        mended: what it is read as; None if it is read as it is written.
        notes: what was mended. The text is the same for all annotations in which the same was.
    """

    image_id: Id | None
    category_id: Id | None
    fault: str | None = None
    mended: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()



class PlainAnnotation(msgspec.Struct, gc=False):
    """An annotation with polygons, with every field in the form that most programs write."""

    image_id: Id
    category_id: Id
    segmentation: Annotated[list[Annotated[list[float], Meta(min_length=6)]], Meta(min_length=1)]
    iscrowd: Literal[0, 1] | None = None
    area: Annotated[float, Meta(ge=0)] | None = None
    bbox: tuple[_Coordinate, _Coordinate, _Side, _Side] | None = None


_PLAIN = msgspec.json.Decoder(PlainAnnotation)


def check_annotations(annotations: Sequence[Any], images: ById[Mapping[str, Any]], categories: ById[Any]) -> Iterator[Checked]:
    """Check annotations one by one.

    Args:
        annotations: entries of a COCO file, which may be anything; JSON text (`JsonList`) or decoded.
        images: dicts with "height" and "width", whole numbers.
        categories: the known categories.

    Yields:
        The result for each annotation, in their order.
    """
    for start in range(0, len(annotations), _AT_ONCE):
        chunk = annotations[start : start + _AT_ONCE]
        results: list[Any] = _plain(chunk, images, categories) if isinstance(chunk, JsonList) else [None] * len(chunk)
        packed: list[tuple[int, Any]] = []
        for position, result in enumerate(results):
            if result is not None:
                continue
            try:
                annotation = chunk[position]
            except DataError as error:
                results[position] = _faulty(str(error))
                continue
            results[position] = checked = _check(annotation, images, categories)
            segmentation = (checked.mended or annotation)["segmentation"] if checked.fault is None else None
            if segmentation.__class__ is dict and segmentation["counts"].__class__ is str:
                packed.append((position, segmentation))
        sums = sum_faults([rle["counts"] for _, rle in packed], [rle["size"][0] * rle["size"][1] for _, rle in packed])
        for (position, _), fault in zip(packed, sums, strict=True):
            if fault:
                results[position] = _faulty(f"the counts of its RLE {fault}")
        yield from results


def _faulty(reason: str) -> Checked:
    return Checked(None, None, reason)


def _plain(annotations: JsonList, images: ById[Mapping[str, Any]], categories: ById[Any]) -> list[Checked | None]:
    """Check the plain annotations that can be used; None leaves an annotation to `_check`."""
    results: list[Checked | None] = []
    for text in annotations.texts:
        try:
            plain = _PLAIN.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            results.append(None)
            continue
        usable = _is_within_reach(plain, images, categories)
        results.append(Checked(plain.image_id, plain.category_id) if usable else None)
    return results


def _is_within_reach(annotation: PlainAnnotation, images: Mapping[Id, Mapping[str, Any]], categories: ById[Any]) -> bool:
    """Return whether a plain annotation can be used; False leaves the decision to `_check`."""
    image = images.get(annotation.image_id)
    if image is None or annotation.category_id not in categories:
        return False
    height, width = image["height"], image["width"]
    if annotation.area is not None and annotation.area > height * width:
        return False
    farthest = FAR * max(height, width)
    if annotation.bbox is not None and math.hypot(*annotation.bbox) > farthest:
        return False
    for polygon in annotation.segmentation:
        # the norm of all coordinates is at least as large as any one of them
        if len(polygon) % 2 or math.hypot(*polygon) > farthest:
            return False
    return True


def _check(annotation: Any, images: ById[Mapping[str, Any]], categories: ById[Any]) -> Checked:
    """Check an annotation, apart from the sum of the packed counts of an RLE."""
    if annotation.__class__ is not dict:
        return _faulty("it is not an object")
    image_id, category_id = images.find(annotation.get("image_id")), categories.find(annotation.get("category_id"))
    if image_id is None:
        return _faulty(images.fault(annotation.get("image_id"), "image_id", "images"))
    if category_id is None:
        return _faulty(categories.fault(annotation.get("category_id"), "category_id", "categories"))
    size = images[image_id]["height"], images[image_id]["width"]
    listed = {"image_id": image_id, "category_id": category_id}
    notes = [reread_note(field) for field in reread_fields(annotation, listed)]
    readings = mended_fields(annotation, size)
    notes += [f"its {field} {how}" for field, (_, how) in readings.items()]
    if notes:
        annotation = {**annotation, **listed, **{field: value for field, (value, _) in readings.items()}}
    fault = "its iscrowd is neither 0 nor 1" if annotation.get("iscrowd") not in (None, 0, 1) else None
    fault = fault or _segmentation_fault(annotation.get("segmentation"), *size)
    return _faulty(fault) if fault else Checked(image_id, category_id, mended=annotation if notes else None, notes=tuple(notes))


def _segmentation_fault(segmentation: Any, height: int, width: int) -> str | None:
    if not segmentation:
        return "it has no segmentation"
    if segmentation.__class__ is dict:
        return _rle_fault(segmentation, height, width)
    if segmentation.__class__ is not list:
        return "its segmentation is neither a list of polygons nor an RLE"
    farthest, has_ring = FAR * max(height, width), False
    for polygon in segmentation:
        if polygon.__class__ is not list or polygon and polygon[0].__class__ is list:
            return "its segmentation holds something other than polygons, lists [x1, y1, x2, y2, ...]"
        away = reach(polygon)
        if away > farthest:
            if away == math.inf:
                return "a polygon of its segmentation holds something other than finite numbers"
            if max(map(abs, polygon)) > farthest:
                return f"a polygon of its segmentation is further out than {FAR} times the size of the image"
        has_ring = has_ring or is_ring(polygon)
    return None if has_ring else "no polygon of its segmentation has three points"


def reach(values: Sequence[Any]) -> float:
    """Return an upper bound on the absolute value of the numbers in a list.

    Args:
        values: numbers, or anything else.

    Returns:
        The Euclidean norm of the list; infinity if one of the values is not a finite number (true and false are not).
    """
    try:
        length = math.hypot(*values) if _NUMBERS.issuperset(map(type, values)) else math.inf
    except OverflowError:  # a whole number beyond the largest float
        return math.inf
    return length if length <= _MAX_FLOAT else math.inf  # every comparison with nan is False


def _rle_fault(rle: Mapping[str, Any], height: int, width: int) -> str | None:
    if "counts" not in rle or "size" not in rle:
        return "its RLE segmentation lacks counts or size"
    size, counts = rle["size"], rle["counts"]
    if size.__class__ is not list or not _WHOLE.issuperset(map(type, size)):
        return "the size of its RLE is not a list of whole numbers [height, width]"
    if size != [height, width]:
        return "its RLE is not of the image's size"
    fault = counts_fault(counts, height * width) if counts.__class__ is list else text_fault(counts)
    return f"the counts of its RLE {fault}" if fault else None
