"""The region proposal head, one set of weights slid over every pyramid level.

Shapes: B images, h w feature map, A anchors (h * w * anchors per cell), T anchors that are trained.

Source: Faster R-CNN (Ren et al. 2015), section 3.1, and 3.1.3 for what its weights begin with.
"""

import keras
from keras import ops
from keras.initializers import RandomNormal

from mrcnn.network.ops.level_table import LevelTable

SIDE = 3  # of the hidden convolution


def rpn_graph(feature_map, anchors_per_location, anchor_stride, channels=512):
    """Add the head over one feature map.

    Args:
        feature_map: [B, h, w, C].
        anchors_per_location: int. Anchors at each cell.
        anchor_stride: int. 1: anchors on each cell, 2: on every other one.
        channels: int. Of the hidden convolution.

    Returns:
        list: class logits [B, A, 2] (background, foreground), probabilities float32 [B, A, 2], deltas [B, A, 4]
        (dy, dx, log dh, log dw, divided by RPN_BBOX_STD_DEV), anchors in the order of `generate_anchors`.
    """
    shared = _convolution(channels, SIDE, "rpn_conv_shared", activation="relu", strides=anchor_stride)(feature_map)
    x = _convolution(2 * anchors_per_location, 1, "rpn_class_raw")(shared)
    logits = keras.layers.Reshape((-1, 2))(x)
    probs = keras.layers.Activation("softmax", name="rpn_class_xxx", dtype="float32")(logits)
    x = _convolution(4 * anchors_per_location, 1, "rpn_bbox_pred")(shared)
    deltas = keras.layers.Reshape((-1, 4))(x)
    return [logits, probs, deltas]


def build_rpn_model(anchor_stride, anchors_per_location, depth, channels=512):
    """Return the head as a model, so that every level shares its weights.

    Args:
        anchor_stride: int. See `rpn_graph`.
        anchors_per_location: int. See `rpn_graph`.
        depth: int. Channels of the feature maps.
        channels: int. Of the hidden convolution.

    Returns:
        keras.Model "rpn_model": [B, h, w, depth] -> what `rpn_graph` returns.
    """
    feature_map = keras.Input((None, None, depth), name="input_rpn_feature_map")
    return keras.Model(feature_map, rpn_graph(feature_map, anchors_per_location, anchor_stride, channels),
                       name="rpn_model")


def rpn_at(model, feature_maps, anchors):
    """Return what the head says of a few anchors, computed at their cells alone.

    The losses look at 256 anchors of an image, and the gradient of all the others is zero: through the outputs for every anchor
    it costs a fifth of a training step on a processor, and this way next to nothing.

    Args:
        model: keras.Model of `build_rpn_model`.
        feature_maps: list of float [B, h, w, C], one a level.
        anchors: int32 [B, T]. Positions among the anchors of all levels, as the model's outputs follow each other.

    Returns:
        (logits, deltas): float32 [B, T, 2] and [B, T, 4], equal to those outputs up to rounding.
    """
    hidden, *ends = (model.get_layer(name) for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"))
    per_cell = ends[0].filters // 2
    patches = _patches(feature_maps, anchors // per_cell, hidden.strides[0])
    x = hidden.activation(_as_product(hidden, patches))
    own = ops.one_hot(anchors % per_cell, per_cell, dtype="float32")[..., None]  # [B, T, anchors of the cell, 1]
    of_cell = (ops.reshape(_as_product(end, x), (*ops.shape(anchors), per_cell, end.filters // per_cell)) for end in ends)
    return tuple(ops.sum(ops.cast(values, "float32") * own, axis=2) for values in of_cell)


def _patches(feature_maps, cells, stride):
    """Return what the hidden convolution sees at some cells of its output: [B, T, SIDE * SIDE * C].

    Args:
        feature_maps: list of float [B, h, w, C].
        cells: int32 [B, T]. Positions among the cells of all levels.
        stride: int. Of the convolution, whose padding is "same".
    """
    table = LevelTable.of(feature_maps)
    rows, columns = (-(-sides // stride) for sides in (table.heights, table.widths))  # of the output
    ends = ops.cumsum(rows * columns)
    level = ops.sum(ops.cast(cells[..., None] >= ends, "int32"), axis=-1)
    level = ops.minimum(level, len(feature_maps) - 1)
    place = cells - ops.take(ends - rows * columns, level)
    width = ops.take(columns, level)
    y = _taps(place // width, level, table.heights, rows, stride)
    x = _taps(place % width, level, table.widths, columns, stride)
    heights, widths = (ops.take(sides, level)[..., None] for sides in (table.heights, table.widths))
    inside = ops.logical_and(_within(y, heights)[..., :, None], _within(x, widths)[..., None, :])  # [B, T, SIDE, SIDE]
    y, x = ops.clip(y, 0, heights - 1), ops.clip(x, 0, widths - 1)
    first = ops.take(table.level_starts, level) + table.image_starts[:, None]
    picked = ops.take(table.cells, first[..., None, None] + (y * widths)[..., :, None] + x[..., None, :], axis=0)
    picked = ops.where(inside[..., None], picked, 0.0)
    return ops.reshape(picked, (*ops.shape(cells), SIDE * SIDE * picked.shape[-1]))


def _taps(positions, level, sizes, outputs, stride):
    """Return int32 [B, T, SIDE]: the rows, or columns, that a cell of the output is computed from."""
    padding = ops.maximum((outputs - 1) * stride + SIDE - sizes, 0) // 2  # [L], as "same" has it
    return (positions * stride - ops.take(padding, level))[..., None] + ops.arange(SIDE, dtype="int32")


def _within(positions, sizes):
    return ops.logical_and(positions >= 0, positions < sizes)


def _as_product(convolution, x):
    """Return a convolution at single cells, x [B, T, values seen], as a matrix product in its own precision."""
    kernel, bias, x = (ops.cast(v, convolution.compute_dtype) for v in (convolution.kernel, convolution.bias, x))
    return ops.matmul(x, ops.reshape(kernel, (-1, convolution.filters))) + bias


def _convolution(channels, side, name, **options):
    # from larger numbers anchors would begin moved out of the image
    return keras.layers.Conv2D(channels, (side, side), padding="same", kernel_initializer=RandomNormal(stddev=0.01), name=name,
                               **options)  # fmt: skip
