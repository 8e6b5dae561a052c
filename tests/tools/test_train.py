"""`train`, which chooses what is not set as `mrcnn train` does, on a few drawn shapes."""
import csv
import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.config import ConfigError
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.tools.train import train
from mrcnn.training.runs import load_config
from tests.training.small import shapes

# A network of a few channels, and one step; everything else is chosen.
TINY = {"BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 8, "RPN_HEAD_CHANNELS": 8, "MASK_HEAD_CHANNELS": 8,
        "FPN_CLASSIF_FC_LAYERS_SIZE": 8, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "TRAIN_ROIS_PER_IMAGE": 4,
        "STEPS_PER_EPOCH": 1, "TRAIN_EPOCHS": 1, "LOADER_WORKERS": 0}  # fmt: skip


class GreyAndDepth(ShapesDataset):
    """Shapes whose images have two channels: 40 and 2000 in the upper half, 60 and 4000 in the lower half."""

    def load_image(self, image_id):
        image = np.empty((64, 64, 2), np.uint16)
        image[:32], image[32:] = (40, 2000), (60, 4000)
        return image


@pytest.mark.tensorflow_only
def test_a_data_set_is_enough(tmp_path, capsys):
    model = train(shapes(10), model_dir=tmp_path, **TINY)
    printed = capsys.readouterr().out
    for line in ("Images:      8 to train, 2 to validate (held out)", "Classes:     3: square, circle, triangle",
                 "Optimizer:   adam, rate 0.002, cosine: learns fast from random weights", "Report: "):
        assert line in printed
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("shapes") and f"Run folder:  {folder}"[:40] in printed
    config = json.loads((folder / "config.json").read_text())
    # chosen, as given, and of the recipe modern
    assert (config["OPTIMIZER"], config["BACKBONE"], config["PROPOSALS_PER_LEVEL"]) == ("adam", "compact", True)
    assert len(json.loads((folder / "validation.json").read_text())) == 2
    with open(folder / "history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    assert len(model.detect([np.zeros((64, 64, 3), np.uint8)])) == 1


@pytest.mark.tensorflow_only
def test_pixels_of_other_channels_are_measured(tmp_path, capsys):
    dataset = GreyAndDepth()
    dataset.load_shapes(5, 64, 64)
    dataset.prepare()
    model = train(dataset, weights="none", val_share=0, model_dir=tmp_path, IMAGE_CHANNEL_COUNT=2, NAME="toys", **TINY)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Pixels: minus [ 50. 3000.], divided by [ 10. 1000.]: measured on 5 images" in printed
    config = load_config(next(tmp_path.iterdir()) / "mask_rcnn_toys_0001.h5")
    assert config.VALIDATION_STEPS == 5, "of the format shapes, whatever the NAME of the run"
    assert config.MEAN_PIXEL.tolist() == [50, 3000] and list(config.STD_PIXEL) == [10, 1000]
    assert len(model.detect([dataset.load_image(0)])) == 1


@pytest.mark.tensorflow_only
def test_a_run_folder_is_resumed_and_its_network_trained_on_other_data(tmp_path, capsys):
    train(shapes(5), model_dir=tmp_path, **TINY)
    (folder,) = tmp_path.iterdir()
    held_out = (folder / "validation.json").read_text()
    capsys.readouterr()
    model = train(shapes(5), weights=str(folder), model_dir=tmp_path, TRAIN_EPOCHS=2, SEED=5)
    assert model.log_dir == str(folder) and (folder / "validation.json").read_text() == held_out
    assert [row["epoch"] for row in csv.DictReader((folder / "history.csv").open())] == ["1", "2"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "and the configuration of its run" in printed and "starts afresh: the number of epochs changed" in printed
    shapes_of_others = shapes(5)
    shapes_of_others.add_class("shapes", 4, "star")
    shapes_of_others.prepare()
    other = train(shapes_of_others, weights=str(folder), model_dir=tmp_path, NAME="others", **TINY)
    assert Path(other.log_dir).name.startswith("others") and len(list(tmp_path.iterdir())) == 2
    assert other.config.NUM_CLASSES == 5 and "star" in capsys.readouterr().out
    before = Path(other.log_dir)
    other.train(shapes_of_others, None, 0.001, 1, "heads")  # from the best weights: a new run
    assert other.log_dir != str(before) and before.name[:6] == "others" and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ConfigError, match="the recipe modern: the weights .* come with the configuration of their run"):
        train(shapes(5), weights=str(folder), recipe="modern", model_dir=tmp_path)


def test_mistakes_are_found_before_training(tmp_path):
    with pytest.raises(ConfigError, match="LERNING_RATE is not an attribute .* did you mean LEARNING_RATE"):
        train(shapes(2), model_dir=tmp_path, LERNING_RATE=1)
    with pytest.raises(ValueError, match="would freeze a backbone of random weights"):
        train(shapes(2), weights="none", model_dir=tmp_path, TRAIN_LAYERS="heads")
    with pytest.raises(DataError, match="no images"):
        train(shapes(0), model_dir=tmp_path)
    with pytest.raises(DataError, match="found photographs: open a folder with mrcnn.datasets.open"):
        inspect.unwrap(train)("photographs", model_dir=tmp_path)  # the tests check types, which users' calls do not
    with pytest.raises(ConfigError, match="val_share is 20: .* at least 0 and below 1"):
        train(shapes(2), val_share=20, model_dir=tmp_path)
    other = shapes(2)
    other.class_names = [*other.class_names[:2], "triangle", "circle"]
    with pytest.raises(DataError, match="classes square, circle, triangle, the validation data square, triangle, circle"):
        train(shapes(2), other, model_dir=tmp_path)
    assert not list(tmp_path.iterdir())
