"""A small residual network for small images and machines without a GPU."""

import keras
from keras import KerasTensor

from mrcnn.network.layers.norms import BatchNorm, convolve_and_normalise

STAGE_CHANNELS = (32, 64, 96, 128)


def compact_graph(
    input_image: KerasTensor, stage5: bool = True, train_bn: bool | None = True
) -> list[KerasTensor | None]:
    """Add a residual network of four stages, whose blocks have two 3x3 convolutions each.

    To train it from scratch, set Config.TRAIN_BN = None and use batches of several images.

    Args:
        input_image: float [B, H, W, channels]. Mean subtracted.
        stage5: whether to add the last stage.
        train_bn: see Config.TRAIN_BN.

    Returns:
        [C1, C2, C3, C4, C5]: maps at strides 2, 4, 8, 16, 32; C5 is None without `stage5`.
    """
    # Pixel values have a standard deviation of about 60; this normalisation scales it to 1.
    x = BatchNorm(name="bn_input", center=False, scale=False)(input_image, training=train_bn)
    c1 = x = _unit(x, STAGE_CHANNELS[0], 2, "conv1", train_bn)
    maps = [c1]
    for number, channels in enumerate(STAGE_CHANNELS, start=2):
        if number == 5 and not stage5:
            return [*maps, None]
        x = _block(x, channels, f"res{number}a", 2, train_bn)
        x = _block(x, channels, f"res{number}b", 1, train_bn)
        maps.append(x)
    return maps


def _unit(
    x: KerasTensor, channels: int, stride: int, name: str, train_bn: bool | None, activation: bool = True
) -> KerasTensor:
    convolution = keras.layers.Conv2D(channels, (3, 3), strides=stride, padding="same", use_bias=False, name=name,
                                      kernel_initializer="he_normal")  # fmt: skip
    x = convolve_and_normalise(x, convolution, BatchNorm(name=f"bn_{name}"), train_bn)
    return keras.layers.Activation("relu")(x) if activation else x


def _block(x: KerasTensor, channels: int, name: str, stride: int, train_bn: bool | None) -> KerasTensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        convolution = keras.layers.Conv2D(channels, (1, 1), strides=stride, use_bias=False, name=f"{name}_branch1")
        shortcut = convolve_and_normalise(x, convolution, BatchNorm(name=f"bn_{name}_branch1"), train_bn)
    x = _unit(x, channels, stride, f"{name}_branch2a", train_bn)
    x = _unit(x, channels, 1, f"{name}_branch2b", train_bn, activation=False)
    x = keras.layers.Add()([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)
