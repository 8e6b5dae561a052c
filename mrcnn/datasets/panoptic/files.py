"""The files of COCO's panoptic annotations: a JSON of images and their segments, and a folder of PNGs beside it.

Layout: `annotations/panoptic_{subset}{year}.json`, the PNGs in `annotations/panoptic_{subset}{year}/`, the images in
`{subset}{year}/`.

Shape letters: S segments of an image.
"""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.panoptic.maps import number_categories
from mrcnn.io import json_fields as fields
from mrcnn.io.images import refuse_too_large
from mrcnn.io.paths import inside

# ids and areas beyond this would not fit the numbers of other tools
_MOST = 2**31 - 1
# segment ids are three bytes
_MOST_ID = 2**24 - 1


@dataclass(slots=True)
class PanopticImage:
    """An image with its segments.

    Attributes:
        id: int or str.
        name: str. Its file name without the ending, with / between parts.
        path: Path of the image file.
        size: (height, width).
        png: Path of the PNG of segments; None for an image without annotation.
        segments: int64 [S, 4], columns as in `mrcnn.datasets.panoptic.maps`; None for an image without annotation.
    """

    id: object
    name: str
    path: Path
    size: tuple[int, int] | None
    png: Path | None = None
    segments: np.ndarray | None = None


@dataclass
class PanopticIndex:
    """What a panoptic JSON tells.

    Attributes:
        categories: dict id -> Category, in ascending order of id.
        images: list of PanopticImage, in the order of the file.
        left_out: list of (where, reason): images that cannot be used.
    """

    categories: dict
    images: list
    left_out: list = field(default_factory=list)


def read_panoptic(path, image_dir, png_dir=None, *, strict=True, allow_outside=False, progress=None):
    """Read a panoptic JSON.

    Args:
        path: path of it.
        image_dir: path that the images' file names are relative to.
        png_dir: path that the PNGs' file names are relative to; None for the folder of the JSON's name beside it.
        strict: bool. True raises at the first faulty annotation; False leaves out its image, and notes it. An image
            without an annotation is left out and noted in both.
        allow_outside: bool. Whether file names may lead out of the folders.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of `read_json`, and "checking segments".

    Returns:
        PanopticIndex.

    Raises:
        DataError: the file is missing, or not a panoptic one; two images, two categories or two segments have one id;
            or see `strict`.
    """
    path = Path(path)
    png_dir = path.with_suffix("") if png_dir is None else Path(png_dir)
    content = fields.read_json(path, progress=progress)
    entries = {key: fields.field(content, key, list, str(path)) for key in ("images", "annotations", "categories")}
    refuse_instances(entries["annotations"], path)
    index = PanopticIndex(_categories(entries["categories"], path), [])
    images = _images(entries["images"], path, image_dir, allow_outside)
    with (progress or unseen)("checking segments") as show:
        annotations = tracked(entries["annotations"], show, every=100)
        annotated = _add_segments(annotations, images, index, path, png_dir, strict, allow_outside)
    index.images = [image for image in images.values() if image.segments is not None]
    bare = [image for image in images.values() if image.id not in annotated]
    index.left_out += [(f"image {image.id} ({image.name})", "it has no annotation") for image in bare]
    return index


def _add_segments(annotations, images, index, path, png_dir, strict, allow_outside):
    """Give the images their segments. Returns: set of the ids of those that have an annotation, usable or not."""
    annotated = set()
    for number, entry in enumerate(annotations):
        where = f"{path}: annotations[{number}]"
        try:
            image = images.get(fields.field(entry, "image_id", (int, str), where))
            if image is None:
                raise DataError(f"{where}: its image_id {fields.shown(entry['image_id'])} is not among the images")
            where = f"{path}: image {image.id} ({image.name})"
            if image.id in annotated:
                raise DataError(f"{where} has two annotations")
            annotated.add(image.id)
            png = fields.field(entry, "file_name", str, where)
            image.png = inside(png_dir, png, f"{where}: file_name of its PNG", allow_outside=allow_outside)
            image.segments = _segments(fields.field(entry, "segments_info", list, where), index.categories, where)
        except DataError as error:
            if strict:
                raise
            index.left_out.append((f"annotations[{number}]", str(error)))
    return annotated


