"""The optimizer that a configuration asks for."""
import keras
import numpy as np
import pytest

from mrcnn.engine.optimizers import SGD, make_optimizer
from tests.engine.small import small_config


def test_the_default_is_sgd_with_momentum_and_a_bound_on_the_whole_gradient():
    optimizer = make_optimizer(small_config(), 0.02, 0.8)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert (float(optimizer.learning_rate), optimizer.momentum, optimizer.global_clipnorm) == (
        pytest.approx(0.02), 0.8, 5.0)  # fmt: skip
    assert optimizer.clipnorm is None and optimizer.clipvalue is None


def test_the_bound_is_on_all_variables_together():
    optimizer = make_optimizer(small_config(GRADIENT_CLIP_NORM=5.0), 1.0, 0.0)
    variables = [keras.Variable(np.zeros(1, np.float32)) for _ in range(2)]
    optimizer.apply([keras.ops.convert_to_tensor([30.0]), keras.ops.convert_to_tensor([40.0])], variables)
    # the norm is 50, scaled to 5
    np.testing.assert_allclose([keras.ops.convert_to_numpy(v)[0] for v in variables], [-3, -4], rtol=1e-5)


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"momentum": 0.9, "global_clipnorm": 1.0}, {},
                                      {"momentum": 0.5, "nesterov": True}])  # fmt: skip
def test_steps_are_those_of_keras(settings):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    ended = []
    for kind in (SGD, keras.optimizers.SGD):
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.02])
        optimizer, variable = kind(rate, **settings), keras.Variable(start, dtype="float32")
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        ended.append([keras.ops.convert_to_numpy(v) for v in (variable, *optimizer.variables)])
    assert np.abs(ended[0][0] - start).max() > 0.1
    for ours, theirs in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_by_hand_momentum_goes_on():
    optimizer, variable = SGD(0.5, momentum=0.5), keras.Variable(np.float32([1.0]))
    for gradient in (2.0, -1.0):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [variable])
    # 1 - 0.5 * 2 = 0, then momentum 0.5 * -1 + 0.5 = 0
    assert [float(keras.ops.convert_to_numpy(v)[0]) for v in (variable, optimizer.momentums[0])] == [0.0, 0.0]


def test_a_saved_model_comes_back_with_it(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(SGD(0.1, momentum=0.9), "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(optimizer) is SGD and optimizer.momentum == 0.9
    for stored, now in zip(model.optimizer.momentums, optimizer.momentums, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(stored), keras.ops.convert_to_numpy(now))


@pytest.mark.parametrize("bound", [None, 0])
def test_no_bound(bound):
    assert make_optimizer(small_config(GRADIENT_CLIP_NORM=bound), 0.1, 0.9).global_clipnorm is None


def test_any_keras_optimizer_by_name():
    optimizer = make_optimizer(small_config(OPTIMIZER="adamw", GRADIENT_CLIP_NORM=2.0), 0.003, 0.9)
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert float(optimizer.learning_rate) == pytest.approx(0.003) and optimizer.global_clipnorm == 2.0


def test_a_schedule_is_taken_as_it_is():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.1, 0.01])
    for name in ("sgd", "adam"):
        optimizer = make_optimizer(small_config(OPTIMIZER=name), schedule, 0.9)
        assert float(optimizer.learning_rate) == pytest.approx(0.1)
        optimizer.iterations.assign(11)
        assert float(optimizer.learning_rate) == pytest.approx(0.01)


def test_a_callable_makes_its_own():
    def mine(learning_rate, config):
        return keras.optimizers.RMSprop(learning_rate * config.NUM_CLASSES)

    optimizer = make_optimizer(small_config(OPTIMIZER=staticmethod(mine)), 0.1, 0.9)
    assert isinstance(optimizer, keras.optimizers.RMSprop) and float(optimizer.learning_rate) == pytest.approx(0.4)


def test_an_unknown_name_is_told():
    with pytest.raises(ValueError, match="OPTIMIZER is 'adman'.*adamw"):
        make_optimizer(small_config(OPTIMIZER="adman"), 0.1, 0.9)
