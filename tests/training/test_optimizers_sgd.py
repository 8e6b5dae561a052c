"""Our SGD, which updates the momentum in place, takes the same steps as that of Keras on each backend."""
import keras
import numpy as np
import pytest

from mrcnn.training.optimizers import SGD

SETTINGS = [{"momentum": 0.9}, {"momentum": 0.9, "global_clipnorm": 1.0}, {}, {"momentum": 0.5, "nesterov": True}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_equal_those_of_keras(settings):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    results = []
    for kind in (SGD, keras.optimizers.SGD):
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.1, 0.02])
        optimizer, variable = kind(rate, **settings), keras.Variable(start, dtype="float32")
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        results.append([keras.ops.convert_to_numpy(v) for v in (variable, *optimizer.variables)])
    assert np.abs(results[0][0] - start).max() > 0.1
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2}, {"use_ema": True}], ids=str)
def test_fit_equals_that_of_keras(policy, settings):
    weights = []
    for kind in (SGD, keras.optimizers.SGD):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(8, "relu", dtype=policy), keras.layers.Dense(1, dtype=policy)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        optimizer = kind(0.1, momentum=0.9, **settings)
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer) if policy == "mixed_float16" else optimizer, "mse")
        x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
        initial = model.get_weights()
        model.fit(x, x.sum(1, keepdims=True), batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append([np.asarray(w, np.float32) for w in model.get_weights()])
    assert np.abs(weights[0][0] - np.asarray(initial[0], np.float32)).max() > 0.01
    for ours, theirs in zip(*weights, strict=True):
        # bfloat16 results are rounded differently
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=0.02 if policy == "bfloat16" else 1e-6)


def test_momentum_by_hand():
    optimizer, variable = SGD(0.5, momentum=0.5), keras.Variable(np.float32([1.0]))
    for gradient in (2.0, -2.0):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [variable])
    # 1 - 0.5 * 2 = 0; then momentum 0.5 * -1 + 0.5 * 2 = 0.5
    assert [float(keras.ops.convert_to_numpy(v)[0]) for v in (variable, optimizer.momentums[0])] == [0.5, 0.5]


@pytest.mark.tensorflow_only
def test_update_is_a_single_operation():
    import tensorflow as tf

    def operators(optimizer):
        variables = [keras.Variable(np.ones(3, np.float32)) for _ in range(2)]
        optimizer.build(variables)
        apply = tf.function(lambda gradients: optimizer.apply(gradients, variables))
        graph = apply.get_concrete_function([tf.TensorSpec([3])] * 2).graph
        return [op.type for op in graph.get_operations()]

    ours, theirs = (operators(kind(0.1, momentum=0.9)) for kind in (SGD, keras.optimizers.SGD))
    assert ours.count("ResourceApplyKerasMomentum") == 2 and "Mul" not in ours
    assert theirs.count("Mul") == 4  # two products per variable, which our optimizer avoids


@pytest.mark.tensorflow_only
def test_tensorflow_saves_the_optimizer(tmp_path):
    import tensorflow as tf

    variable, gradient = keras.Variable(np.float32([1.0])), keras.ops.convert_to_tensor([2.0])
    optimizer = SGD(0.5, momentum=0.5)
    optimizer.apply([gradient], [variable])
    path = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / "state"))
    optimizer.apply([gradient], [variable])
    tf.train.Checkpoint(optimizer=optimizer).restore(path).assert_consumed()
    assert keras.ops.convert_to_numpy(optimizer.momentums[0]).tolist() == [-1.0]  # -0.5 * 2 after the first step


@pytest.mark.tensorflow_only
def test_steps_under_a_distribution_strategy_equal_those_of_keras():
    import tensorflow as tf

    results = []
    for kind in (SGD, keras.optimizers.SGD):
        with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            model.compile(kind(0.1, momentum=0.9), "mse")
        model.fit(np.ones((8, 4), np.float32), np.ones((8, 1), np.float32), batch_size=4, epochs=2, verbose=0)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_saved_model_is_loaded_with_the_optimizer(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(SGD(0.1, momentum=0.9), "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(optimizer) is SGD and optimizer.momentum == 0.9
    for stored, now in zip(model.optimizer.momentums, optimizer.momentums, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(stored), keras.ops.convert_to_numpy(now))
