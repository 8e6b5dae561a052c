"""Convolutions computed as matrix products, with the same weights as Keras' layers, so that classic weight files load.

Shape letters: N rows, B images, R rois, h w feature map, C channels, F filters.
"""

from typing import Any

import keras
from keras import KerasTensor, ops


@keras.saving.register_keras_serializable(package="mrcnn")
class FullConvolution(keras.layers.Conv2D):
    """A "valid" convolution whose kernel is as large as its input; it trains several times faster as a matrix product.

    Args: see keras.layers.Conv2D.

    `call(inputs)`: [N, kernel height, kernel width, C] -> [N, 1, 1, F].
    """

    def build(self, input_shape):
        if tuple(input_shape[1:3]) != self.kernel_size:
            raise ValueError(f"layer {self.name!r} expects input of size {self.kernel_size} and got {input_shape[1:3]}.")
        super().build(input_shape)

    def call(self, inputs):
        flat = ops.reshape(inputs, (-1, self.kernel_size[0] * self.kernel_size[1] * inputs.shape[-1]))
        outputs = ops.matmul(flat, ops.reshape(self.kernel, (-1, self.filters)))
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(ops.reshape(outputs, (-1, 1, 1, self.filters)))


@keras.saving.register_keras_serializable(package="mrcnn")
class DisjointConv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution whose strides equal its kernel size: each input pixel becomes one patch of the output.

    As a matrix product, its gradient takes a hundredth of the time with JAX on a CPU.

    Args:
        filters: F.
        kernel_size: size of a patch, and the strides.
        **kwargs: see keras.layers.Conv2DTranspose; strides, padding and dilation are fixed.

    `call(inputs)`: [N, H, W, C] -> [N, H * kernel height, W * kernel width, F]. H and W must be static.
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, **{**kwargs, "strides": kernel_size})

    def call(self, inputs):
        (height, width), (patch_height, patch_width) = inputs.shape[1:3], self.kernel_size
        # from [patch height, patch width, F, C], the layout of transposed convolutions
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
    """Conv2D over the feature maps of ROIs, which keeps the ROI axis.

    Args: see `keras.layers.Conv2D`.

    `call(inputs, filter_ids=None)`:
        inputs: [B, R, h, w, C].
        filter_ids: int32 [B, R]. The one filter to apply to each ROI: the output is [B, R, h, w], and the cost does not
            grow with F. Needs a 1x1 kernel. R may then be dynamic, and inputs may be [B * R, h, w, C].
        Returns [B, R, h, w, F] without `filter_ids`.
    """

    def build(self, input_shape):
        super().build((None, *input_shape[-3:]))

    def call(self, inputs, filter_ids=None):
        if filter_ids is not None:
            return self._apply_one_filter(inputs, filter_ids)
        outputs = super().call(ops.reshape(inputs, (-1, *inputs.shape[-3:])))  # [B * R, h, w, F]
        return ops.reshape(outputs, (-1, *inputs.shape[1:-3], *outputs.shape[1:]))

    def _apply_one_filter(self, inputs: KerasTensor, filter_ids: KerasTensor) -> KerasTensor:
        """Apply one filter to each ROI, as a matrix-vector product."""
        if tuple(self.kernel_size) != (1, 1):
            raise ValueError(f"layer {self.name!r} has a kernel of {self.kernel_size}; `filter_ids` needs (1, 1).")
        height, width, channels = inputs.shape[-3:]
        filters = ops.transpose(ops.reshape(self.kernel, (channels, self.filters)))  # [F, C]
        flat = ops.reshape(filter_ids, (-1,))  # [B * R]
        pixels = ops.reshape(inputs, (-1, height * width, channels))
        outputs = ops.matmul(pixels, ops.take(filters, flat, axis=0)[:, :, None])[:, :, 0]  # [B * R, h * w]
        if self.use_bias:
            outputs = outputs + ops.take(self.bias, flat)[:, None]
        return self.activation(ops.reshape(outputs, (*ops.shape(filter_ids), height, width)))

    def compute_output_spec(self, inputs, filter_ids=None):
        height, width, channels = super().compute_output_shape((None, *inputs.shape[-3:]))[1:]
        shape = (*inputs.shape[:-3], height, width, channels) if filter_ids is None else (*filter_ids.shape, height, width)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)
