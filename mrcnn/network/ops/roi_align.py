"""Cutting boxes of any size out of feature maps at a fixed resolution.

Classic sampling, the one the classic weights were trained with, is TensorFlow's `crop_and_resize`: of a map with h rows
a box with the normalised corners y1, y2 gets P samples at the rows

    y1 (h - 1) + i (y2 - y1) (h - 1) / (P - 1),   i = 0 .. P - 1,

one bilinear sample a bin, and zero for samples outside the map. The first and the last sample lie on the box's edges
(of normalised boxes, whose y2 is the last row inside), not at the centres of bins as in half-pixel ROIAlign. Only
`_sample_positions` knows which of the two it is.

Shapes: B images, L levels, R rois, S rows of all maps together, P crop size, C channels.
"""

import keras
from keras import ops

from mrcnn.network.ops.level_table import LevelTable

# How far outside the map, in cells, a sample still counts as on its edge: float32 rounding pushes the last sample of a
# box that ends with the map there, and the whole row of the crop would turn zero.
EDGE_TOLERANCE = 1e-3


def pyramid_roi_align(feature_maps, boxes, levels, crop_size):
    """Cut each box out of the pyramid level that it was given.

    All levels are laid into one table of rows, so that one gather serves boxes of every level: four rows a sample,
    instead of a crop of every box from every level.

    Args:
        feature_maps: list of float [B, h, w, C], one a level.
        boxes: float32 [B, R, 4]. Normalised corners.
        levels: int32 [B, R]. Position in `feature_maps`.
        crop_size: (int, int). (height, width) of the crops, 2 or more.

    Returns:
        float [B, R, crop height, crop width, C].

    Source: ROIAlign, Mask R-CNN (He et al. 2017), section 3, in the classic code's form.
    """
    batch, rois = ops.shape(boxes)[0], ops.shape(boxes)[1]
    table = LevelTable.of(feature_maps)
    heights, widths, starts = (ops.take(values, levels, axis=0)  # [B, R]
                               for values in (table.heights, table.widths, table.level_starts))
    crops = sample_crops(
        table.cells, ops.reshape(starts + table.image_starts[:, None], (-1,)), ops.reshape(heights, (-1,)),
        ops.reshape(widths, (-1,)), ops.reshape(boxes, (-1, 4)), crop_size)
    return ops.reshape(ops.cast(crops, feature_maps[0].dtype), (batch, rois, *crop_size, feature_maps[0].shape[-1]))


def sample_crops(table, starts, heights, widths, boxes, crop_size):
    """Sample boxes bilinearly out of maps whose rows lie in one table.

    Args:
        table: [S, C]. Cells of all maps, each map row-major. Bools are counted as 0 and 1 once they are picked: a table
            of full masks is large.
        starts: int32 [R]. Row of the table at which each box's map begins.
        heights, widths: int32 [R]. Size of each box's map.
        boxes: float32 [R, 4]. Normalised corners within the box's own map.
        crop_size: (int, int). (height, width) of the crops, 2 or more.

    Returns:
        float [R, crop height, crop width, C], of the dtype of `table`, float32 for bool and whole numbers. Samples
        outside the map are zero.
    """
    y1, x1, y2, x2 = (boxes[:, i] for i in range(4))
    low_y, high_y, weight_y, inside_y = _neighbours(_sample_positions(y1, y2, heights, crop_size[0]), heights)
    low_x, high_x, weight_x, inside_x = _neighbours(_sample_positions(x1, x2, widths, crop_size[1]), widths)

    stride = widths[:, None, None]
    origin = starts[:, None, None]

    dtype = keras.backend.standardize_dtype(table.dtype)
    dtype = dtype if keras.backend.is_float_dtype(dtype) else "float32"

    def rows(y, x):
        picked = ops.take(table, origin + y[:, :, None] * stride + x[:, None, :], axis=0)  # [R, Ph, Pw, C]
        return ops.cast(picked, dtype)

    weight_y = ops.cast(weight_y, dtype)[:, :, None, None]
    weight_x = ops.cast(weight_x, dtype)[:, None, :, None]
    inside = ops.cast(ops.logical_and(inside_y[:, :, None], inside_x[:, None, :]), dtype)[..., None]
    top = rows(low_y, low_x) * (1 - weight_x) + rows(low_y, high_x) * weight_x
    bottom = rows(high_y, low_x) * (1 - weight_x) + rows(high_y, high_x) * weight_x
    return (top * (1 - weight_y) + bottom * weight_y) * inside


def _sample_positions(start, stop, size, count):
    """Return float32 [R, count]: where to sample between two normalised corners, in cells of a map of `size`."""
    last = ops.cast(size - 1, "float32")
    step = (stop - start) * last / (count - 1)
    return (start * last)[:, None] + step[:, None] * ops.arange(count, dtype="float32")[None, :]


def _neighbours(positions, size):
    """Return both neighbouring cells, the second's weight, and whether a position lies in the map: [R, P] each."""
    last = ops.cast(size - 1, "float32")[:, None]
    inside = ops.logical_and(positions >= -EDGE_TOLERANCE, positions <= last + EDGE_TOLERANCE)
    clipped = ops.minimum(ops.maximum(positions, 0.0), last)
    low = ops.floor(clipped)
    high = ops.minimum(low + 1.0, last)
    # Clipped as whole numbers once more: a box that is not a number must not read beyond the map.
    low_ix, high_ix = (ops.minimum(ops.maximum(ops.cast(v, "int32"), 0), size[:, None] - 1) for v in (low, high))
    return low_ix, high_ix, clipped - low, inside
