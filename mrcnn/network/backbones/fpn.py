"""The feature pyramid network: semantically strong features at every scale.

Source: Feature Pyramid Networks (Lin et al. 2017), section 3. P6 is P5 subsampled, for large anchors, as in its footnote.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor


def build_pyramid(feature_maps: Sequence[KerasTensor], channels: int) -> list[KerasTensor]:
    """Add the top-down pathway and the lateral connections to a backbone's feature maps, with the classic layer names.

    Args:
        feature_maps: [C2, C3, C4, C5], each [B, h, w, .] and half the size of the previous one.
        channels: channels of every level.

    Returns:
        [P2, P3, P4, P5, P6], each [B, h, w, channels].
    """
    merged = {}
    level = 5
    x = keras.layers.Conv2D(channels, (1, 1), name="fpn_c5p5")(feature_maps[3])
    merged[level] = x
    for level in (4, 3, 2):
        lateral = keras.layers.Conv2D(channels, (1, 1), name=f"fpn_c{level}p{level}")(feature_maps[level - 2])
        upsampled = keras.layers.UpSampling2D((2, 2), name=f"fpn_p{level + 1}upsampled")(merged[level + 1])
        merged[level] = keras.layers.Add(name=f"fpn_p{level}add")([upsampled, lateral])
    pyramid = {n: keras.layers.Conv2D(channels, (3, 3), padding="same", name=f"fpn_p{n}")(merged[n])
               for n in (2, 3, 4, 5)}
    p6 = keras.layers.MaxPooling2D((1, 1), strides=2, name="fpn_p6")(pyramid[5])
    return [pyramid[n] for n in (2, 3, 4, 5)] + [p6]
