"""Where graphs run."""

import functools

import keras


@functools.cache
def on_tensorflow_processor():
    """Tell whether graphs run on TensorFlow and on a processor, where some ways are faster than those for all: bool."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")
