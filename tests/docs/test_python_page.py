"""The code of docs/python.md, run block by block on a tiny network."""
import json
import re

import cv2
import numpy as np
import pytest
import skimage.io

from mrcnn.config import Config
from mrcnn.datasets.catalog import open_dataset
from mrcnn.model import MaskRCNN
from tests.shared_data import REPOSITORY

pytestmark = pytest.mark.tensorflow_only

PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)


class TinyConfig(Config):
    NAME = "tiny"
    NUM_CLASSES = 4
    BACKBONE = "compact"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    IMAGES_PER_GPU = 2
    TOP_DOWN_PYRAMID_SIZE = RPN_HEAD_CHANNELS = MASK_HEAD_CHANNELS = FPN_CLASSIF_FC_LAYERS_SIZE = 16
    TRAIN_ROIS_PER_IMAGE = 8
    PRE_NMS_LIMIT = 100
    POST_NMS_ROIS_TRAINING = POST_NMS_ROIS_INFERENCE = 20
    DETECTION_MAX_INSTANCES = 5
    DETECTION_MIN_CONFIDENCE = 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run, a photograph and a film of three frames."""
    folder = tmp_path_factory.mktemp("page")
    run = folder / "logs" / "tiny20260101T1200"
    run.mkdir(parents=True)
    MaskRCNN("inference", TinyConfig(), str(folder / "other")).save_weights(str(run / "mask_rcnn_tiny_0001.h5"))
    TinyConfig().save(run / "config.json")
    shapes = open_dataset(None, "shapes", "val", count=3, image_size=64)
    (run / "classes.json").write_text(json.dumps(shapes.class_names))
    skimage.io.imsave(folder / "photo.jpg", shapes.load_image(0)[:48], check_contrast=False)
    film = cv2.VideoWriter(str(folder / "film.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 64))
    for i in range(3):
        film.write(np.ascontiguousarray(shapes.load_image(i)[:, :, ::-1]))
    film.release()
    return folder


def test_each_block_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = {}
    for block in BLOCKS:
        exec(block, names)
    result = names["result"]
    count = len(result["rois"])
    assert count and len(result["scores"]) == count and result["masks"].shape == (48, 64, count)
    assert re.search(r"^(square|circle|triangle): score 0\.\d\d, \d+ pixels$", capsys.readouterr().out, re.M)
    film = cv2.VideoCapture("film_detections.mp4")
    assert (film.get(cv2.CAP_PROP_FRAME_COUNT), film.get(cv2.CAP_PROP_FPS)) == (3, 25)
    # the classic inference model, called as an exported network would be, gives what detect gives
    assert names["masks"].shape == (48, 64, count)
    np.testing.assert_allclose(names["scores"], result["scores"], atol=1e-3)
    model = names["model"]
    model.save_weights("model.h5")
    model.keras_model.save("model.keras")
    import keras

    assert [output.shape for output in keras.models.load_model("model.keras").outputs] == [
        output.shape for output in model.keras_model.outputs]  # fmt: skip


def test_training_stops_early(folder, monkeypatch):
    """Without learning the loss stays: the first epoch is the best, and five more do not improve it."""
    monkeypatch.chdir(folder)
    (block,) = [block for block in BLOCKS if "EarlyStopping" in block]
    train_set, val_set = (open_dataset(None, "shapes", name, count=2, image_size=64) for name in ("train", "val"))
    model = MaskRCNN("training", TinyConfig(), "logs")
    names = {"model": model, "train_set": train_set, "val_set": val_set}
    exec(block.replace("# model.train", "model.train").replace("learning_rate=0.001", "learning_rate=0.0"), names)
    assert model.epoch == 6
