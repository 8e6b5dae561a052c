"""Outlines that annotation tools draw, as polygons: rectangles, circles, ellipses, strokes, and rings with holes in them.

A ring is a flat list [x1, y1, x2, y2, ...] of floats in pixels, closed by itself. Shape letters: P points.

Several rings as one polygon, for formats that have one polygon an instance.

A ring is a flat list [x1, y1, x2, y2, ...] in pixels. Shape letters: P points.

From a mask back to polygons.

Shape letters: H W mask.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from mrcnn.geometry.polygons import polygon_area, rasterize_polygons

# distances that are computed at a time
_BLOCK = 1_000_000


def join_rings(rings):
    """Join rings to one polygon by lines of no width, gone along once in each direction.

    Where parts do not overlap, the area inside is the same: outlines are made to run one way and holes (see
    `mrcnn.geometry.outlines.find_holes`) the other, so that both rules for the inside of a polygon, by parity and by
    winding, give it.

    Args:
        rings: list of rings, at least one.

    Returns:
        flat list of floats.
    """
    rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings]
    if len(rings) > 1:
        holes = find_holes([ring.ravel() for ring in rings])
        rings = [ring if (signed_area(ring.ravel()) > 0) != hole else ring[::-1] for ring, hole in zip(rings, holes)]
    joined = rings[0]
    for ring in rings[1:]:
        here, there = _nearest_pair(joined, ring)
        around = np.concatenate([ring[there:], ring[: there + 1]])
        joined = np.concatenate([joined[: here + 1], around, joined[here:]])
    return joined.ravel().tolist()


def _nearest_pair(points, others):
    """Find the points of two lists that are nearest to each other: their places in [P, 2] and [Q, 2]."""
    least, found = np.inf, (0, 0)
    step = max(_BLOCK // len(others), 1)
    for start in range(0, len(points), step):
        apart = ((points[start : start + step, None] - others) ** 2).sum(axis=2)
        place = int(np.argmin(apart))
        if apart.flat[place] < least:
            least, found = apart.flat[place], (start + place // len(others), place % len(others))
    return found


@dataclass
class TracedPart:
    """A connected part of a mask.

    Attributes:
        outline: ring [x1, y1, x2, y2, ...] around it, counter-clockwise on the screen.
        holes: list of rings, clockwise.
    """

    outline: list
    holes: list = field(default_factory=list)

    @property
    def rings(self):
        """The outline, then the holes."""
        return [self.outline, *self.holes]


def trace_mask(mask, tolerance=0.0, least_iou=0.99):
    """Find the polygons that bound a mask.

    Args:
        mask: bool [H, W].
        tolerance: float, pixels. How far an outline may be from the edges of the pixels, for the sake of fewer points;
            0 follows every step.
        least_iou: float. A tolerance with which less than this of the mask would come back is halved until it does not,
            or given up.

    Returns:
        list of TracedPart, drawn in the order of their first row. Pixels that meet at a corner are connected; drawing
        the rings of tolerance 0, holes left out, gives the mask exactly.
    """
    mask = np.asarray(mask).astype(bool)
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


def _trace(mask):
    """Rings of each part, its outline first, as int arrays [P, 2] of x, y on the edges of the pixels."""
    # every pixel doubled: its left half lies at 2 x, its right half at 2 x + 1, and OpenCV, which gives the centres of
    # the border's pixels, thereby says at which edge of the pixel the border is
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_without_repeats((contour[:, 0].astype(np.int64) + 1) // 2) for contour in contours]
    found = []
    for i, (_, _, child, parent) in enumerate(tree[0]):
        if parent >= 0:
            continue
        found.append([rings[i]])
        while child >= 0:
            found[-1].append(rings[child])
            child = tree[0][child][0]
    return sorted(found, key=lambda part: part[0].min(axis=0)[::-1].tolist())


def _without_repeats(points):
    return points[(points != np.roll(points, 1, axis=0)).any(axis=1)]


def _simplify(ring, tolerance):
    """Leave out points by Douglas and Peucker's rule, but for rings that nothing would be left of."""
    simple = cv2.approxPolyDP(ring.astype(np.int32)[:, None], tolerance, True)[:, 0].astype(np.int64)
    return simple if len(simple) >= 3 and signed_area(simple.ravel()) * signed_area(ring.ravel()) > 0 else ring


def _iou(parts, mask):
    rings = [ring.ravel().astype(np.float64) for part in parts for ring in part]
    holes = [i > 0 for part in parts for i in range(len(part))]
    drawn = draw_with_holes(rings, holes, mask.shape)
    return np.count_nonzero(drawn & mask) / np.count_nonzero(drawn | mask)


def _part(rings, corner):
    """Move rings to their place in the image, and make outlines and holes run opposite ways."""
    outline, *holes = ((ring + corner).astype(np.float64) for ring in rings)
    return TracedPart(_running(outline, -1), [_running(hole, 1) for hole in holes if polygon_area(hole.ravel()) > 0])


def _running(points, sense):
    points = points if signed_area(points.ravel()) * sense > 0 else points[::-1]
    return points.ravel().tolist()


