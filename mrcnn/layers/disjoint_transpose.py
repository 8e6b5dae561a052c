"""A transposed convolution that writes each output once."""

import keras
from keras import ops


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
