"""Classic facade: the class that projects import from `mrcnn.parallel_model`.

Keras 3 distributes a model with its distribution API, set before the model is built, and needs no wrapper around the model.
This class is for scripts that construct one.
"""

from typing import Any


class ParallelModel:
    """Forwards all attributes to a Keras model.

    Args:
        keras_model: keras.Model.
        gpu_count: a number above one needs a keras.distribution.DataParallel.

    Raises:
        ValueError: gpu_count is above one, but no distribution is set.
    """

    def __init__(self, keras_model: Any, gpu_count: int) -> None:
        import keras

        if gpu_count > 1 and keras.distribution.distribution() is None:
            raise ValueError(f"gpu_count is {gpu_count}, but no distribution is set: call keras.distribution."
                             "set_distribution(keras.distribution.DataParallel()) before building the model.")
        self.inner_model = keras_model
        self.gpu_count = gpu_count

    def __getattribute__(self, attrname: str) -> Any:
        attributes = object.__getattribute__(self, "__dict__")
        if attrname in attributes or attrname in ("__class__", "__dict__", "summary", "make_parallel"):
            return object.__getattribute__(self, attrname)
        return getattr(attributes["inner_model"], attrname)

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Print the model's summary."""
        self.inner_model.summary(*args, **kwargs)

    def make_parallel(self) -> Any:
        """Return the model's outputs; Keras splits the batch itself."""
        return self.inner_model.outputs
