"""Loss of the mask head.

Shapes: B images, R rois, M side of a mask, K classes.
"""

from keras import ops

from mrcnn.losses.common import masked_mean

# Probabilities are kept this far from 0 and 1 before the logarithm; Keras's own epsilon.
EPSILON = 1e-7


def mrcnn_mask_loss(target_masks, target_class_ids, masks):
    """Binary cross entropy of positive ROIs' masks for their own class.

    Args:
        target_masks: float [B, R, M, M]. 0 or 1.
        target_class_ids: int [B, R]. Above 0 for positives.
        masks: float [B, R, M, M, K]. Probabilities.

    Returns:
        float32 scalar. Mean over the pixels of positive ROIs; 0 without any.

    Source: Mask R-CNN (He et al. 2017), section 3: no competition between classes.
    """
    target_class_ids = ops.cast(target_class_ids, "int32")
    own = ops.maximum(target_class_ids, 0)[:, :, None, None, None]
    probs = ops.cast(ops.take_along_axis(masks, own, axis=4)[..., 0], "float32")  # [B, R, M, M]
    probs = ops.clip(probs, EPSILON, 1.0 - EPSILON)
    target = ops.cast(target_masks, "float32")
    loss = -(target * ops.log(probs) + (1.0 - target) * ops.log(1.0 - probs))
    return masked_mean(loss, ops.broadcast_to((target_class_ids > 0)[:, :, None, None], ops.shape(loss)))
