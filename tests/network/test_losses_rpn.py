"""The two losses of the RPN head."""
import numpy as np
import pytest

from mrcnn.model import rpn_bbox_loss_graph, rpn_class_loss_graph
from mrcnn.network.losses import rpn_bbox_loss, rpn_class_loss
from tests.network.gradients import loss_and_gradient


def _match(*rows):
    return np.array(rows, np.int32)[..., None]


def test_class_loss_counts_only_positives_and_negatives():
    # probabilities of (background, object): 3/4 1/4, 1/5 4/5, 1/2 1/2
    logits = np.log(np.array([[[3, 1], [1, 4], [1, 1]]], np.float32))
    loss, gradient = loss_and_gradient(lambda p: rpn_class_loss_graph(_match([-1, 1, 0]), p), logits)
    assert loss == pytest.approx((np.log(4 / 3) + np.log(5 / 4)) / 2, abs=1e-6)
    # softmax minus label, divided by the two counted anchors
    np.testing.assert_allclose(gradient[0], [[-1 / 8, 1 / 8], [1 / 10, -1 / 10], [0, 0]], atol=1e-6)


def test_class_loss_is_a_mean_over_the_anchors_of_the_batch():
    logits = np.log(np.array([[[3, 1], [1, 4]], [[3, 1], [1, 4]]], np.float32))
    loss, _ = loss_and_gradient(lambda p: rpn_class_loss_graph(_match([-1, 1], [-1, 0]), p), logits)
    assert loss == pytest.approx((2 * np.log(4 / 3) + np.log(5 / 4)) / 3, abs=1e-6)


def test_class_loss_without_anchors_is_zero():
    loss, gradient = loss_and_gradient(lambda p: rpn_class_loss_graph(_match([0, 0]), p), np.ones((1, 2, 2), np.float32))
    assert loss == 0 and not gradient.any()


def test_box_loss_pairs_targets_with_positives_in_order():
    predicted = np.zeros((1, 5, 4), np.float32)
    predicted[0, 1], predicted[0, 3] = [1, 0, 0, 0], [0, 0, 0, 3]
    targets = np.zeros((1, 3, 4), np.float32)  # two positives, a row of padding
    targets[0, 0], targets[0, 1] = [0.5, 0, 0, 0], [0, 0, 0, 1]
    loss, gradient = loss_and_gradient(lambda p: rpn_bbox_loss_graph(None, targets, _match([-1, 1, 0, 1, -1]), p), predicted)
    # 0.5 * 0.5^2 and 2 - 0.5, over eight elements
    assert loss == pytest.approx((0.125 + 1.5) / 8)
    expected = np.zeros((1, 5, 4))
    expected[0, 1, 0], expected[0, 3, 3] = 0.5 / 8, 1 / 8
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_a_positive_whose_target_is_zero_still_counts():
    """An anchor that matches its object exactly must not be treated as padding."""
    predicted = np.full((1, 2, 4), 2.0, np.float32)
    targets = np.zeros((1, 2, 4), np.float32)
    loss, _ = loss_and_gradient(lambda p: rpn_bbox_loss_graph(None, targets, _match([1, 0]), p), predicted)
    assert loss == pytest.approx(1.5)


def test_box_loss_is_a_mean_over_the_positives_of_the_batch():
    predicted = np.zeros((2, 3, 4), np.float32)
    targets = np.zeros((2, 2, 4), np.float32)
    targets[0, :, 0], targets[1, 0, 0] = [2, 2], 2  # 1.5 each; two positives in one image, one in the other
    match = _match([1, 1, 0], [0, 0, 1])
    loss, _ = loss_and_gradient(lambda p: rpn_bbox_loss_graph(None, targets, match, p), predicted)
    assert loss == pytest.approx(3 * 1.5 / 12)


@pytest.mark.parametrize("match", [[0, 0, 0], [-1, -1, 0]])
def test_box_loss_without_positives_is_zero(match):
    loss, gradient = loss_and_gradient(
        lambda p: rpn_bbox_loss_graph(None, np.zeros((1, 5, 4), np.float32), _match(match), p), np.ones((1, 3, 4), np.float32))
    assert loss == 0 and not gradient.any()


def test_padding_of_targets_changes_nothing():
    rng = np.random.default_rng(0)
    predicted, targets = rng.normal(size=(2, 6, 4)).astype(np.float32), rng.normal(size=(2, 2, 4)).astype(np.float32)
    match = _match([1, 0, 0, -1, 1, 0], [0, 1, -1, 1, 0, 0])
    plain, _ = loss_and_gradient(lambda p: rpn_bbox_loss_graph(None, targets, match, p), predicted)
    for rows in (1, 20):
        padded = np.pad(targets, ((0, 0), (0, rows), (0, 0)))
        assert loss_and_gradient(lambda p: rpn_bbox_loss_graph(None, padded, match, p), predicted)[0] == pytest.approx(plain)  # noqa: B023


def test_losses_at_the_trained_anchors_equal_those_over_all_anchors():
    rng = np.random.default_rng(3)
    logits, deltas = rng.normal(size=(2, 9, 2)).astype(np.float32), rng.normal(size=(2, 9, 4)).astype(np.float32)
    match = np.zeros((2, 9), np.int32)
    # two positives and a negative; a positive, a negative and a padding row
    positions, labels = np.array([[2, 7, 4], [5, 0, 0]]), np.array([[1, 1, -1], [1, -1, 0]], np.int32)
    targets = rng.normal(size=(2, 3, 4)).astype(np.float32) * (labels == 1)[..., None]
    for image in range(2):
        used = labels[image] != 0
        match[image, positions[image][used]] = labels[image][used]
    at = np.take_along_axis(logits, positions[..., None], 1), np.take_along_axis(deltas, positions[..., None], 1)
    for sparse, dense in (
        ((lambda p: rpn_class_loss(labels, p), at[0]), (lambda p: rpn_class_loss_graph(match[..., None], p), logits)),
        ((lambda p: rpn_bbox_loss(targets, labels, p), at[1]),
         (lambda p: rpn_bbox_loss_graph(None, targets, match[..., None], p), deltas)),
    ):
        (loss, gradient), (expected, of_all) = loss_and_gradient(*sparse), loss_and_gradient(*dense)
        assert loss == pytest.approx(expected) and loss > 0.1
        np.testing.assert_allclose(gradient * (labels != 0)[..., None],
                                   np.take_along_axis(of_all, positions[..., None], 1) * (labels != 0)[..., None], rtol=1e-5)
        assert not gradient[labels == 0].any()
