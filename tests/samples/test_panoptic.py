"""The panoptic sample: shards of synthetic shapes and of the published examples, pictures, and training."""
import json

import cv2
import numpy as np
import pytest

import mrcnn.datasets
from samples.panoptic import panoptic
from tests.shared_data import shared_path


class FakeModel:
    """Records the data that it is trained on."""

    trained = []

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.config = config

    def train(self, train_set, val_set, **options):
        self.trained.append((train_set.num_images, self.config.NUM_CLASSES, options["epochs"]))


@pytest.fixture
def fake_model(monkeypatch):
    monkeypatch.setattr(panoptic.modellib, "MaskRCNN", FakeModel)
    monkeypatch.setattr(FakeModel, "trained", [])
    return FakeModel


def test_synthetic_shapes_become_shards_and_are_trained_on(tmp_path, fake_model, capsys):
    for _ in range(2):  # the second run uses the existing shards
        panoptic.main(["--output", str(tmp_path), "--epochs", "3"])
    assert fake_model.trained == [(8, 4, 3)] * 2
    assert ["train", "8", "2", "0", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == [f"{i:012d}.png" for i in range(4)]
    assert cv2.imread(str(pictures[0])).shape == (96, 2 * 128, 3)


def test_written_segments_are_read_back(tmp_path, fake_model):
    panoptic.main(["--output", str(tmp_path), "--epochs", "0"])
    assert fake_model.trained == []
    dataset = mrcnn.datasets.open(tmp_path / "shards", stuff=True)
    assert dataset.class_names == ["BG", "square", "circle", "triangle", "ground"]
    shapes = panoptic.ShapesDataset()
    shapes.load_shapes(8, 96, 128)
    shapes.prepare()
    for i in range(8):
        masks, class_ids = dataset.load_mask(i)
        expected, classes = shapes.load_mask(i)
        assert (masks.sum(axis=2) == 1).all()  # each pixel belongs to one segment
        np.testing.assert_array_equal(masks[:, :, class_ids == 4][:, :, 0], ~expected.any(axis=2))
        assert sorted(class_ids[class_ids < 4]) == sorted(classes)


def test_published_examples_become_shards(tmp_path, fake_model):
    panoptic.main(["--examples", str(shared_path("data/panoptic")), "--output", str(tmp_path)])
    assert fake_model.trained == [(2, 81, 1)]
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"000000142238", "000000439180"}
    manifest = json.loads((tmp_path / "shards" / "panoptic-train.json").read_text())
    assert manifest["images"] == 2 and len(manifest["categories"]) == 133
