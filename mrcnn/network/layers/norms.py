"""The normalisation of the pyramid and the heads, by name."""

from dataclasses import dataclass

import keras
from keras import KerasTensor

from mrcnn.network.layers.batch_norm import BatchNorm, convolve_and_normalise, is_foldable

# Group Normalization (Wu and He 2018), section 3.2
GROUPS = 32


@dataclass(frozen=True)
class Norm:
    """A kind of normalisation behind convolutions.

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