def without_ending(file_name):
    """Take the ending off a file name. Args: file_name: str, / or \\ between parts. Returns: str, / between parts."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    return (path.parent / path.stem).as_posix()


def refuse_instances(annotations, path):
    """Say what to do where a file of instances stands in the place of a panoptic one.

    Args:
        annotations: list, of the JSON.
        path: path of the JSON.

    Raises:
        DataError: the first annotation has a segmentation, or a category, and no segments_info.
    """
    first = annotations[0] if annotations else None
    if isinstance(first, dict) and "segments_info" not in first and ("segmentation" in first or "category_id" in first):
        raise DataError(
            f"{path} holds instances, an annotation an object, and panoptic segments are wanted, an annotation an image "
            "with segments_info and a PNG: take panoptic_train2017.json and panoptic_val2017.json with their folders of "
            "PNGs, out of panoptic_annotations_trainval2017.zip from cocodataset.org. To train on instances, open the "
            "file as coco"
        )


def _categories(entries, path):
    """Check and number the categories: dict id -> Category."""
    found = {}
    for number, entry in enumerate(entries):
        where = f"{path}: categories[{number}]"
        category_id = fields.field(entry, "id", int, where)
        is_thing = fields.field(entry, "isthing", (int, bool), where)
        if not 0 < category_id <= _MOST or is_thing not in (0, 1):
            raise DataError(f"{where}: id {fields.shown(category_id)} and isthing {fields.shown(is_thing)} were found, "
                            "expected an id above 0 and isthing 0 or 1")  # fmt: skip
        if category_id in found:
            raise DataError(f"{where}: two categories have the id {category_id}")
        found[category_id] = (category_id, fields.field(entry, "name", str, where), bool(is_thing))
    if not found:
        raise DataError(f"{path} has no categories")
    return number_categories(found.values())


def _images(entries, path, image_dir, allow_outside):
    """Check the entries of the images: dict id -> PanopticImage without segments, in the order of the file."""
    found, names = {}, set()
    for number, entry in enumerate(entries):
        where = f"{path}: images[{number}]"
        image_id = fields.field(entry, "id", (int, str), where)
        file_name = fields.field(entry, "file_name", str, where)
        size = tuple(fields.field(entry, key, int, where) for key in ("height", "width"))
        if min(size) <= 0:
            raise DataError(f"{where}: image {file_name} has the height and width {fields.shown(size)}, expected pixels")
        refuse_too_large(size, f"{where}: image {file_name}")
        place = inside(image_dir, file_name, f"{where}: file_name", allow_outside=allow_outside)
        name = without_ending(file_name)
        if image_id in found:
            raise DataError(f"{where}: two images have the id {fields.shown(image_id)}, {found[image_id].name} and {name}")
        if name in names:
            raise DataError(f"{where}: two images have the file name {file_name}")
        names.add(name)
        found[image_id] = PanopticImage(image_id, name, place, size)
    return found


def _segments(infos, categories, where):
    """Check the segments of an image: int64 [S, 4]."""
    rows, seen = [], set()
    for number, info in enumerate(infos):
        row = _plain_row(info) or _checked_row(info, f"{where}, segments_info[{number}]")
        segment_id, category_id, _, is_crowd = row
        fault = None
        if not 0 < segment_id <= _MOST_ID:
            fault = f"its id is not from 1 to {_MOST_ID}, as R + 256 G + 65536 B of a colour but black is"
        elif segment_id in seen:
            fault = "another segment has this id"
        elif category_id not in categories:
            fault = f"its category {fields.shown(category_id)} is not among the categories"
        elif is_crowd and not categories[category_id].is_thing:
            fault = f"it is a crowd of {categories[category_id].name}, which is stuff: only things come in crowds"
        if fault:
            raise DataError(f"{where}, segment {fields.shown(segment_id)}: {fault}")
        seen.add(segment_id)
        rows.append(row)
    return np.array(rows, np.int64).reshape(-1, 4)


def _plain_row(info):
    """The numbers of a segment as nearly all files have them: a tuple, or None where a closer look is due."""
    try:
        row = info["id"], info["category_id"], info["area"], info["iscrowd"]
    except (KeyError, TypeError):
        return None
    return row if all(type(v) is int and 0 <= v <= _MOST for v in row) and row[3] < 2 else None


def _checked_row(info, where):
    """The numbers of a segment: a crowd may be true or false or untold, and an area 12.0."""
    row = [fields.field(info, name, int, where) for name in ("id", "category_id")]
    where = f"{where}, segment {fields.shown(row[0])}"
    area = fields.field(info, "area", (int, float), where)
    is_crowd = fields.field(info, "iscrowd", (int, bool), where, default=0)
    if not 0 <= area <= _MOST or int(area) != area:
        raise DataError(f"{where}: its area is {fields.shown(area)}, expected a number of pixels")
    if is_crowd not in (0, 1):
        raise DataError(f"{where}: iscrowd is {fields.shown(is_crowd)}, expected 0 or 1")
    return (*row, int(area), int(is_crowd))
