"""Calls that the commands make, with a model that only records them."""
import json
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.io

from mrcnn.cli import train
from mrcnn.cli.main import main
from mrcnn.config import Config
from mrcnn.training import mask_rcnn
from mrcnn.training import run_start as start
from mrcnn.weights.catalogue import PublishedWeights
from mrcnn.weights.classic_h5 import LoadReport
from tests.shared_data import shared_path

# printed to a pipe before the first run of the network
COMPILING_LINE = "" if keras.backend.backend() == "torch" else "compiling the first step, a minute or two ...\n"


class FakeResult:
    def table(self):
        return "the table"

    def save(self, path):
        Path(path).write_text("{}")


class FakeModel:
    """Replaces MaskRCNN; `last` is the newest instance."""

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.mode, self.config, self.model_dir = mode, config, model_dir
        self.loaded, self.trained, self.evaluated, self.log_dir, self.new_run = None, None, None, "a run", False
        self.epoch = 0
        FakeModel.last = self

    def load_weights(self, path, by_name=False, exclude=None, **classes):
        self.loaded, self.classes = (path, exclude), classes
        return LoadReport()

    def get_imagenet_weights(self):
        return "imagenet.h5"

    def set_log_dir(self):
        self.new_run = True

    def train(self, train_set, val_set, learning_rate, epochs, layers):
        self.train_set, self.val_set = train_set, val_set
        self.trained = {"train": len(train_set.image_ids), "val": len(val_set.image_ids) if val_set is not None else 0,
                        "rate": learning_rate, "epochs": epochs, "layers": layers}

    def evaluate(self, dataset, limit=None, progress=None, min_confidence=None):
        for stage in ("detecting", "scoring masks"):
            with progress(stage):
                self.evaluated = len(dataset.image_ids), limit, min_confidence
        return FakeResult()

    def detect(self, images, masks="dense"):
        count = 2
        mask = np.ones((*images[0].shape[:2], count), bool)
        return [{"rois": np.array([[0, 0, 4, 5]] * count, np.int32), "class_ids": np.array([1, 2]), "masks": mask,
                 "scores": np.array([0.9, 0.8], np.float32)} for _ in images]


@pytest.fixture(autouse=True)
def fake_model(monkeypatch, tmp_path):
    monkeypatch.setattr(mask_rcnn, "MaskRCNN", FakeModel)
    monkeypatch.setattr(PublishedWeights, "fetch", lambda entry: f"{entry.name}.h5")
    # the end of a run evaluates what was trained: tests/e2e has it with a network
    monkeypatch.setattr(train, "_finish", lambda *args: None)
    monkeypatch.chdir(tmp_path)
    FakeModel.last = None


# of the runs that a test makes, by the name of the run: those of the shapes and of the fruits
CLASS_NAMES = {"shapes": ["square", "circle", "triangle"], "labelme": ["date", "fig", "hazelnut"]}


def _run(name="toys", epoch=3, **values):
    """Create a run folder in logs with an empty checkpoint, and return the path of the checkpoint."""
    folder = Path("logs") / f"{name}20260101T1200"
    folder.mkdir(parents=True)
    checkpoint = folder / f"mask_rcnn_{name}_{epoch:04d}.h5"
    checkpoint.touch()
    config = Config.from_dict({"NAME": name, "NUM_CLASSES": 4, "BACKBONE": "resnet50", **values})
    config.save(folder / "config.json")
    (folder / "classes.json").write_text(json.dumps(["BG", *CLASS_NAMES.get(name, ["ball", "brick", "cat"])]))
    return str(checkpoint)


# --- train
def test_train_on_shapes_from_random_weights():
    assert main(["train", "shapes", "--count", "20", "--epochs", "3", "--learning-rate", "0.5", "--schedule", "constant",
                 "--augment", "none", "--batch-size", "5", "--optimizer", "adamw", "--layers", "res.*", "--set", "SEED=7",
                 "--backbone", "resnet50"]) == 0  # fmt: skip
    model = FakeModel.last
    assert model.mode == "training" and model.loaded is None and model.model_dir == "logs"
    assert model.trained == {"train": 20, "val": 2, "rate": 0.5, "epochs": 3, "layers": "res.*"}
    assert (model.config.SEED, model.config.BACKBONE, model.config.NUM_CLASSES) == (7, "resnet50", 4)
    assert (model.config.LEARNING_RATE_SCHEDULE, model.config.TRAIN_AUGMENT) == ("constant", "none")
    assert (model.config.IMAGES_PER_GPU, model.config.OPTIMIZER) == (5, "adamw")
    assert model.config.TRAIN_BN is None, "batch-norm statistics must be trained with random weights"


