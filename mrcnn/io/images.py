"""Reading image files.

Shape letters: H W image, C channels.
"""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.io
from jaxtyping import Shaped, UInt8
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.io.jpeg import is_jpeg, jpeg_fault
from mrcnn.io.png import is_png, png_fault, png_pixels

# Files with these suffixes are treated as images when a folder is searched.
IMAGE_SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Maximum number of pixels an image may declare, because a file of a few kilobytes can declare enough to exhaust memory when
# decoded. This is Pillow's own limit (twice its MAX_IMAGE_PIXELS), about 13,000 x 13,000; to read larger images, raise both.
MAX_PIXELS = 178_956_970
# Maximum number of bytes per pixel of a TIFF of MAX_PIXELS, which may have many channels of up to 64 bits: RGB of 16 bits.
_MAX_BYTES_PER_PIXEL = 6
# the first bytes of a TIFF and of a BigTIFF, in both byte orders, and those of a Radiance picture
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_RADIANCE_SIZE = re.compile(rb"[-+]Y (\d{1,9}) [-+]X (\d{1,9})")
# bytes of a file that are examined to find the size that it declares
_HEAD = 2**16
# Pillow's raw modes for grey images of 2 and 4 bits, and the factors by which it scales their values to 0..255.
_SPREAD = {"L;2": 85, "L;4": 17}
# Factor between the 16-bit and the 8-bit range: 65535 / 255.
_UINT16_STEP = 257
# A 16-bit image without a value from here on, of 255, uses at most 14 bits.
_DARK = 64
# Weights of red, green and blue in grey. Source: ITU-R BT.709 luma for linear light, as scikit-image's rgb2gray.
_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)


class ImageTooLargeError(DataError):
    """An image file declares more pixels than MAX_PIXELS."""


class TruncatedImageError(DataError):
    """An image file is cut off."""


def read_image(path: Path | str, depth: int | None = None) -> Shaped[np.ndarray, "H W 3"]:
    """Read an image file as RGB.

    Args:
        path: in any format that OpenCV or scikit-image reads; it can be a URL.
        depth: number of bits that the values of 16-bit files use, such as 12 for many cameras; None for all 16.

    Returns:
        uint8 for files with 1, 8 or 16 bits per channel and for floats of 0..1, which are scaled to 0..255; otherwise the
        file's dtype.
        Grey is repeated, and alpha is dropped.
        Pixels are as stored: an EXIF orientation is not applied, because annotations refer to stored pixels. See
        `mrcnn.io.orientation.turn_upright`.

    Raises:
        DataError: the file is missing, is not an image, has values that are not finite or beyond `depth`, declares more
            than MAX_PIXELS (an ImageTooLargeError), or is a JPEG or PNG that is cut off (a TruncatedImageError).
    """
    path = os.fspath(path)
    if "://" not in path:
        require_file(path)
        head = _read_bytes(path, 8)
        if is_jpeg(head):
            return decode_jpeg(_read_bytes(path), f"image file {path}")
        refuse_bomb(path)
        image = decode_png(_read_bytes(path), f"image file {path}") if is_png(head) else None
        if image is None:
            image = _opencv(cv2.imread, path, cv2.IMREAD_UNCHANGED)
        if image is not None:
            return _to_rgb(image, path, 2, depth)
    try:
        with _quiet_opencv.reading():  # scikit-image may try OpenCV too
            image = np.asarray(skimage.io.imread(path))
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"image file {path} cannot be read: {type(error).__name__}: {error}") from error
    return _to_rgb(image, path, 0, depth)


def require_file(path: Path | str) -> None:
    """Refuse a path that is not a file, because opening a pipe would wait for ever.

    Raises:
        DataError: there is no such file.
    """
    if not os.path.isfile(path):
        reason = "is not a file" if os.path.exists(path) else "does not exist"
        raise DataError(f"image file {path} {reason}")


