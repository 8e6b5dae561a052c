"""Hand-computed proposals: order, deltas, clipping, NMS, padding."""
import types

import numpy as np
import pytest

from mrcnn.geometry import boxes as array_boxes
from mrcnn.network.layers.proposal import ProposalLayer
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model, run


def _inputs(foreground, deltas, anchors):
    foreground = np.asarray(foreground, np.float32)[None]
    probs = np.stack([1 - foreground, foreground], axis=-1)
    return [probs, np.asarray(deltas, np.float32)[None], np.asarray(anchors, np.float32)[None]]


def test_best_anchors_are_refined_clipped_and_suppressed():
    anchors = [[0.5, 0.5, 0.7, 0.9],  # a low score, without overlap
               [0.0, 0.0, 0.2, 0.4],  # the best: moves down by 0.1 * 0.5 of its height 0.2
               [0.01, 0.0, 0.21, 0.4],  # overlaps the best by 0.2 / 0.2
               [0.8, 0.8, 1.0, 1.2],  # extends beyond the image
               [0.0, 0.5, 0.1, 0.6]]  # see its deltas
    deltas = np.zeros((5, 4))
    deltas[1] = [0.5, 0, 0, 0]
    deltas[4] = [0, 0, np.log(2) / 0.2, np.log(0.5) / 0.2]  # twice as high, half as wide
    layer = ProposalLayer(5, 0.7, pre_nms_limit=5, bbox_std_dev=(0.1, 0.1, 0.2, 0.2))
    proposals = assert_same_in_a_model(layer, _inputs([0.3, 0.9, 0.8, 0.5, 0.4], deltas, anchors))
    expected = [[0.01, 0.0, 0.21, 0.4], [0.8, 0.8, 1.0, 1.0], [0.0, 0.525, 0.15, 0.575], [0.5, 0.5, 0.7, 0.9], [0] * 4]
    # the doubled height extends from -0.05 to 0.15; the best one moved by 0.05 * 0.2 = 0.01
    np.testing.assert_allclose(proposals[0], expected, atol=1e-6)


def test_pre_nms_limit_keeps_the_highest_scores():
    anchors = [[0.0, 0.0, 0.1, 0.2], [0.3, 0.0, 0.4, 0.2], [0.6, 0.0, 0.7, 0.2], [0.6, 0.0, 0.7, 0.2]]
    inputs = _inputs([0.1, 0.4, 0.9, 0.8], np.zeros((4, 4)), anchors)
    proposals = run(ProposalLayer(3, 0.7, pre_nms_limit=2), inputs)[0]
    np.testing.assert_allclose(proposals, [anchors[2], [0] * 4, [0] * 4])
    proposals = run(ProposalLayer(3, 0.7, pre_nms_limit=3), inputs)[0]
    np.testing.assert_allclose(proposals, [anchors[2], anchors[1], [0] * 4])


def test_classic_signature_reads_its_config():
    config = types.SimpleNamespace(PRE_NMS_LIMIT=7, RPN_BBOX_STD_DEV=np.array([1, 2, 3, 4]))
    layer = ProposalLayer(3, 0.5, config)
    assert (layer.pre_nms_limit, layer.bbox_std_dev) == (7, (1.0, 2.0, 3.0, 4.0))


def test_arguments_survive_the_configuration():
    layer = ProposalLayer(11, 0.6, pre_nms_limit=22, bbox_std_dev=(0.3, 0.4, 0.5, 0.6), name="mine")
    assert_round_trip(layer, proposal_count=11, nms_threshold=0.6, pre_nms_limit=22, bbox_std_dev=(0.3, 0.4, 0.5, 0.6))


def _random_inputs(rng, batch, count):
    corners = rng.random((batch, count, 2)) * 0.8
    anchors = np.concatenate([corners, corners + 0.05 + rng.random((batch, count, 2)) * 0.3], axis=-1)
    foreground = rng.permutation(count * batch).reshape(batch, count) / (count * batch)  # no ties
    return [np.stack([1 - foreground, foreground], -1).astype(np.float32),
            rng.normal(0, 0.5, (batch, count, 4)).astype(np.float32), anchors.astype(np.float32)]


def test_proposals_equal_those_of_numpy_for_each_image():
    inputs = _random_inputs(np.random.default_rng(0), 2, 60)
    layer = ProposalLayer(15, 0.5, pre_nms_limit=40)
    proposals = run(layer, inputs)
    for image in range(2):
        alone = run(layer, [part[image : image + 1] for part in inputs])[0]
        np.testing.assert_allclose(proposals[image], alone, atol=1e-6)
        scores = inputs[0][image, :, 1]
        best = np.argsort(-scores)[:40]
        boxes = array_boxes.apply_box_deltas(inputs[2][image, best], inputs[1][image, best] * [0.1, 0.1, 0.2, 0.2])
        boxes = np.clip(boxes, 0, 1)
        kept = array_boxes.non_max_suppression(boxes, scores[best], 0.5)[:15]
        np.testing.assert_allclose(proposals[image, : len(kept)], boxes[kept], atol=1e-5)
        assert len(kept) > 5 and not proposals[image, len(kept):].any()


@pytest.mark.parametrize("limit", [20, 500])
def test_dynamic_number_of_anchors_gives_the_same(limit):
    import keras

    inputs = _random_inputs(np.random.default_rng(1), 2, 60)
    layer = ProposalLayer(15, 0.5, pre_nms_limit=limit)
    spec = [keras.Input((None, 2)), keras.Input((None, 4)), keras.Input((None, 4))]
    model = keras.Model(spec, layer(spec))
    np.testing.assert_allclose(model.predict_on_batch(inputs), run(layer, inputs), atol=1e-6)


@pytest.mark.tensorflow_only
def test_no_gradient_flows_through_the_layer():
    import tensorflow as tf

    inputs = [tf.Variable(v) for v in _random_inputs(np.random.default_rng(2), 1, 20)]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ProposalLayer(5, 0.7)(inputs))
    assert tape.gradient(total, inputs) == [None] * 3
