"""Average precision of one image, as the classic code defines it (all points of the curve, as Pascal VOC 2010).

Over a whole set use `evaluation.coco`: the mean of the images' APs is not the AP of the set.

Legend: N predictions, G ground-truth rows (padded with zeros at the end), H W image.
"""

import numpy as np

from mrcnn.evaluation.matching import NO_MATCH, match_by_overlaps, sorted_overlaps


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
