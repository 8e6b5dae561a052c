"""Loss of the mask head.

Shapes: B images, R rois, M side of a mask, K classes.
"""

from keras import ops

from mrcnn.losses.common import masked_mean

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
