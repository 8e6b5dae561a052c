"""An index of anchors that finds the anchors that overlap a box without comparing all of them.

The anchors of a pyramid form lattices: anchors of the same level and ratio have the same size, each row has the same y1 and
y2, and each column the same x1 and x2. The intersection of a box with a lattice is therefore a product of a row part and a
column part, and only a window of rows and columns can reach a given IoU. Anchors outside any lattice are compared one by one.

Matching 7 boxes with 261,888 anchors takes 0.3 ms, instead of 18 ms by comparing all of them.

Shape letters: A anchors, G boxes, L lattices, h w rows and columns of a lattice, n selected anchors.
"""

import threading
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64, Num

from mrcnn.geometry.boxes import box_areas, compute_iou

# Relative difference below which two sizes are equal, because float32 anchors are rounded.
_SIZE_TOLERANCE = 1e-4
# Slack of the bounds of the windows, so that rounding never excludes an anchor.
_SLACK = 1e-6
_SAFETY = 1 - 1e-3


class Lattice:
    """Anchors of one size in rows and columns.

    Attributes:
        y1, y2: [h]. Ascending, pixels.
        x1, x2: [w]. Ascending, pixels.
        positions: [h, w]. Indices of the anchors in their array.
        height, width: size of the largest anchor in pixels.
    """

    def __init__(
        self,
        y1: Float[np.ndarray, " h"],
        x1: Float[np.ndarray, " w"],
        y2: Float[np.ndarray, " h"],
        x2: Float[np.ndarray, " w"],
        positions: Int64[np.ndarray, "h w"],
    ) -> None:
        self.y1, self.y2, self.x1, self.x2, self.positions = y1, y2, x1, x2, positions
        self.heights, self.widths = y2 - y1, x2 - x1
        self.height, self.width = float(self.heights.max()), float(self.widths.max())
        # Bisecting a list takes a tenth of the time of NumPy's searchsorted.
        self._ends: list[list[float]] = [edge.tolist() for edge in (y1, x1, y2, x2)]

    def overlaps(
        self, box: Sequence[float], threshold: float
    ) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Compute the IoU of a box with the rows and columns that can reach a threshold.

        Args:
            box: (y1, x1, y2, x2) in pixels.
            threshold: above 0.

        Returns:
            Indices of anchors and their IoU; some are below the threshold.
        """
        y1, x1, y2, x2 = box
        area = (y2 - y1) * (x2 - x1)
        # IoU >= t requires an intersection of at least t / (1 + t) of the sum of both areas.
        needed = threshold / (1.0 + threshold) * (area + self.height * self.width) * _SAFETY
        rows = self._window(0, y1, y2, needed / min(self.width, x2 - x1))
        cols = self._window(1, x1, x2, needed / min(self.height, y2 - y1))
        across = np.minimum(self.y2[rows], y2) - np.maximum(self.y1[rows], y1)  # [h]
        along = np.minimum(self.x2[cols], x2) - np.maximum(self.x1[cols], x1)  # [w]
        intersection = np.multiply.outer(np.maximum(across, 0), np.maximum(along, 0))  # [h, w]
        union = area + np.multiply.outer(self.heights[rows], self.widths[cols]) - intersection
        return self.positions[rows, cols].ravel(), (intersection / union).ravel()

    def _window(self, axis: int, start: float, stop: float, needed: float) -> slice:
        """Return the rows (axis 0) or columns (axis 1) that share at least `needed` pixels with [start, stop)."""
        low, high = self._ends[axis], self._ends[axis + 2]
        return slice(bisect_left(high, start + needed - _SLACK), bisect_right(low, stop - needed + _SLACK))


class _Edges:
    """The edges of all lattices along one axis, concatenated.

    Attributes:
        low, high: [sum of the counts]. Edges of the anchors, lattice by lattice.
        start, count: [L]. Index of the first edge of each lattice, and number of its edges.
        centre: [L]. Centre of the first anchor of each lattice.
        step: [L]. Mean distance between its anchors.
    """

    def __init__(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.low, self.high = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        self.count = np.array([len(low) for low, _ in pairs])
        self.start = np.cumsum(self.count) - self.count
        self.centre = np.array([(low[0] + high[0]) / 2 for low, high in pairs])
        step = np.array([(low[-1] - low[0]) / max(len(low) - 1, 1) for low, _ in pairs])
        self.step = np.where(step > 0, step, 1.0)

    def nearest(self, centres: Float[np.ndarray, "G 1"]) -> Int64[np.ndarray, "G L"]:
        """Return, for each box and lattice, the index of the anchor with the nearest centre, assuming even steps."""
        place = np.rint((centres - self.centre) / self.step)
        return self.start + np.clip(place, 0, self.count - 1).astype(np.int64)


class _LatticeTable:
    """The sizes and edges of all lattices as arrays, to compare many boxes with all lattices at once."""

    def __init__(self, lattices: list[Lattice]) -> None:
        self.height = np.array([lattice.height for lattice in lattices])
        self.width = np.array([lattice.width for lattice in lattices])
        self.axes = []
        if lattices:
            self.axes = [_Edges([(x.y1, x.y2) for x in lattices]), _Edges([(x.x1, x.x2) for x in lattices])]

    def bounds(self, boxes: Float[np.ndarray, "G 4"]) -> Float[np.ndarray, "G L"]:
        """Compute an upper bound on the IoU of each box with the anchors of each lattice, from their sizes alone."""
        h, w = boxes[:, 2, None] - boxes[:, 0, None], boxes[:, 3, None] - boxes[:, 1, None]  # [G, 1]
        intersection = np.minimum(self.height, h) * np.minimum(self.width, w)
        union = self.height * self.width + h * w - intersection
        return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)

    def overlaps_nearby(self, boxes: Float[np.ndarray, "G 4"]) -> Float[np.ndarray, "G L"]:
        """Compute the IoU of each box with one anchor of each lattice: the nearest one, assuming even steps."""
        if not self.axes:
            return np.zeros((len(boxes), 0))
        intersection, size = 1.0, 1.0
        for axis, edges in enumerate(self.axes):
            near, far = boxes[:, axis, None], boxes[:, axis + 2, None]
            i = edges.nearest((near + far) / 2)
            low, high = edges.low[i], edges.high[i]
            intersection = intersection * np.maximum(np.minimum(high, far) - np.maximum(low, near), 0.0)
            size = size * (high - low)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return intersection / (size + areas[:, None] - intersection)


class AnchorIndex:
    """Anchors and the lattices that they form.

    Args:
        anchors: pixel boxes; compared in float64.

    Attributes:
        anchors: the anchors in float64.
        lattices: the lattices that the anchors form.
    """

    def __init__(self, anchors: Num[np.ndarray, "A 4"]) -> None:
        self.anchors: Float64[np.ndarray, "A 4"] = np.asarray(anchors, np.float64)
        self.lattices: list[Lattice] = []
        loose = [np.zeros(0, np.int64)]
        for positions in _group_by_size(self.anchors):
            lattice = _as_lattice(self.anchors, positions)
            if lattice is None:
                loose.append(positions)
            else:
                self.lattices.append(lattice)
        self._table = _LatticeTable(self.lattices)
        # the anchors of no lattice
        self._loose = np.sort(np.concatenate(loose))
        self._loose_boxes = self.anchors[self._loose]
        self._loose_areas = box_areas(self._loose_boxes)

    def __len__(self) -> int:
        """Return the number of anchors."""
        return len(self.anchors)

    def overlapping(
        self, box: Num[np.ndarray, "4"], threshold: float
    ) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Find the anchors whose IoU with a box reaches a threshold.

        Args:
            box: pixels.
            threshold: above 0.

        Returns:
            Indices in no particular order, and the IoU of each.
        """
        corners = [float(v) for v in box]
        parts = [self._loose_overlapping(corners, threshold)]
        bounds = self._table.bounds(np.array([corners]))[0]
        parts += [lattice.overlaps(corners, threshold) for lattice, bound in zip(self.lattices, bounds, strict=True)
                  if bound >= threshold - _SLACK]  # fmt: skip
        positions, overlaps = np.concatenate([p for p, _ in parts]), np.concatenate([o for _, o in parts])
        reached = overlaps >= threshold
        return positions[reached], overlaps[reached]

    def match(self, boxes: Num[np.ndarray, "G 4"], threshold: float) -> Int64[np.ndarray, " n"]:
        """Find the anchors that match a box: their IoU reaches the threshold, or no anchor has a higher one with the box.

        Args:
            boxes: pixels, with an area.
            threshold: above 0.

        Returns:
            Indices in ascending order. Anchors that tie for the highest IoU with a box all match; no anchor matches a box
            that none overlaps.
        """
        boxes = np.asarray(boxes, np.float64)
        bounds = self._table.bounds(boxes)  # [G, L]
        # Lattices of the most similar size come first, so that the bounds of the others soon fall below the best overlap.
        order = np.argsort(-bounds, axis=1).tolist()
        nearby = self._table.overlaps_nearby(boxes).max(axis=1, initial=0.0).tolist()
        matches = [np.zeros(0, np.int64)]
        for corners, bound, lattices, best in zip(boxes.tolist(), bounds.tolist(), order, nearby, strict=True):
            matches += self._match_one(corners, threshold, bound, lattices, best)
        return np.unique(np.concatenate(matches))

    def _match_one(
        self, box: list[float], threshold: float, bounds: list[float], order: list[int], best: float
    ) -> list[Int64[np.ndarray, " n"]]:
        """Return the indices of the anchors that match one box, in parts.

        Args:
            box: (y1, x1, y2, x2) in pixels.
            threshold: see `match`.
            bounds: [L]. Upper bound on the IoU of the box with each lattice.
            order: [L]. The lattices by descending bound.
            best: a lower bound on the highest IoU: that of any anchor with the box.
        """
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
        return [positions[overlaps >= wanted] for positions, overlaps in parts]

    def _loose_overlapping(
        self, box: list[float], threshold: float
    ) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        if not self._loose.size:
            return self._loose, np.zeros(0)
        area = (box[2] - box[0]) * (box[3] - box[1])
        overlaps = compute_iou(box, self._loose_boxes, area, self._loose_areas)
        reached = overlaps >= threshold
        return self._loose[reached], overlaps[reached]


