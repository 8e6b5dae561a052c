"""A convolution over the maps of ROIs, which keeps their axes.

Shapes: B images, R rois, h w feature map, C channels, F filters.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class RoiConv2D(keras.layers.Conv2D):
    """Keras Conv2D on [B, R, h, w, C]: the output of the layer is [B, R, h, w, F], as notebooks read it.

    Args: as of `keras.layers.Conv2D`; the weights are the same too.

    `call(inputs, own=None)`:
        inputs: [B, R, h, w, C].
        own: int32 [B, R], optional. The only filter that is wanted of each ROI: with it the output is [B, R, h, w], and
            what it costs does not grow with F. For kernels of one cell. R may then be unknown, and inputs may be
            [B * R, h, w, C].
    """

    def build(self, input_shape):
        super().build((None, *input_shape[-3:]))

    def call(self, inputs, own=None):
        if own is not None:
            return self._own_filters(inputs, own)
        outputs = super().call(ops.reshape(inputs, (-1, *inputs.shape[-3:])))  # [B * R, h, w, F]
        return ops.reshape(outputs, (-1, *inputs.shape[1:-3], *outputs.shape[1:]))

    def _own_filters(self, inputs, own):
        """Apply to each ROI one filter, as a product of a matrix and a vector."""
        if tuple(self.kernel_size) != (1, 1):
            raise ValueError(f"layer {self.name!r} has a kernel of {self.kernel_size}; `own` is for kernels of (1, 1).")
        height, width, channels = inputs.shape[-3:]
        filters = ops.transpose(ops.reshape(self.kernel, (channels, self.filters)))  # [F, C]
        flat = ops.reshape(own, (-1,))  # [B * R]
        pixels = ops.reshape(inputs, (-1, height * width, channels))
        outputs = ops.matmul(pixels, ops.take(filters, flat, axis=0)[:, :, None])[:, :, 0]  # [B * R, h * w]
        if self.use_bias:
            outputs = outputs + ops.take(self.bias, flat)[:, None]
        return self.activation(ops.reshape(outputs, (*ops.shape(own), height, width)))

    def compute_output_spec(self, inputs, own=None):
        height, width, channels = super().compute_output_shape((None, *inputs.shape[-3:]))[1:]
        shape = (*inputs.shape[:-3], height, width, channels) if own is None else (*own.shape, height, width)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)
