"""Presets of the command line, and the settings of `--set`."""
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.datasets.catalog import FORMATS
from mrcnn.training.run_start import RunStart, build_config, check_class_names, with_classes
from mrcnn.weights.imagenet import lite0_is_installed


@pytest.mark.parametrize("from_scratch", [False, True])
@pytest.mark.parametrize("data", FORMATS)
def test_preset_is_valid_and_has_the_name_of_its_format(data, from_scratch):
    config = with_classes(build_config(data, {}, from_scratch=from_scratch), SimpleNamespace(num_classes=4))
    assert config.NAME == data and config.NUM_CLASSES == 4
    # With random weights, the BatchNorm statistics are meaningless and the RPN has no useful proposals
    assert config.TRAIN_BN is (None if from_scratch else False)
    assert config.GT_BOXES_AS_ROIS is from_scratch


def test_settings_take_precedence_over_those_for_random_weights():
    assert build_config("shapes", {"BACKBONE": "resnet50"}, from_scratch=True).BACKBONE == "resnet50"


def test_weights_for_other_data_keep_the_network_but_not_the_classes():
    saved = Config.from_dict({"NAME": "cats", "NUM_CLASSES": 3, "CLASS_LOSS_WEIGHTS": [1, 2, 3],
                              "BACKBONE": "resnet50"})  # fmt: skip
    start = RunStart("labelme", {"NAME": "dogs"}, "cats/best.h5", saved=saved)
    config = start.config()
    assert (config.NAME, config.NUM_CLASSES, config.CLASS_LOSS_WEIGHTS, config.BACKBONE) == ("dogs", 1, None, "resnet50")
    assert start.run_folder is None
    resumed = RunStart("labelme", {"NAME": "cats"}, "cats/best.h5", saved=saved)
    config = resumed.config()
    assert (config.NAME, config.NUM_CLASSES, config.CLASS_LOSS_WEIGHTS) == ("cats", 3, [1, 2, 3])
    assert resumed.run_folder == Path("cats")
    assert resumed.text == "cats/best.h5, and the configuration of its run"


def test_weights_are_found_by_what_the_user_names(tmp_path):
    run = tmp_path / "labelme20260101T1200"
    run.mkdir()
    (run / "mask_rcnn_labelme_0003.h5").write_bytes(b"0")
    (run / "mask_rcnn_labelme_best.h5").write_bytes(b"0")
    Config.from_dict({"NAME": "labelme", "NUM_CLASSES": 3}).save(run / "config.json")
    last, best = (RunStart.find("labelme", {}, name, None, tmp_path) for name in (str(run), "best"))
    assert last.run_folder == best.run_folder == run and last.saved.NUM_CLASSES == 3
    assert (Path(last.weights).name, Path(best.weights).name) == ("mask_rcnn_labelme_0003.h5", "mask_rcnn_labelme_best.h5")
    assert RunStart.find("labelme", {"NAME": "LabelMe"}, str(run), None, tmp_path).run_folder == run
    other = RunStart.find("coco", {}, str(run), None, tmp_path)
    assert other.run_folder is None and other.classes_from is None
    (run / "classes.json").write_text('["BG", "a", "b"]')
    assert other.classes_from == str(run / "classes.json") and last.classes_from is None
    (run / "config.json").unlink()
    assert RunStart.find("labelme", {}, str(run), None, tmp_path).saved is None
    alone = RunStart.find("labelme", {}, str(run), "modern", tmp_path)  # a file without a configuration takes the recipe
    assert alone.recipe == "modern" and alone.config().EMA_MOMENTUM == 0.998
    with pytest.raises(FileNotFoundError):
        RunStart.find("labelme", {}, str(tmp_path / "gone"), None, tmp_path)
    with pytest.raises(ConfigError, match="the recipe modern: the weights"):
        Config.from_dict({"NAME": "labelme", "NUM_CLASSES": 3}).save(run / "config.json")
        RunStart.find("labelme", {}, str(run), "modern", tmp_path)


def test_default_weights_are_random_where_the_user_names_a_network():
    assert RunStart.find("labelme", {"BACKBONE": "compact"}, None, None, "logs").weights == "none"
    assert RunStart.find("labelme", {}, None, "modern", "logs").weights == "none"
    assert RunStart.find("shapes", {}, None, None, "logs").weights == "none"
    assert RunStart.find("labelme", {}, None, None, "logs").weights == ("imagenet" if lite0_is_installed() else "none")


