"""EXIF orientation: which way up an image is. Image viewers apply it; pixel readers do not.

Orientations are numbered 1 to 8, as in EXIF; 1 is upright as stored, and 5 to 8 swap width and height. A point is (x, y) in
pixels, and pixel i covers [i, i + 1).

Source: EXIF 2.32, tag 0x0112. Shape letters: P points.
"""

from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Shaped
from PIL import Image

from mrcnn.io.images import open_image

EXIF_ORIENTATION = 0x0112
# inverses of the orientations that are not their own inverse
_INVERSE = {6: 8, 8: 6}


def read_header(file: Path | str | BytesIO | BufferedReader) -> tuple[tuple[int, int], int]:
    """Read the size and the orientation of an image file without decoding its pixels.

    Args:
        file: a path, or an open file.

    Returns:
        The (height, width) as stored, and the orientation, which is 1 unless the file declares another.

    Raises:
        DataError: see `mrcnn.io.images.open_image`.
    """
    with open_image(file) as image:
        return (image.height, image.width), _orientation(image)


def read_orientation(file: Path | str | BytesIO | BufferedReader) -> int:
    """Read the orientation of an image file; see `read_header`."""
    return read_header(file)[1]


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the pixels to search for the metadata after them
    if image.format == "TIFF":
        return 1  # TIFF decoders apply the orientation
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata makes Pillow raise errors of any kind, although the pixels may be intact
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the (height, width) of a stored image once it is upright."""
    return (size[1], size[0]) if orientation >= 5 else (size[0], size[1])


def turn_upright(image: Shaped[np.ndarray, "H W *C"], orientation: int) -> Shaped[np.ndarray, "H2 W2 *C"]:
    """Rotate the stored pixels of an image upright. Returns a view."""
    if orientation >= 5:
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def turn_back(image: Shaped[np.ndarray, "H W *C"], orientation: int) -> Shaped[np.ndarray, "H2 W2 *C"]:
    """Undo `turn_upright`: rotate the pixels of an upright image back to the stored orientation."""
    return turn_upright(image, _INVERSE.get(orientation, orientation))


def turn_points(points: npt.ArrayLike, size: tuple[int, int], orientation: int) -> Float64[np.ndarray, "P 2"]:
    """Map points from the stored image to the upright image.

    Args:
        points: P pairs (x, y).
        size: (height, width) as stored.
    """
    moved: np.ndarray = np.array(points, np.float64).reshape(-1, 2)
    if orientation >= 5:
        moved = moved[:, ::-1].copy()
    height, width = turned_size(size, orientation)
    if orientation in (3, 4, 7, 8):
        moved[:, 1] = height - moved[:, 1]
    if orientation in (2, 3, 6, 7):
        moved[:, 0] = width - moved[:, 0]
    return moved
