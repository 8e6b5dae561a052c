"""Polygons in COCO's form: a flat list [x1, y1, x2, y2, ...] in pixels, and an instance is a list of them.

Coordinates are continuous: pixel i covers [i, i + 1), and it is inside when its centre is.
"""

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.geometry.polygon_clip import near_canvas


def polygon_bounds(polygons):
    """Find the smallest box around polygons.

    Args:
        polygons: list of flat lists or arrays [x1, y1, x2, y2, ...].

    Returns:
        (y1, x1, y2, x2) float, in the units of the points.
    """
    points = np.concatenate([np.asarray(p, np.float64).reshape(-1, 2) for p in polygons])
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(y1), float(x1), float(y2), float(x2)


def polygon_area(polygon):
    """Compute the area inside one polygon that does not cross itself (the shoelace formula).

    Args:
        polygon: flat list [x1, y1, x2, y2, ...].

    Returns:
        float. Squared units of the points, never negative.
    """
    x, y = np.asarray(polygon, np.float64).reshape(-1, 2).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def transform_polygons(polygons, scale, offset):
    """Scale, then shift polygons.

    Args:
        polygons: list of flat lists [x1, y1, x2, y2, ...].
        scale: (scale y, scale x).
        offset: (offset y, offset x), in the scaled units.

    Returns:
        list of float64 arrays [2 * points], flat.
    """
    factor, shift = np.array([scale[1], scale[0]]), np.array([offset[1], offset[0]])
    return [(np.asarray(p, np.float64).reshape(-1, 2) * factor + shift).ravel() for p in polygons]


def rasterize_polygons(polygons, size):
    """Draw the union of polygons on a canvas.

    Args:
        polygons: list of flat lists or arrays, in pixels of the canvas; they may reach out of it.
        size: (height, width) of the canvas.

    Returns:
        bool [height, width]. Pixels whose centre is inside, by COCO's own rule.

    Raises:
        ValueError: a coordinate is no finite number.
    """
    h, w = (int(v) for v in size)
    polygons = near_canvas(polygons, (h, w))
    rles = coco_mask.frPyObjects([p.tolist() if isinstance(p, np.ndarray) else p for p in polygons], h, w)
    masks = coco_mask.decode(rles)  # [h, w, polygons]
    return (masks[:, :, 0] if len(rles) == 1 else masks.any(axis=2)).astype(bool)
