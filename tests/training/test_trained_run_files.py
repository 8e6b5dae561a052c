"""Finding checkpoints, the configuration and class names in run folders."""
import json

import numpy as np
import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.training.runs import differences, find_checkpoint, load_class_names, load_config
from mrcnn.training.trained_run import load_trained_run


class ToysConfig(Config):
    NAME = "toys"
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128
    MEAN_PIXEL = np.array([1.0, 2.0, 3.0])
    COLOUR_OF_BRICKS = "red"  # not an attribute of Config


def _checkpoint(model_dir, run, name, epoch):
    path = model_dir / run / f"mask_rcnn_{name}_{epoch:04d}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def logs(tmp_path):
    """A folder with two runs of toys and a newer run of cats. Epoch 10 is newer than 9, although "10" sorts before "9"."""
    for run, name, epoch in (("toys20260101T1200", "toys", 9), ("toys20260101T1200", "toys", 10),
                             ("toys20250101T1200", "toys", 99), ("cats20260202T1200", "cats", 1)):  # fmt: skip
        _checkpoint(tmp_path, run, name, epoch)
    return tmp_path


def test_last_means_the_newest_epoch_of_the_newest_run(logs):
    assert find_checkpoint("last", logs).endswith("cats20260202T1200/mask_rcnn_cats_0001.h5")
    assert find_checkpoint("last", logs, name="Toys").endswith("toys20260101T1200/mask_rcnn_toys_0010.h5")


def test_run_folder_means_its_newest_checkpoint(logs):
    assert find_checkpoint(str(logs / "toys20260101T1200"), "elsewhere").endswith("mask_rcnn_toys_0010.h5")


def test_path_of_a_weight_file_is_returned_unchanged(tmp_path):
    path = tmp_path / "mine.h5"
    path.touch()
    assert find_checkpoint(str(path), "logs") == str(path)


def test_missing_weights_are_an_error_with_advice(tmp_path, logs):
    with pytest.raises(FileNotFoundError, match="no checkpoint under .*Train first"):
        find_checkpoint("last", tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="dogs"):
        find_checkpoint("last", logs, name="dogs")
    with pytest.raises(FileNotFoundError, match="gone.h5: no such weight file"):
        find_checkpoint("gone.h5", tmp_path)


def test_configuration_is_read_with_attributes_of_its_subclass(tmp_path):
    ToysConfig().save(tmp_path / "config.json")
    config = load_config(tmp_path / "w.h5")
    assert (config.NAME, config.NUM_CLASSES, config.IMAGE_MAX_DIM) == ("toys", 3, 128)
    np.testing.assert_array_equal(config.MEAN_PIXEL, [1, 2, 3])
    assert config.COLOUR_OF_BRICKS == ToysConfig.COLOUR_OF_BRICKS


def test_configuration_of_a_folder_without_one_is_none(tmp_path):
    assert load_config(tmp_path / "w.h5") is None


@pytest.mark.parametrize("text, message", [("[1]", "expected a JSON object"), ("{", "cannot read the configuration")])
def test_damaged_configuration_is_an_error(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "w.h5")


@pytest.mark.parametrize("text", ['{"0": "BG"}', "[]", '["BG", 1]', "BG"])
def test_damaged_class_names_are_an_error(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(ConfigError, match="classes.json"):
        load_class_names(tmp_path / "classes.json")


def test_trained_run_has_weights_configuration_and_class_names(logs):
    run = logs / "toys20260101T1200"
    ToysConfig().save(run / "config.json")
    (run / "classes.json").write_text(json.dumps(["BG", "ball", "brick"]))
    trained = load_trained_run(str(run), logs)
    assert trained.weights.endswith("toys_0010.h5")
    assert trained.config.NUM_CLASSES == 3 and trained.class_names == ["BG", "ball", "brick"]


def test_given_files_take_precedence_over_those_next_to_the_weights(logs, tmp_path):
    run = logs / "toys20260101T1200"
    ToysConfig().save(run / "config.json")
    (run / "classes.json").write_text(json.dumps(["BG", "ball", "brick"]))
    other = tmp_path / "names.json"
    other.write_text(json.dumps(["BG", "a", "b"]))
    assert load_trained_run(str(run), logs, classes_file=other).class_names == ["BG", "a", "b"]
    other.write_text(json.dumps(["BG", "a"]))
    with pytest.raises(ConfigError, match="NUM_CLASSES is 3, but 2 class names"):
        load_trained_run(str(run), logs, classes_file=other)


@pytest.mark.parametrize("missing", ["config", "classes"])
def test_missing_file_next_to_the_weights_is_an_error_that_names_its_option(logs, missing):
    run = logs / "toys20260101T1200"
    if missing == "classes":
        ToysConfig().save(run / "config.json")
    else:
        (run / "classes.json").write_text(json.dumps(["BG", "ball", "brick"]))
    with pytest.raises(ConfigError, match=f"no {missing}.json next to these weights: give --{missing} FILE, or make"):
        load_trained_run(str(run), logs)


def test_published_weights_have_the_classes_of_coco(tmp_path):
    trained = load_trained_run("coco", tmp_path)
    assert trained.weights == "coco" and trained.config.NUM_CLASSES == 81
    assert trained.class_names[:2] == ["BG", "person"] and trained.class_names[80] == "toothbrush"


def test_resumed_run_reports_changed_data_and_settings(tmp_path):
    config = Config.from_dict({"NAME": "toys", "NUM_CLASSES": 4, "SEED": 3, "IMAGES_PER_GPU": 2})
    assert list(differences(tmp_path, 2, config, 10)) == []  # a run of the classic code
    config.save(tmp_path / "config.json")
    (tmp_path / "environment.json").write_text(json.dumps([{"images": 99}, {"images": 10}]))
    (tmp_path / "mask_rcnn_toys_0002.h5").touch()
    assert list(differences(tmp_path, 2, config, 10)) == []
    for epoch in (3, 4):
        (tmp_path / f"mask_rcnn_toys_000{epoch}.h5").touch()
    other = config.with_overrides({"SEED": 4, "IMAGES_PER_GPU": 8})
    assert list(differences(tmp_path, 2, other, 11)) == [
        "The order of the images changes: BATCH_SIZE was 2, and is 8 now.",
        "The order of the images changes: SEED was 3, and is 4 now.",
        "The order of the images changes: the number of training images was 10, and is 11 now.",
        "The run has checkpoints of later epochs (3, 4), which training replaces one by one. Until then they are the last ones "
        "of the run."]  # fmt: skip


def test_run_with_an_earlier_time_than_another_is_reported(tmp_path):
    config = Config.from_dict({"NAME": "Toys", "NUM_CLASSES": 4})
    for folder in ("toys20260101T1200", "toys20260101T1201", "other20270101T1200"):
        (tmp_path / folder).mkdir()
    assert list(differences(tmp_path / "toys20260101T1201", 0, config, 10)) == []
    (text,) = differences(tmp_path / "toys20260101T1200", 0, config, 10)
    assert text.startswith("The name of toys20260101T1201 has a later time than that of this run")
    assert list(differences(tmp_path / "toys20260101T1200", 3, config, 10)) == []  # it is resumed
