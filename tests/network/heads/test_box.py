"""The box head, applied to each ROI separately."""
import keras
import numpy as np
import pytest

from mrcnn.network.heads.box import BoxHead
from mrcnn.network.layers.norms import Norm


def _head(train_bn=False):
    head = BoxHead(pool_size=3, num_classes=4, fc_units=8, norm=Norm(train_bn=train_bn))
    features = keras.Input((6, 3, 3, 5))
    return head, keras.Model(features, list(head(features)))


def _run(model, features, **arguments):
    return [keras.ops.convert_to_numpy(t) for t in model(features, **arguments)]


def test_shapes_names_and_probabilities():
    head, model = _head()
    features = np.random.default_rng(0).normal(size=(2, 6, 3, 3, 5)).astype(np.float32)
    logits, probs, deltas = _run(model, features)
    assert logits.shape == probs.shape == (2, 6, 4) and deltas.shape == (2, 6, 4, 4)
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(probs, exponents / exponents.sum(axis=-1, keepdims=True), atol=1e-5)
    assert [layer.name for layer in model.layers if layer.weights] == [
        "mrcnn_class_conv1", "mrcnn_class_bn1", "mrcnn_class_conv2", "mrcnn_class_bn2", "mrcnn_class_logits",
        "mrcnn_bbox_fc"]  # fmt: skip
    assert {"mrcnn_class", "mrcnn_bbox"} <= {layer.name for layer in model.layers}


def test_deltas_are_ordered_by_class():
    head, model = _head()
    head.deltas.set_weights([np.zeros((8, 16)), np.arange(16)])
    deltas = _run(model, np.ones((1, 6, 3, 3, 5), np.float32))[2]
    np.testing.assert_allclose(deltas[0, 4], np.arange(16).reshape(4, 4))


@pytest.mark.parametrize("training", [False, True])
def test_rois_do_not_affect_each_other(training):
    """With TRAIN_BN False, no batch statistics are used, not even in training."""
    head, model = _head()
    for layer in (head.logits, head.deltas):  # otherwise too close to zero to show a difference
        layer.set_weights([100 * weights for weights in layer.get_weights()])
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, 6, 3, 3, 5)).astype(np.float32)
    plain = _run(model, features, training=training)
    changed = features.copy()
    changed[0, 2] += 5
    for before, after in zip(plain, _run(model, changed, training=training)):
        assert np.abs(before[0, 2] - after[0, 2]).max() > 0.01
        mask = np.ones((2, 6), bool)
        mask[0, 2] = False
        np.testing.assert_allclose(after[mask], before[mask], atol=1e-5)


def test_two_calls_share_their_weights():
    head = BoxHead(3, 4, 8, Norm(train_bn=False))
    few, many = keras.Input((2, 3, 3, 5)), keras.Input((6, 3, 3, 5))
    small, large = keras.Model(few, list(head(few))), keras.Model(many, list(head(many)))
    assert [id(w) for w in small.weights] == [id(w) for w in large.weights]
    features = np.random.default_rng(2).normal(size=(1, 6, 3, 3, 5)).astype(np.float32)
    for a, b in zip(_run(small, features[:, :2]), _run(large, features)):
        np.testing.assert_allclose(a, b[:, :2], atol=1e-5)


def test_initial_weights_are_those_of_the_papers():
    head = BoxHead(pool_size=3, num_classes=81, fc_units=256)
    features = keras.Input((6, 3, 3, 5))
    keras.Model(features, list(head(features)))
    for layer, spread in ((head.logits, 0.01), (head.deltas, 0.001)):
        kernel, bias = layer.get_weights()
        assert kernel.std() == pytest.approx(spread, rel=0.05) and not bias.any()
