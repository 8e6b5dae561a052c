"""The classic metrics of one image: matches between predictions and objects, average precision, recall of proposals.

Average precision is defined as in Pascal VOC 2010, over all points of the curve. For a whole data set, use
`mrcnn.evaluation.coco`: the mean of per-image APs is not the AP of the data set.

Shape letters: N predictions, G ground-truth rows (both padded with zeros at the end), n g the same without padding, H W image.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.geometry.masks import compute_overlaps_masks

NO_MATCH = -1


def compute_ap(
    gt_boxes: Num[np.ndarray, "G 4"],
    gt_class_ids: Num[np.ndarray, " G_ids"],
    gt_masks: Shaped[np.ndarray, "H W G_masks"],
    pred_boxes: Num[np.ndarray, "N 4"],
    pred_class_ids: Num[np.ndarray, " N_ids"],
    pred_scores: Num[np.ndarray, " N_scores"],
    pred_masks: Shaped[np.ndarray, "H2 W2 N_masks"],
    iou_threshold: float = 0.5,
) -> tuple[float, Float[np.ndarray, " points"], Float[np.ndarray, " points"], Float[np.ndarray, "n g"]]:
    """Compute the average precision of one image at one IoU threshold, over all classes together.

    Args:
        iou_threshold: minimum mask IoU of a match.

    Returns:
        mAP: in 0..1; nan if the image has no objects.
        precisions: see `precision_recall_ap`.
        recalls: see `precision_recall_ap`.
        overlaps: IoU of the masks, rows by descending score.

    Differs: without objects, the classic code returned 0 if there were no predictions and nan otherwise; this returns nan.
    """
    class_ids, overlaps = _sorted_overlaps(gt_boxes, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks)
    _, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_ids, iou_threshold)
    ap, precisions, recalls = precision_recall_ap(pred_match, overlaps.shape[1])
    return ap, precisions, recalls, overlaps


def compute_ap_range(
    gt_box: Num[np.ndarray, "G 4"],
    gt_class_id: Num[np.ndarray, " G_ids"],
    gt_mask: Shaped[np.ndarray, "H W G_masks"],
    pred_box: Num[np.ndarray, "N 4"],
    pred_class_id: Num[np.ndarray, " N_ids"],
    pred_score: Num[np.ndarray, " N_scores"],
    pred_mask: Shaped[np.ndarray, "H2 W2 N_masks"],
    iou_thresholds: Sequence[float] | Float[np.ndarray, " _"] | None = None,
    verbose: int | bool = 1,
) -> float:
    """Average `compute_ap` over a range of IoU thresholds.

    Args:
        iou_thresholds: None uses 0.5 to 0.95 in steps of 0.05.
        verbose: 1 prints the AP at each threshold and the mean.

    Returns:
        The mean, in 0..1; nan if the image has no objects.

    Differs: the mask IoUs are computed once, not once per threshold.
    """
    thresholds = np.arange(0.5, 1.0, 0.05) if iou_thresholds is None else np.asarray(iou_thresholds)
    class_ids, overlaps = _sorted_overlaps(gt_box, gt_mask, pred_box, pred_class_id, pred_score, pred_mask)
    aps = []
    for threshold in thresholds.tolist():
        _, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_id, threshold)
        aps.append(precision_recall_ap(pred_match, overlaps.shape[1])[0])
        if verbose:
            print(f"AP @{threshold:.2f}:\t {aps[-1]:.3f}")
    mean = float(np.mean(aps))
    if verbose:
        print(f"AP @{thresholds[0]:.2f}-{thresholds[-1]:.2f}:\t {mean:.3f}")
    return mean


def precision_recall_ap(
    pred_match: Int[np.ndarray, " n"], num_gt: int
) -> tuple[float, Float[np.ndarray, " n+2"], Float[np.ndarray, " n+2"]]:
    """Compute the precision-recall curve and the area under it.

    Args:
        pred_match: by descending score; NO_MATCH marks a false positive.
        num_gt: number of objects.

    Returns:
        ap: in 0..1; nan without objects.
        precisions: made non-increasing; the last is 0.
        recalls: from 0 to 1.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2010, section 3.4.2 of its development kit.
    """
    true_positives = np.cumsum(pred_match > NO_MATCH)
    precisions = true_positives / np.arange(1, len(true_positives) + 1)
    recalls = true_positives / num_gt if num_gt else np.full(len(true_positives), np.nan)
    precisions = np.concatenate([[0.0], precisions, [0.0]])
    recalls = np.concatenate([[0.0], recalls, [1.0]])
    # at each recall, the maximum precision at this recall or any higher one
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    ap = float(np.sum(np.diff(recalls) * precisions[1:])) if num_gt else float("nan")
    return ap, precisions, recalls


def compute_matches(
    gt_boxes: Num[np.ndarray, "G 4"],
    gt_class_ids: Num[np.ndarray, " G_ids"],
    gt_masks: Shaped[np.ndarray, "H W G_masks"],
    pred_boxes: Num[np.ndarray, "N 4"],
    pred_class_ids: Num[np.ndarray, " N_ids"],
    pred_scores: Num[np.ndarray, " N_scores"],
    pred_masks: Shaped[np.ndarray, "H2 W2 N_masks"],
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " n"], Float[np.ndarray, "n g"]]:
    """Match predictions with objects by mask IoU; see `match_by_overlaps`.

    Returns:
        gt_match: for each object, the rank by score of its prediction, or NO_MATCH.
        pred_match: for each prediction, by descending score, the index of its object, or NO_MATCH.
        overlaps: IoU of the masks, rows by descending score.

    Differs: returns integer indices; the classic code returned floats, which cannot be used as indices.
    """
    class_ids, overlaps = _sorted_overlaps(gt_boxes, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks)
    gt_match, pred_match = match_by_overlaps(overlaps, class_ids, gt_class_ids, iou_threshold, score_threshold)
    return gt_match, pred_match, overlaps


def match_by_overlaps(
    overlaps: Float[np.ndarray, "n g"],
    pred_class_ids: Num[np.ndarray, " n"],
    gt_class_ids: Num[np.ndarray, " G"],
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " n"]]:
    """Match each prediction, in descending order of score, with the unmatched object of its class that it overlaps most.

    Args:
        overlaps: IoU; rows by descending score.
        pred_class_ids: in the order of the rows.
        gt_class_ids: may be longer than the number of columns, because of padding.
        iou_threshold: minimum IoU of a match.
        score_threshold: an IoU too, despite its classic name: smaller overlaps are ignored.

    Returns:
        gt_match: for each object, the row of its prediction, or NO_MATCH.
        pred_match: for each prediction, the index of its object, or NO_MATCH.
    """
    num_pred, num_gt = overlaps.shape
    gt_match = np.full(num_gt, NO_MATCH, np.int64)
    pred_match = np.full(num_pred, NO_MATCH, np.int64)
    min_overlap = max(iou_threshold, score_threshold)
    for pred_ix in range(num_pred):
        for gt_ix in np.argsort(overlaps[pred_ix])[::-1]:
            if overlaps[pred_ix, gt_ix] < min_overlap:
                break  # the remaining objects overlap less
            if gt_match[gt_ix] == NO_MATCH and pred_class_ids[pred_ix] == gt_class_ids[gt_ix]:
                gt_match[gt_ix] = pred_ix
                pred_match[pred_ix] = gt_ix
                break
    return gt_match, pred_match


def _sorted_overlaps(
    gt_boxes: Num[np.ndarray, "G 4"],
    gt_masks: Shaped[np.ndarray, "H W G_masks"],
    pred_boxes: Num[np.ndarray, "N 4"],
    pred_class_ids: Num[np.ndarray, " N_ids"],
    pred_scores: Num[np.ndarray, " N_scores"],
    pred_masks: Shaped[np.ndarray, "H2 W2 N_masks"],
) -> tuple[Num[np.ndarray, " n"], Float[np.ndarray, "n g"]]:
    """Drop padding, sort the predictions by score, and compute all mask IoUs.

    Returns:
        class_ids: of the predictions, by descending score.
        overlaps: IoUs; rows by descending score.
    """
    num_gt, num_pred = _count_rows(gt_boxes), _count_rows(pred_boxes)
    order = np.argsort(pred_scores[:num_pred])[::-1]
    class_ids = pred_class_ids[order]
    if not num_gt or not num_pred:
        return class_ids, np.zeros((num_pred, num_gt))
    return class_ids, compute_overlaps_masks(pred_masks[..., order], gt_masks[..., :num_gt])


def _count_rows(boxes: Num[np.ndarray, "N 4"]) -> int:
    """Count the rows that are not padding."""
    return int(np.any(boxes != 0, axis=1).sum())


def compute_recall(
    pred_boxes: Num[np.ndarray, "N 4"], gt_boxes: Num[np.ndarray, "G 4"], iou: float
) -> tuple[float, Int[np.ndarray, " positives"]]:
    """Compute the fraction of objects that are the best match of at least one box, such as a proposal.

    Args:
        pred_boxes: class-agnostic boxes, in the same coordinates as `gt_boxes`.
        iou: minimum IoU of a match.

    Returns:
        recall: in 0..1; nan without objects.
        positive_ids: indices of the boxes that match an object.

    Differs: without objects or boxes, the classic code raised a NumPy error.
    """
    if not len(gt_boxes):
        return float("nan"), np.zeros(0, np.int64)
    if not len(pred_boxes):
        return 0.0, np.zeros(0, np.int64)
    overlaps = compute_overlaps(pred_boxes, gt_boxes)  # [N, G]
    positive_ids = np.nonzero(overlaps.max(axis=1) >= iou)[0]
    covered = np.unique(overlaps.argmax(axis=1)[positive_ids])
    return len(covered) / len(gt_boxes), positive_ids
