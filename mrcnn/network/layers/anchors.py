"""The anchors of a fixed image size as a constant in the graph."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class AnchorsLayer(keras.layers.Layer):
    """Give every image of a batch the same normalised anchors.

    Args:
        anchors: float32 [A, 4]. Normalised (y1, x1, y2, x2), as an array or nested lists.

    `call(images)`: images [B, ...], read for their number alone -> float32 [B, A, 4].
    """

    def __init__(self, anchors, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.anchors = np.asarray(anchors, dtype=np.float32)

    def call(self, images):
        anchors = ops.convert_to_tensor(self.anchors)[None]
        return ops.broadcast_to(anchors, (ops.shape(images)[0], *self.anchors.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.anchors.shape)

    def get_config(self):
        return {**super().get_config(), "anchors": self.anchors.tolist()}
