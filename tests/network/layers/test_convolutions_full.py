"""The matrix product equals the convolution."""
import keras
import numpy as np
import pytest

from mrcnn.network.layers.convolutions import FullConvolution


def test_result_equals_the_convolution():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 2, 3, 4)).astype(np.float32)
    weights = [rng.normal(size=(2, 3, 4, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)]
    outputs = []
    for kind in (FullConvolution, keras.layers.Conv2D):
        layer = kind(6, (2, 3), activation="relu")
        layer.build(images.shape)
        layer.set_weights(weights)
        outputs.append(keras.ops.convert_to_numpy(layer(images)))
    assert outputs[0].shape == (5, 1, 1, 6) and (outputs[0] > 0).any()
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_full_convolution_by_hand():
    layer = FullConvolution(1, (1, 2))
    layer.build((None, 1, 2, 1))
    layer.set_weights([np.array([[[[10.0]], [[1.0]]]]), np.array([0.5])])
    # 10 * 3 + 1 * 4 + 0.5
    assert keras.ops.convert_to_numpy(layer(np.array([[[[3.0], [4.0]]]], np.float32))).ravel() == pytest.approx([34.5])


def test_input_of_another_size_is_an_error():
    with pytest.raises(ValueError, match="expects input of size .7, 7. and got .7, 14."):
        FullConvolution(4, (7, 7))(np.zeros((1, 7, 14, 3), np.float32))
