"""Reading image files.

Shape letters: H W image, C channels.
"""

import os
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.io
from jaxtyping import Shaped
from PIL import Image

from mrcnn.base.errors import DataError

# Files with these suffixes are taken for images when a folder is searched.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# The most pixels that an image may declare: a file of a few kilobytes can declare any number, and decoding it would fill
# the memory. This is Pillow's own limit (twice its MAX_IMAGE_PIXELS), about 13,000 x 13,000; to read larger images, raise
# both.
MAX_PIXELS = 178_956_970
# Pillow's names of grey with few bits, and the factors by which it spreads their values over 0..255.
_SPREAD = {"L;2": 85, "L;4": 17}
# The factor that maps the 8-bit range onto the 16-bit range: 65535 / 255.
_UINT16_STEP = 257


class ImageTooLargeError(DataError):
    """An image file declares more pixels than MAX_PIXELS."""


def read_image(path: Path | str) -> Shaped[np.ndarray, "H W 3"]:
    """Read an image file as RGB.

    Args:
        path: In any format of OpenCV or scikit-image; a URL too.

    Returns:
        uint8, or the file's own dtype unless it is 1, 8 or 16 bits deep. Grey is repeated, alpha is dropped, 16 bits become
        8. The pixels lie as stored: an EXIF orientation is not applied, because annotations refer to stored pixels.

    Raises:
        DataError: The file is missing, is not an image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    path = os.fspath(path)
    is_url = "://" in path
    if not is_url:
        if not os.path.isfile(path):
            raise DataError(f"image file {path} does not exist")
        refuse_bomb(path)
    # a plain JPEG, by far the most common, is decoded straight to RGB
    if path.lower().endswith((".jpg", ".jpeg")) and not is_url:
        image = cv2.imread(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is not None:
            return image
    image = None if is_url else cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if image is not None:
        return _to_rgb(image, path, red=2)
    try:
        image = skimage.io.imread(path)
    except Exception as error:
        raise DataError(f"image file {path} cannot be read: {type(error).__name__}: {error}") from error
    return _to_rgb(np.asarray(image), path, red=0)


def _to_rgb(image: np.ndarray, path: str, red: int) -> Shaped[np.ndarray, "H W 3"]:
    """Convert a decoded image to RGB. `red` is the channel that holds red."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or not 1 <= image.shape[2] <= 4 or image.size == 0:
        raise DataError(f"image file {path} holds an array of shape {image.shape}, expected 1 to 4 channels")
    image = to_8_bits(image)
    if image.shape[2] <= 2:
        return np.repeat(image[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(image[:, :, [red, 1, 2 - red]])


def to_8_bits(image: Shaped[np.ndarray, "*S"]) -> Shaped[np.ndarray, "*S"]:
    """Scale bool and 16-bit pixels to the range of uint8, by the whole range of their dtype and to the nearest level.

    Returns:
        uint8; or the image itself if it is of any other dtype.
    """
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # of either byte order
        return ((image.astype(np.uint32) + _UINT16_STEP // 2) // _UINT16_STEP).astype(np.uint8)
    return image


def open_image(file: Path | str | BytesIO | BufferedReader) -> Image.Image:
    """Open an image file with Pillow, which reads its header and does not decode its pixels yet.

    Args:
        file: A path, or an open file.

    Returns:
        A context manager.

    Raises:
        DataError: The file is missing, or is not an image that Pillow knows.
        ImageTooLargeError: It declares more than MAX_PIXELS; a DataError too.
    """
    try:
        image = Image.open(file)
    except FileNotFoundError as error:
        raise DataError(f"image file {file} does not exist") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # a warning where those are errors
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
    """Refuse a (height, width) that an image file, or an annotation of it, declares.

    Args:
        where: What declares it, for the message.

    Raises:
        ImageTooLargeError: It is more than MAX_PIXELS.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageTooLargeError(f"{where} declares {size[0]} x {size[1]} pixels (height x width), and more than {MAX_PIXELS} "
                                 "are not decoded (mrcnn.io.images.MAX_PIXELS)")  # fmt: skip


def refuse_bomb(path: str) -> None:
    """Check the size that a file declares before anything decodes it.

    Raises:
        ImageTooLargeError: It declares more than MAX_PIXELS.
    """
    try:
        open_image(path).close()
    except ImageTooLargeError:
        raise
    except DataError:
        # Other decoders may know a file that Pillow does not, and say so if they do not. OpenCV refuses 2^30 pixels itself;
        # there are many kinds of TIFF that Pillow does not know.
        if path.lower().endswith((".tif", ".tiff")):
            _refuse_tiff_bomb(path)


def _refuse_tiff_bomb(path: str) -> None:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            height, width = int(page.imagelength), int(page.imagewidth)
    except Exception:  # damaged files raise errors of any kind; the decoder reports them better
        return
    refuse_too_large((height, width), f"image file {path}")


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Read the size of an image file from its header, without decoding the pixels.

    Returns:
        (height, width) as stored, before any EXIF orientation.

    Raises:
        DataError: The file is missing, is not an image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(path) as image:
        return image.height, image.width


def read_stored(file: Path | str | BytesIO | BufferedReader) -> Shaped[np.ndarray, "H W *C"]:
    """Read an image whose pixels are numbers rather than colours: ids, classes, or inside and outside.

    Args:
        file: A path, or an open file.

    Returns:
        The values as stored (bool for one bit, else uint8, uint16 or int32), [H, W]; for a palette image the indices and not
        the colours. For a colour image uint8 [H, W, 3], without its alpha.

    Raises:
        DataError: The file is missing, is not an image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(file) as image:
        return _stored_pixels(image, file)


def _stored_pixels(image: Image.Image, file: Path | str | BytesIO | BufferedReader) -> Shaped[np.ndarray, "H W *C"]:
    try:
        # Pillow spreads the values of grey with 2 or 4 bits over 0..255
        tiles = getattr(image, "tile", None)
        step = _SPREAD.get(str(tiles[0].args)) if tiles else None
        if image.mode not in ("1", "L", "P", "I", "I;16", "RGB"):
            image = image.convert("L" if image.mode == "LA" else "RGB")
        return np.asarray(image) // step if step else np.asarray(image)
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {file} cannot be read: {type(error).__name__}: {error}") from error


def image_names(folder: Path | str) -> list[str]:
    """List the image files in a folder and the folders below it, by their suffixes.

    Returns:
        Sorted paths relative to the folder, with / between their parts. Links to folders are not followed. Hidden files are
        not listed: some systems put a ._a.jpg, which is not an image, beside each a.jpg.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        found += [prefix + name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(found)
