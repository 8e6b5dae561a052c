"""An interrupted run resumes after its last complete epoch, as if it had not been interrupted."""
import keras
import numpy as np
import pytest

from mrcnn.training.checkpoints import restore_state, training_stage
from mrcnn.training.runs import state_path
from tests.training.small import shapes, small_model, weights_of

SETTINGS = {"STEPS_PER_EPOCH": 1, "SEED": 3}
DATA = shapes(4)


def _restore(model, path, epoch):
    return restore_state(model.keras_model, path, epoch, training_stage(model.keras_model))


def _trained(tmp_path, epochs, **kwargs):
    model = small_model("training", tmp_path, **SETTINGS)
    model.train(DATA, None, 0.01, epochs, "heads", **kwargs)
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs."""
    return _trained(tmp_path_factory.mktemp("whole"), 3)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run whose user stopped it in its third epoch."""
    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("interrupted")
    model = small_model("training", folder, **SETTINGS)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.train(DATA, None, 0.01, 3, "heads", custom_callbacks=[stop])
    return model, folder


def test_an_interrupted_run_keeps_its_whole_epochs(interrupted):
    model, _ = interrupted
    assert model.epoch == 2 and model.find_last().endswith("_0002.h5")


def test_a_resumed_run_reaches_the_weights_of_an_uninterrupted_one(whole, interrupted, capsys):
    model = small_model("training", interrupted[1], **SETTINGS)
    model.load_weights(model.find_last(), by_name=True)
    assert model.train(DATA, None, 0.01, 3, "heads").epoch == [2]
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    ours, theirs = weights_of(model.keras_model), weights_of(whole.keras_model)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-6, atol=1e-7, err_msg=name)


def _halved(epoch, rate):
    return rate / 2


def test_a_run_whose_learning_rate_a_callback_changes_is_resumed(tmp_path, capsys):
    schedule = [keras.callbacks.LearningRateScheduler(_halved)]
    whole = _trained(tmp_path / "whole", 3, custom_callbacks=schedule)
    _trained(tmp_path / "part", 2, custom_callbacks=schedule)
    model = small_model("training", tmp_path / "part", **SETTINGS)
    model.load_weights(model.find_last(), by_name=True)
    model.train(DATA, None, 0.01, 3, "heads", custom_callbacks=schedule)
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    assert float(keras.ops.convert_to_numpy(model.keras_model.optimizer.learning_rate)) == pytest.approx(0.01 / 8)
    expected = weights_of(whole.keras_model)
    for name, value in weights_of(model.keras_model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_another_stage_starts_with_a_fresh_optimizer(whole):
    path = state_path(whole.log_dir, 3)
    assert _restore(whole, path, 3)
    assert not _restore(whole, path, 2)  # the weights of another epoch
    whole.compile(0.001, 0.9)
    assert not _restore(whole, path, 3)
    whole.compile(0.01, 0.9)
    assert not any(np.any(keras.ops.convert_to_numpy(v)) for v in whole.keras_model.optimizer.variables[2:])
    assert _restore(whole, path, 3)
    assert any(np.any(keras.ops.convert_to_numpy(v)) for v in whole.keras_model.optimizer.variables[2:])
    whole.set_trainable("rpn_.*", verbose=0)
    whole.compile(0.01, 0.9)
    assert not _restore(whole, path, 3)


def test_a_damaged_state_raises(whole, tmp_path):
    (tmp_path / "state.h5").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="Remove the file"):
        _restore(whole, tmp_path / "state.h5", 3)
    assert not _restore(whole, tmp_path / "none", 3)
