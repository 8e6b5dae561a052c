"""The device that runs the graph."""

import functools

import keras


@functools.cache
def on_tensorflow_cpu() -> bool:
    """Return whether the graph runs on TensorFlow without a GPU, where some operations have a faster implementation."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")
