"""Names of checkpoints; a training state is restored into an equal optimizer and no other."""
import json

import h5py
import keras
import numpy as np
import pytest

from mrcnn.training.checkpoints import SaveEpoch, restore_state, save_state, training_stage
from mrcnn.training.optimizers import SGD
from mrcnn.weights import classic_h5


def _saving(folder, **kwargs):
    """A SaveEpoch of a model of one layer that writes to `folder`."""
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    model.compile("sgd", "mse")
    callback = SaveEpoch(str(folder / "mask_rcnn_toys_{epoch:04d}.h5"), folder / "state.h5",
                         training_stage(model), **kwargs)
    callback.set_model(model)
    return callback


@pytest.mark.parametrize("epoch", [0, 9999])
def test_a_checkpoint_counts_epochs_from_one(tmp_path, epoch):
    saved = []
    _saving(tmp_path, on_saved=saved.append).on_epoch_end(epoch)
    path = tmp_path / f"mask_rcnn_toys_{epoch + 1:04d}.h5"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "state.h5"] and saved == [epoch + 1]
    assert {tensor for _, tensor, _ in classic_h5.layout(path)} == {"dense/kernel:0", "dense/bias:0"}


def test_only_the_newest_checkpoints_of_the_callback_are_kept(tmp_path):
    callback = _saving(tmp_path, kept=2)
    (tmp_path / "mask_rcnn_toys_0001.h5").touch()  # of an earlier run
    for epoch in (1, 2, 3, 4):
        callback.on_epoch_begin(epoch)
        if epoch % 2:  # an epoch with validation, and one without
            callback.on_test_begin()
        callback.on_epoch_end(epoch)
    assert sorted(path.name[-7:] for path in tmp_path.glob("mask*")) == ["0001.h5", "0004.h5", "0005.h5"]


def _model(optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense", **kwargs)], name="model")
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _save(model, path, epoch=1):
    save_state(model, path, epoch, training_stage(model))


def _restore(model, path, epoch=1):
    return restore_state(model, path, epoch, training_stage(model))


def _trained(optimizer, **kwargs):
    model = _model(optimizer, **kwargs)
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    return model


def _state(model):
    return [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]


@pytest.mark.parametrize("kinds", [(keras.optimizers.SGD, SGD), (SGD, keras.optimizers.SGD), (SGD, SGD)])
def test_keras_sgd_and_ours_restore_each_others_state(kinds, tmp_path):
    before, after = kinds
    saved, model = _trained(before(0.1, momentum=0.9)), _model(after(0.1, momentum=0.9))
    _save(saved, tmp_path / "state.h5")
    assert _restore(model, tmp_path / "state.h5")
    assert any(np.any(values) for values in _state(model)[2:])
    for ours, theirs in zip(_state(model), _state(saved), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("other", [SGD(0.1, momentum=0.8), SGD(0.2, momentum=0.9), keras.optimizers.Adam(0.1)])
def test_another_optimizer_starts_afresh(other, tmp_path):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    assert not _restore(_model(other), tmp_path / "state.h5")


def test_a_loss_scale_optimizer_is_restored_in_the_same_process(tmp_path):
    policy = keras.DTypePolicy("mixed_float16")
    _save(_trained(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy), tmp_path / "state.h5")
    model = _model(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy)
    assert _restore(model, tmp_path / "state.h5")


def test_a_state_that_names_the_module_of_the_optimizer_is_restored(tmp_path):
    _save(_trained(keras.optimizers.SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        stage = json.loads(file.attrs["stage"])
        stage["optimizer"] |= {"module": "keras.optimizers", "registered_name": None}
        file.attrs["stage"] = json.dumps(stage, sort_keys=True)
    assert _restore(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")


def test_a_stage_that_cannot_be_read_raises_with_the_file(tmp_path):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        file.attrs["stage"] = "{"
    with pytest.raises(ValueError, match="state.h5.*Remove the file"):
        _restore(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")


def test_a_model_that_computes_in_bfloat16_is_restored(tmp_path):
    saved, model = (make(keras.optimizers.SGD(0.1, momentum=0.9), dtype="bfloat16") for make in (_trained, _model))
    assert any(v.dtype == "bfloat16" for v in saved.optimizer.variables)
    _save(saved, tmp_path / "state.h5")
    assert _restore(model, tmp_path / "state.h5")
    for ours, theirs in zip(_state(model), _state(saved), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(np.any(values) for values in _state(model)[2:])


@pytest.mark.parametrize("value", [np.ones((3, 1), np.float32), np.zeros((2, 1), "V2")], ids=["shape", "type"])
def test_a_state_that_does_not_fit_raises_with_the_file_and_changes_nothing(tmp_path, value):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        del file["2"]  # the momentum of the kernel, [2, 1]
        file["2"] = value
    model = _model(SGD(0.1, momentum=0.9))
    with pytest.raises(ValueError, match="state.h5.*kernel.*Remove the file"):
        _restore(model, tmp_path / "state.h5")
    assert not any(np.any(values) for values in (_state(model)[0], *_state(model)[2:]))  # all but the learning rate
