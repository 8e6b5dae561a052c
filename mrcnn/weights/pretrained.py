"""Published weights: the classic COCO model, and ImageNet weights for the ResNet backbones.

Each file is downloaded once into a cache folder and verified. Importing this module does not load Keras.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn.base.progress import unseen
from mrcnn.io.download import download

if TYPE_CHECKING:
    import keras

# The classic release: a ResNet-101 model trained on COCO 2014, with 81 classes.
COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
# Source: the documentation of NVIDIA TensorRT's sampleUffMaskRCNN.
COCO_MODEL_MD5 = "e98aaff6f99e307b5e2a8a3ff741a518"

# The files of keras.applications without the classifier, and the digests listed there.
IMAGENET_URL = ("https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
                "{architecture}_weights_tf_dim_ordering_tf_kernels_notop.h5")  # fmt: skip
IMAGENET_MD5 = {"resnet50": "4d473c1dd8becc155b73f8504c6f6626", "resnet101": "88cf7a10940856eca736dc7b7e228a21"}

# Blocks of stages 2 to 5. Source: Deep Residual Learning (He et al. 2015), table 1.
BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}

# Names of the convolutions of a block, here and in keras.applications.
BRANCHES = {"branch2a": "1", "branch2b": "2", "branch2c": "3", "branch1": "0"}


def cache_dir() -> Path:
    """Return the folder for downloads: MRCNN_CACHE, or mrcnn in the user's cache folder. A missing folder is created."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mrcnn"
    folder = Path(os.environ.get("MRCNN_CACHE") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(url: str, path: Path, md5: str, verbose: int) -> Path:
    """Download a weight file unless it exists. If `verbose` is above 0, print a line, and show a progress bar on a terminal."""
    if verbose > 0 and not path.is_file():
        print(f"Downloading {url} to {path} ...", flush=True)
    return download(url, path, f"md5:{md5}", None if verbose > 0 else unseen)


def coco_weights(path: Path | str | None = None, verbose: int = 1) -> Path:
    """Download the classic COCO weights: ResNet-101, 81 classes, for `load_weights(path, by_name=True)`.

    Args:
        path: the file to write; None puts it in the cache folder.
        verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing.

    Raises:
        mrcnn.io.download.DownloadError: the download failed, or the file is not the released one.
    """
    return _download(COCO_MODEL_URL, Path(path or cache_dir() / "mask_rcnn_coco.h5"), COCO_MODEL_MD5, verbose)


def imagenet_weights(architecture: object = "resnet50", verbose: int = 1) -> Path:
    """Download the ImageNet weights of keras.applications, and convert them once to a classic weight file.

    Args:
        architecture: "resnet50" or "resnet101".
        verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing.

    Returns:
        A file for `load_weights(path, by_name=True)` with the layers of the backbone, including stage 5.

    Raises:
        ValueError: the architecture is unknown.
        mrcnn.io.download.DownloadError: the download failed, or the file is not the released one.
    """
    architecture = _checked_architecture(architecture)
    path = cache_dir() / f"{architecture}_imagenet_classic.h5"
    if path.is_file():
        return path
    url = IMAGENET_URL.format(architecture=architecture)
    source = _download(url, cache_dir() / url.rsplit("/", 1)[-1], IMAGENET_MD5[architecture], verbose)

    from mrcnn.weights import classic_h5
    from mrcnn.weights.tensors import open_weights

    with open_weights(source):  # Keras, which reads the file next, follows links to other files
        pass
    backbone = build_backbone(architecture)
    copy_application_weights(build_application(architecture, weights=str(source)), backbone, architecture)
    classic_h5.save(backbone, path)
    return path


def build_backbone(architecture: str, input_shape: tuple[int, int, int] = (64, 64, 3)) -> "keras.Model":
    """Return our ResNet as a model: image of `input_shape` -> feature maps [C1, C2, C3, C4, C5]."""
    import keras

    from mrcnn.network.backbones.resnet import resnet_graph

    image = keras.layers.Input(input_shape)
    return keras.Model(image, resnet_graph(image, architecture, stage5=True, train_bn=False))


def build_application(architecture: str, weights: str | None = None,
                      input_shape: tuple[int, int, int] = (64, 64, 3)) -> "keras.Model":
    """Return the model of keras.applications without its classifier, with weights from a file if one is given."""
    import keras

    build = {"resnet50": keras.applications.ResNet50, "resnet101": keras.applications.ResNet101}[architecture]
    return build(include_top=False, weights=weights, input_shape=input_shape)


def application_layers(architecture: str) -> dict[str, str]:
    """Map the name of each of our layers with weights to its name in keras.applications.

    "res3b_branch2a" is "conv3_block2_1_conv", "bn3b_branch2a" its batch normalisation "conv3_block2_1_bn".
    """
    _checked_architecture(architecture)
    names = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}
    for stage, blocks in enumerate(BLOCKS[architecture], start=2):
        for block in range(blocks):
            for branch, number in BRANCHES.items():
                if branch == "branch1" and block > 0:
                    continue
                ours, theirs = f"{stage}{chr(ord('a') + block)}_{branch}", f"conv{stage}_block{block + 1}_{number}"
                names[f"res{ours}"], names[f"bn{ours}"] = f"{theirs}_conv", f"{theirs}_bn"
    return names


def copy_application_weights(application: "keras.Model", backbone: "keras.Model", architecture: str) -> None:
    """Copy the weights of a ResNet of keras.applications to ours, so that both compute the same feature maps.

    Two differences are folded into the weights. The application takes BGR images and we take RGB, so the input channels of
    the first kernel are reversed. Its batch normalisation has epsilon 1.001e-5 and ours 1e-3, so gamma is scaled by
    sqrt((variance + ours) / (variance + theirs)), which is exact while the statistics are frozen (TRAIN_BN=False).

    One difference remains. If the output of conv1 has an even side, as for every image whose sides are divisible by 4, the
    "same" pooling of the classic network pads only at the bottom and right, while the application pads on all sides. Its maps
    are then shifted by one pixel of that layer (two of the image); for other sizes the maps are equal.

    Args:
        application: a model of `build_application`.
        backbone: a model with the layers of `resnet_graph` and stage 5; its weights are set.
        architecture: "resnet50" or "resnet101".

    Differs: the classic code fed RGB images to kernels trained on BGR, and ignored the difference of epsilon.
    """
    import keras

    for ours, theirs in application_layers(architecture).items():
        target, source = backbone.get_layer(ours), application.get_layer(theirs)
        values = {v.name: keras.ops.convert_to_numpy(v.value) for v in source.weights}
        if ours == "conv1":
            values["kernel"] = values["kernel"][:, :, ::-1]
        if "gamma" in values:
            variance = values["moving_variance"]
            values["gamma"] = values["gamma"] * ((variance + target.epsilon) / (variance + source.epsilon)) ** 0.5
        for variable in target.weights:
            variable.assign(values[variable.name])


def _checked_architecture(architecture: object) -> str:
    if not isinstance(architecture, str) or architecture not in BLOCKS:
        raise ValueError(f"there are ImageNet weights for {' and '.join(BLOCKS)}, not for {architecture!r}: train from "
                         "scratch, or load your own weight file")  # fmt: skip
    return architecture
