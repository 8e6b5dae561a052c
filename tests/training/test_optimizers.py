"""The optimizer of a configuration."""
import keras
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.training.optimizers import SGD, StepDecay, batch_scaled_rate, make_optimizer, scheduled_rate
from tests.training.small import shapes, small_config, small_model


def test_default_is_sgd_with_momentum_and_global_clipping():
    optimizer = make_optimizer(small_config(), 0.02, 0.8)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert isinstance(optimizer, SGD) == (keras.backend.backend() == "tensorflow")
    assert (float(optimizer.learning_rate), optimizer.momentum, optimizer.global_clipnorm) == (
        pytest.approx(0.02), 0.8, 5.0)  # fmt: skip
    assert optimizer.clipnorm is None and optimizer.clipvalue is None


@pytest.mark.parametrize("number", [0, 1, np.float32(0.5)])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_learning_rate_and_momentum_may_be_any_number(name, number):
    optimizer = make_optimizer(small_config(OPTIMIZER=name), number, number)
    assert float(optimizer.learning_rate) == number and getattr(optimizer, "momentum", number) == number


def test_gradient_is_clipped_by_the_norm_of_all_variables():
    optimizer = make_optimizer(small_config(GRADIENT_CLIP_NORM=5.0), 1.0, 0.0)
    variables = [keras.Variable(np.zeros(1, np.float32)) for _ in range(2)]
    optimizer.apply([keras.ops.convert_to_tensor([30.0]), keras.ops.convert_to_tensor([40.0])], variables)
    # the norm is 50, scaled to 5
    np.testing.assert_allclose([keras.ops.convert_to_numpy(v)[0] for v in variables], [-3, -4], rtol=1e-5)


@pytest.mark.parametrize("bound", [None, 0])
def test_gradient_is_not_clipped(bound):
    assert make_optimizer(small_config(GRADIENT_CLIP_NORM=bound), 0.1, 0.9).global_clipnorm is None


def test_any_keras_optimizer_by_name():
    optimizer = make_optimizer(small_config(OPTIMIZER="adamw", GRADIENT_CLIP_NORM=2.0), 0.003, 0.9)
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert float(optimizer.learning_rate) == pytest.approx(0.003) and optimizer.global_clipnorm == 2.0


def test_learning_rate_schedule_is_used():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.1, 0.01])
    for name in ("sgd", "adam"):
        optimizer = make_optimizer(small_config(OPTIMIZER=name), schedule, 0.9)
        assert float(optimizer.learning_rate) == pytest.approx(0.1)
        optimizer.iterations.assign(11)
        assert float(optimizer.learning_rate) == pytest.approx(0.01)


def test_callable_returns_the_optimizer():
    def rmsprop(learning_rate, config):
        return keras.optimizers.RMSprop(learning_rate * config.NUM_CLASSES)

    optimizer = make_optimizer(small_config(OPTIMIZER=staticmethod(rmsprop)), 0.1, 0.9)
    assert isinstance(optimizer, keras.optimizers.RMSprop) and float(optimizer.learning_rate) == pytest.approx(0.4)


def test_unknown_optimizer_is_an_error():
    with pytest.raises(ValueError, match="OPTIMIZER is 'adman'.*adamw"):
        make_optimizer(small_config(OPTIMIZER="adman"), 0.1, 0.9)


def test_a_cosine_rises_from_a_twentieth_and_falls_to_a_hundredth():
    config = small_config(LEARNING_RATE_SCHEDULE="cosine", LEARNING_RATE_WARMUP=50)
    rate = scheduled_rate(config, 0.2, 100)  # the warm-up is a tenth of the steps
    values = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    # half-way through the 90 steps of the cosine, half-way between 0.2 and 0.002
    assert values == pytest.approx([0.01, 0.105, 0.2, 0.101, 0.002])
    assert float(scheduled_rate(config, 0.2, 4)(0)) == pytest.approx(0.2), "too few steps for a warm-up"


