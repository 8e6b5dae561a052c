"""An index of anchors, which finds those that overlap a box without looking at all of them.

The anchors of a pyramid form lattices: those of one level and ratio have one size, and their rows share y1 and y2 as
their columns share x1 and x2. The overlap of a box with a lattice is then a product of a row part and a column part,
and only a window of rows and columns can reach a given IoU. Anchors that form no lattice are compared one by one.

Shape letters: A anchors, h w lattice.
"""

import threading
import weakref
from dataclasses import dataclass

import numpy as np

from mrcnn.geometry.boxes import box_areas, compute_iou

# sizes that differ by less than this share are one size: rounding of float32 anchors
_SIZE_TOLERANCE = 1e-4
# slack of the bounds that windows are cut with, so that rounding never cuts an anchor off
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Lattice:
    """Anchors of one size in rows and columns: y1 y2 [h], x1 x2 [w] in pixels, and their positions int64 [h, w]."""

    y1: np.ndarray
    y2: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    positions: np.ndarray

    @property
    def size(self):
        """(height, width) of the largest anchor in pixels."""
        return float((self.y2 - self.y1).max()), float((self.x2 - self.x1).max())


class AnchorIndex:
    """Anchors and their lattices. Made once for a set of anchors, used for each image.

    Args:
        anchors: float [A, 4]. Pixel boxes.
    """

    def __init__(self, anchors):
        self.anchors = np.asarray(anchors)
        self.lattices, loose = [], []
        for positions in _group_by_size(self.anchors):
            lattice = _as_lattice(self.anchors, positions)
            if lattice is None:
                loose.append(positions)
            else:
                self.lattices.append(lattice)
        self._loose = np.sort(np.concatenate(loose)) if loose else np.zeros(0, np.int64)
        self._loose_boxes = self.anchors[self._loose]
        self._loose_areas = box_areas(self._loose_boxes)

    def __len__(self):
        """Number of anchors."""
        return len(self.anchors)

    def overlapping(self, box, threshold):
        """Find the anchors whose IoU with a box reaches a threshold.

        Args:
            box: [4]. Pixels.
            threshold: float > 0.

        Returns:
            (positions, overlaps): int64 [n] in no order, float64 [n].
        """
        found = [self._loose_overlapping(box, threshold)]
        for lattice in self.lattices:
            if _iou_bound(lattice.size, box) >= threshold - _SLACK:
                positions, overlaps = _window_overlaps(lattice, box, threshold)
                reached = overlaps >= threshold
                found.append((positions[reached], overlaps[reached]))
        return np.concatenate([p for p, _ in found]), np.concatenate([o for _, o in found])

    def best(self, box, known=0.0):
        """Find the anchors that overlap a box most.

        Args:
            box: [4]. Pixels.
            known: float. An IoU that some anchor is known to reach; speeds the search up.

        Returns:
            (positions, overlap): int64 [n], all that share the greatest IoU; empty when no anchor touches the box.
            float.
        """
        best, positions = max(known, 0.0), [np.zeros(0, np.int64)]
        candidates = sorted(self.lattices, key=lambda lattice: -_iou_bound(lattice.size, box))
        parts = [self._loose_overlapping(box, max(best, _SLACK))]
        for lattice in candidates:
            if parts[-1][1].size:
                best = max(best, parts[-1][1].max())
            if _iou_bound(lattice.size, box) < best - _SLACK:
                break
            parts.append(_window_overlaps(lattice, box, max(best, _SLACK)))
        best = max((overlaps.max() for _, overlaps in parts if overlaps.size), default=0.0)
        if best > 0:
            positions = [where[overlaps == best] for where, overlaps in parts]
        return np.concatenate(positions), float(best)

    def _loose_overlapping(self, box, threshold):
        if not self._loose.size:
            return self._loose, np.zeros(0)
        area = (box[2] - box[0]) * (box[3] - box[1])
        overlaps = compute_iou(box, self._loose_boxes, area, self._loose_areas)
        reached = overlaps >= threshold
        return self._loose[reached], overlaps[reached]


def _iou_bound(size, box):
    """The greatest IoU that a box can have with a box of another size, wherever that one lies."""
    h, w = float(box[2] - box[0]), float(box[3] - box[1])
    inner = min(size[0], h) * min(size[1], w)
    union = size[0] * size[1] + h * w - inner
    return inner / union if union > 0 else 0.0


