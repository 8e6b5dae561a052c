"""Reading image files.

Shape letters: H W image.
"""

import os

import cv2
import numpy as np
import skimage.io

from mrcnn.data.errors import DataError

# the endings of files that are taken for images where a folder is searched
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# the 16-bit range laid on the 8-bit one: 65535 / 255
_UINT16_STEP = 257


def read_image(path):
    """Read an image file as RGB.

    Args:
        path: str or path. Any format of OpenCV, and what else scikit-image reads, URLs included.

    Returns:
        uint8 [H, W, 3], or the file's own dtype where it is neither 8 nor 16 bits deep. Grey is repeated, alpha is
        dropped, 16 bits become 8. The pixels lie as stored: an EXIF orientation is not applied, as annotations refer
        to stored pixels.

    Raises:
        DataError: the file is missing, or is no image.
    """
    path = os.fspath(path)
    is_url = "://" in path
    if not is_url and not os.path.isfile(path):
        raise DataError(f"image file {path} does not exist")
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


def read_image_size(path):
    """Read the size of an image file from its header, without decoding the pixels.

    Args:
        path: str or path.

    Returns:
        (height, width) as stored, before any EXIF orientation.

    Raises:
        DataError: the file is missing, or is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError as error:
        raise DataError(f"image file {path} does not exist") from error
    except OSError as error:
        raise DataError(f"image file {path} cannot be read: {error}") from error


def read_stored(path):
    """Read an image whose pixels are numbers rather than colours: ids, classes, or inside and outside.

    Args:
        path: str or path.

    Returns:
        [H, W] the values as stored (bool of one bit, uint8, uint16 or int32), of a palette image the numbers and not
        the colours; or uint8 [H, W, 3] of a colour image, without its alpha.

    Raises:
        DataError: the file is missing, is no image, or declares an enormous size.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "I", "I;16", "RGB"):
                image = image.convert("L" if image.mode == "LA" else "RGB")
            return np.asarray(image)
    except FileNotFoundError as error:
        raise DataError(f"image file {path} does not exist") from error
    except Exception as error:  # damaged files make Pillow raise errors of any kind
        raise DataError(f"image file {path} cannot be read: {type(error).__name__}: {error}") from error


def image_names(folder):
    """List the image files in a folder and the folders below it, as their endings tell.

    Args:
        folder: path.

    Returns:
        list of str, sorted: paths relative to the folder, with / between their parts. Links to folders are not followed.
    """
    found = []
    for parent, _, names in os.walk(folder):
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        found += [prefix + name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(found)
