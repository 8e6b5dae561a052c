"""Several rings as one polygon, for formats that have one polygon an instance.

A ring is a flat list [x1, y1, x2, y2, ...] in pixels. Shape letters: P points.
"""

import numpy as np

from mrcnn.geometry.outlines import find_holes, signed_area

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
