"""COCO's panoptic annotations: a PNG that gives each pixel a segment, and what is told of the segments.

The id of a segment is R + 256 G + 65536 B of its pixels; 0 is no segment. A *panoptic map* holds, for each pixel,
semantic id * 256 + instance id: semantic ids are the categories numbered from 1 in ascending order of their ids, and
instance ids count from 1 within a category and an image, for things that are no crowd. Instance 0 stands for stuff and
crowds, and the whole number 0 for what is to be ignored.

Source: https://cocodataset.org/#format-data, "Panoptic Segmentation". Shape letters: H W image, S segments.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.geometry.label_map import LabelMap
from mrcnn.io.images import refuse_too_large

# panoptic id = semantic id * LABEL_DIVISOR + instance id
LABEL_DIVISOR = 256
MAX_INSTANCES = LABEL_DIVISOR - 1
# the panoptic id of pixels that nothing is told of
IGNORE = 0
# the columns of the segments of an image: int64 [S, 4]
SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD = range(4)
_PNG_HEAD = struct.Struct(">8s4x4sIIBB")
_PNG_SIGNATURE, _EIGHT_BIT_RGB = b"\x89PNG\r\n\x1a\n", (8, 2)


@dataclass(frozen=True)
class Category:
    """A category. Attributes: id: int; name: str; is_thing: bool; semantic_id: int, from 1 in the order of the ids."""

    id: int
    name: str
    is_thing: bool
    semantic_id: int


def number_categories(categories):
    """Give categories their semantic ids.

    Args:
        categories: iterable of (id int, name str, is_thing bool), ids all different.

    Returns:
        dict id -> Category, in ascending order of id.
    """
    return {entry[0]: Category(*entry, number) for number, entry in enumerate(sorted(categories), start=1)}


def colors_of_ids(ids):
    """Write segment ids as colours. Args: ids: int [H, W], below 2^24. Returns: uint8 [H, W, 3] RGB."""
    ids = np.asarray(ids)
    return np.stack([ids & 0xFF, ids >> 8 & 0xFF, ids >> 16], axis=2).astype(np.uint8)


def decode_segments(data, size, where):
    """Read the PNG of an image's segments.

    Args:
        data: bytes of the file.
        size: (height, width) that it must have; looked at before anything is decoded.
        where: str. Image and file, for the message.

    Returns:
        int32 [H, W]. Segment ids.

    Raises:
        DataError: the file is no whole PNG of 8 bits in 3 channels, of another size, or larger than images are read.
    """
    from PIL import Image

    if len(data) < _PNG_HEAD.size or data[:8] != _PNG_SIGNATURE:
        raise DataError(f"{where} is no PNG: segments are stored as a PNG of 8 bits a channel, RGB")
    _, chunk, width, height, *kind = _PNG_HEAD.unpack_from(data)
    if chunk != b"IHDR" or tuple(kind) != _EIGHT_BIT_RGB:
        raise DataError(f"{where} is a PNG with {kind[0]} bits a channel of colour type {kind[1]}, and segments are stored "
                        "in 8 bits of type 2 (RGB): save it without a palette, alpha or grey")  # fmt: skip
    if (height, width) != tuple(size):
        swapped = "; height and width are swapped" if (width, height) == tuple(size) else ""
        raise DataError(f"{where} is of size {(height, width)} (height, width), and its image of size {tuple(size)}{swapped}")
    refuse_too_large(size, where)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = image.tobytes("raw", "RGBX")
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"{where} cannot be decoded: {type(error).__name__}: {error}. Fetch it again") from error
    # R, G, B and a byte without meaning are one little-endian number
    return (np.frombuffer(pixels, "<u4").reshape(height, width) & 0xFFFFFF).astype(np.int32)


def check_segments(labels, segments, where):
    """Hold the segments of a PNG against what is told of them.

    Args:
        labels: LabelMap of segment ids.
        segments: int64 [S, 4]: SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD.
        where: str. The image, for the message.

    Raises:
        DataError: a segment is told of and not drawn, or drawn and not told of, or its area is another.
    """
    drawn = dict(zip(labels.values.tolist(), labels.areas.tolist(), strict=True))
    drawn.pop(0, None)
    for number, _, area, _ in segments.tolist():
        found = drawn.pop(number, 0)
        if found != area:
            raise DataError(f"{where}, segment {number}: its area is given as {area} pixels, and the PNG shows {found}: "
                            "the PNG and the JSON are not of the same release")  # fmt: skip
    if drawn:
        number, found = next(iter(drawn.items()))
        raise DataError(f"{where}, segment {number}: the PNG shows {found} pixels of it, and segments_info does not list it")


def panoptic_map(ids, segments, categories, where, treat_crowd_as_ignore=True):
    """Make the panoptic map of an image.

    Args:
        ids: int [H, W]. Segment ids of the pixels.
        segments: int64 [S, 4]: SEGMENT_ID, CATEGORY_ID, AREA, IS_CROWD. Instances are counted in this order.
        categories: dict id -> Category.
        where: str. The image, for the message.
        treat_crowd_as_ignore: bool. True gives crowds the number 0, False their category with instance 0.

    Returns:
        int32 [H, W].

    Raises:
        DataError: see `check_segments`; or there are more than 255 instances of a category.
    """
    labels = LabelMap(ids)
    check_segments(labels, segments, where)
    numbers, counts = {0: IGNORE}, {}
    for segment_id, category_id, _, is_crowd in segments.tolist():
        category = categories[category_id]
        if is_crowd and treat_crowd_as_ignore:
            numbers[segment_id] = IGNORE
            continue
        instance = 0
        if category.is_thing and not is_crowd:
            instance = counts[category_id] = counts.get(category_id, 0) + 1
            if instance > MAX_INSTANCES:
                raise DataError(f"{where}, segment {segment_id}: it is instance {instance} of {category.name}, and a "
                                f"panoptic map holds at most {MAX_INSTANCES} of a category")  # fmt: skip
        numbers[segment_id] = category.semantic_id * LABEL_DIVISOR + instance
    return labels.replaced(np.array([numbers[value] for value in labels.values.tolist()], np.int32))
