"""Which prediction found which object, in one image.

Legend: N predictions, G ground-truth rows (padded with zeros at the end), H W image.
"""

import numpy as np

from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.geometry.masks import compute_overlaps_masks

NO_MATCH = -1


def _count_rows(boxes):
    """The number of rows that are no padding (padding rows are all zero)."""
    return int(np.any(np.asarray(boxes) != 0, axis=1).sum()) if len(boxes) else 0


def sorted_overlaps(gt_boxes, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks):
    """Drop padding, order the predictions by score, and compute the IoU of all masks: what every threshold shares.

    Args:
        gt_boxes: [G, 4], padding rows zero.
        gt_masks: bool [H, W, G].
        pred_boxes: [N, 4], padding rows zero.
        pred_class_ids: int [N].
        pred_scores: float [N].
        pred_masks: bool [H, W, N].

    Returns:
        class_ids: int [n]. Of the predictions, by descending score.
        overlaps: float [n, g]. IoU of the masks, rows by descending score.
    """
    num_gt, num_pred = _count_rows(gt_boxes), _count_rows(pred_boxes)
    order = np.argsort(np.asarray(pred_scores)[:num_pred])[::-1]
    class_ids = np.asarray(pred_class_ids)[order]
    if not num_gt or not num_pred:
        return class_ids, np.zeros((num_pred, num_gt))
    overlaps = compute_overlaps_masks(np.asarray(pred_masks)[..., order], np.asarray(gt_masks)[..., :num_gt])
    return class_ids, overlaps


def match_by_overlaps(overlaps, pred_class_ids, gt_class_ids, iou_threshold=0.5, score_threshold=0.0):
    """Give each prediction, best first, the best object of its class that is still free.

    Args:
        overlaps: float [N, G]. IoU; rows by descending score.
        pred_class_ids: int [N].
        gt_class_ids: int [G] or longer (padding).
        iou_threshold: float. IoU at and above which a match counts.
        score_threshold: float. Overlaps below it are not looked at. (It is an IoU, in spite of its classic name.)

    Returns:
        gt_match: int [G]. Row of the matched prediction, or -1.
        pred_match: int [N]. Index of the matched object, or -1.
    """
    num_pred, num_gt = overlaps.shape
    gt_match = np.full(num_gt, NO_MATCH, np.int64)
    pred_match = np.full(num_pred, NO_MATCH, np.int64)
    least = max(iou_threshold, score_threshold)
    for pred_ix in range(num_pred):
        for gt_ix in np.argsort(overlaps[pred_ix])[::-1]:
            if overlaps[pred_ix, gt_ix] < least:
                break  # all that follow overlap less
            if gt_match[gt_ix] == NO_MATCH and pred_class_ids[pred_ix] == gt_class_ids[gt_ix]:
                gt_match[gt_ix] = pred_ix
                pred_match[pred_ix] = gt_ix
                break
    return gt_match, pred_match


def compute_matches(
    gt_boxes,
    gt_class_ids,
    gt_masks,
    pred_boxes,
    pred_class_ids,
    pred_scores,
    pred_masks,
    iou_threshold=0.5,
    score_threshold=0.0,
):
    """Find the matches between predictions and ground truth by mask IoU.

    Args:
        gt_boxes: [G, 4], padding rows zero, at the end.
        gt_class_ids: int [G].
        gt_masks: bool [H, W, G].
        pred_boxes: [N, 4], padding rows zero, at the end.
        pred_class_ids: int [N].
        pred_scores: float [N].
        pred_masks: bool [H, W, N].
        iou_threshold: float. IoU at and above which a match counts.
        score_threshold: float. Overlaps below it are not looked at; the classic name is kept.

    Returns:
        gt_match: int [g]. For each object the row of its prediction (in order of descending score), or -1.
        pred_match: int [n]. For each prediction, by descending score, the index of its object, or -1.
        overlaps: float [n, g]. IoU of the masks, rows by descending score.

    Differs: the indices are integers; the classic code gave floats, which cannot index.
    """
    class_ids, overlaps = sorted_overlaps(gt_boxes, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks)
    gt_match, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_ids, iou_threshold, score_threshold)
    return gt_match, pred_match, overlaps


