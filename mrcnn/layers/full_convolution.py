"""A convolution whose kernel is as large as its input."""

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
