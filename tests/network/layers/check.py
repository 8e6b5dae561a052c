"""Checks for all layers: they can be restored from their configuration, and give the same result eagerly and compiled."""
import keras
import numpy as np

# A graph with and without XLA on TensorFlow; JAX always compiles; PyTorch's compiler would take longer than all tests.
COMPILED = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}


def to_numpy(value):
    """Convert tensors, also in lists and dicts, to arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, value)


def run(layer, inputs):
    """Call a layer on arrays and return arrays: eagerly, except on JAX, which would compile each operation separately."""
    if keras.backend.backend() != "jax":
        return to_numpy(layer(inputs))
    spec = [keras.Input(array.shape[1:], dtype=np.asarray(array).dtype.name) for array in inputs]
    return keras.Model(spec, layer(spec)).predict_on_batch(inputs)


def assert_round_trip(layer, **expected):
    """Compare arguments of a layer, and of the copy restored from its configuration, with values by name."""
    for one in (layer, type(layer).from_config(layer.get_config())):
        assert one.name == layer.name
        for name, value in expected.items():
            value_of_layer = getattr(one, name)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value_of_layer, value)
            else:
                assert value_of_layer == value, f"{name} is {value_of_layer!r}, expected {value!r}"
    keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))


def assert_same_in_a_model(layer, inputs, *, exact=True):
    """Run a layer eagerly and in a model, also compiled, compare the results, and return them as arrays.

    Args:
        layer: keras.layers.Layer, deterministic unless `exact` is False.
        inputs: list of arrays.
        exact: bool. Whether to compare values in addition to shapes and dtypes.
    """
    tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
    spec = [keras.Input(array.shape[1:], dtype=array.dtype.name) for array in inputs]
    eager, symbolic = (layer(t if len(inputs) > 1 else t[0]) for t in (tensors, spec))
    model = keras.Model(spec, symbolic)
    for jit_compile in COMPILED[keras.backend.backend()]:
        model.compile(jit_compile=jit_compile)
        compiled = model.predict_on_batch(inputs)
        # predict_on_batch returns a single output without a list
        for a, b, s in zip(*(keras.tree.flatten(t) for t in (eager, compiled, symbolic))):
            a = keras.ops.convert_to_numpy(a)
            assert a.shape == b.shape and a.shape[1:] == tuple(s.shape[1:])
            assert a.dtype == b.dtype and keras.backend.standardize_dtype(s.dtype) == a.dtype.name
            if exact:
                np.testing.assert_allclose(a, b, atol=1e-5)
    return to_numpy(eager)
