"""Checks of the image files: whether each can be read completely, its size, and which images are duplicates.

A scan reads each file once, and computes a digest of its content and a perceptual hash. Equal digests mean copies; hashes that
differ in few bits mean similar images.

Shape letters: H W C image, N images, T pixels of a thumbnail.
"""

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int16, Int64, UInt64

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.io.images import (
    ImageTooLargeError,
    TruncatedImageError,
    is_unit_range,
    nonfinite_fault,
    open_image,
    read_image,
    refuse_cut_image,
    require_file,
)
from mrcnn.io.orientation import read_orientation, turned_size
from mrcnn.io.paths import refuse_link
from mrcnn.io.png import png_pixels
from mrcnn.tools.doctor.findings import Findings, Picture, Place
from mrcnn.tools.doctor.parts import CheckedImage, Part

if TYPE_CHECKING:
    from PIL import Image

# side of the grey thumbnail that confirms matches of hashes
_THUMBNAIL = 16
# an image whose grey levels have a smaller standard deviation has no features to compare
_FLAT = 2.0
# minimum side of a JPEG decoded at reduced size: several pixels per thumbnail pixel
_DRAFT = 64

# maximum number of bits, out of 64, in which the hashes of two similar images differ
MAX_DISTANCE = 4
# maximum mean absolute difference of their thumbnails, in grey levels
MAX_DIFFERENCE = 6.0
# images of 16 bits whose values stay below this fraction of the range are nearly black, and the usual numbers of bits
_DARK, _DEPTHS = 0.25, (8, 10, 12, 14, 16)
# pairs of hashes, and of thumbnails, compared at a time
_BLOCK, _PAIRS = 1_000_000, 20_000


@dataclass(frozen=True)
class ImageScan:
    """The result of scanning an image file.

    Attributes:
        fault: (kind of finding, message), or None.
        size: (height, width) as stored, or None if unknown.
        orientation: EXIF orientation, 1 to 8.
        digest: of the content, equal for equal files; None if the file was not read.
        hash: 64-bit perceptual hash, which differs in few bits between similar images; None for a flat image.
        thumbnail: grey levels minus their mean; None for a flat image.
        peak: largest value as stored, for integers of more than 8 bits; None for other images.
        is_unit_range: whether the values are floats of 0..1.
    """

    fault: tuple[str, str] | None = None
    size: tuple[int, int] | None = None
    orientation: int = 1
    digest: bytes | None = None
    hash: int | None = None
    thumbnail: Int16[np.ndarray, "16 16"] | None = None
    peak: int | None = None
    is_unit_range: bool = False

    def size_seen(self, upright: bool) -> tuple[int, int] | None:
        """Return (height, width) as stored, or, if `upright`, after rotation by the EXIF orientation."""
        return turned_size(self.size, self.orientation) if upright and self.size else self.size


def scan_images(images: Sequence[CheckedImage], workers: int = 2, progress: Show | None = None) -> Iterator[ImageScan]:
    """Scan images in threads, because decoding releases the interpreter lock.

    Args:
        workers: number of threads; 0 scans in the calling thread.
        progress: called after each image.

    Yields:
        The scan of each image, in their order.
    """
    scans = map(scan_image, images) if workers < 1 else _in_threads(scan_image, images, workers)
    for done, scan in enumerate(scans, start=1):
        if progress:
            progress(done, len(images))
        yield scan


