"""Label maps, which assign one label to each pixel: which labels occur, where, and each label's mask as RLE.

A map is split into runs: stretches of one label within a row. Everything is computed from the runs, because a map has about a
hundred times fewer runs than pixels.

Shape letters: H W map, L labels that occur, R runs.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, Shaped

from mrcnn.geometry.boxes import PixelBox
from mrcnn.geometry.rle import encode_in_box


class LabelMap:
    """A map of labels.

    Attributes:
        labels: int [H, W]. The map.
        values: int [L]. The labels that occur, ascending.
        areas: int64 [L]. Number of pixels of each label.
    """

    def __init__(self, labels: Integer[np.ndarray, "H W"]) -> None:
        """Split a map into runs; it must have at least one pixel."""
        self.labels = labels
        flat, width = labels.reshape(-1), labels.shape[1]
        begins = np.empty(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[::width] = True
        self._starts = np.flatnonzero(begins)  # [R]
        self._lengths = np.diff(self._starts, append=flat.size)
        self.values, self._label_of_run = np.unique(flat[self._starts], return_inverse=True)
        # bincount sums in float64, which is exact for integers below 2^53
        self.areas = np.bincount(self._label_of_run, weights=self._lengths).astype(np.int64)

    def replaced(self, new: Shaped[np.ndarray, " L"]) -> Shaped[np.ndarray, "H W"]:
        """Return a map in which each of `values` is replaced by its entry in `new`, with the dtype of `new`."""
        return np.repeat(new[self._label_of_run], self._lengths).reshape(self.labels.shape)

    def boxes(self) -> Int64[np.ndarray, "L 4"]:
        """Compute the tight pixel box of each label."""
        order = np.argsort(self._label_of_run, kind="stable")
        first = np.searchsorted(self._label_of_run[order], np.arange(len(self.values)))
        rows, columns = np.divmod(self._starts[order], self.labels.shape[1])
        ends = columns + self._lengths[order]
        return np.stack([
            np.minimum.reduceat(rows, first),
            np.minimum.reduceat(columns, first),
            np.maximum.reduceat(rows, first) + 1,
            np.maximum.reduceat(ends, first),
        ], axis=1)  # fmt: skip

    def encode(self, positions: Iterable[int]) -> list[tuple[dict[str, Any], PixelBox]]:
        """Encode labels as masks.

        Args:
            positions: indices into `values`.

        Returns:
            The RLE and the tight box of each.
        """
        boxes = self.boxes().tolist()
        encoded = []
        for i in positions:
            y1, x1, y2, x2 = boxes[i]
            mask = self.labels[y1:y2, x1:x2] == self.values[i]
            encoded.append((encode_in_box(mask, boxes[i], self.labels.shape), (y1, x1, y2, x2)))
        return encoded
