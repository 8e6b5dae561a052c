"""The configuration: classic defaults, computed values, validation, and the round trip through a file."""
import json
import re
import warnings

import numpy as np
import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.config_rules import LOSS_NAMES
from tests.shared_data import shared_path


class ToysConfig(Config):
    NAME = "toys"
    NUM_CLASSES = 1 + 3
    IMAGES_PER_GPU = 3
    GPU_COUNT = 2
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 192


def _config(**values):
    return type("TestConfig", (Config,), values)()


def _problems(**values):
    with pytest.raises(ConfigError) as caught:
        _config(**values).validate()
    return str(caught.value)


def test_defaults_are_the_classic_values():
    config = Config()
    assert config.NAME is None and (config.GPU_COUNT, config.IMAGES_PER_GPU) == (1, 2)
    assert (config.STEPS_PER_EPOCH, config.VALIDATION_STEPS) == (1000, 50)
    assert config.BACKBONE == "resnet101" and config.BACKBONE_STRIDES == [4, 8, 16, 32, 64]
    assert config.RPN_ANCHOR_SCALES == (32, 64, 128, 256, 512) and config.RPN_ANCHOR_RATIOS == [0.5, 1, 2]
    assert (config.RPN_NMS_THRESHOLD, config.RPN_TRAIN_ANCHORS_PER_IMAGE, config.PRE_NMS_LIMIT) == (0.7, 256, 6000)
    assert (config.POST_NMS_ROIS_TRAINING, config.POST_NMS_ROIS_INFERENCE) == (2000, 1000)
    assert config.USE_MINI_MASK is True and config.MINI_MASK_SHAPE == (56, 56)
    assert (config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM) == ("square", 800, 1024)
    assert config.MEAN_PIXEL.tolist() == [123.7, 116.8, 103.9]
    assert (config.TRAIN_ROIS_PER_IMAGE, config.ROI_POSITIVE_RATIO, config.MAX_GT_INSTANCES) == (200, 0.33, 100)
    assert (config.POOL_SIZE, config.MASK_POOL_SIZE, config.MASK_SHAPE) == (7, 14, [28, 28])
    assert config.BBOX_STD_DEV.tolist() == config.RPN_BBOX_STD_DEV.tolist() == [0.1, 0.1, 0.2, 0.2]
    assert (config.DETECTION_MAX_INSTANCES, config.DETECTION_MIN_CONFIDENCE, config.DETECTION_NMS_THRESHOLD) == (
        100, 0.7, 0.3)  # fmt: skip
    assert (config.LEARNING_RATE, config.LEARNING_MOMENTUM, config.WEIGHT_DECAY) == (0.001, 0.9, 0.0001)
    assert config.LOSS_WEIGHTS == {name: 1.0 for name in LOSS_NAMES}
    assert config.USE_RPN_ROIS is True and config.TRAIN_BN is False and config.GRADIENT_CLIP_NORM == 5.0
    config.validate()


def test_every_attribute_of_the_recorded_run_exists():
    recorded = np.load(shared_path("parity/classic_resnet50_128.npz"))
    names = {name.removeprefix("config_") for name in recorded.files if name.startswith("config_")}
    assert len(names) > 20 and not {name for name in names if not hasattr(Config(), name)}


def test_computed_values():
    config = ToysConfig()
    assert config.BATCH_SIZE == 6
    assert config.IMAGE_SHAPE.tolist() == [192, 192, 3]
    assert config.IMAGE_META_SIZE == 1 + 3 + 3 + 4 + 1 + 4
    assert _config(IMAGE_RESIZE_MODE="crop", IMAGE_MIN_DIM=128, IMAGE_CHANNEL_COUNT=4).IMAGE_SHAPE.tolist() == [
        128, 128, 4]  # fmt: skip


def test_overrides_do_not_change_the_class_or_its_parent():
    ToysConfig().with_overrides({"LOSS_WEIGHTS": dict(Config.LOSS_WEIGHTS, rpn_class_loss=2.0), "NUM_CLASSES": 9})
    assert ToysConfig.NUM_CLASSES == 4 and Config.LOSS_WEIGHTS["rpn_class_loss"] == 1.0


