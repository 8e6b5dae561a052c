"""Naming and copying the image files of a data set for the writers."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.io.paths import refuse_link

_JPEG = (".jpg", ".jpeg")
# note on images of which only the name is written
MISSING = "its image file does not exist, but its name was written anyway: pass the folder of the images, or restore them"


def images_folder(dataset: Dataset, image_ids: Sequence[int] | None = None) -> Path:
    """Find the folder to which the image names of a data set are relative, so that subfolders are kept.

    Args:
        image_ids: indices of the images to consider; None for all.

    Returns:
        The root folder recorded by the reader, if any; else the deepest folder that contains all image files; the working
        folder if no image has a file.
    """
    infos = dataset.image_info if image_ids is None else [dataset.image_info[i] for i in image_ids]
    roots = {info.get("root") for info in infos if info["path"]}
    root = roots.pop() if len(roots) == 1 else None
    if root is not None:
        return Path(root)
    parents = {os.path.abspath(os.path.dirname(info["path"])) for info in infos if is_file_name(info["path"])}
    try:
        return Path(os.path.commonpath(parents)) if parents else Path(".")
    except ValueError as error:  # different drives
        raise DataError(f"no folder contains all images, which are on several drives: {error}") from error


def is_file_name(path: object) -> bool:
    """Return whether the path of an image names a file; it may be missing, or be a URL."""
    return bool(path) and "://" not in str(path)


def is_file(info: Mapping[str, Any]) -> bool:
    """Return whether the file of an image exists, given its entry in `image_info`."""
    return is_file_name(info["path"]) and os.path.isfile(info["path"])


class ImageNames:
    """Assigns each image of a data set a unique name relative to a folder, and optionally copies it there."""

    def __init__(self, dataset: Dataset, images: Path | str | None = None,
                 copy_to: Path | str | None = None, image_ids: Sequence[int] | None = None, *,
                 upright: bool = False) -> None:  # fmt: skip
        """Determine the folder of the images.

        Args:
            images: folder to which names are relative; None determines it.
            copy_to: folder for copies, or None for no copies.
            image_ids: see `images_folder`.
            upright: whether images that the data set rotates by their EXIF orientation are written rotated, not copied.
        """
        self.dataset = dataset
        self.folder = Path(images) if images is not None else images_folder(dataset, image_ids)
        self.copy_to = None if copy_to is None else Path(copy_to)
        self.upright = upright
        self._taken: set[str] = set()

    def name(self, image_id: int) -> str:
        """Name an image, and copy it if there is a folder for copies.

        Args:
            image_id: index in the data set.

        Returns:
            The path of the image, or of its copy, relative to the folder of the images or of the copies, with / as separator.

        Raises:
            DataError: the image has no file in the folder and is not copied, or it cannot be read.
        """
        info = self.dataset.image_info[image_id]
        name = self._relative(info["path"])
        if self.copy_to is None:
            if name is None:
                reason = f"its file is not in {self.folder}" if is_file_name(info["path"]) else "it has no file"
                raise DataError(f"{reason}: copy the images (copy_images, --copy-images)")
            return name
        path = Path(name or (Path(info["path"]).name if is_file_name(info["path"]) else f"{_safe(info['id'])}.png"))
        if not is_file(info):
            name = self.unique_name(path.with_suffix(".png"))
            _save(self.dataset.load_image(image_id), self.copy_to / name)
            return name
        if info.get("root"):
            refuse_link(info["path"], info["root"], f"image {info['id']}")
        if self.is_redrawn(image_id):
            name = self.unique_name(path if path.suffix.lower() in _JPEG else path.with_suffix(".png"))
            _save(self.dataset.load_image(image_id), self.copy_to / name)
        else:
            name = self.unique_name(path)
            copy_file(info["path"], self.copy_to / name)
        return name

    def is_redrawn(self, image_id: int) -> bool:
        """Return whether the copy of an image is encoded from its pixels instead of copied from its file."""
        return self.upright and self.dataset.is_rotated(image_id)

    def unique_name(self, path: Path) -> str:
        """Make a relative path unique by numbering it, and return it with / as separator."""
        return unique_name(path.with_suffix("").as_posix(), path.suffix, self._taken)

    def _relative(self, path: Any) -> str | None:
        """Return the path of a file relative to the folder; None if the folder does not contain it."""
        if not is_file_name(path):
            return None
        try:
            name = os.path.relpath(os.path.abspath(path), os.path.abspath(self.folder))
        except ValueError:  # a different drive
            return None
        return None if name.split(os.sep)[0] == ".." else Path(name).as_posix()


def unique_name(stem: str, suffix: str, taken: set[str]) -> str:
    """Join a stem and a suffix, with a number if the name is taken.

    Args:
        taken: names in lower case, because file systems may ignore case; the new name is added.
    """
    name, number = stem + suffix, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}_{number}{suffix}"
    taken.add(name.lower())
    return name


def _safe(image_id: object) -> str:
    """Make a file name from an id: characters other than letters and digits may be special to a file system."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in str(image_id)).lstrip(".") or "image"


def copy_file(source: Path | str, target: Path | str) -> None:
    """Copy a file atomically, unless an unchanged copy exists.

    Args:
        target: its folder is created if necessary.

    Raises:
        DataError: the source does not exist.
    """
    old = os.stat(target) if os.path.exists(target) else None
    try:
        new = os.stat(source)
        if old is not None and ((old.st_size, int(old.st_mtime)) == (new.st_size, int(new.st_mtime))
                                or os.path.samestat(old, new)):  # fmt: skip
            return
        with open(source, "rb") as read, atomic_open(target) as write:
            shutil.copyfileobj(read, write)
    except FileNotFoundError as error:
        raise DataError(f"image file {source} does not exist") from error
    shutil.copystat(source, target)


def _save(image: np.ndarray, target: Path) -> None:
    """Write pixels as PNG, or as high-quality JPEG if the suffix is that of JPEG."""
    from PIL import Image

    kind = "JPEG" if target.suffix.lower() in _JPEG else "PNG"
    with atomic_open(target) as file:
        Image.fromarray(image).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
