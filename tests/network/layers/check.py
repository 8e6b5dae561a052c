"""What every layer must do: come back from its configuration, and give the same eagerly, in a graph and compiled."""
import keras
import numpy as np

# A graph and a compiled one on TensorFlow; JAX always compiles, and PyTorch's compiler takes longer than all tests.
COMPILED = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}


def to_numpy(value):
    """Return tensors, lists and dicts of them as arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, value)


def run(layer, inputs):
    """Call a layer on arrays, eagerly but on JAX, which would compile every operation by itself; return arrays."""
    if keras.backend.backend() != "jax":
        return to_numpy(layer(inputs))
    spec = [keras.Input(array.shape[1:], dtype=np.asarray(array).dtype.name) for array in inputs]
    return keras.Model(spec, layer(spec)).predict_on_batch(inputs)


def assert_round_trip(layer, **expected):
    """Hold a layer's arguments, and those of the copy that its configuration makes, against values by name."""
    for one in (layer, type(layer).from_config(layer.get_config())):
        assert one.name == layer.name
        for name, value in expected.items():
            found = getattr(one, name)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(found, value)
            else:
                assert found == value, f"{name} is {found!r}, expected {value!r}"
    keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))


def assert_same_in_a_model(layer, inputs, *, exact=True):
    """Run a layer eagerly and in a model, compiled too; return the eager result as arrays.

    Args:
        layer: keras.layers.Layer without randomness, or with `exact` False one whose values may differ.
        inputs: list of arrays.
        exact: bool. Whether to compare values, beside shapes and dtypes.
    """
    tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
    spec = [keras.Input(array.shape[1:], dtype=array.dtype.name) for array in inputs]
    eager, symbolic = (layer(t if len(inputs) > 1 else t[0]) for t in (tensors, spec))
    model = keras.Model(spec, symbolic)
    for jit_compile in COMPILED[keras.backend.backend()]:
        model.compile(jit_compile=jit_compile)
        compiled = model.predict_on_batch(inputs)
        # predict_on_batch drops the list of a single output and keeps that of many
        for a, b, s in zip(*(keras.tree.flatten(t) for t in (eager, compiled, symbolic))):
            a = keras.ops.convert_to_numpy(a)
            assert a.shape == b.shape and a.shape[1:] == tuple(s.shape[1:])
            assert a.dtype == b.dtype and keras.backend.standardize_dtype(s.dtype) == a.dtype.name
            if exact:
                np.testing.assert_allclose(a, b, atol=1e-5)
    return to_numpy(eager)
