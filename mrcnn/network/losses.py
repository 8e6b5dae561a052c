"""The five losses.

Shape letters: B images, T sampled anchors, R rois, K classes, M side of a mask.
"""

from keras import KerasTensor, ops

# Mask probabilities are clipped to [EPSILON, 1 - EPSILON] before the logarithm; Keras uses the same value.
EPSILON = 1e-7


def rpn_class_loss(labels: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Cross entropy of foreground against background, averaged over the labelled anchors of the batch.

    Args:
        labels: int [B, T]. 1 positive, -1 negative, 0 ignored.
        logits: [B, T, 2] (background, foreground).

    Returns:
        float32 scalar.
    """
    foreground = ops.cast(labels == 1, "int32")
    return masked_mean(softmax_cross_entropy(foreground, logits), labels != 0)


def rpn_bbox_loss(target_deltas: KerasTensor, labels: KerasTensor, deltas: KerasTensor) -> KerasTensor:
    """Smooth L1 loss of the positive anchors' deltas, averaged over all their elements in the batch.

    Args:
        target_deltas: [B, T, 4].
        labels: int [B, T]. 1 for positive anchors.
        deltas: [B, T, 4], predicted.

    Returns:
        float32 scalar; 0 without positive anchors.
    """
    distance = smooth_l1(target_deltas, deltas)
    return masked_mean(distance, ops.broadcast_to((labels == 1)[..., None], ops.shape(distance)))


def mrcnn_class_loss(
    target_class_ids: KerasTensor, class_logits: KerasTensor, active_class_ids: KerasTensor, valid: KerasTensor | None = None
) -> KerasTensor:
    """Cross entropy of the ROIs' classes.

    A data set says nothing about classes it does not annotate, so an ROI whose predicted class is not active in its image is
    ignored.

    Args:
        target_class_ids: int [B, R]. 0 for background.
        class_logits: [B, R, K].
        active_class_ids: [B, K]. 1 for the classes that the image's data set annotates, 0 for others.
        valid: bool [B, R]. False for padding, which is ignored. None: all rows are valid.

    Returns:
        float32 scalar. Mean over the ROIs that are not ignored; 0 if there are none.

    Differs: the classic code used the active classes of the first image for the whole batch, and counted padding as
        background.
    """
    loss = softmax_cross_entropy(ops.cast(target_class_ids, "int32"), class_logits)
    best = ops.argmax(class_logits, axis=-1)  # [B, R]
    counts = ops.take_along_axis(ops.cast(active_class_ids, "int32"), ops.cast(best, "int32"), axis=1) > 0
    return masked_mean(loss, counts if valid is None else ops.logical_and(counts, valid))


def mrcnn_bbox_loss(target_deltas: KerasTensor, target_class_ids: KerasTensor, deltas: KerasTensor) -> KerasTensor:
    """Smooth L1 loss of the positive ROIs' deltas for their target class.

    Args:
        target_deltas: [B, R, 4].
        target_class_ids: int [B, R]. Above 0 for positives.
        deltas: [B, R, K, 4], predicted.

    Returns:
        float32 scalar. Mean over all elements of the positive ROIs' deltas; 0 without positive ROIs.
    """
    target_class_ids = ops.cast(target_class_ids, "int32")
    of_target = ops.take_along_axis(deltas, ops.maximum(target_class_ids, 0)[:, :, None, None], axis=2)[:, :, 0]
    distance = smooth_l1(target_deltas, of_target)  # [B, R, 4]
    return masked_mean(distance, ops.broadcast_to((target_class_ids > 0)[..., None], ops.shape(distance)))


def mrcnn_mask_loss(target_masks: KerasTensor, target_class_ids: KerasTensor, masks: KerasTensor) -> KerasTensor:
    """Binary cross entropy of the positive ROIs' masks for their target class.

    Args:
        target_masks: [B, R, M, M] of 0 and 1.
        target_class_ids: int [B, R]. Above 0 for positives.
        masks: [B, R, M, M]. Probabilities for the target class of each ROI.

    Returns:
        float32 scalar. Mean over the pixels of the positive ROIs' masks; 0 without positive ROIs.

    Source: Mask R-CNN (He et al. 2017), section 3: the classes do not compete.
    """
    probs = ops.clip(ops.cast(masks, "float32"), EPSILON, 1.0 - EPSILON)
    target = ops.cast(target_masks, "float32")
    loss = -(target * ops.log(probs) + (1.0 - target) * ops.log(1.0 - probs))
    positive = ops.cast(target_class_ids, "int32") > 0
    return masked_mean(loss, ops.broadcast_to(positive[:, :, None, None], ops.shape(loss)))


def masked_mean(values: KerasTensor, mask: KerasTensor) -> KerasTensor:
    """Return the mean of `values` over the true entries of `mask`; 0, with zero gradients, if there are none.

    Args:
        values: float32 [...].
        mask: bool [...].
    """
    weights = ops.cast(mask, "float32")
    return ops.sum(ops.where(mask, values, 0.0)) / ops.maximum(ops.sum(weights), 1.0)


def smooth_l1(target: KerasTensor, prediction: KerasTensor) -> KerasTensor:
    """Return the elementwise smooth L1 loss: quadratic for errors below 1 and linear above.

    Args:
        target: [...].
        prediction: [...].

    Returns:
        float32 [...].

    Source: Fast R-CNN (Girshick 2015), equation 3.
    """
    distance = ops.abs(ops.cast(target, "float32") - ops.cast(prediction, "float32"))
    return ops.where(distance < 1.0, 0.5 * distance * distance, distance - 0.5)


def softmax_cross_entropy(labels: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return -log softmax(logits)[label].

    Args:
        labels: int [...].
        logits: [..., K].

    Returns:
        float32 [...].
    """
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.sum(ops.one_hot(labels, logits.shape[-1], dtype="float32") * log_probs, axis=-1)
