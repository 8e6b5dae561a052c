"""The image files of a data set, as a writer names and copies them."""

import os
import shutil
from pathlib import Path

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.io.paths import refuse_link

_JPEG = (".jpg", ".jpeg")


def images_folder(dataset, image_ids=None):
    """Find the folder that the names of a data set's images are relative to, so that sub-folders are kept.

    Args:
        dataset: Dataset.
        image_ids: positions of the images that count; None for all.

    Returns:
        Path. What the reader calls the root of its images where it is one; else the deepest folder that all image
        files lie in; the working folder where no image is a file.
    """
    infos = dataset.image_info if image_ids is None else [dataset.image_info[i] for i in image_ids]
    roots = {info.get("root") for info in infos if info["path"]}
    if len(roots) == 1 and None not in roots:
        return Path(roots.pop())
    parents = {os.path.abspath(os.path.dirname(info["path"])) for info in infos if is_file_name(info["path"])}
    try:
        return Path(os.path.commonpath(parents)) if parents else Path(".")
    except ValueError as error:  # several drives
        raise DataError(f"the images lie on several drives, and no one folder holds them: {error}") from error


def is_file_name(path):
    """Tell whether an image's path is that of a file, and neither missing nor an address: bool."""
    return bool(path) and "://" not in str(path)


def is_file(info):
    """Tell whether an image, by its `image_info`, is a file that is there: bool."""
    return is_file_name(info["path"]) and os.path.isfile(info["path"])


# told of images that are named in what is written, and are not there
MISSING = "its image file does not exist, and is named all the same: say where the images are, or put them there"


class ImageNames:
    """Gives each image of a data set a name of its own, relative to a folder, and copies it there if asked to."""

    def __init__(self, dataset, images=None, copy_to=None, image_ids=None, *, upright=False):
        """Prepare.

        Args:
            dataset: Dataset.
            images: path of the folder that names are relative to; None finds it.
            copy_to: path of the folder that copies go to, or None for no copies.
            image_ids: see `images_folder`.
            upright: bool. Copies of images that the data set turns by their EXIF orientation are turned, and not the
                files as they are.
        """
        self.dataset = dataset
        self.folder = Path(images) if images is not None else images_folder(dataset, image_ids)
        self.copy_to = None if copy_to is None else Path(copy_to)
        self.upright = upright
        self._taken = set()

    def name(self, image_id):
        """Name an image, and copy it where `copy_to` is given.

        Args:
            image_id: int. Position in the data set.

        Returns:
            str with / between its parts: where the image lies, relative to the folder of the images, or of the copies.

        Raises:
            DataError: the image is no file, or lies elsewhere, and copies were not asked for; or it cannot be read.
        """
        info = self.dataset.image_info[image_id]
        name = self._relative(info["path"])
        if self.copy_to is None:
            if name is None:
                raise DataError(f"{_why(info['path'], self.folder)}: have images copied (copy_images, --copy-images)")
            return name
        path = Path(name or (Path(info["path"]).name if is_file_name(info["path"]) else f"{_safe(info['id'])}.png"))
        if not is_file(info):
            name = self.own_name(path.with_suffix(".png"))
            _save(self.dataset.load_image(image_id), self.copy_to / name)
            return name
        if info.get("root"):
            refuse_link(info["path"], info["root"], f"image {info['id']}")
        if self.is_drawn_anew(info):
            name = self.own_name(path if path.suffix.lower() in _JPEG else path.with_suffix(".png"))
            _save(self.dataset.load_image(image_id), self.copy_to / name)
        else:
            name = self.own_name(path)
            copy_file(info["path"], self.copy_to / name)
        return name

    def is_drawn_anew(self, info):
        """Tell whether the copy of an image is made of its pixels, and not of its file: bool. Args: info: its `image_info`."""
        return self.upright and bool(info.get("exif_applied"))

    def own_name(self, path):
        """Number a name that was given out before. Args: path: relative Path. Returns: str with / between its parts."""
        name, number = path.as_posix(), 1
        while name.lower() in self._taken:
            number += 1
            name = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
        self._taken.add(name.lower())
        return name

    def _relative(self, path):
        """The name of a file below the folder, or None."""
        if not is_file_name(path):
            return None
        try:
            name = os.path.relpath(os.path.abspath(path), os.path.abspath(self.folder))
        except ValueError:  # another drive
            return None
        return None if name.split(os.sep)[0] == ".." else Path(name).as_posix()


def _why(path, folder):
    return f"its file is not in {folder}" if is_file_name(path) else "it is no file"


def _safe(image_id):
    """Make a file name of an id: what is neither letter nor digit may mean something to a file system."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in str(image_id)).lstrip(".") or "image"


def copy_file(source, target):
    """Copy a file whole; one that was copied before, and has not changed since, is left as it is.

    Args:
        source: path.
        target: path. Its folder is made if it is missing.

    Raises:
        DataError: the source cannot be read.
    """
    try:
        _copy(source, target)
    except FileNotFoundError as error:
        raise DataError(f"image file {source} does not exist") from error


def _copy(source, target):
    there, new = (os.stat(path) if os.path.exists(path) else None for path in (target, source))
    if there is not None and (there.st_size, int(there.st_mtime)) == (new.st_size, int(new.st_mtime)):
        return
    if there is not None and os.path.samestat(there, new):
        return
    with open(source, "rb") as read, atomic_open(target) as write:
        shutil.copyfileobj(read, write)
    shutil.copystat(source, target)


def _save(image, target):
    """Write pixels as PNG, or as JPEG of high quality where the name says so."""
    from PIL import Image

    kind = "JPEG" if target.suffix.lower() in _JPEG else "PNG"
    with atomic_open(target) as file:
        Image.fromarray(image).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
