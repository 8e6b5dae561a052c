"""The configuration: classic defaults, computed values, checks, and the way to a file and back."""
import json

import numpy as np
import pytest

from mrcnn.config import LOSS_NAMES, Config, ConfigError
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


def test_the_defaults_are_the_classic_ones():
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


def test_the_defaults_are_those_of_the_recorded_run():
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


def test_a_subclass_leaves_its_parent_alone():
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
    ({"IMAGE_MIN_DIM": 1088}, ["IMAGE_MIN_DIM 1088 is larger than IMAGE_MAX_DIM 1024"]),
    ({"IMAGE_CHANNEL_COUNT": 4}, ["MEAN_PIXEL has 3 values for IMAGE_CHANNEL_COUNT 4"]),
    ({"NUM_CLASSES": 0}, ["NUM_CLASSES is 0", "background"]),
    ({"RPN_ANCHOR_SCALES": (32, 64)}, ["RPN_ANCHOR_SCALES has 2 values and BACKBONE_STRIDES 5"]),
    ({"MASK_SHAPE": [28, 56]}, ["MASK_SHAPE is (28, 56)", "(28, 28)"]),
    ({"BACKBONE": 50}, ["BACKBONE is 50"]),
    ({"TRAIN_BN": "no"}, ["TRAIN_BN is 'no'"]),
    ({"LOSS_WEIGHTS": {"rpn_class_loss": 1.0, "rpn_box_loss": 1.0}}, ["rpn_box_loss", "mrcnn_mask_loss"]),
    ({"ROI_POSITIVE_RATIO": 0}, ["ROI_POSITIVE_RATIO is 0"]),
    ({"RPN_NMS_THRESHOLD": 1.5}, ["RPN_NMS_THRESHOLD is 1.5"]),
    ({"DETECTION_MIN_CONFIDENCE": 70}, ["DETECTION_MIN_CONFIDENCE is 70"]),
    ({"WEIGHT_DECAY": -1e-4}, ["WEIGHT_DECAY is -0.0001"]),
    ({"BBOX_STD_DEV": [0.1, 0.1, 0.2, 0]}, ["BBOX_STD_DEV must be four positive numbers"]),
    ({"IMAGES_PER_GPU": 0}, ["IMAGES_PER_GPU is 0"]),
    ({"IMAGES_PER_GPU": 1.5}, ["IMAGES_PER_GPU is 1.5"]),
    ({"STEPS_PER_EPOCH": None}, ["STEPS_PER_EPOCH is None", "whole number"]),
    ({"POOL_SIZE": [7, 7]}, ["POOL_SIZE is [7, 7]", "whole number"]),
    ({"ROI_POSITIVE_RATIO": None}, ["ROI_POSITIVE_RATIO is None"]),
    ({"WEIGHT_DECAY": "small"}, ["WEIGHT_DECAY is 'small'"]),
])  # fmt: skip
def test_what_cannot_work_is_told(values, words):
    text = _problems(**values)
    for word in words:
        assert word in text


def test_everything_wrong_is_told_at_once():
    text = _problems(IMAGE_MAX_DIM=1000, ROI_POSITIVE_RATIO=2, NUM_CLASSES=0)
    assert text.startswith("TestConfig cannot be used:")
    assert [line[2:].split()[0] for line in text.splitlines()[1:]] == ["IMAGE_MAX_DIM", "NUM_CLASSES",
                                                                      "ROI_POSITIVE_RATIO"]  # fmt: skip


@pytest.mark.parametrize("values", [
    {"COLOUR_OF_BRICKS": "red"},  # a user's own attribute
    {"TRAIN_BN": None},
    {"GRADIENT_CLIP_NORM": None},
    {"DETECTION_MIN_CONFIDENCE": None},
    {"IMAGE_MIN_DIM": None},
    {"IMAGE_RESIZE_MODE": "none", "IMAGE_MAX_DIM": 1000},
    {"IMAGE_CHANNEL_COUNT": 1, "MEAN_PIXEL": 100.0},
    {"BACKBONE": lambda input_image, stage5, train_bn: []},
    {"VALIDATION_AP_IMAGES": None},
])  # fmt: skip
def test_what_works_passes(values):
    _config(**values).validate()


def test_an_attribute_set_on_the_instance_is_checked_too():
    config = ToysConfig()
    config.IMAGE_MAX_DIMS = 64
    with pytest.raises(ConfigError, match="did you mean IMAGE_MAX_DIM"):
        config.validate()


def test_to_a_dict_and_back():
    class More(ToysConfig):
        BRICK_SIZE = 5

    values = More().to_dict()
    assert (values["NUM_CLASSES"], values["BRICK_SIZE"], values["BATCH_SIZE"], values["RPN_NMS_THRESHOLD"]) == (
        4, 5, 6, 0.7)  # fmt: skip
    assert list(values) == sorted(values)
    again = More.from_dict(values)
    assert {k: str(v) for k, v in again.to_dict().items()} == {k: str(v) for k, v in values.items()}
    assert Config.from_dict(values).BRICK_SIZE == 5  # a subclass' own attribute is not lost
    with pytest.raises(ConfigError, match="BRICK_SIZE is not an attribute of Config"):
        Config().with_overrides({"BRICK_SIZE": 5})
    with pytest.raises(ConfigError, match="did you mean IMAGE_MIN_DIM?"):
        Config().with_overrides({"IMAGE_MIN_DIMM": 5})
    with pytest.raises(ConfigError, match="did you mean one of those in docs/configuration.md?"):
        Config().with_overrides({"FOO": 5})


def test_what_is_computed_follows_the_values_and_not_the_dict():
    config = Config.from_dict({"IMAGE_MAX_DIM": 256, "IMAGES_PER_GPU": 5, "BATCH_SIZE": 1, "IMAGE_SHAPE": [1, 1, 1]})
    assert config.BATCH_SIZE == 5 and config.IMAGE_SHAPE.tolist() == [256, 256, 3]


def test_to_a_file_and_back(tmp_path):
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


def test_a_callable_backbone_is_written_by_name(tmp_path):
    def my_network(input_image, stage5, train_bn):
        return []

    _config(BACKBONE=my_network).save(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["BACKBONE"].endswith("my_network")


@pytest.mark.parametrize("text, words", [
    (None, "no configuration could be read"), ("{", "no configuration could be read"), ("[1]", "JSON object"),
    ('{"IMAGE_MAXDIM": 1}', "did you mean IMAGE_MAX_DIM"),
])  # fmt: skip
def test_a_bad_file_is_told(tmp_path, text, words):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        Config.load(path)


def test_overrides_are_checked_and_keep_what_was_set():
    config = ToysConfig()
    config.DETECTION_MIN_CONFIDENCE = 0.5  # as people do before building an inference model
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


@pytest.mark.parametrize("name, value, said", [
    ("USE_MINI_MASK", "false", "USE_MINI_MASK is 'false': give True or False"),
    ("TRAIN_EMPTY_IMAGES", 1, "give True or False"),
    ("CHECKPOINTS_KEPT", "two", "keep at least 1, or None"),
    ("LEARNING_RATE", -1, "LEARNING_RATE is -1: it must be a number, and not negative"),
    ("BATCH_SIZE", 3, "BATCH_SIZE cannot be set: it follows from IMAGES_PER_GPU and GPU_COUNT"),
    ("IMAGE_SHAPE", [64, 64, 3], "IMAGE_SHAPE cannot be set"),
])  # fmt: skip
def test_values_of_the_wrong_kind_are_told(name, value, said):
    with pytest.raises(ConfigError, match=said):
        Config().with_overrides({name: value})
