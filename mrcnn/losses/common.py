"""What the losses share: averages over the rows that count."""

from keras import ops


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
