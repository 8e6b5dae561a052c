import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn.evaluation.per_image import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_recall,
    match_by_overlaps,
    precision_recall_ap,
)
from tests.shared_data import shared_path

SIZE = (40, 60)


def scene(*boxes):
    """Return boxes and their filled masks."""
    masks = np.zeros((*SIZE, len(boxes)), bool)
    for ix, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, ix] = True
    return np.array(boxes, np.int32).reshape(-1, 4), masks


A, B = (0, 0, 10, 20), (20, 30, 40, 50)
A_SHIFTED = (0, 5, 10, 25)  # shares 150 of 250 pixels with A: IoU 0.6


def test_matches_by_hand():
    gt_boxes, gt_masks = scene(A, B)
    pred_boxes, pred_masks = scene(B, A_SHIFTED, A)
    scores = np.array([0.5, 0.9, 0.7])  # order by score: A_SHIFTED, A, B
    gt_match, pred_match, overlaps = compute_matches(
        gt_boxes, np.array([1, 2]), gt_masks, pred_boxes, np.array([2, 1, 1]), scores, pred_masks
    )
    np.testing.assert_allclose(overlaps, [[0.6, 0], [1, 0], [0, 1]])
    # the shifted detection is matched with A, because its score is higher, though the exact one overlaps more
    assert gt_match.tolist() == [0, 2] and pred_match.tolist() == [0, -1, 1]


def test_iou_equal_to_the_threshold_matches():
    gt_boxes, gt_masks = scene(A)
    pred_boxes, pred_masks = scene((0, 0, 10, 10))  # IoU exactly 0.5
    args = (gt_boxes, np.array([1]), gt_masks, pred_boxes, np.array([1]), np.array([0.9]), pred_masks)
    assert compute_matches(*args, iou_threshold=0.5)[1].tolist() == [0]
    assert compute_matches(*args, iou_threshold=0.51)[1].tolist() == [-1]
    assert compute_matches(*args, iou_threshold=0.1, score_threshold=0.51)[1].tolist() == [-1]


def test_prediction_of_another_class_matches_no_object():
    gt_boxes, gt_masks = scene(A, A_SHIFTED)
    pred_boxes, pred_masks = scene(A)
    gt_match, pred_match, _ = compute_matches(
        gt_boxes, np.array([1, 2]), gt_masks, pred_boxes, np.array([2]), np.array([0.9]), pred_masks
    )
    # the object with the best overlap has class 1; the next one, with class 2 and IoU 0.6, is matched
    assert pred_match.tolist() == [1] and gt_match.tolist() == [-1, 0]


def test_each_object_is_matched_once():
    gt_boxes, gt_masks = scene(A)
    pred_boxes, pred_masks = scene(A, A)
    gt_match, pred_match, _ = compute_matches(
        gt_boxes, np.array([1]), gt_masks, pred_boxes, np.array([1, 1]), np.array([0.3, 0.8]), pred_masks
    )
    assert gt_match.tolist() == [0] and pred_match.tolist() == [0, -1]


def test_padding_rows_change_nothing():
    gt_boxes, gt_masks = scene(A, B)
    pred_boxes, pred_masks = scene(B, A_SHIFTED)
    plain = compute_matches(
        gt_boxes, np.array([1, 2]), gt_masks, pred_boxes, np.array([2, 1]), np.array([0.5, 0.9]), pred_masks
    )

    def pad(array, axis=0):
        width = [(0, 0)] * array.ndim
        width[axis] = (0, 3)
        return np.pad(array, width)

    padded = compute_matches(
        pad(gt_boxes),
        pad(np.array([1, 2])),
        pad(gt_masks, 2),
        pad(pred_boxes),
        pad(np.array([2, 1])),
        pad(np.array([0.5, 0.9])),
        pad(pred_masks, 2),
    )
    for a, b in zip(plain, padded):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("num_gt, num_pred", [(0, 0), (2, 0), (0, 2)])
def test_no_objects_or_no_predictions(num_gt, num_pred):
    gt_boxes, gt_masks = scene(*[A, B][:num_gt])
    pred_boxes, pred_masks = scene(*[A, B][:num_pred])
    gt_match, pred_match, overlaps = compute_matches(
        gt_boxes, np.ones(num_gt, int), gt_masks, pred_boxes, np.ones(num_pred, int), np.ones(num_pred), pred_masks
    )
    assert gt_match.tolist() == [-1] * num_gt and pred_match.tolist() == [-1] * num_pred
    assert overlaps.shape == (num_pred, num_gt)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_matches_of_objects_and_of_predictions_agree(num_pred, num_gt, seed):
    rng = np.random.default_rng(seed)
    overlaps = rng.random((num_pred, num_gt)).round(1)
    pred_ids, gt_ids = rng.integers(1, 3, num_pred), rng.integers(1, 3, num_gt)
    gt_match, pred_match = match_by_overlaps(overlaps, pred_ids, gt_ids, 0.5)
    pairs = {(p, g) for p, g in enumerate(pred_match) if g >= 0}
    assert pairs == {(p, g) for g, p in enumerate(gt_match) if p >= 0}
    for p, g in pairs:
        assert overlaps[p, g] >= 0.5 and pred_ids[p] == gt_ids[g]
    # no pair that could be matched is left unmatched on both sides
    for p in np.nonzero(pred_match < 0)[0]:
        for g in np.nonzero(gt_match < 0)[0]:
            assert overlaps[p, g] < 0.5 or pred_ids[p] != gt_ids[g]


