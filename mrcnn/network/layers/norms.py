"""Normalisation: batch normalisation whose statistics can be frozen, and the kinds that the pyramid and the heads can have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor, ops


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras batch normalisation that follows the TRAIN_BN setting, passed as `training` when the layer is called.

    Large images mean small batches, and batch statistics of two images do more harm than good. A functional model replaces
    the `training` argument of every layer with its own, so the layer remembers the value of its first symbolic call.

    With frozen statistics, a convolution followed by normalisation can be folded into one convolution with scaled weights. A
    layer that is connected to its convolution, and called with the convolution's input as `source`, computes the folded
    convolution; compilation then removes the unused original. `convolve_and_normalise` sets this up.

    Args:
        train_bn: None, False or True; if None, taken from the first symbolic call.
        convolution: name of the convolution whose output is normalised, as returned by `get_config`. It has no effect until
            `connect_convolutions` looks the layer up.
        **kwargs: arguments of `keras.layers.BatchNormalization`.

    `call(inputs, training=None, source=None)`:
        training: None uses batch statistics in training and moving statistics in inference; False always moving statistics
            (gamma and beta still train); True always batch statistics.
        source: input of the convolution.
    """

    def __init__(self, *args: Any, train_bn: bool | None = None, convolution: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.train_bn = train_bn
        self.convolution_name = convolution
        self._convolution: Callable[[], keras.layers.Conv2D] | None = None

    def connect(self, convolution: keras.layers.Conv2D) -> None:
        """Set the convolution whose output this layer normalises.

        Raises:
            ValueError: the convolution cannot be folded, or a different one is already connected.
        """
        if not is_foldable(convolution):
            raise ValueError(f"layer {self.name!r} can fold only a plain Conv2D without activation, channels last, and "
                             f"{convolution.name!r} is not one: call the two layers one after the other instead.")
        if self.axis not in (-1, 3):
            raise ValueError(f"layer {self.name!r} normalises axis {self.axis}: only the channel axis can be folded.")
        if self._convolution is not None and self._convolution() is not convolution:
            raise ValueError(f"layer {self.name!r} is already connected to {self.convolution_name!r}: "
                             f"use another BatchNorm for {convolution.name!r}.")
        self.convolution_name = convolution.name
        self._convolution = lambda: convolution  # a function, because Keras would track the layer as a sublayer

    @property
    def is_connected(self) -> bool:
        """True if a convolution is connected."""
        return self._convolution is not None

    def __call__(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Call the layer; see the class."""
        if isinstance(inputs, KerasTensor) and training is not None and self.train_bn is None:
            self.train_bn = bool(training)
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs, training=None, source=None):
        training = training if self.train_bn is None else self.train_bn
        if source is None or self._convolution is None or (training and self.trainable):
            return super().call(inputs, training=training)
        return self._folded(self._convolution(), source)

    def _folded(self, convolution: keras.layers.Conv2D, source: KerasTensor) -> KerasTensor:
        """Compute a convolution and its normalisation with the moving statistics as a single convolution."""
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
        # In float32, because the bias gradient is a sum over the whole map.
        return ops.cast(ops.cast(x, "float32") + bias, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn, "convolution": self.convolution_name}


def is_foldable(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is a convolution into which batch normalisation can be folded."""
    return (type(layer) is keras.layers.Conv2D and layer.activation is keras.activations.linear
            and layer.data_format == "channels_last")  # fmt: skip


def convolve_and_normalise(
    x: KerasTensor, convolution: keras.layers.Conv2D, norm: BatchNorm, train_bn: bool | None
) -> KerasTensor:
    """Add a convolution followed by batch normalisation.

    Args:
        x: [B, h, w, C].
        convolution: without activation, channels last.
        norm: gets connected to `convolution`.
        train_bn: see Config.TRAIN_BN.

    Returns:
        [B, h', w', filters].
    """
    norm.connect(convolution)
    # PyTorch runs eagerly and would compute both the original and the folded convolution.
    source = {} if keras.backend.backend() == "torch" else {"source": x}
    return norm(convolution(x), training=train_bn, **source)


def connect_convolutions(model: keras.Model) -> None:
    """Connect each BatchNorm that knows its convolution only by name, as in a cloned or loaded model.

    If the model no longer has that convolution, or it cannot be folded, the layer normalises its input as usual.
    """
    layers = {layer.name: layer for layer in model.layers if isinstance(layer, BatchNorm) or is_foldable(layer)}
    for layer in layers.values():
        if isinstance(layer, BatchNorm) and not layer.is_connected and layer.convolution_name in layers:
            layer.connect(layers[layer.convolution_name])


# Group Normalization (Wu and He 2018), section 3.2
GROUPS = 32


@dataclass(frozen=True)
class Norm:
    """A kind of normalisation after convolutions.

    Attributes:
        kind: "batch"; "sync", batch normalisation over all replicas, on TensorFlow only; "group", with GROUPS groups; None for
            no normalisation.
        train_bn: see Config.TRAIN_BN; not for "group".
        epsilon: added to the variance.
        keeps_bias: whether a convolution that is normalised has a bias too.
    """

    kind: str | None = "batch"
    train_bn: bool | None = True
    epsilon: float = 1e-3
    keeps_bias: bool = True

    @property
    def use_bias(self) -> bool:
        """Whether the convolutions have a bias."""
        return self.kind is None or self.keeps_bias

    def layer(self, name: str) -> keras.layers.Layer | None:
        """Return a new layer of this kind; None without normalisation."""
        if self.kind is None:
            return None
        if self.kind == "group":
            return keras.layers.GroupNormalization(GROUPS, epsilon=self.epsilon, name=name)
        return BatchNorm(name=name, epsilon=self.epsilon, synchronized=self.kind == "sync")

    def __call__(self, x: KerasTensor, convolution: keras.layers.Conv2D, layer: keras.layers.Layer | None) -> KerasTensor:
        """Add a convolution and its normalisation.

        Args:
            x: [B, h, w, C].
            convolution: without activation.
            layer: from `layer`.

        Returns:
            [B, h', w', filters].
        """
        if not isinstance(layer, BatchNorm):
            x = convolution(x)
            return x if layer is None else layer(x)
        if is_foldable(convolution):
            return convolve_and_normalise(x, convolution, layer, self.train_bn)
        return layer(convolution(x), training=self.train_bn)


NO_NORM, CLASSIC_NORM = Norm(None), Norm()
