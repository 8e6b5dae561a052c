"""An index of anchors, which finds those that overlap a box without looking at all of them.

The anchors of a pyramid form lattices: those of one level and ratio have one size, and their rows share y1 and y2 as
their columns share x1 and x2. The overlap of a box with a lattice is then a product of a row part and a column part,
and only a window of rows and columns can reach a given IoU. Anchors that form no lattice are compared one by one.

Shape letters: A anchors, h w lattice.
"""

import threading
import weakref
from bisect import bisect_left, bisect_right

import numpy as np

from mrcnn.geometry.boxes import box_areas, compute_iou

# sizes that differ by less than this share are one size: rounding of float32 anchors
_SIZE_TOLERANCE = 1e-4
# slack of the bounds that windows are cut with, so that rounding never cuts an anchor off
_SLACK = 1e-6
_SAFETY = 1 - 1e-3


class Lattice:
    """Anchors of one size in rows and columns.

    Attributes:
        y1, y2: float [h]. Ascending, pixels.
        x1, x2: float [w]. Ascending, pixels.
        positions: int64 [h, w]. Of the anchors in their array.
        height, width: float. Of the largest anchor, in pixels.
    """

    def __init__(self, y1, x1, y2, x2, positions):
        self.y1, self.y2, self.x1, self.x2, self.positions = y1, y2, x1, x2, positions
        self.heights, self.widths = y2 - y1, x2 - x1
        self.height, self.width = float(self.heights.max()), float(self.widths.max())
        # bisecting a list takes a tenth of the time of numpy's searchsorted
        self._ends = tuple(edge.tolist() for edge in (y1, x1, y2, x2))

    def overlaps(self, box, threshold):
        """Compute the overlaps of a box with the rows and columns that can reach a threshold.

        Args:
            box: (y1, x1, y2, x2) floats, in pixels.
            threshold: float > 0.

        Returns:
            (positions, overlaps): int64 [n], float64 [n]; some of them below the threshold.
        """
        y1, x1, y2, x2 = box
        area = (y2 - y1) * (x2 - x1)
        # IoU >= t needs an intersection of t / (1 + t) of both areas together; rows and columns that give less are cut
        needed = threshold / (1.0 + threshold) * (area + self.height * self.width) * _SAFETY
        rows = self._reach(0, y1, y2, needed / min(self.width, x2 - x1))
        cols = self._reach(1, x1, x2, needed / min(self.height, y2 - y1))
        across = np.minimum(self.y2[rows], y2) - np.maximum(self.y1[rows], y1)  # [h]
        along = np.minimum(self.x2[cols], x2) - np.maximum(self.x1[cols], x1)  # [w]
        intersection = np.multiply.outer(np.maximum(across, 0), np.maximum(along, 0))  # [h, w]
        union = area + np.multiply.outer(self.heights[rows], self.widths[cols]) - intersection
        return self.positions[rows, cols].ravel(), (intersection / union).ravel()

    def _reach(self, axis, start, stop, needed):
        """The slice of rows (axis 0) or columns (1) that share at least `needed` pixels with [start, stop)."""
        low, high = self._ends[axis], self._ends[axis + 2]
        return slice(bisect_left(high, start + needed - _SLACK), bisect_right(low, stop - needed + _SLACK))


class _Sizes:
    """Lattices beside each other, to compare each of many boxes with each of them at once.

    Shape letters here: G boxes, L lattices.
    """

    def __init__(self, lattices):
        self.height, self.width = (np.array([getattr(x, side) for x in lattices]) for side in ("height", "width"))
        # for y and for x: the edges of all lattices in one row, and where in it those of each begin and how they go on
        self.axes = [self._axis([(x.y1, x.y2) for x in lattices]), self._axis([(x.x1, x.x2) for x in lattices])]

    @staticmethod
    def _axis(edges):
        if not edges:
            return None
        counts = np.array([len(low) for low, _ in edges])
        first = np.array([low[0] for low, _ in edges])
        step = np.array([(low[-1] - low[0]) / max(len(low) - 1, 1) for low, _ in edges])
        half = np.array([(high[0] - low[0]) / 2 for low, high in edges])
        low, high = (np.concatenate([pair[i] for pair in edges]) for i in (0, 1))
        return low, high, np.cumsum(counts) - counts, counts, first + half, np.where(step > 0, step, 1.0)

    def bounds(self, boxes):
        """Compute the greatest IoU that a box can have with an anchor of each size, wherever either lies: [G, L]."""
        h, w = boxes[:, 2, None] - boxes[:, 0, None], boxes[:, 3, None] - boxes[:, 1, None]  # [G, 1]
        inner = np.minimum(self.height, h) * np.minimum(self.width, w)
        union = self.height * self.width + h * w - inner
        return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)

    def overlaps_nearby(self, boxes):
        """Compute the IoU of each box with an anchor of each lattice, the nearest where its steps are even: [G, L]."""
        if not len(self.height):
            return np.zeros((len(boxes), 0))
        inner, size = 1.0, 1.0
        for axis, (low, high, start, counts, centre, step) in enumerate(self.axes):
            near, far = boxes[:, axis, None], boxes[:, axis + 2, None]
            place = np.rint(((near + far) / 2 - centre) / step)  # [G, L]
            i = start + np.clip(place, 0, counts - 1).astype(np.int64)
            inner = inner * np.maximum(np.minimum(high[i], far) - np.maximum(low[i], near), 0.0)
            size = size * (high[i] - low[i])
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return inner / (size + areas[:, None] - inner)


