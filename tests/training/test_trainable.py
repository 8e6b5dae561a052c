"""Training stages, selected by the classic layer names."""
import re

import keras
import pytest

from mrcnn.network.backbones import get_backbone
from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.backbones.fpn import build_pyramid
from mrcnn.network.layers.norms import BatchNorm
from mrcnn.training.trainable import backbone_stages, layer_regex, leaf_layers, set_trainable
from tests.training.small import shapes, small_model


def _model():
    """Return a model with a layer per backbone stage, a pyramid, a nested RPN model and a head."""
    inner_input = keras.Input((None, None, 2))
    inner = keras.Model(inner_input, keras.layers.Conv2D(2, 1, name="rpn_conv_shared")(inner_input), name="rpn_model")
    image = x = keras.Input((8, 8, 2))
    laterals = []
    for name in ("conv1", "bn_conv1", "res2a_branch1", "bn2a_branch1", "res3a_branch1", "bn3a_branch1", "res4a_branch1",
                 "bn4a_branch1", "res5a_branch1", "bn5a_branch1"):
        x = BatchNorm(name=name)(x) if name.startswith("bn") else keras.layers.Conv2D(2, 1, name=name)(x)
        if name.startswith("bn") and name != "bn_conv1":
            laterals.append(keras.layers.Conv2D(2, 1, name=f"fpn_c{name[2]}p{name[2]}")(x))
    x = keras.layers.Activation("relu")(inner(keras.layers.Add()(laterals)))
    return keras.Model(image, BatchNorm(name="mrcnn_class_bn1")(keras.layers.Dense(2, name="mrcnn_class_logits")(x)))


HEADS = {"fpn_c2p2", "fpn_c3p3", "fpn_c4p4", "fpn_c5p5", "rpn_conv_shared", "mrcnn_class_logits", "mrcnn_class_bn1"}


def _stage(number):
    return {f"{kind}{number}a_branch1" for kind in ("res", "bn")}


@pytest.mark.parametrize("layers, expected", [
    ("heads", HEADS),
    ("5+", HEADS | _stage(5)),
    ("4+", HEADS | _stage(5) | _stage(4)),
    ("3+", HEADS | _stage(5) | _stage(4) | _stage(3)),
    ("all", HEADS | _stage(5) | _stage(4) | _stage(3) | _stage(2) | {"conv1", "bn_conv1"}),
    (r"mrcnn\_.*", {"mrcnn_class_logits", "mrcnn_class_bn1"}),
    ("conv1", {"conv1"}),  # matches the full name, so not bn_conv1
])  # fmt: skip
def test_stage_trains_its_layers_and_freezes_the_others(layers, expected):
    model = _model()
    selected = set_trainable(model, layer_regex(layers, model))
    assert {layer.name for layer in selected} == expected
    owners = {layer.name for layer in leaf_layers(model) if layer.trainable_weights}
    assert owners == expected
    trained = {id(v) for layer in selected for v in layer.trainable_weights}
    assert {id(v) for v in model.trainable_variables} == trained


def test_later_stage_replaces_an_earlier_one():
    model = _model()
    set_trainable(model, layer_regex("conv1", model))
    set_trainable(model, layer_regex("all", model))
    assert {layer.name for layer in leaf_layers(model) if layer.trainable_weights} == {
        layer.name for layer in leaf_layers(model)}
    set_trainable(model, layer_regex("heads", model))
    assert not model.get_layer("conv1").trainable_weights and model.get_layer("rpn_model").trainable_weights


def _pyramid_model(backbone, size=64):
    """Return a model of a backbone and a pyramid."""
    image = keras.Input((size, size, 3))
    return keras.Model(image, build_pyramid(backbone(image, stage5=True, train_bn=False)[-4:], 2))


# The expressions of the classic code.
CLASSIC_STAGES = {
    "3+": r"(res3.*)|(bn3.*)|(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)",
    "4+": r"(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)",
    "5+": r"(res5.*)|(bn5.*)|(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)",
    "heads": r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"}


def test_stages_of_resnet_are_those_of_the_classic_expressions():
    model = _pyramid_model(get_backbone("resnet101"))
    names = {layer.name for layer in leaf_layers(model)}
    for layers, classic in CLASSIC_STAGES.items():
        ours = layer_regex(layers, model)
        assert {n for n in names if re.fullmatch(ours, n)} == {n for n in names if re.fullmatch(classic, n)}
    numbers = {stage: len(members) for stage, members in backbone_stages(model).items()}
    # A block has 3 convolutions and 3 normalisations, a stage a convolution and a normalisation on its first shortcut.
    assert numbers == {2: 2 + 6 * 3 + 2, 3: 6 * 4 + 2, 4: 6 * 23 + 2, 5: 6 * 3 + 2}


def test_stages_of_the_compact_backbone_include_its_batch_norm():
    stages = backbone_stages(_pyramid_model(compact_graph))
    for stage in (3, 4, 5):
        assert len(stages[stage]) == 10  # a block of 6 layers with a shortcut, and one of 4 layers without
        assert all(name.removeprefix("bn_").startswith(f"res{stage}") for name in stages[stage])
    assert {"bn_input", "conv1", "bn_conv1"} < set(stages[2])


def test_stages_do_not_depend_on_names(tmp_path):
    def backbone(input_image, stage5=True, train_bn=None):
        """Four convolutions with names that contain no stage."""
        maps = [keras.layers.AveragePooling2D(2)(input_image)]
        for number in range(4):
            maps.append(keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"block{number}")(maps[-1]))
        return maps

    model = small_model("training", tmp_path, BACKBONE=staticmethod(backbone)).keras_model
    assert backbone_stages(model) == {2: ["block0"], 3: ["block1"], 4: ["block2"], 5: ["block3"]}
    selected = {layer.name for layer in set_trainable(model, layer_regex("4+", model))}
    assert {name for name in selected if name.startswith("block")} == {"block2", "block3"}
    assert selected == {layer.name for layer in leaf_layers(model)} - {"block0", "block1"}


def test_stages_without_weights_are_an_error(tmp_path):
    def backbone(input_image, stage5=True, train_bn=None):
        """One convolution, and maps that are its averages."""
        maps = [None, keras.layers.Conv2D(4, 4, strides=4, name="patches")(input_image)]
        for _ in range(3):
            maps.append(keras.layers.AveragePooling2D(2)(maps[-1]))
        return maps

    model = small_model("training", tmp_path, BACKBONE=staticmethod(backbone))
    with pytest.raises(ValueError, match="stages 3 to 5 of this backbone have no layers with weights"):
        model.train(shapes(2), None, 0.01, 1, "3+")
    assert not list(tmp_path.iterdir())
    for other in ("heads", "all", "patches"):
        layer_regex(other, model.keras_model)


def test_stages_need_a_pyramid():
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="res3a")(image), name="mine")
    with pytest.raises(ValueError, match="'mine' has no feature pyramid"):
        layer_regex("3+", model)


def test_unmatched_layers_are_an_error():
    with pytest.raises(ValueError, match="'nothing' matches no layer.*conv1"):
        set_trainable(_model(), "nothing")
    with pytest.raises(ValueError, match="heads, 3\\+, 4\\+, 5\\+, all"):
        layer_regex("(", _model())
