"""Networks of KerasHub as backbones, from presets in folders. Most of it needs the package keras-hub, which is optional."""

import sys

import keras
import numpy as np
import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.network.backbones import get_backbone, keras_hub
from mrcnn.weights import classic_h5
from mrcnn.weights.imagenet import imagenet_settings, imagenet_weights
from tests.training.small import shapes, small_model

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub", reason="the package keras-hub is not installed")


@pytest.fixture(scope="module")
def resnet(hub, tmp_path_factory):
    """A small ResNet with random weights and statistics, and the folder of its preset with a preprocessor."""
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 16, 24, 32],
        stackwise_num_blocks=[1, 1, 1, 1], stackwise_num_strides=[1, 2, 2, 2], block_type="basic_block")  # fmt: skip
    rng = np.random.default_rng(0)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    converter = hub.layers.ResNetImageConverter(
        scale=[1 / std for std in STD], offset=[-mean / std for mean, std in zip(MEAN, STD, strict=True)])  # fmt: skip
    folder = tmp_path_factory.mktemp("preset")
    preprocessor = hub.models.ResNetImageClassifierPreprocessor(converter)
    hub.models.ResNetImageClassifier(backbone=backbone, num_classes=2, preprocessor=preprocessor).save_to_preset(folder)
    return backbone, f"keras_hub:{folder}"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path))


def test_feature_maps_are_those_of_the_preset(resnet, cache, tmp_path):
    theirs, name = resnet
    image = keras.Input((64, 96, 3))
    ours = keras.Model(image, get_backbone(name)(image, stage5=True, train_bn=False)[1:])
    report = classic_h5.load(ours, imagenet_weights(name))
    assert not report.missing
    pixels = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype(np.float32)
    outputs = keras.Model(theirs.input, [theirs.pyramid_outputs[f"P{level}"] for level in (2, 3, 4, 5)])
    expected, found = outputs.predict(pixels, verbose=0), ours.predict(pixels, verbose=0)
    assert [value.shape for value in found] == [(2, 16, 24, 64), (2, 8, 12, 16), (2, 4, 6, 24), (2, 2, 3, 32)]
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_pixels_are_normalised_as_the_preset_says(resnet):
    values = imagenet_settings(resnet[1])
    np.testing.assert_allclose(values["MEAN_PIXEL"], MEAN, rtol=1e-6)
    np.testing.assert_allclose(values["STD_PIXEL"], STD, rtol=1e-6)
    assert values["CHANNEL_ORDER"] == "rgb"


@pytest.mark.tensorflow_only
def test_network_trains_and_detects(resnet, tmp_path):
    model = small_model("training", tmp_path, BACKBONE=resnet[1])
    kernels = [model.keras_model.get_layer(f"stack{stage}_block0_1_conv") for stage in (2, 3)]
    before = [kernel.get_weights()[0] for kernel in kernels]
    model.train(shapes(2), None, learning_rate=0.001, epochs=1, layers="5+")
    stage4, stage5 = (np.abs(kernel.get_weights()[0] - value).max() for kernel, value in zip(kernels, before, strict=True))
    assert stage4 == 0 and stage5 > 0
    (result,) = model.detect([np.zeros((64, 64, 3), np.uint8)])
    assert result["masks"].shape == (64, 64, len(result["scores"]))


def test_networks_without_the_four_maps_are_refused(hub, tmp_path):
    hub.models.VGGBackbone(stackwise_num_repeats=[1, 1, 1, 1, 1], stackwise_num_filters=[8] * 5).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="is a VGGBackbone without feature maps at the strides 4, 8, 16 and 32"):
        keras_hub.load_preset(str(tmp_path))
    with pytest.raises(ValueError, match="cannot say how its images are normalised"):
        keras_hub.pixel_normalisation(str(tmp_path))


def test_a_preset_that_does_not_exist_is_an_error(hub, tmp_path):
    with pytest.raises(ValueError, match="keras_hub:.*gone: KerasHub cannot load this preset"):
        keras_hub.load_preset(str(tmp_path / "gone"))


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match="^a BACKBONE that begins with keras_hub: needs .* pip install keras-hub"):
        get_backbone("keras_hub:resnet_50_imagenet")(keras.Input((64, 64, 3)))
    with pytest.raises(ValueError, match="^a BACKBONE that begins with keras_hub: needs .* pip install keras-hub"):
        imagenet_settings("keras_hub:resnet_50_imagenet")


def test_configuration_takes_the_name_of_a_preset():
    assert Config().with_overrides({"BACKBONE": "keras_hub:resnet_50_imagenet"}).BACKBONE == "keras_hub:resnet_50_imagenet"
    for name in ("kerashub:resnet_50_imagenet", "keras_hub:"):
        with pytest.raises(ConfigError, match="compact or keras_hub:PRESET, or give a callable"):
            Config().with_overrides({"BACKBONE": name})
