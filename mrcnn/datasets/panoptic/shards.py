"""TFRecord shards of images and panoptic maps: the files of a split, their manifest, and the records in them.

A split is divided into numbered files, `train-00000-of-01000.tfrecord` and so on. Next to them is its manifest,
`panoptic-train.json`, which records the source and the settings of the conversion. It is written before the first shard,
so that an interrupted conversion can be resumed.

A record is a `tf.train.Example` of one image. Fields: `image/encoded` the JPEG, `image/filename` without its suffix,
`image/format` "jpeg", `image/height`, `image/width`, `image/channels` 3; and, except in a test set,
`image/segmentation/class/encoded` the panoptic map as little-endian int32, row after row, and
`image/segmentation/class/format` "raw".

The JPEG is the file as it is, unless it is grey or CMYK, or was annotated as its EXIF tag rotates it: then its pixels are
encoded again, as RGB, rotated, and without the tag.

Shape letters: H W image.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.annotations import Category
from mrcnn.io import images
from mrcnn.io import json_fields as fields
from mrcnn.io.tfrecord import decode_example, encode_example, read_features

# five digits in the file names
MAX_SHARDS = 99999
MANIFEST_VERSION = 2
ENCODED, FILENAME, FORMAT = "image/encoded", "image/filename", "image/format"
HEIGHT, WIDTH, CHANNELS = "image/height", "image/width", "image/channels"
MAP, MAP_FORMAT = "image/segmentation/class/encoded", "image/segmentation/class/format"
JPEG, RAW, RGB_CHANNELS = b"jpeg", b"raw", 3
_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5,})-of-(?P<count>\d{5,})\.tfrecord")
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
# of images that are encoded again
_QUALITY = 95
# markers of a JPEG: start and end of the pixels
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
# bytes read at a time when only the names and sizes in a shard are needed
_WINDOW = 1024


def shard_path(folder: Path | str, split: str, number: int, count: int) -> Path:
    """Return the path of shard `number`, from 0, of the `count` shards of a split."""
    return Path(folder) / f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def cut(count: int, shards: int) -> list[range]:
    """Divide images among shards: ceil(count / shards) to each, in their order, until none are left.

    Args:
        count: number of images.
        shards: number of shards.

    Returns:
        A range of image indices for each shard; the last ones may be empty.
    """
    size = -(-count // shards)
    return [range(min(i * size, count), min((i + 1) * size, count)) for i in range(shards)]


def splits_in(folder: Path | str) -> list[str]:
    """Return the splits whose shards are in a folder, sorted."""
    return sorted({match["split"] for match in _matches(folder)})


def _matches(folder: Path | str) -> list[re.Match[str]]:
    return [match for path in Path(folder).iterdir() if (match := _NAME.fullmatch(path.name))]


def shards_of(folder: Path | str, split: str) -> list[Path]:
    """Find the shards of a split, in order.

    Raises:
        DataError: some are missing, or the folder holds two sets of them.
    """
    matches = [match for match in _matches(folder) if match["split"] == split]
    counts = sorted({match["count"] for match in matches})
    if not counts:
        raise DataError(f"{folder} holds no file {split}-*-of-*.tfrecord")
    if len(counts) > 1:
        raise DataError(f"{folder} holds {split} in {' and in '.join(counts)} files: remove those that are out of date")
    paths = [shard_path(folder, split, number, int(counts[0])) for number in range(int(counts[0]))]
    missing = sorted({path.name for path in paths} - {match[0] for match in matches})
    if missing:
        raise DataError(f"{folder} lacks {len(missing)} of the {len(paths)} files of {split}, such as {missing[0]}: "
                        "run the conversion again to resume it")  # fmt: skip
    return paths


def manifest_path(folder: Path | str, split: str) -> Path:
    """Return the path of the manifest of a split."""
    return Path(folder) / f"panoptic-{split}.json"


def categories_to_json(categories: Mapping[int, Category]) -> list[dict[str, Any]]:
    """Return categories for a manifest, in COCO's form with their numbers in panoptic maps."""
    return [{"id": c.id, "name": c.name, "isthing": int(c.is_thing), "semantic_id": c.semantic_id} for c in categories.values()]


