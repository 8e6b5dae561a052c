"""The feature pyramid network: semantically strong features at every scale.

Source: Feature Pyramid Networks (Lin et al. 2017), section 3. P6 is P5 subsampled, for large anchors, as in its footnote.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor

from mrcnn.network.layers.norms import NO_NORM, Norm


def build_pyramid(feature_maps: Sequence[KerasTensor], channels: int, norm: Norm = NO_NORM) -> list[KerasTensor]:
    """Add the top-down pathway and the lateral connections to a backbone's feature maps, with the classic layer names.

    Args:
        feature_maps: [C2, C3, C4, C5], each [B, h, w, .] and half the size of the previous one.
        channels: channels of every level.
        norm: of the convolutions.

    Returns:
        [P2, P3, P4, P5, P6], each [B, h, w, channels].
    """
    def convolve(x: KerasTensor, side: int, name: str) -> KerasTensor:
        convolution = keras.layers.Conv2D(channels, (side, side), padding="same", use_bias=norm.use_bias, name=name)
        return norm(x, convolution, norm.layer(f"{name}_bn"))

    merged = {5: convolve(feature_maps[3], 1, "fpn_c5p5")}
    for level in (4, 3, 2):
        lateral = convolve(feature_maps[level - 2], 1, f"fpn_c{level}p{level}")
        upsampled = keras.layers.UpSampling2D((2, 2), name=f"fpn_p{level + 1}upsampled")(merged[level + 1])
        merged[level] = keras.layers.Add(name=f"fpn_p{level}add")([upsampled, lateral])
    pyramid = {n: convolve(merged[n], 3, f"fpn_p{n}") for n in (2, 3, 4, 5)}
    p6 = keras.layers.MaxPooling2D((1, 1), strides=2, name="fpn_p6")(pyramid[5])
    return [pyramid[n] for n in (2, 3, 4, 5)] + [p6]
