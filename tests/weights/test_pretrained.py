"""Downloaded weights. With ImageNet weights, our ResNet returns the same maps as keras.applications."""
import hashlib
import io
import sys

import keras
import numpy as np
import pytest

from mrcnn.io.download import DownloadError
from mrcnn.weights import classic_h5, pretrained


def test_downloads_are_verified_and_announced(tmp_path, monkeypatch, capsys):
    content = b"weights" * 1000
    (tmp_path / "source").write_bytes(content)
    url, path = (tmp_path / "source").as_uri(), tmp_path / "cache" / "w.h5"
    monkeypatch.setattr(pretrained, "COCO_MODEL_URL", url)
    with pytest.raises(DownloadError, match="the content has the md5"):
        pretrained.coco_weights(path, verbose=0)
    assert capsys.readouterr().out == "" and not path.exists()
    monkeypatch.setattr(pretrained, "COCO_MODEL_MD5", hashlib.md5(content).hexdigest())
    assert pretrained.coco_weights(str(path)) == path and path.read_bytes() == content
    assert f"Downloading {url} to {path}" in capsys.readouterr().out
    assert pretrained.coco_weights(path) == path
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verbose", [0, 1])
def test_terminal_shows_a_bar_only_if_verbose(tmp_path, monkeypatch, capsys, verbose):
    (tmp_path / "source").write_bytes(b"weights" * 1000)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(pretrained, "COCO_MODEL_URL", (tmp_path / "source").as_uri())
    monkeypatch.setattr(pretrained, "COCO_MODEL_MD5", hashlib.md5(b"weights" * 1000).hexdigest())
    pretrained.coco_weights(tmp_path / "w.h5", verbose=verbose)
    assert bool(capsys.readouterr().out) == ("downloading source" in terminal.getvalue()) == bool(verbose)
    assert verbose or terminal.getvalue() == ""


def test_error_without_a_network_says_where_to_put_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "COCO_MODEL_URL", "http://127.0.0.1:9/mask_rcnn_coco.h5")
    with pytest.raises(DownloadError) as caught:
        pretrained.coco_weights(tmp_path / "mask_rcnn_coco.h5", verbose=0)
    assert f"put it at {tmp_path / 'mask_rcnn_coco.h5'}" in str(caught.value)


def test_cache_folder_is_set_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("MRCNN_CACHE", raising=False)
    assert pretrained.cache_dir() == tmp_path / "xdg" / "mrcnn"
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "mine"))
    assert pretrained.cache_dir() == tmp_path / "mine" and (tmp_path / "mine").is_dir()


def test_names_of_keras_applications():
    names = pretrained.application_layers("resnet50")
    assert names["conv1"] == "conv1_conv" and names["bn_conv1"] == "conv1_bn"
    assert names["res2a_branch1"] == "conv2_block1_0_conv" and "res2b_branch1" not in names
    assert names["bn3d_branch2c"] == "conv3_block4_3_bn" and names["res5c_branch2b"] == "conv5_block3_2_conv"
    assert len(names) == 2 * 53
    deeper = pretrained.application_layers("resnet101")
    assert deeper["res4w_branch2a"] == "conv4_block23_1_conv" and len(deeper) == 2 * 104


def test_imagenet_weights_exist_only_for_the_resnets():
    with pytest.raises(ValueError, match="for resnet50 and resnet101, not for 'mobilenet'"):
        pretrained.imagenet_weights("mobilenet")


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
    application = pretrained.build_application(architecture, input_shape=shape)
    _randomise(application, seed=5)
    backbone = pretrained.build_backbone(architecture, shape)
    pretrained.copy_application_weights(application, backbone, architecture)

    rgb = np.random.default_rng(6).normal(0, 1, (1, *shape)).astype(np.float32)
    ends = [f"conv{stage}_block{last}_out" for stage, last in enumerate(last_blocks, start=2)]
    outputs = [application.get_layer(end).output for end in ends]
    theirs = keras.Model(application.input, outputs).predict(rgb[..., ::-1], verbose=0)
    ours = backbone.predict(rgb, verbose=0)[1:]
    for ours_map, theirs_map, size in zip(ours, theirs, [(17, 25), (9, 13), (5, 7), (3, 4)], strict=True):
        assert ours_map.shape[1:3] == size
        scale = np.abs(theirs_map).max()
        assert 0.1 < scale < 1e4
        np.testing.assert_allclose(ours_map, theirs_map, atol=2e-5 * scale)


def test_imagenet_weights_are_converted_to_a_classic_file(tmp_path, monkeypatch):
    """A random file replaces the released one: it is downloaded, converted, written once, and loaded by name."""
    application = pretrained.build_application("resnet50")
    _randomise(application, seed=1)
    source = tmp_path / "released.weights.h5"
    application.save_weights(source)
    monkeypatch.setattr(pretrained, "IMAGENET_URL", source.as_uri())
    monkeypatch.setitem(pretrained.IMAGENET_MD5, "resnet50", hashlib.md5(source.read_bytes()).hexdigest())
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "cache"))

    path = pretrained.imagenet_weights("resnet50", verbose=0)
    source.unlink()
    assert pretrained.imagenet_weights("resnet50", verbose=0) == path

    backbone = pretrained.build_backbone("resnet50")
    report = classic_h5.load(backbone, path)
    assert len(report.matched) == 53 * 2 + 53 * 4 and not report.missing and not report.unused
    kernel = keras.ops.convert_to_numpy(application.get_layer("conv1_conv").weights[0].value)
    loaded = keras.ops.convert_to_numpy(backbone.get_layer("conv1").weights[0].value)
    np.testing.assert_array_equal(loaded, kernel[:, :, ::-1])
