"""Normalising pixels, and undoing it, outside the network.

The network normalises pixels itself (`network.mask_rcnn.normalise_images`), so that images are transferred to the device as
uint8, a quarter of the bytes of float32. Only the classic API still takes and returns images with the mean subtracted; these
functions support it.

Shape letters: C channels.
"""

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from mrcnn.base.types import Numbers


def mold_image(
    images: Shaped[np.ndarray, "*B C"], mean_pixel: Numbers, std_pixel: Numbers = 1.0, bgr: bool = False
) -> Float32[np.ndarray, "*B C"]:
    """Subtract the mean pixel, and divide by the standard deviation.

    Args:
        images: one image or several, with pixels in 0..255.
        mean_pixel: Config.MEAN_PIXEL: one number per channel, or one for all channels.
        std_pixel: Config.STD_PIXEL, likewise.
        bgr: whether to reverse the channels then.

    Differs: the classic code returned float64 if mean_pixel was float64; the network cast it to float32 anyway.
    """
    molded = (images.astype(np.float32) - np.asarray(mean_pixel, np.float32)) / np.asarray(std_pixel, np.float32)
    return molded[..., ::-1] if bgr else molded


def raw_pixels(
    molded: Shaped[np.ndarray, "*B C"], mean_pixel: Numbers, std_pixel: Numbers = 1.0, bgr: bool = False
) -> Float32[np.ndarray, "*B C"]:
    """Undo `mold_image` exactly, up to rounding of float32."""
    pixels = np.asarray(molded, np.float32)
    pixels = pixels[..., ::-1] if bgr else pixels
    return pixels * np.asarray(std_pixel, np.float32) + np.asarray(mean_pixel, np.float32)


def unmold_image(normalized_images: Shaped[np.ndarray, "*B C"], mean_pixel: Numbers) -> UInt8[np.ndarray, "*B C"]:
    """Undo the subtraction of the mean pixel, to display the input of a classic network.

    Differs: values are rounded and clipped. The classic code truncated them, so that they could be one too small, and values
    out of range wrapped around.
    """
    return np.clip(np.rint(raw_pixels(normalized_images, mean_pixel)), 0, 255).astype(np.uint8)
