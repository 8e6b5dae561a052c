"""The catalogue of published weights of whole networks, and the download of weight files into a cache folder.

An entry's name can be given wherever a weight file can (`--weights NAME`); it then sets the recipe, BACKBONE and the other
attributes that the weights need. The weights of backbones are in `weights/imagenet.py`. Figures are those of the publisher, on
COCO 2017 val; None stands for what its pages do not say. Importing this module does not load Keras.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mrcnn.base.progress import unseen
from mrcnn.io.download import download

# The classic release: a ResNet-101 model trained on COCO 2014, with 81 classes.
COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
# Source: the documentation of NVIDIA TensorRT's sampleUffMaskRCNN.
COCO_MODEL_MD5 = "e98aaff6f99e307b5e2a8a3ff741a518"
_PYTORCH = "https://download.pytorch.org/models/"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/"
# Numbers of classes, with background, of weights that were trained on COCO: 80 things, or all ids up to 90 (torchvision).
COCO_ROWS = (81, 91)
# Source: MODEL_ZOO.md of detectron2, "License": all models that can be downloaded there.
_DETECTRON2_LICENCE = "CC BY-SA 3.0"


@dataclass(frozen=True)
class PublishedWeights:
    """Weights of a whole network, trained on COCO.

    Attributes:
        name: the name for `--weights`.
        recipe: the recipe of their network; see `mrcnn.recipes`.
        backbone: BACKBONE of the network.
        url: the file.
        digest: of the file, such as "sha256:2c26b46b...", or only its first digits.
        size: of the file in bytes.
        licence: of the file; None if the publisher states none for it, even if the code has a licence.
        box_ap, mask_ap: as the publisher states them.
        overrides: attributes of Config that differ from the recipe's.
    """

    name: str
    recipe: str
    backbone: str
    url: str
    digest: str
    size: int | None = None
    licence: str | None = None
    box_ap: float | None = None
    mask_ap: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where the file is, or will be, in the cache folder."""
        return cache_dir() / self.file_name

    def fetch(self, verbose: int = 1) -> Path:
        """Return the path of the file, which the first call downloads and verifies.

        Args:
            verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing.

        Raises:
            mrcnn.io.download.DownloadError: the download failed (the message says where to put a file that was downloaded
                elsewhere), or the file is not the published one.
        """
        return download_once(self.url, self.path, self.digest, verbose)


def cache_dir() -> Path:
    """Return the folder for downloads: MRCNN_CACHE, or mrcnn in the user's cache folder. A missing folder is created."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mrcnn"
    folder = Path(os.environ.get("MRCNN_CACHE") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def download_once(url: str, path: Path, digest: str, verbose: int) -> Path:
    """Download a weight file unless it exists. If `verbose` is above 0, print a line, and show a progress bar on a terminal."""
    if verbose > 0 and not path.is_file():
        print(f"Downloading {url} to {path} ...", flush=True)
    return download(url, path, digest, None if verbose > 0 else unseen)


def coco_weights(path: Path | str | None = None, verbose: int = 1) -> Path:
    """Download the classic COCO weights: ResNet-101, 81 classes, for `load_weights(path, by_name=True)`.

    Args:
        path: the file to write; None puts it in the cache folder.
        verbose: above 0 prints what is downloaded, with a progress bar on a terminal. 0 prints nothing.

    Raises:
        mrcnn.io.download.DownloadError: the download failed, or the file is not the released one.
    """
    return download_once(COCO_MODEL_URL, Path(path or cache_dir() / "mask_rcnn_coco.h5"), f"md5:{COCO_MODEL_MD5}", verbose)


def _zoo(name: str, backbone: str, folder: str, digest: str, box_ap: float, mask_ap: float) -> PublishedWeights:
    """Return an entry of detectron2's model zoo, whose file names carry the first digits of their MD5."""
    url = f"{_DETECTRON2}COCO-InstanceSegmentation/{folder}/model_final_{digest}.pkl"
    return PublishedWeights(name, "detectron2", backbone, url, f"md5:{digest}", licence=_DETECTRON2_LICENCE, box_ap=box_ap,
                            mask_ap=mask_ap)  # fmt: skip


def _lsj(depth: int, epochs: int, run: int, digest: str, box_ap: float | None = None,
         mask_ap: float | None = None) -> PublishedWeights:  # fmt: skip
    """Return an entry of detectron2's new baselines, trained with large-scale jitter."""
    url = f"{_DETECTRON2}new_baselines/mask_rcnn_R_{depth}_FPN_{epochs}ep_LSJ/{run}/model_final_{digest}.pkl"
    return PublishedWeights(f"detectron2_lsj_r{depth}_{epochs}", "detectron2_lsj", f"resnet{depth}", url, f"md5:{digest}",
                            licence=_DETECTRON2_LICENCE, box_ap=box_ap, mask_ap=mask_ap)  # fmt: skip


# Sources: `models/detection/mask_rcnn.py` of torchvision (addresses, AP); MODEL_ZOO.md of detectron2 (addresses, AP, licence);
# for its new baselines the table of AP in a copy, which lacks the runs of 200 epochs; sizes and whole digests from projects
# that verify their downloads.
_ENTRIES = (
    PublishedWeights("coco", "classic", "resnet101", COCO_MODEL_URL, f"md5:{COCO_MODEL_MD5}",
                     257_557_808),
    # Its batch norm has epsilon 0: torchvision overwrites it for these weights (`overwrite_eps`).
    PublishedWeights("torchvision", "torchvision", "resnet50", f"{_PYTORCH}maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
                     "sha256:bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0", 178_090_079, None, 37.9, 34.6,
                     MappingProxyType({"NORM_EPSILON": 0.0})),
    PublishedWeights("torchvision_v2", "torchvision_v2", "resnet50", f"{_PYTORCH}maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
                     "sha256:73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e", 185_828_065, None, 47.4, 41.8),
    _zoo("detectron2_r50_1x", "resnet50", "mask_rcnn_R_50_FPN_1x/137260431", "a54504", 38.6, 35.2),
    _zoo("detectron2_r50_3x", "resnet50", "mask_rcnn_R_50_FPN_3x/137849600", "f10217", 41.0, 37.2),
    _zoo("detectron2_r101_3x", "resnet101", "mask_rcnn_R_101_FPN_3x/138205316", "a3ec72", 42.9, 38.6),
    _lsj(50, 100, 42047764, "bb69de", 44.6, 40.3),
    _lsj(50, 200, 42047638, "89a8d3"),
    _lsj(50, 400, 42019571, "14d201", 47.4, 42.5),
    _lsj(101, 100, 42025812, "4f7b58", 46.4, 41.6),
    _lsj(101, 200, 42131867, "0bb7ae"),
    _lsj(101, 400, 42073830, "f96b26", 48.9, 43.7),
)  # fmt: skip
CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> PublishedWeights:
    """Return the entry of a name.

    Raises:
        ValueError: there is none; the message suggests the closest.
    """
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(CATALOGUE)}"
        raise ValueError(f"there are no published weights {name!r}: {hint}")
    return CATALOGUE[name]
