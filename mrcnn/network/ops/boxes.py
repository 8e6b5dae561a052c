"""Box arithmetic on tensors: the counterpart of `mrcnn.geometry.boxes`, which defines the coordinates.

The tests run both on the same cases.

Shape letters: B images, R and G boxes; `...` stands for any leading dimensions.
"""

from keras import KerasTensor, ops

from mrcnn.geometry.meta import split_image_meta

# Maximum log scale that is applied by default: far larger than any image needs, yet small enough that float32 does not
# overflow. An infinite size would make the corners NaN, and untrained or diverged networks do predict such deltas.
MAX_LOG_SCALE = 20.0


def apply_box_deltas(boxes: KerasTensor, deltas: KerasTensor, max_log_scale: float = MAX_LOG_SCALE) -> KerasTensor:
    """Shift and scale boxes by deltas.

    Args:
        boxes: float32 [..., 4]. (y1, x1, y2, x2).
        deltas: float32 [..., 4]. (dy, dx, log dh, log dw), already multiplied by their standard deviation.
        max_log_scale: larger values of log dh and log dw are limited to this.

    Returns:
        float32 [..., 4]. Boxes in the same coordinates, not clipped.

    Source: R-CNN (Girshick et al. 2014), appendix C.
    """
    y1, x1, y2, x2 = _corners(boxes)
    height, width = y2 - y1, x2 - x1
    center_y = y1 + 0.5 * height + deltas[..., 0] * height
    center_x = x1 + 0.5 * width + deltas[..., 1] * width
    height = height * ops.exp(ops.minimum(deltas[..., 2], max_log_scale))
    width = width * ops.exp(ops.minimum(deltas[..., 3], max_log_scale))
    top, left = center_y - 0.5 * height, center_x - 0.5 * width
    return ops.stack([top, left, top + height, left + width], axis=-1)


def box_refinement(boxes: KerasTensor, gt_boxes: KerasTensor) -> KerasTensor:
    """Return the deltas that move `boxes` onto `gt_boxes`; the inverse of `apply_box_deltas`.

    Args:
        boxes: float32 [..., 4]. Areas must be positive.
        gt_boxes: float32 [..., 4]. Areas must be positive.

    Returns:
        float32 [..., 4]. (dy, dx, log dh, log dw), not divided by a standard deviation.
    """
    y1, x1, y2, x2 = _corners(boxes)
    gt_y1, gt_x1, gt_y2, gt_x2 = _corners(gt_boxes)
    height, width = y2 - y1, x2 - x1
    gt_height, gt_width = gt_y2 - gt_y1, gt_x2 - gt_x1
    dy = ((gt_y1 + 0.5 * gt_height) - (y1 + 0.5 * height)) / height
    dx = ((gt_x1 + 0.5 * gt_width) - (x1 + 0.5 * width)) / width
    return ops.stack([dy, dx, ops.log(gt_height / height), ops.log(gt_width / width)], axis=-1)


def clip_boxes(boxes: KerasTensor, window: KerasTensor) -> KerasTensor:
    """Clip boxes to a window.

    Args:
        boxes: float32 [..., N, 4].
        window: float32, broadcastable to [..., N, 4]: for instance [4] or [B, 1, 4].

    Returns:
        float32 [..., N, 4]. A box outside the window collapses to zero area.
    """
    y1, x1, y2, x2 = _corners(boxes)
    top, left, bottom, right = _corners(ops.convert_to_tensor(window))
    return ops.stack([
        ops.maximum(ops.minimum(y1, bottom), top), ops.maximum(ops.minimum(x1, right), left),
        ops.maximum(ops.minimum(y2, bottom), top), ops.maximum(ops.minimum(x2, right), left)], axis=-1)


def compute_overlaps(boxes1: KerasTensor, boxes2: KerasTensor) -> KerasTensor:
    """Return the IoU of every pair of boxes from two sets, per image.

    Args:
        boxes1: float32 [..., R, 4].
        boxes2: float32 [..., G, 4].

    Returns:
        float32 [..., R, G] in [0, 1]. 0 for boxes of zero area, so padding overlaps nothing.
    """
    y1, x1, y2, x2 = (ops.expand_dims(c, -1) for c in _corners(boxes1))  # [..., R, 1]
    other_y1, other_x1, other_y2, other_x2 = (ops.expand_dims(c, -2) for c in _corners(boxes2))  # [..., 1, G]
    height = ops.maximum(ops.minimum(y2, other_y2) - ops.maximum(y1, other_y1), 0.0)
    width = ops.maximum(ops.minimum(x2, other_x2) - ops.maximum(x1, other_x1), 0.0)
    intersection = height * width
    union = (y2 - y1) * (x2 - x1) + (other_y2 - other_y1) * (other_x2 - other_x1) - intersection
    return ops.where(intersection > 0.0, intersection / ops.where(union > 0.0, union, 1.0), 0.0)


def norm_boxes(boxes: KerasTensor, shape: KerasTensor, continuous: bool = False) -> KerasTensor:
    """Normalise pixel boxes: (boxes - [0, 0, 1, 1]) / ([h, w, h, w] - 1), or boxes / [h, w, h, w] in continuous coordinates.

    Args:
        boxes: [..., 4]. Pixels.
        shape: number [..., 2]. (height, width) of the image, broadcastable to the boxes' leading dimensions.
        continuous: see `mrcnn.geometry.boxes`.

    Returns:
        float32 [..., 4].
    """
    scale, shift = _norm_scale_and_shift(shape, continuous)
    return (ops.cast(boxes, "float32") - shift) / scale


def denorm_boxes(boxes: KerasTensor, shape: KerasTensor, continuous: bool = False) -> KerasTensor:
    """Convert normalised boxes to pixels, rounded; the inverse of `norm_boxes`.

    Args:
        boxes: float32 [..., 4]. Normalised.
        shape: number [..., 2]. (height, width) of the image.
        continuous: see `mrcnn.geometry.boxes`.

    Returns:
        int32 [..., 4].
    """
    scale, shift = _norm_scale_and_shift(shape, continuous)
    return ops.cast(ops.round(ops.cast(boxes, "float32") * scale + shift), "int32")


def _norm_scale_and_shift(shape: KerasTensor, continuous: bool) -> tuple[KerasTensor, KerasTensor]:
    shape = ops.cast(shape, "float32")
    scale = ops.concatenate([shape, shape], axis=-1)
    if continuous:
        return scale, ops.zeros((4,), "float32")
    return scale - 1.0, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], "float32")


def _corners(boxes: KerasTensor) -> tuple[KerasTensor, ...]:
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def image_size(meta: KerasTensor) -> KerasTensor:
    """Return the (height, width) of each network input, for `norm_boxes`: float32 [B, 2].

    Args:
        meta: [B, 12 + K]. See `geometry.meta`.
    """
    return ops.cast(split_image_meta(meta)["image_shape"][:, :2], "float32")
