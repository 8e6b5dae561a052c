"""A folder of masks for each image, one PNG per instance, as in the nucleus data of the 2018 Data Science Bowl.

Layout: `<id>/images/<id>.png` and `<id>/masks/*.png`; or `images/<name>.jpg` and `masks/<name>/*.png`, including
subfolders. In a folder of masks, a subfolder is a class, and its PNGs are instances of it (`<id>/masks/<class>/*.png`). PNGs
that are not in such a subfolder belong to one class, "object". Non-zero pixels belong to the instance.

Subsets are subfolders that each hold such a data set; one called valid is the subset val. The classes are those of all
subsets, in alphabetical order, so that a class has the same number in each of them.

An image without a folder of masks is skipped, because it may not have been annotated; so is an image whose masks are not
PNGs. An image whose folder of masks is empty has no instances. The PNGs are read when an image is loaded.

Shape letters: H W image.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_class_names
from mrcnn.datasets.folders import part_name
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import IMAGE_SUFFIXES, image_names, read_stored
from mrcnn.io.paths import refuse_link

CLASS_NAME = "object"

# a function that lists the images of a folder: (id, path of the image, folder of its masks)
_Lister = Callable[[Path], Iterator[tuple[str, Path, Path]]]


def recognise(path: Path) -> str | None:
    """Return None for a folder of masks, else why it is not one."""
    if not path.is_dir():
        return "not a folder"
    try:
        parts = _parts(path)
    except DataError as error:
        return str(error)
    return None if parts else "no <id>/images/<id>.png with <id>/masks/, and no images/ with masks/<name>/"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets, [] if the folder is undivided."""
    return [name for name in _parts(Path(path)) if name is not None]


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    class_name: str = CLASS_NAME,
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "MaskFolderDataset":
    """Open a folder of masks, or a subset of it.

    Args:
        path: the folder.
        subset: one of `subsets`.
        class_name: the class of masks that are not in the folder of a class.
        labels: class names, or a text file with one per line; None takes the names of the folders. Masks of other classes
            are skipped.
        allow_outside: whether links may point outside the folder.
        progress: reports the stage "reading", of images.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: the subset does not exist, or `labels` cannot be read.
    """
    path = Path(path)
    parts = _parts(path)
    if subset not in parts:
        raise DataError(f"{path}: no <id>/images/<id>.png with <id>/masks/, and no images/ with masks/<name>/")
    names = read_class_names(labels) if labels is not None else _class_names(parts, class_name)
    dataset = MaskFolderDataset(path, class_name, allow_outside=allow_outside)
    for number, name in enumerate(names, start=1):
        dataset.add_class(dataset.source, number, name)
    folder, list_images = parts[subset]
    with (progress or unseen)("reading") as show:
        owners: dict[Path, Path] = {}
        for image_id, image, masks in tracked(list(list_images(folder)), show):
            if owners.setdefault(masks, image) != image:
                where = f"{masks}: {owners[masks].name} and {image.name}"
                dataset.notes.append((where, "images that differ only in their suffix share these masks"))
            dataset.add_masked_image(image_id, image, masks)
    dataset.log_skipped(path, "images or masks")
    return dataset