def test_what_is_not_given_is_chosen_from_the_data_and_printed_with_its_reason(capsys):
    assert main(["train", "labelme", "--dataset", str(shared_path("data/fruits")), "--weights", "none"]) == 0
    model, printed = FakeModel.last, capsys.readouterr().out
    assert model.trained == {"train": 15, "val": 3, "rate": 0.002, "epochs": 20, "layers": "all"}
    assert (model.config.BACKBONE, model.config.IMAGE_MAX_DIM, model.config.IMAGES_PER_GPU) == ("compact", 256, 4)
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split(":")[0] for line in lines if line[0] != " "] == [
        "Device", "Images", "Classes", "Weights", "Network", "Images", "Anchors", "Batch", "Optimizer", "Augment", "Layers",
        "Epochs", "Validation"]  # fmt: skip
    assert "Images:      15 to train, 3 to validate (held out; --val-share)" in lines
    assert "Classes:     3: date, fig, hazelnut" in lines and "Weights:     random" in lines


def test_a_pretrained_backbone_is_the_default_where_its_wheel_is_installed(monkeypatch, capsys):
    folder = str(shared_path("data/fruits"))
    for is_installed, backbone, loaded in ((True, "efficientnet_lite0", "imagenet.h5"), (False, "compact", None)):
        monkeypatch.setattr(start, "lite0_is_installed", lambda answer=is_installed: answer)
        assert main(["train", "labelme", "--dataset", folder]) == 0
        model = FakeModel.last
        assert model.config.BACKBONE == backbone and (model.loaded and model.loaded[0]) == loaded
        assert ("Pixels:" in capsys.readouterr().out) == is_installed
        assert model.config.TRAIN_BN is (False if is_installed else None)
    # A network of one's own, and synthetic shapes, start from random weights.
    monkeypatch.setattr(start, "lite0_is_installed", lambda: True)
    for arguments in (["labelme", "--dataset", folder, "--backbone", "resnet50"], ["shapes", "--count", "20"],
                      ["labelme", "--dataset", folder, "--recipe", "modern"]):
        assert main(["train", *arguments]) == 0
        assert FakeModel.last.loaded is None


@pytest.mark.parametrize("layers", ["heads", "3+", "4+", "5+"])
def test_a_frozen_backbone_of_random_weights_is_refused(layers, capsys):
    assert main(["train", "shapes", "--layers", layers]) == 2
    message = capsys.readouterr().err
    assert "would freeze a backbone of random weights" in message and "--weights coco" in message and message.count("\n") == 1
    assert FakeModel.last is None


def test_train_on_coco_from_the_published_weights():
    folder = str(shared_path("data/tiny_coco"))
    assert main(["train", "coco", "--dataset", folder, "--year", "2017", "--weights", "coco"]) == 0
    model = FakeModel.last
    assert model.loaded == ("coco.h5", None) and model.config.NUM_CLASSES == 81
    assert model.classes["classes_from"] == "coco" and model.classes["class_names"][80] == "toothbrush"
    assert model.config.BACKBONE == "resnet101" and model.config.TRAIN_BN is False
    # 16 steps in a pass, two passes in an epoch; 600 steps
    assert model.trained == {"train": 32, "val": 6, "rate": 0.001, "epochs": 19, "layers": "heads"}


def test_published_weights_set_the_network_and_keep_what_they_know():
    folder = str(shared_path("data/fruits"))
    small = ["--set", "IMAGE_MIN_DIM=256", "IMAGE_MAX_DIM=256"]
    assert main(["train", "labelme", "--dataset", folder, "--weights", "torchvision_v2", *small]) == 0
    model = FakeModel.last
    assert model.config.BACKBONE == "resnet50" and model.config.BOX_HEAD_CONVOLUTIONS == 4 and model.config.IMAGE_MAX_DIM == 256
    assert model.loaded == ("torchvision_v2.h5", None)
    assert model.classes == {"classes_from": "coco", "class_names": ["BG", "date", "fig", "hazelnut"]}


