"""A convolution over the maps of ROIs, which keeps their axes.

Shapes: B images, R rois, h w feature map, C channels.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class RoiConv2D(keras.layers.Conv2D):
    """Keras Conv2D on [B, R, h, w, C]: the output of the layer is [B, R, h, w, filters], as notebooks read it.

    Args: as of `keras.layers.Conv2D`; the weights are the same too.
    """

    def build(self, input_shape):
        super().build((None, *input_shape[-3:]))

    def call(self, inputs):
        outputs = super().call(ops.reshape(inputs, (-1, *inputs.shape[-3:])))  # [B * R, h, w, filters]
        return ops.reshape(outputs, (-1, *inputs.shape[1:-3], *outputs.shape[1:]))

    def compute_output_shape(self, input_shape):
        shape = super().compute_output_shape((None, *input_shape[-3:]))
        return (*input_shape[:-3], *shape[1:])