@pytest.mark.parametrize("values, words", [
    ({"IMAGE_MAX_DIMM": 64}, ["IMAGE_MAX_DIMM", "did you mean IMAGE_MAX_DIM?"]),
    ({"TRAIN_ROI_PER_IMAGE": 64}, ["did you mean TRAIN_ROIS_PER_IMAGE?"]),
    ({"IMAGE_RESIZE_MODE": "squared"}, ["'squared'", "none, square, pad64, crop"]),
    ({"IMAGE_MAX_DIM": 1000}, ["IMAGE_MAX_DIM is 1000", "960 or 1024"]),
    ({"IMAGE_MAX_DIM": 0}, ["IMAGE_MAX_DIM is 0"]),
    ({"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 100}, ["IMAGE_MIN_DIM is 100", "64 or 128"]),
    ({"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 100}, ["IMAGE_MIN_DIM is 100"]),
    ({"IMAGE_CHANNEL_COUNT": 4}, ["MEAN_PIXEL has 3 values for IMAGE_CHANNEL_COUNT 4"]),
    ({"NUM_CLASSES": 0}, ["NUM_CLASSES is 0", "background"]),
    ({"RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128, 256)}, [
        "RPN_ANCHOR_SCALES has 6 values and BACKBONE_STRIDES 5: give one of each for every pyramid level."]),
    ({"MASK_SHAPE": [28, 56]}, ["MASK_SHAPE is (28, 56)", "(28, 28)"]),
    ({"BACKBONE": 50}, ["BACKBONE is 50"]),
    ({"TRAIN_BN": "no"}, ["TRAIN_BN is 'no'"]),
    ({"LOSS_WEIGHTS": {"rpn_class_loss": 1.0, "rpn_box_loss": 1.0}}, ["rpn_box_loss", "mrcnn_mask_loss"]),
    ({"ROI_POSITIVE_RATIO": 0}, ["ROI_POSITIVE_RATIO is 0"]),
    ({"RPN_NMS_THRESHOLD": 1.5}, ["RPN_NMS_THRESHOLD is 1.5"]),
    ({"DETECTION_MIN_CONFIDENCE": 70}, ["DETECTION_MIN_CONFIDENCE is 70"]),
    ({"WEIGHT_DECAY": -1e-4}, ["WEIGHT_DECAY is -0.0001"]),
    ({"BBOX_STD_DEV": [0.1, 0.1, 0.2, 0]}, ["BBOX_STD_DEV is [0.1, 0.1, 0.2, 0]", "four numbers above 0"]),
    ({"IMAGES_PER_GPU": 0}, ["IMAGES_PER_GPU is 0"]),
    ({"IMAGES_PER_GPU": 1.5}, ["IMAGES_PER_GPU is 1.5"]),
    ({"STEPS_PER_EPOCH": None}, ["STEPS_PER_EPOCH is None", "whole number"]),
    ({"POOL_SIZE": [7, 7]}, ["POOL_SIZE is [7, 7]", "whole number"]),
    ({"ROI_POSITIVE_RATIO": None}, ["ROI_POSITIVE_RATIO is None"]),
    ({"WEIGHT_DECAY": "small"}, ["WEIGHT_DECAY is 'small'"]),
    ({"LOSS_WEIGHTS": dict(Config.LOSS_WEIGHTS, rpn_class_loss="1")}, ["LOSS_WEIGHTS is {'rpn_class_loss': '1'", "number"]),
    ({"LOSS_WEIGHTS": dict(Config.LOSS_WEIGHTS, rpn_class_loss=-1)}, ["'rpn_class_loss': -1"]),
    ({"LOSS_WEIGHTS": [1, 1, 1, 1, 1]}, ["LOSS_WEIGHTS is [1, 1, 1, 1, 1]", "dict"]),
    ({"CLASS_LOSS_WEIGHTS": [1, 1, -1, 1]}, ["CLASS_LOSS_WEIGHTS is [1, 1, -1, 1]", "at least 0"]),
    ({"CLASS_LOSS_WEIGHTS": [1, 2, 1], "NUM_CLASSES": 4}, [
        "CLASS_LOSS_WEIGHTS has 3 weights for 4 classes", "background first"]),
    ({"RPN_ANCHOR_RATIOS": [0, 1, 2]}, ["RPN_ANCHOR_RATIOS is [0, 1, 2]", "above 0"]),
    ({"RPN_ANCHOR_RATIOS": [-0.5, 1]}, ["RPN_ANCHOR_RATIOS is [-0.5, 1]"]),
    ({"RPN_ANCHOR_RATIOS": []}, ["RPN_ANCHOR_RATIOS is []"]),
    ({"RPN_ANCHOR_RATIOS": 1.0}, ["RPN_ANCHOR_RATIOS is 1.0"]),
    ({"RPN_ANCHOR_RATIOS": [0.5, float("nan")]}, ["RPN_ANCHOR_RATIOS is [0.5, nan]"]),
    ({"RPN_ANCHOR_SCALES": (32, 64, 128, 256, 0)}, ["RPN_ANCHOR_SCALES is (32, 64, 128, 256, 0)"]),
    ({"RPN_ANCHOR_SCALES": ("32", 64, 128, 256, 512)}, ["RPN_ANCHOR_SCALES is ('32', 64"]),
    ({"RPN_ANCHOR_SCALES": ((32, 48),) * 5}, ["RPN_ANCHOR_SCALES is ((32, 48)"]),
    ({"RPN_ANCHOR_SCALES": [32, 64, [], 256, 512]}, ["RPN_ANCHOR_SCALES is [32, 64, [], 256, 512]", "above 0"]),
    ({"RPN_ANCHOR_SCALES": np.array(32)}, ["RPN_ANCHOR_SCALES is 32"]),
    ({"BACKBONE_STRIDES": [4, [8, 16], 32, 64]}, ["BACKBONE_STRIDES is [4, [8, 16], 32, 64]", "whole numbers"]),
    ({"RPN_ANCHOR_SCALES": (8, 16), "BACKBONE_STRIDES": [4, 8]}, ["BACKBONE_STRIDES has 2 values", "5 levels"]),
    ({"BACKBONE_STRIDES": [0, 8, 16, 32, 64]}, ["BACKBONE_STRIDES is [0, 8, 16, 32, 64]"]),
    ({"BACKBONE_STRIDES": [4.5, 8, 16, 32, 64]}, ["BACKBONE_STRIDES is [4.5, 8, 16, 32, 64]", "whole numbers"]),
    ({"BACKBONE_STRIDES": [2, 4, 8, 16, 32]}, ["BACKBONE_STRIDES is [2, 4, 8, 16, 32], but resnet101 has [4, 8, 16, 32, 64]"]),
    ({"MINI_MASK_SHAPE": (0, 56)}, ["MINI_MASK_SHAPE is (0, 56)", "(height, width)"]),
    ({"MINI_MASK_SHAPE": (56.5, 56)}, ["MINI_MASK_SHAPE is (56.5, 56)"]),
    ({"MINI_MASK_SHAPE": (56,)}, ["MINI_MASK_SHAPE is (56,)"]),
    ({"MINI_MASK_SHAPE": 56}, ["MINI_MASK_SHAPE is 56"]),
    ({"MINI_MASK_SHAPE": None}, ["MINI_MASK_SHAPE is None", "USE_MINI_MASK to False"]),
    ({"MASK_SHAPE": 28}, ["MASK_SHAPE is 28"]),
    ({"SEED": None}, ["SEED is None", "whole number from 0"]),
    ({"SEED": -1}, ["SEED is -1"]),
    ({"SEED": 2**32}, ["SEED is 4294967296"]),
    ({"SEED": "one"}, ["SEED is 'one'"]),
    ({"BACKBONE": "resnet35"}, ["BACKBONE is 'resnet35'", "resnet50, resnet101, resnet152", "callable"]),
    ({"COMPUTE_BACKBONE_SHAPE": [256, 128]}, ["COMPUTE_BACKBONE_SHAPE is [256, 128]", "callable"]),
    ({"OPTIMIZER": 1}, ["OPTIMIZER is 1"]),
    ({"TRAIN_BN": 0}, ["TRAIN_BN is 0: give None, False or True"]),
    ({"TRAIN_BN": 1}, ["TRAIN_BN is 1"]),
    ({"NAME": 7}, ["NAME is 7"]),
    ({"NAME": " "}, ["NAME is ' '"]),
    ({"NAME": "toys/small"}, ["NAME is 'toys/small'"]),
    ({"NUM_CLASSES": "4"}, ["NUM_CLASSES is '4'"]),
    ({"NUM_CLASSES": None}, ["NUM_CLASSES is None"]),
    ({"GPU_COUNT": 0}, ["GPU_COUNT is 0"]),
    ({"GPU_COUNT": True}, ["GPU_COUNT is True"]),
    ({"IMAGES_PER_GPU": "2"}, ["IMAGES_PER_GPU is '2'"]),
    ({"POOL_SIZE": float("nan")}, ["POOL_SIZE is nan"]),
    ({"MASK_POOL_SIZE": "14"}, ["MASK_POOL_SIZE is '14'"]),
    ({"MAX_GT_INSTANCES": -1}, ["MAX_GT_INSTANCES is -1"]),
    ({"LOADER_WORKERS": 1.5}, ["LOADER_WORKERS is 1.5", "whole number"]),
    ({"LOADER_WORKERS": None}, ["LOADER_WORKERS is None"]),
    ({"VALIDATION_AP_EVERY": 0.5}, ["VALIDATION_AP_EVERY is 0.5"]),
    ({"VALIDATION_AP_IMAGES": 0}, ["VALIDATION_AP_IMAGES is 0", "None for all"]),
    ({"LEARNING_RATE_SCHEDULE": "linear"}, ["LEARNING_RATE_SCHEDULE is 'linear': choose one of constant, cosine, step"]),
    ({"TRAIN_AUGMENT": True}, ["TRAIN_AUGMENT is True: choose one of none, flip, rotate, color"]),
    ({"TRAIN_EPOCHS": 0}, ["TRAIN_EPOCHS is 0"]),
    ({"TRAIN_LAYERS": ""}, ["TRAIN_LAYERS is ''", "heads"]),
    ({"PASSES_PER_EPOCH": 1.5}, ["PASSES_PER_EPOCH is 1.5"]),
    ({"VALIDATION_AP_PATIENCE": 0}, ["VALIDATION_AP_PATIENCE is 0", "None for never"]),
    ({"IMAGE_MIN_DIM": "800"}, ["IMAGE_MIN_DIM is '800'"]),
    ({"IMAGE_MAX_DIM": None}, ["IMAGE_MAX_DIM is None"]),
    ({"IMAGE_MAX_DIM": [512, 1024]}, ["IMAGE_MAX_DIM is [512, 1024]"]),
    ({"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MAX_DIM": None}, ["IMAGE_SHAPE is None: set IMAGE_MAX_DIM"]),
    ({"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 0}, ["IMAGE_MIN_DIM is 0"]),
    ({"IMAGE_RESIZE_MODE": None}, ["IMAGE_RESIZE_MODE is None"]),
    ({"IMAGE_MIN_SCALE": -1}, ["IMAGE_MIN_SCALE is -1"]),
    ({"MEAN_PIXEL": "grey", "IMAGE_CHANNEL_COUNT": 1}, ["MEAN_PIXEL is 'grey'"]),
    ({"MEAN_PIXEL": [1.0, float("inf"), 2.0]}, ["MEAN_PIXEL is [1.0, inf, 2.0]"]),
    ({"MEAN_PIXEL": np.zeros((1, 1, 3))}, ["MEAN_PIXEL is [[[0.0, 0.0, 0.0]]]"]),
    ({"RPN_BBOX_STD_DEV": [0.1, 0.1, 0.2, float("nan")]}, ["RPN_BBOX_STD_DEV is [0.1, 0.1, 0.2, nan]"]),
    ({"RPN_BBOX_STD_DEV": list("1122")}, ["RPN_BBOX_STD_DEV is ['1', '1', '2', '2']"]),
    ({"DETECTION_NMS_THRESHOLD": float("nan")}, ["DETECTION_NMS_THRESHOLD is nan"]),
    ({"DETECTION_MIN_CONFIDENCE": True}, ["DETECTION_MIN_CONFIDENCE is True"]),
    ({"LEARNING_RATE": None}, ["LEARNING_RATE is None"]),
    ({"LEARNING_MOMENTUM": None}, ["LEARNING_MOMENTUM is None"]),
    ({"GRADIENT_CLIP_NORM": -1}, ["GRADIENT_CLIP_NORM is -1"]),
    ({"GRADIENT_CLIP_NORM": "5"}, ["GRADIENT_CLIP_NORM is '5'"]),
])  # fmt: skip
def test_validate_names_the_attribute_and_a_solution(values, words):
    text = _problems(**values)
    for word in words:
        assert word in text


def test_invalid_value_is_reported_once():
    assert len(_problems(IMAGES_PER_GPU="2", MASK_POOL_SIZE=None).splitlines()) == 3


@pytest.mark.parametrize("value", [None, "0", -1, [7], float("nan"), object()], ids=lambda value: type(value).__name__)
def test_every_attribute_rejects_values_of_the_wrong_type(value):
    """`validate` raises no other error, and accepts these values only where they have a meaning."""
    accepted = set()
    for name in (name for name in dir(Config) if name.isupper()):
        try:
            _config(**{name: value}).validate()
            accepted.add(name)
        except ConfigError as error:
            assert name in str(error)
    assert accepted == {
        "None": {"NAME", "TRAIN_BN", "CHECKPOINTS_KEPT", "VALIDATION_AP_EVERY", "VALIDATION_AP_IMAGES",
                 "VALIDATION_AP_PATIENCE", "IMAGE_MIN_DIM", "COMPUTE_BACKBONE_SHAPE", "DETECTION_MIN_CONFIDENCE",
                 "GRADIENT_CLIP_NORM", "IMAGE_MIN_SCALE", "EMA_MOMENTUM", "TRAIN_MIN_DIMS", "SCALE_JITTER",
                 "LEARNING_RATE_BATCH", "PYRAMID_NORM", "HEAD_NORM", "PRECISION", "REPEAT_THRESHOLD",
                 "CLASS_LOSS_WEIGHTS"},
        "'0'": {"NAME", "OPTIMIZER", "TRAIN_LAYERS"}, "-1": {"MEAN_PIXEL"},
        "[7]": {"RPN_ANCHOR_RATIOS", "MEAN_PIXEL", "STD_PIXEL", "TRAIN_MIN_DIMS", "LEARNING_RATE_STEPS",
                "CLASS_LOSS_WEIGHTS", "RPN_ANCHOR_SCALES"}}.get(
            repr(value), set())


def test_numpy_bools_become_python_bools():
    config = _config(TRAIN_BN=np.False_, USE_MINI_MASK=np.True_)
    assert config.TRAIN_BN is False and config.USE_MINI_MASK is True
    config.TRAIN_BN = np.True_
    config.validate()
    assert config.TRAIN_BN is True


def test_whole_floats_become_integers():
    config = _config(STEPS_PER_EPOCH=1000 / 2, IMAGES_PER_GPU=np.float64(2), IMAGE_MAX_DIM=512.0, IMAGE_MIN_DIM=512.0)
    config.validate()
    assert all(type(value) is int for value in (config.STEPS_PER_EPOCH, config.IMAGES_PER_GPU, config.BATCH_SIZE))
    assert config.IMAGE_SHAPE.tolist() == [512, 512, 3] and config.IMAGE_SHAPE.dtype.kind == "i"


def test_batch_size_set_on_an_instance_is_checked():
    config = Config()
    config.BATCH_SIZE = 0
    with pytest.raises(ConfigError, match="BATCH_SIZE is 0"):
        config.validate()


def test_constructor_need_not_call_that_of_the_base_class():
    class Bare(Config):
        IMAGES_PER_GPU = 4.0

        def __init__(self):
            self.IMAGE_MAX_DIM = 512

    config = Bare()
    config.IMAGE_MIN_DIM = 512
    config.validate()
    assert config.BATCH_SIZE == 4 and config.IMAGE_SHAPE.tolist() == [512, 512, 3]


@pytest.mark.parametrize("values", [
    {"IMAGES_PER_GPU": 1.0}, {"IMAGES_PER_GPU": np.float32(2)}, {"GPU_COUNT": np.float64(1)},
    {"IMAGE_MIN_DIM": 256.0, "IMAGE_MAX_DIM": 512.0}, {"MASK_SHAPE": [28.0, 28.0]}, {"MASK_SHAPE": np.array([28.0, 28.0])},
    {"MINI_MASK_SHAPE": (56.0, 56.0)}, {"BACKBONE_STRIDES": [4.0, 8.0, 16.0, 32.0, 64.0]}, {"MASK_POOL_SIZE": 14.0},
    {"NUM_CLASSES": 1 + 3.0}, {"POST_NMS_ROIS_INFERENCE": 2000 / 2}, {"BATCH_SIZE": 2.0},
    {"IMAGE_SHAPE": np.array([1024.0, 1024, 3])},
])  # fmt: skip
@pytest.mark.parametrize("where", ["class", "instance"])
def test_sizes_that_are_whole_floats_become_integers(values, where):
    if where == "class" and values.keys() & {"BATCH_SIZE", "IMAGE_SHAPE"}:
        pytest.skip("computed attributes are set on an instance")
    config = _config(**values) if where == "class" else Config()
    for name, value in values.items():
        setattr(config, name, value)
    config.validate()
    for name in (*values, "BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE"):
        sizes = np.asarray(getattr(config, name))
        assert sizes.dtype.kind == "i", name
    assert type(config.IMAGES_PER_GPU) is type(config.BATCH_SIZE) is int
    for name, value in values.items():
        np.testing.assert_array_equal(getattr(config, name), value)


@pytest.mark.parametrize("name", ["BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE"])
def test_a_computed_attribute_in_a_class_is_ignored_with_a_warning(name):
    with pytest.warns(UserWarning, match=f"{name} in TestConfig is ignored.*it is computed from"):
        config = _config(**{name: 8})
    np.testing.assert_array_equal(getattr(config, name), getattr(Config(), name))
    config.validate()


def test_all_problems_are_reported_at_once():
    text = _problems(IMAGE_MAX_DIM=1000, ROI_POSITIVE_RATIO=2, NUM_CLASSES=0)
    assert text.startswith("TestConfig cannot be used:")
    assert [line[2:].split()[0] for line in text.splitlines()[1:]] == ["IMAGE_MAX_DIM", "NUM_CLASSES",
                                                                      "ROI_POSITIVE_RATIO"]  # fmt: skip


@pytest.mark.parametrize("values", [
    {"COLOUR_OF_BRICKS": "red"},  # an attribute added by the user
    {"TRAIN_BN": None},
    {"GRADIENT_CLIP_NORM": None},
    {"DETECTION_MIN_CONFIDENCE": None},
    {"IMAGE_MIN_DIM": None},
    {"IMAGE_RESIZE_MODE": "none", "IMAGE_MAX_DIM": 1000},
    {"IMAGE_CHANNEL_COUNT": 1, "MEAN_PIXEL": 100.0},
    {"BACKBONE": lambda input_image, stage5, train_bn: []},
    {"VALIDATION_AP_IMAGES": None},
    {"USE_MINI_MASK": False, "MINI_MASK_SHAPE": None},
    {"MINI_MASK_SHAPE": [28, 56]},
    {"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": None},
    {"BACKBONE": lambda input_image, stage5, train_bn: [], "BACKBONE_STRIDES": (2, 4, 8, 16, 32)},
    {"RPN_ANCHOR_SCALES": np.array([8, 16, 32, 64, 128])},
    {"OPTIMIZER": lambda learning_rate, config: None},
    {"SEED": np.int64(5)},
    {"GRADIENT_CLIP_NORM": 0},
])  # fmt: skip
def test_valid_values_pass(values):
    _config(**values).validate()


def test_attribute_set_on_an_instance_is_checked():
    config = ToysConfig()
    config.IMAGE_MAX_DIMS = 64
    with pytest.raises(ConfigError, match="did you mean IMAGE_MAX_DIM"):
        config.validate()


def test_round_trip_through_a_dict():
    class More(ToysConfig):
        BRICK_SIZE = 5

    values = More().to_dict()
    assert (values["NUM_CLASSES"], values["BRICK_SIZE"], values["BATCH_SIZE"], values["RPN_NMS_THRESHOLD"]) == (
        4, 5, 6, 0.7)  # fmt: skip
    assert list(values) == sorted(values)
    again = More.from_dict(values)
    assert {k: str(v) for k, v in again.to_dict().items()} == {k: str(v) for k, v in values.items()}
    assert Config.from_dict(values).BRICK_SIZE == 5  # an attribute added by a subclass is kept
    with pytest.raises(ConfigError, match="BRICK_SIZE is not an attribute of Config"):
        Config().with_overrides({"BRICK_SIZE": 5})
    with pytest.raises(ConfigError, match="did you mean IMAGE_MIN_DIM?"):
        Config().with_overrides({"IMAGE_MIN_DIMM": 5})
    with pytest.raises(ConfigError, match="did you mean one of those in docs/configuration.md?"):
        Config().with_overrides({"FOO": 5})


def test_computed_attributes_of_a_dict_are_ignored():
    config = Config.from_dict({"IMAGE_MAX_DIM": 256, "IMAGES_PER_GPU": 5, "BATCH_SIZE": 1, "IMAGE_SHAPE": [1, 1, 1]})
    assert config.BATCH_SIZE == 5 and config.IMAGE_SHAPE.tolist() == [256, 256, 3]


def test_round_trip_through_a_file(tmp_path):
    path = tmp_path / "config.json"
    config = ToysConfig().with_overrides({"MEAN_PIXEL": [1.0, 2.0, 3.0], "RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128],
                                          "TRAIN_BN": None, "LOSS_WEIGHTS": dict(Config.LOSS_WEIGHTS, rpn_bbox_loss=3.0)})
    config.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert json.loads(path.read_text())["MEAN_PIXEL"] == [1, 2, 3]
    again = Config.load(path)
    assert again.MEAN_PIXEL.tolist() == [1, 2, 3] and isinstance(again.MEAN_PIXEL, np.ndarray)
    assert again.RPN_ANCHOR_SCALES == (8, 16, 32, 64, 128) and again.MINI_MASK_SHAPE == (56, 56)
    assert again.LOSS_WEIGHTS["rpn_bbox_loss"] == 3.0 and again.TRAIN_BN is None
    assert again.BATCH_SIZE == 6 and again.IMAGE_SHAPE.tolist() == [192, 192, 3]
    assert {k: str(v) for k, v in again.to_dict().items()} == {k: str(v) for k, v in config.to_dict().items()}


def test_callable_backbone_is_saved_by_name(tmp_path):
    def my_network(input_image, stage5, train_bn):
        return []

    _config(BACKBONE=my_network).save(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["BACKBONE"].endswith("my_network")


@pytest.mark.parametrize("text, words", [
    (None, "cannot read the configuration"), ("{", "cannot read the configuration"), ("[1]", "JSON object"),
    ('{"IMAGE_MAXDIM": 1}', "did you mean IMAGE_MAX_DIM"),
])  # fmt: skip
def test_invalid_file_is_an_error(tmp_path, text, words):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        Config.load(path)


def test_invalid_value_of_a_file_is_reported_with_its_name(tmp_path):
    path = tmp_path / "config.json"
    for value in ([0.1, 0.1, 0.2], [0.1, 0.1, [0.2], 0.2]):
        path.write_text(json.dumps({"NUM_CLASSES": 3, "BBOX_STD_DEV": value}))
        for use in (Config.validate, lambda config: config.with_overrides({"SEED": 4})):
            with pytest.raises(ConfigError) as caught:
                use(Config.load(path))
            start = f"{path}: Config cannot be used:\n- BBOX_STD_DEV is {value}: give four numbers"
            assert str(caught.value).startswith(start)


def test_overrides_are_checked_and_keep_attributes_set_on_the_instance():
    config = ToysConfig()
    config.DETECTION_MIN_CONFIDENCE = 0.5  # common before building an inference model
    changed = config.with_overrides({"IMAGES_PER_GPU": 1, "GPU_COUNT": 1})
    assert (changed.BATCH_SIZE, changed.DETECTION_MIN_CONFIDENCE, changed.NAME) == (1, 0.5, "toys")
    assert config.BATCH_SIZE == 6
    with pytest.raises(ConfigError, match="did you mean IMAGES_PER_GPU"):
        config.with_overrides({"IMAGES_PER_GPUS": 1})
    with pytest.raises(ConfigError, match="IMAGE_MAX_DIM is 100"):
        config.with_overrides({"IMAGE_MAX_DIM": 100})


def test_display_prints_every_attribute(capsys):
    ToysConfig().display()
    lines = capsys.readouterr().out.splitlines()
    assert "NUM_CLASSES                    4" in lines and "BATCH_SIZE                     6" in lines
    assert len([line for line in lines if line.strip()]) == len(ToysConfig().to_dict()) + 1


@pytest.mark.parametrize("name, value, message", [
    ("USE_MINI_MASK", "false", "USE_MINI_MASK is 'false': give True or False"),
    ("TRAIN_EMPTY_IMAGES", 1, "give True or False"),
    ("CHECKPOINTS_KEPT", "two", "keep at least 1, or None"),
    ("LEARNING_RATE", -1, "LEARNING_RATE is -1: it must be a number of at least 0"),
    ("BATCH_SIZE", 3, "BATCH_SIZE cannot be set: it is computed from IMAGES_PER_GPU and GPU_COUNT"),
    ("IMAGE_SHAPE", [64, 64, 3], "IMAGE_SHAPE cannot be set"),
])  # fmt: skip
def test_overrides_reject_values_of_the_wrong_type(name, value, message):
    with pytest.raises(ConfigError, match=message):
        Config().with_overrides({name: value})


@pytest.mark.parametrize("values, expected", [
    ({"TARGET_MIN_DIM": 512}, "TARGET_MIN_DIM is not an attribute of Config and has no effect"),
    ({"CLASS_WEIGHTS": [1, 2]}, "There is LOSS_WEIGHTS"),
    ({"VALIDATION_SPLIT": 0.2}, "There is VALIDATION_STEPS"),
    ({"IMAGE_SIZE": 512}, "IMAGE_SIZE is not an attribute"),
    ({"LEARNING_RATE_STEP": 5}, "LEARNING_RATE_STEP is not an attribute of Config and has no effect; if it is yours, all is "
                                "well. There is LEARNING_RATE_STEPS."),
    ({"TRAIN_MIN_DIM": 512}, "There is TRAIN_MIN_DIMS"),
    ({"SEEDS": [1, 2]}, "There is SEED"),
    ({"RPN_ANCHOR_SCALES": (8, 16, 32)}, "RPN_ANCHOR_SCALES has 3 values for 5 pyramid levels: the others have no anchors"),
    ({"RPN_ANCHOR_SCALES": np.array([8, 16])}, "RPN_ANCHOR_SCALES has 2 values for 5 pyramid levels"),
    ({"IMAGE_MAX_DIM": 640}, "IMAGE_MIN_DIM 800 is larger than IMAGE_MAX_DIM 640"),
    ({"STEPS_PER_EPOCH": 131 / 2}, "STEPS_PER_EPOCH is 65.5: it is rounded up to 66"),
    ({"LOSS_WEIGHTS": {"mrcnn_mask_loss": 2.0}}, "does not name rpn_class_loss, rpn_bbox_loss, mrcnn_class_loss,"),
])  # fmt: skip
def test_values_with_a_meaning_in_the_classic_code_cause_a_warning(values, expected):
    with pytest.warns(UserWarning, match=re.escape(expected)):
        type("Mine", (Config,), {"NAME": "mine", **values})().validate()


def test_values_of_the_classic_code_are_converted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = _config(STEPS_PER_EPOCH=65.5, VALIDATION_STEPS=0, USE_MINI_MASK=1, DETECTION_NMS_THRESHOLD=0,
                         RPN_NMS_THRESHOLD=0.0, LOSS_WEIGHTS={"mrcnn_mask_loss": 2.0})  # fmt: skip
        config.validate()
    assert config.STEPS_PER_EPOCH == 66 and config.VALIDATION_STEPS == 0 and config.USE_MINI_MASK is True
    assert config.LOSS_WEIGHTS == {**Config.LOSS_WEIGHTS, "mrcnn_mask_loss": 2.0}
    assert Config.LOSS_WEIGHTS["mrcnn_mask_loss"] == 1
