"""Gradients of a loss with respect to a prediction, on any backend."""
import keras
import numpy as np


def loss_and_gradient(function, prediction):
    """Return the value of `function(prediction)` as float, and its gradient as an array.

    Args:
        function: callable (tensor) -> scalar.
        prediction: array.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        value, gradient = jax.jit(jax.value_and_grad(function))(np.asarray(prediction))
    elif backend == "torch":
        variable = keras.ops.convert_to_tensor(prediction).detach().requires_grad_(True)
        value = function(variable)
        value.backward()
        gradient = variable.grad
    else:
        import tensorflow as tf

        variable = tf.Variable(prediction)
        with tf.GradientTape() as tape:
            value = function(tf.convert_to_tensor(variable))
        gradient = tf.convert_to_tensor(tape.gradient(value, variable))
    return float(keras.ops.convert_to_numpy(value)), keras.ops.convert_to_numpy(gradient)
