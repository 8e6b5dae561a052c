"""Rings, the outlines that annotation tools draw: shapes to rings, holes, joining rings, and tracing masks.

A ring is a polygon as in `mrcnn.geometry.polygons`: flat [x1, y1, x2, y2, ...] in pixels. An instance may have several rings,
some of them holes. Files mark a hole only by the orientation of its ring, so `find_holes` relies on that.

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

# maximum distance in pixels between a ring's sides and the curve they approximate
_SAGITTA = 0.1
_MIN_CORNERS, _MAX_CORNERS = 32, 720
# pixels by which a ring may extend beyond the ring it lies in, because people draw imprecisely
_SLACK = 0.5
# OpenCV's point test uses float32, which resolves quarter pixels up to here
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
        Points on the curve, close enough together that each side stays within a tenth of a pixel of it.
    """
    radius = max(radii)
    corners = min(max(math.pi * math.sqrt(radius / (2 * _SAGITTA)), _MIN_CORNERS), _MAX_CORNERS)
    count = math.ceil(corners)
    t = 2 * math.pi * np.arange(count) / count
    cos, sin = math.cos(angle), math.sin(angle)
    with np.errstate(over="ignore", invalid="ignore"):  # `outline_fault` reports what overflows
        x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
        return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1).ravel().tolist()


def stroke_rings(points: Sequence[Point], width: Number) -> list[Ring]:
    """Make rings that together cover a pen stroke.

    Args:
        points: (x, y) points of the stroke, at least two.
        width: of the pen in pixels, positive.

    Returns:
        Overlapping rings: a rectangle for each segment, and a disc for each joint. Empty if all points coincide.
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
    """Return the reason why rings cover no part of an image of size (height, width), or None if they may cover some."""
    points = np.concatenate([polygon_points(ring) for ring in rings]) if rings else np.zeros((0, 2))
    if not np.isfinite(points).all():
        return "its coordinates are not finite numbers"
    if not len(points) or (points.max(axis=0) == points.min(axis=0)).any():
        return "it has no area"
    if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= (size[1], size[0])).any():
        return "it lies outside the image"
    return None


def find_holes(rings: Sequence[Polygon]) -> list[bool]:
    """Return which rings of an instance are holes: a hole lies in another ring and has the opposite orientation.

    A ring lies in another if it has a smaller area and all its points are inside, or outside by at most half a pixel. The
    smallest enclosing ring decides: a ring of the opposite orientation is a hole if the enclosing ring is solid, and solid if
    the enclosing ring is a hole. A ring without an enclosing ring is solid, whatever its orientation.
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
    """Rasterise the rings of an instance, leaving out its holes.

    Args:
        holes: one entry per ring; see `find_holes`.
        size: (height, width) of the canvas.
    """
    canvas = np.zeros(tuple(int(v) for v in size), bool)
    # from the largest to the smallest, so that a ring inside a hole is drawn after the hole
    for i in sorted(range(len(rings)), key=lambda i: -abs(signed_area(rings[i]))):
        canvas[rasterize_polygons([rings[i]], size)] = not holes[i]
    return canvas


def join_rings(rings: Sequence[Polygon]) -> Ring:
    """Join the rings of an instance into one, for formats with one polygon per instance.

    Bridges of zero width, traversed once in each direction, connect the rings. Outlines get one orientation and holes (see
    `find_holes`) the other, so that the even-odd and the winding rule both keep the area inside unchanged, unless rings
    overlap.

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
    """Find the indices of the closest pair of points, one from each list."""
    distances, nearest = KDTree(points).query(others)
    j = int(np.argmin(distances))
    return int(nearest[j]), j


@dataclass
class TracedPart:
    """A connected part of a mask.

    Attributes:
        outline: counter-clockwise on the screen.
        holes: clockwise.
    """

    outline: Ring
    holes: list[Ring] = field(default_factory=list)

    @property
    def rings(self) -> list[Ring]:
        """The outline, then the holes."""
        return [self.outline, *self.holes]


def trace_mask(mask: Shaped[np.ndarray, "H W"], tolerance: Number = 0.0, min_iou: Number = 0.99) -> list[TracedPart]:
    """Trace the rings that bound a mask, along the edges of its pixels.

    OpenCV's contours run through the centres of the border pixels and lose half a pixel all around.

    Args:
        mask: non-zero inside the object.
        tolerance: pixels by which an outline may deviate from the mask to save points; 0 follows every edge.
        min_iou: minimum IoU of the simplified rings with the mask. The tolerance is halved until they reach it, down to 0.

    Returns:
        Parts in the order of their first rows. Pixels that meet at a corner are connected. With a tolerance of 0,
        `draw_with_holes` reproduces the mask exactly from the rings.
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
        if _iou(simple, mask) >= min_iou:
            parts = simple
            break
        tolerance /= 2
    return [_part(rings, corner) for rings in parts]


def _trace(mask: Bool[np.ndarray, "H W"]) -> list[list[Int64[np.ndarray, "_ 2"]]]:
    """Trace the rings [P, (x, y)] of each part along pixel edges, outline first."""
    # In the mask at double size, a pixel's left half is at 2 x and its right half at 2 x + 1. So the centres of border pixels
    # that OpenCV returns determine which edge of the original pixel the border follows.
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
    """Drop points with the Douglas-Peucker algorithm, unless the ring would vanish or turn inside out."""
    simple = cv2.approxPolyDP(ring.astype(np.int32)[:, None], float(tolerance), True)[:, 0].astype(np.int64)
    return simple if len(simple) >= 3 and signed_area(simple.ravel()) * signed_area(ring.ravel()) > 0 else ring


def _iou(parts: list[list[Int64[np.ndarray, "_ 2"]]], mask: Bool[np.ndarray, "H W"]) -> float:
    rings = [ring.ravel().astype(np.float64) for part in parts for ring in part]
    holes = [i > 0 for part in parts for i in range(len(part))]
    drawn = draw_with_holes(rings, holes, mask.shape)
    return np.count_nonzero(drawn & mask) / np.count_nonzero(drawn | mask)


def _part(rings: list[Int64[np.ndarray, "_ 2"]], corner: Int64[np.ndarray, " 2"]) -> TracedPart:
    """Move rings to their place in the image, and give outline and holes opposite orientations."""
    outline, *holes = ((ring + corner).astype(np.float64) for ring in rings)
    return TracedPart(_directed(outline, -1), [_directed(hole, 1) for hole in holes if polygon_area(hole.ravel()) > 0])


def _directed(points: Float64[np.ndarray, "P 2"], sign: int) -> Ring:
    """Make a ring, reversed if necessary so that its signed area has this sign."""
    points = points if signed_area(points.ravel()) * sign > 0 else points[::-1]
    return points.ravel().tolist()
