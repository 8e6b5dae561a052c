"""From a mask back to polygons.

Shape letters: H W mask.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from mrcnn.geometry.outlines import draw_with_holes, signed_area
from mrcnn.geometry.polygons import polygon_area


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