def _in_threads(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Map a function over items in threads, staying only a few items ahead of the consumer."""
    with ThreadPoolExecutor(workers) as pool:
        items = iter(items)
        ahead = deque(pool.submit(function, item) for item in itertools.islice(items, 4 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in itertools.islice(items, 1))


def scan_image(image: CheckedImage) -> ImageScan:
    """Scan one image. The scan is empty if the image has no file."""
    if image.path is None and image.load is None:
        return ImageScan()
    try:
        if image.path is not None and image.root is not None:
            refuse_link(image.path, image.root, "the image file")
    except DataError as error:
        return ImageScan(("image_outside", str(error)))
    # unlike Path.exists, os.path.exists is False for names no system allows
    if image.load is None and (image.path is None or not os.path.exists(image.path)):
        return ImageScan(("image_missing", f"{image.path} does not exist"))
    try:
        return _scan_pixels(image.load()) if image.load is not None else _scan_file(Path(str(image.path)))
    except ImageTooLargeError as error:
        return ImageScan(("image_too_large", str(error)))
    except TruncatedImageError as error:
        return ImageScan(("image_truncated", str(error)))
    except DataError as error:
        return ImageScan(("image_unreadable", str(error)))
    except MemoryError:
        raise
    except Exception as error:  # a user's load_image may raise anything
        return ImageScan(("image_unreadable", f"{type(error).__name__}: {error}"))


def _scan_file(path: Path) -> ImageScan:
    require_file(path)
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
        # Pillow does not support the format, but the image reader may
        try:
            return _scan_pixels(read_image(path), digest)
        except DataError:
            raise error from None  # Pillow's message is shorter
    with opened:
        size, orientation = (opened.height, opened.width), read_orientation(path)
        try:
            if opened.format in ("JPEG", "PNG"):
                content = path.read_bytes()
                refuse_cut_image(content, f"image file {path}")
                if opened.format == "PNG":
                    png_pixels(content)  # raises if a checksum is wrong, which Pillow accepts
            # decoding a JPEG at an eighth of its size is enough, and still reads the whole file
            opened.draft("L", (_DRAFT, _DRAFT))
            opened.load()
            grey = _grey(opened)
        except TruncatedImageError as error:
            return ImageScan(("image_truncated", str(error)), size, orientation, digest)
        except MemoryError:
            raise
        except Exception as error:  # damaged files make Pillow raise errors of any kind
            kind = "image_truncated" if "truncated" in str(error) else "image_unreadable"
            return ImageScan((kind, f"image file {path}: {error or type(error).__name__}"), size, orientation, digest)
        values = np.asarray(opened) if opened.mode.startswith(("I", "F")) else np.zeros(1, np.uint8)
    peak = int(values.max()) if values.dtype.itemsize > 1 and values.dtype.kind in "iu" else None
    return ImageScan(None, size, orientation, digest, *_features(grey), peak, is_unit_range(values))


def _grey(image: "Image.Image") -> "Image.Image":
    """Convert an image to 8-bit grey; images with more bits are scaled from their range."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image.convert("L")
    return Image.fromarray(_scaled(np.asarray(image)))


def _scaled(values: np.ndarray) -> np.ndarray:
    fault = nonfinite_fault(values)
    if fault:
        raise DataError(f"the image {fault}")
    low, high = float(values.min()), float(values.max())
    span = high - low
    return ((values - low) * (255 / span) if span > 0 else np.zeros(values.shape)).astype(np.uint8)


def _scan_pixels(pixels: Any, digest: bytes | None = None) -> ImageScan:
    """Scan pixels that are already decoded, [H, W] or [H, W, C] unless a user's load_image is wrong."""
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or not pixels.size:
        return ImageScan(("image_unreadable", f"the image is an array of shape {pixels.shape}"))
    if digest is None:
        content = hashlib.blake2b(str((pixels.shape, pixels.dtype)).encode())
        content.update(np.ascontiguousarray(pixels).data)
        digest = content.digest()[:16]
    grey = pixels if pixels.ndim == 2 else pixels[:, :, :3].mean(axis=2)
    grey = grey.astype(np.uint8) if pixels.dtype == np.uint8 else _scaled(grey.astype(np.float64))
    height, width = pixels.shape[:2]
    return ImageScan(None, (height, width), 1, digest, *_features(Image.fromarray(grey)))


def _features(grey: "Image.Image") -> tuple[int | None, np.ndarray | None]:
    """Compute the hash and the thumbnail of a grey image; (None, None) if it is flat.

    Each of the 64 bits of the hash encodes whether brightness increases to the right of one of 8 x 8 cells (a "difference
    hash").
    """
    from PIL import Image

    small = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)).astype(np.int16)
    if small.std() < _FLAT:
        return None, None
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = np.packbits((steps[:, 1:] > steps[:, :-1]).ravel())
    return int.from_bytes(bits.tobytes(), "big"), small - np.int16(round(float(small.mean())))


# --- findings about single files


