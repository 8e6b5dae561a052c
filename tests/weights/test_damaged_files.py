"""Damaged and malicious weight files raise our own error with the name of the file, and change nothing."""
import h5py
import keras
import numpy as np
import pytest

from mrcnn.weights import catalogue, classic_h5, imagenet
from mrcnn.weights.tensors import WeightsError
from tests.weights.damage import MALICIOUS, VARIANTS, rewrite, try_variants, write_secret
from tests.weights.small import same_values, small_model


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_damaged_weight_file_is_loaded_or_rejected_with_its_name(tmp_path, name):
    source, path = small_model(seed=1), tmp_path / name
    (source.save_weights if name == "w.weights.h5" else lambda path: classic_h5.save(source, path))(path)
    target = small_model(seed=2)
    assert VARIANTS // 4 < try_variants(path, lambda: classic_h5.load(target, path)) < VARIANTS


@pytest.fixture
def in_folder_with_a_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path)
    return tmp_path


@pytest.mark.parametrize("write, words", MALICIOUS)
@pytest.mark.parametrize("name, tensor", [("w.h5", "conv1/conv1/bias:0"), ("w.weights.h5", "layers/conv2d/vars/1")])
def test_weight_file_that_refers_to_another_file_is_rejected(in_folder_with_a_secret, name, tensor, write, words):
    path, model = in_folder_with_a_secret / name, small_model()
    (model.save_weights if name == "w.weights.h5" else lambda path: classic_h5.save(model, path))(path)
    rewrite(path, tensor, write)
    with pytest.raises(WeightsError, match=f"{name}: .*{words}"):
        classic_h5.load(model, path)
    assert same_values(model, small_model())


@pytest.mark.parametrize("write, words", MALICIOUS)
def test_imagenet_weights_that_refer_to_another_file_are_rejected(in_folder_with_a_secret, monkeypatch, write, words):
    monkeypatch.setenv("MRCNN_CACHE", str(in_folder_with_a_secret))
    path = in_folder_with_a_secret / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    classic_h5.save(small_model(), path)
    rewrite(path, "conv1/conv1/bias:0", write)
    monkeypatch.setattr(catalogue, "download", lambda url, path, *args: path)
    with pytest.raises(WeightsError, match=f"notop.h5: .*{words}"):
        imagenet.imagenet_weights("resnet50")


def test_shape_larger_than_in_the_model_is_rejected_before_reading(tmp_path):
    """A few kilobytes that declare 8 TiB."""
    path, model = tmp_path / "w.h5", small_model()
    classic_h5.save(model, path)
    rewrite(path, "conv1/conv1/bias:0",
             lambda group, name: group.create_dataset(name, (2**20, 2**21), "f4", chunks=(2**10, 2**10), compression="gzip"))
    with pytest.raises(WeightsError, match=r"conv1/bias: \(1048576, 2097152\) in the file, \(4,\) in the model"):
        classic_h5.load(model, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_rejected(tmp_path, value):
    source, target, path = small_model(seed=1), small_model(seed=2), tmp_path / "w.h5"
    kernel = keras.ops.convert_to_numpy(source.get_layer("rpn_model").get_layer("rpn_conv_shared").kernel).copy()
    kernel[0, 0, 1, 2] = value
    classic_h5.save(source, path)  # save rejects such weights
    rewrite(path, "rpn_model/rpn_conv_shared/kernel:0", lambda group, name: group.create_dataset(name, data=kernel))
    with pytest.raises(WeightsError, match=r"w.h5: weights of layer rpn_conv_shared are NaN or infinite .*kernel.*earlier"):
        classic_h5.load(target, path)
    assert same_values(target, small_model(seed=2))
    assert len(classic_h5.load(target, path, exclude=["rpn_conv_shared"]).matched) == 10


def test_flipped_bit_of_a_weight_is_detected(tmp_path):
    source, path = small_model(seed=1), tmp_path / "w.h5"
    classic_h5.save(source, path)
    content, target = bytearray(path.read_bytes()), small_model(seed=2)
    kernel = keras.ops.convert_to_numpy(source.get_layer("conv1").kernel).tobytes()
    content[content.index(kernel) + 1] ^= 4  # changes the weight by about 1e-5
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="w.h5: its content differs from the digest in it"):
        classic_h5.load(target, path)
    assert same_values(target, small_model(seed=2))
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]
    assert len(classic_h5.load(target, path).matched) == 12
