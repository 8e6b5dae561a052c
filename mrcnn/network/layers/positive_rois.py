"""The rows of sampled ROIs that the mask head trains on.

Shapes: B images, P rows that may be positive, Q of them that are taken.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class PositiveRois(keras.layers.Layer):
    """Take the first rows of each image, as many as hold a positive in any image of the batch, and at least one.

    The mask head is a third of a training step on a processor when all P rows run through it; early in training, and for
    images with few objects, most of them hold nothing to learn from. Q is known only as the graph runs, so this is for
    TensorFlow without XLA: graphs of JAX and XLA are compiled for one size.

    `call([rois, class_ids])`:
        rois: float [B, P, 4]. Positives stand before all others.
        class_ids: int32 [B, P]. Above 0 for positives.
        Returns rois [B, Q, 4], class_ids [B, Q].
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # boxes keep float32 when the features are of lower precision
        self.supports_jit = False

    def call(self, inputs):
        rois, class_ids = inputs
        positives = ops.sum(ops.cast(class_ids > 0, "int32"), axis=1)  # [B]
        taken = ops.maximum(ops.max(positives), 1)
        return rois[:, :taken], class_ids[:, :taken]

    def compute_output_spec(self, inputs):
        rois, class_ids = inputs
        batch = rois.shape[0]
        return keras.KerasTensor((batch, None, 4), rois.dtype), keras.KerasTensor((batch, None), class_ids.dtype)
