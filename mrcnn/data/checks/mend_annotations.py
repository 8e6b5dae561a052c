"""A mended copy of one annotation: put right by its mask, or turned to the stored pixels of its image."""

import numpy as np

from mrcnn.data.annotation_checks import is_id
from mrcnn.data.checks.annotations import is_double, same_objects
from mrcnn.data.checks.finding import Place
from mrcnn.data.checks.outlines import box_fault, look_at, ring_fault, xywh
from mrcnn.data.fields import is_kind
from mrcnn.data.orientation import turn_back, turn_points, turned_size
from mrcnn.geometry.rle import decode_rle, encode_mask, rle_to_json

# findings of boxes and areas that are put right by computing them from the mask
_COMPUTED = {"box_malformed": "bbox", "box_outside": "bbox", "box_mismatch": "bbox", "area_mismatch": "area"}
# the orientation that takes another back: turned by a quarter to the right, to the left
_INVERSE = {6: 8, 8: 6}


def mend_annotations(part, image, found, size, categories, mended):
    """Mend the annotations of an image.

    Args:
        part: Part that it is in.
        image: CheckedImage.
        found: list of (label, annotation), as of `read_annotations`.
        size: (height, width) that the annotations are of.
        categories: container of the ids of the categories that are kept.
        mended: Mended, which what is done is noted in.

    Returns:
        list of (annotation, Drawn), without those that are left out.
    """
    kept = []
    for label, annotation in found:
        place = Place(part.name, image.file, image.id, label)
        category = annotation.get("category_id")
        if not is_id(category) or category not in categories:
            mended.note("annotation left out", place, "its category is not listed, or not the only one of its id")
            continue
        notes = []
        drawn = look_at(annotation, size, lambda kind, found, *_, notes=notes: notes.append((kind, found)))
        if drawn is None:
            mended.note("annotation left out", place, notes[-1][1])
            continue
        kept.append((place, _mended_annotation(annotation, drawn, notes, place, part.content is not None, mended), drawn))
    doubles = _doubles(kept)
    for j in sorted(doubles):
        mended.note("annotation left out", kept[j][0], f"its mask is that of annotation {doubles[j]}")
    return [(annotation, drawn) for j, (_, annotation, drawn) in enumerate(kept) if j not in doubles]


def _doubles(kept):
    """Find annotations of an object that one before stands for: dict position -> label of that one."""
    found = {}
    for i, j, _ in same_objects([drawn for _, _, drawn in kept]):
        if i not in found and is_double(kept[i][1], kept[j][1]):
            found.setdefault(j, kept[i][0].annotation_id)
    return found


def _mended_annotation(annotation, drawn, notes, place, is_raw, mended):
    """Put an annotation right by its mask: a new dict. Args: is_raw: bool. Whether a field that it lacks is a fault."""
    entry = finite(dict(annotation))
    if drawn.is_cut:
        entry["segmentation"] = [np.round(ring, 2).tolist() for ring in drawn.polygons]
        mended.note("polygon cut off at the border, or a part of it left out", place)
    elif isinstance(annotation["segmentation"], dict):
        entry["segmentation"] = rle_to_json(drawn.rle) if isinstance(annotation["segmentation"]["counts"], bytes) \
            else annotation["segmentation"]  # fmt: skip
    wrong = {_COMPUTED[kind] for kind, _ in notes if kind in _COMPUTED}
    if drawn.is_cut:
        wrong |= {"bbox", "area"}
    if not is_kind(entry.get("area"), float) or entry["area"] < 0:
        wrong.add("area")
    if box_fault(entry.get("bbox")):
        wrong.add("bbox")
    told = sorted(name for name in wrong if is_raw or annotation.get(name) is not None)
    if told:
        mended.note(f"{' and '.join(told)} computed", place)
    if "bbox" in wrong:
        entry["bbox"] = [float(v) for v in xywh(drawn.box)]
    if "area" in wrong:
        entry["area"] = float(drawn.area)
    entry["iscrowd"] = int(entry.get("iscrowd") in (1, True))
    return entry


def turn_annotation(annotation, drawn, size, orientation):
    """Turn an annotation of the upright image to the stored pixels. Args: size: (H, W) as stored."""
    upright, back = turned_size(size, orientation), _INVERSE.get(orientation, orientation)
    if isinstance(annotation["segmentation"], dict):
        annotation["segmentation"] = encode_mask(turn_back(decode_rle(drawn.rle), orientation))
    else:
        rings = [ring for ring in annotation["segmentation"] if ring_fault(ring) is None]
        annotation["segmentation"] = [turn_points(ring, upright, back).ravel().tolist() for ring in rings]
    x, y, w, h = annotation["bbox"]
    corners = turn_points([(x, y), (x + w, y + h)], upright, back)
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    annotation["bbox"] = [x1, y1, x2 - x1, y2 - y1]


def finite(value):
    """Copy a value of a JSON; numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not is_kind(value, float) else value
