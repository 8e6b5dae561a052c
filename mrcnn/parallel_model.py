"""The classic module `mrcnn.parallel_model`.

Keras 3 spreads a model over devices by its distribution API, set before the model is built; a wrapper around the model
is no longer needed. This class stands in for scripts that construct it.
"""


class ParallelModel:
    """Give a model's attributes under the classic name.

    Args:
        keras_model: keras.Model.
        gpu_count: int. More than one asks for keras.distribution.DataParallel to have been set.

    Raises:
        ValueError: several devices without a distribution.
    """

    def __init__(self, keras_model, gpu_count):
        import keras

        if gpu_count > 1 and keras.distribution.distribution() is None:
            raise ValueError(f"gpu_count is {gpu_count}, and no distribution is set: call keras.distribution."
                             "set_distribution(keras.distribution.DataParallel()) before the model is built.")
        self.inner_model = keras_model
        self.gpu_count = gpu_count

    def __getattribute__(self, attrname):
        own = object.__getattribute__(self, "__dict__")
        if attrname in own or attrname in ("__class__", "__dict__", "summary", "make_parallel"):
            return object.__getattribute__(self, attrname)
        return getattr(own["inner_model"], attrname)

    def summary(self, *args, **kwargs):
        """Print the model's summary."""
        self.inner_model.summary(*args, **kwargs)

    def make_parallel(self):
        """Return the model's outputs: Keras spreads the batch itself."""
        return self.inner_model.outputs
