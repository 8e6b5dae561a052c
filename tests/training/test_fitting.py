"""Two calls of `train`: epochs, history, frozen layers and files of the run."""
import csv
import json
import os

import keras
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.config_rules import LOSS_NAMES
from mrcnn.datasets.dataset import Dataset
from tests.training.small import shapes, small_model, weights_of


class RecordingCallback(keras.callbacks.Callback):
    """Records the epochs, logs and batches that a user's callback gets."""

    def __init__(self):
        super().__init__()
        self.epochs, self.logs, self.batches = [], [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.logs.append(dict(logs))


class TraceCounter(keras.callbacks.Callback):
    """Counts how often the losses have been traced at the end of each epoch. Compiled steps do not run their Python code."""

    def __init__(self, model):
        super().__init__()
        self.counts, self._traced, self._compute = [], 0, model.compute_loss
        model.compute_loss = self._count

    def _count(self, *args, **kwargs):
        self._traced += 1
        return self._compute(*args, **kwargs)

    def on_epoch_end(self, epoch, logs=None):
        self.counts.append(self._traced)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two calls of `train` on one model, and what was recorded."""
    folder = tmp_path_factory.mktemp("logs")
    model = small_model("training", folder, VALIDATION_AP_EVERY=1, VALIDATION_AP_IMAGES=2, TRAIN_BN=None)
    data, val = shapes(5), shapes(3, seed=1)  # the last batch of two is incomplete in both
    best = keras.callbacks.ModelCheckpoint(str(folder / "best.weights.h5"), monitor="val_mask_AP", mode="max",
                                           save_best_only=True, save_weights_only=True)
    runs = {"model": model, "folder": folder, "start": weights_of(model.keras_model),
            "seen": (RecordingCallback(), RecordingCallback()), "traces": TraceCounter(model.keras_model)}
    runs["first"] = model.train(data, val, 0.01, 1, "heads", custom_callbacks=[runs["seen"][0], best])
    runs["after_heads"] = weights_of(model.keras_model)
    runs["log_dir"] = model.log_dir
    runs["second"] = model.train(data, val, 0.001, 3, "4+", custom_callbacks=[runs["seen"][1], runs["traces"]])
    runs["end"] = weights_of(model.keras_model)
    return runs


def _changed(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_epochs_are_counted_from_the_start(runs):
    assert runs["seen"][0].epochs == [0] and runs["seen"][1].epochs == [1, 2]
    assert runs["first"].epoch == [0] and runs["second"].epoch == [1, 2]
    assert runs["model"].epoch == 3
    assert [seen.batches for seen in runs["seen"]] == [2, 4]  # STEPS_PER_EPOCH is 2; a pass has three


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch runs without compiling")
def test_losses_are_traced_in_the_first_epoch_only(runs):
    first, last = runs["traces"].counts
    assert first == last == 2 * 2  # one program for training and one for validation in each call of train


def test_history_has_all_training_and_validation_losses(runs):
    names = {"loss", *LOSS_NAMES, "positive_rois"}
    for history, epochs in ((runs["first"], 1), (runs["second"], 2)):
        assert names | {f"val_{name}" for name in names} <= set(history.history)
        assert {"val_mask_AP", "val_mask_AP50", "val_box_AP"} <= set(history.history)
        for name in names:
            assert len(history.history[name]) == len(history.history[f"val_{name}"]) == epochs
            assert np.isfinite(history.history[name]).all() and np.isfinite(history.history[f"val_{name}"]).all()


def test_logged_loss_is_the_sum_of_its_terms(runs):
    """The logged loss is the sum of the five losses and the L2 term, in both calls."""
    model = runs["model"]
    assert len(model.keras_model.loss_metrics) == 5
    for history in (runs["first"], runs["second"]):
        total = sum(history.history[name][-1] for name in LOSS_NAMES)
        rest = history.history["loss"][-1] - total
        assert 0 < rest < 0.01  # the L2 term: 1e-4 times the mean square of each tensor
    names = [metric.name for metric in model.keras_model.metrics]
    assert len(names) == len(set(names)) == 7


def test_stages_freeze_all_other_layers(runs):
    heads = _changed(runs["start"], runs["after_heads"])
    layers = {name.split("/")[0] for name in heads}
    assert layers and all(layer.startswith(("mrcnn_", "rpn_", "fpn_")) for layer in layers)
    assert {"mrcnn_class_bn1/moving_mean", "fpn_c2p2/kernel", "rpn_conv_shared/kernel", "fpn_p2/bias"} <= heads
    later = {name.split("/")[0] for name in _changed(runs["after_heads"], runs["end"])}
    assert {"res4a", "bn4a", "res5a", "bn5a", "fpn_p2", "rpn_class_raw"} <= later
    # BatchNorm of frozen stages keeps its statistics even with TRAIN_BN None
    assert not {"bn_conv1", "res2a", "bn2a", "res3a", "bn3a"} & later


def test_files_of_a_run_folder(runs):
    model = runs["model"]
    assert model.log_dir == runs["log_dir"] and os.path.dirname(model.log_dir) == str(runs["folder"])
    files = set(os.listdir(model.log_dir))
    assert {f"mask_rcnn_small_000{n}.h5" for n in (1, 2, 3)} <= files and {"config.json", "classes.json"} <= files
    with open(os.path.join(model.log_dir, "classes.json"), encoding="utf-8") as file:
        assert json.load(file) == ["BG", "square", "circle", "triangle"]
    with open(os.path.join(model.log_dir, "config.json"), encoding="utf-8") as file:
        assert json.load(file)["VALIDATION_AP_EVERY"] == 1
    with open(os.path.join(model.log_dir, "history.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"] and float(rows[2]["val_rpn_class_loss"]) > 0
    assert all(float(row["seconds"]) > float(row["seconds_per_step"]) > 0 for row in rows)
    assert all(float(row["images_per_second"]) == pytest.approx(2 / float(row["seconds_per_step"]), rel=0.01) for row in rows)
    with open(os.path.join(model.log_dir, "environment.json"), encoding="utf-8") as file:
        stages = json.load(file)
    assert [(s["first_epoch"], s["last_epoch"], s["layers"], s["learning_rate"]) for s in stages] == [
        (1, 1, "heads", "0.01"), (2, 3, "4+", "0.001")]  # fmt: skip
    assert stages[0]["backend"] == keras.backend.backend() and (stages[0]["images"], stages[0]["validation_images"]) == (5, 3)
    assert not [name for name in files if name.endswith(".part")]


def test_keras_checkpoint_may_monitor_the_ap(runs):
    assert "val_mask_AP" in runs["seen"][0].logs[0]
    assert (runs["folder"] / "best.weights.h5").exists()


def test_last_checkpoint_has_the_weights_and_resumes(runs, capsys):
    model = runs["model"]
    path = model.find_last()
    assert path == os.path.join(model.log_dir, "mask_rcnn_small_0003.h5")
    other = small_model("training", runs["folder"])
    other.load_weights(path, by_name=True)
    assert (other.epoch, other.log_dir) == (3, model.log_dir)
    found = weights_of(other.keras_model)
    assert found.keys() == runs["end"].keys() and not _changed(found, runs["end"])
    other.train(shapes(2), None, 0.01, 3, "all")  # 3 epochs are already trained
    assert "3 epochs have been trained" in capsys.readouterr().out
    assert other.epoch == 3 and not _changed(weights_of(other.keras_model), runs["end"])


def test_training_model_detects_with_its_current_weights(runs):
    model = runs["model"]
    images = [shapes(1, seed=2).load_image(0)]
    inference = small_model("inference", runs["folder"])
    inference.load_weights(model.find_last(), by_name=True)
    layers = [network.keras_model.get_layer("mrcnn_class_logits") for network in (model, inference)]
    weights = [layer.get_weights() for layer in layers]
    for layer, (kernel, bias) in zip(layers, weights, strict=True):  # without training, it may detect only background
        layer.set_weights([kernel, bias + np.array([0, 9, 0, 0], np.float32)])
    ours, theirs = model.detect(images)[0], inference.detect(images)[0]
    layers[0].set_weights(weights[0])
    np.testing.assert_array_equal(ours["rois"], theirs["rois"])
    np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)
    assert len(ours["rois"]) > 0


def test_invalid_calls_raise_before_training_starts(tmp_path):
    inference = small_model("inference", tmp_path)
    with pytest.raises(ValueError, match='mode "inference"'):
        inference.train(shapes(2), None, 0.01, 1, "heads")
    model = small_model("training", tmp_path)
    with pytest.raises(ValueError, match="matches no layer"):
        model.train(shapes(2), None, 0.01, 1, "res9.*")
    with pytest.raises(DataError, match="the training data set has no images"):
        model.train(type(shapes(1))(), None, 0.01, 1, "heads")
    class Misspelt(Dataset):
        def load_masks(self, image_id):
            """Is never called."""

    misspelt = Misspelt()
    misspelt.add_class("toys", 1, "ball")
    misspelt.add_image("toys", 1, None, height=64, width=64)
    misspelt.prepare()
    with pytest.raises(DataError, match="training data set is a Misspelt, which defines no load_mask"):
        model.train(misspelt, None, 0.01, 1, "heads")
    with pytest.raises(DataError, match="validation data set is a Misspelt"):
        model.train(shapes(2), misspelt, 0.01, 1, "heads")
    assert os.listdir(tmp_path) == []  # no run folder is created
    nameless = small_model("training", tmp_path, NAME=None)
    with pytest.raises(ValueError, match="NAME is not set"):
        nameless.train(shapes(2), None, 0.01, 1, "heads")


def test_folder_of_a_failed_run_is_removed_only_if_it_is_empty(tmp_path, monkeypatch):
    model = small_model("training", tmp_path)

    def full(self, path):
        assert os.path.isdir(os.path.dirname(path))
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(type(model.config), "save", full)
        with pytest.raises(OSError, match="no space left"):
            model.train(shapes(2), None, 0.01, 1, "heads")
    assert os.listdir(tmp_path) == []

    def broken(self, image_id):
        raise ValueError("no image")

    with monkeypatch.context() as patch:
        patch.setattr(type(shapes(1)), "load_image", broken)
        with pytest.raises(ValueError):
            model.train(shapes(2), None, 0.01, 1, "heads")
    assert os.path.exists(os.path.join(model.log_dir, "config.json")), os.listdir(tmp_path)
