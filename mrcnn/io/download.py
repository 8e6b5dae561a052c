"""Fetching public data sets; nothing here runs unless it is asked for."""

import contextlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from mrcnn.base.errors import DataError

COCO_URL = "http://images.cocodataset.org"
# the 35k + 5k split of the 2014 validation set, by its publisher
COCO_SPLIT_URLS = {
    "minival": "https://dl.dropboxusercontent.com/s/o43o90bna78omob/instances_minival2014.json.zip?dl=0",
    "valminusminival": "https://dl.dropboxusercontent.com/s/s3tw5zcg7395368/instances_valminusminival2014.json.zip?dl=0",
}


def download_coco(dataset_dir, subset, year, base_url=COCO_URL):
    """Download a subset of COCO, images and annotations, but for what is there already.

    Args:
        dataset_dir: path. Gets {subset}{year}/ and annotations/.
        subset: str. train, val, minival or valminusminival (the last two of 2014, whose images are those of val).
        year: str. 2014 or 2017.
        base_url: str. Where zips/ and annotations/ are served.

    Raises:
        DataError: a file cannot be fetched.
    """
    root = Path(dataset_dir)
    images = "val" if subset in COCO_SPLIT_URLS else subset
    if not (root / f"{images}{year}").is_dir():
        fetch_zip(f"{base_url}/zips/{images}{year}.zip", root)
    if not (root / "annotations" / f"instances_{subset}{year}.json").is_file():
        if subset in COCO_SPLIT_URLS:
            fetch_zip(COCO_SPLIT_URLS[subset], root / "annotations")
        else:
            fetch_zip(f"{base_url}/annotations/annotations_trainval{year}.zip", root)


@contextlib.contextmanager
def shown_reading(source, what):
    """Show on a terminal how much of a download has come, how fast it comes and how long it will take.

    Args:
        source: what `urllib.request.urlopen` gave.
        what: str, shown before the bar.

    Yields:
        The file to read from.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console, length = Console(stderr=True), source.headers.get("Content-Length")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        with bar.wrap_file(source, total=int(length) if length else None, description=what) as reader:
            yield reader


def fetch_zip(url, folder):
    """Download a zip file and unpack it; an interrupted run leaves nothing under a final name.

    Args:
        url: str.
        folder: path. Made when missing.

    Raises:
        DataError: the address cannot be reached, or what came is no zip file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        archive, unpacked = Path(scratch) / "archive.zip", Path(scratch) / "unpacked"
        try:
            with urllib.request.urlopen(url, timeout=60) as source, open(archive, "wb") as target:
                with shown_reading(source, url.rsplit("/", 1)[-1]) as reader:
                    shutil.copyfileobj(reader, target)
            with zipfile.ZipFile(archive) as content:
                content.extractall(unpacked)
        except (OSError, urllib.error.URLError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{url} cannot be downloaded: {error}. Without a network, put the files into {folder}"
            ) from error
        for path in sorted(p for p in unpacked.rglob("*") if p.is_file()):
            place = folder / path.relative_to(unpacked)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