def test_a_constant_rate_and_a_schedule_of_the_user_stay():
    own = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert scheduled_rate(small_config(), 0.1, 100) == 0.1
    assert scheduled_rate(small_config(LEARNING_RATE_SCHEDULE="cosine"), own, 100) is own


def _rates(rate, *steps):
    return [float(rate(step)) for step in steps]


def test_steps_at_fractions_of_the_run():
    config = small_config(LEARNING_RATE_SCHEDULE="step", LEARNING_RATE_WARMUP=4, LEARNING_RATE_WARMUP_FACTOR=0.2)
    rate = scheduled_rate(config, 0.5, 90, epochs=9)
    # from 0.2 * 0.5 = 0.1 to 0.5 in four steps, a tenth from 60 on and a hundredth from 80 on
    assert _rates(rate, 0, 1, 2, 4, 59, 60, 79, 80, 90) == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_steps_at_epochs():
    config = small_config(LEARNING_RATE_SCHEDULE="step", LEARNING_RATE_STEPS=(8, 1), LEARNING_RATE_WARMUP=0)
    rate = scheduled_rate(config, 1, 90, epochs=9)
    assert _rates(rate, 0, 9, 10, 79, 80) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_no_steps_are_a_constant_rate_after_the_warm_up():
    config = small_config(LEARNING_RATE_SCHEDULE="step", LEARNING_RATE_STEPS=(), LEARNING_RATE_WARMUP=50)
    assert _rates(scheduled_rate(config, 0.2, 100), 0, 5, 10, 99) == pytest.approx([0.01, 0.105, 0.2, 0.2])


def test_a_step_schedule_is_serialised_with_its_optimizer():
    optimizer = keras.optimizers.SGD(StepDecay(0.5, [60, 20], 4, 0.2))
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    for steps, expected in ((1, 0.2), (20, 0.05), (60, 0.005)):
        copy.iterations.assign(steps)
        assert float(copy.learning_rate) == pytest.approx(expected)


def test_a_cosine_rises_from_the_factor():
    config = small_config(LEARNING_RATE_SCHEDULE="cosine", LEARNING_RATE_WARMUP_FACTOR=0.0)
    assert _rates(scheduled_rate(config, 0.2, 100), 0, 5, 10) == pytest.approx([0, 0.1, 0.2])


def test_a_rate_is_scaled_to_the_batch():
    own = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    config = small_config(LEARNING_RATE_BATCH=16, IMAGES_PER_GPU=2, GPU_COUNT=4)
    assert batch_scaled_rate(config, 0.02) == pytest.approx(0.01)  # 8 images
    assert batch_scaled_rate(config, own) is own
    assert batch_scaled_rate(small_config(), 0.02) == 0.02


@pytest.mark.parametrize("values", [
    {"LEARNING_RATE_STEPS": 0.5}, {"LEARNING_RATE_STEPS": (0, 0.5)}, {"LEARNING_RATE_STEPS": None}, {"LEARNING_RATE_BATCH": 0},
    {"LEARNING_RATE_WARMUP_FACTOR": 1.5}])  # fmt: skip
def test_invalid_schedules(values):
    with pytest.raises(ConfigError, match=f"{next(iter(values))} is "):
        small_config(**values).validate()


def test_training_follows_the_scaled_schedule(tmp_path, capsys):
    rates = []
    model = small_model("training", tmp_path, LEARNING_RATE_SCHEDULE="step", LEARNING_RATE_STEPS=(0.5, 3), STEPS_PER_EPOCH=1,
                        LEARNING_RATE_BATCH=4)  # fmt: skip
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(float(model.keras_model.optimizer.learning_rate)))
    model.train(shapes(4), None, 0.01, 4, "heads", custom_callbacks=[watch])
    printed = capsys.readouterr().out  # in lines that a terminal of 80 columns holds
    assert "\nEpochs 1 to 4, learning rate 0.005\nSteps per epoch: 1 (of 2 in a pass; STEPS_PER_EPOCH)\n" in printed
    # read after each of four steps: the rates of steps 1 to 4
    assert rates == pytest.approx([0.005, 0.0005, 0.00005, 0.00005])
