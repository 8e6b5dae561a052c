"""Losses of the box head.

Shapes: B images, R rois, K classes.
"""

from keras import ops

from mrcnn.losses.common import masked_mean, smooth_l1, softmax_cross_entropy


def mrcnn_class_loss(target_class_ids, class_logits, active_class_ids, valid=None):
    """Cross entropy of the ROIs' classes.

    A data set says nothing about classes that it does not have. A ROI whose best class is not active in its image does
    not count.

    Args:
        target_class_ids: int [B, R]. 0 for background.
        class_logits: float [B, R, K].
        active_class_ids: [B, K]. 1 for the classes of each image's data set, 0 for others.
        valid: bool [B, R], optional. False for padding, which does not count.

    Returns:
        float32 scalar. Mean over the ROIs that count; 0 without any.

    Differs: the classic code used the first image's active classes for the whole batch, and counted padding as
        background.
    """
    loss = softmax_cross_entropy(ops.cast(target_class_ids, "int32"), class_logits)
    best = ops.argmax(class_logits, axis=-1)  # [B, R]
    counts = ops.take_along_axis(ops.cast(active_class_ids, "int32"), ops.cast(best, "int32"), axis=1) > 0
    return masked_mean(loss, counts if valid is None else ops.logical_and(counts, valid))


def mrcnn_bbox_loss(target_deltas, target_class_ids, deltas):
    """Smooth L1 of positive ROIs' deltas for their own class.

    Args:
        target_deltas: float [B, R, 4].
        target_class_ids: int [B, R]. Above 0 for positives.
        deltas: float [B, R, K, 4]. Predicted.

    Returns:
        float32 scalar. Mean over the elements of positive ROIs; 0 without any.
    """
    target_class_ids = ops.cast(target_class_ids, "int32")
    own = ops.take_along_axis(deltas, ops.maximum(target_class_ids, 0)[:, :, None, None], axis=2)[:, :, 0]
    distance = smooth_l1(target_deltas, own)  # [B, R, 4]
    return masked_mean(distance, ops.broadcast_to((target_class_ids > 0)[..., None], ops.shape(distance)))
