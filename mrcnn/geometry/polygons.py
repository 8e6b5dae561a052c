"""Polygons in COCO's form: a flat list [x1, y1, x2, y2, ...] in pixels, and an instance is a list of them.

Coordinates are continuous: pixel i covers [i, i + 1), and it is inside when its centre is.

Polygons [x1, y1, x2, y2, ...] whose outline crosses itself.

Shape letters: P points of a polygon, and edges: edge i leads from point i to the next.

Cutting polygons [x1, y1, x2, y2, ...] off at the border of an image.

Shape letters: P points of a polygon.
"""

import numpy as np
from pycocotools import mask as coco_mask

# pairs of an edge and a point compared at a time
_BLOCK = 1_000_000
# an outline of more points is not looked at: the work grows with their square
MAX_POINTS = 3_000
# products that differ by less than this share are equal
_ROUNDING = 1e-12


def count_crossings(polygon):
    """Count the pairs of edges of a polygon that cross inside of both.

    Edges that only touch, run along each other, or share a corner do not cross: outlines traced from masks do that.

    Args:
        polygon: flat list or array [x1, y1, x2, y2, ...] of finite numbers.

    Returns:
        int. None for an outline of more than MAX_POINTS points.
    """
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    points = points[(points != np.concatenate([points[-1:], points[:-1]])).any(axis=1)]  # no edges without length
    if len(points) > MAX_POINTS:
        return None
    edges = np.concatenate([points[1:], points[:1]]) - points
    if len(points) ** 2 <= _BLOCK:
        parts = _parts(points, edges, points)
        return np.count_nonzero(parts & parts.T) // 2  # each pair is met from both sides
    found = 0
    step = _BLOCK // len(points)
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        parts = _parts(points[rows], edges[rows], points)  # [block, P]
        starts, ends = points[rows], np.roll(points, -1, axis=0)[rows]
        parted = _sides(points, edges, starts) * _sides(points, edges, ends) < 0  # [P, block]
        found += np.count_nonzero(parts & parted.T)
    return found // 2


def _sides(points, edges, others):
    """Side of each edge that each other point lies on: int8 [edges, others], 1 left, -1 right, 0 on its line."""
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates overflow: their points are on no side
        across = edges[:, :1] * (others[:, 1] - points[:, 1:])
        along = edges[:, 1:] * (others[:, 0] - points[:, :1])
        cross = across - along
        rounding = _ROUNDING * (np.abs(across) + np.abs(along))
    return (cross > rounding).astype(np.int8) - (cross < -rounding).astype(np.int8)


def _parts(points, edges, others):
    """Whether each edge has the two ends of each other edge on its two sides: bool [edges, others]."""
    sides = _sides(points, edges, others)
    return sides * np.concatenate([sides[:, 1:], sides[:, :1]], axis=1) < 0


# coordinates beyond this are moved to it first, so that no product of them overflows
_FARTHEST = 1e12
# pixels around a canvas within which polygons are drawn as they are
_NEAR = 10_000


def clip_polygon(polygon, size, margin=0.0):
    """Cut a polygon off at the border of an image.

    Args:
        polygon: flat list or array [x1, y1, x2, y2, ...] of finite numbers, in pixels.
        size: (height, width) of the image.
        margin: float, pixels. How far outside of the border the cut is.

    Returns:
        float64 [2 P], flat: what lies inside; empty when nothing does. A polygon that leaves the image and comes back is
        not parted: its pieces hang together along the border, without an area there.

    Source: Sutherland and Hodgman, Reentrant polygon clipping, 1974.
    """
    points = np.clip(np.asarray(polygon, np.float64).reshape(-1, 2), -_FARTHEST, _FARTHEST)
    for axis, length in ((0, size[1]), (1, size[0])):
        points = _clip_line(points, axis, -margin, 1)
        points = _clip_line(points, axis, length + margin, -1)
    if len(points):
        points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    return points.ravel() if len(points) >= 3 else np.zeros(0)


def _clip_line(points, axis, limit, side):
    """Keep of [P, 2] what is on one side of a line; side 1 keeps what is above the limit, -1 what is below."""
    depth = side * (points[:, axis] - limit)
    inside = depth >= 0
    if inside.all() or not inside.any():
        return points[inside]
    after, depth_after = np.roll(points, -1, axis=0), np.roll(depth, -1)
    crosses = inside != np.roll(inside, -1)  # the edge from this point to the next
    share = np.divide(depth, depth - depth_after, out=np.zeros(len(points)), where=crosses)
    cuts = points + share[:, None] * (after - points)
    cuts[:, axis] = limit
    # each point, then the cut of the edge behind it
    return np.stack([points, cuts], axis=1)[np.stack([inside, crosses], axis=1)]


def near_canvas(polygons, size):
    """Cut off what lies far outside of a canvas: drawing takes time and memory for each pixel of an outline.

    Args:
        polygons: list of flat lists or arrays [x1, y1, x2, y2, ...], in pixels.
        size: (height, width) of the canvas.

    Returns:
        list of flat lists or arrays: those that reach far out as arrays cut to the surroundings of the canvas, the
        others as they are. One that lies wholly outside becomes a point there, so that each keeps its place.

    Raises:
        ValueError: a coordinate is no finite number.
    """
    limit = max(size) + _NEAR
    return [polygon if _is_near(polygon, limit) else _cut_near(polygon, size) for polygon in polygons]


def _is_near(polygon, limit):
    """Whether all coordinates are numbers from -_NEAR to the limit; the common case, and quick on lists."""
    if isinstance(polygon, np.ndarray):
        return bool(polygon.min() >= -_NEAR and polygon.max() <= limit)  # nan fails both
    # min and max pass over nan, a sum does not
    return min(polygon) >= -_NEAR and max(polygon) <= limit and sum(polygon) * 0 == 0


def _cut_near(polygon, size):
    try:
        points = np.asarray(polygon, np.float64)
    except OverflowError:  # a whole number that no float can hold
        points = np.array([np.inf])
    if not np.isfinite(points).all():
        raise ValueError(f"a polygon has coordinates that are no finite numbers: {str(polygon)[:80]}")
    cut = clip_polygon(points, size, margin=_NEAR / 2)
    return cut if len(cut) else np.full(6, -_NEAR / 2)


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
