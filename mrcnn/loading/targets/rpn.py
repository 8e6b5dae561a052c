"""Targets of the region proposal network: labels of the sampled anchors, and deltas from the positive ones to their boxes.

Shape letters: A anchors, G ground-truth boxes, T sampled anchors of an image.
"""

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, Num

from mrcnn.base.random import as_rng, choose
from mrcnn.base.types import Numbers
from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.loading.targets.anchor_index import AnchorIndex, index_anchors

# Source: Faster R-CNN (Ren et al. 2015), section 3.1.2: positive from an IoU of 0.7, negative below 0.3.
POSITIVE_IOU = 0.7
NEGATIVE_IOU = 0.3
# Minimum IoU with a crowd from which an anchor is not negative, because it may contain an object.
CROWD_IOU = 0.001
# Negative anchors are drawn from all anchors if there are at least this many times as many anchors as needed.
_DRAWING_RATIO = 10


def build_rpn_targets(
    anchors: AnchorIndex | Num[np.ndarray, "A 4"],
    gt_class_ids: Num[np.ndarray, " G"],
    gt_boxes: Num[np.ndarray, "G 4"],
    *,
    num_train_anchors: int,
    bbox_std_dev: Numbers,
    rng: np.random.Generator | None = None,
    positive_iou: float = POSITIVE_IOU,
    negative_iou: float = NEGATIVE_IOU,
) -> tuple[
    Int32[np.ndarray, " T"],
    Int32[np.ndarray, " T"],
    Float32[np.ndarray, "T 4"],
]:
    """Match anchors to ground-truth boxes, and sample T anchors for the losses.

    An anchor is positive if its IoU with a box is at least `positive_iou`, or if no anchor has a higher IoU with some box. It
    is negative if its IoU with every box is below `negative_iou` and it touches no crowd. All others are neutral and are not
    sampled. At most half of the sampled anchors are positive.

    Args:
        anchors: pixel boxes. Passing an AnchorIndex saves a look-up in the cache of indices.
        gt_class_ids: negative for crowds; 0 is padding, which is ignored.
        gt_boxes: pixel boxes; boxes without area are ignored.
        num_train_anchors: T.
        bbox_std_dev: 4 numbers. The deltas are divided by them.
        rng: draws the sample; None uses NumPy's global state.
        positive_iou: in 0..1.
        negative_iou: in 0..1.

    Returns:
        (positions, labels, deltas), a row per sampled anchor: first the positive anchors in ascending order, then the
        negative ones in ascending order, then padding.

        positions: index of the anchor in `anchors`; 0 in padding rows.
        labels: 1 positive, -1 negative, 0 padding.
        deltas: from the anchor to its box; 0 in negative and padding rows.

    Differs: a box that no anchor overlaps has no best anchor. The classic code made every anchor positive whose IoU
    with such a box was 0.
    """
    index = index_anchors(anchors)
    rng = as_rng(rng)
    has_area = (gt_boxes[:, 2:] > gt_boxes[:, :2]).all(axis=1)
    boxes, crowds = gt_boxes[has_area & (gt_class_ids > 0)], gt_boxes[has_area & (gt_class_ids < 0)]

    matched = index.match(boxes, positive_iou)
    positive = np.sort(choose(rng, matched, num_train_anchors // 2))
    negative = np.sort(_choose_negative(index, boxes, crowds, matched, num_train_anchors - len(positive), rng,
                                        negative_iou))
    num_positive, num_chosen = len(positive), len(positive) + len(negative)

    positions = np.zeros(num_train_anchors, np.int32)
    labels = np.zeros(num_train_anchors, np.int32)
    deltas = np.zeros((num_train_anchors, 4), np.float32)
    positions[:num_positive], positions[num_positive:num_chosen] = positive, negative
    labels[:num_positive], labels[num_positive:num_chosen] = 1, -1
    if num_positive:
        anchor_boxes = index.anchors[positive]
        nearest = compute_overlaps(anchor_boxes, boxes).argmax(axis=1)
        deltas[:num_positive] = _deltas(anchor_boxes, boxes[nearest]) / np.asarray(bbox_std_dev)
    return positions, labels, deltas


def _choose_negative(
    index: AnchorIndex,
    boxes: Num[np.ndarray, "G 4"],
    crowds: Num[np.ndarray, "C 4"],
    matched: Int[np.ndarray, " P"],
    count: int,
    rng: np.random.Generator,
    negative_iou: float,
) -> Int[np.ndarray, " n"]:
    """Sample `count` negative anchors, or all of them if there are fewer."""
    # Most anchors are negative, so drawing a few from all anchors and testing those is faster than testing every anchor.
    if count * _DRAWING_RATIO < len(index):
        drawn = rng.choice(len(index), 2 * count, replace=False)
        anchors = index.anchors[drawn]
        is_negative = (compute_overlaps(anchors, boxes) < negative_iou).all(axis=1)
        is_negative &= (compute_overlaps(anchors, crowds) < CROWD_IOU).all(axis=1)
        drawn = drawn[is_negative & ~np.isin(drawn, matched)]
        if len(drawn) >= count:
            return drawn[:count]
    is_negative = np.ones(len(index), bool)
    is_negative[matched] = False
    for threshold, group in ((negative_iou, boxes), (CROWD_IOU, crowds)):
        for box in group:
            is_negative[index.overlapping(box, threshold)[0]] = False
    return choose(rng, np.flatnonzero(is_negative), count)


def _deltas(anchors: Float[np.ndarray, "n 4"], boxes: Num[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Compute the deltas from anchors to boxes, in float64."""
    size, target_size = anchors[:, 2:] - anchors[:, :2], (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    shift = (boxes[:, :2] + 0.5 * target_size) - (anchors[:, :2] + 0.5 * size)
    return np.concatenate([shift / size, np.log(target_size / size)], axis=1)
