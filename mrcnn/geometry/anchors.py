"""Anchor boxes of the region proposal network, in pixels of the input image.

Shape letters: A anchors, L pyramid levels, h w feature map.
"""

import numpy as np


def generate_anchors(scales, ratios, shape, feature_stride, anchor_stride):
    """Generate the anchors of one feature map.

    Args:
        scales: float or list. Side of the square anchor in pixels; an anchor of another ratio has the same area.
        ratios: list of float. Width / height.
        shape: (h, w) of the feature map.
        feature_stride: int. Pixels of the image a step of the feature map.
        anchor_stride: int. Steps of the feature map between anchors (2 leaves out every other one).

    Returns:
        float64 [A, 4]. Pixel boxes, ordered by row, column, ratio, scale; they may reach out of the image.

    Source: Feature Pyramid Networks (Lin et al. 2017), section 4.1. Centres stand on the multiples of the stride, as
    in the classic code, not in the middle of the cells.
    """
    scales, ratios = np.meshgrid(np.array(scales, float), np.array(ratios, float))
    scales, ratios = scales.flatten(), ratios.flatten()
    heights, widths = scales / np.sqrt(ratios), scales * np.sqrt(ratios)
    centres_y = np.arange(0, shape[0], anchor_stride) * feature_stride
    centres_x = np.arange(0, shape[1], anchor_stride) * feature_stride
    anchors = np.empty((len(centres_y), len(centres_x), len(heights), 4))  # [h, w, ratios * scales, 4]
    anchors[..., 0] = centres_y[:, None, None] - 0.5 * heights
    anchors[..., 1] = centres_x[None, :, None] - 0.5 * widths
    anchors[..., 2] = centres_y[:, None, None] + 0.5 * heights
    anchors[..., 3] = centres_x[None, :, None] + 0.5 * widths
    return anchors.reshape(-1, 4)


def generate_pyramid_anchors(scales, ratios, feature_shapes, feature_strides, anchor_stride):
    """Generate the anchors of all levels of a feature pyramid; each level has one scale.

    Args:
        scales: [L] sides in pixels, one a level.
        ratios: list of float. Width / height.
        feature_shapes: [L, 2] (h, w) of the feature maps.
        feature_strides: [L] strides in pixels.
        anchor_stride: int. See `generate_anchors`.

    Returns:
        float64 [A, 4]. Pixel boxes, level after level.

    Raises:
        ValueError: scales, shapes and strides are not of one length.
    """
    if not len(scales) == len(feature_shapes) == len(feature_strides):
        raise ValueError(
            f"a pyramid has one scale, shape and stride a level, and got {len(scales)} scales, "
            f"{len(feature_shapes)} feature shapes and {len(feature_strides)} strides"
        )
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate(
        [generate_anchors(scale, ratios, shape, stride, anchor_stride) for scale, shape, stride in levels]
    )


def backbone_shapes(image_shape, strides):
    """Compute the sizes of the feature maps of an image.

    Args:
        image_shape: (height, width, ...) of the input image in pixels.
        strides: [L] strides of the backbone in pixels.

    Returns:
        int64 [L, 2]. (h, w) a level, rounded up.
    """
    return np.array([[-(-image_shape[0] // stride), -(-image_shape[1] // stride)] for stride in strides])


def best_anchor_overlaps(boxes, image_shapes, scales, ratios, feature_strides, anchor_stride):
    """Compute how well the best anchor of a pyramid fits each box, without making the anchors.

    Of the anchors of one scale and ratio, none overlaps a box more than the one whose centre is nearest to the box's.

    Args:
        boxes: [N, 4]. Pixel boxes in the network's input.
        image_shapes: [N, 2] or [2]. (height, width) of the network's input for each, or for all.
        scales, ratios, feature_strides, anchor_stride: see `generate_pyramid_anchors`.

    Returns:
        float64 [N]. The greatest intersection over union; 0 for boxes without area.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    shapes = np.broadcast_to(np.asarray(image_shapes, np.int64), (len(boxes), 2))
    sizes = boxes[:, 2:] - boxes[:, :2]  # [N, 2]
    areas, middles = sizes.prod(axis=1), boxes[:, :2] + sizes / 2
    roots = np.sqrt(np.asarray(ratios, np.float64))
    shares = np.stack([1 / roots, roots], axis=1)  # [ratios, 2] (height, width) of an anchor of scale 1
    best = np.zeros(len(boxes))
    for scale, stride in zip(scales, feature_strides, strict=True):
        step = stride * anchor_stride
        last = (-(-shapes // stride) - 1) // anchor_stride  # of the rows and of the columns
        centres = np.clip(np.rint(middles / step), 0, last) * step
        low = np.maximum(boxes[:, None, :2], centres[:, None] - scale * shares / 2)  # [N, ratios, 2]
        high = np.minimum(boxes[:, None, 2:], centres[:, None] + scale * shares / 2)
        inside = np.maximum(high - low, 0).prod(axis=2)
        best = np.maximum(best, (inside / (areas[:, None] + scale**2 - inside)).max(axis=1))
    return np.where((sizes > 0).all(axis=1), best, 0.0)
