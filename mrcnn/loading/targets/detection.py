"""Targets of the detection heads, outside the network: for regions that do not come from the proposal layer.

Shape letters: R regions, S regions sampled, G ground-truth instances, K classes with background, H W image, h w masks.
"""

import numpy as np

from mrcnn.base.random import as_rng, choose
from mrcnn.geometry.boxes import box_refinement, compute_overlaps
from mrcnn.geometry.rasterize import Frame, MaskInstance

# Source: Fast R-CNN (Girshick 2015), section 2.3: a region with an IoU of at least 0.5 is of the object's class.
POSITIVE_IOU = 0.5
# a region that touches a crowd more than this is no background
CROWD_IOU = 0.001
# share of the random regions that are drawn around the boxes, and of these the share that are mere jitter of a box
_NEAR_SHARE, _JITTER_SHARE = 0.9, 0.5
# how far a corner is jittered, in sides of its box
_JITTER = 0.2


def build_detection_targets(
    rpn_rois,
    gt_class_ids,
    gt_boxes,
    gt_masks,
    *,
    rois_per_image,
    positive_ratio,
    num_classes,
    bbox_std_dev,
    mask_shape,
    use_mini_mask,
    rng=None,
):
    """Sample regions, and compute what the heads should say of each.

    Args:
        rpn_rois: [R, 4], R > 0. Pixel boxes.
        gt_class_ids: int [G]. Negative for crowds, 0 for padding.
        gt_boxes: [G, 4]. Pixel boxes.
        gt_masks: bool [G, h, w]. Mini-masks, or masks of the image's size.
        rois_per_image: int. S.
        positive_ratio: float. Share of positive regions aimed at.
        num_classes: int. K.
        bbox_std_dev: [4]. The deltas are divided by it.
        mask_shape: (height, width) of the mask targets.
        use_mini_mask: bool. Says what gt_masks are.
        rng: numpy Generator for the choice; None draws from NumPy's global state.

    Returns:
        (rois, class_ids, deltas, masks): [S, 4] in the dtype of rpn_rois, positive ones first; int32 [S], 0 for
        background; float32 [S, K, 4], non-zero in the region's class only; float32 [S, height, width, K], 0 or 1,
        likewise.

    Raises:
        ValueError: there is no region.

    Differs: an IoU of exactly 0.5 is positive, regions that touch a crowd are no background, and masks are 0 or 1, as
    in the network's own target layer; where positive regions do not leave enough others, they are repeated and not
    too few.
    """
    rpn_rois, gt_class_ids = np.asarray(rpn_rois), np.asarray(gt_class_ids)
    if len(rpn_rois) == 0:
        raise ValueError("build_detection_targets needs at least one region, and got none")
    rng = as_rng(rng)
    objects = np.flatnonzero(gt_class_ids > 0)
    overlaps = compute_overlaps(rpn_rois, gt_boxes[objects])  # [R, objects]
    best = overlaps.max(axis=1, initial=0)
    in_crowd = compute_overlaps(rpn_rois, gt_boxes[gt_class_ids < 0]).max(axis=1, initial=0) >= CROWD_IOU
    positive = choose(rng, np.flatnonzero(best >= POSITIVE_IOU), int(rois_per_image * positive_ratio))
    negative = choose(rng, np.flatnonzero((best < POSITIVE_IOU) & ~in_crowd), rois_per_image - len(positive))
    kept = _fill(positive, negative, rois_per_image, len(rpn_rois), rng)

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
            mask = gt_masks[instance]
            box = gt_boxes[instance] if use_mini_mask else None
            masks[row, :, :, class_ids[row]] = cut_mask(mask, box, rois[row], mask_shape)
    return rois, class_ids, deltas, masks


def _fill(positive, negative, count, num_rois, rng):
    """Join positives and negatives, and repeat some where they are not enough."""
    kept = np.concatenate([positive, negative])
    missing = count - len(kept)
    if missing:
        source = negative if len(negative) else positive if len(positive) else np.arange(num_rois)
        kept = np.concatenate([kept, rng.choice(source, missing)])
    return kept


def cut_mask(mask, box, roi, shape):
    """Cut what a region shows of an instance's mask.

    Args:
        mask: bool [h, w]. A mini-mask over `box`, or a mask of the image's size.
        box: (y1, x1, y2, x2) of the mini-mask in pixels; None for a mask of the image's size.
        roi: (y1, x1, y2, x2) of the region in pixels.
        shape: (height, width) of the result.

    Returns:
        bool [height, width]. Bilinear, above one half is inside; outside the mask is 0.
    """
    if box is None:
        top, left = max(int(roi[0]), 0), max(int(roi[1]), 0)
        mask, box = mask[top : int(roi[2]), left : int(roi[3])], (top, left, int(roi[2]), int(roi[3]))
        frame = Frame(mask.shape, mask.shape, (1.0, 1.0), (top, left))
    else:
        scale = ((box[2] - box[0]) / mask.shape[0], (box[3] - box[1]) / mask.shape[1])
        frame = Frame(mask.shape, mask.shape, scale, (box[0], box[1]))
    if not mask.size:
        return np.zeros(shape, bool)
    return MaskInstance(mask.astype(bool, copy=False), (0, 0)).draw(frame, [float(v) for v in roi], tuple(shape))


def generate_random_rois(image_shape, count, gt_class_ids, gt_boxes, rng=None):
    """Generate regions at random, most of them about the objects: a stand-in for the region proposal network.

    Args:
        image_shape: (height, width, ...) in pixels.
        count: int. Number of regions.
        gt_class_ids: int [G]. Crowds and padding are passed over.
        gt_boxes: [G, 4]. Pixel boxes.
        rng: numpy Generator; None draws from NumPy's global state.

    Returns:
        int32 [count, 4]. Pixel boxes inside the image, each with an area.

    Differs: half of the regions about an object are its box with jittered corners. The classic code drew all of them
    anywhere within one box size around, which leaves small sets short of positive regions.
    """
    rng = as_rng(rng)
    height, width = (int(v) for v in image_shape[:2])
    boxes = np.asarray(gt_boxes).reshape(-1, 4)[np.asarray(gt_class_ids) > 0]
    near = int(_NEAR_SHARE * count) if len(boxes) else 0
    jittered = int(_JITTER_SHARE * near)
    rois = [
        _jittered(boxes[np.arange(jittered) % max(len(boxes), 1)], rng) if jittered else np.zeros((0, 4)),
        _anywhere(_surroundings(boxes[np.arange(near - jittered) % max(len(boxes), 1)]), rng)
        if near
        else np.zeros((0, 4)),
        _anywhere(np.tile([0, 0, height, width], (count - near, 1)), rng),
    ]
    rois = np.around(np.concatenate(rois)).astype(np.int32)
    # inside the image, and at least one pixel high and wide
    rois[:, :2] = np.clip(rois[:, :2], 0, [height - 1, width - 1])
    rois[:, 2:] = np.clip(np.maximum(rois[:, 2:], rois[:, :2] + 1), 1, [height, width])
    return rois


def _jittered(boxes, rng):
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return boxes + rng.uniform(-_JITTER, _JITTER, boxes.shape) * size


def _surroundings(boxes):
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] - size, boxes[:, 2:] + size], axis=1)


def _anywhere(areas, rng):
    """Draw a box in each of the areas [n, 4]: two random corners."""
    corners = np.sort(rng.uniform(areas[:, None, :2], areas[:, None, 2:], (len(areas), 2, 2)), axis=1)
    return corners.reshape(-1, 4)
