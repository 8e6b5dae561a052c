"""The contract of backbones: every name gives feature maps at strides 4, 8, 16 and 32, and follows TRAIN_BN."""
import keras
import numpy as np
import pytest

from mrcnn.config_rules import BACKBONE_NAMES
from mrcnn.network.backbones import BACKBONES, get_backbone
from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.layers.norms import BatchNorm

# Channels of C2 to C5. Sources: the tables of the papers; of EfficientNetV2 and MobileNetV3 the ends of their bottlenecks.
CHANNELS = {
    "resnet18": (64, 128, 256, 512), "resnet34": (64, 128, 256, 512), "resnet50": (256, 512, 1024, 2048),
    "resnet101": (256, 512, 1024, 2048), "resnet152": (256, 512, 1024, 2048), "resnet50v2": (256, 512, 1024, 2048),
    "resnet101v2": (256, 512, 1024, 2048), "resnet152v2": (256, 512, 1024, 2048), "convnext_tiny": (96, 192, 384, 768),
    "convnext_small": (96, 192, 384, 768), "convnext_base": (128, 256, 512, 1024), "efficientnetv2_b0": (32, 48, 112, 192),
    "efficientnetv2_b1": (32, 48, 112, 192), "efficientnetv2_b2": (32, 56, 120, 208), "efficientnetv2_b3": (40, 56, 136, 232),
    "efficientnetv2_s": (48, 64, 160, 256), "mobilenetv3_small": (16, 24, 48, 96), "mobilenetv3_large": (24, 40, 112, 160),
    "efficientnet_lite0": (24, 40, 112, 320), "compact": (32, 64, 96, 128)}  # fmt: skip
# One network of each family, the smallest; the others differ in numbers of blocks and channels.
FAMILIES = ("resnet18", "resnet50", "resnet50v2", "convnext_tiny", "efficientnetv2_b0", "mobilenetv3_small",
            "efficientnet_lite0", "compact")  # fmt: skip
_EVERYWHERE = ("resnet18", "mobilenetv3_small", "efficientnet_lite0", "compact")
# `benchmarks/bench_backbones.py all` builds, trains, saves and loads every network, which takes minutes.
NAMES = [pytest.param(name, marks=() if name in _EVERYWHERE else pytest.mark.tensorflow_only)
         for name in (*FAMILIES, "resnet34", "efficientnetv2_b3", "mobilenetv3_large")]  # fmt: skip


def test_backbone_by_name_or_callable():
    assert get_backbone("compact") is compact_graph
    assert get_backbone("resnet101").keywords == {"architecture": "resnet101"}
    assert get_backbone(test_backbone_by_name_or_callable) is test_backbone_by_name_or_callable
    assert set(BACKBONES) == set(BACKBONE_NAMES), "Config.validate must know all names without loading Keras"


def test_error_about_an_unknown_name_lists_the_known_names():
    with pytest.raises(ValueError, match="BACKBONE is 'vgg16': choose one of compact, convnext_base, .*, resnet50v2"):
        get_backbone("vgg16")


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_their_strides_and_channels(name):
    image = keras.Input((64, 96, 3))
    maps = BACKBONES[name](image, stage5=True, train_bn=False)
    assert len(maps) == 5 and [tuple(feature_map.shape[1:]) for feature_map in maps[1:]] == [
        (64 // stride, 96 // stride, channels) for stride, channels in zip((4, 8, 16, 32), CHANNELS[name])]
    model = keras.Model(image, maps[1:])
    assert all(layer.groups == 1 for layer in model.layers if isinstance(layer, keras.layers.Conv2D))  # slow on CPUs
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(isinstance(norm, BatchNorm) and norm.train_bn is False for norm in norms)
    statistics = {id(variable) for norm in norms for variable in norm.non_trainable_variables}
    # No others are not trained, such as the state of random generators: nothing is dropped.
    assert {id(variable) for variable in model.non_trainable_variables} == statistics


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small", "efficientnet_lite0"])
def test_size_of_images_may_be_dynamic(name):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, BACKBONES[name](image, stage5=True, train_bn=False)[1:])
    for height, width in ((64, 96), (96, 32)):
        outputs = model(np.zeros((1, height, width, 3), np.float32))
        assert [tuple(o.shape[1:3]) for o in outputs] == [(height // stride, width // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "resnet50"])
def test_names_of_layers_with_weights_do_not_depend_on_the_session(name):
    """Weight files use them. Names that Keras gives contain the number of layers of the kind that were made before."""
    image = keras.Input((64, 64, 3))
    names = [{layer.name for layer in keras.Model(image, BACKBONES[name](image, stage5=True)[1:]).layers if layer.weights}
             for _ in range(2)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "resnet50"])
def test_stage_5_can_be_omitted(name):
    maps = BACKBONES[name](keras.Input((64, 64, 3)), stage5=False, train_bn=False)
    assert maps[4] is None and tuple(maps[3].shape[1:3]) == (4, 4)


@pytest.mark.parametrize("train_bn, same", [(False, True), (None, False), (True, False)])
@pytest.mark.parametrize("name", ["mobilenetv3_small", "efficientnet_lite0"])
def test_statistics_of_batch_norm_follow_train_bn(name, train_bn, same):
    """In training, the maps differ from those in inference unless the statistics are frozen."""
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, BACKBONES[name](image, stage5=True, train_bn=train_bn)[1:])
    x = np.random.default_rng(0).normal(0, 1, (2, 64, 64, 3)).astype(np.float32)
    before = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_variables]
    trained, inferred = (keras.ops.convert_to_numpy(model(x, training=training)[0]) for training in (True, False))
    assert np.allclose(trained, inferred, rtol=1e-4, atol=1e-6) == (same or train_bn is True)
    after = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_variables]
    assert all(map(np.array_equal, before, after)) == same


def test_sides_that_are_not_multiples_of_32_are_an_error():
    with pytest.raises(ValueError, match=r"convnext_tiny takes images whose sides are multiples of 32, not \(64, 80\)"):
        BACKBONES["convnext_tiny"](keras.Input((64, 80, 3)))
