"""The five losses. Another one is also added to `TrainingModel.compute_losses` and to `LOSS_NAMES` in `config_rules.py`.

Shape letters: B images, T sampled anchors, R rois, K classes, M side of a mask, E elements of the loss of a box: 4 for smooth
L1 and L1, one for each delta, 1 for GIoU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keras import KerasTensor, ops

from mrcnn.network.ops.boxes import apply_box_deltas

# Mask probabilities are clipped to [EPSILON, 1 - EPSILON] before the logarithm; Keras uses the same value.
EPSILON = 1e-7
# Boxes of e^4 times the size of their anchor or ROI are as wrong as larger ones, whose areas would be less precise.
GIOU_MAX_LOG_SCALE = 4.0


@dataclass(frozen=True)
class BoxLoss:
    """How the loss of boxes is computed; the defaults are the classic ones.

    Attributes:
        kind: "smooth_l1", "l1" or "giou".
        beta: smooth L1 is quadratic for errors below this.
        std_dev: standard deviations by which the deltas are divided, for GIoU.
        per_sample: whether the sum over positives is divided by the number of all samples, negatives included (Ren et al. 2015,
            equation 1). Otherwise it is their mean over all elements.
    """

    kind: str = "smooth_l1"
    beta: float = 1.0
    std_dev: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    per_sample: bool = False

    def __call__(self, target: KerasTensor, deltas: KerasTensor, positive: KerasTensor, sampled: KerasTensor) -> KerasTensor:
        """Return the loss: float32 scalar, 0 without positives.

        Args:
            target: [B, N, 4].
            deltas: [B, N, 4], predicted.
            positive: bool [B, N].
            sampled: bool [B, N]. Positives and negatives, without padding.
        """
        if self.kind == "giou":
            distance = giou_loss(target, deltas, self.std_dev)[..., None]
        elif self.kind == "l1":
            distance = ops.abs(ops.cast(target, "float32") - ops.cast(deltas, "float32"))
        else:
            distance = smooth_l1(target, deltas, self.beta)
        mask = ops.broadcast_to(positive[..., None], ops.shape(distance))
        if not self.per_sample:
            return masked_mean(distance, mask)
        count = ops.sum(ops.cast(sampled, "float32"))
        return ops.sum(ops.where(mask, distance, 0.0)) / ops.maximum(count, 1.0)


CLASSIC_BOX_LOSS = BoxLoss()


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


def rpn_bbox_loss(
    target_deltas: KerasTensor, labels: KerasTensor, deltas: KerasTensor, loss: BoxLoss = CLASSIC_BOX_LOSS
) -> KerasTensor:
    """Loss of the positive anchors' deltas.

    Args:
        target_deltas: [B, T, 4].
        labels: int [B, T]. 1 positive, -1 negative, 0 padding.
        deltas: [B, T, 4], predicted.
        loss: its kind.

    Returns:
        float32 scalar; 0 without positive anchors.
    """
    return loss(target_deltas, deltas, labels == 1, labels != 0)


def mrcnn_class_loss(
    target_class_ids: KerasTensor, class_logits: KerasTensor, active_class_ids: KerasTensor, valid: KerasTensor | None = None,
    class_weights: Sequence[float] | None = None,
) -> KerasTensor:
    """Cross entropy of the ROIs' classes.

    A data set says nothing about classes it does not annotate, so an ROI whose predicted class is not active in its image is
    ignored.

    Args:
        target_class_ids: int [B, R]. 0 for background.
        class_logits: [B, R, K].
        active_class_ids: [B, K]. 1 for the classes that the image's data set annotates, 0 for others.
        valid: bool [B, R]. False for padding, which is ignored. None: all rows are valid.
        class_weights: for each of the K classes, the weight of its ROIs. None: all are 1.

    Returns:
        float32 scalar. Weighted mean over the ROIs that are not ignored; 0 if there are none.

    Differs: the classic code used the active classes of the first image for the whole batch, and counted padding as
        background.
    """
    loss = softmax_cross_entropy(ops.cast(target_class_ids, "int32"), class_logits)
    best = ops.argmax(class_logits, axis=-1)  # [B, R]
    counts = ops.take_along_axis(ops.cast(active_class_ids, "int32"), ops.cast(best, "int32"), axis=1) > 0
    counts = counts if valid is None else ops.logical_and(counts, valid)
    if class_weights is None:
        return masked_mean(loss, counts)
    weights = ops.take(ops.convert_to_tensor(class_weights, "float32"), ops.cast(target_class_ids, "int32"))  # [B, R]
    weights = ops.where(counts, weights, 0.0)
    total = ops.sum(weights)
    return ops.sum(weights * ops.where(counts, loss, 0.0)) / ops.where(total > 0.0, total, 1.0)


def mrcnn_bbox_loss(
    target_deltas: KerasTensor, target_class_ids: KerasTensor, deltas: KerasTensor, valid: KerasTensor | None = None,
    loss: BoxLoss = CLASSIC_BOX_LOSS,
) -> KerasTensor:
    """Loss of the positive ROIs' deltas for their target class.

    Args:
        target_deltas: [B, R, 4].
        target_class_ids: int [B, R]. Above 0 for positives.
        deltas: [B, R, K, 4], predicted.
        valid: bool [B, R]. False for padding. None: all rows are valid.
        loss: its kind.

    Returns:
        float32 scalar; 0 without positive ROIs.
    """
    target_class_ids = ops.cast(target_class_ids, "int32")
    of_target = ops.take_along_axis(deltas, ops.maximum(target_class_ids, 0)[:, :, None, None], axis=2)[:, :, 0]
    sampled = ops.ones_like(target_class_ids, "bool") if valid is None else valid
    return loss(target_deltas, of_target, target_class_ids > 0, sampled)


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


def smooth_l1(target: KerasTensor, prediction: KerasTensor, beta: float = 1.0) -> KerasTensor:
    """Return the elementwise smooth L1 loss: quadratic for errors below `beta`, and above it linear with slope 1.

    Args:
        target: [...].
        prediction: [...].
        beta: above 0.

    Returns:
        float32 [...].

    Source: Fast R-CNN (Girshick 2015), equation 3.
    """
    distance = ops.abs(ops.cast(target, "float32") - ops.cast(prediction, "float32"))
    return ops.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)


def giou_loss(target_deltas: KerasTensor, deltas: KerasTensor, std_dev: Sequence[float]) -> KerasTensor:
    """Return 1 - GIoU of the boxes that two sets of deltas give: float32 [...], from 0 to 2.

    The box that the deltas refer to need not be known: GIoU does not change when an axis is scaled or shifted, so that any box
    will do.

    Args:
        target_deltas: [..., 4], divided by `std_dev`.
        deltas: [..., 4], likewise.
        std_dev: 4 numbers.

    Source: Generalized Intersection over Union (Rezatofighi et al. 2019), algorithm 1.
    """
    std = ops.convert_to_tensor(std_dev, "float32")
    unit = ops.broadcast_to(ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], "float32"), ops.shape(deltas))
    target, box = (apply_box_deltas(unit, ops.cast(d, "float32") * std, GIOU_MAX_LOG_SCALE) for d in (target_deltas, deltas))
    inner = ops.minimum(target[..., 2:], box[..., 2:]) - ops.maximum(target[..., :2], box[..., :2])
    outer = ops.maximum(target[..., 2:], box[..., 2:]) - ops.minimum(target[..., :2], box[..., :2])
    intersection = ops.prod(ops.maximum(inner, 0.0), axis=-1)
    union = _area(target) + _area(box) - intersection
    hull = ops.prod(outer, axis=-1)
    return 1.0 - intersection / union + (hull - union) / hull


def _area(boxes: KerasTensor) -> KerasTensor:
    return ops.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


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