def test_classes_of_a_file_are_matched_by_name(tmp_path):
    folder = str(shared_path("data/fruits"))
    tensors = {"rpn.head.cls_logits.bias": np.zeros(3), "rpn.head.conv.1.0.bias": np.zeros(3)}  # torchvision's v2
    (tmp_path / "w.pth").write_bytes(pickle.dumps(tensors))
    assert main(["train", "labelme", "--dataset", folder, "--weights", "w.pth", "--classes-from", "theirs.json"]) == 0
    assert FakeModel.last.config.BOX_HEAD_CONVOLUTIONS == 4
    assert FakeModel.last.classes == {"classes_from": "theirs.json", "class_names": ["BG", "date", "fig", "hazelnut"]}
    assert FakeModel.last.loaded == ("w.pth", None)


def test_fraction_is_held_out_if_the_data_have_no_val_subset(capsys):
    folder = str(shared_path("data/fruits"))
    val_ids = []
    for seed in (0, 0, 1):
        assert main(["train", "labelme", "--dataset", folder, "--val-share", "0.25", "--weights", "none",
                     "--set", f"SEED={seed}"]) == 0
        model = FakeModel.last
        count = model.trained["val"]
        assert count in (4, 5) and model.trained["train"] == 18 - count and model.config.NUM_CLASSES == 4
        assert f"{18 - count} to train, {count} to validate (held out; --val-share)" in capsys.readouterr().out
        val_ids.append([info["id"] for info in model.val_set.image_info])
    assert val_ids[0] == val_ids[1] != val_ids[2] and not {info["id"] for info in model.train_set.image_info} & set(val_ids[2])
    assert main(["train", "labelme", "--dataset", folder, "--val-share", "0", "--weights", "none"]) == 0
    assert FakeModel.last.val_set is None and FakeModel.last.config.VALIDATION_AP_EVERY == 0
    # a val subset of the data takes precedence
    folder = str(shared_path("data/tiny_coco"))
    assert main(["train", "coco", "--dataset", folder, "--val-share", "0.25", "--weights", "none"]) == 0
    assert (FakeModel.last.trained["train"], FakeModel.last.trained["val"]) == (32, 6)


def test_resumed_run_keeps_its_configuration():
    checkpoint = _run("shapes", SEED=5, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64, TRAIN_EPOCHS=7, TRAIN_LAYERS="4+",
                      LEARNING_RATE=0.5)  # fmt: skip
    assert main(["train", "shapes", "--weights", "last", "--set", "IMAGES_PER_GPU=3"]) == 0
    assert FakeModel.last.trained == {"train": 1000, "val": 100, "rate": 0.5, "epochs": 7, "layers": "4+"}
    model = FakeModel.last
    assert model.loaded == (checkpoint, None) and not model.new_run
    config = model.config
    assert (config.SEED, config.IMAGE_MAX_DIM, config.BACKBONE, config.IMAGES_PER_GPU) == (5, 64, "resnet50", 3)


def test_a_resumed_run_holds_out_the_same_images(capsys):
    _run("labelme")
    held_out = ["labelme.3", "labelme.12"]
    Path("logs/labelme20260101T1200/validation.json").write_text(json.dumps(held_out))
    arguments = ["train", "labelme", "--dataset", str(shared_path("data/fruits"))]
    assert main([*arguments, "--weights", "last"]) == 0
    assert [f"labelme.{info['id']}" for info in FakeModel.last.val_set.image_info] == sorted(held_out)
    assert "16 to train, 2 to validate (held out, as before; --val-share)" in capsys.readouterr().out
    assert main([*arguments, "--weights", "none"]) == 0 and FakeModel.last.val_set.num_images == 3, "a new run divides anew"


def test_weights_from_other_data_start_a_new_run():
    checkpoint = _run("cats", NUM_CLASSES=9)
    assert main(["train", "shapes", "--weights", checkpoint, "--exclude", "heads"]) == 0
    model = FakeModel.last
    assert model.loaded == (checkpoint, sorted(start.CLASS_LAYERS)) and model.new_run
    assert (model.config.NAME, model.config.NUM_CLASSES, model.config.BACKBONE) == ("shapes", 4, "resnet50")


