import math

import numpy as np
import pytest

from mrcnn.evaluation.average_precision import compute_ap, compute_ap_range, precision_recall_ap
from tests.shared_data import shared_path


def test_curve_by_hand():
    # right, wrong, right of three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3
    ap, precisions, recalls = precision_recall_ap(np.array([0, -1, 2]), 3)
    assert precisions.tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 0])
    assert recalls.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert ap == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


@pytest.mark.parametrize("matches, num_gt, ap", [([0, 1], 2, 1.0), ([-1, -1], 2, 0.0), ([], 2, 0.0), ([-1, 0], 1, 0.5)])
def test_ap_of_simple_cases(matches, num_gt, ap):
    assert precision_recall_ap(np.array(matches, int), num_gt)[0] == pytest.approx(ap)


@pytest.mark.parametrize("matches", [[], [-1, -1]])
def test_no_objects_have_no_ap(matches):
    assert math.isnan(precision_recall_ap(np.array(matches, int), 0)[0])


def rectangles(*boxes, size=(40, 60)):
    masks = np.zeros((*size, len(boxes)), bool)
    for ix, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, ix] = True
    return np.array(boxes), masks


def test_range_is_the_mean_over_thresholds(capsys):
    gt_boxes, gt_masks = rectangles((0, 0, 10, 50))
    pred_boxes, pred_masks = rectangles((0, 0, 10, 36))  # IoU 0.72: right at 0.50 0.55 0.60 0.65 0.70
    args = (gt_boxes, np.array([1]), gt_masks, pred_boxes, np.array([1]), np.array([0.9]), pred_masks)
    assert compute_ap_range(*args, verbose=0) == pytest.approx(0.5)
    assert capsys.readouterr().out == ""
    assert compute_ap_range(*args, iou_thresholds=[0.6, 0.8]) == pytest.approx(0.5)
    assert capsys.readouterr().out.splitlines() == ["AP @0.60:\t 1.000", "AP @0.80:\t 0.000", "AP @0.60-0.80:\t 0.500"]
    assert compute_ap(*args, iou_threshold=0.7)[0] == 1.0 and compute_ap(*args, iou_threshold=0.73)[0] == 0.0


def recorded():
    """The recorded case: ground truth as it is, predictions whose masks are their filled boxes."""
    g = np.load(shared_path("parity/classic_resnet50_128.npz"))
    size, shape = int(g["config_IMAGE_SHAPE"][0]), tuple(g["masks_shape"])
    masks = np.unpackbits(g["masks"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    pred_masks = np.zeros((size, size, 12), bool)
    for i, (y1, x1, y2, x2) in enumerate(g["pred_boxes"].astype(int)):
        pred_masks[max(y1, 0) : y2, max(x1, 0) : x2, i] = True
    return g, (g["bboxes"], g["gt_class_ids"], masks, g["pred_boxes"], g["pred_ids"], g["pred_scores"], pred_masks)


@pytest.mark.parametrize("percent", [30, 50, 75])
def test_ap_is_the_recorded_one(percent):
    g, args = recorded()
    ap, precisions, recalls, _ = compute_ap(*args, iou_threshold=percent / 100)
    assert ap == pytest.approx(float(g[f"ap_{percent}"]), abs=1e-6)
    np.testing.assert_allclose(precisions, g[f"ap_{percent}_p"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(recalls, g[f"ap_{percent}_r"], rtol=0, atol=1e-6)


def test_ap_range_is_the_recorded_one():
    g, args = recorded()
    assert compute_ap_range(*args, verbose=0) == pytest.approx(float(g["ap_range"]), abs=1e-6)
