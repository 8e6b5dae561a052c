"""Boxes, and the coordinate conventions of the whole package.

- A box is `(y1, x1, y2, x2)`. In pixels, `(y2, x2)` lies outside the box, so its height is `y2 - y1`.
- A normalised box is `(box - [0, 0, 1, 1]) / ([h, w, h, w] - 1)`: the centres of the first and the last pixel are 0 and 1.
  In continuous coordinates (`Config.BOX_COORDINATES`) it is `box / [h, w, h, w]`: the edges of the image are 0 and 1.
- A size is `(height, width)`; a shape may have more axes after these two.
- Deltas are `(dy, dx, log dh, log dw)`. The network predicts them divided by `RPN_BBOX_STD_DEV` or `BBOX_STD_DEV`.
- Class 0 is the background. A negative class id marks a crowd. Padding rows are all zero.
- Only polygons have x first, as in COCO's files; see `mrcnn.geometry.polygons`.

Shape letters: N M boxes, H W image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Num, Shaped

# Python and NumPy scalars: beartype accepts neither an int nor a NumPy scalar as a float
Integer = int | np.integer[Any]
Number = float | Integer | np.floating[Any]
# (height, width) and (height, width, ...), in pixels
Size = tuple[int, int]
ImageShape = Sequence[Integer] | Num[np.ndarray, " _"]
# (y1, x1, y2, x2) in pixels
PixelBox = tuple[int, int, int, int]

# pairs of boxes compared at once, few enough that their arrays fit into a core's cache
_BLOCK = 50_000


def extract_bboxes(mask: Shaped[np.ndarray, "H W N"]) -> Int32[np.ndarray, "N 4"]:
    """Compute the tight bounding box of each mask.

    Args:
        mask: non-zero inside the object.

    Returns:
        Pixel boxes; (0, 0, 0, 0) for an empty mask.
    """
    return boxes_from_profiles(np.any(mask, axis=1), np.any(mask, axis=0))


def boxes_from_profiles(rows: Bool[np.ndarray, "H N"], cols: Bool[np.ndarray, "W N"]) -> Int32[np.ndarray, "N 4"]:
    """Compute the tight bounding boxes of masks from the rows and columns they occupy.

    Args:
        rows: whether each mask has a pixel in each row.
        cols: whether each mask has a pixel in each column.

    Returns:
        Pixel boxes; (0, 0, 0, 0) for an empty mask.
    """
    boxes = np.zeros((rows.shape[1], 4), np.int32)
    if not rows.size or not cols.size:
        return boxes
    boxes[:, 0] = rows.argmax(axis=0)
    boxes[:, 1] = cols.argmax(axis=0)
    boxes[:, 2] = len(rows) - rows[::-1].argmax(axis=0)
    boxes[:, 3] = len(cols) - cols[::-1].argmax(axis=0)
    boxes[~rows.any(axis=0)] = 0
    return boxes


def box_areas(boxes: Num[np.ndarray, "N 4"]) -> Num[np.ndarray, " N"]:
    """Compute the areas of boxes, in the squared unit of their coordinates."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def compute_iou(
    box: Num[np.ndarray, " 4"] | Sequence[Number],
    boxes: Num[np.ndarray, "N 4"],
    box_area: Number,
    boxes_area: Num[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    """Compute the intersection over union of one box with many, given their areas.

    Returns:
        Values in [0, 1]; 0 where both boxes have zero area.
    """
    height = np.maximum(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]), 0)
    width = np.maximum(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]), 0)
    intersection = height * width
    union = box_area + boxes_area - intersection
    return np.divide(intersection, union, out=np.zeros(len(boxes)), where=union > 0)


