"""The first convolution of a network whose images have other channels than red, green and blue.

Its kernel is inflated: each input channel gets the mean of the pretrained kernel over red, green and blue, scaled so that the
sum over the input channels is unchanged. An image whose channels are all the same then has the features of the grey RGB image.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num

RGB = 3


def is_rgb_stem(in_file: Sequence[int], in_model: Sequence[int], channels: int | None) -> bool:
    """Return whether a tensor of a file is the kernel of a first convolution for RGB, and that of the model for other images.

    Args:
        in_file: shape of the tensor of the file.
        in_model: shape of the tensor of the model.
        channels: number of channels of the model's images; None for none, so that nothing is such a kernel.
    """
    if len(in_file) != 4 or len(in_model) != 4 or in_file[2] != RGB or in_model[2] != channels or channels == RGB:
        return False
    return all(in_file[axis] == in_model[axis] for axis in (0, 1, 3))


def inflate(kernel: Num[np.ndarray, "h w C F"], channels: int) -> np.ndarray:
    """Return the kernel for another number of input channels: [h, w, channels, F]."""
    mean = kernel.mean(axis=2, keepdims=True)
    return np.repeat(mean * (kernel.shape[2] / channels), channels, axis=2)