@pytest.mark.parametrize("arguments, expected", [
    (["shapes", "--set", "IMAGE_PER_GPU=1"], "did you mean IMAGES_PER_GPU"),
    (["shapes", "--set", "IMAGES_PER_GPU=two"], "IMAGES_PER_GPU is 'two': it must be a whole number"),
    (["shapes", "--set", "IMAGE_MAX_DIM=100", "IMAGE_MIN_DIM=100"], "multiple of 64"),
    (["shapes", "--set", "NUM_CLASSES=9"], "the data set has 4 classes"),
    (["shapes", "--subset", "minival"], "it has train, val, test"),
    (["shapes", "--weights", "last"], "no checkpoint"),
    (["shapes", "--weights", "gone.h5"], "gone.h5: no such weight file"),
    (["shapes", "--weights", "coco"], None),
    (["shapes", "--weights", "coco", "--backbone", "resnet50"], "give --set BACKBONE=resnet101, or"),
    (["coco"], "--dataset PATH"),
    (["coco", "--dataset", "gone"], "gone does not exist"),
    (["coco", "--dataset", "."], "no annotations/instances_"),
])  # fmt: skip
def test_invalid_training_input_prints_one_line_and_exits_with_2(arguments, expected, capsys):
    code = main(["train", *arguments])
    message = capsys.readouterr().err
    if expected is None:
        assert code == 0 and message == ""
        return
    assert code == 2 and expected in message
    assert message.startswith("mrcnn train: error: ") and message.count("\n") == 1


