"""Checks of the annotations of a part: each annotation individually, and pairs that annotate the same object.

Shape letters: N objects, P points.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32
from pycocotools import mask as coco_mask

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, tracked
from mrcnn.config import Config
from mrcnn.datasets.ids import is_id
from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.geometry.polygons import clip_polygon, count_crossings, polygon_bounds
from mrcnn.geometry.rle import as_rle, counts_fault, rle_area, rle_bbox
from mrcnn.io.json_fields import is_kind, shown
from mrcnn.tools.doctor.findings import ERROR, Findings, Note, Picture, Place
from mrcnn.tools.doctor.images import ImageScan
from mrcnn.tools.doctor.parts import CheckedImage, Labelled, Part

# pixels by which an outline or a box may extend beyond the image, because annotation tools round coordinates
BORDER_TOLERANCE = 1.0
# a box may differ from that of its mask by this many pixels, or by this fraction of the longer side of the mask's box
BOX_TOLERANCE, BOX_SHARE = 2.0, 0.1
# an area may differ by half the perimeter of the mask's box (outlines run through pixels), or by this fraction
AREA_SHARE = 0.2
# two masks of one image with a higher IoU annotate the same object
SAME_OBJECT = 0.95
# masks whose boxes have a lower IoU cannot overlap that much, unless they are thin
_SAME_BOX = 0.8
_NUMBERS = frozenset((int, float))
# default of MAX_GT_INSTANCES
MAX_OBJECTS = Config.MAX_GT_INSTANCES

Size = tuple[int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CheckedMask:
    """The mask of an annotation.

    Attributes:
        rle: compressed RLE of the image's size.
        box: (y1, x1, y2, x2) in pixels.
        area: in pixels.
        polygons: arrays [2 P], clipped to the image; None if the annotation has an RLE.
        is_cut: whether polygons were dropped, or clipped by more than the tolerance.
    """

    rle: dict[str, Any]
    box: tuple[int, int, int, int]
    area: int
    polygons: list[np.ndarray] | None = None
    is_cut: bool = False


@dataclass
class Objects:
    """The objects of a part.

    Attributes:
        boxes: of the objects with a mask, except crowds: (y1, x1, y2, x2) in pixels, one array per image.
        sizes: (height, width) of those images.
        areas: of the same objects, in pixels, one array per image.
        class_counts: number of objects by category id, including objects without a usable mask, but not crowds.
        image_counts: number of images with such an object, by category id.
        images, annotations, crowds, empty_images: their numbers.
        crowd_categories: ids of the categories of crowds.
    """

    boxes: list[Float32[np.ndarray, "N 4"]] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    areas: list[Float32[np.ndarray, " N"]] = field(default_factory=list)
    class_counts: Counter = field(default_factory=Counter)
    image_counts: Counter = field(default_factory=Counter)
    images: int = 0
    annotations: int = 0
    crowds: int = 0
    empty_images: int = 0
    crowd_categories: set[int | str | None] = field(default_factory=set)


def check_annotations(part: Part, scans: Sequence[ImageScan], findings: Findings, progress: Show | None = None,
                      max_objects: int = MAX_OBJECTS) -> Objects:  # fmt: skip
    """Check all annotations of a part.

    Args:
        scans: one per image.
        max_objects: number of objects of an image that training uses at a time.
        progress: called after each image.
    """
    objects = Objects(images=len(part.images))
    for i, (image, scan) in enumerate(tracked(zip(part.images, scans, strict=True), progress, len(scans))):
        annotations = read_annotations(part, i, findings)
        if annotations is None:
            continue
        _count(annotations, objects)
        if not annotations:
            objects.empty_images += 1
        size = working_size(image, scan)
        if size is None:
            continue
        masks = []
        for label, annotation in annotations:
            place = Place(part.name, image.file, image.id, label)
            note = _recorder(place, image, scan, annotation, findings)
            mask = check_annotation(annotation, _annotation_size(annotation, size, image, scan), note)
            if mask is not None:
                masks.append((place, annotation, mask))
        _find_doubles(masks, image, scan, findings)
        kept = [mask for _, annotation, mask in masks if not annotation.get("iscrowd")]
        if len(kept) > max_objects:
            message = f"{len(kept)} objects, more than MAX_GT_INSTANCES, which is {max_objects}"
            findings.add("too_many_objects", Place(part.name, image.file, image.id), message, weight=len(kept))
        if kept:
            objects.boxes.append(np.array([mask.box for mask in kept], np.float32))
            objects.areas.append(np.array([mask.area for mask in kept], np.float32))
            objects.sizes.append(size)
    if objects.empty_images:
        message = f"{objects.empty_images} of {objects.images} images have no annotations"
        findings.add("image_without_objects", Place(part.name), message)
    if objects.annotations and objects.crowds == objects.annotations:
        message = f"all {objects.crowds} annotations are crowds (iscrowd 1), which training and evaluation ignore"
        findings.add("only_crowds", Place(part.name), message)
    for kind, entries in (("left_out", part.skipped()), ("noted", part.notes())):
        for where, reason in entries:
            findings.add(kind, Place(part.name), f"{where}: {reason}")
    return objects


def read_annotations(part: Part, index: int, findings: Findings | None = None) -> list[Labelled] | None:
    """Read the annotations of an image; None, and a finding, if they cannot be read.

    Args:
        index: of the image in the part.
    """
    image = part.images[index]
    try:
        annotations = part.annotations(index)
    except Exception as error:  # a user's load_mask may raise anything
        if findings is not None:
            reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            findings.add("left_out", Place(part.name, image.file, image.id), f"its annotations cannot be read: {reason}")
        return None
    if part.content is None and findings is not None:  # for a JSON, this was reported when it was read
        for label, annotation in annotations:
            if annotation.get("category_id") not in part.categories:
                place = Place(part.name, image.file, image.id, label)
                findings.add("category_missing", place, f"no category has the id {annotation.get('category_id')}")
    return annotations


def working_size(image: CheckedImage, scan: ImageScan) -> Size | None:
    """Return the (height, width) with which annotations are compared; None if neither the data set nor the file gives one.

    If the two sizes differ, annotations may refer to either: the larger height and width are used, so that one wrong size
    does not lead to a finding for each annotation.
    """
    seen = scan.size_seen(image.upright)
    if image.size is None or seen is None:
        return image.size or seen
    if image.size == scan.size_seen(True):
        return image.size
    return max(image.size[0], seen[0]), max(image.size[1], seen[1])


def _annotation_size(annotation: dict[str, Any], size: Size, image: CheckedImage, scan: ImageScan) -> Size:
    """Return the size with which one annotation is compared: an RLE may have the data set's size or the file's.

    If an EXIF orientation swaps the sides, it must have the data set's size.
    """
    segmentation = annotation.get("segmentation")
    given = segmentation.get("size") if isinstance(segmentation, dict) else None
    if isinstance(given, list) and scan.orientation < 5 and tuple(given) in (image.size, scan.size):
        return given[0], given[1]
    return size


def _recorder(place: Place, image: CheckedImage, scan: ImageScan, annotation: dict[str, Any], findings: Findings) -> Note:
    def note(kind: str, message: str, severity: str | None = None, weight: float = 0.0) -> None:
        picture = None
        if not scan.fault and (image.path or image.load):
            picture = Picture((image.read,), annotation.get("segmentation"), annotation.get("bbox"))
        findings.add(kind, place, message, severity=severity, weight=float(weight), picture=picture)

    return note


def _count(annotations: list[Labelled], objects: Objects) -> None:
    """Count annotations by category; category ids may be of any type."""
    objects.annotations += len(annotations)
    categories = set()
    for _, annotation in annotations:
        category = annotation.get("category_id")
        if annotation.get("iscrowd"):
            objects.crowds += 1
            objects.crowd_categories.add(category if is_id(category) else None)
        elif is_id(category):
            objects.class_counts[category] += 1
            categories.add(category)
    objects.image_counts.update(categories)


# --- objects annotated twice

_Placed = tuple[Place, dict[str, Any], CheckedMask]


def _find_doubles(masks: list[_Placed], image: CheckedImage, scan: ImageScan, findings: Findings) -> None:
    """Report the objects of an image that are annotated twice."""
    reported = set()
    pairs = [(is_double(masks[i][1], masks[j][1]), i, j, iou) for i, j, iou in same_objects([mask for _, _, mask in masks])]
    for same, i, j, iou in sorted(pairs, key=lambda pair: (not pair[0], pair[1])):
        (first, a, _), (place, b, _) = masks[i], masks[j]
        if j in reported or bool(a.get("iscrowd")) != bool(b.get("iscrowd")):
            continue
        reported.add(j)
        message = f"same mask as annotation {first.annotation_id} (IoU {iou:.3g})"
        if not same:
            message += f", which has category {a.get('category_id')} instead of {b.get('category_id')}"
        kind = "annotation_duplicate" if same else "annotation_conflict"
        _recorder(place, image, scan, b, findings)(kind, message, None, iou)


def is_double(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Return whether two annotations of the same mask have the same category and agree on whether it is a crowd."""
    return a.get("category_id") == b.get("category_id") and bool(a.get("iscrowd")) == bool(b.get("iscrowd"))


