"""One annotation and its image: whether its mask, its box and its area are what they say.

Shape letters: H W image.
"""

import sys
from dataclasses import dataclass

import numpy as np

from mrcnn.geometry.polygons import clip_polygon, count_crossings, polygon_bounds
from mrcnn.geometry.rle import as_rle, counts_fault, rle_area, rle_bbox
from mrcnn.io.json_fields import is_kind, shown
from mrcnn.tools.doctor.finding import ERROR

# pixels by which an outline or a box may leave the image: annotation tools round
BORDER_TOLERANCE = 1.0
# a box may differ from that of its mask by this many pixels, or this share of the mask's box
BOX_TOLERANCE, BOX_SHARE = 2.0, 0.1
# an area may differ by half of the way around the mask's box (outlines run through pixels), or by this share
AREA_SHARE = 0.2
_NUMBERS = frozenset((int, float))


@dataclass(frozen=True)
class Drawn:
    """An annotation that has a mask.

    Attributes:
        rle: dict, a compressed RLE of the image's size.
        box: (y1, x1, y2, x2) int pixels.
        area: int, pixels.
        polygons: list of arrays [2 P], cut off at the border; None where the mask was an RLE.
        is_cut: bool. Whether polygons were left out, or cut off by more than the tolerance.
    """

    rle: dict
    box: tuple
    area: int
    polygons: list | None = None
    is_cut: bool = False


def look_at(annotation, size, note):
    """Look at one annotation.

    Args:
        annotation: dict in COCO's form; anything may be wrong in it.
        size: (height, width) of the image.
        note: function (kind, found, severity=None, weight=0.0), called for each finding.

    Returns:
        Drawn, or None when there is no mask.
    """
    segmentation = annotation.get("segmentation")
    box = _look_at_box(annotation.get("bbox"), size, note)
    if segmentation is None or (isinstance(segmentation, list | dict) and not segmentation):
        note("segmentation_missing", "it has no segmentation")
        return None
    if isinstance(segmentation, dict):
        drawn, bounds = _draw_rle(segmentation, size, note), None
    elif isinstance(segmentation, list | tuple):
        drawn, bounds = _draw_polygons(segmentation, size, note)
    else:
        note("segmentation_malformed", f"the segmentation is {shown(segmentation)}, expected polygons or an RLE")
        return None
    if drawn is None:
        return None
    if drawn.area <= 1:
        where = f" (its box is {_numbers(bounds)}: y1, x1, y2, x2)" if bounds else ""
        if drawn.area == 0:
            note("mask_empty", "its segmentation covers no pixel" + where)
            return None
        note("mask_one_pixel", "its segmentation covers one pixel" + where)
    _compare(annotation, box, drawn, bounds, note)
    return drawn


def rle_fault(segmentation, size):
    """Say why an RLE of a JSON is not usable. Args: segmentation: dict; size: (H, W). Returns: str, or None."""
    found = segmentation.get("size")
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(is_kind(v, int) for v in found):
        return f"the size of its RLE is {shown(found)}, expected [height, width]"
    if tuple(found) != tuple(size):
        return f"its RLE is of size {found[0]} x {found[1]}, and the image of {size[0]} x {size[1]} (height x width)"
    fault = counts_fault(segmentation.get("counts"), size[0] * size[1])
    return f"the counts of its RLE {fault}" if fault else None


def ring_fault(polygon):
    """Say why a polygon of a JSON is not usable. Args: polygon: what stands for it. Returns: str, or None."""
    if not isinstance(polygon, list | tuple | np.ndarray):
        return f"is {shown(polygon)}, expected a list [x1, y1, x2, y2, ...]"
    if len(polygon) < 6 or len(polygon) % 2:
        return f"has {len(polygon)} numbers, expected at least three x, y pairs"
    if _plain_numbers(polygon):
        return None
    for value in polygon:
        if not is_kind(value, float) and not isinstance(value, np.number):
            return f"holds {shown(value)}, expected finite numbers"
    return None


def _plain_numbers(values):
    """Whether all values are finite floats or ints, without a look at each; the common case."""
    if not _NUMBERS.issuperset(map(type, values)):
        return False
    # min and max pass over nan, a sum does not
    return -sys.float_info.max <= min(values) and max(values) <= sys.float_info.max and sum(values) * 0 == 0