def read_categories(folder: Path | str, split: str) -> dict[int, Category] | None:
    """Read the categories of a split from its manifest.

    Returns:
        Id -> category; None if there is no manifest, as for shards that another program wrote.

    Raises:
        DataError: the manifest is damaged.
    """
    path = manifest_path(folder, split)
    if not path.exists():
        return None
    entries: dict[int, tuple[str, bool, int]] = {}
    for number, entry in enumerate(fields.field(fields.read_json(path), "categories", list, str(path))):
        where = f"{path}: categories[{number}]"
        category_id, name = fields.field(entry, "id", int, where), fields.field(entry, "name", str, where)
        if category_id in entries:
            raise DataError(f"{where}: two categories have the id {category_id}")
        # version 1 of the manifest has no semantic ids: they number the categories that it lists
        semantic_id = fields.field(entry, "semantic_id", int, where, default=0)
        entries[category_id] = (name, bool(fields.field(entry, "isthing", int, where)), semantic_id)
    return {i: Category(i, name, is_thing, semantic_id or number)
            for number, (i, (name, is_thing, semantic_id)) in enumerate(sorted(entries.items()), start=1)}  # fmt: skip


@dataclass
class Record:
    """An image of the shards.

    Attributes:
        name: file name without its suffix.
        size: (height, width).
        jpeg: content of the image file.
        panoptic: panoptic map, or None for an image of a test set.
    """

    name: str
    size: tuple[int, int]
    jpeg: bytes
    panoptic: Int32[np.ndarray, "H W"] | None = None


def encode_record(record: Record) -> bytes:
    """Encode an image as an Example."""
    features: dict[str, Any] = {
        FILENAME: record.name.encode(errors="surrogateescape"),  # bytes of a file name that is not UTF-8
        FORMAT: JPEG,
        HEIGHT: record.size[0],
        WIDTH: record.size[1],
        CHANNELS: RGB_CHANNELS,
        ENCODED: record.jpeg,
    }
    if record.panoptic is not None:
        features[MAP_FORMAT] = RAW
        features[MAP] = np.ascontiguousarray(record.panoptic, "<i4").tobytes()
    return encode_example(features)


def decode_record(data: bytes, where: str) -> Record:
    """Decode an image from an Example.

    Args:
        data: the Example.
        where: file and record, for messages.

    Raises:
        DataError: the bytes are not an Example, or a field is missing or malformed.
    """
    features = decode_example(data, where)
    name, size = _name_and_size(features, where)
    jpeg = _one(features, ENCODED, bytes, where)
    panoptic = None
    if MAP in features:
        raw, kind = _one(features, MAP, bytes, where), _one(features, MAP_FORMAT, bytes, where)
        if kind != RAW or len(raw) != 4 * size[0] * size[1]:
            raise DataError(f"{where}: {MAP} holds {len(raw)} bytes of format {kind.decode(errors='replace')!r}, expected "
                            f"raw int32 of an image of {size[0]} x {size[1]}")  # fmt: skip
        panoptic = np.frombuffer(raw, "<i4").reshape(size).astype(np.int32, copy=False)
    return Record(name, size, jpeg, panoptic)


def read_name_and_size(
    file: io.RawIOBase | io.BufferedIOBase, offset: int, length: int, where: str
) -> tuple[str, tuple[int, int]]:
    """Read the name and (height, width) of an image, and as little else of its record as possible.

    Args:
        file: the shard.
        offset: start of the Example in bytes.
        length: length of the Example in bytes.
        where: file and record, for messages.

    Raises:
        DataError: the bytes are not an Example, or a field is missing or malformed.
    """
    window, begin = b"", 0

    def take(start: int, stop: int) -> bytes:
        nonlocal window, begin
        if start < begin or stop > begin + len(window):
            file.seek(offset + start)
            window, begin = file.read(max(stop - start, min(_WINDOW, length - start))), start
        return window[start - begin : stop - begin]

    return _name_and_size(read_features(take, length, where, (FILENAME, HEIGHT, WIDTH)), where)


def _name_and_size(features: Mapping[str, Any], where: str) -> tuple[str, tuple[int, int]]:
    name = _one(features, FILENAME, bytes, where).decode(errors="surrogateescape")
    size = _one(features, HEIGHT, int, where), _one(features, WIDTH, int, where)
    if not all(0 < side < 2**31 for side in size):
        raise DataError(f"{where}: {HEIGHT} and {WIDTH} are {size}, expected pixels above 0")
    return name, size


