"""ResNet-18 to ResNet-152 with the classic layer names, which weight files and `layers=` expressions rely on.

Source: Deep Residual Learning (He et al. 2015), table 1. The variants of other frameworks differ in what `ResNetVariant` lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
from keras import KerasTensor

from mrcnn.network.layers.norms import BatchNorm, convolve_and_normalise

# Number of blocks of stages 2 to 5. The blocks of the first two have two 3x3 convolutions, those of the others a bottleneck.
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3),
          "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}  # fmt: skip
BASIC = ("resnet18", "resnet34")


@dataclass(frozen=True)
class ResNetVariant:
    """The properties in which ResNets of other frameworks differ from the classic one, whose values are the defaults.

    Attributes:
        stride_in_3x3: whether the 3x3 convolution of a stage's first block has its stride ("v1.5"), or the first 1x1 one.
        use_bias: whether convolutions have a bias, which the normalisation after them makes redundant.
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
    x = _branch(input_tensor, (1, kernel_size, 1), filters, stage, block, (1, 1), train_bn, variant)
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
    x = _branch(input_tensor, (1, kernel_size, 1), filters, stage, block, strides, train_bn, variant)
    shortcut = _shortcut(input_tensor, filters[2], stage, block, strides, train_bn, variant)
    x = keras.layers.Add()([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{stage}{block}_out")(x)


def _shortcut(
    x: KerasTensor, filters: int, stage: int, block: str, strides: tuple[int, int], train_bn: bool | None,
    variant: ResNetVariant,
) -> KerasTensor:
    """Add the 1x1 convolution of a shortcut, with BatchNorm."""
    convolution = keras.layers.Conv2D(filters, (1, 1), strides=strides, use_bias=variant.use_bias,
                                      name=f"res{stage}{block}_branch1")  # fmt: skip
    norm = BatchNorm(name=f"bn{stage}{block}_branch1", epsilon=variant.epsilon)
    return convolve_and_normalise(x, convolution, norm, train_bn)


def _branch(
    x: KerasTensor, sides: Sequence[int], filters: Sequence[int], stage: int, block: str, strides: tuple[int, int],
    train_bn: bool | None, variant: ResNetVariant,
) -> KerasTensor:
    """Add the convolutions of a block, with kernels of these sides and BatchNorm, and ReLU between them."""
    strided = "b" if len(sides) == 3 and variant.stride_in_3x3 else "a"
    for part, side, channels in zip("abc", sides, filters):
        if part != "a":
            x = keras.layers.Activation("relu")(x)
        is_strided = part == strided and strides != (1, 1)
        pads_here = is_strided and side > 1 and variant.symmetric_padding
        if pads_here:
            x = keras.layers.ZeroPadding2D(side // 2)(x)
        convolution = keras.layers.Conv2D(
            channels, (side, side), strides=strides if is_strided else (1, 1), padding="valid" if pads_here else "same",
            use_bias=variant.use_bias, name=f"res{stage}{block}_branch2{part}")  # fmt: skip
        norm = BatchNorm(name=f"bn{stage}{block}_branch2{part}", epsilon=variant.epsilon)
        x = convolve_and_normalise(x, convolution, norm, train_bn)
    return x


def basic_block(
    input_tensor: KerasTensor, filters: int, stage: int, block: str, strides: tuple[int, int] = (1, 1),
    train_bn: bool | None = True, variant: ResNetVariant = CLASSIC,
) -> KerasTensor:
    """Add a residual block of two 3x3 convolutions, with a convolution on its shortcut if it changes the shape.

    Args:
        filters: channels of both convolutions.
        strides: of the first convolution.
        others: see `identity_block`.

    Returns:
        [B, ceil(h / stride), ceil(w / stride), filters].
    """
    x = _branch(input_tensor, (3, 3), (filters, filters), stage, block, strides, train_bn, variant)
    shortcut = input_tensor
    if strides != (1, 1) or input_tensor.shape[-1] != filters:
        shortcut = _shortcut(input_tensor, filters, stage, block, strides, train_bn, variant)
    x = keras.layers.Add()([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{stage}{block}_out")(x)


def resnet_graph(
    input_image: KerasTensor, architecture: str, stage5: bool = False, train_bn: bool | None = True,
    variant: ResNetVariant = CLASSIC,
) -> list[KerasTensor | None]:
    """Add a ResNet without its classifier.

    Args:
        input_image: float [B, H, W, channels]. Mean subtracted.
        architecture: a key of BLOCKS.
        stage5: whether to add the last stage.
        train_bn: see Config.TRAIN_BN.
        variant: see `ResNetVariant`.

    Returns:
        [C1, C2, C3, C4, C5]: maps at strides 4 (after pooling), 4, 8, 16 and 32; C5 is None without `stage5`.

    Raises:
        ValueError: unknown architecture.
    """
    if architecture not in BLOCKS:
        raise ValueError(f"architecture is {architecture!r}: choose one of {', '.join(BLOCKS)}.")
    x = keras.layers.ZeroPadding2D((3, 3))(input_image)
    convolution = keras.layers.Conv2D(64, (7, 7), strides=(2, 2), name="conv1", use_bias=variant.use_bias)
    x = convolve_and_normalise(x, convolution, BatchNorm(name="bn_conv1", epsilon=variant.epsilon), train_bn)
    x = keras.layers.Activation("relu")(x)
    if variant.symmetric_padding:  # zeros do not change a maximum of values that ReLU has made non-negative
        x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.MaxPooling2D((3, 3), strides=(2, 2), padding="valid" if variant.symmetric_padding else "same")(x)
    maps: list[KerasTensor | None] = [x]
    for stage, blocks in enumerate(BLOCKS[architecture], start=2):
        if stage == 5 and not stage5:
            return [*maps, None]
        x = _stage(x, stage, blocks, architecture in BASIC, train_bn, variant)
        maps.append(x)
    return maps


def _stage(
    x: KerasTensor, stage: int, blocks: int, basic: bool, train_bn: bool | None, variant: ResNetVariant
) -> KerasTensor:
    """Add a stage. Its first block halves the map, except in stage 2, which follows the pooling."""
    filters, strides = 16 * 2**stage, (1, 1) if stage == 2 else (2, 2)
    for number in range(blocks):
        block = block_letters(number)
        if basic:
            x = basic_block(x, filters, stage, block, strides if number == 0 else (1, 1), train_bn, variant)
        elif number == 0:
            x = conv_block(x, 3, [filters, filters, 4 * filters], stage, block, strides, train_bn=train_bn, variant=variant)
        else:
            x = identity_block(x, 3, [filters, filters, 4 * filters], stage, block, train_bn=train_bn, variant=variant)
    return x


def block_letters(number: int) -> str:
    """Return the name of a block in its stage: "a" to "z", and "aa", "ab", ... from the 27th on."""
    first, last = divmod(number, 26)
    return ("" if first == 0 else chr(ord("a") + first - 1)) + chr(ord("a") + last)
