"""Batch normalisation whose statistics a configuration can freeze."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras batch normalisation that keeps to the configuration's TRAIN_BN, given as `training` when it is wired.

    Batches are small when images are large, and the statistics of two images hurt more than they help.

    A Keras 3 functional model hands its own training flag to every layer, over the one that the layer was wired with;
    so the layer keeps what it was wired with, and does as it was told.

    With statistics that stand still, what it does to the output of a convolution is what a convolution with other weights would
    have done: wired behind a `keras.layers.Conv2D`, it computes that one from the convolution's input instead. Nobody then
    asks for the plain output, so that a compiled graph leaves it out. Not on PyTorch, which runs each operation at once, and
    would run both.

    Args:
        train_bn: None, False or True; of the first wiring that says it when None.
        The rest: as of `keras.layers.BatchNormalization`.

    `call(inputs, training=None)`:
        training: None uses the batch's statistics in training and the moving ones in inference; False always the moving
            ones (gamma and beta still train); True always the batch's.
    """

    def __init__(self, *args, train_bn=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.train_bn = train_bn
        self._convolution = None  # a function that returns the layer, which Keras would else take for a part of this one

    def __call__(self, inputs, training=None, **kwargs):
        """Wire or run the layer; see `call`."""
        if isinstance(inputs, keras.KerasTensor):
            if training is not None and self.train_bn is None:
                self.train_bn = bool(training)
            kwargs = {**kwargs, "source": self._source(inputs)}  # a copy of a model comes with that of its original
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs, training=None, source=None):
        """Normalise `inputs`; `source`, found when the layer is wired, is what the convolution before made them of."""
        training = training if self.train_bn is None else self.train_bn
        if source is None or (training and self.trainable):
            return super().call(inputs, training=training)
        return self._folded(self._convolution(), source)

    def _source(self, tensor):
        """Return the input of the convolution that a symbolic tensor comes from; None where none does."""
        layer, node, _ = getattr(tensor, "_keras_history", (None, None, None))
        plain = type(layer) is keras.layers.Conv2D and layer.activation is keras.activations.linear
        by_channel = plain and layer.data_format == "channels_last" and self.axis in (-1, 3)
        if not by_channel or keras.backend.backend() == "torch":
            return None
        if self._convolution is None:
            self._convolution = lambda: layer
        return layer._inbound_nodes[node].input_tensors[0] if self._convolution() is layer else None

    def _folded(self, convolution, source):
        """Return a convolution and its normalisation by the moving statistics as one convolution."""
        scale = ops.rsqrt(self.moving_variance + self.epsilon)
        if self.scale:
            scale = scale * self.gamma
        bias = -self.moving_mean
        if convolution.use_bias:
            bias = bias + ops.cast(convolution.bias, "float32")
        bias = bias * scale
        if self.center:
            bias = bias + self.beta
        kernel = ops.cast(convolution.kernel, "float32") * scale
        x = convolution.convolution_op(*(ops.cast(value, self.compute_dtype) for value in (source, kernel)))
        # in float32: the gradient of the bias is a sum over the whole map
        return ops.cast(ops.cast(x, "float32") + bias, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn}