def same_objects(masks: Sequence[CheckedMask]) -> list[tuple[int, int, float]]:
    """Find nearly identical masks of an image: (i, j, IoU) of each pair above SAME_OBJECT, with i < j."""
    if len(masks) < 2:
        return []
    boxes = np.array([mask.box for mask in masks])
    pairs = []
    for j, row in enumerate(np.tril(compute_overlaps(boxes, boxes), -1)):
        near = np.flatnonzero(row > _SAME_BOX)
        if len(near):
            ious = coco_mask.iou([masks[j].rle], [masks[i].rle for i in near], [0] * len(near))[0]
            pairs += [(int(i), j, float(iou)) for i, iou in zip(near, ious) if iou > SAME_OBJECT]
    return pairs


# --- one annotation


def check_annotation(annotation: dict[str, Any], size: Size, note: Note) -> CheckedMask | None:
    """Check the mask, the box and the area of an annotation.

    Args:
        annotation: in COCO's form, without any guarantee of validity.
        size: (height, width) of the image.
        note: records each finding.

    Returns:
        Its mask, or None if there is none.
    """
    segmentation = annotation.get("segmentation")
    box = _check_box(annotation.get("bbox"), size, note)
    if segmentation is None or (isinstance(segmentation, list | dict) and not segmentation):
        note("segmentation_missing", "it has no segmentation")
        return None
    if isinstance(segmentation, dict):
        mask, bounds = _rle_mask(segmentation, size, note), None
    elif isinstance(segmentation, list | tuple):
        mask, bounds = _polygon_mask(segmentation, size, note)
    else:
        note("segmentation_malformed", f"the segmentation is {shown(segmentation)}, expected polygons or an RLE")
        return None
    if mask is None:
        return None
    if mask.area <= 1:
        where = f" (its bounds are {_numbers(bounds)}: y1, x1, y2, x2)" if bounds else ""
        if mask.area == 0:
            note("mask_empty", "its segmentation covers no pixel" + where)
            return None
        note("mask_one_pixel", "its segmentation covers one pixel" + where)
    _compare(annotation, box, mask, bounds, note)
    return mask