def compute_overlaps(boxes1: Num[np.ndarray, "N 4"], boxes2: Num[np.ndarray, "M 4"]) -> Float64[np.ndarray, "N M"]:
    """Compute the intersection over union of every pair of boxes from two sets.

    Returns:
        Values in [0, 1]; 0 in the rows and columns of boxes of zero area.
    """
    overlaps = np.zeros((len(boxes1), len(boxes2)))
    if not overlaps.size:
        return overlaps
    areas1, areas2 = box_areas(boxes1), box_areas(boxes2)
    step = max(_BLOCK // len(boxes2), 1)
    for start in range(0, len(boxes1), step):
        rows = boxes1[start : start + step, None]  # [rows, 1, 4]
        height = np.minimum(rows[..., 2], boxes2[:, 2]) - np.maximum(rows[..., 0], boxes2[:, 0])  # [rows, M]
        width = np.minimum(rows[..., 3], boxes2[:, 3]) - np.maximum(rows[..., 1], boxes2[:, 1])
        intersection = np.maximum(height, 0) * np.maximum(width, 0)
        union = areas1[start : start + step, None] + areas2 - intersection
        np.divide(intersection, union, out=overlaps[start : start + step], where=union > 0)
    return overlaps


def non_max_suppression(
    boxes: Num[np.ndarray, "N 4"], scores: Num[np.ndarray, " N"], threshold: Number
) -> Int32[np.ndarray, " kept"]:
    """Drop each box that overlaps a higher-scoring kept box too much.

    Args:
        threshold: IoU above which the lower-scoring box is dropped.

    Returns:
        Indices of the kept boxes, in descending order of score.

    Raises:
        ValueError: `boxes` is empty.
    """
    if len(boxes) == 0:
        raise ValueError("non_max_suppression needs at least one box, but got none: check for an empty array before the call")
    if boxes.dtype.kind != "f":
        boxes = boxes.astype(np.float32)
    areas = box_areas(boxes)
    order = scores.argsort()[::-1]
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[compute_iou(boxes[best], boxes[rest], areas[best], areas[rest]) <= threshold]
    return np.array(kept, np.int32)


def apply_box_deltas(boxes: Num[np.ndarray, "N 4"], deltas: Num[np.ndarray, "N 4"]) -> Float32[np.ndarray, "N 4"]:
    """Shift and scale boxes by deltas; the inverse of `box_refinement`.

    Args:
        deltas: already multiplied by their standard deviation.

    Source: R-CNN (Girshick et al. 2014), appendix C.
    """
    boxes = boxes.astype(np.float32)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * size + deltas[:, :2] * size
    size = size * np.exp(deltas[:, 2:])
    top_left = centre - 0.5 * size
    return np.concatenate([top_left, top_left + size], axis=1).astype(np.float32)


def box_refinement(box: Num[np.ndarray, "N 4"], gt_box: Num[np.ndarray, "N 4"]) -> Float32[np.ndarray, "N 4"]:
    """Compute the deltas that move each box onto its ground-truth box.

    Args:
        box: heights and widths must be positive.

    Returns:
        Deltas, not divided by a standard deviation.

    Source: R-CNN (Girshick et al. 2014), appendix C.
    """
    box, gt_box = box.astype(np.float32), gt_box.astype(np.float32)
    size, gt_size = box[:, 2:] - box[:, :2], gt_box[:, 2:] - gt_box[:, :2]
    shift = (gt_box[:, :2] + 0.5 * gt_size) - (box[:, :2] + 0.5 * size)
    return np.concatenate([shift / size, np.log(gt_size / size)], axis=1)


def norm_boxes(boxes: Num[np.ndarray, "*N 4"], shape: ImageShape, continuous: bool = False) -> Float32[np.ndarray, "*N 4"]:
    """Normalise pixel boxes by the shape (height, width, ...) of their image.

    Args:
        continuous: use continuous coordinates instead of the classic ones.
    """
    scale, shift = _scale_and_shift(shape, continuous)
    return np.divide(boxes - shift, scale).astype(np.float32)


def denorm_boxes(boxes: Num[np.ndarray, "*N 4"], shape: ImageShape, continuous: bool = False) -> Int32[np.ndarray, "*N 4"]:
    """Convert normalised boxes to pixels, rounded to integers; the inverse of `norm_boxes`."""
    scale, shift = _scale_and_shift(shape, continuous)
    return np.around(np.multiply(boxes, scale) + shift).astype(np.int32)


def _scale_and_shift(shape: ImageShape, continuous: bool) -> tuple[Num[np.ndarray, " 4"], Int[np.ndarray, " 4"]]:
    h, w = shape[:2]
    if continuous:
        return np.array([h, w, h, w]), np.zeros(4, int)
    return np.array([h - 1, w - 1, h - 1, w - 1]), np.array([0, 0, 1, 1])
