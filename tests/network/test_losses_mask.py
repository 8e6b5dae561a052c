"""The loss of the mask head."""
import numpy as np
import pytest

from mrcnn.model import mrcnn_mask_loss_graph
from mrcnn.network.losses import mrcnn_mask_loss
from tests.network.gradients import loss_and_gradient


def test_mask_loss_uses_the_class_of_each_positive():
    masks = np.full((1, 2, 2, 1, 3), 0.001, np.float32)
    masks[0, 0, :, 0, 2] = [0.25, 0.8]
    targets = np.array([[[[1], [0]], [[1], [1]]]], np.float32)
    loss, gradient = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(targets, np.array([[2, 0]], np.int32), p), masks)
    # -log 0.25 and -log(1 - 0.8), over two pixels
    assert loss == pytest.approx((np.log(4) + np.log(5)) / 2, abs=1e-5)
    expected = np.zeros_like(masks)
    expected[0, 0, :, 0, 2] = [-4 / 2, 5 / 2]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_mask_loss_without_positives_is_zero():
    loss, gradient = loss_and_gradient(
        lambda p: mrcnn_mask_loss_graph(np.ones((2, 3, 4, 4), np.float32), np.zeros((2, 3), np.int32), p),
        np.full((2, 3, 4, 4, 2), 0.5, np.float32))
    assert loss == 0 and not gradient.any()


def test_loss_of_certain_and_wrong_masks_is_finite():
    masks = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1, 1).repeat(2, axis=-1)
    targets = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    loss, gradient = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(targets, np.array([[1]], np.int32), p), masks)
    # the classic epsilon 1e-7: -log(1e-7) = 16.1; 1 - 1e-7 is 1 - 1.19e-7 in float32
    assert loss == pytest.approx((16.118 + 15.94) / 2, abs=0.01) and np.isfinite(gradient).all()


def test_loss_of_certain_and_correct_masks_is_zero():
    masks = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1, 1).repeat(2, axis=-1)
    targets = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    loss, _ = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(targets, np.array([[1]], np.int32), p), masks)
    assert loss == pytest.approx(0, abs=1e-6)


def test_mask_loss_ignores_padding():
    rng = np.random.default_rng(0)
    targets, masks = (rng.random((2, 3, 4, 5)) < 0.5).astype(np.float32), rng.random((2, 3, 4, 5, 3)).astype(np.float32)
    class_ids = np.array([[1, 0, 2], [2, 2, 0]], np.int32)
    plain, _ = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(targets, class_ids, p), masks)
    pad = ((0, 0), (0, 2), (0, 0), (0, 0))
    more, ids = np.pad(targets, pad), np.pad(class_ids, ((0, 0), (0, 2)))
    padded, _ = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(more, ids, p), np.pad(masks, (*pad, (0, 0))))
    assert padded == pytest.approx(plain)


def test_masks_of_the_target_class_and_of_all_classes_give_the_same_loss():
    rng = np.random.default_rng(1)
    targets, masks = (rng.random((2, 3, 4, 5)) < 0.5).astype(np.float32), rng.random((2, 3, 4, 5, 3)).astype(np.float32)
    class_ids = np.array([[1, 0, 2], [2, 2, 0]], np.int32)
    of_target = np.take_along_axis(masks, class_ids[:, :, None, None, None], axis=4)
    loss, gradient = loss_and_gradient(lambda p: mrcnn_mask_loss(targets, class_ids, p), of_target[..., 0])
    expected, of_all = loss_and_gradient(lambda p: mrcnn_mask_loss_graph(targets, class_ids, p), masks)
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(gradient, np.take_along_axis(of_all, class_ids[:, :, None, None, None], axis=4)[..., 0])
