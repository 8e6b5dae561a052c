"""What is checked: the parts of a data set, each with its images and their annotations, however they are stored.

Shape letters: H W image.

A data set that a reader opened, or of the user's own class, as a part to be checked.

Its classes are numbered already, so nothing can be wrong with ids of categories here; what its reader passed over is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.dataset import Dataset, instances_of, overrides_later
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_image
from mrcnn.io.orientation import read_orientation, turn_upright

# ways of reading an image that are no more than reading its file
_PLAIN = (Dataset.load_image, AnnotatedDataset.load_image)


def dataset_part(dataset, name="", path=""):
    """Make a part of a data set.

    Args:
        dataset: Dataset. It is prepared if it is not.
        name: str. Of the part.
        path: str. Of its folder or file, for messages; file names are told relative to it.

    Returns:
        Part. Its category ids are the class ids of the data set.
    """
    if not hasattr(dataset, "num_images"):
        dataset.prepare()
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    images = [_image(dataset, i, folder if path else None) for i in range(len(dataset.image_info))]
    categories = dict(enumerate(dataset.class_names[1:], start=1))
    return Part(name, str(path), categories, images, partial(_annotations, dataset),
                lambda: list(getattr(dataset, "skipped", ())))


def _image(dataset, image_id, folder):
    info = dataset.image_info[image_id]
    size = (info["height"], info["width"]) if info.get("height") and info.get("width") else None
    size = None if size is None else tuple(int(v) for v in size)
    path = info["path"]
    is_file = path is not None and "://" not in str(path) and type(dataset).load_image in _PLAIN
    file = str(path or info["id"])
    if path and folder and Path(path).is_relative_to(folder):
        file = Path(path).relative_to(folder).as_posix()
    return CheckedImage(
        info["id"],
        file,
        Path(path) if is_file else None,
        size,
        Path(info["root"]) if info.get("root") else None,
        bool(info.get("exif_applied")),
        None if is_file else partial(dataset.load_image, image_id),
    )


def _annotations(dataset, image_id):
    """Give the annotations of an image, their category ids those of the classes."""
    if _has_annotations(dataset, image_id):
        classes, source = dataset.class_from_source_map, dataset.source
        return [
            (
                a.get("id", f"object {position} of the image"),
                {**a, "category_id": classes.get(f"{source}.{a.get('category_id')}", a.get("category_id"))},
            )
            for position, a in enumerate(dataset.annotations_of(image_id))
        ]
    masks, class_ids = instances_of(dataset, image_id)
    if isinstance(masks, np.ndarray):
        # [H, W, N]; without an instance the classic form has no height and width either
        masks = [masks[:, :, i] for i in range(masks.shape[-1] if masks.ndim == 3 else 0)]
    return [
        (f"object {i} of the image", {"category_id": abs(int(c)), "iscrowd": int(c < 0), "segmentation": _small(mask)})
        for i, (mask, c) in enumerate(zip(masks, class_ids))
    ]


def _has_annotations(dataset, image_id):
    """Whether the annotations of an image are its instances, and no subclass has redefined those since."""
    if not isinstance(dataset, AnnotatedDataset) or not dataset.is_own(image_id):
        return False
    return not any(overrides_later(dataset, name, "annotations_of") for name in ("load_mask", "load_instances"))


def _small(mask):
    return encode_mask(mask) if isinstance(mask, np.ndarray) else mask


@dataclass
class CheckedImage:
    """An image of a part.

    Attributes:
        id: int or str. As the data name it.
        file: str. As the data name it, for messages.
        path: Path of its file, or None where there is none, or its name cannot be used.
        size: (height, width) that the data say, or None.
        root: Path. The folder that the file must really lie in, or None.
        upright: bool. Whether size and annotations are those of the image turned by its EXIF orientation.
        load: function that reads its pixels [H, W, C], where they do not simply come from the file; or None.
        entry: dict of the JSON that it stands in, or None.
    """

    id: Any
    file: str
    path: Path | None
    size: tuple | None
    root: Path | None = None
    upright: bool = False
    load: Callable | None = None
    entry: dict | None = None

    def read(self):
        """Read the pixels as the annotations see them: [H, W, C]. Raises: DataError, and what an own `load` raises."""
        if self.load is not None:
            return self.load()
        image = read_image(self.path)
        return np.ascontiguousarray(turn_upright(image, read_orientation(self.path))) if self.upright else image


@dataclass
class Part:
    """A part of a data set.

    Attributes:
        name: str. Of the subset; "" for what is not divided.
        path: str. The file or folder, for messages.
        categories: dict id -> name.
        images: list of CheckedImage.
        annotations: function: position in `images` -> list of (label, annotation). The label is its id, or its place
            in the file; the annotation is a dict in COCO's form, in which anything may be wrong. It may raise DataError.
        left_out: function without arguments -> list of (where, reason): what a reader passed over.
        content: dict. The whole JSON of COCO's form, or None for other formats.
    """

    name: str
    path: str
    categories: dict
    images: list
    annotations: Callable
    left_out: Callable = field(default=list)
    content: dict | None = None
