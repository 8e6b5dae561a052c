"""The two losses of the box head."""
import numpy as np
import pytest

from mrcnn.network.losses import mrcnn_bbox_loss, mrcnn_class_loss
from tests.network.gradients import loss_and_gradient


def _class_loss(class_ids, odds, active, valid=None):
    """Loss and gradient for ROIs whose class probabilities have the given odds."""
    class_ids, active = np.array(class_ids, np.int32), np.array(active, np.int32)
    valid = None if valid is None else np.array(valid, bool)
    return loss_and_gradient(lambda p: mrcnn_class_loss(class_ids, p, active, valid), np.log(np.array(odds, np.float32)))


def test_class_loss_by_hand():
    loss, gradient = _class_loss([[2, 0]], [[[1, 2, 5], [6, 1, 1]]], [[1, 1, 1]])
    assert loss == pytest.approx((np.log(8 / 5) + np.log(8 / 6)) / 2, abs=1e-6)
    np.testing.assert_allclose(gradient[0], [[1 / 16, 2 / 16, -3 / 16], [-2 / 16, 1 / 16, 1 / 16]], atol=1e-6)


def test_roi_whose_best_class_is_inactive_in_its_image_does_not_count():
    odds = [[[1, 2, 5], [6, 1, 1], [1, 4, 3]]]  # best classes 2, 0, 1
    loss, gradient = _class_loss([[0, 0, 1]], odds, [[1, 1, 0]])
    assert loss == pytest.approx((np.log(8 / 6) + np.log(2)) / 2, abs=1e-6)
    assert not gradient[0, 0].any()
    assert _class_loss([[0, 0, 1]], odds, [[0, 0, 0]])[0] == 0


def test_padding_does_not_count():
    loss, gradient = _class_loss([[1, 0, 0]], [[[1, 3], [1, 3], [5, 3]]], [[1, 1]], [[True, True, False]])
    assert loss == pytest.approx((np.log(4 / 3) + np.log(4)) / 2, abs=1e-6) and not gradient[0, 2].any()
    loss, gradient = _class_loss([[1]], [[[1, 3]]], [[1, 1]], [[False]])
    assert loss == 0 and not gradient.any()


def test_class_loss_uses_the_active_classes_of_each_image():
    """Each image has its own active classes, so the loss of the batch is the mean of the losses of its images."""
    odds = [[[1, 2, 5], [6, 1, 1]], [[1, 5, 2], [6, 1, 1]]]
    class_ids, active = [[2, 0], [1, 0]], [[1, 0, 1], [1, 1, 0]]
    single = [_class_loss(class_ids[i : i + 1], odds[i : i + 1], active[i : i + 1])[0] for i in range(2)]
    assert _class_loss(class_ids, odds, active)[0] == pytest.approx(sum(single) / 2, abs=1e-6)
    # with the classes of the first image for both, the first ROI of the second image would be lost
    assert _class_loss(class_ids, odds, [active[0]] * 2)[0] != pytest.approx(sum(single) / 2, abs=1e-3)
    # with different numbers of counted ROIs, it is the mean over ROIs
    single = [_class_loss(class_ids[:1], odds[:1], [[1, 0, 0]])[0], single[1]]  # one ROI, two ROIs
    assert _class_loss(class_ids, odds, [[1, 0, 0], [1, 1, 0]])[0] == pytest.approx((single[0] + 2 * single[1]) / 3, abs=1e-6)


def test_box_loss_uses_the_class_of_each_positive():
    deltas = np.full((1, 3, 3, 4), 100.0, np.float32)
    deltas[0, 0, 2], deltas[0, 2, 1] = [0.5, 0, 0, 0], [0, 0, 3, 0]
    targets = np.zeros((1, 3, 4), np.float32)
    targets[0, 2] = [0, 0, 1, 1]
    class_ids = np.array([[2, 0, 1]], np.int32)
    loss, gradient = loss_and_gradient(lambda p: mrcnn_bbox_loss(targets, class_ids, p), deltas)
    # 0.125; 1.5 and 0.5: over the eight elements of two positives
    assert loss == pytest.approx((0.125 + 1.5 + 0.5) / 8)
    expected = np.zeros_like(deltas)
    expected[0, 0, 2, 0], expected[0, 2, 1] = 0.5 / 8, [0, 0, 1 / 8, -1 / 8]
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_box_loss_without_positives_is_zero():
    loss, gradient = loss_and_gradient(
        lambda p: mrcnn_bbox_loss(np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.int32), p),
        np.ones((2, 3, 5, 4), np.float32))
    assert loss == 0 and not gradient.any()


def test_box_loss_ignores_padding():
    rng = np.random.default_rng(0)
    targets, deltas = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
    class_ids = np.array([[1, 0, 3], [2, 2, 0]], np.int32)
    plain, _ = loss_and_gradient(lambda p: mrcnn_bbox_loss(targets, class_ids, p), deltas)
    more = [np.pad(targets, ((0, 0), (0, 4), (0, 0))), np.pad(class_ids, ((0, 0), (0, 4)))]
    padded, _ = loss_and_gradient(lambda p: mrcnn_bbox_loss(*more, p),
                                  np.pad(deltas, ((0, 0), (0, 4), (0, 0), (0, 0)), constant_values=7))
    assert padded == pytest.approx(plain)