class MaskFolderDataset(AnnotatedDataset):
    """A data set of one PNG per instance."""

    source = "masks"

    def __init__(
        self,
        folder: Path | str,
        class_name: str = CLASS_NAME,
        class_map: Mapping[str, str] | None = None,
        *,
        allow_outside: bool = False,
    ) -> None:
        """Create an empty data set.

        Args:
            folder: the folder; links may not point outside it.
            class_name: see `open_subset`.
            class_map: see `Dataset.prepare`.
            allow_outside: see `open_subset`.
        """
        super().__init__(class_map, allow_outside=allow_outside)
        self.folder, self.class_name = Path(folder), class_name

    def add_masked_image(self, image_id: str, image: Path, masks: Path) -> None:
        """Add an image, or skip it if it has no folder of masks or the folder has no readable masks.

        Args:
            image_id: its id.
            image: the image file.
            masks: the folder of its masks.
        """
        files = list_masks(masks, self.class_name)
        if files is None:
            self.skip(image_id, "the image has no folder of masks: make an empty one if it shows no objects")
            return
        if not files and any(image_names(masks)):
            # without its masks, the image would be trained on as if it contained no objects
            self.skip(image_id, "none of its masks is a PNG in their folder or in that of a class")
            return
        known = self._class_numbers()
        for name, path in files:
            if name not in known:
                self.skip(str(path), f"its class {name!r} is not among the names")
        count = sum(name in known for name, _ in files)
        self.add_annotated_image(image_id, image, None, None, self.folder, masks=str(masks), count=count)

    def _class_numbers(self) -> dict[str, int]:
        return {info["name"]: info["id"] for info in self.class_info if info["source"] == self.source}

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Read the masks of an image; see `AnnotatedDataset.annotations_of`.

        Raises:
            DataError: a mask is damaged, or of another size than the image.
        """
        info, known = self.image_info[image_id], self._class_numbers()
        annotations = []
        for name, path in list_masks(Path(info["masks"]), self.class_name) or ():
            if name not in known:
                continue
            mask = self._read_mask(path, image_id)
            if mask.any():
                annotations.append({"category_id": known[name], "segmentation": encode_mask(mask)})
            else:
                self.skip(str(path), "the mask is empty")
        return annotations

    def _read_mask(self, path: Path, image_id: Integer) -> Bool[np.ndarray, "H W"]:
        if not self.allow_outside:
            refuse_link(path, self.folder, f"image {self.image_info[image_id]['id']}")
        pixels, size = read_stored(path), self.image_size(image_id)
        if pixels.shape[:2] != size:
            raise DataError(f"{path} is of size {pixels.shape[:2]}, but its image is of size {size} (height, width)")
        return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0)

    def num_instances(self, image_id: Integer) -> int | None:
        """Count the masks of an image, including empty ones; see `Dataset.num_instances`."""
        return self.image_info[image_id]["count"] if self.reads(image_id) else super().num_instances(image_id)


def list_masks(folder: Path, class_name: str = CLASS_NAME) -> list[tuple[str, Path]] | None:
    """List the PNGs of a folder of masks.

    Args:
        folder: the folder.
        class_name: the class of PNGs that are directly in it.

    Returns:
        (class name, path), sorted by file name, with those in class folders last; None if the folder does not exist.
    """
    if not folder.is_dir():
        return None
    masks = [(class_name, path) for path in _pngs(folder)]
    return masks + [(one.name, path) for one in _folders(folder) for path in _pngs(one)]


def _parts(path: Path) -> dict[str | None, tuple[Path, _Lister]]:
    """Find the subsets: name, or None if undivided -> (folder, function that lists its images)."""
    lister = _lister(path)
    if lister:
        return {None: (path, lister)}
    parts: dict[str | None, tuple[Path, _Lister]] = {}
    for folder in _folders(path):
        lister, name = _lister(folder), part_name(folder.name)
        if lister:
            parts[folder.name if name in parts else name] = folder, lister
    return parts


def _lister(folder: Path) -> _Lister | None:
    """Return the function that lists the images of a folder, None if the folder does not hold a data set."""
    images, masks = folder / "images", folder / "masks"
    if images.is_dir() and masks.is_dir():
        stems = {name.rpartition(".")[0] for name in image_names(images)}
        # an image in a subfolder has its masks further below
        heads = {stem.split("/")[0] for stem in stems}
        for one in _folders(masks):
            if one.name in stems or (one.name in heads and any((masks / stem).is_dir() for stem in stems)):
                return _flat_images
    if any(_image_of(one) is not None and (one / "masks").is_dir() for one in _folders(folder)):
        return _nested_images
    return None


def _nested_images(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """List the images of `<id>/images/<id>.png`."""
    for one in _folders(folder):
        image = _image_of(one)
        if image is not None:
            yield one.name, image, one / "masks"


def _image_of(folder: Path) -> Path | None:
    """Find `images/<name of the folder>.png`, with any image suffix."""
    images = folder / "images"
    for entry in _entries(images) if images.is_dir() else ():
        stem, suffix = os.path.splitext(entry.name)
        if stem == folder.name and suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            return images / entry.name
    return None


def _flat_images(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """List the images of images/."""
    for name in image_names(folder / "images"):
        yield name.rpartition(".")[0], folder / "images" / name, folder / "masks" / name.rpartition(".")[0]


def _class_names(parts: Mapping[str | None, tuple[Path, _Lister]], class_name: str) -> list[str]:
    """Return the classes of the masks of all subsets, in alphabetical order."""
    names: set[str] = set()
    for folder, list_images in parts.values():
        for _, _, masks in list_images(folder):
            names.update(name for name, _ in list_masks(masks, class_name) or ())
    return sorted(names)


def _folders(path: Path) -> list[Path]:
    """Return the subfolders of a folder, sorted."""
    return [Path(entry.path) for entry in _entries(path) if entry.is_dir()]


def _pngs(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.name.lower().endswith(".png") and entry.is_file()]


def _entries(path: Path) -> "list[os.DirEntry[str]]":
    """Return the entries of a folder that are not hidden, sorted by name."""
    try:
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
