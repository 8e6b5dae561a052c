"""Names of checkpoints. A training state is restored only into an equal optimizer."""
import contextlib
import json

import h5py
import keras
import numpy as np
import pytest

from mrcnn.io.hdf5 import seal
from mrcnn.training.checkpoints import SaveEpoch, restore_state, save_state, training_stage
from mrcnn.training.optimizers import SGD
from mrcnn.weights import classic_h5


def _saving(folder, **kwargs):
    """Return a SaveEpoch callback of a model with one layer that writes to `folder`."""
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    model.compile("sgd", "mse")
    callback = SaveEpoch(str(folder / "mask_rcnn_toys_{epoch:04d}.h5"), training_stage(model), **kwargs)
    callback.set_model(model)
    return callback


def _save_epochs(callback, epochs):
    for epoch in epochs:
        callback.on_epoch_begin(epoch)
        callback.on_train_batch_end(0, {"loss": float(epoch)})
        if epoch % 2:  # every second epoch has validation
            callback.on_test_begin()
        callback.on_epoch_end(epoch)


@pytest.mark.parametrize("epoch", [0, 9999])
def test_checkpoints_count_epochs_from_one(tmp_path, epoch):
    saved = []
    _saving(tmp_path, on_saved=saved.append).on_epoch_end(epoch)
    path = tmp_path / f"mask_rcnn_toys_{epoch + 1:04d}.h5"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / f"training_state_{epoch + 1:04d}.h5"] and saved == [epoch + 1]
    assert {tensor for _, tensor, _ in classic_h5.layout(path)} == {"dense/kernel:0", "dense/bias:0"}


def test_newest_checkpoints_of_the_run_are_kept_with_two_states(tmp_path):
    _save_epochs(_saving(tmp_path), (0, 1, 2, 3))  # epochs 1 to 4, before the run was resumed
    _save_epochs(_saving(tmp_path, kept=3), (4, 5))
    assert sorted(path.name[-7:] for path in tmp_path.glob("mask*")) == ["0004.h5", "0005.h5", "0006.h5"]
    assert sorted(path.name[-7:] for path in tmp_path.glob("training_state*")) == ["0005.h5", "0006.h5"]


def test_later_checkpoints_are_kept_when_an_earlier_one_is_resumed(tmp_path):
    _save_epochs(_saving(tmp_path), (0, 1, 2, 3))
    _save_epochs(_saving(tmp_path, kept=1), (1,))
    assert sorted(path.name[-7:] for path in tmp_path.glob("mask*")) == ["0002.h5", "0003.h5", "0004.h5"]


def test_state_and_history_are_written_before_the_checkpoint(tmp_path):
    seen = []

    def record(epoch, losses):
        seen.append((epoch, losses, sorted(path.name for path in tmp_path.iterdir())))

    _save_epochs(_saving(tmp_path, record=record), (0,))
    assert seen == [(0, {"loss": 0.0}, ["training_state_0001.h5"])]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, number):
    callback = _saving(tmp_path, kept=1)
    _save_epochs(callback, (0,))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    callback.model.get_layer("dense").set_weights([np.ones((2, 3)), np.array([1, number, 1])])
    with pytest.raises(classic_h5.WeightsError) as caught:
        _save_epochs(callback, (1,))
    assert str(caught.value) == (
        "epoch 2 is not saved: 1 of the 2 weight tensors hold NaN or infinite numbers, the first of them dense/bias: weights "
        f"like these detect nothing and are not saved. The checkpoint of epoch 1 is intact: {tmp_path}/mask_rcnn_toys_0001.h5.")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@contextlib.contextmanager
def _largest_file(size):
    """Make writes beyond `size` bytes of a file fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [1, 2048, 4096])
def test_full_disk_is_reported_and_keeps_the_saved_epochs(tmp_path, size):
    callback = _saving(tmp_path, kept=1)
    _save_epochs(callback, (0,))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with _largest_file(size), pytest.raises(OSError) as caught:
        _save_epochs(callback, (1,))
    message = str(caught.value)
    assert message.startswith(f"epoch 2 is not saved: cannot write {tmp_path}/training_state_0002.h5: File too large. The file "
                              "needs 0.0 MiB. The disk has ")
    assert message.endswith(f"The checkpoint of epoch 1 is intact: {tmp_path}/mask_rcnn_toys_0001.h5.")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    _save_epochs(callback, (1,))  # succeeds with enough space
    assert (tmp_path / "mask_rcnn_toys_0002.h5").exists()


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
def test_state_is_exchanged_between_keras_sgd_and_ours(kinds, tmp_path):
    before, after = kinds
    saved, model = _trained(before(0.1, momentum=0.9)), _model(after(0.1, momentum=0.9))
    _save(saved, tmp_path / "state.h5")
    assert _restore(model, tmp_path / "state.h5")
    assert any(np.any(values) for values in _state(model)[2:])
    for ours, theirs in zip(_state(model), _state(saved), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("other", [SGD(0.1, momentum=0.8), SGD(0.2, momentum=0.9), keras.optimizers.Adam(0.1)])
def test_state_of_a_different_optimizer_is_not_restored(other, tmp_path):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    assert not _restore(_model(other), tmp_path / "state.h5")


def test_loss_scale_optimizer_is_restored_in_the_same_process(tmp_path):
    policy = keras.DTypePolicy("mixed_float16")
    _save(_trained(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy), tmp_path / "state.h5")
    model = _model(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy)
    assert _restore(model, tmp_path / "state.h5")


def test_state_with_the_module_of_the_optimizer_is_restored(tmp_path):
    _save(_trained(keras.optimizers.SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        stage = json.loads(file.attrs["stage"])
        stage["optimizer"] |= {"module": "keras.optimizers", "registered_name": None}
        file.attrs["stage"] = json.dumps(stage, sort_keys=True)
        seal(file)
    assert _restore(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")


def test_unreadable_stage_is_reported_with_the_file(tmp_path):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        file.attrs["stage"] = "{"
        seal(file)
    with pytest.raises(ValueError, match="state.h5.*Remove the file"):
        _restore(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")


def test_state_in_bfloat16_is_restored(tmp_path):
    saved, model = (make(keras.optimizers.SGD(0.1, momentum=0.9), dtype="bfloat16") for make in (_trained, _model))
    assert any(v.dtype == "bfloat16" for v in saved.optimizer.variables)
    _save(saved, tmp_path / "state.h5")
    assert _restore(model, tmp_path / "state.h5")
    for ours, theirs in zip(_state(model), _state(saved), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(np.any(values) for values in _state(model)[2:])


@pytest.mark.parametrize("value", [np.ones((3, 1), np.float32), np.zeros((2, 1), "V2")], ids=["shape", "type"])
def test_state_that_does_not_fit_is_an_error_and_changes_nothing(tmp_path, value):
    _save(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5")
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        del file["2"]  # the momentum of the kernel, [2, 1]
        file["2"] = value
        seal(file)
    model = _model(SGD(0.1, momentum=0.9))
    with pytest.raises(ValueError, match="state.h5.*kernel.*Remove the file"):
        _restore(model, tmp_path / "state.h5")
    assert not any(np.any(values) for values in (_state(model)[0], *_state(model)[2:]))  # all but the learning rate
