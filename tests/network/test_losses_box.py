"""The two losses of the box head."""
import keras
import numpy as np
import pytest

from mrcnn.geometry.boxes import apply_box_deltas, box_areas
from mrcnn.network.losses import BoxLoss, giou_loss, mrcnn_bbox_loss, mrcnn_class_loss
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


def test_class_weights_make_a_weighted_mean_by_true_class():
    odds = [[[1, 2, 5], [6, 1, 1], [1, 1, 2]]]  # losses log(8 / 5) of class 2, log(8 / 6) of background, log(4) of class 1
    class_ids, active = np.array([[2, 0, 1]], np.int32), np.ones((1, 3), np.int32)

    def weighted(weights, valid=None):
        logits = np.log(np.array(odds, np.float32))
        return loss_and_gradient(lambda p: mrcnn_class_loss(class_ids, p, active, valid, weights), logits)

    loss, gradient = weighted([1.0, 0.5, 4.0])
    assert loss == pytest.approx((4 * np.log(8 / 5) + np.log(8 / 6) + 0.5 * np.log(4)) / 5.5, abs=1e-6)
    np.testing.assert_allclose(gradient[0, 0], np.array([1 / 8, 2 / 8, -3 / 8]) * 4 / 5.5, atol=1e-6)
    assert weighted([3.0, 3.0, 3.0])[0] == pytest.approx(_class_loss(class_ids, odds, active)[0], abs=1e-6)
    # padding has no weight, and a batch whose ROIs all have the weight 0 has no loss
    loss, gradient = weighted([1.0, 0.5, 4.0], np.array([[True, True, False]]))
    assert loss == pytest.approx((4 * np.log(8 / 5) + np.log(8 / 6)) / 5, abs=1e-6) and not gradient[0, 2].any()
    loss, gradient = weighted([0.0, 0.0, 0.0])
    assert loss == 0 and not gradient.any()


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


# --- Kinds of box losses ----------------------------------------------------------------------------------------------
TARGET = np.array([[[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]]], np.float32)
DELTAS = np.array([[[0.05, 0, 0, 2], [0, 0, 0, 0], [9, 9, 9, 9]]], np.float32)
POSITIVE, SAMPLED = np.array([[True, True, False]]), np.array([[True, True, True]])


@pytest.mark.parametrize("kind, beta, per_sample, expected", [
    # errors 0.05, 2 and 0.5 of two positives with four deltas each, three samples
    ("smooth_l1", 1.0, False, (0.5 * 0.05**2 + 1.5 + 0.5 * 0.5**2) / 8),
    ("smooth_l1", 0.1, False, (0.5 * 0.05**2 / 0.1 + (2 - 0.05) + (0.5 - 0.05)) / 8),
    ("l1", 1.0, False, 2.55 / 8), ("l1", 1.0, True, 2.55 / 3)])  # fmt: skip
def test_kinds_of_box_losses(kind, beta, per_sample, expected):
    loss = BoxLoss(kind, beta, per_sample=per_sample)
    value = loss(*map(keras.ops.convert_to_tensor, (TARGET, DELTAS, POSITIVE, SAMPLED)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(value), expected, rtol=1e-6)
    nothing = loss(*map(keras.ops.convert_to_tensor, (TARGET, DELTAS, POSITIVE & False, SAMPLED)))
    assert float(keras.ops.convert_to_numpy(nothing)) == 0


def test_giou_by_hand():
    # In units of the ROI: the target is the ROI, [0, 1] x [0, 1]; the box is moved down by its height and is as large. They
    # touch: no intersection, union 2, hull 2, so that GIoU is 0. Moved by twice its height: hull 3, GIoU -1/3.
    std = (0.1, 0.1, 0.2, 0.2)
    target = np.zeros((1, 3, 4), np.float32)
    deltas = np.array([[[0, 0, 0, 0], [10, 0, 0, 0], [20, 0, 0, 0]]], np.float32)
    loss = giou_loss(keras.ops.convert_to_tensor(target), keras.ops.convert_to_tensor(deltas), std)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), [[0, 1, 4 / 3]], atol=1e-6)
    # Twice as high about the same centre: IoU 1/2 and no part of the hull is empty.
    deltas = np.array([[[0, 0, np.log(2) / 0.2, 0]]], np.float32)
    loss = giou_loss(keras.ops.convert_to_tensor(target[:, :1]), keras.ops.convert_to_tensor(deltas), std)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), [[0.5]], rtol=1e-6)


def test_giou_does_not_depend_on_the_roi():
    """GIoU of decoded boxes of a ROI in pixels equals that in units of the ROI."""
    rng = np.random.default_rng(3)
    roi = np.array([[10, 30, 50, 40]], np.float32).repeat(20, axis=0)
    first, second = rng.normal(0, 0.4, (2, 20, 4)).astype(np.float32)
    loss = keras.ops.convert_to_numpy(giou_loss(*map(keras.ops.convert_to_tensor, (first, second)), (1, 1, 1, 1)))
    boxes, others = apply_box_deltas(roi, first), apply_box_deltas(roi, second)
    inner = np.prod(np.maximum(np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2]), 0), axis=1)
    union = box_areas(boxes) + box_areas(others) - inner
    hull = np.prod(np.maximum(boxes[:, 2:], others[:, 2:]) - np.minimum(boxes[:, :2], others[:, :2]), axis=1)
    np.testing.assert_allclose(loss, 1 - inner / union + (hull - union) / hull, rtol=1e-4)