def _window_overlaps(lattice, box, threshold):
    """Positions and IoU, both flat, of the rows and columns of a lattice that can reach a threshold."""
    y1, x1, y2, x2 = box
    area = (y2 - y1) * (x2 - x1)
    height, width = lattice.size
    # IoU >= t needs an intersection of t / (1 + t) of both areas together, and each side gives a share of it at most
    needed = max(threshold, 0.0) / (1.0 + threshold) * (float(area) + height * width) * (1 - 1e-3)
    rows = _reach(lattice.y1, lattice.y2, y1, y2, needed / max(min(width, float(x2 - x1)), _SLACK))
    cols = _reach(lattice.x1, lattice.x2, x1, x2, needed / max(min(height, float(y2 - y1)), _SLACK))
    row_y1, row_y2 = lattice.y1[rows], lattice.y2[rows]
    col_x1, col_x2 = lattice.x1[cols], lattice.x2[cols]
    across = np.minimum(row_y2, y2) - np.maximum(row_y1, y1)  # [h]
    along = np.minimum(col_x2, x2) - np.maximum(col_x1, x1)  # [w]
    intersection = np.maximum(across, 0)[:, None] * np.maximum(along, 0)  # [h, w]
    anchor_areas = (row_y2 - row_y1)[:, None] * (col_x2 - col_x1)
    overlaps = intersection / (area + anchor_areas - intersection)
    return lattice.positions[rows, cols].ravel(), overlaps.ravel()


def _reach(low, high, start, stop, needed):
    """The slice of sorted intervals [low, high) that share at least `needed` with [start, stop)."""
    needed = max(needed, 0.0)
    return slice(
        int(np.searchsorted(high, start + needed - _SLACK)), int(np.searchsorted(low, stop - needed + _SLACK, "right"))
    )


def _group_by_size(anchors):
    """Part the positions of anchors by (height, width): a list of int64 arrays."""
    labels = np.zeros(len(anchors), np.int64)
    for low, high in ((0, 2), (1, 3)):
        sizes = (anchors[:, high] - anchors[:, low]).astype(np.float64)
        order = np.argsort(sizes, kind="stable")
        steps = np.diff(sizes[order]) > _SIZE_TOLERANCE * np.maximum(np.abs(sizes[order][1:]), 1)
        rank = np.zeros(len(anchors), np.int64)
        rank[order[1:]] = np.cumsum(steps)
        labels = labels * (rank.max(initial=0) + 1) + rank
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return [part for part in np.split(order, cuts) if part.size]


def _as_lattice(anchors, positions):
    """Arrange anchors in rows and columns; None where they do not fill a lattice, each place once."""
    boxes = anchors[positions]
    y1, row = np.unique(boxes[:, 0], return_inverse=True)
    x1, col = np.unique(boxes[:, 1], return_inverse=True)
    if len(y1) * len(x1) != len(positions):
        return None
    where = np.full((len(y1), len(x1)), -1, np.int64)
    where[row, col] = positions
    if (where < 0).any():
        return None
    y2, x2 = anchors[where[:, 0], 2], anchors[where[0], 3]
    grid = anchors[where]  # [h, w, 4]
    regular = (grid[..., 2] == y2[:, None]).all() and (grid[..., 3] == x2).all()
    ordered = (np.diff(y2) > 0).all() and (np.diff(x2) > 0).all() and (y2 > y1).all() and (x2 > x1).all()
    return Lattice(y1, y2, x1, x2, where) if regular and ordered else None


_cache = []
_cache_lock = threading.Lock()
_CACHE_SIZE = 4


def index_anchors(anchors):
    """Return an index of anchors, kept from the last call for the same array.

    Args:
        anchors: AnchorIndex, or float [A, 4] pixel boxes. An array that was changed in place since gets a new index.

    Returns:
        AnchorIndex.
    """
    if isinstance(anchors, AnchorIndex):
        return anchors
    anchors = np.asarray(anchors)
    with _cache_lock:
        for reference, index in _cache:
            if reference() is anchors and np.array_equal(index.anchors, anchors):
                return index
        index = AnchorIndex(anchors.copy())
        _cache.insert(0, (weakref.ref(anchors), index))
        del _cache[_CACHE_SIZE:]
    return index
