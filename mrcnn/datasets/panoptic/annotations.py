"""COCO's panoptic annotations: a JSON of images and their segments, and a folder of PNGs that draw the segments.

Layout: `annotations/panoptic_{subset}{year}.json`, the PNGs in `annotations/panoptic_{subset}{year}/`, the images in
`{subset}{year}/`.

The id of a segment is R + 256 G + 65536 B of its pixels; 0 means no segment. A *panoptic map* holds, for each pixel,
semantic id * 256 + instance id: semantic ids number the categories from 1 in ascending order of their ids, COCO's own
always as if all 133 were listed; instance ids count from 1 within a category and an image, for things that are not crowds.
Instance 0 stands for stuff and crowds, and the value 0 marks ignored pixels.

Source: https://cocodataset.org/#format-data, "Panoptic Segmentation". Shape letters: H W image, S segments of an image.
"""

import io
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt8

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.datasets.coco_names import STUFF, THINGS
from mrcnn.geometry.label_map import LabelMap
from mrcnn.io import json_fields as fields
from mrcnn.io.images import refuse_too_large
from mrcnn.io.paths import inside

# panoptic id = semantic id * LABEL_DIVISOR + instance id
LABEL_DIVISOR = 256
MAX_INSTANCES = LABEL_DIVISOR - 1
# the panoptic id of ignored pixels
IGNORE = 0
# columns of the array of an image's segments, int64 [S, 4]
SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD = range(4)
# maximum id and area: larger ones do not fit the int32 of other tools
_MAX_INT32 = 2**31 - 1
# segment ids have three bytes
_MAX_SEGMENT_ID = 2**24 - 1
_PNG_HEAD = struct.Struct(">8s4x4sIIBB")
_PNG_SIGNATURE, _EIGHT_BIT_RGB = b"\x89PNG\r\n\x1a\n", (8, 2)


@dataclass(frozen=True)
class Category:
    """A category.

    Attributes:
        semantic_id: its number from 1; see `number_categories`.
    """

    id: int
    name: str
    is_thing: bool
    semantic_id: int


# (id, name, whether it is a thing) of COCO's categories, by ascending id
_COCO_ENTRIES = sorted([(i, name, True) for i, name in THINGS] + [(i, name, False) for i, name in STUFF])


def number_categories(categories: Iterable[tuple[int, str, bool]]) -> dict[int, Category]:
    """Number categories by their ids.

    If all of them are COCO's, each gets its number in COCO's full list, 1 to 133, as in DeepLab2: the shards of a selection
    have the label space of the whole.

    Args:
        categories: (id, name, whether it is a thing), with distinct ids.

    Returns:
        Id -> category, in ascending order of id.
    """
    listed = set(categories)
    numbered = _COCO_ENTRIES if listed <= set(_COCO_ENTRIES) else sorted(listed)
    return {entry[0]: Category(*entry, number) for number, entry in enumerate(numbered, start=1) if entry in listed}


def coco_categories() -> dict[int, Category]:
    """Return COCO's 133 categories, by id."""
    return number_categories(_COCO_ENTRIES)


@dataclass(slots=True)
class PanopticImage:
    """An image with its segments.

    Attributes:
        name: file name without its suffix, with / as separator.
        size: (height, width), None if unknown.
        png: PNG of the segments; None for an image without annotation.
        segments: columns SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD; None for an image without annotation.
    """

    id: int | str
    name: str
    path: Path
    size: tuple[int, int] | None
    png: Path | None = None
    segments: Int64[np.ndarray, "S 4"] | None = None


@dataclass
class PanopticIndex:
    """The content of a panoptic JSON.

    Attributes:
        categories: id -> category, in ascending order of id.
        images: in the order of the file.
        skipped: (where, reason) of images that cannot be used.
    """

    categories: dict[int, Category]
    images: list[PanopticImage]
    skipped: list[tuple[str, str]] = field(default_factory=list)


