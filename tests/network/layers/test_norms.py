"""TRAIN_BN selects the statistics for normalisation, regardless of the mode of the surrounding model."""
import keras
import numpy as np
import pytest

from mrcnn.network.layers.norms import BatchNorm, convolve_and_normalise
from mrcnn.network.mask_rcnn import NetworkModel
from tests.network.gradients import loss_and_gradient

# Two rows with mean 3 and variance 1, normalised by 1 / sqrt(1.001) because epsilon is 1e-3.
X = np.array([[2.0], [4.0]], np.float32)
BY_BATCH = np.array([[-1.0], [1.0]]) / np.sqrt(1.001)
BY_MOVING = X / np.sqrt(1.001)  # the moving statistics start at mean 0, variance 1


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _model(train_bn):
    """Return a functional model of one layer, and the layer."""
    image = keras.Input((1,))
    layer = BatchNorm(momentum=0.9)
    return keras.Model(image, layer(image, training=train_bn)), layer


@pytest.mark.parametrize("train_bn, training, expected, moving_mean", [
    (None, False, BY_MOVING, 0.0),
    (None, True, BY_BATCH, 0.3),  # 0.9 * 0 + 0.1 * 3
    (False, False, BY_MOVING, 0.0),
    (False, True, BY_MOVING, 0.0),
    (True, False, BY_BATCH, 0.3),
    (True, True, BY_BATCH, 0.3),
])  # fmt: skip
def test_train_bn_selects_the_statistics_of_a_functional_model(train_bn, training, expected, moving_mean):
    model, layer = _model(train_bn)
    np.testing.assert_allclose(_numpy(model(X, training=training)), expected, atol=1e-5)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [moving_mean], atol=1e-6)


@pytest.mark.parametrize("train_bn", [None, False])
def test_fit_updates_the_statistics_only_if_they_are_trained(train_bn):
    model, layer = _model(train_bn)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.fit(X, np.zeros_like(X), batch_size=2, verbose=0)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [0.3 if train_bn is None else 0.0], atol=1e-6)
    # gamma is trained in both cases: the gradient of the mean square is not zero
    assert abs(float(_numpy(layer.gamma)[0]) - 1) > 1e-3


def test_frozen_layer_keeps_its_statistics():
    model, layer = _model(None)
    layer.trainable = False
    np.testing.assert_allclose(_numpy(model(X, training=True)), BY_MOVING, atol=1e-5)
    np.testing.assert_allclose(_numpy(layer.moving_mean), [0.0])


def test_training_argument_applies_outside_a_model():
    layer = BatchNorm()
    np.testing.assert_allclose(_numpy(layer(X, training=True)), BY_BATCH, atol=1e-5)
    assert layer.train_bn is None


@pytest.mark.parametrize("train_bn", [None, False, True])
def test_arguments_survive_the_configuration(train_bn):
    layer = BatchNorm(momentum=0.7, epsilon=1e-2, center=False, train_bn=train_bn, name="bn")
    copy = BatchNorm.from_config(layer.get_config())
    assert (copy.momentum, copy.epsilon, copy.center, copy.train_bn, copy.name) == (0.7, 1e-2, False, train_bn, "bn")


@pytest.mark.parametrize("train_bn", [None, False, True])
def test_model_restored_from_its_configuration_gives_the_same(train_bn):
    model, _ = _model(train_bn)
    copy = keras.Model.from_config(model.get_config())
    for training in (False, True):
        np.testing.assert_allclose(_numpy(copy(X, training=training)), _numpy(model(X, training=training)), atol=1e-6)


IMAGES = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)


def _convolution_and_norm(train_bn, folds=True, norm=None, model_class=keras.Model, **convolution):
    """Return a functional model of a convolution and a BatchNorm with random weights.

    With `folds` False the two layers are called one after the other.
    """
    image = keras.Input((None, None, 3))
    layers = keras.layers.Conv2D(4, 3, name="conv", **convolution), BatchNorm(epsilon=0.01, name="bn", **norm or {})
    if folds:
        x = convolve_and_normalise(image, *layers, train_bn)
    else:
        x = layers[1](layers[0](image), training=train_bn)
    model = model_class(image, x)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 2, w.shape) * (rng.choice([-1, 1], w.shape) if w.ndim > 1 else 1)
                       for w in model.get_weights()])  # fmt: skip
    return model


