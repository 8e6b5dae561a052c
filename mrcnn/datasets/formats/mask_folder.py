"""A folder of masks an image, one PNG an instance, as the nuclei of the 2018 Data Science Bowl have it.

Layout: `<id>/images/<id>.png` and `<id>/masks/*.png`; or `images/<name>.jpg` and `masks/<name>/*.png`, sub-folders kept.
In a folder of masks a sub-folder is a class, and its PNGs are instances of it (`<id>/masks/<class>/*.png`). PNGs that lie
beside such sub-folders, or where there are none, are of one class, "object". What is not 0 in a PNG is inside.

Parts are sub-folders that each hold such a set; one called valid is the part val. The classes are those of all parts, in
alphabetical order, so that a class has one number in each of them.

An image without a folder of masks is left out: it may not have been annotated. So is one whose masks are images of another
kind than PNG. One whose folder is empty has no instances. The PNGs are read when an image is asked for.

Shape letters: H W image.
"""

import os
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_class_names
from mrcnn.datasets.folders import part_name
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import IMAGE_SUFFIXES, image_names, read_stored
from mrcnn.io.paths import refuse_link

CLASS_NAME = "object"


def recognise(path):
    """Say why a path is no folder of masks, or None. Args: path: Path. Returns: str or None."""
    if not path.is_dir():
        return "no folder"
    try:
        parts = _parts(path)
    except DataError as error:
        return str(error)
    return None if parts else "no <id>/images/<id>.png with <id>/masks/, and no images/ with masks/<name>/"


def subsets(path):
    """Name the parts: list of str, [] when the folder is undivided."""
    return [name for name in _parts(Path(path)) if name is not None]


def open_subset(path, subset=None, *, class_name=CLASS_NAME, labels=None, allow_outside=False, progress=None):
    """Open a folder of masks, or a part of it.

    Args:
        path: path of the folder.
        subset: str. The part.
        class_name: str. The class of the masks that lie in no folder of a class.
        labels: list of str, or path of a text file with the name of a class a line; None for the classes that are there.
            Masks of other classes are left out.
        allow_outside: bool. Whether links may lead out of the folder.
        progress: maker of stages (`mrcnn.base.progress`): "reading", of images; or None.

    Returns:
        MaskFolderDataset, not prepared.

    Raises:
        DataError: the part is missing, or `labels` cannot be read.
    """
    path = Path(path)
    parts = _parts(path)
    if subset not in parts:
        raise DataError(f"{path}: no <id>/images/<id>.png with <id>/masks/, and no images/ with masks/<name>/")
    names = read_class_names(labels) if labels is not None else _class_names(parts, class_name)
    dataset = MaskFolderDataset(path, class_name, allow_outside=allow_outside)
    for number, name in enumerate(names, start=1):
        dataset.add_class(dataset.source, number, name)
    folder, find = parts[subset]
    with (progress or unseen)("reading") as show:
        owners = {}
        for image_id, image, masks in tracked(list(find(folder)), show):
            if owners.setdefault(masks, image) != image:
                where = f"{masks}: {owners[masks].name} and {image.name}"
                dataset.notes.append((where, "images that differ only in their ending share it"))
            dataset.add_masked_image(image_id, image, masks)
    dataset.log_skipped(path, "images or masks")
    return dataset


def _parts(path):
    """Find the parts: {name, or None when undivided: (folder, function (folder) that lists its images)}."""
    kind = _kind(path)
    if kind:
        return {None: (path, kind)}
    found = {}
    for folder in _folders(path):
        kind, name = _kind(folder), part_name(folder.name)
        if kind:
            found[folder.name if name in found else name] = folder, kind
    return found


def _kind(folder):
    """Find the function that lists the images of a folder, None when it holds no set."""
    images, masks = folder / "images", folder / "masks"
    if images.is_dir() and masks.is_dir():
        stems = {name.rpartition(".")[0] for name in image_names(images)}
        # an image in a sub-folder has its masks further below
        heads = {stem.split("/")[0] for stem in stems}
        for one in _folders(masks):
            if one.name in stems or (one.name in heads and any((masks / stem).is_dir() for stem in stems)):
                return _flat_images
    if any(_own_image(one) is not None and (one / "masks").is_dir() for one in _folders(folder)):
        return _nested_images
    return None


def _folders(path):
    """The sub-folders of a folder, sorted: list of Path."""
    return [Path(entry.path) for entry in _entries(path) if entry.is_dir()]


