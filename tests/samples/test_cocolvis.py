"""The COCO+LVIS sample: synthetic shapes with parts, given files, pictures, and training."""
import cv2
import numpy as np
import pytest

import mrcnn.datasets
from samples.cocolvis import cocolvis
from tests.datasets.cocolvis_pairs import write_pair


class FakeModel:
    """Records the data that it is trained on."""

    trained = []

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.config = config

    def train(self, train_set, val_set, **options):
        counts = [train_set.num_instances(i) for i in train_set.image_ids]
        self.trained.append((self.config.NUM_CLASSES, train_set.num_classes, options["epochs"], counts))


@pytest.fixture
def fake_model(monkeypatch):
    monkeypatch.setattr(cocolvis.modellib, "MaskRCNN", FakeModel)
    monkeypatch.setattr(FakeModel, "trained", [])
    monkeypatch.setattr(cocolvis, "PICTURES", 1)
    return FakeModel


def test_synthetic_shapes_with_parts(tmp_path, fake_model, capsys):
    for levels in ("whole", "parts"):  # the second run uses the existing data set
        cocolvis.main(["--output", str(tmp_path), "--epochs", "2", "--levels", levels])
    assert "instances of LVIS" in capsys.readouterr().out
    shapes = cocolvis.ShapesDataset()
    shapes.load_shapes(8, *cocolvis.SIZE)
    shapes.prepare()
    drawn = [np.moveaxis(shapes.load_mask(i)[0], 2, 0) for i in range(8)]
    discs = [[d for d in map(cocolvis.disc_in, masks) if d.any()] for masks in drawn]
    assert fake_model.trained == [(2, 2, 2, [len(masks) for masks in drawn]), (2, 2, 2, [len(d) for d in discs])]
    dataset = mrcnn.datasets.open(tmp_path / "set")
    for i, masks in enumerate(drawn):  # each shape and each disc exists exactly once
        masks_read = {mask.tobytes() for mask in np.moveaxis(dataset.load_mask(i)[0], 2, 0)}
        assert masks_read == {mask.tobytes() for mask in [*masks, *discs[i]]}
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "000000000001_layers.png", "000000000001_tree.png"]  # fmt: skip
    assert cv2.imread(str(tmp_path / "pictures" / "000000000001_tree.png")).std() > 10


def test_given_files_are_converted(tmp_path, fake_model):
    coco, lvis, images = map(str, write_pair(tmp_path))
    cocolvis.main(["--coco", coco, "--lvis", lvis, "--images", images, "--output", str(tmp_path / "out")])
    cocolvis.main(["--dataset", str(tmp_path / "out" / "set" / "train"), "--output", str(tmp_path / "more"), "--epochs", "0"])
    assert fake_model.trained == [(2, 2, 1, [6, 6])]
    assert (tmp_path / "more" / "pictures" / "000000000001_layers.png").exists()


def test_incomplete_arguments_are_reported(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cocolvis.main(["--coco", "a.json", "--output", str(tmp_path)])
    assert "give --coco, --lvis and --images together" in capsys.readouterr().err
