"""Networks of keras.applications as backbones: ConvNeXt, EfficientNetV2, MobileNetV3 and ResNetV2.

Layers keep their names, so that weights are copied by name. Four things differ from keras.applications:
batch normalisation follows Config.TRAIN_BN; the network begins with its first convolution, because its input is normalised
already (see `weights.imagenet`); stochastic depth is off, so that frozen layers return the same features in each step; and
ConvNeXt's depthwise convolutions are DepthwiseConv2D instead of Conv2D with groups, which TensorFlow computes a hundred times
as slowly on a CPU (of 7x7 over 96 channels of 64x64: 192 ms instead of 2, and 644 instead of 6 with gradients).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor

from mrcnn.network.layers.norms import BatchNorm

STRIDES = (4, 8, 16, 32)
# Settings that a depthwise convolution has in common with a Conv2D.
_DEPTHWISE = ("name", "dtype", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation", "use_bias")
# Side of the images for which strides are determined.
_SIDE = 128


@dataclass(frozen=True)
class Application:
    """A network of keras.applications.

    Attributes:
        function: name of the function that builds it.
        blocks: regular expression of the names of the layers whose outputs are those of blocks.
        has_preprocessing: whether the network starts with layers that normalise the image, which are left out.
    """

    function: str
    blocks: str
    has_preprocessing: bool = True

    def build(self, weights: str | None = None) -> keras.Model:
        """Build the network of keras.applications for RGB images, without classifier.

        Args:
            weights: None for random weights, "imagenet", or the path of a file.
        """
        options: dict[str, Any] = {"include_preprocessing": False} if self.has_preprocessing else {}
        build = getattr(keras.applications, self.function)
        return build(include_top=False, weights=weights, input_shape=(_SIDE, _SIDE, 3), **options)


_CONVNEXT, _EFFICIENTNET_V2 = r"add(_\d+)?", r"block\d+[a-z]+_(project_bn|add)"
_MOBILENET_V3, _RESNET_V2 = r"expanded_conv(_\d+)?_(project_bn|add)", r"conv\d_block\d+_out|post_relu"
APPLICATIONS = {
    **{f"convnext_{size}": Application(f"ConvNeXt{size.title()}", _CONVNEXT) for size in ("tiny", "small", "base")},
    **{f"efficientnetv2_{size}": Application(f"EfficientNetV2{size.upper()}", _EFFICIENTNET_V2)
       for size in ("b0", "b1", "b2", "b3", "s")},
    **{f"mobilenetv3_{size}": Application(f"MobileNetV3{size.title()}", _MOBILENET_V3) for size in ("small", "large")},
    **{f"resnet{depth}v2": Application(f"ResNet{depth}V2", _RESNET_V2, has_preprocessing=False) for depth in (50, 101, 152)},
}  # fmt: skip


def application_graph(
    input_image: KerasTensor, application: str, stage5: bool = True, train_bn: bool | None = True
) -> list[KerasTensor | None]:
    """Add a network of keras.applications without its classifier.

    Args:
        input_image: float [B, H, W, channels], normalised. H and W are dynamic or multiples of 32.
        application: a key of APPLICATIONS.
        stage5: whether to add the last stage.
        train_bn: see Config.TRAIN_BN.

    Returns:
        [None, C2, C3, C4, C5]: the outputs of the last blocks at strides 4, 8, 16 and 32; C5 is None without `stage5`.

    Raises:
        ValueError: H or W is not a multiple of 32.
    """
    original = APPLICATIONS[application].build()
    ends = last_blocks(original, APPLICATIONS[application].blocks)[: 4 if stage5 else 3]
    return [None, *clone_until(original, ends, input_image, train_bn), *([] if stage5 else [None])]


def clone_until(model: keras.Model, ends: Sequence[keras.Operation], input_image: KerasTensor, train_bn: bool | None,
                ) -> list[KerasTensor]:  # fmt: skip
    """Apply copies of the layers of a network to another input.

    Args:
        model: without preprocessing, downsamples by 32. Its layers may be in blocks of keras.Sequential.
        ends: layers of the model. What none of them needs is left out.
        input_image: float [B, H, W, channels], normalised. H and W are dynamic or multiples of 32.
        train_bn: see Config.TRAIN_BN.

    Returns:
        The outputs of `ends`.

    Raises:
        ValueError: H or W is not a multiple of 32.
    """
    if any(side is not None and side % 32 for side in input_image.shape[1:3]):
        raise ValueError(f"{model.name} takes images whose sides are multiples of 32, not {tuple(input_image.shape[1:3])}.")
    tensors: dict[str, KerasTensor] = {}

    def clone(operation: keras.Operation) -> keras.Operation:
        if isinstance(operation, keras.Sequential):
            return operation  # `call` clones its layers
        config = operation.get_config()
        if isinstance(operation, keras.layers.Conv2D) and operation.groups == operation.filters > 1:
            return keras.layers.DepthwiseConv2D(**{name: config[name] for name in _DEPTHWISE})
        if isinstance(operation, keras.layers.BatchNormalization):
            return BatchNorm.from_config({**config, "train_bn": train_bn})
        if isinstance(operation, keras.layers.Dropout):
            return keras.layers.Dropout.from_config({**config, "rate": 0.0})
        return type(operation).from_config(config)

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Sequential):
            output = args[0]
            for layer in operation.layers:
                output = clone(layer)(output)
        elif isinstance(operation, BatchNorm):
            output = operation(*args)  # it knows `training`, and takes no mask
        else:
            output = operation(*args, **kwargs)
        tensors[operation.name] = output
        return output

    needed = keras.Model(model.input, [end.output for end in ends])
    keras.models.clone_model(needed, input_tensors=input_image, clone_function=clone, call_function=call)
    return [tensors[end.name] for end in ends]


def last_blocks(model: keras.Model, blocks: str) -> list[keras.Operation]:
    """Return the layer that ends the last block at each of STRIDES.

    Args:
        model: takes square images.
        blocks: see `Application.blocks`.

    Raises:
        ValueError: there is no block at one of the strides.
    """
    side, ends = model.input.shape[1], dict[int, keras.Operation]()
    for operation in model.operations:
        if re.fullmatch(blocks, operation.name):
            ends[side // operation.output.shape[1]] = operation
    missing = [stride for stride in STRIDES if stride not in ends]
    if missing:
        raise ValueError(f"{model.name} has no block at stride {missing[0]} whose name matches {blocks!r}.")
    return [ends[stride] for stride in STRIDES]
