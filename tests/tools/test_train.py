"""`train`, which chooses what is not set as `mrcnn train` does, on a few drawn shapes."""
import csv
import json

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.config import ConfigError
from mrcnn.tools.train import train
from tests.training.small import shapes

# A network of a few channels, and one step; everything else is chosen.
TINY = {"BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 8, "RPN_HEAD_CHANNELS": 8, "MASK_HEAD_CHANNELS": 8,
        "FPN_CLASSIF_FC_LAYERS_SIZE": 8, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "TRAIN_ROIS_PER_IMAGE": 4,
        "STEPS_PER_EPOCH": 1, "TRAIN_EPOCHS": 1, "LOADER_WORKERS": 0}  # fmt: skip


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

def test_mistakes_are_found_before_training(tmp_path):
    with pytest.raises(ConfigError, match="LERNING_RATE is not an attribute .* did you mean LEARNING_RATE"):
        train(shapes(2), model_dir=tmp_path, LERNING_RATE=1)
    with pytest.raises(ValueError, match="would freeze a backbone of random weights"):
        train(shapes(2), weights="none", model_dir=tmp_path, TRAIN_LAYERS="heads")
    with pytest.raises(DataError, match="no images"):
        train(shapes(0), model_dir=tmp_path)
    assert not list(tmp_path.iterdir())
