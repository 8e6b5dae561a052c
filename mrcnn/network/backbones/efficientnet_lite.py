"""EfficientNet-Lite0: inverted bottlenecks without squeeze-and-excitation, for CPUs and other small machines.

Source: EfficientNet (Tan and Le 2019), table 1; the lite variants, models/official/efficientnet/lite in
github.com/tensorflow/tpu: no squeeze-and-excitation, ReLU6 instead of swish, and a stem and a head of fixed width.
Differs: the head (a convolution with 1280 channels, which only the classifier uses) and stochastic depth are left out.
"""

from typing import NamedTuple

import keras
from keras import KerasTensor

from mrcnn.network.layers.norms import BatchNorm, convolve_and_normalise

STEM_CHANNELS = 32


class Stage(NamedTuple):
    """Blocks of equal shape, the first of which has the stride. `expansion` is the ratio of inner to input channels."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


STAGES = (Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80), Stage(3, 5, 1, 6, 112),
          Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320))  # fmt: skip


def efficientnet_lite0_graph(
    input_image: KerasTensor, stage5: bool = True, train_bn: bool | None = True
) -> list[KerasTensor | None]:
    """Add an EfficientNet-Lite0 without its head.

    Args:
        input_image: float [B, H, W, channels], normalised to about -1 to 1.
        stage5: whether to add the blocks at stride 32.
        train_bn: see Config.TRAIN_BN.

    Returns:
        [C1, C2, C3, C4, C5], the outputs of the last blocks at strides 2, 4, 8, 16 and 32, with 16, 24, 40, 112 and 320
        channels; C5 is None without `stage5`.
    """
    stem = keras.layers.Conv2D(STEM_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="stem_conv")
    x = _relu6(convolve_and_normalise(input_image, stem, BatchNorm(name="stem_bn"), train_bn))
    maps: dict[int, KerasTensor | None] = {}
    stride = 2
    for number, stage in enumerate(STAGES, start=1):
        stride *= stage.stride
        if stride == 32 and not stage5:
            maps[32] = None
            break
        for index in range(stage.blocks):
            name = f"block{number}{chr(ord('a') + index)}"
            x = _inverted_bottleneck(x, stage, stage.stride if index == 0 else 1, name, train_bn)
        maps[stride] = x
    return list(maps.values())


def _inverted_bottleneck(x: KerasTensor, stage: Stage, stride: int, name: str, train_bn: bool | None) -> KerasTensor:
    """Add a block: 1x1 convolution to more channels, depthwise convolution, 1x1 convolution; a shortcut if shapes allow."""
    block_input = x
    if stage.expansion > 1:
        x = _relu6(_pointwise(x, stage.expansion * x.shape[-1], f"{name}_expand", train_bn))
    x = keras.layers.DepthwiseConv2D(stage.kernel_size, strides=stride, padding="same", use_bias=False,
                                     name=f"{name}_depthwise_conv")(x)  # fmt: skip
    x = _relu6(BatchNorm(name=f"{name}_depthwise_bn")(x, training=train_bn))
    x = _pointwise(x, stage.channels, f"{name}_project", train_bn)
    if stride == 1 and block_input.shape[-1] == stage.channels:
        x = keras.layers.Add(name=f"{name}_add")([x, block_input])
    return x


def _pointwise(x: KerasTensor, channels: int, name: str, train_bn: bool | None) -> KerasTensor:
    convolution = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_conv")
    return convolve_and_normalise(x, convolution, BatchNorm(name=f"{name}_bn"), train_bn)


def _relu6(x: KerasTensor) -> KerasTensor:
    return keras.layers.ReLU(max_value=6.0)(x)
