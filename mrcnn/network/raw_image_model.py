"""A network that takes images as they are decoded: a quarter of the bytes travel to the device."""

import keras
import numpy as np
from keras import ops

from mrcnn.network.classic_model import ClassicModel


class RawImageModel(ClassicModel):
    """A functional model, images its first input, that subtracts the mean itself from images of dtype uint8.

    float images are taken as molded already.

    Args:
        mean_pixel: float [C].
        The rest: as of `keras.Model`.
    """

    def __init__(self, *args, mean_pixel, **kwargs):
        super().__init__(*args, **kwargs)
        self.mean_pixel = np.asarray(mean_pixel, np.float32)

    def call(self, inputs, training=None, mask=None):
        images, *rest = inputs
        if keras.backend.standardize_dtype(images.dtype) == "uint8":
            images = ops.cast(images, "float32") - ops.convert_to_tensor(self.mean_pixel)
        return super().call([images, *rest], training=training, mask=mask)
