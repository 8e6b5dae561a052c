"""Maps that give each pixel one label: which labels there are, where they lie, and each as a mask.

A map is cut into runs, stretches of one label within a row. There are a hundred times fewer of them than pixels, and
all questions are answered from them.

Shape letters: H W map, L labels in it, R runs.
"""

import numpy as np

from mrcnn.geometry.rle import encode_in_box


class LabelMap:
    """A map of labels.

    Attributes:
        labels: int [H, W]. The map.
        values: int [L]. The labels that occur, ascending.
        areas: int64 [L]. Pixels of each.
    """

    def __init__(self, labels):
        """Cut a map into runs. Args: labels: int [H, W], H and W at least 1."""
        self.labels = labels = np.asarray(labels)
        flat, width = labels.reshape(-1), labels.shape[1]
        begins = np.empty(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[::width] = True
        self._starts = np.flatnonzero(begins)  # [R]
        self._lengths = np.diff(self._starts, append=flat.size)
        self.values, self._which = np.unique(flat[self._starts], return_inverse=True)
        # whole numbers below 2^53 are exact in the float64 that bincount sums in
        self.areas = np.bincount(self._which, weights=self._lengths).astype(np.int64)

    def replaced(self, new):
        """Put other labels in the place of these.

        Args:
            new: number array [L]. The new label for each of `values`.

        Returns:
            [H, W] of the dtype of `new`.
        """
        return np.repeat(np.asarray(new)[self._which], self._lengths).reshape(self.labels.shape)

    def boxes(self):
        """Find the tight box of each label: int64 [L, (y1, x1, y2, x2)] in pixels."""
        order = np.argsort(self._which, kind="stable")
        first = np.searchsorted(self._which[order], np.arange(len(self.values)))
        rows, columns = np.divmod(self._starts[order], self.labels.shape[1])
        ends = columns + self._lengths[order]
        return np.stack([
            np.minimum.reduceat(rows, first),
            np.minimum.reduceat(columns, first),
            np.maximum.reduceat(rows, first) + 1,
            np.maximum.reduceat(ends, first),
        ], axis=1)  # fmt: skip

    def encode(self, positions):
        """Write some labels as masks.

        Args:
            positions: ints. Which of `values`.

        Returns:
            list of (RLE dict, (y1, x1, y2, x2) int pixels).
        """
        boxes = self.boxes().tolist()
        found = []
        for i in positions:
            y1, x1, y2, x2 = boxes[i]
            part = self.labels[y1:y2, x1:x2] == self.values[i]
            found.append((encode_in_box(part, boxes[i], self.labels.shape), tuple(boxes[i])))
        return found
