"""Which way up an image is: the EXIF orientation of its file, which viewers apply and readers of pixels do not.

Orientations are EXIF's 1 to 8; 1 is upright as stored, and 5 to 8 swap width and height. A point is (x, y) in pixels,
pixel i covering [i, i + 1).

Source: EXIF 2.32, tag 0x0112. Shape letters: H W image.
"""

import numpy as np

from mrcnn.io.images import open_image

EXIF_ORIENTATION = 0x0112
# orientation -> the one that takes it back
_INVERSE = {6: 8, 8: 6}


def read_head(file):
    """Read the size and the orientation of an image file without decoding its pixels.

    Args:
        file: path, or an open binary file.

    Returns:
        ((height, width) as stored, orientation int 1 to 8; 1 where none is told).

    Raises:
        DataError: see `mrcnn.io.images.open_image`.
    """
    with open_image(file) as image:
        return (image.height, image.width), _orientation(image)


def read_orientation(file):
    """Read the orientation of an image file alone. Args, Raises: see `read_head`. Returns: int, 1 to 8."""
    return read_head(file)[1]


def _orientation(image):
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the pixels to look for it behind them
    if image.format == "TIFF":
        return 1  # its decoders turn it themselves
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata makes Pillow raise errors of any kind; the pixels may be whole
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def turned_size(size, orientation):
    """Size of an image once it is turned upright. Args: size: (height, width) as stored; orientation. Returns: the same."""
    return (size[1], size[0]) if orientation >= 5 else tuple(size)


def turn_upright(image, orientation):
    """Turn the pixels of an image as its orientation says.

    Args:
        image: any dtype [H, W] or [H, W, C], as stored.
        orientation: int, 1 to 8.

    Returns:
        The same dtype [H', W'] or [H', W', C], a view where possible.
    """
    if orientation >= 5:
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def turn_back(image, orientation):
    """Undo `turn_upright`. Args: image: upright; orientation: of the stored image. Returns: the image as stored."""
    return turn_upright(image, _INVERSE.get(orientation, orientation))


def turn_points(points, size, orientation):
    """Move points of the stored image to where they lie on the upright one.

    Args:
        points: float [P, 2] of x, y, or a list of such pairs.
        size: (height, width) as stored.
        orientation: int, 1 to 8.

    Returns:
        float64 [P, 2].
    """
    points = np.array(points, np.float64).reshape(-1, 2)
    if orientation >= 5:
        points = points[:, ::-1].copy()
    height, width = turned_size(size, orientation)
    if orientation in (3, 4, 7, 8):
        points[:, 1] = height - points[:, 1]
    if orientation in (2, 3, 6, 7):
        points[:, 0] = width - points[:, 0]
    return points
