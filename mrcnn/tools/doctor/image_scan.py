"""Looking at image files: whether they can be read to their end, their size, and hashes that find them again.

Shape letters: H W image.
"""

import hashlib
import itertools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.io.images import ImageTooLargeError, open_image, read_image
from mrcnn.io.orientation import read_orientation, turned_size
from mrcnn.io.paths import refuse_link
from mrcnn.tools.doctor.finding import Picture, Place

# side of the grey picture that confirms what the hash suggests
_THUMBNAIL = 16
# a picture whose grey levels spread less has nothing to be recognised by
_FLAT = 2.0
# a reduced decoding has at least this many pixels a side: several for each of the thumbnail
_DRAFT = 64


@dataclass(frozen=True)
class ImageScan:
    """What was seen of an image file.

    Attributes:
        fault: (kind of finding, text), or None.
        size: (height, width) as stored, or None.
        orientation: int, 1 to 8. Of its EXIF data.
        digest: bytes. Of the content; equal for equal files. None where it was not read.
        hash: int of 64 bits. Differs in few bits for images that look alike. None for a flat image.
        thumbnail: int16 [16, 16]. Grey levels about their mean.
    """

    fault: tuple | None = None
    size: tuple | None = None
    orientation: int = 1
    digest: bytes | None = None
    hash: int | None = None
    thumbnail: np.ndarray | None = None


def scan_images(images, workers=2, progress=None):
    """Look at images in threads; decoding leaves Python to the others.

    Args:
        images: list of CheckedImage.
        workers: int. Threads; 0 works without.
        progress: function (done, total), called after each image, or None.

    Yields:
        ImageScan of each, in their order.
    """
    scans = map(scan_image, images) if workers < 1 else _in_threads(scan_image, images, workers)
    for done, scan in enumerate(scans, start=1):
        if progress:
            progress(done, len(images))
        yield scan


def _in_threads(function, items, workers):
    """Map in threads, a few items ahead of the consumer."""
    with ThreadPoolExecutor(workers) as pool:
        items, ahead = iter(items), deque()
        for item in itertools.islice(items, 4 * workers):
            ahead.append(pool.submit(function, item))
        while ahead:
            yield ahead.popleft().result()
            for item in itertools.islice(items, 1):
                ahead.append(pool.submit(function, item))


def scan_image(image):
    """Look at one image. Args: image: CheckedImage. Returns: ImageScan; it holds no size where the file is not known."""
    if image.path is None and image.load is None:
        return ImageScan()
    try:
        if image.load is not None:
            return _scan_pixels(image.load())
        if image.root is not None:
            refuse_link(image.path, image.root, "the image file")
    except DataError as error:
        return ImageScan(("image_unreadable" if image.load else "image_outside", str(error)))
    except Exception as error:  # a data set's own load_image may raise anything
        return ImageScan(("image_unreadable", f"{type(error).__name__}: {error}"))
    if not os.path.exists(image.path):  # unlike Path.exists, false for names that no system takes
        return ImageScan(("image_missing", f"{image.path} does not exist"))
    try:
        return _scan_file(image.path)
    except ImageTooLargeError as error:
        return ImageScan(("image_too_large", str(error)))
    except DataError as error:
        return ImageScan(("image_unreadable", str(error)))


def _scan_file(path):
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "blake2b").digest()[:16]
    except OSError as error:
        raise DataError(f"image file {path} cannot be read: {error}") from error
    try:
        opened = open_image(path)
    except ImageTooLargeError:
        raise
    except DataError as error:
        # Pillow does not know it, but the reader of the images may
        try:
            return _scan_pixels(read_image(path), digest)
        except DataError:
            raise error from None  # Pillow says it in fewer words
    with opened:
        size, orientation = (opened.height, opened.width), read_orientation(path)
        try:
            # of a JPEG, an eighth of the size is enough: it is read to its end all the same
            opened.draft("L", (_DRAFT, _DRAFT))
            opened.load()
            grey = _grey(opened)
        except Exception as error:  # damaged files make Pillow raise errors of any kind
            kind = "image_truncated" if "truncated" in str(error) else "image_unreadable"
            return ImageScan((kind, f"image file {path}: {error or type(error).__name__}"), size, orientation, digest)
    return ImageScan(None, size, orientation, digest, *_looks(grey))