def read_panoptic(
    path: Path | str,
    image_dir: Path | str,
    png_dir: Path | str | None = None,
    *,
    strict: bool = True,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> PanopticIndex:
    """Read a panoptic JSON.

    A JSON without the list of images has an image for each annotation: the PNG's name with the suffix .jpg, of unknown size.

    Args:
        path: the JSON.
        image_dir: folder that the images' file names are relative to.
        png_dir: folder that the PNGs' file names are relative to; None for the folder next to the JSON with the same name.
        strict: True raises at the first faulty annotation; False skips its image and reports it. An image without an
            annotation is skipped and reported in both cases.
        allow_outside: whether file names may point outside the folders.
        progress: reports the stages of `read_json`, and "checking segments".

    Raises:
        DataError: the file is missing, or is not a panoptic JSON; two images, two categories or two segments have the same
            id; or an annotation is faulty and `strict` is True.
    """
    path = Path(path)
    png_dir = path.with_suffix("") if png_dir is None else Path(png_dir)
    content = fields.read_json(path, progress=progress)
    entries = {key: fields.field(content, key, list, str(path)) for key in ("annotations", "categories")}
    refuse_instances(entries["annotations"], path)
    listed = fields.field(content, "images", list, str(path), default=None)
    index = PanopticIndex(_categories(entries["categories"], path), [])
    images = _images(_images_of(entries["annotations"]) if listed is None else listed, path, image_dir, allow_outside,
                     with_sizes=listed is not None)  # fmt: skip
    with (progress or unseen)("checking segments") as show:
        annotations = tracked(entries["annotations"], show, every=100)
        annotated = _add_segments(annotations, images, index, path, png_dir, strict, allow_outside)
    index.images = [image for image in images.values() if image.segments is not None]
    bare = [image for image in images.values() if image.id not in annotated]
    index.skipped += [(f"image {image.id} ({image.name})", "it has no annotation") for image in bare]
    return index


def _add_segments(
    annotations: Iterable[Any],
    images: Mapping[int | str, PanopticImage],
    index: PanopticIndex,
    path: Path,
    png_dir: Path,
    strict: bool,
    allow_outside: bool,
) -> set[int | str]:
    """Add the segments to the images.

    Returns:
        Ids of the images that have an annotation, usable or not.
    """
    annotated: set[int | str] = set()
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
            index.skipped.append((f"annotations[{number}]", str(error)))
    return annotated


def without_suffix(file_name: str) -> str:
    """Return a file name without its suffix, with / as separator."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    return (path.parent / path.stem).as_posix()


def refuse_instances(annotations: Sequence[Any], path: Path | str) -> None:
    """Refuse a file of instance annotations, and say which file to use instead.

    Args:
        annotations: list of the JSON.
        path: the JSON.

    Raises:
        DataError: the first annotation has a segmentation or a category, and no segments_info.
    """
    first = annotations[0] if annotations else None
    if isinstance(first, dict) and "segments_info" not in first and ("segmentation" in first or "category_id" in first):
        raise DataError(
            f"{path} holds instances, one annotation per object; expected panoptic segments, one annotation per image "
            "with segments_info and a PNG: use panoptic_train2017.json and panoptic_val2017.json with their folders of "
            "PNGs, from panoptic_annotations_trainval2017.zip of cocodataset.org. To train on instances, open the "
            "file as coco"
        )


def _categories(entries: Sequence[Any], path: Path) -> dict[int, Category]:
    """Check and number the categories."""
    checked: dict[int, tuple[int, str, bool]] = {}
    for number, entry in enumerate(entries):
        where = f"{path}: categories[{number}]"
        category_id = fields.field(entry, "id", int, where)
        is_thing = fields.field(entry, "isthing", (int, bool), where)
        if not 0 < category_id <= _MAX_INT32 or is_thing not in (0, 1):
            raise DataError(f"{where} has the id {fields.shown(category_id)} and isthing {fields.shown(is_thing)}, "
                            "expected an id above 0 and isthing 0 or 1")  # fmt: skip
        if category_id in checked:
            raise DataError(f"{where}: two categories have the id {category_id}")
        checked[category_id] = (category_id, fields.field(entry, "name", str, where), bool(is_thing))
    if not checked:
        raise DataError(f"{path} has no categories")
    return number_categories(checked.values())


def _images_of(annotations: Sequence[Any]) -> list[dict[str, Any]]:
    """Return entries of the images that annotations have; `_add_segments` reports annotations that tell none."""
    return [{"id": a["image_id"], "file_name": f"{without_suffix(a['file_name'])}.jpg"} for a in annotations
            if isinstance(a, dict) and isinstance(a.get("image_id"), int | str) and isinstance(a.get("file_name"), str)]


def _images(entries: Sequence[Any], path: Path, image_dir: Path | str, allow_outside: bool, *,
            with_sizes: bool = True) -> dict[int | str, PanopticImage]:  # fmt: skip
    """Check the entries of the images.

    Returns:
        Id -> image without segments, in the order of the file.
    """
    images: dict[int | str, PanopticImage] = {}
    names: set[str] = set()
    for number, entry in enumerate(entries):
        where = f"{path}: images[{number}]"
        image_id = fields.field(entry, "id", (int, str), where)
        file_name = fields.field(entry, "file_name", str, where)
        size = None
        if with_sizes:
            size = fields.field(entry, "height", int, where), fields.field(entry, "width", int, where)
            if min(size) <= 0:
                raise DataError(f"{where}: image {file_name} has the size {fields.shown(size)}, expected pixels above 0")
            refuse_too_large(size, f"{where}: image {file_name}")
        image_path = inside(image_dir, file_name, f"{where}: file_name", allow_outside=allow_outside)
        name = without_suffix(file_name)
        if image_id in images:
            raise DataError(f"{where}: two images have the id {fields.shown(image_id)}, {images[image_id].name} and {name}")
        if name in names:
            raise DataError(f"{where}: two images have the file name {file_name}")
        names.add(name)
        images[image_id] = PanopticImage(image_id, name, image_path, size)
    return images


def _segments(infos: Sequence[Any], categories: Mapping[int, Category], where: str) -> Int64[np.ndarray, "S 4"]:
    """Check the segments of an image."""
    rows, seen = [], set()
    for number, info in enumerate(infos):
        row = _plain_row(info) or _checked_row(info, f"{where}, segments_info[{number}]")
        segment_id, category_id, _, is_crowd = row
        fault = None
        if not 0 < segment_id <= _MAX_SEGMENT_ID:
            fault = f"its id is not from 1 to {_MAX_SEGMENT_ID}, R + 256 G + 65536 B of a colour other than black"
        elif segment_id in seen:
            fault = "another segment has this id"
        elif category_id not in categories:
            fault = f"its category {fields.shown(category_id)} is not among the categories"
        elif is_crowd and not categories[category_id].is_thing:
            fault = f"it is a crowd of {categories[category_id].name}, which is stuff: only things can be crowds"
        if fault:
            raise DataError(f"{where}, segment {fields.shown(segment_id)}: {fault}")
        seen.add(segment_id)
        rows.append(row)
    return np.array(rows, np.int64).reshape(-1, 4)


def _plain_row(info: Any) -> tuple[int, int, int, int] | None:
    """Return the numbers of a segment in the usual form; None if `_checked_row` must examine it."""
    try:
        row = info["id"], info["category_id"], info["area"], info["iscrowd"]
    except (KeyError, TypeError):
        return None
    return row if all(type(v) is int and 0 <= v <= _MAX_INT32 for v in row) and row[3] < 2 else None


def _checked_row(info: Any, where: str) -> tuple[int, int, int, int]:
    """Return the numbers of a segment whose iscrowd may be true, false or missing, and whose area may be 12.0."""
    segment_id, category_id = (fields.field(info, name, int, where) for name in ("id", "category_id"))
    where = f"{where}, segment {fields.shown(segment_id)}"
    area = fields.field(info, "area", (int, float), where)
    is_crowd = fields.field(info, "iscrowd", (int, bool), where, default=0)
    if not 0 <= area <= _MAX_INT32 or int(area) != area:
        raise DataError(f"{where}: its area is {fields.shown(area)}, expected a number of pixels")
    if is_crowd not in (0, 1):
        raise DataError(f"{where}: iscrowd is {fields.shown(is_crowd)}, expected 0 or 1")
    return segment_id, category_id, int(area), int(is_crowd)


def colors_of_ids(ids: Integer[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return the RGB colours of segment ids below 2^24."""
    return np.stack([ids & 0xFF, ids >> 8 & 0xFF, ids >> 16], axis=2).astype(np.uint8)


def decode_segments(data: bytes, size: tuple[int, int], where: str) -> Int32[np.ndarray, "H W"]:
    """Decode the PNG of an image's segments.

    Args:
        data: content of the file.
        size: (height, width) that it must have; checked before anything is decoded.
        where: image and file, for messages.

    Returns:
        The segment id of each pixel.

    Raises:
        DataError: the file is not a whole PNG of 8 bits in 3 channels, is of another size, or is too large to be read.
    """
    from PIL import Image

    if len(data) < _PNG_HEAD.size or data[:8] != _PNG_SIGNATURE:
        raise DataError(f"{where} is not a PNG: segments are stored as a PNG of 8 bits per channel, RGB")
    _, chunk, width, height, *kind = _PNG_HEAD.unpack_from(data)
    if chunk != b"IHDR" or tuple(kind) != _EIGHT_BIT_RGB:
        raise DataError(f"{where} is a PNG with {kind[0]} bits per channel and colour type {kind[1]}, but segments are stored "
                        "in 8 bits of type 2 (RGB): save it without a palette, alpha or grey")  # fmt: skip
    if (height, width) != tuple(size):
        swapped = "; height and width are swapped" if (width, height) == tuple(size) else ""
        raise DataError(f"{where} is of size {(height, width)} (height, width), but its image is of size "
                        f"{tuple(size)}{swapped}")  # fmt: skip
    refuse_too_large(size, where)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = image.tobytes("raw", "RGBX")
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"{where} cannot be decoded: {type(error).__name__}: {error}. Download it again") from error
    # R, G, B and an unused byte are one little-endian number
    return (np.frombuffer(pixels, "<u4").reshape(height, width) & 0xFFFFFF).astype(np.int32)