# pixels that the sides of a many-cornered ring may lie inside the curve that it stands for
_SAGITTA = 0.1
_LEAST_CORNERS, _MOST_CORNERS = 32, 720
# pixels that a ring may reach out of the one that it lies in: hands are not exact
_SLACK = 0.5
# float32, which OpenCV's test takes, holds quarters of pixels up to here
_FAR = 1e6
# coordinates beyond this are taken to lie at it, so that no product of them overflows
_FARTHEST = 1e100


def rectangle_ring(corner, opposite):
    """Ring of an upright rectangle. Args: corner, opposite: (x, y) of two corners across. Returns: list of 8 floats."""
    (x1, x2), (y1, y2) = (sorted((a, b)) for a, b in zip(corner, opposite, strict=True))
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def ellipse_ring(centre, radii, angle=0.0):
    """Ring of an ellipse, or of a circle.

    Args:
        centre: (x, y).
        radii: (rx, ry) in pixels, > 0.
        angle: float, radians. Turns the x axis towards the y axis, which points down.

    Returns:
        list of 2 P floats, all on the curve, so many that no side lies more than a tenth of a pixel inside it.
    """
    radius = max(radii)
    corners = min(max(math.pi * math.sqrt(radius / (2 * _SAGITTA)), _LEAST_CORNERS), _MOST_CORNERS)
    t = np.arange(math.ceil(corners))
    t = 2 * math.pi * t / len(t)
    cos, sin = math.cos(angle), math.sin(angle)
    with np.errstate(over="ignore", invalid="ignore"):  # see `outline_fault`
        x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
        return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1).ravel().tolist()


def stroke_rings(points, width):
    """Rings that together cover a line drawn with a pen of some width.

    Args:
        points: list of (x, y), two at least.
        width: float, pixels, > 0.

    Returns:
        list of rings, which overlap: a rectangle a piece of the line, with straight ends, and a disc a joint. Empty
        when all points are one.
    """
    rings = []
    for (x1, y1), (x2, y2) in zip(points, points[1:]):
        length = math.hypot(x2 - x1, y2 - y1)
        if length == 0:
            continue
        # half the width, across
        dx, dy = (y1 - y2) / length * width / 2, (x2 - x1) / length * width / 2
        if rings:
            rings.append(ellipse_ring((x1, y1), (width / 2, width / 2)))
        rings.append([x1 + dx, y1 + dy, x2 + dx, y2 + dy, x2 - dx, y2 - dy, x1 - dx, y1 - dy])
    return rings


def outline_fault(rings, size):
    """Say why rings cover nothing of an image.

    Args:
        rings: list of rings.
        size: (height, width) of the image.

    Returns:
        str, or None when they may cover something.
    """
    points = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings]) if rings else np.zeros((0, 2))
    if not np.isfinite(points).all():
        return "it is too large for numbers"
    if not len(points) or (points.max(axis=0) == points.min(axis=0)).any():
        return "it has no area"
    if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= (size[1], size[0])).any():
        return "it lies outside the image"
    return None


def signed_area(ring):
    """Area within a ring, by its sense: float, positive when it runs clockwise as seen on the screen (y points down)."""
    x, y = np.clip(np.asarray(ring, np.float64).reshape(-1, 2), -_FARTHEST, _FARTHEST).T
    return float((np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def find_holes(rings):
    """Tell which rings of one instance are holes: those that lie in another one and run the other way round.

    A ring lies in another when all its points do (or are within half a pixel of it) and its area is smaller. Of the
    rings that it lies in, the smallest counts: in a solid one a ring of the opposite sense is a hole; in a hole, one of
    the sense opposite to the hole is solid again. A ring that lies in no other is solid, whichever way it runs.

    Args:
        rings: list of rings.

    Returns:
        list of bool.
    """
    areas = [signed_area(ring) for ring in rings]
    order = sorted(range(len(rings)), key=lambda i: -abs(areas[i]))
    holes = [False] * len(rings)
    for place, i in enumerate(order):
        around = [j for j in order[:place] if abs(areas[j]) > abs(areas[i]) and _lies_in(rings[i], rings[j])]
        if around:
            turns = areas[around[-1]] * areas[i] < 0
            holes[i] = holes[around[-1]] != turns
    return holes


def _lies_in(ring, other):
    inner, outer = (np.clip(np.asarray(r, np.float64).reshape(-1, 2), -_FAR, _FAR) for r in (ring, other))
    if (inner < outer.min(axis=0) - _SLACK).any() or (inner > outer.max(axis=0) + _SLACK).any():
        return False
    outer = outer.astype(np.float32)[:, None]
    return all(cv2.pointPolygonTest(outer, (float(x), float(y)), True) >= -_SLACK for x, y in inner)


def draw_with_holes(rings, holes, size):
    """Draw the rings of one instance, its holes left out.

    Args:
        rings: list of rings.
        holes: list of bool; see `find_holes`.
        size: (height, width) of the canvas.

    Returns:
        bool [height, width].
    """
    canvas = np.zeros(tuple(int(v) for v in size), bool)
    # from the largest to the smallest: what lies in a hole is drawn after it
    for i in sorted(range(len(rings)), key=lambda i: -abs(signed_area(rings[i]))):
        canvas[rasterize_polygons([rings[i]], size)] = not holes[i]
    return canvas