def _group_by_size(anchors: Float64[np.ndarray, "A 4"]) -> list[Int64[np.ndarray, " n"]]:
    """Group the indices of anchors by (height, width)."""
    labels = np.zeros(len(anchors), np.int64)
    for low, high in ((0, 2), (1, 3)):
        sizes = anchors[:, high] - anchors[:, low]
        order = np.argsort(sizes, kind="stable")
        steps = np.diff(sizes[order]) > _SIZE_TOLERANCE * np.maximum(np.abs(sizes[order][1:]), 1)
        rank = np.zeros(len(anchors), np.int64)
        rank[order[1:]] = np.cumsum(steps)
        labels = labels * (rank.max(initial=0) + 1) + rank
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return [part for part in np.split(order, cuts) if part.size]


def _as_lattice(anchors: Float64[np.ndarray, "A 4"], positions: Int64[np.ndarray, " n"]) -> Lattice | None:
    """Arrange anchors in rows and columns; return None if they do not fill every place of a lattice exactly once."""
    boxes = anchors[positions]
    y1, row = np.unique(boxes[:, 0], return_inverse=True)
    x1, col = np.unique(boxes[:, 1], return_inverse=True)
    if len(y1) * len(x1) != len(positions):
        return None
    grid = np.full((len(y1), len(x1)), -1, np.int64)
    grid[row, col] = positions
    if (grid < 0).any():
        return None
    y2, x2 = anchors[grid[:, 0], 2], anchors[grid[0], 3]
    grid_boxes = anchors[grid]  # [h, w, 4]
    regular = (grid_boxes[..., 2] == y2[:, None]).all() and (grid_boxes[..., 3] == x2).all()
    ordered = (np.diff(y2) > 0).all() and (np.diff(x2) > 0).all() and (y2 > y1).all() and (x2 > x1).all()
    return Lattice(y1, x1, y2, x2, grid) if regular and ordered else None


# The most recently used indices, with their arrays.
_cache: list[tuple[weakref.ref[np.ndarray], AnchorIndex]] = []
_cache_lock = threading.Lock()
_CACHE_SIZE = 4


def index_anchors(anchors: AnchorIndex | Num[np.ndarray, "A 4"]) -> AnchorIndex:
    """Return the index of anchors, from an earlier call if the array is the same and has not changed since."""
    if isinstance(anchors, AnchorIndex):
        return anchors
    with _cache_lock:
        for reference, index in _cache:
            if reference() is anchors and np.array_equal(index.anchors, anchors):
                return index
        index = AnchorIndex(anchors.copy())
        _cache.insert(0, (weakref.ref(anchors), index))
        del _cache[_CACHE_SIZE:]
    return index
