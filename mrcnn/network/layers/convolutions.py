"""A convolution whose kernel is as large as its input.

A transposed convolution that writes each output once.

A convolution over the maps of ROIs, which keeps their axes.

Shapes: B images, R rois, h w feature map, C channels, F filters.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mrcnn")
class FullConvolution(keras.layers.Conv2D):
    """A "valid" convolution over input of the kernel's own size, computed as the matrix product that it is.

    The weights are those of the convolution, so that classic files fit; as a product it trains several times faster.

    Args:
        filters, kernel_size and others: as of keras.layers.Conv2D.

    `call(inputs)`: [N, kernel height, kernel width, C] -> [N, 1, 1, filters].
    """

    def build(self, input_shape):
        if tuple(input_shape[1:3]) != self.kernel_size:
            raise ValueError(f"layer {self.name!r} covers input of {self.kernel_size}, and was given {input_shape[1:3]}.")
        super().build(input_shape)

    def call(self, inputs):
        flat = ops.reshape(inputs, (-1, self.kernel_size[0] * self.kernel_size[1] * inputs.shape[-1]))
        outputs = ops.matmul(flat, ops.reshape(self.kernel, (-1, self.filters)))
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(ops.reshape(outputs, (-1, 1, 1, self.filters)))


@keras.saving.register_keras_serializable(package="mrcnn")
class DisjointConv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution whose strides are its kernel's size, computed as the matrix product that it is.

    Each input pixel becomes a patch of output of the kernel's size, and the patches lie side by side. The weights are
    those of the transposed convolution, so that classic files fit. On a processor JAX takes a hundred times as long for
    the gradient of the transposed convolution.

    Args:
        filters: int. Channels of the output.
        kernel_size: int or (int, int). Size of a patch; also the strides.
        **kwargs: as of keras.layers.Conv2DTranspose, but for strides, padding and dilation.

    `call(inputs)`: [N, H, W, C] -> [N, H * kernel height, W * kernel width, filters]. H and W must be known.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(filters, kernel_size, **{**kwargs, "strides": kernel_size})

    def call(self, inputs):
        (height, width), (patch_height, patch_width) = inputs.shape[1:3], self.kernel_size
        # [patch height, patch width, filters, C], as transposed convolutions have it
        kernel = ops.reshape(ops.transpose(self.kernel, (3, 0, 1, 2)), (inputs.shape[-1], -1))
        patches = ops.matmul(ops.reshape(inputs, (-1, inputs.shape[-1])), kernel)
        patches = ops.reshape(patches, (-1, height, width, patch_height, patch_width, self.filters))
        outputs = ops.reshape(ops.transpose(patches, (0, 1, 3, 2, 4, 5)),
                              (-1, height * patch_height, width * patch_width, self.filters))  # fmt: skip
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


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
