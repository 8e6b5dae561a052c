"""First convolutions for RGB in networks whose images have other channels."""
import keras
import numpy as np
import pytest

from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.weights import classic_h5
from mrcnn.weights.tensors import WeightsError
from mrcnn.weights.transfer import inflate, is_rgb_stem
from tests.training.small import small_config


def test_kernel_gets_the_mean_scaled_to_the_same_sum():
    kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)  # mean 3, sum 9
    np.testing.assert_allclose(inflate(kernel, 1)[0, 0, :, 0], [9.0])
    np.testing.assert_allclose(inflate(kernel, 2)[0, 0, :, 0], [4.5, 4.5])
    np.testing.assert_allclose(inflate(kernel, 4)[0, 0, :, 0], [2.25] * 4)


def test_grey_images_have_the_features_of_grey_rgb_images():
    rng = np.random.default_rng(0)
    kernel, grey = rng.normal(size=(3, 2, 3, 5)), rng.normal(size=(1, 7, 9, 1))
    rgb = keras.ops.conv(np.repeat(grey, 3, axis=-1), kernel)
    for channels in (1, 2, 6):
        ours = keras.ops.conv(np.repeat(grey, channels, axis=-1), inflate(kernel, channels))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(rgb), atol=1e-5)


@pytest.mark.parametrize("in_file, in_model, channels, expected", [
    ((7, 7, 3, 64), (7, 7, 4, 64), 4, True), ((7, 7, 3, 64), (7, 7, 1, 64), 1, True),
    ((7, 7, 3, 64), (7, 7, 3, 64), 3, False),  # fits as it is
    ((7, 7, 4, 64), (7, 7, 5, 64), 5, False),  # not for RGB
    ((7, 7, 3, 64), (7, 7, 4, 64), 5, False),  # not the first one
    ((7, 7, 3, 64), (7, 7, 4, 64), None, False), ((7, 7, 3, 64), (5, 7, 4, 64), 4, False), ((3, 64), (4, 64), 4, False)])
def test_only_first_convolutions_for_rgb_are_inflated(in_file, in_model, channels, expected):
    assert is_rgb_stem(in_file, in_model, channels) is expected


@pytest.mark.parametrize("name, kernel", [("mobilenetv3_small", "conv/kernel"), ("efficientnet_lite0", "stem_conv/kernel"),
                                          ("resnet18", "conv1/kernel")])
def test_weights_for_rgb_are_loaded_for_other_numbers_of_channels(name, kernel, tmp_path, capsys):
    rgb = MaskRCNN("training", small_config(BACKBONE=name), str(tmp_path)).keras_model
    rgb.save_weights(tmp_path / "w.h5")
    config = small_config(BACKBONE=name, IMAGE_CHANNEL_COUNT=5, MEAN_PIXEL=np.full(5, 100.0))
    model = MaskRCNN("training", config, str(tmp_path))
    report = model.load_weights(tmp_path / "w.h5", by_name=True)
    assert report.inflated == [kernel] and kernel in report.matched and not report.missing
    assert f"1 inflated ({kernel})" in report.summary()
    assert f"{kernel} is for 3 input channels; each of the 5 of this network gets their mean" in capsys.readouterr().out
    layer = kernel.partition("/")[0]
    theirs, ours = (keras.ops.convert_to_numpy(m.get_layer(layer).kernel) for m in (rgb, model.keras_model))
    assert ours.shape[2] == 5
    np.testing.assert_allclose(ours, np.repeat(theirs.sum(axis=2, keepdims=True) / 5, 5, axis=2), rtol=1e-5, atol=1e-7)
    assert model.keras_model.unloaded_layers == ()


def test_a_file_of_a_whole_model_must_fit(tmp_path):
    rgb = MaskRCNN("training", small_config(BACKBONE="resnet18"), str(tmp_path)).keras_model
    classic_h5.save(rgb, tmp_path / "w.h5")
    config = small_config(BACKBONE="resnet18", IMAGE_CHANNEL_COUNT=4, MEAN_PIXEL=np.full(4, 100.0))
    model = MaskRCNN("training", config, str(tmp_path)).keras_model
    with pytest.raises(WeightsError, match=r"conv1/kernel: \(7, 7, 3, 64\) in the file, \(7, 7, 4, 64\) in the model"):
        classic_h5.load(model, tmp_path / "w.h5", by_name=False)
