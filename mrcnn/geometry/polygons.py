"""Polygons in COCO's form: measuring, transforming, clipping and rasterising them, and counting self-intersections.

A polygon is a flat list [x1, y1, x2, y2, ...], x first, and is closed implicitly; an instance is a list of polygons.
Coordinates are continuous: pixel i covers [i, i + 1), and is inside if its centre is.

This is built on pycocotools' rasteriser instead of shapely, which rejects the self-intersecting outlines that annotators draw.

Shape letters: P points, E edges (edge i leads from point i to the next), H W image.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int8, Num
from pycocotools import mask as coco_mask

from mrcnn.geometry.boxes import Integer, Number, Size

Polygon = Sequence[Number] | Num[np.ndarray, " _"]

# coordinates are clipped to this range, so that their products do not overflow
_FARTHEST = 1e12
# a polygon that extends at most this many pixels beyond the canvas is rasterised unclipped
_NEAR = 10_000
# outlines with more points are not searched for crossings, because the cost grows with the square of their number
MAX_POINTS = 3_000
# pairs of an edge and a point compared at once
_BLOCK = 1_000_000
# products whose relative difference is smaller count as equal
_ROUNDING = 1e-12


def polygon_points(polygon: Polygon) -> Float64[np.ndarray, "P 2"]:
    """Return the points (x, y) of a polygon."""
    return np.asarray(polygon, np.float64).reshape(-1, 2)


def polygon_bounds(polygons: Iterable[Polygon]) -> tuple[float, float, float, float]:
    """Compute the bounding box (y1, x1, y2, x2) of polygons."""
    points = np.concatenate([polygon_points(polygon) for polygon in polygons])
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(y1), float(x1), float(y2), float(x2)


def signed_area(polygon: Polygon) -> float:
    """Compute the signed area of a polygon: positive if it is clockwise on the screen, where y points down.

    This is the shoelace formula; parts of a self-intersecting outline may cancel out.
    """
    x, y = np.clip(polygon_points(polygon), -_FARTHEST, _FARTHEST).T
    return float((np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def polygon_area(polygon: Polygon) -> float:
    """Compute the area of a polygon that does not intersect itself."""
    return abs(signed_area(polygon))


def check_polygons(polygons: Iterable[Sequence[object] | np.ndarray]) -> None:
    """Raise a ValueError unless each polygon has at least three points."""
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon needs at least three x, y pairs, but has {len(polygon)} numbers")


def transform_polygons(
    polygons: Iterable[Polygon], scale: tuple[Number, Number], offset: tuple[Number, Number]
) -> list[Float64[np.ndarray, " _"]]:
    """Scale, then shift polygons.

    Args:
        scale: (scale y, scale x).
        offset: (offset y, offset x), in scaled units.
    """
    factor, shift = np.array([scale[1], scale[0]]), np.array([offset[1], offset[0]])
    return [(polygon_points(polygon) * factor + shift).ravel() for polygon in polygons]


def rasterize_polygons(polygons: Iterable[Polygon], size: Sequence[Integer]) -> Bool[np.ndarray, "H W"]:
    """Rasterise the union of polygons with COCO's fill rule.

    Args:
        polygons: in pixels of the canvas; they may extend beyond it.
        size: (height, width) of the canvas.

    Returns:
        True at pixels whose centre is inside.

    Raises:
        ValueError: a coordinate is not finite.
    """
    h, w = (int(v) for v in size)
    flat = [p.tolist() if isinstance(p, np.ndarray) else p for p in near_canvas(polygons, (h, w))]
    masks = coco_mask.decode(coco_mask.frPyObjects(flat, h, w))  # [h, w, polygons]
    return (masks[:, :, 0] if len(flat) == 1 else masks.any(axis=2)).astype(bool)


def near_canvas(polygons: Iterable[Polygon], size: Size) -> list[Polygon]:
    """Clip polygons that extend far beyond a canvas, because rasterising costs time and memory per pixel of outline.

    Args:
        size: (height, width) of the canvas.

    Returns:
        Polygons near the canvas unchanged; others clipped some distance outside its border. A polygon that lies entirely
        outside becomes a single point, so that the list keeps its length and order.

    Raises:
        ValueError: a coordinate is not finite.
    """
    limit = max(size) + _NEAR
    return [polygon if _is_near(polygon, limit) else _clip_near(polygon, size) for polygon in polygons]


def _is_near(polygon: Polygon, limit: int) -> bool:
    """Check that all coordinates are finite and between -_NEAR and the limit; fast for lists, the common case."""
    if isinstance(polygon, np.ndarray):
        return bool(polygon.min() >= -_NEAR and polygon.max() <= limit)  # nan fails both
    # min and max can miss nan, a sum cannot
    return bool(min(polygon) >= -_NEAR and max(polygon) <= limit and sum(polygon) * 0 == 0)


def _clip_near(polygon: Polygon, size: Size) -> Float64[np.ndarray, " _"]:
    try:
        points = np.asarray(polygon, np.float64)
    except OverflowError:  # an int that is too large for a float
        points = np.array([np.inf])
    if not np.isfinite(points).all():
        raise ValueError(f"a polygon has coordinates that are not finite numbers: {str(polygon)[:80]}")
    clipped = clip_polygon(points, size, margin=_NEAR / 2)
    return clipped if len(clipped) else np.full(6, -_NEAR / 2)


def clip_polygon(polygon: Polygon, size: Size, margin: Number = 0.0) -> Float64[np.ndarray, " _"]:
    """Clip a polygon to an image.

    Args:
        polygon: finite coordinates, in pixels.
        size: (height, width) of the image.
        margin: pixels by which the result may extend beyond the border.

    Returns:
        The part inside; empty if there is none. A polygon that leaves and re-enters the image stays one polygon, whose
        pieces are connected along the border by edges that add no area.

    Source: Sutherland and Hodgman, Reentrant polygon clipping, 1974. (Matplotlib's `Path.clip_to_bbox` would load a
    plotting library in each loader process.)
    """
    points = np.clip(polygon_points(polygon), -_FARTHEST, _FARTHEST)
    for axis, length in ((0, size[1]), (1, size[0])):
        points = _clip_at_line(points, axis, -margin, 1)
        points = _clip_at_line(points, axis, length + margin, -1)
    if len(points):
        points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    return points.ravel() if len(points) >= 3 else np.zeros(0)


def _clip_at_line(points: Float64[np.ndarray, "P 2"], axis: int, limit: Number, side: int) -> Float64[np.ndarray, "_ 2"]:
    """Keep the part on one side of a line: with side 1 where the coordinate is above the limit, with -1 below."""
    depth = side * (points[:, axis] - limit)
    inside = depth >= 0
    if inside.all() or not inside.any():
        return points[inside]
    after, depth_after = np.roll(points, -1, axis=0), np.roll(depth, -1)
    crosses = inside != np.roll(inside, -1)  # the edge from this point to the next
    fraction = np.divide(depth, depth - depth_after, out=np.zeros(len(points)), where=crosses)
    cuts = points + fraction[:, None] * (after - points)
    cuts[:, axis] = limit
    # each point, then the cut of the edge that follows it
    return np.stack([points, cuts], axis=1)[np.stack([inside, crosses], axis=1)]


def count_crossings(polygon: Polygon) -> int | None:
    """Count the self-intersections of a polygon: pairs of edges that cross in the interior of both.

    Edges that only touch, overlap along a line or share a corner are not counted: outlines traced from masks have such edges.

    Args:
        polygon: finite coordinates.

    Returns:
        The count; None for an outline with more than MAX_POINTS points.
    """
    points = polygon_points(polygon)
    points = points[(points != np.concatenate([points[-1:], points[:-1]])).any(axis=1)]  # drops edges without length
    if len(points) > MAX_POINTS:
        return None
    edges = np.concatenate([points[1:], points[:1]]) - points
    if len(points) ** 2 <= _BLOCK:
        separated = _separated(points, edges, points)
        return int(np.count_nonzero(separated & separated.T)) // 2  # each pair is counted twice
    count = 0
    step = _BLOCK // len(points)
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        separated = _separated(points[rows], edges[rows], points)  # [block, E]
        starts, ends = points[rows], np.roll(points, -1, axis=0)[rows]
        by_others = _sides(points, edges, starts) * _sides(points, edges, ends) < 0  # [E, block]
        count += int(np.count_nonzero(separated & by_others.T))
    return count // 2


def _separated(
    points: Float[np.ndarray, "E 2"], edges: Float[np.ndarray, "E 2"], others: Float[np.ndarray, "P 2"]
) -> Bool[np.ndarray, "E P"]:
    """Return whether each edge separates the two ends of each edge of `others`."""
    sides = _sides(points, edges, others)
    return sides * np.concatenate([sides[:, 1:], sides[:, :1]], axis=1) < 0


def _sides(
    points: Float[np.ndarray, "E 2"], edges: Float[np.ndarray, "E 2"], others: Float[np.ndarray, "P 2"]
) -> Int8[np.ndarray, "E P"]:
    """Compute on which side of each edge each other point lies: 1 left, -1 right, 0 on its line."""
    with np.errstate(over="ignore", invalid="ignore"):  # points whose products overflow are on neither side
        across = edges[:, :1] * (others[:, 1] - points[:, 1:])
        along = edges[:, 1:] * (others[:, 0] - points[:, :1])
        cross = across - along
        rounding = _ROUNDING * (np.abs(across) + np.abs(along))
    return (cross > rounding).astype(np.int8) - (cross < -rounding).astype(np.int8)
