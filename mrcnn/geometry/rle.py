"""COCO's run-length encoding of masks, by pycocotools.

An RLE is a dict {"size": [height, width], "counts": str}: runs of 0 and 1 down the columns, packed into text. An
uncompressed RLE has a list of run lengths as its counts; `as_rle` takes both, and polygons too.

Shape letters: H W image, N instances.
"""

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.geometry.polygon_clip import near_canvas
from mrcnn.geometry.rle_counts import counts_fault


def encode_mask(mask):
    """Encode one mask.

    Args:
        mask: any dtype [H, W]. Non-zero is inside.

    Returns:
        dict {"size": [H, W], "counts": str}, ready for JSON.
    """
    rle = coco_mask.encode(np.asfortranarray(np.asarray(mask).astype(bool), np.uint8))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}


def encode_masks(masks):
    """Encode a stack of masks. Args: masks: any dtype [H, W, N]. Returns: list of N RLE dicts."""
    return [encode_mask(masks[:, :, i]) for i in range(np.shape(masks)[-1])]


def decode_rle(rle):
    """Decode one RLE, compressed or not.

    Args:
        rle: dict {"size": [H, W], "counts": str, bytes or list of int}.

    Returns:
        bool [H, W].

    Raises:
        ValueError: the run lengths do not fill the size.
    """
    return coco_mask.decode(as_rle(rle)).view(bool)


def decode_rles(rles, size):
    """Decode RLEs of one size. Args: rles: list of dicts; size: (H, W) in pixels. Returns: bool [H, W, N]."""
    if not rles:
        return np.zeros((*size, 0), bool)
    return np.stack([decode_rle(rle) for rle in rles], axis=-1)


def as_rle(segmentation, size=None):
    """Turn any COCO segmentation into a compressed RLE.

    Args:
        segmentation: an RLE dict, compressed or not, or a list of polygons [x1, y1, x2, y2, ...] in pixels. Counts of
            bytes are taken as pycocotools made them; those of text and lists are checked, see `counts_fault`.
        size: (height, width) of the image; needed for polygons.

    Returns:
        dict {"size": [height, width], "counts": bytes}, as pycocotools takes it.

    Raises:
        ValueError: the counts are not usable, or a polygon has fewer than three points.
    """
    if isinstance(segmentation, dict):
        h, w = (int(v) for v in segmentation["size"])
        counts = segmentation["counts"]
        if isinstance(counts, bytes):
            return {"size": [h, w], "counts": counts}
        fault = counts_fault(counts, h * w)
        if fault:
            raise ValueError(f"the counts of an RLE of {h} x {w} pixels {fault}")
        if isinstance(counts, str):
            return {"size": [h, w], "counts": counts.encode("ascii")}
        return coco_mask.frPyObjects({"size": [h, w], "counts": list(counts)}, h, w)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon needs at least three x, y pairs, and has {len(polygon)} numbers")
    h, w = (int(v) for v in size)
    return coco_mask.merge(coco_mask.frPyObjects([list(polygon) for polygon in near_canvas(segmentation, (h, w))], h, w))


def rle_area(rle):
    """Count the pixels of an RLE. Args: rle: dict. Returns: int."""
    return int(coco_mask.area(as_rle(rle)))


def rle_bbox(rle):
    """Find the tight box of an RLE. Args: rle: dict. Returns: (y1, x1, y2, x2) int pixels, all 0 when it is empty."""
    x, y, w, h = (int(v) for v in coco_mask.toBbox(as_rle(rle)))
    return y, x, y + h, x + w


def rle_to_json(rle):
    """Make an RLE's counts a str, as JSON needs. Args: rle: compressed RLE dict. Returns: a new dict."""
    counts = rle["counts"]
    return {
        "size": [int(v) for v in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }
