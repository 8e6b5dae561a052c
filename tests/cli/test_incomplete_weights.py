"""Commands that run detection reject weights without heads, tested with the real network."""
import json

import keras
import numpy as np
import pytest
import skimage.io

from mrcnn.cli.main import main
from mrcnn.network.backbones.compact import compact_graph
from mrcnn.training.run_start import build_config
from mrcnn.weights import classic_h5

SETTINGS = {"NUM_CLASSES": 4, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "TOP_DOWN_PYRAMID_SIZE": 16, "RPN_HEAD_CHANNELS": 16,
            "MASK_HEAD_CHANNELS": 16, "FPN_CLASSIF_FC_LAYERS_SIZE": 32}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose checkpoint contains only the backbone, like an ImageNet weight file."""
    folder = tmp_path_factory.mktemp("logs") / "shapes20260101T1200"
    folder.mkdir()
    build_config("shapes", SETTINGS, from_scratch=True).save(folder / "config.json")
    (folder / "classes.json").write_text(json.dumps(["BG", "square", "circle", "triangle"]))
    image = keras.Input((64, 64, 3))
    classic_h5.save(keras.Model(image, compact_graph(image)), folder / "mask_rcnn_shapes_0001.h5")
    skimage.io.imsave(folder / "picture.png", np.zeros((64, 64, 3), np.uint8), check_contrast=False)
    return folder


@pytest.mark.parametrize("command", [
    ["predict", "{run}/picture.png", "--weights", "{run}", "--output", "{out}"],
    ["evaluate", "shapes", "--weights", "{run}", "--limit", "2"],
    ["report", "{run}", "--format", "shapes", "--limit", "2", "--output", "{out}/report.html"],
], ids=lambda command: command[0])  # fmt: skip
def test_weights_without_heads_are_rejected(run, tmp_path, capsys, command):
    assert main([word.format(run=run, out=tmp_path) for word in command]) != 0
    error = capsys.readouterr().err
    assert "mask_rcnn_shapes_0001.h5: no weights for 27 layers (fpn_c5p5, " in error and "Detection needs every layer" in error
    assert not list(tmp_path.rglob("*.html")) and not list(tmp_path.rglob("*_detections*"))