def box_fault(box):
    """Say why a bbox of a JSON is not usable. Args: box: what stands for it. Returns: str, or None."""
    if not isinstance(box, list | tuple | np.ndarray) or len(box) != 4:
        return f"the bbox is {shown(box)}, expected [x, y, width, height]"
    if not all(is_kind(v, float) or isinstance(v, np.number) for v in box):
        return f"the bbox is {shown(list(box))}, expected finite numbers"
    if box[2] <= 0 or box[3] <= 0:
        return f"the bbox {_numbers(box)} has a width or height that is not above 0"
    return None


def _look_at_box(box, size, note):
    """Return (y1, x1, y2, x2) floats, or None where there is no usable box."""
    if box is None:
        return None
    fault = box_fault(box)
    if fault:
        note("box_malformed", fault)
        return None
    x, y, w, h = (float(v) for v in box)
    beyond = max(-x, -y, x + w - size[1], y + h - size[0])
    if beyond > BORDER_TOLERANCE:
        gone = x >= size[1] or y >= size[0] or x + w <= 0 or y + h <= 0
        told = f"the bbox {_numbers(box)} {_reaches(gone, beyond, size)}"
        note("box_outside", told, ERROR if gone else None, beyond)
    return y, x, y + h, x + w


def _draw_rle(segmentation, size, note):
    fault = rle_fault(segmentation, size)
    if fault:
        note("segmentation_malformed", fault)
        return None
    rle = as_rle(segmentation)
    return Drawn(rle, rle_bbox(rle), rle_area(rle))


def _draw_polygons(polygons, size, note):
    """Return (Drawn or None, bounds (y1, x1, y2, x2) of the whole polygons or None)."""
    faults = {i: fault for i, fault in enumerate(map(ring_fault, polygons)) if fault}
    if faults:
        more = f", and so for {len(faults) - 1} more" if len(faults) > 1 else ""
        note("segmentation_malformed", f"polygon {min(faults)} {faults[min(faults)]}{more}")
    rings = [np.asarray(p, np.float64) for i, p in enumerate(polygons) if i not in faults]
    if not rings:
        return None, None
    bounds = y1, x1, y2, x2 = polygon_bounds(rings)
    beyond = max(-y1, -x1, y2 - size[0], x2 - size[1])
    cut = rings
    if beyond > 0:
        cut = [ring for ring in (clip_polygon(ring, size) for ring in rings) if len(ring)]
    if beyond > BORDER_TOLERANCE:
        told = f"its outline {_reaches(not cut, beyond, size)}"
        note("polygon_outside", told, None if cut else ERROR, beyond)
    for i, ring in enumerate(rings):
        crossings = count_crossings(ring)
        if crossings:
            told = f"polygon {i} of {len(ring) // 2} points crosses itself {_times(crossings)}"
            note("polygon_crosses_itself", told, None, crossings)
    if not cut:
        return None, bounds
    rle = as_rle(cut, size)
    return Drawn(rle, rle_bbox(rle), rle_area(rle), cut, beyond > BORDER_TOLERANCE or bool(faults)), bounds


def _compare(annotation, box, drawn, bounds, note):
    """Compare box and area with the mask's own."""
    own = np.array(drawn.box if bounds is None else bounds, float)
    sides = own[2:] - own[:2]
    if box is not None:
        # a box that was cut off at the border fits too
        off = min(np.abs(np.subtract(box, b)).max() for b in (own, drawn.box))
        if off > max(BOX_TOLERANCE, BOX_SHARE * sides.max()):
            told = f"the bbox is {_numbers(annotation['bbox'])}, and that of the mask {_numbers(xywh(drawn.box))}"
            note("box_mismatch", told, None, off)
    area = annotation.get("area")
    if area is not None and is_kind(area, float) and area >= 0:
        around = float((np.subtract(drawn.box[2:], drawn.box[:2])).sum())
        off = abs(area - drawn.area)
        if off > max(AREA_SHARE * drawn.area, around) and not drawn.is_cut:
            note("area_mismatch", f"the area is {area:g}, and that of the mask {drawn.area}", None, off)


def xywh(box):
    """Turn (y1, x1, y2, x2) into COCO's [x, y, width, height]: a list of 4."""
    return [box[1], box[0], box[3] - box[1], box[2] - box[0]]


def _reaches(gone, beyond, size):
    """Say how far something reaches out of the image."""
    of = f"the image of {size[0]} x {size[1]} (height x width)"
    return f"lies outside {of}" if gone else f"reaches {beyond:.6g} pixels out of {of}"


def _numbers(values):
    return "[" + ", ".join(f"{float(v):.6g}" for v in values) + "]"


def _times(count):
    return "once" if count == 1 else f"{count} times"
