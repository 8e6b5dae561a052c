"""Training stages, selected by the classic layer names."""
import re

import keras
import pytest

from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.layers.batch_norm import BatchNorm
from mrcnn.training.trainable import STAGES, check_stage, layer_regex, leaf_layers, set_trainable
from tests.shared_data import shared_path
from tests.training.small import shapes, small_model


def _model():
    """Return a model with a layer per backbone stage, a nested RPN model and a head."""
    inner_input = keras.Input((None, None, 2))
    inner = keras.Model(inner_input, keras.layers.Conv2D(2, 1, name="rpn_conv_shared")(inner_input), name="rpn_model")
    image = x = keras.Input((8, 8, 2))
    for name in ("conv1", "bn_conv1", "res2a_branch1", "bn2a_branch1", "res3a_branch1", "bn3a_branch1", "res4a_branch1",
                 "bn4a_branch1", "res5a_branch1", "bn5a_branch1", "fpn_p2"):
        x = BatchNorm(name=name)(x) if name.startswith("bn") else keras.layers.Conv2D(2, 1, name=name)(x)
    x = keras.layers.Activation("relu")(inner(x))
    return keras.Model(image, BatchNorm(name="mrcnn_class_bn1")(keras.layers.Dense(2, name="mrcnn_class_logits")(x)))


HEADS = {"fpn_p2", "rpn_conv_shared", "mrcnn_class_logits", "mrcnn_class_bn1"}


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
    selected = set_trainable(model, layer_regex(layers))
    assert {layer.name for layer in selected} == expected
    owners = {layer.name for layer in leaf_layers(model) if layer.trainable_weights}
    assert owners == expected
    trained = {id(v) for layer in selected for v in layer.trainable_weights}
    assert {id(v) for v in model.trainable_variables} == trained


def test_later_stage_replaces_an_earlier_one():
    model = _model()
    set_trainable(model, layer_regex("conv1"))
    set_trainable(model, layer_regex("all"))
    assert {layer.name for layer in leaf_layers(model) if layer.trainable_weights} == {
        layer.name for layer in leaf_layers(model)}
    set_trainable(model, layer_regex("heads"))
    assert not model.get_layer("conv1").trainable_weights and model.get_layer("rpn_model").trainable_weights


def test_stages_partition_the_classic_layers():
    rows = shared_path("parity/h5_layout_resnet101.tsv").read_text(encoding="utf-8").splitlines()
    names = {row.split("\t")[1].split("/")[0] for row in rows}
    heads, three, four, five = ({n for n in names if re.fullmatch(STAGES[s], n)} for s in ("heads", "3+", "4+", "5+"))
    assert heads < five < four < three < names
    assert {n[:3] for n in heads} == {"fpn", "rpn", "mrc"}
    assert {n[:4] for n in five - heads} == {"res5", "bn5a", "bn5b", "bn5c"}
    assert all("4" in n[:4] for n in four - five) and len(four - five) == 2 * (3 * 23 + 1)
    assert all("3" in n[:4] for n in three - four) and len(three - four) == 2 * (3 * 4 + 1)
    assert {n for n in names - three if not n.startswith(("res2", "bn2"))} == {"conv1", "bn_conv1"}


def test_stages_of_the_compact_backbone_include_its_batch_norm():
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, compact_graph(image)[1:])
    names = {layer.name for layer in leaf_layers(model)}
    for layers, stages in (("3+", "345"), ("4+", "45"), ("5+", "5")):
        check_stage(model, layers)
        expected = {name for name in names if name.removeprefix("bn_")[:4] in {f"res{stage}" for stage in stages}}
        assert {layer.name for layer in set_trainable(model, layer_regex(layers))} == expected
        assert len(expected) == 10 * len(stages)  # a block of 6 layers with a shortcut, and one of 4 layers without


@pytest.mark.parametrize("layers", ["3+", "4+", "5+"])
def test_stage_without_backbone_layers_is_an_error(layers, tmp_path):
    def backbone(input_image, stage5=True, train_bn=None):
        """Four convolutions with names that contain no stage."""
        maps = [keras.layers.AveragePooling2D(2)(input_image)]
        for number in range(4):
            maps.append(keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"block{number}")(maps[-1]))
        return maps

    model = small_model("training", tmp_path, BACKBONE=staticmethod(backbone))
    with pytest.raises(ValueError, match=r'only the heads would train.*block0, block1, block2, block3'):
        model.train(shapes(2), None, 0.01, 1, layers)
    assert not list(tmp_path.iterdir())
    for other in ("heads", "all", "block3"):
        check_stage(model.keras_model, other)


def test_unmatched_layers_are_an_error():
    with pytest.raises(ValueError, match="'nothing' matches no layer.*conv1"):
        set_trainable(_model(), "nothing")
    with pytest.raises(ValueError, match="heads, 3\\+, 4\\+, 5\\+, all"):
        layer_regex("(")
