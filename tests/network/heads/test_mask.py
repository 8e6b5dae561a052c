"""The mask head, applied to each ROI separately."""
import keras
import numpy as np
import pytest

from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.layers.norms import Norm


def _model():
    head = MaskHead(num_classes=3, norm=Norm(train_bn=False), channels=4)
    features = keras.Input((5, 6, 6, 2))
    return head, keras.Model(features, head(features))


def test_head_doubles_the_size():
    _, model = _model()
    masks = keras.ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(2, 5, 6, 6, 2)).astype(np.float32)))
    assert masks.shape == (2, 5, 12, 12, 3) and masks.dtype == np.float32
    assert (masks > 0).all() and (masks < 1).all()
    assert [layer.name for layer in model.layers if layer.weights] == [
        name for n in (1, 2, 3, 4) for name in (f"mrcnn_mask_conv{n}", f"mrcnn_mask_bn{n}")] + [
        "mrcnn_mask_deconv", "mrcnn_mask"]  # fmt: skip


def test_rois_do_not_affect_each_other_in_training():
    head, model = _model()
    head.probs.set_weights([100 * weights for weights in head.probs.get_weights()])  # otherwise close to zero
    features = np.random.default_rng(1).normal(size=(2, 5, 6, 6, 2)).astype(np.float32)
    changed = features.copy()
    changed[1, 3] += 5
    before, after = (keras.ops.convert_to_numpy(model(f, training=True)) for f in (features, changed))
    moved = np.abs(before - after).max(axis=(2, 3, 4)) > 0.001
    assert np.argwhere(moved).tolist() == [[1, 3]]


def test_classes_do_not_compete():
    head, model = _model()
    head.probs.set_weights([np.zeros((1, 1, 4, 3)), np.log([1.0, 3.0, 9.0])])
    masks = keras.ops.convert_to_numpy(model(np.ones((1, 5, 6, 6, 2), np.float32)))
    np.testing.assert_allclose(masks[0, 0, 0, 0], [0.5, 0.75, 0.9], atol=1e-6)


def test_initial_weights_are_those_of_the_paper():
    head = MaskHead(num_classes=81, channels=64)
    features = keras.Input((5, 6, 6, 2))
    keras.Model(features, head(features))
    kernel, bias = head.probs.get_weights()
    assert kernel.std() == pytest.approx(0.01, rel=0.05) and not bias.any()
