"""An interrupted run resumes after its last complete epoch, with the result of an uninterrupted run."""
import shutil

import keras
import numpy as np
import pytest

from mrcnn.training.checkpoints import restore_state, training_stage, why_not_restored
from mrcnn.training.runs import find_checkpoint, newest_checkpoint, read_history, state_path
from tests.training.small import shapes, small_model, weights_of

SETTINGS = {"STEPS_PER_EPOCH": 1, "SEED": 3}
DATA = shapes(4)


def _restore(model, path, epoch):
    return restore_state(model.keras_model, path, epoch, training_stage(model.keras_model))


def _reason(model, path, epoch):
    return why_not_restored(path, epoch, training_stage(model.keras_model))


def _trained(tmp_path, epochs, **kwargs):
    model = small_model("training", tmp_path, **SETTINGS)
    model.train(DATA, None, 0.01, epochs, "heads", **kwargs)
    return model


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of three epochs."""
    return _trained(tmp_path_factory.mktemp("uninterrupted"), 3)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was stopped in its third epoch."""
    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("interrupted")
    model = small_model("training", folder, **SETTINGS)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.train(DATA, None, 0.01, 3, "heads", custom_callbacks=[stop])
    return model, folder


def test_interrupted_run_keeps_its_complete_epochs(interrupted):
    model, _ = interrupted
    assert model.epoch == 2 and model.find_last().endswith("_0002.h5")


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(uninterrupted, interrupted, capsys):
    model = small_model("training", interrupted[1], **SETTINGS)
    model.load_weights(model.find_last(), by_name=True)
    assert model.train(DATA, None, 0.01, 3, "heads").epoch == [2]
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    ours, theirs = weights_of(model.keras_model), weights_of(uninterrupted.keras_model)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_renamed_run_with_a_truncated_checkpoint_resumes_from_the_previous_one(uninterrupted, tmp_path, capsys):
    folder = tmp_path / "archive" / "first try"
    shutil.copytree(uninterrupted.log_dir, folder)
    newest, before = (folder / f"mask_rcnn_small_000{epoch}.h5" for epoch in (3, 2))
    newest.write_bytes(newest.read_bytes()[:-100])
    model = small_model("training", tmp_path / "logs", **SETTINGS)
    with pytest.raises(ValueError, match=f"_0003.h5: not a complete .* of this run that is whole is {before}"):
        model.load_weights(newest, by_name=True)
    model.load_weights(find_checkpoint(str(folder), tmp_path), by_name=True)
    assert (model.epoch, model.log_dir) == (2, str(folder))
    model.train(DATA, None, 0.01, 3, "heads")
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    expected = weights_of(uninterrupted.keras_model)
    for name, value in weights_of(model.keras_model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)
    assert not (tmp_path / "logs").exists() and newest_checkpoint(folder) == newest
    assert [row["epoch"] for row in read_history(folder / "history.csv")] == [1, 2, 3]


def _halved(epoch, rate):
    return rate / 2


def test_run_with_a_learning_rate_callback_is_resumed(tmp_path, capsys):
    schedule = [keras.callbacks.LearningRateScheduler(_halved)]
    uninterrupted = _trained(tmp_path / "uninterrupted", 3, custom_callbacks=schedule)
    _trained(tmp_path / "resumed", 2, custom_callbacks=schedule)
    model = small_model("training", tmp_path / "resumed", **SETTINGS)
    model.load_weights(model.find_last(), by_name=True)
    model.train(DATA, None, 0.01, 3, "heads", custom_callbacks=schedule)
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    assert float(keras.ops.convert_to_numpy(model.keras_model.optimizer.learning_rate)) == pytest.approx(0.01 / 8)
    expected = weights_of(uninterrupted.keras_model)
    for name, value in weights_of(model.keras_model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_schedule_resumes_in_its_middle_and_begins_anew_with_more_epochs(tmp_path, capsys):
    def stage(folder, first, epochs):
        """Train from a checkpoint up to an epoch, or to the second of a new run; return the learning rate after each step."""
        settings = {**SETTINGS, "LEARNING_RATE_SCHEDULE": "cosine", "OPTIMIZER": "adam"}
        model = small_model("training", folder, **settings)
        if first:
            model.load_weights(model.find_last(), by_name=True)
        rates = []

        def end_epoch(epoch, logs):  # of one step; within an epoch, Keras on JAX attaches no optimizer
            rates.append(float(model.keras_model.optimizer.learning_rate))
            model.keras_model.stop_training = epoch == 1 and not first

        model.train(DATA, None, 0.01, epochs, "heads",
                    custom_callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)])  # fmt: skip
        return rates

    # four steps: half a cosine from 0.01 to 0.0001, read after each of them
    expected = [0.0001 + 0.0099 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(1, 5)]
    begun = stage(tmp_path, 0, 4)
    rest = stage(tmp_path, 2, 4)
    assert [*begun, *rest] == pytest.approx(expected)
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    again = stage(tmp_path, 4, 8)  # a stage of its own, of as many steps
    assert again == pytest.approx(expected)
    assert "The optimizer starts afresh: the number of epochs changed." in capsys.readouterr().out
    again = stage(tmp_path, 8, 10)  # two steps
    assert again == pytest.approx([0.0001 + 0.0099 / 2, 0.0001])
    assert "The optimizer starts afresh: the optimizer or its learning rate changed." in capsys.readouterr().out


def test_state_of_a_different_stage_is_not_restored(uninterrupted):
    path = state_path(uninterrupted.log_dir, 3)
    assert _restore(uninterrupted, path, 3)
    assert not _restore(uninterrupted, path, 2)  # the weights of a different epoch
    assert _reason(uninterrupted, path, 2) == f"{path.name} is of epoch 3"
    assert _reason(uninterrupted, path.with_name("gone"), 3) == "there is no gone"
    uninterrupted.compile(0.001, 0.9)
    assert not _restore(uninterrupted, path, 3)
    assert _reason(uninterrupted, path, 3) == "the optimizer or its learning rate changed"
    uninterrupted.compile(0.01, 0.9)
    assert not any(np.any(keras.ops.convert_to_numpy(v)) for v in uninterrupted.keras_model.optimizer.variables[2:])
    assert _restore(uninterrupted, path, 3)
    assert any(np.any(keras.ops.convert_to_numpy(v)) for v in uninterrupted.keras_model.optimizer.variables[2:])
    uninterrupted.set_trainable("rpn_.*", verbose=0)
    uninterrupted.compile(0.01, 0.9)
    assert not _restore(uninterrupted, path, 3)
    assert _reason(uninterrupted, path, 3) == "the trained layers changed"


def test_damaged_state_is_an_error(uninterrupted, tmp_path):
    (tmp_path / "state.h5").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="Remove the file"):
        _restore(uninterrupted, tmp_path / "state.h5", 3)
    assert not _restore(uninterrupted, tmp_path / "none", 3)
