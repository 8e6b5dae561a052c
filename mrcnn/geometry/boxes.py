"""Boxes in NumPy, and the coordinate convention of the whole package.

Boxes are `(y1, x1, y2, x2)`. In pixels, `(y2, x2)` lies outside the box, so its height is `y2 - y1`. Normalised boxes
are `(box - [0, 0, 1, 1]) / ([h, w, h, w] - 1)`. Deltas are `(dy, dx, log dh, log dw)`. Sizes are `(height, width)`.
Class 0 is the background, a negative class id is a crowd, and padding rows are all zero.

Shape letters: N M boxes, H W image size.
"""

import numpy as np

# pairs of boxes compared at a time
_BLOCK = 50_000


def extract_bboxes(mask):
    """Find the tight box of each mask of a stack.

    Args:
        mask: any dtype [H, W, N]. Non-zero is inside.

    Returns:
        int32 [N, 4]. Pixel boxes; an empty mask has the box (0, 0, 0, 0).
    """
    mask = np.asarray(mask)
    return boxes_of_profiles(mask.any(axis=1), mask.any(axis=0))


def boxes_of_profiles(rows, cols):
    """Find the tight boxes of masks of which the occupied rows and columns are known.

    Args:
        rows: bool [H, N]. Which rows each mask has a pixel in.
        cols: bool [W, N]. Which columns.

    Returns:
        int32 [N, 4]. Pixel boxes; a mask without a pixel has the box (0, 0, 0, 0).
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


def compute_iou(box, boxes, box_area, boxes_area):
    """Compute the overlap of one box with many.

    The areas come from the caller, who often has them already.

    Args:
        box: [4]. One box.
        boxes: [N, 4].
        box_area: float. Area of `box`.
        boxes_area: float [N]. Areas of `boxes`.

    Returns:
        float [N]. Intersection over union in [0, 1]; 0 where both boxes are without area.
    """
    height = np.maximum(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]), 0)
    width = np.maximum(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]), 0)
    intersection = height * width
    union = box_area + boxes_area - intersection
    return np.divide(intersection, union, out=np.zeros(len(boxes)), where=union > 0)


def box_areas(boxes):
    """Compute the areas of boxes. Args: boxes: [N, 4]. Returns: [N], in squared units of the boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def compute_overlaps(boxes1, boxes2):
    """Compute the intersection over union of each box with each other.

    Args:
        boxes1: [N, 4]. Any unit, the same for both.
        boxes2: [M, 4].

    Returns:
        float64 [N, M]. In [0, 1]; rows and columns of boxes without area are 0.
    """
    boxes1, boxes2 = np.asarray(boxes1), np.asarray(boxes2)
    overlaps = np.zeros((len(boxes1), len(boxes2)))
    if not overlaps.size:
        return overlaps
    areas1, areas2 = box_areas(boxes1), box_areas(boxes2)
    # as many rows at a time as fit into the cache of a core
    step = max(_BLOCK // len(boxes2), 1)
    for start in range(0, len(boxes1), step):
        rows = boxes1[start : start + step, None]  # [rows, 1, 4]
        height = np.minimum(rows[..., 2], boxes2[:, 2]) - np.maximum(rows[..., 0], boxes2[:, 0])  # [rows, M]
        width = np.minimum(rows[..., 3], boxes2[:, 3]) - np.maximum(rows[..., 1], boxes2[:, 1])
        intersection = np.maximum(height, 0) * np.maximum(width, 0)
        union = areas1[start : start + step, None] + areas2 - intersection
        np.divide(intersection, union, out=overlaps[start : start + step], where=union > 0)
    return overlaps


def non_max_suppression(boxes, scores, threshold):
    """Keep the best-scored boxes that do not overlap a better one too much.

    Args:
        boxes: [N, 4], N > 0.
        scores: float [N].
        threshold: float. A box whose IoU with a kept one is above it is removed.

    Returns:
        int32 [kept]. Positions in `boxes`, best score first.

    Raises:
        ValueError: there is no box.
    """
    boxes, scores = np.asarray(boxes), np.asarray(scores)
    if len(boxes) == 0:
        raise ValueError("non_max_suppression needs at least one box, and got none: test for it before the call")
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


def apply_box_deltas(boxes, deltas):
    """Move and scale boxes by deltas; the inverse of `box_refinement`.

    Args:
        boxes: [N, 4].
        deltas: float [N, 4]. (dy, dx, log dh, log dw), already multiplied by their standard deviations.

    Returns:
        float32 [N, 4].

    Source: R-CNN (Girshick et al. 2014), appendix C.
    """
    boxes = np.asarray(boxes).astype(np.float32)
    deltas = np.asarray(deltas)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * size + deltas[:, :2] * size
    size = size * np.exp(deltas[:, 2:])
    top_left = centre - 0.5 * size
    return np.concatenate([top_left, top_left + size], axis=1).astype(np.float32)


def box_refinement(box, gt_box):
    """Compute the deltas that turn boxes into ground-truth boxes.

    Args:
        box: [N, 4]. With positive heights and widths.
        gt_box: [N, 4]. The targets, row by row.

    Returns:
        float32 [N, 4]. (dy, dx, log dh, log dw), not divided by a standard deviation.

    Source: R-CNN (Girshick et al. 2014), appendix C.
    """
    box, gt_box = np.asarray(box).astype(np.float32), np.asarray(gt_box).astype(np.float32)
    size, gt_size = box[:, 2:] - box[:, :2], gt_box[:, 2:] - gt_box[:, :2]
    shift = (gt_box[:, :2] + 0.5 * gt_size) - (box[:, :2] + 0.5 * size)
    return np.concatenate([shift / size, np.log(gt_size / size)], axis=1)


def norm_boxes(boxes, shape):
    """Turn pixel boxes into normalised ones.

    Args:
        boxes: [N, 4]. Pixels.
        shape: (height, width) of the image in pixels; more numbers are left unread.

    Returns:
        float32 [N, 4]. 0 and 1 are the centres of the first and of the last pixel.
    """
    h, w = shape[:2]
    scale = np.array([h - 1, w - 1, h - 1, w - 1])
    return np.divide(np.asarray(boxes) - np.array([0, 0, 1, 1]), scale).astype(np.float32)


def denorm_boxes(boxes, shape):
    """Turn normalised boxes into pixel boxes; the inverse of `norm_boxes`.

    Args:
        boxes: float [N, 4]. Normalised.
        shape: (height, width) of the image in pixels; more numbers are left unread.

    Returns:
        int32 [N, 4]. Rounded to whole pixels.
    """
    h, w = shape[:2]
    scale = np.array([h - 1, w - 1, h - 1, w - 1])
    return np.around(np.multiply(boxes, scale) + np.array([0, 0, 1, 1])).astype(np.int32)
