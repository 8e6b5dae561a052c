"""Networks of KerasHub as backbones: those with feature maps at strides 4 to 32 and plain layers, such as ResNet, DenseNet and
CSPNet.

`Config.BACKBONE = "keras_hub:resnet_50_imagenet"` names a preset: one that KerasHub downloads (only its configuration, unless
weights are loaded), or a folder that `save_to_preset` wrote. The package is imported only here, when such a backbone is used.
"""

from types import ModuleType

import keras
import numpy as np
from keras import KerasTensor

from mrcnn.config_rules import KERAS_HUB
from mrcnn.network.backbones.applications import STRIDES, clone_until

# Side of the images for which strides are determined.
_SIDE = 128


def keras_hub_graph(
    input_image: KerasTensor, preset: str, stage5: bool = True, train_bn: bool | None = True
) -> list[KerasTensor | None]:
    """Add a network of KerasHub. Layers keep their names, so that weights are copied by name.

    Args:
        input_image: float [B, H, W, channels], normalised. H and W are dynamic or multiples of 32.
        preset: name or folder of a preset.
        stage5: whether to add the last stage.
        train_bn: see Config.TRAIN_BN.

    Returns:
        [None, C2, C3, C4, C5]: the maps of the preset at strides 4, 8, 16 and 32; C5 is None without `stage5`.

    Raises:
        ValueError: H or W is not a multiple of 32, or see `load_preset`.
    """
    model = load_preset(preset)
    outputs = _maps(model)[: 4 if stage5 else 3]
    ends = [next(operation for operation in model.operations if operation.output is output) for output in outputs]
    return [None, *clone_until(model, ends, input_image, train_bn), *([] if stage5 else [None])]


def load_preset(preset: str, weights: bool = False) -> keras.Model:
    """Load a network of KerasHub.

    Args:
        preset: name or folder of a preset.
        weights: whether to load its weights, too; otherwise they are random.

    Raises:
        ValueError: KerasHub is not installed, there is no such preset, or its network cannot be a backbone.
    """
    name, backbones = f"{KERAS_HUB}{preset}", _package().models.Backbone
    try:
        model = backbones.from_preset(preset, load_weights=weights)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face have exceptions of their own
        raise ValueError(f"{name}: KerasHub cannot load this preset: {error}") from error
    if len(_maps(model)) < len(STRIDES):
        raise ValueError(f"{name} is a {type(model).__name__} without feature maps at the strides 4, 8, 16 and 32: choose "
                         f"another network, such as {KERAS_HUB}resnet_50_imagenet.")
    nested = next((layer for layer in model.layers for weight in layer.weights if weight.path != f"{layer.name}/{weight.name}"),
                  None)  # fmt: skip
    if nested is not None:
        raise ValueError(f"{name} has layers that consist of layers ({type(nested).__name__}): weight files, TRAIN_BN and "
                         "`layers=` need each of them by name. Choose another network, such as "
                         f"{KERAS_HUB}resnet_50_imagenet.")
    return model


def _maps(model: keras.Model) -> list[KerasTensor]:
    """Return the feature maps at STRIDES, or fewer. KerasHub's names of levels do not always stand for the same strides."""
    outputs = list(getattr(model, "pyramid_outputs", {}).values())
    image = (1, _SIDE, _SIDE, model.input.shape[-1])
    shapes = keras.Model(model.input, outputs).compute_output_shape(image) if outputs else []
    by_side = {shape[1]: output for shape, output in zip(shapes, outputs, strict=True)}
    return [by_side[_SIDE // stride] for stride in STRIDES if _SIDE // stride in by_side]


def pixel_normalisation(preset: str) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation by which a preset normalises pixels from 0 to 255.

    Returns:
        Two lists of one number for red, green and blue each.

    Raises:
        ValueError: KerasHub is not installed, or the preset says nothing about pixels.
    """
    converters = _package().layers.ImageConverter
    try:
        converter = converters.from_preset(preset)
    except Exception as error:  # see `load_preset`
        raise ValueError(f"{KERAS_HUB}{preset}: KerasHub cannot say how its images are normalised: {error}. A folder has that "
                         "if an ImageClassifier with its preprocessor was saved.") from error
    scales = np.broadcast_to(1.0 if converter.scale is None else converter.scale, 3).tolist()
    offsets = np.broadcast_to(0.0 if converter.offset is None else converter.offset, 3).tolist()
    # pixels * scale + offset = (pixels - mean) / deviation
    return ([-offset / scale for scale, offset in zip(scales, offsets, strict=True)], [1 / scale for scale in scales])


def _package() -> ModuleType:
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(f"a BACKBONE that begins with {KERAS_HUB} needs the package keras-hub: pip install keras-hub "
                         f"({error})") from error
    return keras_hub