def rle_fault(segmentation: dict[str, Any], size: Size) -> str | None:
    """Return the reason why an RLE from a JSON is not usable, or None."""
    given = segmentation.get("size")
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(is_kind(v, int) for v in given):
        return f"the size of its RLE is {shown(given)}, expected [height, width]"
    if tuple(given) != tuple(size):
        return f"its RLE has size {given[0]} x {given[1]}, the image {size[0]} x {size[1]} (height x width)"
    fault = counts_fault(segmentation.get("counts"), size[0] * size[1])
    return f"the counts of its RLE {fault}" if fault else None


def ring_fault(polygon: Any) -> str | None:
    """Return the reason why a polygon from a JSON is not usable, as the end of a sentence, or None."""
    if not isinstance(polygon, list | tuple | np.ndarray):
        return f"is {shown(polygon)}, expected a list [x1, y1, x2, y2, ...]"
    if len(polygon) < 6 or len(polygon) % 2:
        return f"has {len(polygon)} numbers, expected at least three x, y pairs"
    if _all_finite(polygon):
        return None
    for value in polygon:
        if not is_kind(value, float) and not isinstance(value, np.number):
            return f"contains {shown(value)}, expected finite numbers"
    return None


def _all_finite(values: Sequence[Any] | np.ndarray) -> bool:
    """Return whether all values are finite floats or ints, without a Python loop for the usual case."""
    if not _NUMBERS.issuperset(map(type, values)):
        return False
    # min and max can miss nan, the sum cannot
    return -sys.float_info.max <= min(values) and max(values) <= sys.float_info.max and sum(values) * 0 == 0


def box_fault(box: Any) -> str | None:
    """Return the reason why a bbox from a JSON is not usable, or None."""
    if not isinstance(box, list | tuple | np.ndarray) or len(box) != 4:
        return f"the bbox is {shown(box)}, expected [x, y, width, height]"
    if not all(is_kind(v, float) or isinstance(v, np.number) for v in box):
        return f"the bbox is {shown(list(box))}, expected finite numbers"
    if box[2] <= 0 or box[3] <= 0:
        return f"the bbox {_numbers(box)} has a width or height that is not above 0"
    return None


