"""Anchor boxes of the region proposal network, in pixels of the network's input (see `mrcnn.geometry.boxes`).

Shape letters: A anchors, L pyramid levels, N boxes, h w feature map.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int, Int64, Num

from mrcnn.geometry.boxes import ImageShape, Integer, Number


def generate_anchors(
    scales: Number | Sequence[Number] | Num[np.ndarray, " _"],
    ratios: Number | Sequence[Number] | Num[np.ndarray, " _"],
    shape: ImageShape,
    feature_stride: Integer,
    anchor_stride: Integer,
    rounded: bool = False,
    offset: Number = 0.0,
) -> Float64[np.ndarray, "A 4"]:
    """Generate the anchors of one feature map.

    Args:
        scales: sides of the square anchors in pixels; anchors of other ratios have the same area.
        ratios: width / height.
        shape: (h, w) of the feature map.
        feature_stride: image pixels per cell of the feature map.
        anchor_stride: cells from one anchor centre to the next; 2 skips every other cell.
        rounded: whether the distances from the centre to the sides are rounded to whole pixels, halves to even, as in
            torchvision.
        offset: of the centres from the multiples of the stride, in cells; 0.5 is the centre of a cell.

    Returns:
        Pixel boxes ordered by row, column, ratio and scale. They may extend beyond the image.

    Source: Feature Pyramid Networks (Lin et al. 2017), section 4.1. As in the classic code, anchors are centred on multiples
    of the stride, not on the centres of cells.
    """
    scale_grid, ratio_grid = np.meshgrid(np.array(scales, float), np.array(ratios, float))
    scale_grid, ratio_grid = scale_grid.flatten(), ratio_grid.flatten()
    heights, widths = scale_grid / np.sqrt(ratio_grid), scale_grid * np.sqrt(ratio_grid)
    half_heights, half_widths = 0.5 * heights, 0.5 * widths
    if rounded:
        half_heights, half_widths = np.rint(half_heights), np.rint(half_widths)
    centres_y = (np.arange(0, shape[0], anchor_stride) + offset) * feature_stride
    centres_x = (np.arange(0, shape[1], anchor_stride) + offset) * feature_stride
    anchors = np.empty((len(centres_y), len(centres_x), len(heights), 4))  # [h, w, ratios * scales, 4]
    anchors[..., 0] = centres_y[:, None, None] - half_heights
    anchors[..., 1] = centres_x[None, :, None] - half_widths
    anchors[..., 2] = centres_y[:, None, None] + half_heights
    anchors[..., 3] = centres_x[None, :, None] + half_widths
    return anchors.reshape(-1, 4)


def generate_pyramid_anchors(
    scales: Sequence[Number] | Num[np.ndarray, " L"],
    ratios: Sequence[Number] | Num[np.ndarray, " _"],
    feature_shapes: Int[np.ndarray, "L 2"] | Sequence[Sequence[int]],
    feature_strides: Sequence[Integer] | Int[np.ndarray, " L"],
    anchor_stride: Integer,
    rounded: bool = False,
    offset: Number = 0.0,
) -> Float64[np.ndarray, "A 4"]:
    """Generate the anchors of all levels of a feature pyramid, level by level.

    Args:
        scales: side in pixels of each level's square anchors.
        ratios: width / height.
        feature_shapes: (h, w) of each feature map.
        feature_strides: stride of each level in pixels.
        anchor_stride: see `generate_anchors`.
        rounded: see `generate_anchors`.
        offset: see `generate_anchors`.

    Raises:
        ValueError: the numbers of scales, shapes and strides differ.
    """
    if not len(scales) == len(feature_shapes) == len(feature_strides):
        raise ValueError(
            f"a pyramid needs one scale, shape and stride per level, but got {len(scales)} scales, "
            f"{len(feature_shapes)} feature shapes and {len(feature_strides)} strides"
        )
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate(
        [generate_anchors(scale, ratios, shape, stride, anchor_stride, rounded, offset) for scale, shape, stride in levels]
    )


def backbone_shapes(image_shape: ImageShape, strides: Sequence[Integer] | Int[np.ndarray, " L"]) -> Int64[np.ndarray, "L 2"]:
    """Compute the (h, w) of each level's feature map, rounded up.

    Args:
        image_shape: (height, width, ...) of the network's input.
        strides: pixels per cell of each level.
    """
    return np.array([[-(-image_shape[0] // stride), -(-image_shape[1] // stride)] for stride in strides])


def best_anchor_overlaps(
    boxes: Num[np.ndarray, "N 4"],
    image_shapes: Int[np.ndarray, "N 2"] | Sequence[int],
    scales: Sequence[Number] | Num[np.ndarray, " L"],
    ratios: Sequence[Number] | Num[np.ndarray, " _"],
    feature_strides: Sequence[Integer] | Int[np.ndarray, " L"],
    anchor_stride: Integer,
) -> Float64[np.ndarray, " N"]:
    """Compute the IoU of each box with its best anchor, without generating the anchors.

    Of the anchors of one scale and ratio, the one centred nearest to the box's centre overlaps the box most.

    Args:
        boxes: pixel boxes in the network's input.
        image_shapes: (height, width) of the network's input, one for each box or one for all.
        scales: this and the following arguments: see `generate_pyramid_anchors`.

    Returns:
        IoU in [0, 1]; 0 for boxes of zero area.
    """
    boxes = boxes.astype(np.float64)
    shapes = np.broadcast_to(np.asarray(image_shapes, np.int64), (len(boxes), 2))
    sizes = boxes[:, 2:] - boxes[:, :2]  # [N, 2]
    areas, centres = sizes.prod(axis=1), boxes[:, :2] + sizes / 2
    roots = np.sqrt(np.asarray(ratios, np.float64))
    unit_sizes = np.stack([1 / roots, roots], axis=1)  # [ratios, 2] (height, width) of an anchor of scale 1
    best = np.zeros(len(boxes))
    for scale, stride in zip(scales, feature_strides, strict=True):
        step = stride * anchor_stride
        last = (-(-shapes // stride) - 1) // anchor_stride  # index of the last row and column of anchors
        nearest = np.clip(np.rint(centres / step), 0, last) * step
        low = np.maximum(boxes[:, None, :2], nearest[:, None] - scale * unit_sizes / 2)  # [N, ratios, 2]
        high = np.minimum(boxes[:, None, 2:], nearest[:, None] + scale * unit_sizes / 2)
        intersection = np.maximum(high - low, 0).prod(axis=2)
        best = np.maximum(best, (intersection / (areas[:, None] + scale**2 - intersection)).max(axis=1))
    return np.where((sizes > 0).all(axis=1), best, 0.0)
