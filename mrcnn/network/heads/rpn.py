"""The heads of the region proposal network, which share one set of weights across all pyramid levels.

Shape letters: B images, h w feature map, C channels, A anchors (h * w * anchors per cell), T sampled anchors.

Source: Faster R-CNN (Ren et al. 2015), section 3.1, and 3.1.3 for the initialisation.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops
from keras.initializers import RandomNormal

from mrcnn.network.ops.gather import gather_rows
from mrcnn.network.ops.roi_align import level_table

KERNEL_SIDE = 3  # of the hidden convolution


@keras.saving.register_keras_serializable(package="mrcnn")
class RpnHead(keras.Model):
    """A functional model over one feature map: [B, h, w, C] -> class logits [B, A, 2] (background, foreground),
    probabilities float32 [B, A, 2], and deltas [B, A, 4] (dy, dx, log dh, log dw, divided by RPN_BBOX_STD_DEV).

    Anchors are in the order of `geometry.anchors.generate_anchors`.
    """

    def at(self, feature_maps: Sequence[KerasTensor], positions: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
        """Return the outputs for selected anchors.

        Args:
            feature_maps: [B, h, w, C], one per level.
            positions: int32 [B, T]. Indices into the anchors of all levels.

        Returns:
            logits float32 [B, T, 2] and deltas float32 [B, T, 4].
        """
        by_level = [self(feature_map) for feature_map in feature_maps]
        logits, _, deltas = (ops.cast(ops.concatenate(parts, axis=1), "float32") for parts in zip(*by_level, strict=True))
        return gather_rows(logits, positions), gather_rows(deltas, positions)


@keras.saving.register_keras_serializable(package="mrcnn")
class ConvRpnHead(RpnHead):
    """The classic head: one 3x3 convolution, then one 1x1 convolution for the classes and one for the boxes.

    Its layers are named "rpn_conv_shared", "rpn_class_raw" and "rpn_bbox_pred".
    """

    def at(self, feature_maps: Sequence[KerasTensor], positions: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
        """Return the same as `RpnHead.at`, up to rounding, but compute only the cells of these anchors.

        The losses use 256 anchors per image, and all others have zero gradient. Backpropagating through the outputs of every
        anchor takes a fifth of a training step on a CPU; this takes almost no time.
        """
        hidden, *outputs = (self.get_layer(name) for name in ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"))
        per_cell = outputs[1].filters // 4
        patches = _patches(feature_maps, positions // per_cell, hidden.strides[0])
        x = hidden.activation(_matmul(hidden, patches))
        in_cell = ops.one_hot(positions % per_cell, per_cell, dtype="float32")[..., None]  # [B, T, per_cell, 1]
        by_cell = (ops.reshape(_matmul(layer, x), (*ops.shape(positions), per_cell, layer.filters // per_cell))
                   for layer in outputs)  # fmt: skip
        logits, deltas = (ops.sum(ops.cast(values, "float32") * in_cell, axis=2) for values in by_cell)
        return _two_logits(logits), deltas


def rpn_graph(
    feature_map: KerasTensor, anchors_per_location: int, anchor_stride: int, channels: int = 512, convolutions: int = 1,
    logits_per_anchor: int = 2,
) -> list[KerasTensor]:
    """Apply a head to one feature map, by default the classic one.

    Args:
        feature_map: [B, h, w, C].
        anchors_per_location: anchors per cell.
        anchor_stride: 1 places anchors in every cell, 2 in every other cell.
        channels: channels of the hidden convolutions.
        convolutions: number of hidden convolutions.
        logits_per_anchor: 2 predicts a logit of the background and one of the foreground; 1 only the latter, and the former is
            0, which makes the softmax over both a sigmoid.

    Returns:
        logits, probabilities and deltas; see `RpnHead`.
    """
    shared = _convolution(channels, KERNEL_SIDE, "rpn_conv_shared", activation="relu", strides=anchor_stride)(feature_map)
    for number in range(2, convolutions + 1):
        shared = _convolution(channels, KERNEL_SIDE, f"rpn_conv_shared{number}", activation="relu")(shared)
    x = _convolution(logits_per_anchor * anchors_per_location, 1, "rpn_class_raw")(shared)
    logits = _two_logits(keras.layers.Reshape((-1, logits_per_anchor))(x))
    probs = keras.layers.Activation("softmax", name="rpn_class_xxx", dtype="float32")(logits)
    x = _convolution(4 * anchors_per_location, 1, "rpn_bbox_pred")(shared)
    deltas = keras.layers.Reshape((-1, 4))(x)
    return [logits, probs, deltas]


def build_rpn_model(
    anchor_stride: int, anchors_per_location: int, depth: int, channels: int = 512, convolutions: int = 1,
    logits_per_anchor: int = 2,
) -> RpnHead:
    """Return a head as a model named "rpn_model", so that all levels share its weights; by default the classic one.

    Args:
        anchor_stride: see `rpn_graph`.
        anchors_per_location: see `rpn_graph`.
        depth: channels of the feature maps.
        channels: see `rpn_graph`.
        convolutions: see `rpn_graph`.
        logits_per_anchor: see `rpn_graph`.
    """
    feature_map = keras.Input((None, None, depth), name="input_rpn_feature_map")
    outputs = rpn_graph(feature_map, anchors_per_location, anchor_stride, channels, convolutions, logits_per_anchor)
    return (ConvRpnHead if convolutions == 1 else RpnHead)(feature_map, outputs, name="rpn_model")


def _two_logits(logits: KerasTensor) -> KerasTensor:
    """Put a background logit of 0 before a single one: [..., 1] -> [..., 2]; two logits are returned unchanged."""
    return logits if logits.shape[-1] == 2 else ops.concatenate([ops.zeros_like(logits), logits], axis=-1)


def _patches(feature_maps: Sequence[KerasTensor], cells: KerasTensor, stride: int) -> KerasTensor:
    """Return the hidden convolution's receptive field at selected output cells: [B, T, KERNEL_SIDE^2 * C].

    Args:
        feature_maps: float [B, h, w, C].
        cells: int32 [B, T]. Indices into the output cells of all levels.
        stride: of the convolution, whose padding is "same".
    """
    table = level_table(feature_maps)
    rows, columns = (-(-sides // stride) for sides in (table.heights, table.widths))  # of the output
    ends = ops.cumsum(rows * columns)
    level = ops.sum(ops.cast(cells[..., None] >= ends, "int32"), axis=-1)
    level = ops.minimum(level, len(feature_maps) - 1)
    cell = cells - ops.take(ends - rows * columns, level)
    width = ops.take(columns, level)
    y = _receptive_field(cell // width, level, table.heights, rows, stride)
    x = _receptive_field(cell % width, level, table.widths, columns, stride)
    heights, widths = (ops.take(sides, level)[..., None] for sides in (table.heights, table.widths))
    inside = ops.logical_and(_within(y, heights)[..., :, None], _within(x, widths)[..., None, :])  # [B, T, side, side]
    y, x = ops.clip(y, 0, heights - 1), ops.clip(x, 0, widths - 1)
    first = ops.take(table.level_starts, level) + table.image_starts[:, None]
    values = ops.take(table.cells, first[..., None, None] + (y * widths)[..., :, None] + x[..., None, :], axis=0)
    values = ops.where(inside[..., None], values, 0.0)
    return ops.reshape(values, (*ops.shape(cells), KERNEL_SIDE * KERNEL_SIDE * values.shape[-1]))


def _receptive_field(
    positions: KerasTensor, level: KerasTensor, sizes: KerasTensor, outputs: KerasTensor, stride: int
) -> KerasTensor:
    """Return the input rows (or columns) that an output row (or column) depends on: int32 [B, T, KERNEL_SIDE]."""
    padding = ops.maximum((outputs - 1) * stride + KERNEL_SIDE - sizes, 0) // 2  # [L], of "same" padding
    return (positions * stride - ops.take(padding, level))[..., None] + ops.arange(KERNEL_SIDE, dtype="int32")


def _within(positions: KerasTensor, sizes: KerasTensor) -> KerasTensor:
    return ops.logical_and(positions >= 0, positions < sizes)


def _matmul(convolution: keras.layers.Conv2D, x: KerasTensor) -> KerasTensor:
    """Apply a convolution to receptive fields, x [B, T, kernel size * C], as a matrix product in its compute dtype."""
    kernel, bias, x = (ops.cast(v, convolution.compute_dtype) for v in (convolution.kernel, convolution.bias, x))
    return ops.matmul(x, ops.reshape(kernel, (-1, convolution.filters))) + bias


def _convolution(channels: int, side: int, name: str, **kwargs: Any) -> keras.layers.Conv2D:
    # With a larger standard deviation, the initial deltas would move anchors out of the image.
    return keras.layers.Conv2D(channels, (side, side), padding="same", kernel_initializer=RandomNormal(stddev=0.01), name=name,
                               **kwargs)  # fmt: skip
