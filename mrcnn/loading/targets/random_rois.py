"""Targets of the heads for random ROIs, made outside the network for the classic generator and for inspection.

Training uses `mrcnn.network.layers.detection_target` in every mode.

Shape letters: R ROIs, S sampled ROIs, G ground-truth instances, K classes with background, h w masks, M N mask
targets.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, Num

from mrcnn.base.random import as_rng, choose
from mrcnn.base.types import Numbers
from mrcnn.geometry.boxes import box_refinement, compute_overlaps
from mrcnn.geometry.rasterize import Frame, MaskInstance

# Source: Fast R-CNN (Girshick 2015), section 2.3: an ROI with an IoU of at least 0.5 has the class of the object.
POSITIVE_IOU = 0.5
# Minimum IoU with a crowd from which an ROI is not negative, because it may contain an object.
CROWD_IOU = 0.001
# Fraction of the random ROIs that are drawn near the boxes, and the fraction of these that are jittered boxes.
_NEAR_SHARE, _JITTER_SHARE = 0.9, 0.5
# How far a corner is jittered, in sides of its box.
_JITTER = 0.2


def build_detection_targets(
    rpn_rois: Num[np.ndarray, "R 4"],
    gt_class_ids: Int[np.ndarray, " G"],
    gt_boxes: Num[np.ndarray, "G 4"],
    gt_masks: Bool[np.ndarray, "G h w"],
    *,
    rois_per_image: int,
    positive_ratio: float,
    num_classes: int,
    bbox_std_dev: Numbers,
    mask_shape: tuple[int, int],
    use_mini_mask: bool,
    rng: np.random.Generator | None = None,
) -> tuple[
    Num[np.ndarray, "S 4"], Int32[np.ndarray, " S"], Float32[np.ndarray, "S K 4"], Float32[np.ndarray, "S M N K"]
]:
    """Sample ROIs, and compute their targets.

    Args:
        rpn_rois: pixel boxes, at least one.
        gt_class_ids: negative for crowds, 0 for padding.
        gt_boxes: pixel boxes.
        gt_masks: mini-masks, or masks of the size of the image.
        rois_per_image: S.
        positive_ratio: maximum fraction of positive ROIs.
        num_classes: K.
        bbox_std_dev: 4 numbers. The deltas are divided by them.
        mask_shape: (height, width) of the mask targets.
        use_mini_mask: whether gt_masks are mini-masks.
        rng: draws the sample; None uses NumPy's global state.

    Returns:
        (rois, class_ids, deltas, masks), the positive ROIs first.

        rois: in the dtype of rpn_rois.
        class_ids: 0 for background.
        deltas: 0 except at the class of the ROI.
        masks: 0 or 1; 0 except at the class of the ROI.

    Raises:
        ValueError: there is no ROI.

    Differs: an IoU of exactly 0.5 is positive, ROIs that touch a crowd are not negative, and masks are 0 or 1, as in
    the network's target layer. If there are too few negative ROIs, they are repeated; the classic code returned fewer
    than S.
    """
    if len(rpn_rois) == 0:
        raise ValueError("build_detection_targets needs at least one ROI, but got none")
    rng = as_rng(rng)
    objects = np.flatnonzero(gt_class_ids > 0)
    overlaps = compute_overlaps(rpn_rois, gt_boxes[objects])  # [R, objects]
    best = overlaps.max(axis=1, initial=0)
    in_crowd = compute_overlaps(rpn_rois, gt_boxes[gt_class_ids < 0]).max(axis=1, initial=0) >= CROWD_IOU
    positive = choose(rng, np.flatnonzero(best >= POSITIVE_IOU), int(rois_per_image * positive_ratio))
    negative = choose(rng, np.flatnonzero((best < POSITIVE_IOU) & ~in_crowd), rois_per_image - len(positive))
    kept = _fill_up(positive, negative, rois_per_image, len(rpn_rois), rng)

    rois, is_positive = rpn_rois[kept], best[kept] >= POSITIVE_IOU
    class_ids = np.zeros(rois_per_image, np.int32)
    deltas = np.zeros((rois_per_image, num_classes, 4), np.float32)
    masks = np.zeros((rois_per_image, *mask_shape, num_classes), np.float32)
    rows = np.flatnonzero(is_positive)
    if len(rows):
        matched = objects[overlaps[kept[rows]].argmax(axis=1)]
        class_ids[rows] = gt_class_ids[matched]
        deltas[rows, class_ids[rows]] = box_refinement(rois[rows], gt_boxes[matched]) / np.asarray(bbox_std_dev)
        for row, instance in zip(rows, matched, strict=True):
            box = gt_boxes[instance] if use_mini_mask else None
            masks[row, :, :, class_ids[row]] = cut_mask(gt_masks[instance], box, rois[row], mask_shape)
    return rois, class_ids, deltas, masks


def _fill_up(
    positive: Int[np.ndarray, " P"], negative: Int[np.ndarray, " n"], count: int, num_rois: int, rng: np.random.Generator
) -> Int[np.ndarray, " S"]:
    """Join positives and negatives, and repeat some if there are fewer than `count`."""
    kept = np.concatenate([positive, negative])
    missing = count - len(kept)
    if missing:
        source = negative if len(negative) else positive if len(positive) else np.arange(num_rois)
        kept = np.concatenate([kept, rng.choice(source, missing)])
    return kept


def cut_mask(
    mask: Bool[np.ndarray, "h w"],
    box: Num[np.ndarray, "4"] | None,
    roi: Num[np.ndarray, "4"],
    shape: tuple[int, int],
) -> Bool[np.ndarray, "M N"]:
    """Crop an instance's mask to an ROI, and resize it.

    Args:
        mask: mini-mask of `box`, or a mask of the size of the image.
        box: box of the mini-mask in pixels; None for a mask of the size of the image.
        roi: the ROI, in pixels.
        shape: (height, width) of the result.

    Returns:
        The mask, interpolated bilinearly and thresholded at one half; False outside the mask.
    """
    if box is None:
        top, left = max(int(roi[0]), 0), max(int(roi[1]), 0)
        mask = mask[top : int(roi[2]), left : int(roi[3])]
        scale, offset = (1.0, 1.0), (top, left)
    else:
        scale = ((box[2] - box[0]) / mask.shape[0], (box[3] - box[1]) / mask.shape[1])
        offset = (box[0], box[1])
    if not mask.size:
        return np.zeros(shape, bool)
    size = (mask.shape[0], mask.shape[1])
    frame = Frame(size, size, scale, offset)
    return MaskInstance(mask, (0, 0)).draw(frame, [float(v) for v in roi], tuple(shape))


def generate_random_rois(
    image_shape: tuple[int, ...],
    count: int,
    gt_class_ids: Int[np.ndarray, " G"],
    gt_boxes: Num[np.ndarray, "G 4"],
    rng: np.random.Generator | None = None,
) -> Int32[np.ndarray, "R 4"]:
    """Generate random ROIs, most of them near the objects, to replace the proposals of the RPN.

    Args:
        image_shape: (height, width, ...) in pixels.
        count: R.
        gt_class_ids: crowds and padding are ignored.
        gt_boxes: pixel boxes.
        rng: draws the ROIs; None uses NumPy's global state.

    Returns:
        Pixel boxes inside the image, at least one pixel high and wide.

    Differs: half of the ROIs near an object are its box with jittered corners. The classic code drew all of them
    anywhere within one box size of the object, which gave small data sets too few positive ROIs.
    """
    rng = as_rng(rng)
    height, width = (int(v) for v in image_shape[:2])
    boxes = gt_boxes[gt_class_ids > 0]
    num_near = int(_NEAR_SHARE * count) if len(boxes) else 0
    num_jittered = int(_JITTER_SHARE * num_near)
    near = boxes[np.arange(num_near) % max(len(boxes), 1)]
    rois = [
        _jitter(near[:num_jittered], rng),
        _draw_inside(_surroundings(near[: num_near - num_jittered]), rng),
        _draw_inside(np.tile([0, 0, height, width], (count - num_near, 1)), rng),
    ]
    drawn = np.around(np.concatenate(rois)).astype(np.int32)
    drawn[:, :2] = np.clip(drawn[:, :2], 0, [height - 1, width - 1])
    drawn[:, 2:] = np.clip(np.maximum(drawn[:, 2:], drawn[:, :2] + 1), 1, [height, width])
    return drawn


def _jitter(boxes: Num[np.ndarray, "n 4"], rng: np.random.Generator) -> Float[np.ndarray, "n 4"]:
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return boxes + rng.uniform(-_JITTER, _JITTER, boxes.shape) * size


def _surroundings(boxes: Num[np.ndarray, "n 4"]) -> Num[np.ndarray, "n 4"]:
    """Return boxes enlarged by one box size in every direction."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] - size, boxes[:, 2:] + size], axis=1)


def _draw_inside(areas: Num[np.ndarray, "n 4"], rng: np.random.Generator) -> Float[np.ndarray, "n 4"]:
    """Draw a box in each area: two random corners."""
    corners = np.sort(rng.uniform(areas[:, None, :2], areas[:, None, 2:], (len(areas), 2, 2)), axis=1)
    return corners.reshape(-1, 4)
