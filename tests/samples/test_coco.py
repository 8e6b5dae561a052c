"""The COCO sample: its results format, and its evaluation on a small data set with known results."""
import argparse
import json

import numpy as np
import pytest
import skimage.io
from pycocotools import mask as mask_utils

from samples.coco import coco

# Category ids like COCO's: not contiguous, and not in the order of the file.
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
# image id -> (category, x, y, width, height) of its one object
OBJECTS = {139: (18, 4, 6, 20, 10), 285: (3, 10, 2, 8, 16)}
HEIGHT, WIDTH = 30, 40


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    images, annotations = [], []
    for number, (image_id, (category, x, y, w, h)) in enumerate(OBJECTS.items(), start=1):
        name = f"{image_id:012d}.jpg"
        # the shade tells the fake model which image it is
        skimage.io.imsave(tmp_path / "val2017" / name, np.full((HEIGHT, WIDTH, 3), 100 * number, np.uint8),
                          check_contrast=False)
        images.append({"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH})
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append({"id": number, "image_id": image_id, "category_id": category, "bbox": [x, y, w, h],
                            "area": w * h, "iscrowd": 0, "segmentation": [polygon]})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return tmp_path


def _load(folder):
    dataset = coco.CocoDataset()
    reference = dataset.load_coco(folder, "val", year="2017", return_coco=True)
    dataset.prepare()
    return dataset, reference


class FakeModel:
    """Detects OBJECTS in the given images, and nothing in others."""

    def __init__(self, dataset, detected_ids=(139, 285)):
        self.class_ids = {18: dataset.class_names.index("dog"), 3: dataset.class_names.index("car")}
        self.detected_ids = detected_ids
        self.calls = 0

    def detect(self, images, verbose=0):
        (image,) = images
        self.calls += 1
        image_id = list(OBJECTS)[round(image.mean() / 100) - 1]
        category, x, y, w, h = OBJECTS[image_id]
        count = int(image_id in self.detected_ids)
        masks = np.zeros((HEIGHT, WIDTH, count), bool)
        masks[y : y + h, x : x + w] = True
        return [{"rois": np.array([[y, x, y + h, x + w]] * count, np.int32).reshape(-1, 4), "masks": masks,
                 "class_ids": np.full(count, self.class_ids[category]), "scores": np.full(count, 0.9, np.float32)}]


def test_results_have_the_ids_and_boxes_of_coco(folder):
    dataset, _ = _load(folder)
    mask = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    mask[6:16, 4:24, 0] = 1
    dog = dataset.class_names.index("dog")
    (entry,) = coco.build_coco_results(dataset, [139], np.array([[6, 4, 16, 24]]), [dog], [0.5], mask)
    decoded = mask_utils.decode(entry.pop("segmentation"))
    np.testing.assert_array_equal(decoded, mask[:, :, 0])
    assert entry == {"image_id": 139, "category_id": 18, "bbox": [4, 6, 20, 10], "score": 0.5}


def test_no_detections_give_no_results(folder):
    dataset, _ = _load(folder)
    assert coco.build_coco_results(dataset, [139], None, None, None, None) == []
    empty = np.zeros((HEIGHT, WIDTH, 0), np.uint8)
    assert coco.build_coco_results(dataset, [139], np.zeros((0, 4)), [], [], empty) == []


def test_boxes_and_masks_of_the_whole_data_set_are_evaluated(folder, capsys):
    dataset, reference = _load(folder)
    model = FakeModel(dataset)
    stats = coco.evaluate_coco(model, dataset, reference)
    assert model.calls == 2
    assert stats["bbox"][0] == pytest.approx(1) and stats["segm"][0] == pytest.approx(1)
    assert "Average Precision" in capsys.readouterr().out


def test_missed_object_lowers_the_ap(folder):
    dataset, reference = _load(folder)
    stats = coco.evaluate_coco(FakeModel(dataset, detected_ids=(139,)), dataset, reference, "segm")
    # one class with AP 1, the other with 0
    assert list(stats) == ["segm"] and stats["segm"][0] == pytest.approx(0.5)


def test_limit_and_image_ids_select_images(folder):
    dataset, reference = _load(folder)
    model = FakeModel(dataset, detected_ids=(139,))
    assert coco.evaluate_coco(model, dataset, reference, "bbox", limit=1)["bbox"][0] == pytest.approx(1)
    assert model.calls == 1
    assert coco.evaluate_coco(model, dataset, reference, "bbox", image_ids=[1])["bbox"][0] == 0


def test_no_detections_score_zero(folder):
    dataset, reference = _load(folder)
    stats = coco.evaluate_coco(FakeModel(dataset, detected_ids=()), dataset, reference)
    assert stats["bbox"][0] == 0 and stats["segm"][0] == 0


@pytest.mark.parametrize("text, value", [("True", True), ("yes", True), ("1", True), ("False", False), ("0", False)])
def test_flag_accepts_several_spellings(text, value):
    assert coco.flag(text) is value


def test_other_values_of_a_flag_are_rejected():
    with pytest.raises(argparse.ArgumentTypeError, match="'maybe' is neither true nor false"):
        coco.flag("maybe")


def test_2014_is_validated_on_minival():
    assert coco.validation_subset("2014") == "minival" and coco.validation_subset("2017") == "val"


class RecordingModel:
    """Replaces MaskRCNN, and records the calls of `main`."""

    def __init__(self, mode, config, model_dir):
        self.mode, self.config, self.model_dir, self.trained = mode, config, model_dir, []
        self.epoch = 0
        RecordingModel.last = self

    def train(self, train_set, val_set, learning_rate, epochs, layers, augmentation=None):
        self.trained.append((layers, epochs, learning_rate, len(train_set.image_ids), len(val_set.image_ids)))


def test_classic_command_line_trains_in_three_stages(folder, monkeypatch):
    # the validation annotations are also used for training
    (folder / "annotations" / "instances_train2017.json").write_text(
        (folder / "annotations" / "instances_val2017.json").read_text())
    (folder / "val2017").rename(folder / "train2017")
    (folder / "val2017").symlink_to(folder / "train2017")
    loaded = []
    monkeypatch.setattr(coco.modellib, "MaskRCNN", RecordingModel)
    monkeypatch.setattr(coco, "load_start_weights", lambda model, weights: loaded.append(weights))
    coco.main(["train", f"--dataset={folder}", "--model=imagenet", "--year=2017", "--logs=runs", "--download=false"])
    model = RecordingModel.last
    assert loaded == ["imagenet"] and (model.mode, model.model_dir) == ("training", "runs")
    assert model.config.NUM_CLASSES == 81
    rate = model.config.LEARNING_RATE
    assert model.trained == [("heads", 40, rate, 2, 2), ("4+", 120, rate, 2, 2), ("all", 160, rate / 10, 2, 2)]


def test_classic_command_line_evaluates(folder, monkeypatch, capsys):
    dataset, _ = _load(folder)

    class Model(FakeModel):
        def __init__(self, mode, config, model_dir):
            assert mode == "inference" and config.BATCH_SIZE == 1 and config.DETECTION_MIN_CONFIDENCE == 0
            super().__init__(dataset)

    monkeypatch.setattr(coco.modellib, "MaskRCNN", Model)
    monkeypatch.setattr(coco, "load_start_weights", lambda model, weights: None)
    coco.main(["evaluate", f"--dataset={folder}", "--model=last", "--year=2017", "--limit=1"])
    assert "Average Recall" in capsys.readouterr().out