def _entries(path):
    """What lies in a folder and is not hidden by a dot, sorted by name: list of os.DirEntry."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _own_image(folder):
    """Find `images/<name of the folder>.png`, or of another ending: Path or None."""
    images = folder / "images"
    for entry in _entries(images) if images.is_dir() else ():
        stem, suffix = os.path.splitext(entry.name)
        if stem == folder.name and suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            return images / entry.name
    return None


def _nested_images(folder):
    """List the images of `<id>/images/<id>.png`: (id, path of the image, folder of its masks)."""
    for one in _folders(folder):
        image = _own_image(one)
        if image is not None:
            yield one.name, image, one / "masks"


def _flat_images(folder):
    """List the images of images/: (name, path of the image, folder of its masks)."""
    for name in image_names(folder / "images"):
        yield name.rpartition(".")[0], folder / "images" / name, folder / "masks" / name.rpartition(".")[0]


def list_masks(folder, class_name=CLASS_NAME):
    """List the PNGs of a folder of masks.

    Args:
        folder: Path.
        class_name: str. The class of those that lie in it directly.

    Returns:
        list of (class name, Path), sorted by file name, those in folders of classes last; None where there is no folder.
    """
    if not folder.is_dir():
        return None
    found = [(class_name, path) for path in _files(folder, (".png",))]
    return found + [(one.name, path) for one in _folders(folder) for path in _files(one, (".png",))]


def _files(folder, suffixes):
    return [Path(entry.path) for entry in _entries(folder) if entry.name.lower().endswith(suffixes) and entry.is_file()]


def _class_names(parts, class_name):
    """The classes that the masks of all parts have, in alphabetical order: list of str."""
    found = set()
    for folder, find in parts.values():
        for _, _, masks in find(folder):
            found.update(name for name, _ in list_masks(masks, class_name) or ())
    return sorted(found)


class MaskFolderDataset(AnnotatedDataset):
    """A data set of one PNG an instance."""

    source = "masks"

    def __init__(self, folder, class_name=CLASS_NAME, class_map=None, *, allow_outside=False):
        """Make an empty one. Args: folder: path that nothing may lead out of; class_name: see `open_subset`."""
        super().__init__(class_map, allow_outside=allow_outside)
        self.folder, self.class_name = Path(folder), class_name

    def add_masked_image(self, image_id, image, masks):
        """Add an image, or note in `skipped` that it has no folder of masks, or none that can be read.

        Args:
            image_id: str.
            image: Path of it.
            masks: Path of the folder of its masks.
        """
        files = list_masks(masks, self.class_name)
        if files is None:
            self.skip(image_id, "the image has no folder of masks: make an empty one if there is nothing on it")
            return
        if not files and any(image_names(masks)):
            # without its masks an image would teach that there is nothing on it
            self.skip(image_id, "none of its masks is a PNG in their folder or in that of a class")
            return
        known = self._numbers()
        for name, path in files:
            if name not in known:
                self.skip(str(path), f"its class {name!r} is not among the names")
        count = sum(name in known for name, _ in files)
        self.add_annotated_image(image_id, image, None, None, self.folder, masks=str(masks), count=count)

    def _numbers(self):
        return {info["name"]: info["id"] for info in self.class_info if info["source"] == self.source}

    def annotations_of(self, image_id):
        """Read the masks of an image; see `AnnotatedDataset.annotations_of`.

        Raises:
            DataError: a mask is damaged, or of another size than the image.
        """
        info, known = self.image_info[image_id], self._numbers()
        found = []
        for name, path in list_masks(Path(info["masks"]), self.class_name) or ():
            if name not in known:
                continue
            mask = self._read_mask(path, image_id)
            if mask.any():
                found.append({"category_id": known[name], "segmentation": encode_mask(mask)})
            else:
                self.skip(str(path), "the mask is empty")
        return found

    def _read_mask(self, path, image_id):
        """Read a mask: bool [H, W]."""
        if not self.allow_outside:
            refuse_link(path, self.folder, f"image {self.image_info[image_id]['id']}")
        pixels, size = read_stored(path), self.image_size(image_id)
        if pixels.shape[:2] != size:
            raise DataError(f"{path} is of size {pixels.shape[:2]}, and its image of {size} (height, width)")
        return pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0

    def num_instances(self, image_id):
        """Count the masks of an image, those that turn out empty too; see `Dataset.num_instances`."""
        return self.image_info[image_id]["count"] if self.reads(image_id) else super().num_instances(image_id)
