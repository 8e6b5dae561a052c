"""Outlines that annotation tools draw, as polygons: rectangles, circles, ellipses, strokes, and rings with holes in them.

A ring is a flat list [x1, y1, x2, y2, ...] of floats in pixels, closed by itself. Shape letters: P points.
"""

import math

import cv2
import numpy as np

from mrcnn.geometry.polygons import rasterize_polygons

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