def decode_jpeg(content: bytes, where: str) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a JPEG as RGB.

    Pillow decodes to the same pixels as OpenCV, and in about the same time, but raises an error for damage that libjpeg
    under OpenCV only writes to standard error.

    Args:
        content: the file.
        where: its name, for messages.

    Returns:
        Pixels as stored: an EXIF orientation is not applied.

    Raises:
        DataError: it declares more than MAX_PIXELS (an ImageTooLargeError), is cut off (a TruncatedImageError), or damaged.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            refuse_too_large((image.height, image.width), where)
            refuse_cut_image(content, where)
            if image.mode == "RGB":
                return np.array(image)
            if image.mode == "L":
                return np.array(image.convert("RGB"))
    except (MemoryError, DataError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the warning may be raised as an error
        raise ImageTooLargeError(f"{where} declares too many pixels to be decoded: {error}") from error
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        refuse_cut_image(content, where)
        raise DataError(f"{where} cannot be read: {type(error).__name__}: {error}") from error
    # CMYK, of which Pillow returns what is stored
    decoded = _opencv(cv2.imdecode, np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None:
        raise DataError(f"{where} cannot be read: the JPEG is damaged")
    return np.asarray(decoded, np.uint8)


def decode_png(content: bytes, where: str) -> Shaped[np.ndarray, "H W *C"] | None:
    """Decode a PNG as OpenCV stores it: blue, green, red, and alpha if there is one; grey without a third axis.

    Args:
        content: the file.
        where: its name, for messages.

    Returns:
        Its pixels of 8 or 16 bits; None if they cannot be decoded.

    Raises:
        DataError: it is cut off (a TruncatedImageError), or a checksum is wrong.
    """
    refuse_cut_image(content, where)
    try:
        pixels = png_pixels(content)
    except ValueError as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    return _opencv(cv2.imdecode, np.frombuffer(pixels, np.uint8), cv2.IMREAD_UNCHANGED)


def _read_bytes(path: str, count: int = -1) -> bytes:
    """Read the first bytes of a file, or all."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"image file {path} cannot be read: {error}") from error


def refuse_cut_image(content: bytes, where: str) -> None:
    """Refuse a JPEG or PNG file that is cut off. Other content is accepted.

    Args:
        content: the file.
        where: its name, for the message.

    Raises:
        TruncatedImageError: it is cut off.
    """
    fault = jpeg_fault(content) if is_jpeg(content[:2]) else png_fault(content) if is_png(content[:8]) else None
    if fault:
        raise TruncatedImageError(f"{where} cannot be read: {fault}")


class _QuietOpenCv:
    """Keeps OpenCV from writing to standard error about damaged files, which are reported by their errors.

    OpenCV has one level of logging for the process; it is restored when the last of the threads that read is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading, self._level = 0, 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep OpenCV quiet during a block."""
        with self._lock:
            if not self._reading:
                self._level = cv2.setLogLevel(0)
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                if not self._reading:
                    cv2.setLogLevel(self._level)


_quiet_opencv = _QuietOpenCv()


def _opencv(read: Callable[..., np.ndarray | None], *args: Any) -> np.ndarray | None:
    """Read an image with OpenCV; None if it cannot be read."""
    try:
        with _quiet_opencv.reading():
            return read(*args)
    except cv2.error as error:  # raised for some damaged headers
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from error
        return None


def _to_rgb(image: np.ndarray, path: str, red: int, depth: int | None) -> Shaped[np.ndarray, "H W 3"]:
    """Convert a decoded image to RGB. `red` is the index of its red channel."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or not 1 <= image.shape[2] <= 4 or image.size == 0:
        raise DataError(f"image file {path} contains an array of shape {image.shape}, expected 1 to 4 channels")
    fault = nonfinite_fault(image)
    if fault:
        raise DataError(f"image file {path} {fault}")
    if is_unit_range(image):
        image = np.rint(image * image.dtype.type(255)).astype(np.uint8)
    try:
        image = to_8_bits(image, depth)
    except ValueError as error:
        raise DataError(f"image file {path}: {error}") from error
    if image.shape[2] <= 2:
        return np.repeat(image[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(image[:, :, [red, 1, 2 - red]])


def is_unit_range(image: Shaped[np.ndarray, "..."]) -> bool:
    """Return whether an image has floats of 0..1, as many programs write them, rather than of 0..255."""
    return image.dtype.kind == "f" and bool(image.min() >= 0 and image.max() <= 1)


def to_8_bits(image: Shaped[np.ndarray, "*S"], depth: int | None = None) -> Shaped[np.ndarray, "*S"]:
    """Scale bool and 16-bit pixels from the full range of their dtype to that of uint8, rounding to nearest.

    Args:
        image: of any dtype.
        depth: number of bits that 16-bit pixels use; None for 16.

    Returns:
        uint8; images of any other dtype are returned unchanged.

    Raises:
        ValueError: a pixel needs more bits.
    """
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2 and depth is not None:
        white, peak = 2**depth - 1, int(image.max(initial=0))
        if peak > white:
            raise ValueError(f"its values reach {peak}, and {depth} bits reach {white}: give a larger depth (--depth)")
        return ((image.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # in either byte order
        return ((image.astype(np.uint32) + _UINT16_STEP // 2) // _UINT16_STEP).astype(np.uint8)
    return image


def is_darkened(path: Path | str, image: Shaped[np.ndarray, "..."]) -> bool:
    """Return whether nearly nothing is left of a 16-bit image that was read without `depth`, as its camera uses fewer bits.

    Args:
        path: its file.
        image: as `read_image` returned it.
    """
    if image.dtype != np.uint8 or not 0 < image.max() < _DARK:
        return False
    try:
        with open_image(path) as file:
            return file.mode.startswith("I")  # "I;16", or "I" for a PNG of 16 bits
    except DataError:  # a format that only other decoders support
        return False


def nonfinite_fault(image: Shaped[np.ndarray, "..."]) -> str | None:
    """Return which of an image's values are not numbers, as the end of a sentence; None if all are."""
    if image.dtype.kind != "f":
        return None
    count = image.size - np.count_nonzero(np.isfinite(image))
    return f"contains NaN or infinity in {count} of {image.size} values" if count else None


def as_image(image: npt.ArrayLike | os.PathLike[str]) -> Shaped[np.ndarray, "..."]:
    """Convert an image to an array.

    Raises:
        ValueError: it is a path, or does not have the shape of an image.
    """
    if isinstance(image, str | os.PathLike):
        raise ValueError(f"expected the pixels of an image, found the path {image}: read it first, with "
                         "mrcnn.io.images.read_image(path)")
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"not an image: shape {image.shape}, expected [h, w] or [h, w, channels]")
    if image.size == 0:
        raise ValueError(f"image without pixels: shape {image.shape}")
    return image


def to_channels(image: npt.ArrayLike, channels: int = 3) -> Shaped[np.ndarray, "H W C"]:
    """Convert an image of any usual kind to a number of channels, with pixels in the range 0..255.

    Training and detection both convert the images of `load_image` with this function, so that a network sees the pixels it
    was trained on. Grey becomes colour by repetition, an alpha channel is dropped, colour becomes grey by luma. Other numbers
    of channels than 1 and 3 (depth, infra-red, ...) must be in the image, and their values are kept.

    Args:
        image: [H, W], [H, W, 1], [H, W, 2] (grey and alpha), [H, W, 3] or [H, W, 4] (colour and alpha), of bool, integers or
            floats. The whole range of uint16 is scaled to 0..255; other integers and floats must be in 0..255 already, which
            is checked for integers.
        channels: C, the number that the network was built for (IMAGE_CHANNEL_COUNT).

    Returns:
        uint8; float32 for floats, and for anything but uint8 if C is neither 1 nor 3.

    Raises:
        ValueError: it is not an image, it cannot be converted to C channels, its integers are out of range, or its floats are
            not finite.
    """
    image = as_image(image)
    fault = nonfinite_fault(image)
    if fault:
        raise ValueError(f"image {fault}")
    if image.ndim == 2:
        image = image[:, :, None]
    count = image.shape[2]
    if channels not in (1, 3):
        if count != channels:
            raise ValueError(f"image has {count} channels (shape {image.shape}), expected {channels}")
        return image if image.dtype == np.uint8 else image.astype(np.float32)
    if count in (2, 4):
        image = image[:, :, :-1]  # the last channel is alpha
    elif count not in (1, 3):
        raise ValueError(f"image has {count} channels (shape {image.shape}); {channels} can be made from 1, 2, 3 or 4")
    image = _to_8_bit_range(image)
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    grey = (image.astype(np.float32) @ _LUMA)[:, :, None]
    return np.rint(grey).astype(np.uint8) if image.dtype == np.uint8 else grey


def _to_8_bit_range(image: Shaped[np.ndarray, "H W C"]) -> Shaped[np.ndarray, "H W C"]:
    """Bring pixels into the range 0..255: bool and uint16 are rescaled, other integers checked, floats kept."""
    image = to_8_bits(image)
    if image.dtype == np.uint8:
        return image
    if np.issubdtype(image.dtype, np.integer):
        low, high = int(image.min()), int(image.max())
        if low < 0 or high > 255:
            raise ValueError(f"image of dtype {image.dtype} has values {low}..{high}, outside 0..255: convert it to "
                             "uint8, uint16 or float (0..255) so that its range is certain")  # fmt: skip
        return image.astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32)
    raise ValueError(f"image of dtype {image.dtype}: expected bool, integer or float pixels")


def open_image(file: Path | str | BytesIO | BufferedReader) -> Image.Image:
    """Open an image file with Pillow, which reads the header but does not decode the pixels yet.

    Args:
        file: a path, or an open file.

    Returns:
        The image, which is a context manager.

    Raises:
        DataError: the file is missing, or is not in an image format that Pillow supports.
        ImageTooLargeError: it declares more than MAX_PIXELS; this is a DataError.
    """
    if isinstance(file, str | os.PathLike):
        require_file(file)
    try:
        image = Image.open(file)
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the warning may be raised as an error
        raise ImageTooLargeError(f"image file {file} declares too many pixels to be decoded: {error}") from error
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {file} cannot be read: {type(error).__name__}: {error}") from error
    try:
        refuse_too_large((image.height, image.width), f"image file {file}")
    except ImageTooLargeError:
        image.close()
        raise
    return image


def refuse_too_large(size: tuple[int, int], where: str) -> None:
    """Refuse an image (height, width), as declared by its file or its annotation, with more than MAX_PIXELS.

    Args:
        where: what declares the size, for the message.

    Raises:
        ImageTooLargeError: the size exceeds MAX_PIXELS.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageTooLargeError(f"{where} declares {size[0]} x {size[1]} pixels (height x width), and more than {MAX_PIXELS} "
                                 "are not decoded (mrcnn.io.images.MAX_PIXELS)")  # fmt: skip


def refuse_bomb(path: str) -> None:
    """Check the size that a file declares, before it is decoded.

    Raises:
        ImageTooLargeError: it declares more than MAX_PIXELS.
    """
    try:
        open_image(path).close()
    except ImageTooLargeError:
        raise
    except DataError:
        # Pillow does not support this file. Another decoder may, and reports an error if not. OpenCV itself refuses images of
        # 2^30 pixels; two formats need a separate check, because Pillow supports few variants of the one, and not the other.
        head = _read_bytes(path, _HEAD)
        if head.startswith(_TIFF):
            _refuse_tiff_bomb(path)
        size = _RADIANCE_SIZE.search(head) if head.startswith(_RADIANCE) else None
        if size:
            refuse_too_large((int(size[1]), int(size[2])), f"image file {path}")


def _refuse_tiff_bomb(path: str) -> None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)
            pixel = int(page.samplesperpixel) * int(page.bitspersample) / 8
    except Exception:  # damaged files raise errors of any kind; the decoder's messages are better
        return
    refuse_too_large((height, width), f"image file {path}")
    if height * width * pixel > MAX_PIXELS * _MAX_BYTES_PER_PIXEL:
        raise ImageTooLargeError(f"image file {path} declares {height} x {width} pixels (height x width) of {pixel:g} bytes, "
                                 f"and more than {MAX_PIXELS * _MAX_BYTES_PER_PIXEL} bytes are not decoded")  # fmt: skip


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Read the size of an image file from its header, without decoding the pixels.

    Returns:
        (height, width) as stored, before any EXIF orientation.

    Raises:
        DataError: the file is missing, is not an image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(path) as image:
        return image.height, image.width


def read_stored(file: Path | str | BytesIO | BufferedReader) -> Shaped[np.ndarray, "H W *C"]:
    """Read an image whose pixels are labels rather than colours, such as ids, class ids or masks.

    Args:
        file: a path, or an open file.

    Returns:
        The values as stored (bool for one bit, otherwise uint8, uint16 or int32), [H, W]; for a palette image, the indices
        rather than the colours. For a colour image, uint8 [H, W, 3] without alpha.

    Raises:
        DataError: the file is missing, is not an image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(file) as image:
        return _stored_pixels(image, file)


def _stored_pixels(image: Image.Image, file: Path | str | BytesIO | BufferedReader) -> Shaped[np.ndarray, "H W *C"]:
    try:
        # Pillow scales grey values of 2 or 4 bits to 0..255
        tiles = getattr(image, "tile", None)
        step = _SPREAD.get(str(tiles[0].args)) if tiles else None
        if image.mode not in ("1", "L", "P", "I", "I;16", "RGB"):
            image = image.convert("L" if image.mode == "LA" else "RGB")
        return np.asarray(image) // step if step else np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {file} cannot be read: {type(error).__name__}: {error}") from error


def image_names(folder: Path | str) -> list[str]:
    """List the image files in a folder and its subfolders, by suffix.

    Returns:
        Sorted paths relative to the folder, with / as separator. Links to folders are not followed. Hidden files and the
        folder __MACOSX are not listed: macOS writes a ._a.jpg, which is not an image, for each a.jpg on some file systems
        and in archives.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        found += [prefix + name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(found)