def check_images(part: Part, scans: Sequence[ImageScan], findings: Findings) -> None:
    """Report problems with the image files of a part. `scans` contains one scan per image."""
    missing = [i for i, scan in enumerate(scans) if scan.fault and scan.fault[0] == "image_missing"]
    all_missing = len(missing) > 1 and len(missing) == len(scans)
    if all_missing:
        first = part.images[0]
        advice = f"copy them to {first.root or Path(str(first.path)).parent}"
        if Path(part.path).suffix.lower() == ".json":
            advice += f", or check {part.path} with their folder (--images DIR)"
        findings.add("image_missing", Place(part.name), f"none of the {len(scans)} image files exists, such as {first.path}: "
                     + advice)  # fmt: skip
    for image, scan in zip(part.images, scans, strict=True):
        place = Place(part.name, image.file, image.id)
        if scan.fault and not (all_missing and scan.fault[0] == "image_missing"):
            findings.add(scan.fault[0], place, scan.fault[1])
        _check_size(image, scan, place, findings)
    _check_depth(part, scans, findings)


def _check_depth(part: Part, scans: Sequence[ImageScan], findings: Findings) -> None:
    """Report images of more than 8 bits of which nearly nothing is left when they are scaled to 8 bits."""
    floats = sum(scan.is_unit_range for scan in scans)
    if floats:
        findings.add("noted", Place(part.name), f"{floats} images have floats of 0..1, which are read as 0..255")
    deep = [(image, scan.peak) for image, scan in zip(part.images, scans, strict=True) if scan.peak is not None]
    peak = max((value for _, value in deep), default=0)
    bits = next((image.depth for image, _ in deep if image.depth is not None), 16)
    if peak >= 2**bits:
        image = next(image for image, value in deep if value == peak)
        message = f"its values reach {peak}, and {bits} bits reach {2**bits - 1}: give a larger depth (--depth)"
        findings.add("image_unreadable", Place(part.name, image.file, image.id), message)
    elif 0 < peak < _DARK * 2**bits:
        wanted = next(count for count in _DEPTHS if peak < 2**count)
        level = round(peak * 255 / (2**bits - 1))
        message = (f"{len(deep)} images of 16 bits have values up to {peak}, which are read as values up to {level} of 255: if "
                   f"the camera uses {wanted} bits, pass --depth {wanted}")  # fmt: skip
        findings.add("values_dark", Place(part.name), message)


def _check_size(image: CheckedImage, scan: ImageScan, place: Place, findings: Findings) -> None:
    seen = scan.size_seen(image.upright)
    if seen is None:
        return
    picture = None if scan.fault else Picture((image.read,))
    exif = f"the EXIF orientation is {scan.orientation}"
    if image.size is None or image.size == seen:
        if scan.orientation != 1 and not image.upright:
            findings.add("exif_orientation", place, f"{exif}: viewers rotate or mirror the image", picture=picture)
        return
    sizes = f"the data set gives {image.size[0]} x {image.size[1]}, the file has {seen[0]} x {seen[1]} (height x width)"
    if scan.orientation >= 5 and image.size == scan.size_seen(True):
        message = f"{sizes}, and {exif}: the annotations refer to the rotated image, and it is read rotated"
        findings.add("size_swapped", place, message, picture=picture)
    else:
        findings.add("size_mismatch", place, sizes, picture=picture)


# --- duplicates

_Entry = tuple[Part, CheckedImage, ImageScan]


def find_duplicates(parts: Sequence[Part], scans: Sequence[Sequence[ImageScan]], findings: Findings) -> None:
    """Report duplicate images, within a part and across parts. `scans` contains one scan per image for each part."""
    entries = [(part, image, scan) for part, of_part in zip(parts, scans) for image, scan in zip(part.images, of_part)]
    firsts = _find_copies([entry for entry in entries if entry[2].digest], findings)
    _find_similar([entry for entry in firsts if entry[2].hash is not None and not entry[2].fault], findings)


