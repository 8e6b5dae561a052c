"""ROI align: sampling boxes of any size from feature maps at a fixed resolution.

By default, samples are taken as TensorFlow's `crop_and_resize` does, because the classic weights were trained with it. In a map
with h rows, a box with normalised corners y1 and y2 is sampled at P rows

    y1 (h - 1) + i (y2 - y1) (h - 1) / (P - 1),   i = 0 .. P - 1,

with one bilinear sample per bin, and zero outside the map. The first and last samples lie on the edges of the box (y2 of a
normalised box is the last row inside), not at bin centres.

`averaged_roi_align` is the one of the paper as torchvision and detectron2 implement it: each bin is the mean of several
samples.

Shape letters: B images, L levels, R rois, S cells of all maps, P crop size, C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import KerasTensor, ops

# A sample this far outside the map, in cells, still counts as lying on its edge. Float32 rounding can push the last sample of
# a box that touches the edge outside, which would zero a whole row of the crop.
EDGE_TOLERANCE = 1e-3
# The same for averaged samples: torchvision and detectron2 count those less than a cell outside.
AVERAGED_TOLERANCE = 1.0


class LevelTable(NamedTuple):
    """The feature maps of all levels as one table of cells, so that a single gather can read from every level.

    Attributes:
        cells: float32 [B * S, C], ordered by image, level, row and column. Float32 because the gradient accumulates
            thousands of samples in a cell: lower precision would lose digits, and atomic adds of bfloat16 are ten times
            slower on GPUs.
        heights: int32 [L]. Height of each map.
        widths: int32 [L]. Width of each map.
        level_starts: int32 [L]. First cell of each level within its image.
        image_starts: int32 [B]. First cell of each image.
    """

    cells: Any
    heights: Any
    widths: Any
    level_starts: Any
    image_starts: Any


def level_table(feature_maps: Sequence[KerasTensor]) -> LevelTable:
    """Concatenate the feature maps of all levels, float [B, h, w, C] each, into a LevelTable."""
    batch, channels = ops.shape(feature_maps[0])[0], feature_maps[0].shape[-1]
    cells = ops.concatenate([ops.reshape(ops.cast(m, "float32"), (batch, -1, channels)) for m in feature_maps], axis=1)
    sizes = [tuple(ops.cast(side, "int32") for side in ops.shape(m)[1:3]) for m in feature_maps]
    heights, widths = (ops.stack(sides) for sides in zip(*sizes, strict=True))
    ends = ops.cumsum(heights * widths)
    return LevelTable(ops.reshape(cells, (-1, channels)), heights, widths, ends - heights * widths,
                      ops.arange(batch, dtype="int32") * ends[-1])  # fmt: skip


def pyramid_roi_align(
    feature_maps: Sequence[KerasTensor], boxes: KerasTensor, levels: KerasTensor, crop_size: tuple[int, int]
) -> KerasTensor:
    """Sample each box from its pyramid level.

    One gather from a table of all levels reads four cells per sample; cropping every box from every level would read L times
    as many.

    Args:
        feature_maps: float [B, h, w, C], one per level.
        boxes: float32 [B, R, 4], normalised.
        levels: int32 [B, R]. Index into `feature_maps`.
        crop_size: (height, width) of the crops, at least 2.

    Returns:
        float [B, R, crop height, crop width, C].

    Source: ROIAlign, Mask R-CNN (He et al. 2017), section 3, in the classic variant.
    """
    batch, rois = ops.shape(boxes)[0], ops.shape(boxes)[1]
    table = level_table(feature_maps)
    heights, widths, starts = (ops.take(values, levels, axis=0)  # [B, R]
                               for values in (table.heights, table.widths, table.level_starts))  # fmt: skip
    crops = sample_crops(
        table.cells, ops.reshape(starts + table.image_starts[:, None], (-1,)), ops.reshape(heights, (-1,)),
        ops.reshape(widths, (-1,)), ops.reshape(boxes, (-1, 4)), crop_size)  # fmt: skip
    return ops.reshape(ops.cast(crops, feature_maps[0].dtype), (batch, rois, *crop_size, feature_maps[0].shape[-1]))


def sample_crops(
    table: KerasTensor, starts: KerasTensor, heights: KerasTensor, widths: KerasTensor, boxes: KerasTensor,
    crop_size: tuple[int, int], half_pixel: bool = False,
) -> KerasTensor:
    """Sample boxes bilinearly from maps stored in one table, one sample per bin.

    Args:
        table: [S, C]. Cells of all maps, each in row-major order. Bool cells are converted only after the gather, because a
            table of full-size masks is large.
        starts: int32 [R]. Index in the table of the first cell of each box's map.
        heights: int32 [R]. Height of each box's map.
        widths: int32 [R]. Width of each box's map.
        boxes: float32 [R, 4], normalised to their maps.
        crop_size: (height, width) of the crops, at least 2.
        half_pixel: whether boxes are in continuous coordinates and sampled at bin centres; otherwise as described above.

    Returns:
        [R, crop height, crop width, C], with the dtype of `table`, or float32 if that is bool or integer. Samples outside
        the map are zero.
    """
    y1, x1, y2, x2 = (boxes[:, i] for i in range(4))
    positions = _bin_centres if half_pixel else _sample_positions
    margin = 0.5 if half_pixel else EDGE_TOLERANCE  # in cells; the centre of the first cell is half a cell inside the map
    return _bilinear(table, starts, widths, _neighbours(positions(y1, y2, heights, crop_size[0]), heights, margin),
                     _neighbours(positions(x1, x2, widths, crop_size[1]), widths, margin))


def averaged_roi_align(
    feature_maps: Sequence[KerasTensor], boxes: KerasTensor, levels: KerasTensor, crop_size: tuple[int, int], samples: int,
    half_pixel: bool,
) -> KerasTensor:
    """Average several bilinear samples in each bin of each box, from its pyramid level.

    Args:
        feature_maps: float [B, h, w, C], one per level.
        boxes: float32 [B, R, 4], normalised, in continuous coordinates.
        levels: int32 [B, R]. Index into `feature_maps`.
        crop_size: (height, width) of the crops.
        samples: samples per bin and axis; 0 takes one for each cell that a bin of the box spans, rounded up. Their number is
            then known only at run time, so that JAX cannot compute gradients.
        half_pixel: whether the centre of the first cell is at 0.5 cells from the edge of the map, as in detectron2. Otherwise
            it is at 0, as in torchvision, and boxes smaller than a cell are enlarged to one.

    Returns:
        float [B, R, crop height, crop width, C].

    Source: ROIAlign, Mask R-CNN (He et al. 2017), section 3, and torchvision.ops.roi_align.
    """
    batch, rois, channels = ops.shape(boxes)[0], ops.shape(boxes)[1], feature_maps[0].shape[-1]
    table = level_table(feature_maps)
    heights, widths, starts = (ops.take(values, levels, axis=0)  # [B, R]
                               for values in (table.heights, table.widths, table.level_starts))  # fmt: skip
    starts = ops.reshape(starts + table.image_starts[:, None], (-1,))
    heights, widths, boxes = ops.reshape(heights, (-1,)), ops.reshape(widths, (-1,)), ops.reshape(boxes, (-1, 4))
    rows = _Bins(boxes[:, 0], boxes[:, 2], heights, crop_size[0], samples, half_pixel)
    columns = _Bins(boxes[:, 1], boxes[:, 3], widths, crop_size[1], samples, half_pixel)

    def sample(row: Any, column: Any) -> KerasTensor:
        values = _bilinear(table.cells, starts, widths, rows.neighbours(row), columns.neighbours(column))
        return values * (rows.weights(row) * columns.weights(column))[:, None, None, None]

    if samples:
        crops = sum(sample(row, column) for row in range(samples) for column in range(samples))
    else:
        num_columns = ops.max(columns.samples)

        def add(number, total):
            return number + 1, total + sample(number // num_columns, number % num_columns)

        total = ops.zeros((ops.shape(boxes)[0], *crop_size, channels), "float32")
        count = ops.max(rows.samples) * num_columns
        _, crops = ops.while_loop(lambda number, _: number < count, add, (ops.convert_to_tensor(0, "int32"), total))
    return ops.reshape(ops.cast(crops, feature_maps[0].dtype), (batch, rois, *crop_size, channels))


class _Bins:
    """The bins of boxes along one axis, and the samples in them.

    Args:
        start, stop: float32 [R]. Normalised sides of the boxes.
        sizes: int32 [R]. Cells of each box's map.
        count: number of bins, P.
        samples: see `averaged_roi_align`.
        half_pixel: see `averaged_roi_align`.
    """

    def __init__(self, start: KerasTensor, stop: KerasTensor, sizes: KerasTensor, count: int, samples: int,
                 half_pixel: bool) -> None:  # fmt: skip
        cells = ops.cast(sizes, "float32")
        self.sizes, self.count = sizes, count
        self.start = start * cells - (0.5 if half_pixel else 0.0)
        extent = (stop - start) * cells
        self.step = (extent if half_pixel else ops.maximum(extent, 1.0)) / count
        needed = ops.maximum(ops.cast(ops.ceil(self.step), "int32"), 1)
        self.samples = needed if samples == 0 else ops.full_like(sizes, samples)

    def neighbours(self, number: Any) -> tuple[KerasTensor, ...]:
        """Return where the sample with this number lies in each bin; see `_neighbours`."""
        within = (ops.cast(number, "float32") + 0.5) / ops.cast(self.samples, "float32")  # [R]
        offsets = ops.arange(self.count, dtype="float32")[None] + within[:, None]  # [R, P]
        return _neighbours(self.start[:, None] + offsets * self.step[:, None], self.sizes, AVERAGED_TOLERANCE)

    def weights(self, number: Any) -> KerasTensor:
        """Return the weight of the sample with this number: float32 [R], 0 if a box has fewer samples."""
        return ops.where(number < self.samples, 1.0 / ops.cast(self.samples, "float32"), 0.0)


def _bilinear(
    table: KerasTensor, starts: KerasTensor, widths: KerasTensor, rows: tuple[KerasTensor, ...],
    columns: tuple[KerasTensor, ...],
) -> KerasTensor:
    """Interpolate between the cells of a grid of samples.

    Args:
        table: see `sample_crops`, also for `starts`, `widths` and the result.
        rows: see `_neighbours`.
        columns: see `_neighbours`.
    """
    low_y, high_y, weight_y, inside_y = rows
    low_x, high_x, weight_x, inside_x = columns
    stride = widths[:, None, None]
    origin = starts[:, None, None]

    dtype = keras.backend.standardize_dtype(table.dtype)
    dtype = dtype if keras.backend.is_float_dtype(dtype) else "float32"

    def cells_at(y, x):
        cells = ops.take(table, origin + y[:, :, None] * stride + x[:, None, :], axis=0)  # [R, Ph, Pw, C]
        return ops.cast(cells, dtype)

    weight_y = ops.cast(weight_y, dtype)[:, :, None, None]
    weight_x = ops.cast(weight_x, dtype)[:, None, :, None]
    inside = ops.cast(ops.logical_and(inside_y[:, :, None], inside_x[:, None, :]), dtype)[..., None]
    top = cells_at(low_y, low_x) * (1 - weight_x) + cells_at(low_y, high_x) * weight_x
    bottom = cells_at(high_y, low_x) * (1 - weight_x) + cells_at(high_y, high_x) * weight_x
    return (top * (1 - weight_y) + bottom * weight_y) * inside


def _sample_positions(start: KerasTensor, stop: KerasTensor, size: KerasTensor, count: int) -> KerasTensor:
    """Return sample positions between two normalised corners, in cells of a map of this size: float32 [R, count]."""
    last = ops.cast(size - 1, "float32")
    step = (stop - start) * last / (count - 1)
    return (start * last)[:, None] + step[:, None] * ops.arange(count, dtype="float32")[None, :]


def _bin_centres(start: KerasTensor, stop: KerasTensor, size: KerasTensor, count: int) -> KerasTensor:
    """Return the centres of `count` bins between two corners in continuous coordinates, as `_sample_positions` does."""
    cells = ops.cast(size, "float32")
    step = (stop - start) * cells / count
    return (start * cells - 0.5)[:, None] + step[:, None] * (ops.arange(count, dtype="float32")[None, :] + 0.5)


def _neighbours(positions: KerasTensor, size: KerasTensor, margin: float) -> tuple[KerasTensor, ...]:
    """Return the two neighbouring cells, the weight of the second, and whether each position is inside the map: [R, P] each.

    Args:
        positions: float32 [R, P], in cells.
        size: int32 [R], cells of the map.
        margin: distance outside the first or the last cell, in cells, that still counts as inside.
    """
    last = ops.cast(size - 1, "float32")[:, None]
    inside = ops.logical_and(positions >= -margin, positions <= last + margin)
    clipped = ops.minimum(ops.maximum(positions, 0.0), last)
    low = ops.floor(clipped)
    high = ops.minimum(low + 1.0, last)
    # Clip the integers again: a NaN box must not read outside the map.
    low_ix, high_ix = (ops.minimum(ops.maximum(ops.cast(v, "int32"), 0), size[:, None] - 1) for v in (low, high))
    return low_ix, high_ix, clipped - low, inside
