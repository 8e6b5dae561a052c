"""The state of an optimizer is taken up by one that does the same, and by no other."""
import json

import h5py
import keras
import numpy as np
import pytest

from mrcnn.training.optimizers import SGD
from mrcnn.training.resume import restore_state, save_state


def _model(optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense", **kwargs)], name="model")
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _trained(optimizer, **kwargs):
    model = _model(optimizer, **kwargs)
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    return model


def _state(model):
    return [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]


@pytest.mark.parametrize("kinds", [(keras.optimizers.SGD, SGD), (SGD, keras.optimizers.SGD), (SGD, SGD)])
def test_plain_and_own_gradient_descent_go_on_from_each_other(kinds, tmp_path):
    before, after = kinds
    saved, model = _trained(before(0.1, momentum=0.9)), _model(after(0.1, momentum=0.9))
    save_state(saved, tmp_path / "state.h5", 1)
    assert restore_state(model, tmp_path / "state.h5", 1)
    assert any(np.any(values) for values in _state(model)[2:])
    for ours, theirs in zip(_state(model), _state(saved), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("other", [SGD(0.1, momentum=0.8), SGD(0.2, momentum=0.9), keras.optimizers.Adam(0.1)])
def test_another_optimizer_starts_anew(other, tmp_path):
    save_state(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5", 1)
    assert not restore_state(_model(other), tmp_path / "state.h5", 1)


def test_a_scaled_loss_goes_on_in_the_same_process(tmp_path):
    policy = keras.DTypePolicy("mixed_float16")
    save_state(_trained(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy), tmp_path / "state.h5", 1)
    model = _model(keras.optimizers.LossScaleOptimizer(SGD(0.1, momentum=0.9)), dtype=policy)
    assert restore_state(model, tmp_path / "state.h5", 1)


def test_a_file_that_names_where_the_class_comes_from_is_read(tmp_path):
    save_state(_trained(keras.optimizers.SGD(0.1, momentum=0.9)), tmp_path / "state.h5", 1)
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        stage = json.loads(file.attrs["stage"])
        stage["optimizer"] |= {"module": "keras.optimizers", "registered_name": None}
        file.attrs["stage"] = json.dumps(stage, sort_keys=True)
    assert restore_state(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5", 1)


def test_a_stage_that_cannot_be_read_is_told_with_the_file(tmp_path):
    save_state(_trained(SGD(0.1, momentum=0.9)), tmp_path / "state.h5", 1)
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        file.attrs["stage"] = "{"
    with pytest.raises(ValueError, match="state.h5.*remove it"):
        restore_state(_model(SGD(0.1, momentum=0.9)), tmp_path / "state.h5", 1)
