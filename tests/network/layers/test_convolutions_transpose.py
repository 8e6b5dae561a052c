"""The matrix product equals the transposed convolution."""
import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.network.layers.convolutions import DisjointConv2DTranspose


@pytest.mark.parametrize("kernel_size", [(2, 2), (3, 2)])
def test_result_equals_the_transposed_convolution(kernel_size):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 4, 3, 6)).astype(np.float32)
    weights = [rng.normal(size=(*kernel_size, 7, 6)).astype(np.float32), rng.normal(size=7).astype(np.float32)]
    outputs = []
    for layer in (DisjointConv2DTranspose(7, kernel_size, activation="relu"),
                  keras.layers.Conv2DTranspose(7, kernel_size, strides=kernel_size, activation="relu")):  # fmt: skip
        layer.build(images.shape)
        layer.set_weights(weights)
        outputs.append(ops.convert_to_numpy(layer(images)))
        assert tuple(layer.compute_output_shape(images.shape)) == outputs[-1].shape
    assert outputs[0].shape == (5, 4 * kernel_size[0], 3 * kernel_size[1], 7) and (outputs[0] > 0).any()
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_disjoint_transposed_convolution_by_hand():
    layer = DisjointConv2DTranspose(1, 2)
    layer.build((None, 1, 2, 1))
    layer.set_weights([np.array([[[[1.0]], [[2.0]]], [[[3.0]], [[4.0]]]]), np.array([0.5])])
    output = ops.convert_to_numpy(layer(np.array([[[[10.0], [100.0]]]], np.float32)))[0, :, :, 0]
    np.testing.assert_array_equal(output, [[10.5, 20.5, 100.5, 200.5], [30.5, 40.5, 300.5, 400.5]])


def test_layer_accepts_any_batch_size_and_survives_its_configuration():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, DisjointConv2DTranspose(4, (2, 2), activation="relu", name="up")(inputs))
    assert model.output.shape == (None, 4, 4, 4)
    same = keras.Model.from_config(model.get_config())
    same.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(3, 2, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(same.predict(images, verbose=0), model.predict(images, verbose=0))
    assert type(same.get_layer("up")) is DisjointConv2DTranspose
