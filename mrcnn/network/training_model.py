"""The Keras model that is trained: five losses in `compute_loss`, so every Keras callback, optimizer and backend works.

Shapes: B images, T sampled ROIs.
"""

import math

import keras
from keras import ops

from mrcnn.network.heads.rpn import rpn_at
from mrcnn.network.losses import mrcnn_bbox_loss, mrcnn_class_loss, own_mask_loss, rpn_bbox_loss, rpn_class_loss
from mrcnn.network.ops.gather import first_true, gather_rows
from mrcnn.network.ops.meta import parse_image_meta
from mrcnn.network.raw_image_model import RawImageModel

# Weights of normalisation layers are not pulled towards zero.
NOT_DECAYED = ("gamma", "beta")


class TrainingModel(RawImageModel):
    """A functional model over images and targets whose loss is the weighted sum of the five losses and an L2 term.

    Args:
        inputs: list of the inputs that `Network.training_model` names.
        outputs: dict of its outputs.
        loss_weights: {loss name: float}.
        weight_decay: float. Factor of the L2 term.
        mean_pixel: float [C]. See `RawImageModel`.

    Metrics: each loss times its weight, under its name; `positive_rois`, the share of positives among the sampled ROIs.
    """

    def __init__(self, inputs, outputs, *, loss_weights, weight_decay, mean_pixel, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, mean_pixel=mean_pixel, **kwargs)
        self.loss_weights = loss_weights
        self.weight_decay = float(weight_decay)
        self.loss_metrics = [keras.metrics.Mean(name=name) for name in loss_weights]
        self.positive_rois = keras.metrics.Mean(name="positive_rois")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = compute_losses(*self._at_matched_anchors(x, y_pred))
        total = 0.0
        for metric in self.loss_metrics:
            loss = losses[metric.name] * self.loss_weights[metric.name]
            metric.update_state(loss)
            total = total + loss
        # rows that fill up a batch have no active class
        counts = ops.any(parse_image_meta(x[1])["active_class_ids"] > 0, axis=-1, keepdims=True)
        there = ops.logical_and(counts, ops.any(y_pred["rois"] != 0.0, axis=-1))
        self.positive_rois.update_state(ops.sum(ops.cast(y_pred["target_class_ids"] > 0, "float32"))
                                        / ops.maximum(ops.sum(ops.cast(there, "float32")), 1.0))
        return total + self.l2_loss()

    def _at_matched_anchors(self, inputs, outputs):
        """Return inputs and outputs in which the anchors that the RPN's losses count stand in place of all, in their order.

        So no gradient goes through the outputs for every anchor; see `rpn_at`.
        """
        images, metas, match, rpn_target, *rest = inputs
        anchors, counts = first_true(ops.squeeze(match, -1) != 0, rpn_target.shape[1])
        match = ops.where(counts[..., None], gather_rows(match, anchors), 0)
        logits, deltas = rpn_at(self.get_layer("rpn_model"), outputs["pyramid"], anchors)
        return [images, metas, match, rpn_target, *rest], {**outputs, "rpn_class_logits": logits, "rpn_bbox": deltas}

    def l2_loss(self):
        """Return the L2 term: weight_decay times the sum over trained kernels and biases of their mean square.

        Differs: from the paper's weight decay. The classic code divides each tensor's term by its size, and the
        classic learning rates go with that.
        """
        decayed = [v for v in self.trainable_variables if v.name not in NOT_DECAYED]
        if not decayed or not self.weight_decay:
            return 0.0
        return self.weight_decay * sum(_mean_square(ops.cast(v, "float32")) for v in decayed)


@ops.custom_gradient
def _mean_square(values):
    """Return the mean square, with a gradient in one pass over the values, where TensorFlow's own takes four."""
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream  # by name on PyTorch, behind the values themselves
        return values * (upstream * 2.0 / math.prod(values.shape))

    return ops.mean(ops.square(values)), gradient


def compute_losses(inputs, outputs):
    """Return the five losses, unweighted: {name: float32 scalar}.

    Args:
        inputs: the training model's inputs, in order.
        outputs: dict of its outputs.
    """
    image_meta, rpn_match, rpn_target = inputs[1:4]
    class_ids, positives = outputs["target_class_ids"], ops.shape(outputs["own_class_masks"])[1]
    there = ops.any(outputs["rois"] != 0.0, axis=-1)  # [B, T]
    return {
        "rpn_class_loss": rpn_class_loss(rpn_match, outputs["rpn_class_logits"]),
        "rpn_bbox_loss": rpn_bbox_loss(rpn_target, rpn_match, outputs["rpn_bbox"]),
        "mrcnn_class_loss": mrcnn_class_loss(class_ids, outputs["mrcnn_class_logits"],
                                             parse_image_meta(image_meta)["active_class_ids"], there),
        "mrcnn_bbox_loss": mrcnn_bbox_loss(outputs["target_deltas"], class_ids, outputs["mrcnn_bbox"]),
        "mrcnn_mask_loss": own_mask_loss(outputs["target_masks"][:, :positives], class_ids[:, :positives],
                                         outputs["own_class_masks"])}
