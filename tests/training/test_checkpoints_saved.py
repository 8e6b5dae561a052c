"""A finished epoch is saved before validation and the user's callbacks, which may fail."""
import h5py
import keras
import numpy as np
import pytest

from mrcnn.training import checkpoints
from mrcnn.training.checkpoints import restore_state, training_stage
from mrcnn.training.runs import read_history, state_path
from tests.training.small import shapes, small_model, weights_of

SETTINGS = {"STEPS_PER_EPOCH": 1, "SEED": 3, "VALIDATION_AP_EVERY": 1, "VALIDATION_AP_IMAGES": 1}
DATA, VALIDATION = shapes(4), shapes(2, seed=1)


class FailingCallback(keras.callbacks.Callback):
    """A user's callback that raises in one hook."""

    def __init__(self, hook):
        super().__init__()
        setattr(self, hook, self._fail)

    def _fail(self, *args, **kwargs):
        raise RuntimeError("no space left")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of three epochs."""
    model = small_model("training", tmp_path_factory.mktemp("uninterrupted"), **SETTINGS)
    model.train(DATA, VALIDATION, 0.01, 3, "heads")
    return model


@pytest.mark.parametrize("hook", ["on_test_begin", "on_epoch_end"])
@pytest.mark.tensorflow_only
def test_error_in_a_callback_does_not_lose_the_finished_epoch(tmp_path, hook):
    model = small_model("training", tmp_path, STEPS_PER_EPOCH=1)
    with pytest.raises(RuntimeError, match="no space left"):
        model.train(DATA, VALIDATION, 0.01, 2, "heads", custom_callbacks=[FailingCallback(hook)])
    assert model.epoch == 1 and model.find_last().endswith("_0001.h5")
    assert restore_state(model.keras_model, state_path(model.log_dir, 1), 1, training_stage(model.keras_model))


@pytest.mark.tensorflow_only
def test_error_in_validation_ap_is_raised_after_the_epoch_is_saved(tmp_path, uninterrupted, monkeypatch, capsys):
    model = small_model("training", tmp_path, **SETTINGS)
    evaluate = model.evaluate

    def broken(*args, **kwargs):
        if model.epoch == 2:
            raise RuntimeError("pycocotools failed")
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(model, "evaluate", broken)
    with pytest.raises(RuntimeError, match="pycocotools failed"):
        model.train(DATA, VALIDATION, 0.01, 3, "heads")
    rows = read_history(f"{model.log_dir}/history.csv")
    assert [row["epoch"] for row in rows] == [1, 2] and rows[1]["val_loss"] > 0
    assert "val_mask_AP" in rows[0] and "val_mask_AP" not in rows[1]
    model = small_model("training", tmp_path, **SETTINGS)
    model.load_weights(model.find_last(), by_name=True)
    assert model.train(DATA, VALIDATION, 0.01, 3, "heads").epoch == [2]
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    expected = weights_of(uninterrupted.keras_model)
    for name, value in weights_of(model.keras_model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_ap_is_in_the_history(uninterrupted):
    rows = read_history(f"{uninterrupted.log_dir}/history.csv")
    assert len(rows) == 3 and all({"val_mask_AP", "val_box_AP", "seconds", "loss", "val_loss"} <= set(row) for row in rows)


def test_state_is_written_once_per_epoch_and_validation_changes_no_weights(tmp_path, monkeypatch):
    written = []
    save = checkpoints.save_state
    monkeypatch.setattr(checkpoints, "save_state", lambda *args: (written.append(args[2]), save(*args)))
    weights = []
    for name, validation in (("with", VALIDATION), ("without", None)):
        model = small_model("training", tmp_path / name, STEPS_PER_EPOCH=1, SEED=3)
        model.train(DATA, validation, 0.01, 2, "heads")
        weights.append(weights_of(model.keras_model))
        with h5py.File(state_path(model.log_dir, 2)) as file:
            stored = [file[str(number)][()] for number in range(len(file) - 1)]  # without the rows of the history
        now = [keras.ops.convert_to_numpy(variable) for variable in checkpoints._state(model.keras_model)]
        for ours, theirs in zip(stored, now, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert written == [1, 2, 1, 2]
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], rtol=1e-6, atol=1e-7, err_msg=name)
