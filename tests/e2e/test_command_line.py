"""The main commands with a real, tiny network: train, resume, evaluate, predict."""
import contextlib
import json
import os
import subprocess
import sys

import pytest
import skimage.io

from mrcnn.cli.main import main
from mrcnn.datasets.catalog import open_dataset
from mrcnn.geometry.rle import rle_area
from mrcnn.training.runs import read_history

TINY = ["--set", "IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64", "IMAGES_PER_GPU=2", "TOP_DOWN_PYRAMID_SIZE=16",
        "RPN_HEAD_CHANNELS=16", "MASK_HEAD_CHANNELS=16", "FPN_CLASSIF_FC_LAYERS_SIZE=16", "TRAIN_ROIS_PER_IMAGE=8",
        "PRE_NMS_LIMIT=100", "POST_NMS_ROIS_TRAINING=20", "POST_NMS_ROIS_INFERENCE=20", "DETECTION_MAX_INSTANCES=5",
        "VALIDATION_STEPS=1", "PASSES_PER_EPOCH=1"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of one epoch, resumed for another. Later steps run eagerly, as too few to be worth compiling."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("work")
    logs = ["--model-dir", str(folder / "logs")]
    with open(folder / "printed.txt", "w") as file, contextlib.redirect_stdout(file):
        assert main(["train", "shapes", "--count", "4", "--epochs", "1", *logs, *TINY]) == 0
        tf.config.run_functions_eagerly(True)
        print("resumed")
        assert main(["train", "shapes", "--count", "4", "--epochs", "2", "--weights", "last", *logs]) == 0
    yield folder
    tf.config.run_functions_eagerly(False)


def test_resumed_run_keeps_its_folder_and_configuration(folder):
    (run,) = (folder / "logs").iterdir()
    names = {path.name for path in run.iterdir()}
    assert {"mask_rcnn_shapes_0001.h5", "mask_rcnn_shapes_0002.h5", "config.json", "classes.json"} <= names
    assert json.loads((run / "classes.json").read_text()) == ["BG", "square", "circle", "triangle"]
    assert json.loads((run / "config.json").read_text())["MASK_HEAD_CHANNELS"] == 16


def test_a_run_begins_with_its_choices_and_ends_with_its_results(folder):
    first, resumed = (part.splitlines() for part in (folder / "printed.txt").read_text().split("resumed\n"))
    (run,) = (folder / "logs").iterdir()
    assert [line for line in first + resumed if len(line) > 80 and str(folder) not in line] == []
    names = [line.split(":")[0] for line in first if line[:1].isalpha() and ":  " in line]
    assert names == ["Device", "Images", "Classes", "Weights", "Network", "Images", "Anchors", "Batch", "Optimizer", "Augment",
                     "Layers", "Epochs", "Validation", "Best epoch", "Time", "Run folder", "Report"]  # fmt: skip
    assert "Images:      4 to train, 1 to validate (subset val)" in first
    assert any(line.startswith("Images:      resized to 64 x 64 pixels: as given") for line in first)
    assert any(line.startswith("Best epoch:  1 of 1, mask AP ") for line in first)
    assert any(line.split()[:1] == ["square"] or line.split()[:1] == ["circle"] or line.split()[:1] == ["triangle"]
               for line in first)  # fmt: skip
    commands = first[first.index("Next:") + 1 :]
    assert [line.split()[:2] for line in commands] == [["mrcnn", "predict"], ["mrcnn", "evaluate"], ["mrcnn", "train"]]
    assert all(f"--weights {run}" in line for line in commands) and commands[2].endswith("--epochs 2")
    # a resumed run chooses nothing
    assert not any(line.startswith("Network:") for line in resumed) and any(line.startswith("Best epoch:") for line in resumed)
    assert (run / "report.html").exists() and (run / "mask_rcnn_shapes_best.h5").exists()


@pytest.mark.tensorflow_only
def test_training_goes_on_although_its_output_is_no_longer_read(tmp_path):
    """`mrcnn train ... | head -1`, whose reader ends before the network is built."""
    arguments = ["train", "shapes", "--count", "4", "--epochs", "2", "--model-dir", str(tmp_path), *TINY]
    program = f"""
import tensorflow, sys
tensorflow.config.run_functions_eagerly(True)  # two steps are too few to be worth compiling
from mrcnn.cli.main import main
sys.exit(main({arguments!r}))"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(300) == 0
    (run,) = tmp_path.iterdir()
    names = {path.name for path in run.iterdir()}
    assert {"mask_rcnn_shapes_0002.h5", "mask_rcnn_shapes_best.h5", "training_state_0002.h5", "report.html"} <= names
    assert [row["epoch"] for row in read_history(run / "history.csv")] == [1, 2]


def test_evaluate_writes_metrics(folder, capsys):
    output = folder / "figures.json"
    assert main(["evaluate", "shapes", "--weights", "last", "--model-dir", str(folder / "logs"), "--limit", "3",
                 "--output", str(output)]) == 0  # fmt: skip
    text = capsys.readouterr().out
    assert all(word in text for word in ("mask", "box", "AP50", "square"))
    figures = json.loads(output.read_text())
    assert figures["info"]["images"] == 3 and 0 <= figures["metrics"]["mask_AP50"] <= 1


def test_predict_writes_pictures_json_and_labelme_files(folder, capsys):
    shapes = open_dataset(None, "shapes", "val", count=2, image_size=64)
    (folder / "in").mkdir()
    for i in range(2):
        skimage.io.imsave(folder / "in" / f"{i + 5}.png", shapes.load_image(i), check_contrast=False)
    assert main(["predict", str(folder / "in"), "--weights", "last", "--model-dir", str(folder / "logs"), "--output",
                 str(folder / "out"), "--min-score", "0", "--save-labelme"]) == 0  # fmt: skip
    assert {path.name for path in (folder / "out").iterdir()} == {
        "5_detections.jpg", "6_detections.jpg", "detections.csv", "detections.json", "labelme"}  # fmt: skip
    rows = json.loads((folder / "out" / "detections.json").read_text())
    assert {row["image_id"] for row in rows} <= {5, 6} and len(rows) <= 10
    for row in rows:
        assert row["segmentation"]["size"] == [64, 64] and row["category"] in ("square", "circle", "triangle")
    assert f"pictures: 2, instances: {len(rows)}, written to" in capsys.readouterr().out
    corrected = open_dataset(folder / "out" / "labelme")
    assert [info["id"] for info in corrected.image_info] == ["5", "6"] and corrected.skipped == []
    with_pixels = [row for row in rows if row["bbox"][2] * row["bbox"][3] and rle_area(row["segmentation"])]
    assert sum(len(corrected.load_mask(i)[1]) for i in corrected.image_ids) == len(with_pixels)
