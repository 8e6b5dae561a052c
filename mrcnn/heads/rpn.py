"""The region proposal head, one set of weights slid over every pyramid level.

Shapes: B images, h w feature map, A anchors (h * w * anchors per cell).

Source: Faster R-CNN (Ren et al. 2015), section 3.1.
"""

import keras
from keras import ops


def rpn_graph(feature_map, anchors_per_location, anchor_stride):
    """Add the head over one feature map.

    Args:
        feature_map: [B, h, w, C].
        anchors_per_location: int. Anchors at each cell.
        anchor_stride: int. 1: anchors on each cell, 2: on every other one.

    Returns:
        list: class logits [B, A, 2] (background, foreground), probabilities float32 [B, A, 2], deltas [B, A, 4]
        (dy, dx, log dh, log dw, divided by RPN_BBOX_STD_DEV), anchors in the order of `generate_anchors`.
    """
    shared = keras.layers.Conv2D(512, (3, 3), padding="same", activation="relu", strides=anchor_stride,
                                 name="rpn_conv_shared")(feature_map)
    x = keras.layers.Conv2D(2 * anchors_per_location, (1, 1), name="rpn_class_raw")(shared)
    logits = ops.reshape(x, (-1, _anchors(x, 2), 2))
    probs = keras.layers.Activation("softmax", name="rpn_class_xxx", dtype="float32")(logits)
    x = keras.layers.Conv2D(4 * anchors_per_location, (1, 1), name="rpn_bbox_pred")(shared)
    deltas = ops.reshape(x, (-1, _anchors(x, 4), 4))
    return [logits, probs, deltas]


def _anchors(x, values):
    """Return the number of anchors of a map [B, h, w, anchors per cell * values], or -1 when its size is free."""
    _, height, width, channels = x.shape
    return -1 if None in (height, width) else height * width * channels // values


def build_rpn_model(anchor_stride, anchors_per_location, depth):
    """Return the head as a model, so that every level shares its weights.

    Args:
        anchor_stride: int. See `rpn_graph`.
        anchors_per_location: int. See `rpn_graph`.
        depth: int. Channels of the feature maps.

    Returns:
        keras.Model "rpn_model": [B, h, w, depth] -> what `rpn_graph` returns.
    """
    feature_map = keras.Input((None, None, depth), name="input_rpn_feature_map")
    return keras.Model(feature_map, rpn_graph(feature_map, anchors_per_location, anchor_stride), name="rpn_model")
