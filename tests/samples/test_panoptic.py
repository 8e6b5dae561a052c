"""The panoptic sample: shards of drawn shapes and of the published examples, pictures of them, and a few steps."""
import json

import cv2
import numpy as np
import pytest

import mrcnn.datasets
from samples.panoptic import panoptic
from tests.shared_data import shared_path


class FakeModel:
    """Notes what it is asked to train on."""

    trained = []

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.config = config

    def train(self, train_set, val_set, **options):
        self.trained.append((train_set.num_images, self.config.NUM_CLASSES, options["epochs"]))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(panoptic.modellib, "MaskRCNN", FakeModel)
    monkeypatch.setattr(FakeModel, "trained", [])
    return FakeModel


def test_drawn_shapes_become_shards_and_are_trained_on(tmp_path, fake, capsys):
    for _ in range(2):  # the second run finds the shards whole
        panoptic.main(["--output", str(tmp_path), "--epochs", "3"])
    assert fake.trained == [(8, 4, 3)] * 2
    assert ["train", "8", "2", "0", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == [f"{i:012d}.png" for i in range(4)]
    assert cv2.imread(str(pictures[0])).shape == (96, 2 * 128, 3)


def test_what_was_drawn_is_what_is_read(tmp_path, fake):
    panoptic.main(["--output", str(tmp_path), "--epochs", "0"])
    assert fake.trained == []
    dataset = mrcnn.datasets.open(tmp_path / "shards", stuff=True)
    assert dataset.class_names == ["BG", "square", "circle", "triangle", "ground"]
    shapes = panoptic.ShapesDataset()
    shapes.load_shapes(8, 96, 128)
    shapes.prepare()
    for i in range(8):
        masks, class_ids = dataset.load_mask(i)
        expected, classes = shapes.load_mask(i)
        assert (masks.sum(axis=2) == 1).all()  # each pixel is of one segment
        np.testing.assert_array_equal(masks[:, :, class_ids == 4][:, :, 0], ~expected.any(axis=2))
        assert sorted(class_ids[class_ids < 4]) == sorted(classes)


def test_the_published_examples(tmp_path, fake):
    panoptic.main(["--examples", str(shared_path("data/panoptic")), "--output", str(tmp_path)])
    assert fake.trained == [(2, 81, 1)]
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"000000142238", "000000439180"}
    manifest = json.loads((tmp_path / "shards" / "panoptic-train.json").read_text())
    assert manifest["images"] == 2 and len(manifest["categories"]) == 133