def _find_copies(entries: list[_Entry], findings: Findings) -> list[_Entry]:
    """Report images with equal content, and return the first entry of each content in each part."""
    by_digest: dict[bytes | None, list[_Entry]] = {}
    firsts = []
    for entry in entries:
        part, image, scan = entry
        earlier = by_digest.setdefault(scan.digest, [])
        others = [e for e in earlier if e[0] is not part]
        same = [e for e in earlier if e[0] is part]
        if others:
            _add_pair("image_leak", entry, others[0], "same content as", findings)
        elif same and not any(e[1].path is not None and e[1].path == image.path for e in same):
            _add_pair("image_duplicate", entry, same[0], "same content as", findings)
        if not earlier:
            firsts.append(entry)
        if not same:
            earlier.append(entry)
    return firsts


def _find_similar(entries: list[_Entry], findings: Findings) -> None:
    """Report images that are similar although their content differs."""
    if not entries:
        return
    hashes = np.array([scan.hash for _, _, scan in entries], np.uint64)
    thumbnails = np.stack([scan.thumbnail.ravel() for _, _, scan in entries if scan.thumbnail is not None])
    numbers = {id(part): number for number, (part, _, _) in enumerate(entries)}
    same, others = first_similar(hashes, thumbnails, np.array([numbers[id(part)] for part, _, _ in entries]))
    for j in range(len(entries)):
        i = min(others[j], same[j]) if others[j] == len(entries) else others[j]
        if i < len(entries):
            distance = int(hashes[i] ^ hashes[j]).bit_count()
            kind = "image_near_leak" if others[j] < len(entries) else "image_near_duplicate"
            _add_pair(kind, entries[j], entries[i], f"{distance} of 64 bits of the image hash differ from", findings)


def _add_pair(kind: str, entry: _Entry, other: _Entry, relation: str, findings: Findings) -> None:
    part, image, scan = entry
    place = Place(part.name, image.file, image.id)
    picture = None if scan.fault else Picture((image.read, other[1].read))
    findings.add(kind, place, f"{relation} {Place(other[0].name, other[1].file, other[1].id)}", picture=picture)


def first_similar(hashes: UInt64[np.ndarray, " N"], thumbnails: Int16[np.ndarray, "N T"], parts: Int64[np.ndarray, " N"],
                  ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:  # fmt: skip
    """Find the first similar image before each image.

    Args:
        thumbnails: grey levels minus their mean.
        parts: index of the part of each image.

    Returns:
        (same, others): index of a similar image in the same part and in any other part; N if there is none.
    """
    same, others = np.full(len(hashes), len(hashes)), np.full(len(hashes), len(hashes))
    for i, j in near_pairs(hashes, MAX_DISTANCE):
        together = parts[i] == parts[j]
        # the frames of a video are all similar, so one match per image is enough
        new = np.where(together, same[j], others[j]) == len(hashes)
        i, j, together = i[new], j[new], together[new]
        similar = np.abs(thumbnails[i] - thumbnails[j]).mean(axis=1) <= MAX_DIFFERENCE
        for first, wanted in ((same, together), (others, ~together)):
            np.minimum.at(first, j[similar & wanted], i[similar & wanted])
    return same, others


def near_pairs(hashes: UInt64[np.ndarray, " N"], distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find the pairs of hashes that differ in at most `distance` bits.

    If two numbers that differ in d bits are cut into d + 1 pieces, at least one piece is equal: only numbers that share a
    piece are compared.

    Yields:
        (i, j): int64 indices with i < j, a few thousand pairs at a time. A pair may occur more than once.
    """
    cuts = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist()):
        pieces = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(pieces, kind="stable")
        ends = np.flatnonzero(np.diff(pieces[order])) + 1
        for group in np.split(order, ends):
            if len(group) > 1:
                yield from _close_pairs(hashes, group, distance)


def _close_pairs(hashes: np.ndarray, group: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compare all pairs of a group of ascending indices, a block of rows at a time; see `near_pairs`."""
    step = max(_BLOCK // len(group), 1)
    for start in range(0, len(group), step):
        rows = group[start : start + step]
        close = np.bitwise_count(hashes[rows][:, None] ^ hashes[group]) <= distance
        i, j = np.nonzero(close & (rows[:, None] < group))
        for cut in range(0, len(i), _PAIRS):
            yield rows[i[cut : cut + _PAIRS]], group[j[cut : cut + _PAIRS]]