def _one(features: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """Return the value of a field that must hold exactly one."""
    values = features.get(name)
    if values is None or len(values) != 1 or not isinstance(values[0], kind):
        fault = "is missing" if values is None else f"holds {len(values)} values" if len(values) != 1 else "is of another kind"
        raise DataError(f"{where}: the field {name} {fault}, expected one {'text' if kind is bytes else 'whole number'}")
    return values[0]


def check_jpeg(data: bytes, size: tuple[int, int], where: str) -> None:
    """Check the header and the end of an image file, without decoding it.

    Args:
        data: content of the file.
        size: (height, width) that it must have, as its pixels are stored.
        where: image and file, for messages.

    Raises:
        DataError: it is not a JPEG, is cut off, is of another size, or is too large to be read; the message names an EXIF
            orientation that explains the size.
    """
    stored, orientation = _jpeg_head(data, where)
    if stored != tuple(size):
        why = ""
        if stored[::-1] == tuple(size):
            why = ": height and width are swapped"
            if orientation in _QUARTER_TURNS:
                why = ": its EXIF tag rotates it, and it was annotated rotated. Rotate the pixels and remove the tag"
        raise DataError(f"{where} is of size {stored} (height, width), but its annotation says {tuple(size)}{why}")
    # the end marker cannot occur in the pixels, so it must come after the last start marker
    if data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        raise DataError(f"{where} is cut off: a JPEG ends in the bytes FF D9, and this one does not. Download it again")


def rgb_jpeg(data: bytes, size: tuple[int, int] | None, where: str) -> bytes:
    """Return a JPEG as shards hold it, for readers that take three channels and ignore EXIF tags.

    Args:
        data: content of the file.
        size: (height, width) of its annotation; None if it has none.
        where: image and file, for messages.

    Returns:
        `data` itself for most files. A grey or CMYK image is converted to RGB, and one whose EXIF tag turns it by 90 or 270
        degrees to the size of its annotation is rotated.

    Raises:
        DataError: it is not a JPEG, or is damaged.
    """
    from PIL import Image, ImageOps

    stored, orientation = _jpeg_head(data, where)
    turned = orientation in _QUARTER_TURNS and size is not None and stored != tuple(size) == stored[::-1]
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode == "RGB" and not turned:
                return data
            pixels = (ImageOps.exif_transpose(image) if turned else image).convert("RGB")
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"{where} cannot be decoded: {type(error).__name__}: {error}. Download it again") from error
    content = io.BytesIO()
    pixels.save(content, "JPEG", quality=_QUALITY, subsampling=0)
    return content.getvalue()


def jpeg_size(data: bytes, where: str) -> tuple[int, int]:
    """Read the (height, width) of a JPEG from its header.

    Args:
        data: content of the file.
        where: image and file, for messages.
    """
    return _jpeg_head(data, where)[0]


def _jpeg_head(data: bytes, where: str) -> tuple[tuple[int, int], int | None]:
    """Read the (height, width) and the EXIF orientation of a JPEG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, size, orientation = image.format, (image.height, image.width), image.getexif().get(_ORIENTATION)
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {error}. Download it again") from error
    images.refuse_too_large(size, where)
    if kind not in ("JPEG", "MPO"):  # MPO: several JPEGs in a file, as some cameras write
        raise DataError(f"{where} is a {kind}, but shards hold JPEG files: convert it")
    return size, orientation


def decode_jpeg(data: bytes, size: tuple[int, int], where: str) -> UInt8[np.ndarray, "H W 3"]:
    """Decode an image of the shards.

    Args:
        data: content of a JPEG.
        size: (height, width) that it must have; checked before the pixels are decoded.
        where: file and record, for messages.

    Returns:
        RGB, as stored: an EXIF orientation is not applied.

    Raises:
        DataError: see `check_jpeg`, or it cannot be decoded.
    """
    check_jpeg(data, size, where)
    image = images.decode_jpeg(data, where)
    if image.shape[:2] != tuple(size):
        raise DataError(f"{where} cannot be decoded: the JPEG is damaged")
    return image