@pytest.mark.parametrize("command", [
    ["train", "coco", "--dataset"], ["evaluate", "coco", "--weights", "last", "--dataset"],
    ["inspect", "data", "coco", "--dataset"], ["check"], ["view"], ["convert", "coco", "--output", "out.json"],
])  # fmt: skip
def test_images_option_with_a_folder_that_contains_its_images_is_an_error(command, capsys):
    _run("coco")
    assert main([*command, str(shared_path("data/tiny_coco")), "--images", "photographs"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "omit the folder of images, photographs (--images)" in message


# --- evaluate
def test_evaluation_uses_the_configuration_of_the_run_and_all_scores(capsys):
    checkpoint = _run("shapes", DETECTION_MIN_CONFIDENCE=0.9, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64)
    assert main(["evaluate", "shapes", "--weights", "last", "--limit", "7", "--output", "figures.json"]) == 0
    model = FakeModel.last
    assert model.mode == "inference" and model.loaded == (checkpoint, None)
    assert model.evaluated == (7, 7, 0.0)
    assert model.config.DETECTION_MIN_CONFIDENCE == 0 and model.config.IMAGE_MAX_DIM == 64
    printed = capsys.readouterr()
    assert "the table" in printed.out and Path("figures.json").exists() and printed.err == COMPILING_LINE


def test_evaluation_is_on_the_images_that_training_held_out(capsys):
    _run("labelme")
    Path("logs/labelme20260101T1200/validation.json").write_text(json.dumps(["labelme.3", "labelme.12"]))
    arguments = ["evaluate", "labelme", "--dataset", str(shared_path("data/fruits"))]
    assert main(arguments) == 0 and FakeModel.last.evaluated[0] == 2
    assert "Evaluating on the 2 of 18 images that training held out" in capsys.readouterr().out
    assert main([*arguments, "--subset", "all"]) == 0 and FakeModel.last.evaluated[0] == 18


def test_the_best_weights_are_the_default(capsys):
    checkpoint = _run("shapes")
    best = checkpoint.replace("0003", "best")
    Path(best).touch()
    assert main(["evaluate", "shapes"]) == 0 and FakeModel.last.loaded == (best, None)
    assert main(["evaluate", "shapes", "--weights", "last"]) == 0 and FakeModel.last.loaded == (checkpoint, None)
    _write_image("a.png")
    assert main(["predict", "a.png"]) == 0 and FakeModel.last.loaded == (best, None)
    assert main(["predict", "a.png", "--weights", str(Path(best).parent)]) == 0 and FakeModel.last.loaded == (best, None)


def test_evaluation_on_different_classes_is_an_error(capsys):
    _run("shapes", NUM_CLASSES=9)
    assert main(["evaluate", "shapes", "--weights", "last"]) == 2
    assert "NUM_CLASSES is 9" in capsys.readouterr().err


# --- predict
def _write_image(name):
    skimage.io.imsave(name, np.full((20, 30, 3), 90, np.uint8), check_contrast=False)


def test_prediction_uses_configuration_and_class_names_of_the_run(capsys):
    checkpoint = _run()
    _write_image("a.png")
    _write_image("b.png")
    assert main(["predict", "a.png", "b.png", "--weights", checkpoint, "--output", "out", "--min-score", "0.25"]) == 0
    printed = capsys.readouterr()
    assert printed.err == COMPILING_LINE
    model = FakeModel.last
    assert model.mode == "inference" and model.loaded == (checkpoint, None)
    assert model.config.DETECTION_MIN_CONFIDENCE == 0.25 and model.config.BACKBONE == "resnet50"
    rows = json.loads(Path("out/detections.json").read_text())
    assert [(row["file_name"], row["category"]) for row in rows] == [
        ("a.png", "ball"), ("a.png", "brick"), ("b.png", "ball"), ("b.png", "brick")]  # fmt: skip
    assert "pictures: 2, instances: 4, written to out" in printed.out


def test_unreadable_images_are_reported_and_the_exit_code_is_1(capsys):
    checkpoint = _run()
    _write_image("a.png")
    Path("broken.jpg").write_bytes(b"no picture")
    assert main(["predict", "broken.jpg", "a.png", "--weights", checkpoint]) == 1
    assert "skipped broken.jpg: " in capsys.readouterr().out
    assert Path("predictions/a_detections.jpg").exists()


@pytest.mark.parametrize("arguments, expected", [
    (["gone.png", "--weights", "last"], "gone.png: no such file or folder"),
    ([".", "--weights", "last"], "no pictures in this folder"),
    (["a.png", "--weights", "bare.h5"], "no config.json and no classes.json next to these weights: give --config FILE and"),
    (["a.png", "--weights", "gone.h5"], "gone.h5: no such weight file"),
])  # fmt: skip
def test_invalid_prediction_input_prints_one_line_and_exits_with_2(arguments, expected, capsys):
    if expected.startswith("no config") or "weight file" in expected:
        _write_image("a.png")
        Path("bare.h5").touch()
    assert main(["predict", *arguments]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.count("\n") == 1 and FakeModel.last is None


def test_validation_on_different_classes_is_an_error(tmp_path, capsys):
    for name, label in (("a", "ball"), ("b", "brick")):
        (tmp_path / name).mkdir()
        skimage.io.imsave(tmp_path / name / "1.png", np.zeros((20, 30, 3), np.uint8), check_contrast=False)
        shape = {"label": label, "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        (tmp_path / name / "1.json").write_text(json.dumps(
            {"shapes": [shape], "imagePath": "1.png", "imageHeight": 20, "imageWidth": 30}))
    arguments = ["train", "labelme", "--dataset", str(tmp_path / "a"), "--val-dataset", str(tmp_path / "b")]
    assert main(arguments) == 2
    assert "the training data have the classes ball, the validation data brick" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train", "coco"], ["evaluate", "coco", "--weights", "coco"]], ids=lambda words: words[0])
def test_json_file_without_its_images_asks_for_the_images_option(command, tmp_path, capsys):
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": [1, 1, 8, 8]}
    (tmp_path / "toys.json").write_text(json.dumps(
        {"images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}], "annotations": [annotation],
         "categories": [{"id": 1, "name": "ball"}]}))
    assert main([*command, "--dataset", "toys.json"]) == 2
    error = capsys.readouterr().err
    assert "none of its image files exists, such as a.png" in error and "--images DIR" in error and error.count("\n") == 1
    assert FakeModel.last is None
    (tmp_path / "elsewhere").mkdir()
    skimage.io.imsave(tmp_path / "elsewhere/a.png", np.zeros((20, 30, 3), np.uint8), check_contrast=False)
    main([*command, "--dataset", "toys.json", "--images", "elsewhere"])
    assert "image files" not in capsys.readouterr().err
