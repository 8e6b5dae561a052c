"""The statistics that normalise are the ones that TRAIN_BN names, whatever mode the model around runs in."""
import keras
import numpy as np
import pytest

from mrcnn.layers.batch_norm import BatchNorm

# Two rows with mean 3 and variance 1. Epsilon 1e-3 leaves 1 / sqrt(1.001) of them, the batch's way.
X = np.array([[2.0], [4.0]], np.float32)
BY_BATCH = np.array([[-1.0], [1.0]]) / np.sqrt(1.001)
BY_MOVING = X / np.sqrt(1.001)  # the moving statistics start at mean 0, variance 1


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _model(train_bn):
    """A functional model of one layer, and the layer."""
    image = keras.Input((1,))
    layer = BatchNorm(momentum=0.9)
    return keras.Model(image, layer(image, training=train_bn)), layer


@pytest.mark.parametrize("train_bn, training, expected, moving_mean", [
    (None, False, BY_MOVING, 0.0),
    (None, True, BY_BATCH, 0.3),  # 0.9 * 0 + 0.1 * 3
    (False, False, BY_MOVING, 0.0),
    (False, True, BY_MOVING, 0.0),
    (True, False, BY_BATCH, 0.3),
    (True, True, BY_BATCH, 0.3),
])  # fmt: skip
def test_a_functional_model_does_as_train_bn_says(train_bn, training, expected, moving_mean):
    model, layer = _model(train_bn)
    np.testing.assert_allclose(_numpy(model(X, training=training)), expected, atol=1e-5)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [moving_mean], atol=1e-6)


@pytest.mark.parametrize("train_bn", [None, False])
def test_a_step_of_fit_moves_the_statistics_only_when_they_train(train_bn):
    model, layer = _model(train_bn)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.fit(X, np.zeros_like(X), batch_size=2, verbose=0)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [0.3 if train_bn is None else 0.0], atol=1e-6)
    # The scale trains in both: the gradient of the mean square is not zero.
    assert abs(float(_numpy(layer.gamma)[0]) - 1) > 1e-3


def test_a_frozen_layer_keeps_its_statistics():
    model, layer = _model(None)
    layer.trainable = False
    np.testing.assert_allclose(_numpy(model(X, training=True)), BY_MOVING, atol=1e-5)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [0.0])


def test_outside_a_model_the_argument_counts():
    layer = BatchNorm()
    np.testing.assert_allclose(_numpy(layer(X, training=True)), BY_BATCH, atol=1e-5)
    assert layer.train_bn is None


@pytest.mark.parametrize("train_bn", [None, False, True])
def test_a_saved_layer_comes_back_with_its_arguments(train_bn):
    layer = BatchNorm(momentum=0.7, epsilon=1e-2, center=False, train_bn=train_bn, name="bn")
    copy = BatchNorm.from_config(layer.get_config())
    assert (copy.momentum, copy.epsilon, copy.center, copy.train_bn, copy.name) == (0.7, 1e-2, False, train_bn, "bn")


@pytest.mark.parametrize("train_bn", [None, False, True])
def test_a_model_made_from_a_configuration_does_the_same(train_bn):
    model, _ = _model(train_bn)
    copy = keras.Model.from_config(model.get_config())
    for training in (False, True):
        np.testing.assert_allclose(_numpy(copy(X, training=training)), _numpy(model(X, training=training)), atol=1e-6)
