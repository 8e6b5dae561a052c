"""Intersection over union of class maps, computed by hand."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.semantic.evaluation import class_ious, confusion_matrix, mean_iou

TRUTH = np.array([[0, 0, 0, 1],
                  [0, 1, 1, 1],
                  [2, 2, 0, 0]])  # fmt: skip
PREDICTED = np.array([[0, 0, 1, 1],
                      [0, 0, 1, 1],
                      [2, 0, 0, 4]])  # fmt: skip
# pixels in both, in the truth, in the prediction: class 0: 4 6 6; class 1: 3 4 4; class 2: 1 2 1; class 3: none; class 4: 0 0 1
CONFUSION = [[4, 1, 0, 0, 1],
             [1, 3, 0, 0, 0],
             [1, 0, 1, 0, 0],
             [0, 0, 0, 0, 0],
             [0, 0, 0, 0, 0]]  # fmt: skip


def test_pixels_are_counted_by_truth_and_prediction():
    confusion = confusion_matrix(TRUTH, PREDICTED, 5)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, CONFUSION)


def test_absent_class_is_nan_and_not_in_the_mean():
    np.testing.assert_allclose(class_ious(CONFUSION), [4 / 8, 3 / 5, 1 / 2, math.nan, 0])
    assert mean_iou(CONFUSION) == pytest.approx((4 / 8 + 3 / 5 + 1 / 2 + 0) / 4)


def test_ignored_pixels_are_not_counted():
    truth = TRUTH.copy()
    truth[2] = 255
    confusion = confusion_matrix(truth, PREDICTED, 3, ignore=255)  # the 4 predicted in the last row is ignored
    np.testing.assert_array_equal(confusion, [[3, 1, 0], [1, 3, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_ious(confusion), [3 / 5, 3 / 5, math.nan])


def test_no_pixels_give_nan():
    confusion = confusion_matrix(np.zeros((0, 4), int), np.zeros((0, 4), int), 3)
    assert confusion.shape == (3, 3) and math.isnan(mean_iou(confusion))


@pytest.mark.parametrize("truth, predicted, message", [
    ([[0, 1]], [[0], [1]], r"truth has shape \(1, 2\), the prediction \(2, 1\)"),
    ([0, 3], [0, 1], "truth has int64 values from 0 to 3, expected integers from 0 to 2"),
    ([0, 1], [0, -1], "prediction has int64 values from -1 to 0"),
    ([0, 1], [0.0, 1.0], "prediction has float64 values"),
])  # fmt: skip
def test_invalid_class_maps_are_errors(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, predicted, 3)


maps = arrays(np.uint8, (2, 5, 7), elements=st.integers(0, 3))


@given(maps, maps)
def test_iou_is_intersection_over_union_and_matrices_add_up(truth, predicted):
    total = confusion_matrix(truth, predicted, 4)
    np.testing.assert_array_equal(total, sum(confusion_matrix(t, p, 4) for t, p in zip(truth, predicted)))
    for k, iou in enumerate(class_ious(total)):
        either = ((truth == k) | (predicted == k)).sum()
        assert math.isnan(iou) if not either else iou == ((truth == k) & (predicted == k)).sum() / either
    assert mean_iou(confusion_matrix(truth, truth, 4)) == 1
