"""Rings, the outlines of annotation tools: shapes to rings, rings with holes, rings joined to one, and masks to rings.

A ring is a polygon of `mrcnn.geometry.polygons`, flat [x1, y1, x2, y2, ...] in pixels. An instance may have several rings,
some of them holes; files keep no more than the direction that a ring runs in, so `find_holes` goes by it.

Shape letters: P Q points, H W mask.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from scipy.spatial import KDTree

from mrcnn.geometry.boxes import Number
from mrcnn.geometry.polygons import Polygon, polygon_area, polygon_points, rasterize_polygons, signed_area

Ring = list[Number]
Point = Sequence[Number]

# pixels by which the sides of a ring may lie inside the curve that it approximates
_SAGITTA = 0.1
_LEAST_CORNERS, _MOST_CORNERS = 32, 720
# pixels by which a ring may extend beyond the ring that it lies in: people draw inexactly
_SLACK = 0.5
# OpenCV's test takes float32, which holds quarters of pixels up to here
_FAR = 1e6


def rectangle_ring(corner: Point, opposite: Point) -> Ring:
    """Make the ring of an upright rectangle from two opposite corners (x, y)."""
    (x1, x2), (y1, y2) = (sorted((a, b)) for a, b in zip(corner, opposite, strict=True))
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def ellipse_ring(centre: Point, radii: Point, angle: Number = 0.0) -> Ring:
    """Make the ring of an ellipse.

    Args:
        centre: (x, y).
        radii: (rx, ry) in pixels, positive.
        angle: radians by which the x axis is turned towards the y axis, which points down.

    Returns:
        Points on the curve, as many as keep each side within a tenth of a pixel of it.
    """
    radius = max(radii)
    corners = min(max(math.pi * math.sqrt(radius / (2 * _SAGITTA)), _LEAST_CORNERS), _MOST_CORNERS)
    count = math.ceil(corners)
    t = 2 * math.pi * np.arange(count) / count
    cos, sin = math.cos(angle), math.sin(angle)
    with np.errstate(over="ignore", invalid="ignore"):  # `outline_fault` reports what overflows
        x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
        return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1).ravel().tolist()


def stroke_rings(points: Sequence[Point], width: Number) -> list[Ring]:
    """Make rings that together cover a line drawn with a pen.

    Args:
        points: the (x, y) of the line, at least two.
        width: of the pen in pixels, positive.

    Returns:
        Rings that overlap: a rectangle for each segment, with straight ends, and a disc for each joint. Empty if all points
        coincide.
    """
    rings: list[Ring] = []
    for (x1, y1), (x2, y2) in zip(points, points[1:]):
        length = math.hypot(x2 - x1, y2 - y1)
        if length == 0:
            continue
        # half the width, across the segment
        dx, dy = (y1 - y2) / length * width / 2, (x2 - x1) / length * width / 2
        if rings:
            rings.append(ellipse_ring((x1, y1), (width / 2, width / 2)))
        rings.append([x1 + dx, y1 + dy, x2 + dx, y2 + dy, x2 - dx, y2 - dy, x1 - dx, y1 - dy])
    return rings


def outline_fault(rings: Sequence[Polygon], size: Sequence[Number]) -> str | None:
    """Say why rings cover nothing of an image of (height, width), or None if they may cover something."""
    points = np.concatenate([polygon_points(ring) for ring in rings]) if rings else np.zeros((0, 2))
    if not np.isfinite(points).all():
        return "it is too large for numbers"
    if not len(points) or (points.max(axis=0) == points.min(axis=0)).any():
        return "it has no area"
    if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= (size[1], size[0])).any():
        return "it lies outside the image"
    return None


def find_holes(rings: Sequence[Polygon]) -> list[bool]:
    """Tell which rings of an instance are holes: those that lie in another ring and run in the opposite direction.

    A ring lies in another if its area is smaller and all its points are inside, or within half a pixel. Of the rings that
    it lies in, the smallest decides. If that one is solid, a ring of the opposite direction is a hole; if it is a hole, a
    ring of the opposite direction is solid again. A ring that lies in no other is solid, whichever way it runs.
    """
    areas = [signed_area(ring) for ring in rings]
    order = sorted(range(len(rings)), key=lambda i: -abs(areas[i]))
    holes = [False] * len(rings)
    for rank, i in enumerate(order):
        around = [j for j in order[:rank] if abs(areas[j]) > abs(areas[i]) and _lies_in(rings[i], rings[j])]
        if around:
            opposite = areas[around[-1]] * areas[i] < 0
            holes[i] = holes[around[-1]] != opposite
    return holes


def _lies_in(ring: Polygon, other: Polygon) -> bool:
    inner, outer = (np.clip(polygon_points(r), -_FAR, _FAR) for r in (ring, other))
    if (inner < outer.min(axis=0) - _SLACK).any() or (inner > outer.max(axis=0) + _SLACK).any():
        return False
    contour = outer.astype(np.float32)[:, None]
    return all(cv2.pointPolygonTest(contour, (float(x), float(y)), True) >= -_SLACK for x, y in inner)


def draw_with_holes(rings: Sequence[Polygon], holes: Sequence[bool], size: Sequence[int]) -> Bool[np.ndarray, "H W"]:
    """Draw the rings of an instance without its holes.

    Args:
        holes: one entry per ring; see `find_holes`.
        size: (height, width) of the canvas.
    """
    canvas = np.zeros(tuple(int(v) for v in size), bool)
    # from the largest to the smallest: what lies in a hole is drawn after it
    for i in sorted(range(len(rings)), key=lambda i: -abs(signed_area(rings[i]))):
        canvas[rasterize_polygons([rings[i]], size)] = not holes[i]
    return canvas


def join_rings(rings: Sequence[Polygon]) -> Ring:
    """Join the rings of an instance to one, for formats with one polygon per instance.

    The rings are connected by lines of no width that are followed once in each direction. Outlines are made to run one way
    and holes (see `find_holes`) the other, so that the area inside stays the same by the even-odd and by the winding rule,
    unless rings overlap.

    Args:
        rings: at least one.
    """
    points = [polygon_points(ring) for ring in rings]
    if len(rings) > 1:
        points = [ring if (signed_area(ring.ravel()) > 0) != hole else ring[::-1]
                  for ring, hole in zip(points, find_holes(rings))]  # fmt: skip
    joined = points[0]
    for ring in points[1:]:
        i, j = _nearest_pair(joined, ring)
        joined = np.concatenate([joined[: i + 1], ring[j:], ring[: j + 1], joined[i:]])
    return joined.ravel().tolist()


def _nearest_pair(points: Float64[np.ndarray, "P 2"], others: Float64[np.ndarray, "Q 2"]) -> tuple[int, int]:
    """Find the positions of the two points, one of each list, that are nearest to each other."""
    distances, nearest = KDTree(points).query(others)
    j = int(np.argmin(distances))
    return int(nearest[j]), j


@dataclass
class TracedPart:
    """A connected part of a mask.

    Attributes:
        outline: runs counter-clockwise on the screen.
        holes: run clockwise.
    """

    outline: Ring
    holes: list[Ring] = field(default_factory=list)

    @property
    def rings(self) -> list[Ring]:
        """The outline, then the holes."""
        return [self.outline, *self.holes]


def trace_mask(mask: Shaped[np.ndarray, "H W"], tolerance: Number = 0.0, least_iou: Number = 0.99) -> list[TracedPart]:
    """Find the rings that bound a mask, along the edges of its pixels.

    OpenCV's contours run through the centres of the border's pixels and lose half a pixel all around.

    Args:
        mask: non-zero inside.
        tolerance: distance in pixels by which an outline may deviate for the sake of fewer points; 0 follows each edge.
        least_iou: IoU that the simplified rings must have with the mask. The tolerance is halved until they do, down to 0.

    Returns:
        Parts in the order of their first rows. Pixels that meet at a corner are connected. With a tolerance of 0,
        `draw_with_holes` of the rings gives the mask exactly.
    """
    mask = mask.astype(bool)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    corner = np.array([cols[0], rows[0]])
    mask = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    exact = _trace(mask)
    parts = exact
    while tolerance >= 0.25:
        simple = [[_simplify(ring, tolerance) for ring in rings] for rings in exact]
        if _iou(simple, mask) >= least_iou:
            parts = simple
            break
        tolerance /= 2
    return [_part(rings, corner) for rings in parts]


def _trace(mask: Bool[np.ndarray, "H W"]) -> list[list[Int64[np.ndarray, "_ 2"]]]:
    """Find the rings [P, (x, y)] of each part on the edges of the pixels, outline first."""
    # In the mask at twice the size the left half of a pixel is 2 x and its right half 2 x + 1, so the centres of border
    # pixels that OpenCV returns tell at which edge of the original pixel the border is.
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_without_repeats((contour[:, 0].astype(np.int64) + 1) // 2) for contour in contours]
    parts = []
    for i, (_, _, child, parent) in enumerate(tree[0]):
        if parent >= 0:
            continue
        part = [rings[i]]
        while child >= 0:
            part.append(rings[child])
            child = tree[0][child][0]
        parts.append(part)
    return sorted(parts, key=lambda part: part[0].min(axis=0)[::-1].tolist())


def _without_repeats(points: Int64[np.ndarray, "P 2"]) -> Int64[np.ndarray, "Q 2"]:
    return points[(points != np.roll(points, 1, axis=0)).any(axis=1)]


def _simplify(ring: Int64[np.ndarray, "P 2"], tolerance: Number) -> Int64[np.ndarray, "Q 2"]:
    """Drop points by the Douglas-Peucker algorithm, unless the ring would vanish or turn inside out."""
    simple = cv2.approxPolyDP(ring.astype(np.int32)[:, None], float(tolerance), True)[:, 0].astype(np.int64)
    return simple if len(simple) >= 3 and signed_area(simple.ravel()) * signed_area(ring.ravel()) > 0 else ring


def _iou(parts: list[list[Int64[np.ndarray, "_ 2"]]], mask: Bool[np.ndarray, "H W"]) -> float:
    rings = [ring.ravel().astype(np.float64) for part in parts for ring in part]
    holes = [i > 0 for part in parts for i in range(len(part))]
    drawn = draw_with_holes(rings, holes, mask.shape)
    return np.count_nonzero(drawn & mask) / np.count_nonzero(drawn | mask)


def _part(rings: list[Int64[np.ndarray, "_ 2"]], corner: Int64[np.ndarray, " 2"]) -> TracedPart:
    """Move rings to their place in the image and give outline and holes opposite directions."""
    outline, *holes = ((ring + corner).astype(np.float64) for ring in rings)
    return TracedPart(_directed(outline, -1), [_directed(hole, 1) for hole in holes if polygon_area(hole.ravel()) > 0])


def _directed(points: Float64[np.ndarray, "P 2"], sign: int) -> Ring:
    """Make a ring whose signed area has a sign."""
    points = points if signed_area(points.ravel()) * sign > 0 else points[::-1]
    return points.ravel().tolist()
