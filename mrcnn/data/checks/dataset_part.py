"""A data set that a reader opened, or of the user's own class, as a part to be checked.

Its classes are numbered already, so nothing can be wrong with ids of categories here; what its reader passed over is told.
"""

from functools import partial
from pathlib import Path

import numpy as np

from mrcnn.data.annotated import AnnotatedDataset
from mrcnn.data.checks.parts import CheckedImage, Part
from mrcnn.data.dataset import Dataset, instances_of, overrides_later
from mrcnn.geometry.rle import encode_mask

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