def compute_recall(pred_boxes, gt_boxes, iou):
    """The share of objects that are the best match of at least one box. For proposals, which have no class.

    Args:
        pred_boxes: [N, 4] (y1, x1, y2, x2) pixels.
        gt_boxes: [G, 4] (y1, x1, y2, x2) pixels.
        iou: float. IoU at and above which a box covers an object.

    Returns:
        recall: float in 0..1; nan where there is no object.
        positive_ids: int [P]. Indices of the boxes that cover an object.

    Differs: without objects, or without boxes, the classic code raised an error of NumPy's.
    """
    pred_boxes, gt_boxes = np.asarray(pred_boxes), np.asarray(gt_boxes)
    if not len(gt_boxes):
        return float("nan"), np.zeros(0, np.int64)
    if not len(pred_boxes):
        return 0.0, np.zeros(0, np.int64)
    overlaps = compute_overlaps(pred_boxes, gt_boxes)  # [N, G]
    positive_ids = np.nonzero(overlaps.max(axis=1) >= iou)[0]
    found = np.unique(overlaps.argmax(axis=1)[positive_ids])
    return len(found) / len(gt_boxes), positive_ids


def precision_recall_ap(pred_match, num_gt):
    """The precision-recall curve and the area under it.

    Args:
        pred_match: int [n]. By descending score; -1 is a false positive.
        num_gt: int. Number of objects.

    Returns:
        ap: float in 0..1; nan where there is no object.
        precisions: float [n + 2]. Made non-increasing; begins with the best precision and ends with 0.
        recalls: float [n + 2]. From 0 to 1.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2010, section 3.4.2 of its development kit.
    """
    true_positives = np.cumsum(np.asarray(pred_match) > NO_MATCH)
    precisions = true_positives / np.arange(1, len(true_positives) + 1)
    recalls = true_positives / num_gt if num_gt else np.full(len(true_positives), np.nan)
    precisions = np.concatenate([[0.0], precisions, [0.0]])
    recalls = np.concatenate([[0.0], recalls, [1.0]])
    # At each recall the best precision that this recall or a higher one has.
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    ap = float(np.sum(np.diff(recalls) * precisions[1:])) if num_gt else float("nan")
    return ap, precisions, recalls


def compute_ap(
    gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks, iou_threshold=0.5
):
    """Average precision of one image at one IoU, over all its classes together.

    Args:
        gt_boxes: [G, 4], padding rows zero, at the end.
        gt_class_ids: int [G].
        gt_masks: bool [H, W, G].
        pred_boxes: [N, 4], padding rows zero, at the end.
        pred_class_ids: int [N].
        pred_scores: float [N].
        pred_masks: bool [H, W, N].
        iou_threshold: float. Mask IoU at and above which a prediction is right.

    Returns:
        mAP: float in 0..1; nan where the image holds no object.
        precisions: float [n + 2].
        recalls: float [n + 2].
        overlaps: float [n, g]. IoU of the masks, rows by descending score.

    Differs: without objects the classic code gave 0 where nothing was predicted, nan otherwise; here it is always nan.
    """
    class_ids, overlaps = sorted_overlaps(gt_boxes, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks)
    _, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_ids, iou_threshold)
    ap, precisions, recalls = precision_recall_ap(pred_match, overlaps.shape[1])
    return ap, precisions, recalls, overlaps


def compute_ap_range(
    gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask, iou_thresholds=None, verbose=1
):
    """Mean of `compute_ap` over a range of IoU thresholds.

    Args:
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask: as in `compute_ap`.
        iou_thresholds: sequence of floats; default 0.5 to 0.95 in steps of 0.05.
        verbose: 1 prints each threshold's AP and the mean.

    Returns:
        float in 0..1; nan where the image holds no object.

    Differs: the masks' IoU is computed once, not once a threshold.
    """
    thresholds = np.arange(0.5, 1.0, 0.05) if iou_thresholds is None else np.asarray(iou_thresholds)
    class_ids, overlaps = sorted_overlaps(gt_box, gt_mask, pred_box, pred_class_id, pred_score, pred_mask)
    aps = []
    for threshold in thresholds:
        _, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_id, threshold)
        aps.append(precision_recall_ap(pred_match, overlaps.shape[1])[0])
        if verbose:
            print(f"AP @{threshold:.2f}:\t {aps[-1]:.3f}")
    mean = float(np.mean(aps))
    if verbose:
        print(f"AP @{thresholds[0]:.2f}-{thresholds[-1]:.2f}:\t {mean:.3f}")
    return mean
