"""Losses of the region proposal head.

Shapes: B images, A anchors, T slots for the deltas of positive anchors.
"""

from keras import ops

from mrcnn.losses.common import masked_mean, smooth_l1, softmax_cross_entropy
from mrcnn.ops.gather import first_true, gather_rows


def rpn_class_loss(rpn_match, rpn_class_logits):
    """Cross entropy of object against background over the anchors that were sampled.

    Args:
        rpn_match: int [B, A, 1]. 1 positive, -1 negative, 0 neutral.
        rpn_class_logits: float [B, A, 2].

    Returns:
        float32 scalar. Mean over the positive and negative anchors of the batch.
    """
    rpn_match = ops.cast(ops.squeeze(rpn_match, -1), "int32")
    labels = ops.cast(rpn_match == 1, "int32")
    return masked_mean(softmax_cross_entropy(labels, rpn_class_logits), rpn_match != 0)


def rpn_bbox_loss(target_deltas, rpn_match, rpn_bbox):
    """Smooth L1 of the deltas of positive anchors.

    Args:
        target_deltas: float [B, T, 4]. Row i belongs to the i-th positive anchor; zero rows behind.
        rpn_match: int [B, A, 1]. 1 positive, -1 negative, 0 neutral.
        rpn_bbox: float [B, A, 4]. Predicted deltas.

    Returns:
        float32 scalar. Mean over the elements of the batch's positive anchors; 0 without any.
    """
    positive = ops.squeeze(rpn_match, -1) == 1
    indices, valid = first_true(positive, target_deltas.shape[1])  # [B, T]
    distance = smooth_l1(target_deltas, gather_rows(rpn_bbox, indices))
    return masked_mean(distance, ops.broadcast_to(valid[..., None], ops.shape(distance)))
