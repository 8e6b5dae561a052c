"""Gradient accumulation: several batches to one update of the weights."""
import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.training.optimizers import batch_scaled_rate, make_optimizer
from mrcnn.training.weight_average import WeightAverage
from tests.training.small import shapes, small_config, small_model, to_numpy


@pytest.mark.parametrize(("values", "expected"), [
    # the mean of 1 and 3 is 2: 10 - 0.5 * 2; then the mean of 5 and 7 is 6: the momentum is 0.9 * -1 - 0.5 * 6
    ({}, [10, 9, 9, 9 - 3.9]),
    # the norm of the mean is clipped to 1: 10 - 0.5; then 0.9 * -0.5 - 0.5
    ({"GRADIENT_CLIP_NORM": 1.0}, [10, 9.5, 9.5, 9.5 - 0.95]),
    # 2 + 0.1 * 10 = 3: 10 - 0.5 * 3; then 6 + 0.85 = 6.85, and 0.9 * -1.5 - 0.5 * 6.85
    ({"WEIGHT_DECAY_KIND": "l2", "WEIGHT_DECAY": 0.1}, [10, 8.5, 8.5, 8.5 - 4.775]),
    # 10 * (1 - 0.05) - 1; then 8.5 * 0.95 - 3.9
    ({"WEIGHT_DECAY_KIND": "decoupled", "WEIGHT_DECAY": 0.1}, [10, 8.5, 8.5, 8.5 * 0.95 - 3.9])])  # fmt: skip
def test_updates_by_hand(values, expected):
    config = small_config(**{"GRADIENT_CLIP_NORM": None, **values, "GRADIENT_ACCUMULATION": 2})
    optimizer = make_optimizer(config, 0.5, 0.9)
    kernel = keras.Variable([[10.0]], name="kernel")
    optimizer.build([kernel])
    seen = []
    for gradient in (1.0, 3.0, 5.0, 7.0):
        optimizer.apply([ops.full((1, 1), gradient)], [kernel])
        seen.append(float(to_numpy(kernel.value)[0, 0]))
    assert seen == pytest.approx(expected)


def test_the_average_moves_when_the_weights_have_changed():
    variable = keras.Variable([0.0])
    average = WeightAverage([variable], 0.15, every=2)
    seen = []
    for value in (0.0, 0.0, 1.0, 1.0, 3.0):  # steps of a pair share the weights
        variable.assign([value])
        average.update()
        seen.append(float(to_numpy(average.values[0].value)[0]))
    # momentum 0.1, 0.15, 0.15, as if there were three steps
    assert seen == pytest.approx([0, 0, 0.85, 0.85, 2.6775])


def test_the_rate_is_scaled_to_the_images_of_an_update():
    config = small_config(LEARNING_RATE_BATCH=16, IMAGES_PER_GPU=2, GRADIENT_ACCUMULATION=4)
    assert batch_scaled_rate(config, 0.02) == pytest.approx(0.01)


def test_training_updates_in_every_second_step_and_resumes_in_between(tmp_path, capsys):
    settings = {"STEPS_PER_EPOCH": 1, "GRADIENT_ACCUMULATION": 2, "GT_BOXES_AS_ROIS": True, "EMA_MOMENTUM": 0.5}

    def train(folder, epochs, resume=False):
        model, seen = small_model("training", folder, **settings), []
        if resume:
            model.load_weights(model.find_last(), by_name=True)
        kernel = model.keras_model.get_layer("rpn_model").get_layer("rpn_class_raw").kernel
        watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(to_numpy(kernel.value).copy()))
        model.train(shapes(4), None, 0.01, epochs, "all", custom_callbacks=[watch])
        return seen, to_numpy(kernel.value)

    whole, last = train(tmp_path / "whole", 4)  # the weights before each of four steps
    np.testing.assert_array_equal(whole[0], whole[1])
    assert np.abs(whole[2] - whole[1]).max() > 0
    np.testing.assert_array_equal(whole[2], whole[3])
    train(tmp_path / "parts", 3)
    capsys.readouterr()
    rest, end = train(tmp_path / "parts", 4, resume=True)
    assert "The optimizer resumes from epoch 3." in capsys.readouterr().out
    np.testing.assert_allclose(rest[0], whole[3], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(end, last, rtol=1e-6, atol=1e-8)


def test_no_steps_are_an_error():
    with pytest.raises(ConfigError, match="GRADIENT_ACCUMULATION is 0: it must be a whole number of at least 1"):
        small_config(GRADIENT_ACCUMULATION=0).validate()
