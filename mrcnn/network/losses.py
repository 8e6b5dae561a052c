"""What the losses share: averages over the rows that count.

Losses of the region proposal head.

Shapes: B images, A anchors, T slots for the deltas of positive anchors.

Losses of the box head.

Shapes: B images, R rois, K classes.

Loss of the mask head.

Shapes: B images, R rois, M side of a mask, K classes.
"""

from keras import ops

from mrcnn.network.ops.gather import first_true, gather_rows


def masked_mean(values, mask):
    """Return the mean of `values` where `mask` is true; 0, with zero gradients, where it is true nowhere.

    Args:
        values: float32 [...].
        mask: bool, of the same shape.

    Returns:
        float32 scalar.
    """
    weights = ops.cast(mask, "float32")
    return ops.sum(ops.where(mask, values, 0.0)) / ops.maximum(ops.sum(weights), 1.0)


def smooth_l1(target, prediction):
    """Return the smooth L1 distance of each element, quadratic below 1 and linear above.

    Args:
        target: float [...].
        prediction: float, of the same shape.

    Returns:
        float32, of the same shape.

    Source: Fast R-CNN (Girshick 2015), equation 3.
    """
    distance = ops.abs(ops.cast(target, "float32") - ops.cast(prediction, "float32"))
    return ops.where(distance < 1.0, 0.5 * distance * distance, distance - 0.5)


def softmax_cross_entropy(labels, logits):
    """Return -log softmax(logits)[label].

    Args:
        labels: int [...].
        logits: float [..., K].

    Returns:
        float32 [...].
    """
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.sum(ops.one_hot(labels, logits.shape[-1], dtype="float32") * log_probs, axis=-1)


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


# Probabilities are kept this far from 0 and 1 before the logarithm; Keras's own epsilon.
EPSILON = 1e-7


def own_mask_loss(target_masks, target_class_ids, masks):
    """Binary cross entropy of positive ROIs' masks.

    Args:
        target_masks: float [B, R, M, M]. 0 or 1.
        target_class_ids: int [B, R]. Above 0 for positives.
        masks: float [B, R, M, M]. Probabilities for the target class of each ROI.

    Returns:
        float32 scalar. Mean over the pixels of positive ROIs; 0 without any.

    Source: Mask R-CNN (He et al. 2017), section 3: no competition between classes.
    """
    probs = ops.clip(ops.cast(masks, "float32"), EPSILON, 1.0 - EPSILON)
    target = ops.cast(target_masks, "float32")
    loss = -(target * ops.log(probs) + (1.0 - target) * ops.log(1.0 - probs))
    positive = ops.cast(target_class_ids, "int32") > 0
    return masked_mean(loss, ops.broadcast_to(positive[:, :, None, None], ops.shape(loss)))


def mrcnn_mask_loss(target_masks, target_class_ids, masks):
    """Return `own_mask_loss` of masks for every class, as the classic head gives them.

    Args:
        target_masks, target_class_ids: as of `own_mask_loss`.
        masks: float [B, R, M, M, K]. Probabilities.
    """
    own = ops.maximum(ops.cast(target_class_ids, "int32"), 0)[:, :, None, None, None]
    return own_mask_loss(target_masks, target_class_ids, ops.take_along_axis(masks, own, axis=4)[..., 0])
