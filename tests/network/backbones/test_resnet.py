"""ResNet with the classic names, strides and blocks."""
import keras
import numpy as np
import pytest

from mrcnn.network.backbones.resnet import ResNetVariant, basic_block, block_letters, conv_block, identity_block, resnet_graph
from tests.shared_data import shared_path


def _classic_backbone(architecture):
    """Return the layers of the backbone in the classic file, with the shapes of their tensors."""
    rows = shared_path(f"parity/h5_layout_{architecture}.tsv").read_text(encoding="utf-8").splitlines()
    layers = {}
    for group, tensor, shape in (row.split("\t") for row in rows):
        if group.startswith(("conv1", "bn_conv1", "res", "bn2", "bn3", "bn4", "bn5")):
            layers.setdefault(group, {})[tensor.rsplit("/", 1)[-1].removesuffix(":0")] = shape.replace(" ", "")
    return layers


@pytest.mark.parametrize("architecture, blocks", [
    pytest.param("resnet50", 16, marks=()),
    pytest.param("resnet101", 33, marks=pytest.mark.tensorflow_only)])
def test_layers_equal_those_of_the_classic_file(architecture, blocks):
    image = keras.Input((64, 128, 3))
    maps = resnet_graph(image, architecture, stage5=True, train_bn=False)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 32, 64), (16, 32, 256), (8, 16, 512), (4, 8, 1024), (2, 4, 2048)]  # fmt: skip
    model = keras.Model(image, maps[1:])
    ours = {layer.name: {w.name: str(tuple(w.shape)).replace(" ", "") for w in layer.weights}
            for layer in model.layers if layer.weights}
    assert sum(layer.name.endswith("_out") for layer in model.layers) == blocks
    assert ours == _classic_backbone(architecture)


def test_stage_5_can_be_omitted():
    maps = resnet_graph(keras.Input((64, 64, 3)), "resnet50")
    assert maps[4] is None and maps[3].shape[-1] == 1024


def test_unknown_architecture_is_an_error():
    with pytest.raises(ValueError, match="'resnet20': choose one of resnet18, resnet34, resnet50, resnet101, resnet152"):
        resnet_graph(keras.Input((64, 64, 3)), "resnet20")


@pytest.mark.parametrize("architecture, parameters", [("resnet18", 11_176_512), ("resnet34", 21_284_672)])
def test_basic_resnets_have_the_parameters_of_the_paper_without_the_classifier(architecture, parameters):
    """torchvision's have 11,689,512 and 21,797,672 parameters, of which the classifier has 512 * 1000 + 1000."""
    image = keras.Input((64, 96, 3))
    maps = resnet_graph(image, architecture, stage5=True, train_bn=False, variant=ResNetVariant(use_bias=False))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 24, 64), (16, 24, 64), (8, 12, 128), (4, 6, 256), (2, 3, 512)]
    model = keras.Model(image, maps)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == parameters == {
        "resnet18": 11_689_512, "resnet34": 21_797_672}[architecture] - 513_000  # fmt: skip
    names = {layer.name for layer in model.layers if layer.weights}
    assert "res2a_branch1" not in names and {"res3a_branch1", "bn3a_branch1", "res5b_branch2b"} < names


def test_basic_block_that_adds_nothing_is_relu():
    image = keras.Input((4, 6, 8))
    model = keras.Model(image, basic_block(image, 8, 2, "b", train_bn=False))
    model.get_layer("bn2b_branch2b").set_weights([np.zeros(8), np.zeros(8), np.zeros(8), np.ones(8)])
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), np.maximum(x, 0), atol=1e-6)


def test_basic_block_pads_on_all_sides_or_at_the_end():
    """Sums of 3x3 windows at stride 2 over 1, 2, 3, 4 in a row: centred at 1 and 3, or at 2 and 4."""
    for symmetric, expected in ((True, [1 + 2, 2 + 3 + 4]), (False, [1 + 2 + 3, 3 + 4])):
        image = keras.Input((2, 4, 1))
        variant = ResNetVariant(use_bias=False, symmetric_padding=symmetric, epsilon=0.0)
        model = keras.Model(image, basic_block(image, 1, 3, "a", strides=(2, 2), train_bn=False, variant=variant))
        centre = np.zeros((3, 3, 1, 1))
        centre[1, 1] = 1
        row = np.zeros((3, 3, 1, 1))
        row[1 if symmetric else 0] = 1  # the row of the image that the window begins with
        model.get_layer("res3a_branch2a").set_weights([row])
        model.get_layer("res3a_branch2b").set_weights([centre])
        model.get_layer("res3a_branch1").set_weights([np.zeros((1, 1, 1, 1))])
        x = np.array([[[1.0], [2.0], [3.0], [4.0]], [[0.0]] * 4], np.float32)[None]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x))[0, 0, :, 0], expected, rtol=1e-5)


def test_blocks_have_letters():
    assert [block_letters(number) for number in (0, 1, 25, 26, 35)] == ["a", "b", "z", "aa", "aj"]


def test_identity_block_that_adds_nothing_is_relu():
    image = keras.Input((4, 6, 8))
    model = keras.Model(image, identity_block(image, 3, [2, 2, 8], 2, "b", train_bn=False))
    model.get_layer("bn2b_branch2c").set_weights([np.zeros(8), np.zeros(8), np.zeros(8), np.ones(8)])
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), np.maximum(x, 0), atol=1e-6)


def test_conv_block_has_its_stride_in_the_first_convolution():
    image = keras.Input((8, 4, 3))
    model = keras.Model(image, conv_block(image, 3, [2, 2, 8], 3, "a", strides=(2, 2), use_bias=False, train_bn=False))
    assert tuple(model.output.shape[1:]) == (4, 2, 8)
    strides = {layer.name: layer.strides for layer in model.layers if "branch" in layer.name and "res" in layer.name}
    assert strides == {"res3a_branch2a": (2, 2), "res3a_branch2b": (1, 1), "res3a_branch2c": (1, 1),
                       "res3a_branch1": (2, 2)}
    assert all(not layer.use_bias for layer in model.layers if layer.name in strides)
