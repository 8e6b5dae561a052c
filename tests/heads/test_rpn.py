"""The region proposal head: one set of weights for every level, outputs in the order of the anchors."""
import keras
import numpy as np
import pytest

from mrcnn.geometry.anchors import generate_anchors
from mrcnn.heads.rpn import build_rpn_model


def _run(model, feature_map):
    return [keras.ops.convert_to_numpy(t) for t in model(feature_map)]


def test_outputs_follow_the_order_of_the_anchors():
    """Anchor (row 1, column 2, ratio 1) of a 3 x 4 map is where its cell and its channel say."""
    model = build_rpn_model(1, 3, 2, 4)
    shared = model.get_layer("rpn_conv_shared")
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    kernel[1, 1, 0, 0] = 1  # hidden channel 0 copies the map's channel 0
    shared.set_weights([kernel, np.zeros(4)])
    raw, boxes = np.zeros((1, 1, 4, 6), np.float32), np.zeros((1, 1, 4, 12), np.float32)
    raw[0, 0, 0] = [1, 2, 3, 4, 5, 6]  # (background, object) of ratios 0, 1, 2
    boxes[0, 0, 0] = np.arange(12)
    model.get_layer("rpn_class_raw").set_weights([raw, np.zeros(6)])
    model.get_layer("rpn_bbox_pred").set_weights([boxes, np.zeros(12)])
    feature_map = np.zeros((1, 3, 4, 2), np.float32)
    feature_map[0, 1, 2, 0] = 10
    logits, probs, deltas = _run(model, feature_map)
    anchors = generate_anchors(32, [0.5, 1, 2], [3, 4], 16, 1)
    assert logits.shape == (1, 36, 2) == (1, len(anchors), 2) and deltas.shape == (1, 36, 4)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    ours = np.flatnonzero((centres == [16, 32]).all(axis=1))
    assert ours.tolist() == [18, 19, 20]
    np.testing.assert_allclose(logits[0, ours], [[10, 20], [30, 40], [50, 60]], atol=1e-5)
    np.testing.assert_allclose(deltas[0, ours], 10 * np.arange(12).reshape(3, 4), atol=1e-5)
    others = np.setdiff1d(np.arange(36), ours)
    assert not logits[0, others].any() and not deltas[0, others].any()
    np.testing.assert_allclose(probs[0, others], 0.5)
    np.testing.assert_allclose(probs[0, ours, 1], 1 / (1 + np.exp(-10)), atol=1e-6)


@pytest.mark.parametrize("stride, cells", [(1, 5 * 3), (2, 3 * 2)])
def test_a_stride_leaves_cells_out(stride, cells):
    model = build_rpn_model(stride, 2, 4, 6)
    logits, probs, deltas = _run(model, np.ones((2, 5, 3, 4), np.float32))
    assert logits.shape == probs.shape == (2, 2 * cells, 2) and deltas.shape == (2, 2 * cells, 4)
    assert len(generate_anchors(8, [0.5, 1], [5, 3], 4, stride)) == 2 * cells


def test_names_and_channels():
    model = build_rpn_model(1, 3, 8, 32)
    assert model.name == "rpn_model"
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if layer.weights}
    assert shapes == {"rpn_conv_shared": (3, 3, 8, 32), "rpn_class_raw": (1, 1, 32, 6), "rpn_bbox_pred": (1, 1, 32, 12)}
    assert build_rpn_model(1, 3, 8).get_layer("rpn_conv_shared").filters == 512


def test_it_begins_with_anchors_as_likely_to_be_objects_as_not_and_where_they_are():
    model = build_rpn_model(1, 3, 64, 256)
    for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"):
        kernel, bias = model.get_layer(name).get_weights()
        assert kernel.std() == pytest.approx(0.01, rel=0.1) and not bias.any()
    _, probs, deltas = _run(model, np.random.default_rng(0).normal(size=(1, 8, 8, 64)).astype(np.float32))
    assert abs(probs - 0.5).max() < 0.05 and abs(deltas).max() < 0.2
