"""Subtracting and adding the mean pixel outside the network.

The network subtracts the mean pixel itself, so that images are transferred to the device as uint8, a quarter of the bytes of
float32. Only the classic API still takes and returns images with the mean subtracted; these functions support it.

Shape letters: C channels.
"""

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from mrcnn.base.types import Numbers


def mold_image(images: Shaped[np.ndarray, "*B C"], mean_pixel: Numbers) -> Float32[np.ndarray, "*B C"]:
    """Subtract the mean pixel.

    Args:
        images: one image or several, with pixels in 0..255.
        mean_pixel: Config.MEAN_PIXEL: one number per channel, or one for all channels.

    Differs: the classic code returned float64 if mean_pixel was float64; the network cast it to float32 anyway.
    """
    return images.astype(np.float32) - np.asarray(mean_pixel, np.float32)


def unmold_image(normalized_images: Shaped[np.ndarray, "*B C"], mean_pixel: Numbers) -> UInt8[np.ndarray, "*B C"]:
    """Undo `mold_image`, to display a network's input.

    Differs: values are rounded and clipped. The classic code truncated them, so that they could be one too small, and values
    out of range wrapped around.
    """
    pixels = np.asarray(normalized_images, np.float32) + np.asarray(mean_pixel, np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