def test_settings_take_precedence_over_the_preset():
    config = build_config("shapes", {"IMAGES_PER_GPU": 3, "BACKBONE": "compact", "RPN_ANCHOR_RATIOS": [1, 2]})
    assert (config.BATCH_SIZE, config.BACKBONE, config.IMAGE_MAX_DIM) == (3, "compact", 128)
    assert config.RPN_ANCHOR_RATIOS == [1, 2]


def test_saved_configuration_replaces_the_preset():
    saved = Config.from_dict({"NAME": "mine", "NUM_CLASSES": 7, "BACKBONE": "resnet50"})
    config = build_config("coco", {"SEED": 5}, saved)
    assert (config.NAME, config.NUM_CLASSES, config.BACKBONE, config.SEED) == ("mine", 7, "resnet50", 5)


@pytest.mark.parametrize("recipe", [None, "torchvision"])
def test_other_channels_need_no_mean_or_deviation_until_they_are_measured(recipe):
    config = build_config("coco", {"IMAGE_CHANNEL_COUNT": 4}, recipe=recipe)
    assert config.IMAGE_CHANNEL_COUNT == 4 and config.MEAN_PIXEL < 124
    # those that are given must fit, and so must those of an earlier run
    with pytest.raises(ConfigError, match="MEAN_PIXEL has 2 values for IMAGE_CHANNEL_COUNT 4"):
        build_config("coco", {"IMAGE_CHANNEL_COUNT": 4, "MEAN_PIXEL": [1, 2]})
    with pytest.raises(ConfigError, match="MEAN_PIXEL has 3 values for IMAGE_CHANNEL_COUNT 4"):
        build_config("coco", {"IMAGE_CHANNEL_COUNT": 4}, Config.from_dict({"NAME": "coco", "NUM_CLASSES": 3}))


def test_misspelt_setting_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="IMAGES_PER_GPU"):
        build_config("coco", {"IMAGE_PER_GPU": 1})


@pytest.mark.parametrize("settings, message", [
    ({"IMAGES_PER_GPU": "two"}, "IMAGES_PER_GPU is 'two': it must be a whole number"),
    ({"RPN_ANCHOR_SCALES": 8}, "RPN_ANCHOR_SCALES is 8: give numbers"),
    ({"MEAN_PIXEL": "grey"}, "MEAN_PIXEL is 'grey': give one number for each channel"),
    ({"LOSS_WEIGHTS": [1]}, "give a dict"),
    ({"NAME": 7}, "NAME is 7: give text"),
    ({"IMAGE_MAX_DIM": 100}, "IMAGE_MAX_DIM"),
])  # fmt: skip
def test_value_of_the_wrong_type_is_an_error(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_config("shapes", settings)


def test_none_is_accepted_where_it_has_a_meaning():
    assert build_config("shapes", {"TRAIN_BN": None}).TRAIN_BN is None


def test_different_number_of_classes_is_an_error():
    config = build_config("coco", {"NUM_CLASSES": 81})
    with pytest.raises(ConfigError, match="NUM_CLASSES is 81 .* 4 classes"):
        with_classes(config, SimpleNamespace(num_classes=4))
    assert with_classes(config, SimpleNamespace(num_classes=81)) is config


@pytest.mark.parametrize("names, number, theirs, ours", [
    (["BG", "ball", "brick"], 2, "'brick'", "'cat'"), (["BG", "cat", "ball"], 1, "'cat'", "'ball'"),
    (["BG", "ball"], 2, "None", "'cat'"), (["BG", "ball", "cat", "dog"], 3, "'dog'", "None")])  # fmt: skip
def test_weights_with_other_class_names_are_rejected(tmp_path, names, number, theirs, ours):
    dataset = SimpleNamespace(class_names=["BG", "ball", "cat"])
    weights = str(tmp_path / "mask_rcnn_toys_0001.h5")
    check_class_names(weights, dataset)  # their class names are unknown
    (tmp_path / "classes.json").write_text(json.dumps(dataset.class_names))
    check_class_names(weights, dataset)
    (tmp_path / "classes.json").write_text(json.dumps(names))
    with pytest.raises(ConfigError, match=f"mask_rcnn_toys_0001.h5 was trained on other classes: class {number} is {theirs} in "
                       f".*classes.json, and {ours} in the data set"):
        check_class_names(weights, dataset)


def test_published_weights_are_not_compared_with_classes_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes.json").write_text('["BG", "other"]')
    check_class_names("coco", SimpleNamespace(class_names=["BG", "ball"]))
