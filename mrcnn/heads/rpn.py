"""The region proposal head, one set of weights slid over every pyramid level.

Shapes: B images, h w feature map, A anchors (h * w * anchors per cell).

Source: Faster R-CNN (Ren et al. 2015), section 3.1, and 3.1.3 for what its weights begin with.
"""

import keras
from keras.initializers import RandomNormal


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
    shared = _convolution(channels, 3, "rpn_conv_shared", activation="relu", strides=anchor_stride)(feature_map)
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


def _convolution(channels, side, name, **options):
    # from larger numbers anchors would begin moved out of the image
    return keras.layers.Conv2D(channels, (side, side), padding="same", kernel_initializer=RandomNormal(stddev=0.01), name=name,
                               **options)  # fmt: skip
