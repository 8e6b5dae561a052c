"""Atomic downloads with progress. Nothing is downloaded unless requested.

This uses urllib rather than pooch, which needs requests, cannot resume either, and would not make the code shorter.
"""

import hashlib
import http.client
import os
import urllib.request
import zipfile
from pathlib import Path

from mrcnn.base.atomic_write import atomic_path, remove_leftovers, scratch_folder
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, progress_bar
from mrcnn.io.paths import inside

COCO_URL = "http://images.cocodataset.org"
# the 35k + 5k split of the 2014 validation set, from its publisher
COCO_SPLIT_URLS = {
    "minival": "https://dl.dropboxusercontent.com/s/o43o90bna78omob/instances_minival2014.json.zip?dl=0",
    "valminusminival": "https://dl.dropboxusercontent.com/s/s3tw5zcg7395368/instances_valminusminival2014.json.zip?dl=0",
}
_TIMEOUT_SECONDS = 60
_PIECE = 2**20


class DownloadError(DataError, OSError):
    """A file cannot be downloaded, or is corrupt. Nothing was kept."""


def download(url: str, path: Path | str, digest: str | None = None, progress: Stages | None = None) -> Path:
    """Download a file unless it exists. The file appears only once it is complete and its digest is verified.
    What killed downloads left in its folder is removed.

    Args:
        path: the file to write. Its folder is created if necessary.
        digest: of the content, such as "sha256:2c26b46b...", or its first digits, if the publisher states no more. None accepts
            any content.
        progress: receives one stage, in MiB. None shows a bar if standard error is a terminal; `unseen` shows nothing.

    Returns:
        The path of the file.

    Raises:
        DownloadError: the URL cannot be reached, or the content is incomplete or has a different digest.
    """
    path = Path(path)
    if not path.is_file():
        remove_leftovers(path.parent)
        with atomic_path(path) as temporary:
            _fetch(url, temporary, digest, progress, f"put it at {path}")
    return path


def download_zip(url: str, folder: Path | str, progress: Stages | None = None) -> None:
    """Download a zip file and unpack it into a folder. Nothing is written to the folder unless the whole archive can be read,
    and an interrupt leaves each new top-level folder whole or absent.

    Args:
        folder: created if necessary.
        progress: see `download`.

    Raises:
        DownloadError: the URL cannot be reached, or the content is not a complete, unencrypted zip file.
        OutsideError: the archive contains a path outside the folder.
    """
    folder = Path(folder)
    with scratch_folder(folder, ".download") as scratch:
        archive, unpacked = scratch / "archive.zip", scratch / "unpacked"
        unpacked.mkdir()
        _fetch(url, archive, None, progress, f"unpack it into {folder}")
        try:
            with zipfile.ZipFile(archive) as content:
                for name in content.namelist():
                    inside(folder, name, f"{url}: a file")
                content.extractall(unpacked)
        except DataError:
            raise
        except Exception as error:  # damaged and encrypted archives raise errors of any kind
            raise DownloadError(f"{url} cannot be unpacked: {type(error).__name__}: {error}. Nothing was kept") from error
        _move_entries(unpacked, folder)


def _move_entries(source: Path, folder: Path) -> None:
    """Move the files and folders in `source` to `folder`, replacing files.

    A folder that does not exist yet is moved in one step, so that an interrupt never leaves a part of it, which the next call
    would take for the whole.
    """
    for path in sorted(source.iterdir()):
        place = folder / path.name
        if path.is_dir() and place.is_dir():
            _move_entries(path, place)
        else:
            os.replace(path, place)


def download_coco(
    dataset_dir: Path | str, subset: str, year: str, base_url: str = COCO_URL, progress: Stages | None = None
) -> None:
    """Download the images and the annotations of a subset of COCO, unless they exist.

    Args:
        dataset_dir: receives {subset}{year}/ and annotations/.
        subset: train, val, minival or valminusminival (the last two only for 2014; they use the images of val).
        year: 2014 or 2017.
        base_url: serves zips/ and annotations/.
        progress: see `download`.

    Raises:
        DownloadError: a file cannot be downloaded.
    """
    root = Path(dataset_dir)
    images = "val" if subset in COCO_SPLIT_URLS else subset
    if not (root / f"{images}{year}").is_dir():
        download_zip(f"{base_url}/zips/{images}{year}.zip", root, progress)
    if not (root / "annotations" / f"instances_{subset}{year}.json").is_file():
        if subset in COCO_SPLIT_URLS:
            download_zip(COCO_SPLIT_URLS[subset], root / "annotations", progress)
        else:
            download_zip(f"{base_url}/annotations/annotations_trainval{year}.zip", root, progress)


def _fetch(url: str, target: Path, digest: str | None, progress: Stages | None, by_hand: str) -> None:
    """Download a URL to a file, and verify its length and digest. `by_hand` completes the advice in the error message."""
    algorithm, _, expected = (digest or "sha256:").partition(":")
    hashed, received = hashlib.new(algorithm, usedforsecurity=False), 0
    name = url.partition("?")[0].rpartition("/")[2]
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as source, open(target, "wb") as file:
            length = int(source.headers.get("Content-Length") or 0)
            with (progress or progress_bar)(f"downloading {name}, MiB") as show:
                while piece := source.read(_PIECE):
                    file.write(piece)
                    hashed.update(piece)
                    received += len(piece)
                    if show is not None and length:
                        show(-(-received // _PIECE), -(-length // _PIECE))
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} cannot be downloaded: {getattr(error, 'reason', error)}. Without a connection, download it "
                            f"elsewhere and {by_hand}") from error  # fmt: skip
    if received < length:
        raise DownloadError(f"{url}: {received} of {length} bytes arrived. Nothing was kept; try again")
    if expected and not hashed.hexdigest().startswith(expected):
        raise DownloadError(f"{url}: the content has the {algorithm} {hashed.hexdigest()}, expected {expected}. Nothing was "
                            "kept; try again, and if this repeats, the file has changed at its source")  # fmt: skip
