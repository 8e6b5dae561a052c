"""ROI align: sampling boxes of any size from feature maps at a fixed resolution.

Samples are taken as TensorFlow's `crop_and_resize` does, because the classic weights were trained with it. In a map with
h rows, a box with normalised corners y1 and y2 is sampled at P rows

    y1 (h - 1) + i (y2 - y1) (h - 1) / (P - 1),   i = 0 .. P - 1,

with one bilinear sample per bin, and zero outside the map. The first and last samples lie on the edges of the box (y2 of a
normalised box is the last row inside), not at bin centres as in half-pixel ROIAlign. Only `_sample_positions` depends on
this choice.

Shape letters: B images, L levels, R rois, S cells of all maps, P crop size, C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import KerasTensor, ops

# A sample this far outside the map, in cells, still counts as lying on its edge. Float32 rounding can push the last sample of
# a box that touches the edge outside, which would zero a whole row of the crop.
EDGE_TOLERANCE = 1e-3


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
    crop_size: tuple[int, int],
) -> KerasTensor:
    """Sample boxes bilinearly from maps stored in one table.

    Args:
        table: [S, C]. Cells of all maps, each in row-major order. Bool cells are converted only after the gather, because a
            table of full-size masks is large.
        starts: int32 [R]. Index in the table of the first cell of each box's map.
        heights: int32 [R]. Height of each box's map.
        widths: int32 [R]. Width of each box's map.
        boxes: float32 [R, 4], normalised to their maps.
        crop_size: (height, width) of the crops, at least 2.

    Returns:
        [R, crop height, crop width, C], with the dtype of `table`, or float32 if that is bool or integer. Samples outside
        the map are zero.
    """
    y1, x1, y2, x2 = (boxes[:, i] for i in range(4))
    low_y, high_y, weight_y, inside_y = _neighbours(_sample_positions(y1, y2, heights, crop_size[0]), heights)
    low_x, high_x, weight_x, inside_x = _neighbours(_sample_positions(x1, x2, widths, crop_size[1]), widths)

    stride = widths[:, None, None]
    origin = starts[:, None, None]

    dtype = keras.backend.standardize_dtype(table.dtype)
    dtype = dtype if keras.backend.is_float_dtype(dtype) else "float32"

    def rows(y, x):
        cells = ops.take(table, origin + y[:, :, None] * stride + x[:, None, :], axis=0)  # [R, Ph, Pw, C]
        return ops.cast(cells, dtype)

    weight_y = ops.cast(weight_y, dtype)[:, :, None, None]
    weight_x = ops.cast(weight_x, dtype)[:, None, :, None]
    inside = ops.cast(ops.logical_and(inside_y[:, :, None], inside_x[:, None, :]), dtype)[..., None]
    top = rows(low_y, low_x) * (1 - weight_x) + rows(low_y, high_x) * weight_x
    bottom = rows(high_y, low_x) * (1 - weight_x) + rows(high_y, high_x) * weight_x
    return (top * (1 - weight_y) + bottom * weight_y) * inside


def _sample_positions(start: KerasTensor, stop: KerasTensor, size: KerasTensor, count: int) -> KerasTensor:
    """Return sample positions between two normalised corners, in cells of a map of this size: float32 [R, count]."""
    last = ops.cast(size - 1, "float32")
    step = (stop - start) * last / (count - 1)
    return (start * last)[:, None] + step[:, None] * ops.arange(count, dtype="float32")[None, :]


def _neighbours(positions: KerasTensor, size: KerasTensor) -> tuple[KerasTensor, ...]:
    """Return the two neighbouring cells, the weight of the second, and whether each position is inside the map: [R, P] each."""
    last = ops.cast(size - 1, "float32")[:, None]
    inside = ops.logical_and(positions >= -EDGE_TOLERANCE, positions <= last + EDGE_TOLERANCE)
    clipped = ops.minimum(ops.maximum(positions, 0.0), last)
    low = ops.floor(clipped)
    high = ops.minimum(low + 1.0, last)
    # Clip the integers again: a NaN box must not read outside the map.
    low_ix, high_ix = (ops.minimum(ops.maximum(ops.cast(v, "int32"), 0), size[:, None] - 1) for v in (low, high))
    return low_ix, high_ix, clipped - low, inside
