"""Reading image files.

Shape letters: H W image.
"""

import os

import cv2
import numpy as np
import skimage.io

from mrcnn.base.errors import DataError

# the endings of files that are taken for images where a folder is searched
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# The most pixels that an image may declare: a file of a few kilobytes can claim any number, and decoding would fill the
# memory. It is Pillow's own limit (twice its MAX_IMAGE_PIXELS), about 13,000 x 13,000; for larger images of your own,
# raise both.
MAX_PIXELS = 178_956_970
# Pillow's names of grey with few bits, and the steps that it spreads their values by
_SPREAD = {"L;2": 85, "L;4": 17}
# the 16-bit range laid on the 8-bit one: 65535 / 255
_UINT16_STEP = 257


class ImageTooLargeError(DataError):
    """An image file declares more pixels than MAX_PIXELS."""


def read_image(path):
    """Read an image file as RGB.

    Args:
        path: str or path. Any format of OpenCV, and what else scikit-image reads, URLs included.

    Returns:
        uint8 [H, W, 3], or the file's own dtype where it is neither 8 nor 16 bits deep. Grey is repeated, alpha is
        dropped, 16 bits become 8. The pixels lie as stored: an EXIF orientation is not applied, as annotations refer
        to stored pixels.

    Raises:
        DataError: the file is missing, is no image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    path = os.fspath(path)
    is_url = "://" in path
    if not is_url:
        if not os.path.isfile(path):
            raise DataError(f"image file {path} does not exist")
        refuse_bomb(path)
    # the plain JPEG, by far the most common, goes straight to RGB
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


def _to_rgb(image, path, red):
    """Bring a decoded image [H, W] or [H, W, 1..4] to RGB; `red` is the channel that red came in."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or not 1 <= image.shape[2] <= 4 or image.size == 0:
        raise DataError(f"image file {path} holds an array of shape {image.shape}, and an image has 1 to 4 channels")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + _UINT16_STEP // 2) // _UINT16_STEP).astype(np.uint8)
    elif image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.shape[2] <= 2:
        return np.repeat(image[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(image[:, :, [red, 1, 2 - red]])


def open_image(path):
    """Open an image file by Pillow: its head is read, its pixels are not decoded yet.

    Args:
        path: str or path.

    Returns:
        PIL.Image.Image, a context manager.

    Raises:
        DataError: the file is missing, or is no image that Pillow knows.
        ImageTooLargeError: it declares more than MAX_PIXELS; a DataError too.
    """
    from PIL import Image

    try:
        image = Image.open(path)
    except FileNotFoundError as error:
        raise DataError(f"image file {path} does not exist") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # a warning where those are errors
        raise ImageTooLargeError(f"image file {path} declares too many pixels to be decoded: {error}") from error
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {path} cannot be read: {type(error).__name__}: {error}") from error
    try:
        refuse_too_large((image.height, image.width), f"image file {path}")
    except ImageTooLargeError:
        image.close()
        raise
    return image


def refuse_too_large(size, where):
    """Refuse a size that an image file, or what is told of it, declares.

    Args:
        size: (height, width) in pixels.
        where: str. What declares it, for the message.

    Raises:
        ImageTooLargeError: it is more than MAX_PIXELS.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageTooLargeError(f"{where} declares {size[0]} x {size[1]} pixels (height x width), and more than {MAX_PIXELS} "
                                 "are not decoded (mrcnn.io.images.MAX_PIXELS)")


def refuse_bomb(path):
    """Look at the size that a file declares, before anything decodes it.

    Args:
        path: str.

    Raises:
        ImageTooLargeError: it declares more than MAX_PIXELS.
    """
    try:
        open_image(path).close()
    except ImageTooLargeError:
        raise
    except DataError:
        # What Pillow does not know may be known to others, who say so if it is not. OpenCV refuses 2^30 pixels itself;
        # of TIFF there are many kinds that Pillow does not know.
        if path.lower().endswith((".tif", ".tiff")):
            _refuse_tiff_bomb(path)


def _refuse_tiff_bomb(path):
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            height, width = int(file.pages[0].imagelength), int(file.pages[0].imagewidth)
    except Exception:  # damaged files raise errors of any kind; the decoder tells them better
        return
    refuse_too_large((height, width), f"image file {path}")


def read_image_size(path):
    """Read the size of an image file from its header, without decoding the pixels.

    Args:
        path: str or path.

    Returns:
        (height, width) as stored, before any EXIF orientation.

    Raises:
        DataError: the file is missing, is no image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(path) as image:
        return image.height, image.width


def read_stored(path):
    """Read an image whose pixels are numbers rather than colours: ids, classes, or inside and outside.

    Args:
        path: str or path.

    Returns:
        [H, W] the values as stored (bool of one bit, uint8, uint16 or int32), of a palette image the numbers and not
        the colours; or uint8 [H, W, 3] of a colour image, without its alpha.

    Raises:
        DataError: the file is missing, is no image, or declares more than MAX_PIXELS (an ImageTooLargeError).
    """
    with open_image(path) as image:
        return _stored_pixels(image, path)


def _stored_pixels(image, path):
    try:
        # of grey with 2 or 4 bits Pillow spreads the values over 0..255
        step = _SPREAD.get(str(image.tile[0].args)) if image.tile else None
        if image.mode not in ("1", "L", "P", "I", "I;16", "RGB"):
            image = image.convert("L" if image.mode == "LA" else "RGB")
        return np.asarray(image) // step if step else np.asarray(image)
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {path} cannot be read: {type(error).__name__}: {error}") from error


def image_names(folder):
    """List the image files in a folder and the folders below it, as their endings tell.

    Args:
        folder: path.

    Returns:
        list of str, sorted: paths relative to the folder, with / between their parts. Links to folders are not followed.
        What is hidden by a dot is not listed: some systems put a ._a.jpg that is no image beside each a.jpg.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        found += [prefix + name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(found)
