"""The device and the process that run the graph."""

import functools
import os

import keras

# The process that built the first network; children that are forked from it inherit the number.
_process: int | None = None


@functools.cache
def on_tensorflow_cpu() -> bool:
    """Return whether the graph runs on TensorFlow without a GPU, where some operations have a faster implementation."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def check_process() -> None:
    """Refuse to work in a process that was forked from one that had built a network.

    The threads of the backend do not exist in it, so that it would wait for them for ever.

    Raises:
        RuntimeError: this is such a process. The message says what to do.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise RuntimeError(
            "this process was forked from one that had already built a network, and the backend's threads do not exist in it: "
            'it would wait for them for ever. Start processes with multiprocessing.get_context("spawn"), or fork before the '
            "first network is built, and build the model in the child.")