def _check_box(box: Any, size: Size, note: Note) -> Box | None:
    """Check a bbox, and return (y1, x1, y2, x2), or None if it is not usable."""
    if box is None:
        return None
    fault = box_fault(box)
    if fault:
        note("box_malformed", fault)
        return None
    x, y, w, h = (float(v) for v in box)
    beyond = max(-x, -y, x + w - size[1], y + h - size[0])
    if beyond > BORDER_TOLERANCE:
        outside = x >= size[1] or y >= size[0] or x + w <= 0 or y + h <= 0
        note("box_outside", f"the bbox {_numbers(box)} {_extent(outside, beyond, size)}", ERROR if outside else None, beyond)
    return y, x, y + h, x + w


def _rle_mask(segmentation: dict[str, Any], size: Size, note: Note) -> CheckedMask | None:
    fault = rle_fault(segmentation, size)
    if fault:
        note("segmentation_malformed", fault)
        return None
    rle = as_rle(segmentation)
    return CheckedMask(rle, rle_bbox(rle), rle_area(rle))


def _polygon_mask(polygons: Sequence[Any], size: Size, note: Note) -> tuple[CheckedMask | None, Box | None]:
    """Rasterise polygons, and return the mask and the bounds (y1, x1, y2, x2) before clipping; None for what is missing."""
    faults = {i: fault for i, fault in enumerate(map(ring_fault, polygons)) if fault}
    if faults:
        more = f"; {len(faults) - 1} more are malformed" if len(faults) > 1 else ""
        note("segmentation_malformed", f"polygon {min(faults)} {faults[min(faults)]}{more}")
    rings = [np.asarray(p, np.float64) for i, p in enumerate(polygons) if i not in faults]
    if not rings:
        return None, None
    bounds = y1, x1, y2, x2 = polygon_bounds(rings)
    beyond = max(-y1, -x1, y2 - size[0], x2 - size[1])
    clipped = rings
    if beyond > 0:
        clipped = [ring for ring in (clip_polygon(ring, size) for ring in rings) if len(ring)]
    if beyond > BORDER_TOLERANCE:
        note("polygon_outside", f"its outline {_extent(not clipped, beyond, size)}", None if clipped else ERROR, beyond)
    for i, ring in enumerate(rings):
        crossings = count_crossings(ring)
        if crossings:
            times = "once" if crossings == 1 else f"{crossings} times"
            note("polygon_crosses_itself", f"polygon {i} of {len(ring) // 2} points crosses itself {times}", None,
                 float(crossings))
    if not clipped:
        return None, bounds
    rle = as_rle(clipped, size)
    is_cut = beyond > BORDER_TOLERANCE or bool(faults)
    return CheckedMask(rle, rle_bbox(rle), rle_area(rle), clipped, is_cut), bounds


def _compare(annotation: dict[str, Any], box: Box | None, mask: CheckedMask, bounds: Box | None, note: Note) -> None:
    """Compare box and area with those of the mask."""
    expected = np.array(mask.box if bounds is None else bounds, float)
    sides = expected[2:] - expected[:2]
    if box is not None:
        # a box clipped to the image is also correct
        off = min(np.abs(np.subtract(box, b)).max() for b in (expected, mask.box))
        if off > max(BOX_TOLERANCE, BOX_SHARE * sides.max()):
            message = f"the bbox is {_numbers(annotation['bbox'])}, that of the mask {_numbers(xywh(mask.box))}"
            note("box_mismatch", message, None, float(off))
    area: Any = annotation.get("area")
    if is_kind(area, float) and area >= 0:
        half_perimeter = float(np.subtract(mask.box[2:], mask.box[:2]).sum())
        off = abs(area - mask.area)
        if off > max(AREA_SHARE * mask.area, half_perimeter) and not mask.is_cut:
            note("area_mismatch", f"the area is {area:g}, that of the mask {mask.area}", None, float(off))


def xywh(box: Sequence[int | float]) -> list[int | float]:
    """Convert (y1, x1, y2, x2) to COCO's [x, y, width, height]."""
    return [box[1], box[0], box[3] - box[1], box[2] - box[0]]


def _extent(outside: bool, beyond: float, size: Size) -> str:
    """Describe how far something extends beyond the image."""
    image = f"the image of {size[0]} x {size[1]} (height x width)"
    return f"lies outside {image}" if outside else f"extends {beyond:.6g} pixels beyond {image}"


def _numbers(values: Sequence[int | float] | np.ndarray) -> str:
    return "[" + ", ".join(f"{float(v):.6g}" for v in values) + "]"
