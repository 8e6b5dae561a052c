"""One image with its panoptic map as a `tf.train.Example`, the record of the shards.

Fields: `image/encoded` the JPEG as it is, `image/filename` without its ending, `image/format` "jpeg", `image/height`,
`image/width`, `image/channels` 3 (a grey file is to be decoded so too); and, but for a test set,
`image/segmentation/class/encoded` the panoptic map as little-endian int32, row after row, and
`image/segmentation/class/format` "raw".

Shape letters: H W image.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.io.images import refuse_too_large
from mrcnn.io.tfrecord import decode_example, encode_example, read_features

ENCODED, FILENAME, FORMAT = "image/encoded", "image/filename", "image/format"
HEIGHT, WIDTH, CHANNELS = "image/height", "image/width", "image/channels"
MAP, MAP_FORMAT = "image/segmentation/class/encoded", "image/segmentation/class/format"
JPEG, RAW, RGB_CHANNELS = b"jpeg", b"raw", 3
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)
# of a JPEG: where the pixels start, and where they end
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
# what is read at a time when only the names and sizes of a shard are looked for
_WINDOW = 1024


@dataclass
class Record:
    """An image of the shards.

    Attributes:
        name: str. File name without its ending.
        size: (height, width).
        jpeg: bytes of the image file.
        panoptic: int32 [H, W] panoptic map, or None for an image of a test set.
    """

    name: str
    size: tuple
    jpeg: bytes
    panoptic: np.ndarray = None


def encode_record(record):
    """Write an image as an Example. Args: record: Record. Returns: bytes."""
    features = {
        FILENAME: record.name.encode(errors="surrogateescape"),  # bytes of a file name that are no UTF-8
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


def decode_record(data, where):
    """Read an image out of an Example.

    Args:
        data: bytes.
        where: str. File and record, for the message.

    Returns:
        Record.

    Raises:
        DataError: the bytes are no Example, or a field is missing or not what it should be.
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


def read_name_and_size(file, offset, length, where):
    """Read what an image is called and how large it is, and as little else as possible.

    Args:
        file: open binary file.
        offset, length: int bytes. Where the Example lies.
        where: str. File and record, for the message.

    Returns:
        (name str, (height, width)).

    Raises:
        DataError: the bytes are no Example, or a field is missing or not what it should be.
    """
    window, begin = b"", 0

    def take(start, stop):
        nonlocal window, begin
        if start < begin or stop > begin + len(window):
            file.seek(offset + start)
            window, begin = file.read(max(stop - start, min(_WINDOW, length - start))), start
        return window[start - begin : stop - begin]

    return _name_and_size(read_features(take, length, where, (FILENAME, HEIGHT, WIDTH)), where)


def _name_and_size(features, where):
    name = _one(features, FILENAME, bytes, where).decode(errors="surrogateescape")
    size = _one(features, HEIGHT, int, where), _one(features, WIDTH, int, where)
    if not all(0 < side < 2**31 for side in size):
        raise DataError(f"{where}: {HEIGHT} and {WIDTH} are {size}, expected pixels")
    return name, size


def _one(features, name, kind, where):
    """Take a field that holds one value."""
    values = features.get(name)
    if values is None or len(values) != 1 or not isinstance(values[0], kind):
        found = "is not in it" if values is None else f"holds {len(values)} values" if len(values or ()) != 1 else "is no such"
        raise DataError(f"{where}: the field {name} {found}, expected one {'text' if kind is bytes else 'whole number'}")
    return values[0]


def check_jpeg(data, size, where):
    """Look at the head and the end of an image file, without decoding it.

    Args:
        data: bytes of the file.
        size: (height, width) that it must have, as its pixels are stored.
        where: str. Image and file, for the message.

    Raises:
        DataError: it is no JPEG, is cut off, is of another size, or larger than images are read; an image that its EXIF
            tag turns is told apart.
    """
    found, orientation = _jpeg_head(data, where)
    if found != tuple(size):
        why = ""
        if found[::-1] == tuple(size):
            why = ": height and width are swapped"
            if orientation in _LYING:
                why = ": its EXIF tag turns it, and it is annotated turned. Turn the pixels, and drop the tag"
        raise DataError(f"{where} is of size {found} (height, width), and its annotation says {tuple(size)}{why}")
    # within the pixels no such bytes occur, so the end comes behind the last start
    if data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        raise DataError(f"{where} is cut off: a JPEG ends in the bytes FF D9, and this does not. Fetch it again")


def jpeg_size(data, where):
    """Read the size of a JPEG from its head. Args: data: bytes; where: str, for the message. Returns: (height, width)."""
    return _jpeg_head(data, where)[0]


def _jpeg_head(data, where):
    """Read the size and the EXIF orientation of a JPEG: ((height, width), int or None)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, size, orientation = image.format, (image.height, image.width), image.getexif().get(_ORIENTATION)
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {error}. Fetch it again") from error
    refuse_too_large(size, where)
    if kind not in ("JPEG", "MPO"):  # MPO: several JPEGs in a file, as some cameras write
        raise DataError(f"{where} is a {kind}, and the shards hold JPEG files: convert it")
    return size, orientation


def decode_jpeg(data, size, where):
    """Decode an image of the shards.

    Args:
        data: bytes of a JPEG.
        size: (height, width) that it must have; looked at before the pixels are decoded.
        where: str. File and record, for the message.

    Returns:
        uint8 [H, W, 3] RGB, as stored: an EXIF orientation is not applied.

    Raises:
        DataError: see `check_jpeg`, or it cannot be decoded.
    """
    check_jpeg(data, size, where)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or image.shape[:2] != tuple(size):
        raise DataError(f"{where} cannot be decoded: the JPEG is damaged")
    return image
