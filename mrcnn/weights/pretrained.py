"""Published weights of whole networks: the classic COCO model. Those of backbones are in `imagenet.py`.

Each file is downloaded once into a cache folder and verified. Importing this module does not load Keras.
"""

import os
from pathlib import Path

from mrcnn.base.progress import unseen
from mrcnn.io.download import download

# The classic release: a ResNet-101 model trained on COCO 2014, with 81 classes.
COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
# Source: the documentation of NVIDIA TensorRT's sampleUffMaskRCNN.
COCO_MODEL_MD5 = "e98aaff6f99e307b5e2a8a3ff741a518"


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