def _grey(image):
    """Make a Pillow image grey: uint8 Pillow image. Deep ones are scaled by their range."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image.convert("L")
    return Image.fromarray(_scaled(np.asarray(image)))


def _scaled(values):
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = high - low
    return np.nan_to_num((values - low) * (255 / span) if span > 0 else np.zeros(values.shape)).astype(np.uint8)


def _scan_pixels(pixels, digest=None):
    """Look at pixels that were read already, [H, W] or [H, W, C]."""
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or not pixels.size:
        return ImageScan(("image_unreadable", f"the image is an array of shape {pixels.shape}"))
    if digest is None:
        content = hashlib.blake2b(str((pixels.shape, pixels.dtype)).encode())
        content.update(np.ascontiguousarray(pixels))
        digest = content.digest()[:16]
    grey = pixels if pixels.ndim == 2 else pixels[:, :, :3].mean(axis=2)
    grey = grey.astype(np.uint8) if pixels.dtype == np.uint8 else _scaled(grey.astype(np.float64))
    return ImageScan(None, pixels.shape[:2], 1, digest, *_looks(Image.fromarray(grey)))


def _looks(grey):
    """Compute the hash and the thumbnail of a grey Pillow image; (None, None) when it is flat.

    The hash says of 8 x 8 places whether it gets brighter to the right (the "difference hash").
    """
    from PIL import Image

    small = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)).astype(np.int16)
    if small.std() < _FLAT:
        return None, None
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = np.packbits((steps[:, 1:] > steps[:, :-1]).ravel())
    return int.from_bytes(bits.tobytes(), "big"), small - np.int16(round(float(small.mean())))


def note_scans(part, scans, findings):
    """Say what is wrong with the image files of a part.

    Args:
        part: Part.
        scans: list of ImageScan, one an image.
        findings: Findings, which is added to.
    """
    missing = [i for i, scan in enumerate(scans) if scan.fault and scan.fault[0] == "image_missing"]
    all_missing = len(missing) > 1 and len(missing) == len(scans)
    if all_missing:
        folder = part.images[0].root or part.images[0].path.parent
        findings.add("image_missing", Place(part.name), f"none of the {len(scans)} image files is there, such as "
                     f"{part.images[0].path}: say where they are (--images), or put them into {folder}")  # fmt: skip
    for image, scan in zip(part.images, scans, strict=True):
        place = Place(part.name, image.file, image.id)
        if scan.fault and not (all_missing and scan.fault[0] == "image_missing"):
            findings.add(scan.fault[0], place, scan.fault[1])
        if scan.size:
            _note_size(image, scan, place, findings)


def _note_size(image, scan, place, findings):
    seen = turned_size(scan.size, scan.orientation) if image.upright else scan.size
    picture = None if scan.fault else Picture((image.read,))
    told = f"the EXIF orientation is {scan.orientation}"
    if image.size is None or tuple(image.size) == tuple(seen):
        if scan.orientation != 1 and not image.upright:
            findings.add("exif_orientation", place, f"{told}: viewers show the image turned or mirrored", picture=picture)
        return
    sizes = f"the data say {image.size[0]} x {image.size[1]}, the file has {seen[0]} x {seen[1]} (height x width)"
    if scan.orientation >= 5 and tuple(image.size) == turned_size(scan.size, scan.orientation):
        findings.add("size_swapped", place, f"{sizes}, and {told}: the annotations are of the turned image", picture=picture)
    else:
        findings.add("size_mismatch", place, sizes, picture=picture)
