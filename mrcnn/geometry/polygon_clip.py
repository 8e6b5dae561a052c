"""Cutting polygons [x1, y1, x2, y2, ...] off at the border of an image.

Shape letters: P points of a polygon.
"""

import numpy as np

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