def test_recall_by_hand():
    gt_boxes = np.array([A, B])
    pred_boxes = np.array([A_SHIFTED, A, (0, 50, 5, 60)])
    recall, positive_ids = compute_recall(pred_boxes, gt_boxes, 0.5)
    assert recall == 0.5 and positive_ids.tolist() == [0, 1]
    recall, positive_ids = compute_recall(pred_boxes, gt_boxes, 0.7)
    assert recall == 0.5 and positive_ids.tolist() == [1]


def test_recall_without_objects_or_boxes():
    assert compute_recall(np.zeros((0, 4)), np.array([A]), 0.5)[0] == 0.0
    recall, positive_ids = compute_recall(np.array([A]), np.zeros((0, 4)), 0.5)
    assert math.isnan(recall) and positive_ids.shape == (0,)


def test_curve_by_hand():
    # correct, wrong, correct, with three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3
    ap, precisions, recalls = precision_recall_ap(np.array([0, -1, 2]), 3)
    assert precisions.tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 0])
    assert recalls.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert ap == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


@pytest.mark.parametrize("matches, num_gt, ap", [([0, 1], 2, 1.0), ([-1, -1], 2, 0.0), ([], 2, 0.0), ([-1, 0], 1, 0.5)])
def test_ap_of_simple_cases(matches, num_gt, ap):
    assert precision_recall_ap(np.array(matches, int), num_gt)[0] == pytest.approx(ap)


@pytest.mark.parametrize("matches", [[], [-1, -1]])
def test_ap_without_objects_is_nan(matches):
    assert math.isnan(precision_recall_ap(np.array(matches, int), 0)[0])


def rectangles(*boxes, size=(40, 60)):
    masks = np.zeros((*size, len(boxes)), bool)
    for ix, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, ix] = True
    return np.array(boxes), masks


def test_range_is_the_mean_over_thresholds(capsys):
    gt_boxes, gt_masks = rectangles((0, 0, 10, 50))
    pred_boxes, pred_masks = rectangles((0, 0, 10, 36))  # IoU 0.72: correct at 0.50 0.55 0.60 0.65 0.70
    args = (gt_boxes, np.array([1]), gt_masks, pred_boxes, np.array([1]), np.array([0.9]), pred_masks)
    assert compute_ap_range(*args, verbose=0) == pytest.approx(0.5)
    assert capsys.readouterr().out == ""
    assert compute_ap_range(*args, iou_thresholds=[0.6, 0.8]) == pytest.approx(0.5)
    assert capsys.readouterr().out.splitlines() == ["AP @0.60:\t 1.000", "AP @0.80:\t 0.000", "AP @0.60-0.80:\t 0.500"]
    assert compute_ap(*args, iou_threshold=0.7)[0] == 1.0 and compute_ap(*args, iou_threshold=0.73)[0] == 0.0


def recorded():
    """Return the recorded case: its ground truth, and predictions whose masks are their filled boxes."""
    g = np.load(shared_path("parity/classic_resnet50_128.npz"))
    size, shape = int(g["config_IMAGE_SHAPE"][0]), tuple(g["masks_shape"])
    masks = np.unpackbits(g["masks"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    pred_masks = np.zeros((size, size, 12), bool)
    for i, (y1, x1, y2, x2) in enumerate(g["pred_boxes"].astype(int)):
        pred_masks[max(y1, 0) : y2, max(x1, 0) : x2, i] = True
    return g, (g["bboxes"], g["gt_class_ids"], masks, g["pred_boxes"], g["pred_ids"], g["pred_scores"], pred_masks)


@pytest.mark.parametrize("percent", [30, 50, 75])
def test_ap_equals_the_recorded_value(percent):
    g, args = recorded()
    ap, precisions, recalls, _ = compute_ap(*args, iou_threshold=percent / 100)
    assert ap == pytest.approx(float(g[f"ap_{percent}"]), abs=1e-6)
    np.testing.assert_allclose(precisions, g[f"ap_{percent}_p"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(recalls, g[f"ap_{percent}_r"], rtol=0, atol=1e-6)


def test_ap_range_equals_the_recorded_value():
    g, args = recorded()
    assert compute_ap_range(*args, verbose=0) == pytest.approx(float(g["ap_range"]), abs=1e-6)
