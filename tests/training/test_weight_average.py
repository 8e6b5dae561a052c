"""The moving average of the weights: its numbers, when the model holds it, and what is saved and restored."""
import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.training.checkpoints import SaveEpoch, training_stage
from mrcnn.training.weight_average import WeightAverage, ramp, start_average
from mrcnn.weights.classic_h5 import WeightsError
from tests.training.small import shapes, small_config, small_model, weights_of

SETTINGS = {"STEPS_PER_EPOCH": 1, "SEED": 3, "TRAIN_BN": None, "GT_BOXES_AS_ROIS": True}
DATA = shapes(4)
RATE = 0.01


def _value(variable):
    return np.array(ops.convert_to_numpy(variable))


def test_the_momentum_rises_to_its_final_value():
    # (1 + step) / (10 + step): 1/10, 2/11, 11/20, 101/110 and then the final value
    np.testing.assert_allclose([float(ramp(0.998, step)) for step in (0, 1, 10, 100, 10_000)],
                               [0.1, 2 / 11, 0.55, 101 / 110, 0.998], rtol=1e-6)  # fmt: skip


def test_average_of_three_steps():
    variable = keras.Variable([0.0, 10.0])
    average = WeightAverage([variable], 0.15)
    for value in ([0.0, 10.0], [1.0, 10.0], [3.0, 30.0]):
        variable.assign(value)
        average.update()
    # momentum 0.1, 0.15, 0.15: 0 -> 0.85 * 1 = 0.85 -> 0.15 * 0.85 + 0.85 * 3 = 2.6775; 10 -> 10 -> 1.5 + 25.5 = 27
    np.testing.assert_allclose(_value(average.values[0]), [2.6775, 27.0], rtol=1e-6)
    assert int(average.steps) == 3


def test_the_variables_hold_the_average_only_while_it_is_in_use():
    variable = keras.Variable([1.0])
    average = WeightAverage([variable], 0.5)
    average.use(False)
    variable.assign([5.0])
    for _ in range(2):
        average.use(True)
        assert (_value(variable), _value(average.values[0])) == (1, 5)
    average.use(False)
    assert (_value(variable), _value(average.values[0])) == (5, 1)


def test_frozen_layers_are_left_out_and_batch_norm_statistics_are_not(tmp_path):
    model = small_model("training", tmp_path)
    model.set_trainable("mrcnn_.*|bn5a", verbose=0)
    names = {v.path for v in start_average(model.keras_model, 0.5).variables}
    assert {"bn5a/moving_mean", "bn5a/moving_variance", "bn5a/gamma"} <= names
    assert not any(name.startswith(("res", "rpn", "fpn")) for name in names)


def _train(folder, epochs, callbacks=(), **values):
    model = small_model("training", folder, **{**SETTINGS, "EMA_MOMENTUM": 0.15, **values})
    if epochs > 2 and callbacks == "resume":
        model.load_weights(model.find_last(), by_name=True)
        callbacks = ()
    model.train(DATA, DATA, RATE, epochs, "all", custom_callbacks=list(callbacks))
    return model


KERNEL, MEAN = "mrcnn_class_logits", "bn5a"


def _kernel_and_mean(model):
    return {name: _value(model.get_layer(name).weights[0 if name == KERNEL else 2]) for name in (KERNEL, MEAN)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three epochs of a step: the model, and weights in training and averaged ones of each epoch."""
    begun, ended, tested = [], [], []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append(_kernel_and_mean(watch.model)),
        on_test_begin=lambda logs: tested.append(_kernel_and_mean(watch.model)),
        on_epoch_end=lambda epoch, logs: ended.append(_kernel_and_mean(watch.model)))  # fmt: skip
    return _train(tmp_path_factory.mktemp("run"), 3, [watch]), begun, ended, tested


def test_weights_and_statistics_of_a_run_are_averaged(run):
    model, begun, ended, _ = run
    weights = [row[KERNEL] for row in begun]  # before each step; 0.1 of the first, twice the same
    second = 0.15 * weights[0] + 0.85 * weights[1]
    np.testing.assert_allclose(ended[1][KERNEL], second, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(ended[2][KERNEL], 0.15 * second + 0.85 * weights[2], rtol=1e-5, atol=1e-8)
    assert np.abs(ended[2][KERNEL] - weights[2]).max() > 1e-6
    # a step updates the statistics before the average
    first = 0.1 * begun[0][MEAN] + 0.9 * begun[1][MEAN]
    np.testing.assert_allclose(ended[1][MEAN], 0.15 * first + 0.85 * begun[2][MEAN], rtol=1e-5, atol=1e-8)


def test_validation_checkpoints_and_detection_use_the_average(run, tmp_path):
    model, _, ended, tested = run
    for during, after in zip(tested, ended, strict=True):
        np.testing.assert_array_equal(during[KERNEL], after[KERNEL])
    np.testing.assert_array_equal(_kernel_and_mean(model.keras_model)[KERNEL], ended[2][KERNEL])
    saved = small_model("inference", tmp_path)
    saved.load_weights(model.checkpoint_path.format(epoch=3), by_name=True)
    np.testing.assert_array_equal(_kernel_and_mean(saved.keras_model)[KERNEL], ended[2][KERNEL])
    assert model.keras_model.average is None


def test_a_resumed_run_goes_on_with_the_weights_in_training(run, tmp_path, capsys):
    _train(tmp_path, 2)
    capsys.readouterr()
    resumed = _train(tmp_path, 3, "resume")
    assert "The optimizer resumes from epoch 2." in capsys.readouterr().out
    expected = weights_of(run[0].keras_model)
    for name, value in weights_of(resumed.keras_model).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_run_without_an_average_does_not_restore_the_state_of_one_with_it(tmp_path, capsys):
    _train(tmp_path, 2)
    model = _train(tmp_path, 3, "resume", EMA_MOMENTUM=None)
    assert "The optimizer starts afresh: EMA_MOMENTUM changed." in capsys.readouterr().out
    assert model.epoch == 3


def test_weights_in_training_that_are_not_finite_are_not_saved(tmp_path):
    model = small_model("training", tmp_path, EMA_MOMENTUM=0.5)
    model.compile(RATE, 0.9)
    keras_model = model.keras_model
    keras_model.average = start_average(keras_model, 0.5)
    keras_model.average.values[0].assign(np.full(keras_model.average.values[0].shape, np.nan))
    callback = SaveEpoch(str(tmp_path / "mask_rcnn_small_{epoch:04d}.h5"), training_stage(keras_model))
    callback.set_model(keras_model)
    with pytest.raises(WeightsError, match="epoch 1 is not saved: the weights .* became NaN or infinite in the last step"):
        callback.on_epoch_end(0)
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize("momentum", [0, 1, -0.5, "0.9", True])
def test_momentum_out_of_range(momentum):
    with pytest.raises(ConfigError, match=f"EMA_MOMENTUM is {momentum!r}: it must be a number above 0 and below 1"):
        small_config(EMA_MOMENTUM=momentum).validate()
