"""Class maps: one number a pixel, painted out of instances at whatever size is asked for.

Shape letters: H W image file, h w map, N instances.
"""

import numpy as np

from mrcnn.geometry.polygons import rasterize_polygons, transform_polygons
from mrcnn.geometry.rasterize import MaskInstance


def nearest_positions(length, count):
    """Find the pixel that the centre of each sample falls on, when a line of pixels is resized.

    Args:
        length: int. Pixels of the line.
        count: int. Samples spread over it.

    Returns:
        int64 [count]. floor((i + 1/2) * length / count), computed in whole numbers.
    """
    return (2 * np.arange(count, dtype=np.int64) + 1) * int(length) // (2 * int(count))


def paint_classes(parts, numbers, original, size):
    """Paint instances into one map. Where they overlap, the higher number stays.

    A pixel of the map takes what lies under its centre: polygons are drawn at the size of the map, dense masks are
    sampled at the nearest pixel. No value arises that is not among `numbers`, and where masks meet no seam of 0 does.

    Args:
        parts: list of N PolygonInstance or MaskInstance, of `mrcnn.geometry.rasterize.as_instance`.
        numbers: int [N]. 0 leaves an instance out.
        original: (H, W) of the image file that the parts are in.
        size: (h, w) of the map.

    Returns:
        uint16 [h, w]. 0 where there is nothing.

    Raises:
        ValueError: a number is negative or above 65535.
    """
    numbers = np.asarray(numbers, np.int64).reshape(-1)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= np.iinfo(np.uint16).max:
        raise ValueError(f"the numbers of a class map go from 0 to 65535, and are {numbers.min()} to {numbers.max()}")
    painted = np.zeros(tuple(size), np.uint16)
    rows, cols = (nearest_positions(old, new) for old, new in zip(original, size, strict=True))
    scale = tuple(new / old for old, new in zip(original, size, strict=True))
    for i in np.argsort(numbers, kind="stable"):
        if not numbers[i]:
            continue
        if isinstance(parts[i], MaskInstance):
            _paint_dense(painted, parts[i], numbers[i], rows, cols)
        else:
            painted[rasterize_polygons(transform_polygons(parts[i].polygons, scale, (0.0, 0.0)), size)] = numbers[i]
    return painted


def _paint_dense(painted, part, number, rows, cols):
    """Sample a mask at (rows, cols) of the image file and paint what is inside, in place."""
    (y1, x1, y2, x2) = part.bounds
    # the positions rise, so that those within the mask's box are one stretch
    top, bottom = np.searchsorted(rows, (y1, y2))
    left, right = np.searchsorted(cols, (x1, x2))
    if bottom > top and right > left:
        inside = part.mask[np.ix_(rows[top:bottom] - y1, cols[left:right] - x1)]
        painted[top:bottom, left:right][inside] = number
