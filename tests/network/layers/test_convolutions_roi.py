"""A convolution over ROIs, with all filters or with one filter for each ROI."""
import keras
import numpy as np
import pytest

from mrcnn.network.layers.convolutions import RoiConv2D
from tests.network.layers.check import assert_same_in_a_model


def _layer(kernel=(1, 1), use_bias=True):
    layer = RoiConv2D(3, kernel, activation="sigmoid", use_bias=use_bias, name="probs")
    layer.build((None, 2, 4, 5, 6))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.weights])
    return layer


def _maps():
    return np.random.default_rng(1).normal(size=(2, 2, 4, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("use_bias", [True, False])
def test_selected_filter_equals_that_channel_of_all(use_bias):
    layer, maps = _layer(use_bias=use_bias), _maps()
    filter_ids = np.array([[2, 0], [1, 2]], np.int32)
    every = keras.ops.convert_to_numpy(layer(maps))  # [2, 2, 4, 5, 3]
    features, classes = keras.Input(maps.shape[1:]), keras.Input((2,), dtype="int32")
    model = keras.Model([features, classes], layer(features, classes))
    assert model.output_shape == (None, 2, 4, 5)
    selected = model.predict_on_batch([maps, filter_ids])
    for image in range(2):
        for roi in range(2):
            np.testing.assert_allclose(selected[image, roi], every[image, roi, :, :, filter_ids[image, roi]], atol=1e-6)
    merged = keras.ops.convert_to_numpy(layer(maps.reshape(4, 4, 5, 6), filter_ids))  # the axes are those of `filter_ids`
    np.testing.assert_allclose(merged, selected, atol=1e-6)


def test_axes_of_the_rois_are_kept():
    out = assert_same_in_a_model(_layer((3, 3)), [_maps()])
    assert out.shape == (2, 2, 2, 3, 3)  # a 3 x 3 kernel without padding removes one cell on each side


def test_selected_filters_need_a_kernel_of_one_cell():
    with pytest.raises(ValueError, match=r"'probs' has a kernel of \(3, 3\)"):
        _layer((3, 3))(_maps(), np.zeros((2, 2), np.int32))