CONVOLUTIONS = [{}, {"strides": 2, "padding": "same"}, {"use_bias": False}, {"dilation_rate": 2}]


@pytest.mark.parametrize("norm", [{}, {"center": False}, {"scale": False}], ids=str)
@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
def test_frozen_statistics_fold_into_the_convolution(convolution, norm):
    folded, plain = (_convolution_and_norm(False, folds, norm, **convolution) for folds in (True, False))
    for training in (False, True):
        np.testing.assert_allclose(_numpy(folded(IMAGES, training=training)), _numpy(plain(IMAGES, training=training)),
                                   rtol=1e-4, atol=1e-4)  # fmt: skip


def test_moving_statistics_fold_in_inference():
    folded, plain = (_convolution_and_norm(None, folds) for folds in (True, False))
    np.testing.assert_allclose(_numpy(folded(IMAGES)), _numpy(plain(IMAGES)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("train_bn, training", [(None, True), (True, False), (True, True)])
def test_batch_statistics_do_not_fold(train_bn, training):
    model, plain = (_convolution_and_norm(train_bn, folds) for folds in (True, False))
    before = _numpy(model.get_layer("bn").moving_mean)
    np.testing.assert_allclose(_numpy(model(IMAGES, training=training)), _numpy(plain(IMAGES, training=training)), atol=1e-5)
    after, expected = (_numpy(m.get_layer("bn").moving_mean) for m in (model, plain))
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_frozen_layer_after_a_convolution_keeps_its_statistics():
    model, plain = (_convolution_and_norm(None, folds) for folds in (True, False))
    for one in (model, plain):
        one.get_layer("bn").trainable = False
    before = _numpy(model.get_layer("bn").moving_mean)
    np.testing.assert_allclose(_numpy(model(IMAGES, training=True)), _numpy(plain(IMAGES, training=True)), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(_numpy(model.get_layer("bn").moving_mean), before)


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
def test_folded_layer_trains_like_an_unfolded_one(convolution):
    ends = []
    for folds in (True, False):
        model = _convolution_and_norm(False, folds, **convolution)
        model.compile(keras.optimizers.SGD(1e-2), loss="mse")
        target = np.zeros(model(IMAGES).shape, np.float32)
        model.train_on_batch(IMAGES, target)
        ends.append({w.path.split("/", 1)[-1]: _numpy(w) for w in model.weights})
        _, gradient = loss_and_gradient(lambda x, model=model: keras.ops.sum(keras.ops.square(model(x))), IMAGES)
        ends[-1]["input"] = gradient
    start = _convolution_and_norm(False, **convolution).get_weights()
    assert all(np.abs(a - b).max() > 1e-3 for (name, a), b in zip(ends[0].items(), start) if "moving" not in name)
    for (name, ours), (_, plain) in zip(ends[0].items(), ends[1].items(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-3, err_msg=name)


def test_output_of_the_convolution_can_be_inspected():
    model, plain = (_convolution_and_norm(False, folds) for folds in (True, False))
    raw, expected = (_numpy(keras.Model(m.input, m.get_layer("conv").output)(IMAGES)) for m in (model, plain))
    np.testing.assert_allclose(raw, expected, rtol=1e-5)


COPIES = [keras.models.clone_model, lambda model: type(model).from_config(model.get_config())]


@pytest.mark.parametrize("model_class", [keras.Model, NetworkModel])
@pytest.mark.parametrize("copied", COPIES)
def test_copy_of_a_model_uses_its_own_convolution(copied, model_class):
    model = _convolution_and_norm(False, model_class=model_class)
    copy = copied(model)
    assert [layer.name for layer in copy.layers[1:]] == ["conv", "bn"]
    assert copy.get_layer("bn").is_connected == (model_class is NetworkModel)
    expected = _numpy(model(IMAGES))
    copy.set_weights(model.get_weights())
    model.set_weights([w * 0 + 1 for w in model.get_weights()])
    np.testing.assert_allclose(_numpy(copy(IMAGES)), expected, rtol=1e-4, atol=1e-4)


def test_normalisation_of_another_axis_is_rejected():
    with pytest.raises(ValueError, match="axis 1"):
        convolve_and_normalise(keras.Input((7, 6, 3)), keras.layers.Conv2D(4, 3), BatchNorm(axis=1), False)


@pytest.mark.parametrize("options", [{"activation": "relu"}, {"data_format": "channels_first"}])
def test_convolution_that_cannot_be_folded_is_rejected(options):
    with pytest.raises(ValueError, match="without activation, channels last, and 'conv' is not one"):
        _convolution_and_norm(False, **options)


def _with_relu(layer):
    """Copy a layer, adding an activation to a convolution."""
    return type(layer).from_config({**layer.get_config(), **({"activation": "relu"} if layer.name == "conv" else {})})


def test_copy_whose_convolution_has_an_activation_is_not_folded():
    model = _convolution_and_norm(False, model_class=NetworkModel)
    copy = keras.models.clone_model(model, clone_function=_with_relu)
    copy.set_weights(model.get_weights())
    relu = keras.ops.relu(keras.Model(model.input, model.get_layer("conv").output)(IMAGES))
    np.testing.assert_allclose(_numpy(copy(IMAGES)), _numpy(copy.get_layer("bn")(relu)), rtol=1e-4, atol=1e-4)


def test_one_layer_cannot_normalise_two_convolutions():
    image, norm = keras.Input((7, 6, 3)), BatchNorm(name="bn")
    convolve_and_normalise(image, keras.layers.Conv2D(4, 3, name="a"), norm, False)
    with pytest.raises(ValueError, match="'bn' is already connected to 'a': use another BatchNorm for 'b'"):
        convolve_and_normalise(image, keras.layers.Conv2D(4, 3, name="b"), norm, False)


def test_convolution_is_not_part_of_the_layer():
    model = _convolution_and_norm(False)
    assert [w.name for w in model.get_layer("bn").weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert len(model.weights) == 6


def test_symbolic_tensor_without_a_layer_is_accepted():
    assert BatchNorm()(keras.KerasTensor((2, 5, 6, 4))).shape == (2, 5, 6, 4)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_folding_in_lower_precision(precision):
    images = np.random.default_rng(2).normal(size=(2, 96, 96, 3)).astype(np.float32)  # sums over many cells
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = _convolution_and_norm(False)
        model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: keras.ops.mean(keras.ops.cast(y, "float32")))
        outputs = model(images)
        before = _numpy(model.get_layer("bn").beta)
        model.train_on_batch(images, np.zeros(1, np.float32))
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(outputs.dtype) == precision.removeprefix("mixed_")
    expected = _numpy(_convolution_and_norm(False, folds=False)(images))
    assert np.abs(_numpy(keras.ops.cast(outputs, "float32")) - expected).max() < 0.02 * np.abs(expected).max()
    # the mean over four channels: a gradient of a quarter for each
    np.testing.assert_allclose(before - _numpy(model.get_layer("bn").beta), 0.25, rtol=5e-3)


@pytest.mark.tensorflow_only
def test_graph_drops_the_unfolded_convolution():
    import tensorflow as tf

    step = tf.function(_convolution_and_norm(False)).get_concrete_function(tf.TensorSpec((2, 7, 6, 3)))
    nodes = {node.name: node for node in step.graph.as_graph_def().node}
    assert sum(node.op == "Conv2D" for node in nodes.values()) == 2
    needed, pending = set(), [step.graph.outputs[0].op.name]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += [source.split(":")[0].lstrip("^") for source in nodes[name].input]
    assert sum(nodes[name].op == "Conv2D" for name in needed) == 1
