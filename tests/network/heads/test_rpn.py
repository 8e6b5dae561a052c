"""The RPN head: one set of weights for all levels, and outputs in the order of the anchors."""
from functools import partial

import keras
import numpy as np
import pytest

from mrcnn.geometry.anchors import generate_anchors
from mrcnn.network.heads.rpn import RpnHead, build_rpn_model
from tests.compiled import compiled
from tests.network.gradients import loss_and_gradient


def _run(model, feature_map):
    return [keras.ops.convert_to_numpy(t) for t in model(feature_map)]


def test_outputs_follow_the_order_of_the_anchors():
    """The anchors at row 1 and column 2 of a 3 x 4 map have the outputs of their cell, in the order of the ratios."""
    model = build_rpn_model(1, 3, 2, 4)
    shared = model.get_layer("rpn_conv_shared")
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    kernel[1, 1, 0, 0] = 1  # hidden channel 0 copies channel 0 of the map
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
def test_stride_skips_cells(stride, cells):
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


def test_initial_outputs_are_undecided_and_leave_anchors_in_place():
    model = build_rpn_model(1, 3, 64, 256)
    for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"):
        kernel, bias = model.get_layer(name).get_weights()
        assert kernel.std() == pytest.approx(0.01, rel=0.1) and not bias.any()
    _, probs, deltas = _run(model, np.random.default_rng(0).normal(size=(1, 8, 8, 64)).astype(np.float32))
    assert abs(probs - 0.5).max() < 0.05 and abs(deltas).max() < 0.2


# (rows, columns) of levels: odd and even, a single row, and smaller than the kernel
SIZES = [(5, 8), (4, 3), (1, 2), (1, 1)]


def _levels(rng, depth=6, sizes=SIZES):
    return [rng.normal(size=(2, *size, depth)).astype(np.float32) for size in sizes]


def _head(rng, stride, depth=6):
    """Return a head with three anchors per cell and random weights and biases."""
    model = build_rpn_model(stride, 3, depth, 10)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def _over_all_anchors(model, levels):
    """Return the outputs of a head over all levels: logits [B, A, 2] and deltas [B, A, 4]."""
    logits, _, deltas = (keras.ops.concatenate(parts, axis=1) for parts in zip(*(model(level) for level in levels)))
    return logits, deltas


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_outputs_at_some_anchors_equal_those_over_all_anchors(stride):
    rng = np.random.default_rng(0)
    levels, model = _levels(rng), _head(rng, stride)
    levels = [keras.ops.convert_to_tensor(level) for level in levels]
    expected = [keras.ops.convert_to_numpy(values) for values in compiled(partial(_over_all_anchors, model))(levels)]
    count = expected[0].shape[1]
    assert count == 3 * sum(-(-h // stride) * -(-w // stride) for h, w in SIZES)
    anchors = np.stack([rng.permutation(count), np.arange(count)]).astype(np.int32)  # all anchors, in different orders
    outputs = compiled(model.at)(levels, keras.ops.convert_to_tensor(anchors))
    for ours, every in zip(outputs, expected, strict=True):
        assert keras.backend.standardize_dtype(ours.dtype) == "float32"
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), np.take_along_axis(every, anchors[..., None], 1),
                                   rtol=1e-4, atol=1e-4)  # fmt: skip


def test_default_at_gathers_outputs():
    """The behaviour of a head that does not override `at`."""
    rng = np.random.default_rng(0)
    levels, model = [keras.ops.convert_to_tensor(level) for level in _levels(rng)], _head(rng, 1)
    plain = RpnHead(model.inputs, model.outputs)
    positions = keras.ops.convert_to_tensor(np.array([[5, 0, 100], [7, 7, 3]], np.int32))
    for ours, expected in zip(compiled(plain.at)(levels, positions), compiled(model.at)(levels, positions), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradient_at_some_anchors_equals_that_through_all_outputs(stride, level):
    rng = np.random.default_rng(1)
    model, levels = _head(rng, stride), [keras.ops.convert_to_tensor(values) for values in _levels(rng)]
    last = sum(3 * -(-h // stride) * -(-w // stride) for h, w in SIZES) - 1
    # corners, the same anchor twice, every level
    anchors = keras.ops.convert_to_tensor([[0, 1, 1, last - 9, last], [2, 8, last - 4, last - 12, last - 20]])
    weights = [keras.ops.convert_to_tensor(rng.normal(size=(2, 5, values)).astype(np.float32)) for values in (2, 4)]

    def with_level(values):
        return [values if n == level else other for n, other in enumerate(levels)]

    def at(values):
        return sum(keras.ops.sum(w * values) for w, values in zip(weights, model.at(with_level(values), anchors)))

    def through_all(values):
        picked = (keras.ops.take_along_axis(every, anchors[..., None], axis=1)
                  for every in _over_all_anchors(model, with_level(values)))
        return sum(keras.ops.sum(w * values) for w, values in zip(weights, picked))

    (value, gradient), (expected, of_all) = (loss_and_gradient(function, _levels(np.random.default_rng(1))[level])
                                             for function in (at, through_all))
    assert value == pytest.approx(expected, rel=1e-4) and np.abs(of_all).max() > 1
    np.testing.assert_allclose(gradient, of_all, rtol=1e-4, atol=1e-4)


def test_outputs_at_some_anchors_in_lower_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rng = np.random.default_rng(2)
        levels, model = [keras.ops.cast(level, "bfloat16") for level in _levels(rng)], _head(rng, 1)
        anchors = keras.ops.convert_to_tensor(np.arange(30, dtype=np.int32)[None].repeat(2, axis=0))
        at, over_all = compiled(model.at), compiled(partial(_over_all_anchors, model))
        for ours, every in zip(at(levels, anchors), over_all(levels), strict=True):
            assert keras.backend.standardize_dtype(ours.dtype) == "float32"
            every = keras.ops.convert_to_numpy(keras.ops.cast(every, "float32"))[:, :30]
            assert np.abs(keras.ops.convert_to_numpy(ours) - every).max() < 0.02 * np.abs(every).max()
    finally:
        keras.config.set_dtype_policy(policy)