class AnchorIndex:
    """Anchors and their lattices. Made once for a set of anchors, used for each image.

    Args:
        anchors: [A, 4]. Pixel boxes; compared in float64 whatever their dtype.
    """

    def __init__(self, anchors):
        self.anchors = np.asarray(anchors, np.float64)
        self.lattices, loose = [], []
        for positions in _group_by_size(self.anchors):
            lattice = _as_lattice(self.anchors, positions)
            if lattice is None:
                loose.append(positions)
            else:
                self.lattices.append(lattice)
        self._sizes = _Sizes(self.lattices)
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
        box = tuple(float(v) for v in box)
        found = [self._loose_overlapping(box, threshold)]
        bounds = self._sizes.bounds(np.array([box]))[0]
        found += [x.overlaps(box, threshold) for x, bound in zip(self.lattices, bounds, strict=True)
                  if bound >= threshold - _SLACK]  # fmt: skip
        positions, overlaps = np.concatenate([p for p, _ in found]), np.concatenate([o for _, o in found])
        reached = overlaps >= threshold
        return positions[reached], overlaps[reached]

    def match(self, boxes, threshold):
        """Find the anchors that are some box's own: those that reach a threshold, and those that overlap it most.

        Args:
            boxes: [G, 4]. Pixels, with an area.
            threshold: float > 0. IoU.

        Returns:
            int64 [n]. Positions, ascending; all that share the greatest IoU with a box, none for a box that no anchor
            touches.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        bounds = self._sizes.bounds(boxes)  # [G, lattices]
        # the sizes most like a box come first: the others soon fall short of what is found already
        order = np.argsort(-bounds, axis=1).tolist()
        found = self._sizes.overlaps_nearby(boxes).max(axis=1, initial=0.0).tolist()
        own = [np.zeros(0, np.int64)]
        for box, *hints in zip(boxes.tolist(), bounds.tolist(), order, found, strict=True):
            own += self._match_one(box, threshold, *hints)
        return np.unique(np.concatenate(own))

    def _match_one(self, box, threshold, bounds, order, best):
        """The anchors that are one box's own: a list of int64 arrays. `best` is the overlap of one of them, or less."""
        parts = [self._loose_overlapping(box, _SLACK)] if self._loose.size else []
        best = max([best] + [overlaps.max(initial=0.0) for _, overlaps in parts])
        for i in order:
            wanted = min(best, threshold)
            if bounds[i] < wanted - _SLACK:
                break
            parts.append(self.lattices[i].overlaps(box, max(wanted - _SLACK, _SLACK)))
            best = max(best, parts[-1][1].max(initial=0.0))
        best = max((overlaps.max(initial=0.0) for _, overlaps in parts), default=0.0)
        wanted = max(min(best, threshold), np.finfo(float).tiny)
        return [where[overlaps >= wanted] for where, overlaps in parts]

    def _loose_overlapping(self, box, threshold):
        if not self._loose.size:
            return self._loose, np.zeros(0)
        area = (box[2] - box[0]) * (box[3] - box[1])
        overlaps = compute_iou(box, self._loose_boxes, area, self._loose_areas)
        reached = overlaps >= threshold
        return self._loose[reached], overlaps[reached]


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
    return Lattice(y1, x1, y2, x2, where) if regular and ordered else None


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
