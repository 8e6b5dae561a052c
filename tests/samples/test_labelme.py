"""The labelme sample: the split of a folder, the calls of the model, and files for correction."""
import json

import numpy as np
import pytest

import mrcnn.datasets
from samples.labelme import labelme
from tests.datasets.formats.labelme_files import ring, shape, write
from tests.shared_data import shared_path


class FakeModel:
    """Records its calls, and detects a square in every image."""

    instances = []

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.mode, self.config, self.calls = mode, config, []
        self.instances.append(self)

    def train(self, train_set, val_set, **options):
        assert train_set.class_names == val_set.class_names
        self.calls.append((train_set.num_images, val_set.num_images, options["layers"], options["epochs"]))

    def detect(self, images, masks):
        assert masks == "rle"
        results = []
        for image in images:
            mask = np.zeros((*image.shape[:2], 1), bool)
            mask[5:25, 10:30] = True
            results.append({"rois": np.array([[5, 10, 25, 30]], np.int32), "class_ids": np.array([2]),
                            "scores": np.array([0.9]), "masks": mask})  # fmt: skip
        return results


@pytest.fixture
def fake_model(monkeypatch):
    monkeypatch.setattr(labelme.modellib, "MaskRCNN", FakeModel)
    monkeypatch.setattr(labelme, "load_start_weights", lambda model, weights: None)
    monkeypatch.setattr(labelme, "load_trained_weights", lambda model, weights: None)
    monkeypatch.setattr(FakeModel, "instances", [])
    return FakeModel


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        write(tmp_path / "photographs", [shape("cat" if i % 2 else "dog", ring(10, 5, 30, 25))], f"{i}")
    return tmp_path / "photographs"


def test_a_fifth_is_held_out_reproducibly(folder):
    ids = [[[info["id"] for info in part.image_info] for part in labelme.open_parts(folder)] for _ in range(2)]
    assert [len(part) for part in ids[0]] == [8, 2] and ids[0] == ids[1]
    assert sorted(sum(ids[0], [])) == [str(i) for i in range(10)]


def test_existing_subsets_are_used(folder):
    for part, names in (("train", "0123"), ("val", "56")):
        (folder / part).mkdir()
        for name in names:
            for ending in (".json", ".png"):
                (folder / (name + ending)).rename(folder / part / (name + ending))
    train_set, val_set = labelme.open_parts(folder)
    assert [info["id"] for info in val_set.image_info] == ["val/5", "val/6"] and train_set.num_images == 4


@pytest.mark.parametrize("weights, calls", [
    ("coco", [(8, 2, "heads", 3), (8, 2, "all", 6)]), ("none", [(8, 2, "all", 3)])])  # fmt: skip
def test_training_calls_depend_on_the_weights(folder, tmp_path, fake_model, weights, calls):
    labelme.main(["train", "--dataset", str(folder), "--weights", weights, "--epochs", "3", "--logs", str(tmp_path)]
                 + ["--small"] * (weights == "none"))  # fmt: skip
    (model,) = fake_model.instances
    assert model.calls == calls and model.mode == "training" and model.config.NUM_CLASSES == 3
    assert model.config.BACKBONE == ("compact" if weights == "none" else "resnet101")


def test_prediction_writes_files_to_correct(folder, tmp_path, fake_model):
    run = tmp_path / "logs" / "labelme20260101T0000"
    run.mkdir(parents=True)
    (run / "mask_rcnn_labelme_0001.h5").touch()
    config = labelme.LabelmeConfig()
    config.NUM_CLASSES = 3
    config.save(run / "config.json")
    (run / "classes.json").write_text(json.dumps(["BG", "cat", "dog"]))
    labelme.main(["predict", "--weights", "last", "--logs", str(tmp_path / "logs"), "--output", str(tmp_path / "found"),
                  "--pictures", str(folder / "0.png"), str(folder / "1.png")])  # fmt: skip
    assert fake_model.instances[0].mode == "inference" and fake_model.instances[0].config.NUM_CLASSES == 3
    again = mrcnn.datasets.open(tmp_path / "found" / "labelme", labels=["cat", "dog"])
    assert again.num_images == 2
    for i in range(2):
        masks, class_ids = again.load_mask(i)
        assert class_ids.tolist() == [2] and masks[5:25, 10:30].all() and masks.sum() == 400


@pytest.mark.parametrize("arguments, message", [
    (["train", "--weights=coco"], "train needs --dataset"),
    (["evaluate", "--weights=last"], "evaluate needs --dataset"),
    (["predict", "--weights=last"], "predict needs --pictures"),
])  # fmt: skip
def test_missing_argument_is_reported(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        labelme.main(arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_training_on_the_photographs_of_fruits(fake_model, tmp_path):
    labelme.main(["train", "--dataset", str(shared_path("data/fruits")), "--weights", "imagenet", "--logs", str(tmp_path)])
    assert fake_model.instances[0].calls[0][:2] == (15, 3) and fake_model.instances[0].config.NUM_CLASSES == 4
