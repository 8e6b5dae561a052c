"""Targets of the region proposal network: which anchors are objects, and how far off they are.

Shape letters: A anchors, G ground-truth boxes, T anchors trained on in an image.
"""

import numpy as np

from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.loading.targets.anchor_index import index_anchors
from mrcnn.loading.targets.sampling import as_rng, choose

# Source: Faster R-CNN (Ren et al. 2015), section 3.1.2: an anchor is an object from 0.7 on, and background below 0.3.
POSITIVE_IOU = 0.7
NEGATIVE_IOU = 0.3
# an anchor that touches a crowd more than this is no background: there may be an object in it
CROWD_IOU = 0.001
# "few" anchors are to be chosen when there are this many times more
_FEW = 10


def build_rpn_targets(anchors, gt_class_ids, gt_boxes, *, num_train_anchors, bbox_std_dev, rng=None, out=None):
    """Match anchors to ground-truth boxes, and choose those to train on.

    An anchor is positive when its IoU with a box is at least 0.7, or when no anchor overlaps some box more; negative
    when its IoU with all boxes is below 0.3 and it touches no crowd; else neutral. At most half of the anchors chosen
    are positive.

    Args:
        anchors: float [A, 4] pixel boxes, or an AnchorIndex of them, which spares looking the array up at each call.
        gt_class_ids: int [G]. Negative is a crowd; zero is padding, and is passed over.
        gt_boxes: [G, 4]. Pixel boxes; those without area are passed over.
        num_train_anchors: int. T.
        bbox_std_dev: [4]. The deltas are divided by it.
        rng: numpy Generator for the choice; None draws from NumPy's global state.
        out: int32 [A] of zeros, to be filled in and returned as rpn_match; None takes new memory.

    Returns:
        (rpn_match, rpn_bbox): int32 [A], 1 positive, -1 negative, 0 neutral; float64 [T, 4], deltas of the positive
        anchors in the order of their positions, then zero rows.

    Differs: a box that no anchor touches has no best anchor; the classic code made all anchors positive that had an
    IoU of 0 with it.
    """
    index = index_anchors(anchors)
    rng = as_rng(rng)
    gt_class_ids, gt_boxes = np.asarray(gt_class_ids), np.asarray(gt_boxes)
    has_area = (gt_boxes[:, 2:] > gt_boxes[:, :2]).all(axis=1)
    boxes, crowds = gt_boxes[has_area & (gt_class_ids > 0)], gt_boxes[has_area & (gt_class_ids < 0)]

    positive = index.match(boxes, POSITIVE_IOU)
    chosen = np.sort(choose(rng, positive, num_train_anchors // 2))
    rpn_match = np.zeros(len(index), np.int32) if out is None else out
    rpn_match[_choose_negative(index, boxes, crowds, positive, num_train_anchors - len(chosen), rng)] = -1
    rpn_match[chosen] = 1
    rpn_bbox = np.zeros((num_train_anchors, 4))
    if len(chosen):
        anchors = index.anchors[chosen]
        nearest = compute_overlaps(anchors, boxes).argmax(axis=1)
        rpn_bbox[: len(chosen)] = _deltas(anchors, boxes[nearest]) / bbox_std_dev
    return rpn_match, rpn_bbox


def _choose_negative(index, boxes, crowds, positive, count, rng):
    """Choose `count` negative anchors, or all if there are not more: int64 positions."""
    # most anchors are negative: a few drawn from all, and those that are not left out, spare looking at the others
    if count * _FEW < len(index):
        drawn = rng.choice(len(index), 2 * count, replace=False)
        anchors = index.anchors[drawn]
        is_negative = (compute_overlaps(anchors, boxes) < NEGATIVE_IOU).all(axis=1)
        is_negative &= (compute_overlaps(anchors, crowds) < CROWD_IOU).all(axis=1)
        drawn = drawn[is_negative & ~np.isin(drawn, positive)]
        if len(drawn) >= count:
            return drawn[:count]
    is_negative = np.ones(len(index), bool)
    is_negative[positive] = False
    for threshold, group in ((NEGATIVE_IOU, boxes), (CROWD_IOU, crowds)):
        for box in group:
            is_negative[index.overlapping(box, threshold)[0]] = False
    return choose(rng, np.flatnonzero(is_negative), count)


def _deltas(anchors, boxes):
    """Deltas from anchors to boxes in the dtype of the anchors: float64 [n, 4]."""
    size, target_size = anchors[:, 2:] - anchors[:, :2], (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    shift = (boxes[:, :2] + 0.5 * target_size) - (anchors[:, :2] + 0.5 * size)
    return np.concatenate([shift / size, np.log(target_size / size)], axis=1)
