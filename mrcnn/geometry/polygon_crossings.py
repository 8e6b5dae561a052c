"""Polygons [x1, y1, x2, y2, ...] whose outline crosses itself.

Shape letters: P points of a polygon, and edges: edge i leads from point i to the next.
"""

import numpy as np

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