def check_segments(labels: LabelMap, segments: Int64[np.ndarray, "S 4"], where: str) -> None:
    """Compare the segments that a PNG draws with those that the JSON lists.

    Args:
        labels: the drawn segment ids.
        segments: the listed segments.
        where: the image, for messages.

    Raises:
        DataError: a segment is listed but not drawn, drawn but not listed, or has another area.
    """
    drawn = dict(zip(labels.values.tolist(), labels.areas.tolist(), strict=True))
    drawn.pop(0, None)
    for number, _, area, _ in segments.tolist():
        pixels = drawn.pop(number, 0)
        if pixels != area:
            raise DataError(f"{where}, segment {number}: its area is given as {area} pixels, but the PNG shows {pixels}: "
                            "the PNG and the JSON are not of the same release")  # fmt: skip
    if drawn:
        number, pixels = next(iter(drawn.items()))
        raise DataError(f"{where}, segment {number}: the PNG shows {pixels} pixels of it, but segments_info does not list it")


def panoptic_map(
    ids: Integer[np.ndarray, "H W"],
    segments: Int64[np.ndarray, "S 4"],
    categories: Mapping[int, Category],
    where: str,
    treat_crowd_as_ignore: bool = True,
) -> Int32[np.ndarray, "H W"]:
    """Make the panoptic map of an image.

    Args:
        ids: segment id of each pixel.
        segments: columns SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD. Instances are counted in this order.
        categories: by id.
        where: the image, for messages.
        treat_crowd_as_ignore: True gives crowds the value 0, False their category with instance 0.

    Raises:
        DataError: see `check_segments`; or a category has more than 255 instances.
    """
    labels = LabelMap(ids)
    check_segments(labels, segments, where)
    numbers, counts = {0: IGNORE}, dict.fromkeys(categories, 0)
    for segment_id, category_id, _, is_crowd in segments.tolist():
        category = categories[category_id]
        if is_crowd and treat_crowd_as_ignore:
            numbers[segment_id] = IGNORE
            continue
        instance = 0
        if category.is_thing and not is_crowd:
            instance = counts[category_id] = counts[category_id] + 1
            if instance > MAX_INSTANCES:
                raise DataError(f"{where}, segment {segment_id}: it is instance {instance} of {category.name}, but a "
                                f"panoptic map holds at most {MAX_INSTANCES} of a category")  # fmt: skip
        numbers[segment_id] = category.semantic_id * LABEL_DIVISOR + instance
    return labels.replaced(np.array([numbers[value] for value in labels.values.tolist()], np.int32))
