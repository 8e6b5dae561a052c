"""ResNet-50 and ResNet-101 with the classic layer names, which weight files and `layers=` expressions rely on.

Source: Deep Residual Learning (He et al. 2015), table 1. The variants of other frameworks differ in what `ResNetVariant` lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
from keras import KerasTensor

from mrcnn.network.layers.batch_norm import BatchNorm, convolve_and_normalise

# Number of identity blocks of stage 4, after its first block.
STAGE4_IDENTITY_BLOCKS = {"resnet50": 5, "resnet101": 22}


@dataclass(frozen=True)
class ResNetVariant:
    """In what ResNets of other frameworks differ from the classic one, which has these defaults.

    Attributes:
        stride_in_3x3: whether the 3x3 convolution of a stage's first block has its stride ("v1.5"), or the first 1x1 one.
        use_bias: whether convolutions have a bias, which the normalisation behind them makes redundant.
        symmetric_padding: whether maps are padded on all sides before a stride of 2, as PyTorch pads. Otherwise the max-pooling
            and the 3x3 convolutions pad maps of even size at the bottom and right only, as TensorFlow does.
        epsilon: added to the variance in batch normalisation.
    """

    stride_in_3x3: bool = False
    use_bias: bool = True
    symmetric_padding: bool = False
    epsilon: float = 1e-3


CLASSIC = ResNetVariant()


def identity_block(
    input_tensor: KerasTensor, kernel_size: int, filters: Sequence[int], stage: int, block: str, use_bias: bool = True,
    train_bn: bool | None = True, variant: ResNetVariant = CLASSIC,
) -> KerasTensor:
    """Add a residual block whose shortcut is its input.

    Args:
        input_tensor: [B, h, w, C].
        kernel_size: side of the middle convolution.
        filters: channels of the three convolutions; the last equals C.
        stage: number of the stage, for layer names.
        block: letter of the block, for layer names.
        use_bias: whether the convolutions have a bias; both this and `variant` must allow it.
        train_bn: see Config.TRAIN_BN.
        variant: see `ResNetVariant`.

    Returns:
        [B, h, w, C].
    """
    variant = replace(variant, use_bias=use_bias and variant.use_bias)
    x = _branch(input_tensor, kernel_size, filters, stage, block, (1, 1), train_bn, variant)
    x = keras.layers.Add()([x, input_tensor])
    return keras.layers.Activation("relu", name=f"res{stage}{block}_out")(x)


def conv_block(
    input_tensor: KerasTensor, kernel_size: int, filters: Sequence[int], stage: int, block: str,
    strides: tuple[int, int] = (2, 2), use_bias: bool = True, train_bn: bool | None = True,
    variant: ResNetVariant = CLASSIC,
) -> KerasTensor:
    """Add a residual block with a convolution on its shortcut, which changes the size or the number of channels.

    Args:
        strides: of the block.
        others: see `identity_block`.

    Returns:
        [B, ceil(h / stride), ceil(w / stride), filters[2]].
    """
    variant = replace(variant, use_bias=use_bias and variant.use_bias)
    x = _branch(input_tensor, kernel_size, filters, stage, block, strides, train_bn, variant)
    convolution = keras.layers.Conv2D(filters[2], (1, 1), strides=strides, use_bias=variant.use_bias,
                                      name=f"res{stage}{block}_branch1")  # fmt: skip
    norm = BatchNorm(name=f"bn{stage}{block}_branch1", epsilon=variant.epsilon)
    shortcut = convolve_and_normalise(input_tensor, convolution, norm, train_bn)
    x = keras.layers.Add()([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{stage}{block}_out")(x)


def _branch(
    x: KerasTensor, kernel_size: int, filters: Sequence[int], stage: int, block: str, strides: tuple[int, int],
    train_bn: bool | None, variant: ResNetVariant,
) -> KerasTensor:
    """Add 1x1, k x k and 1x1 convolutions, each with BatchNorm, and ReLU after the first two."""
    for part, channels in zip("abc", filters):
        side = kernel_size if part == "b" else 1
        is_strided = part == ("b" if variant.stride_in_3x3 else "a") and strides != (1, 1)
        pads_here = is_strided and side > 1 and variant.symmetric_padding
        if pads_here:
            x = keras.layers.ZeroPadding2D(side // 2)(x)
        convolution = keras.layers.Conv2D(
            channels, (side, side), strides=strides if is_strided else (1, 1), padding="valid" if pads_here else "same",
            use_bias=variant.use_bias, name=f"res{stage}{block}_branch2{part}")  # fmt: skip
        norm = BatchNorm(name=f"bn{stage}{block}_branch2{part}", epsilon=variant.epsilon)
        x = convolve_and_normalise(x, convolution, norm, train_bn)
        if part != "c":
            x = keras.layers.Activation("relu")(x)
    return x


def resnet_graph(
    input_image: KerasTensor, architecture: str, stage5: bool = False, train_bn: bool | None = True,
    variant: ResNetVariant = CLASSIC,
) -> list[KerasTensor | None]:
    """Add a ResNet without its classifier.

    Args:
        input_image: float [B, H, W, channels]. Mean subtracted.
        architecture: "resnet50" or "resnet101".
        stage5: whether to add the last stage.
        train_bn: see Config.TRAIN_BN.
        variant: see `ResNetVariant`.

    Returns:
        [C1, C2, C3, C4, C5]: maps at strides 4 (after pooling), 4, 8, 16 and 32; C5 is None without `stage5`.

    Raises:
        ValueError: unknown architecture.
    """
    if architecture not in STAGE4_IDENTITY_BLOCKS:
        raise ValueError(f"architecture is {architecture!r}: choose resnet50 or resnet101.")
    x = keras.layers.ZeroPadding2D((3, 3))(input_image)
    convolution = keras.layers.Conv2D(64, (7, 7), strides=(2, 2), name="conv1", use_bias=variant.use_bias)
    x = convolve_and_normalise(x, convolution, BatchNorm(name="bn_conv1", epsilon=variant.epsilon), train_bn)
    x = keras.layers.Activation("relu")(x)
    if variant.symmetric_padding:  # zeros do not change a maximum of values that ReLU has made non-negative
        x = keras.layers.ZeroPadding2D(1)(x)
    c1 = x = keras.layers.MaxPooling2D((3, 3), strides=(2, 2), padding="valid" if variant.symmetric_padding else "same")(x)
    c2 = x = _stage(x, 2, [64, 64, 256], 2, (1, 1), train_bn, variant)
    c3 = x = _stage(x, 3, [128, 128, 512], 3, (2, 2), train_bn, variant)
    c4 = x = _stage(x, 4, [256, 256, 1024], STAGE4_IDENTITY_BLOCKS[architecture], (2, 2), train_bn, variant)
    c5 = _stage(x, 5, [512, 512, 2048], 2, (2, 2), train_bn, variant) if stage5 else None
    return [c1, c2, c3, c4, c5]


def _stage(
    x: KerasTensor, stage: int, filters: Sequence[int], identity_blocks: int, strides: tuple[int, int], train_bn: bool | None,
    variant: ResNetVariant,
) -> KerasTensor:
    x = conv_block(x, 3, filters, stage=stage, block="a", strides=strides, train_bn=train_bn, variant=variant)
    for i in range(identity_blocks):
        x = identity_block(x, 3, filters, stage=stage, block=chr(ord("b") + i), train_bn=train_bn, variant=variant)
    return x
