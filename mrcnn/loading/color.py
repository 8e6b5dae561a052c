"""Random changes of the colours of an image: brightness, contrast, saturation and hue.

Shape letters: H W C image.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float64, Shaped

from mrcnn.geometry.boxes import PixelBox

# How bright red, green and blue look. Source: SVG 1.1, section 15.10 (feColorMatrix), whose matrices for saturation and hue the
# functions below return.
LUMA = np.array([0.213, 0.715, 0.072])
_GREY = np.tile(LUMA, (3, 1))
_QUARTER_TURN = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])


@dataclass(frozen=True)
class ColorJitter:
    """Change the colours of images at random.

    Images with another number of channels than three get another brightness and contrast, but no other saturation or hue.

    Attributes:
        then: another augmentation, applied to the result; None for no other.
        probability: of each of the four changes.
        brightness, contrast, saturation: the factor is drawn uniformly from 1 - this to 1 + this.
        hue: the hue is rotated by up to this many degrees in either direction.

    Source: W. Liu et al., SSD, 2016, section 2.2, and A. Howard, 2013; the bounds are those of torchvision's
    RandomPhotometricDistort.

    Differs: hue is rotated about the grey axis, which keeps the brightness, rather than in HSV. All four changes are then one
    linear map, which OpenCV applies in one pass.
    """

    then: Any = None
    probability: float = 0.5
    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 18.0

    def apply(
        self, image: Shaped[np.ndarray, "H W C"], window: PixelBox, rng: np.random.Generator
    ) -> Shaped[np.ndarray, "H W C"]:
        """Change the colours of an image inside a window, beside which it is padding.

        Returns:
            A new array; or the image itself, changed in place, if it has padding.
        """
        brightness, contrast, saturation, hue = np.where(
            rng.random(4) < self.probability, rng.uniform(-1, 1, 4), 0.0
        ) * (self.brightness, self.contrast, self.saturation, self.hue)
        y1, x1, y2, x2 = window
        changed = change_colors(image[y1:y2, x1:x2], 1 + brightness, 1 + contrast, 1 + saturation, hue)
        if changed.shape == image.shape:
            return changed
        image[y1:y2, x1:x2] = changed
        return image


def change_colors(
    image: Shaped[np.ndarray, "H W C"], brightness: float, contrast: float, saturation: float, hue: float
) -> Shaped[np.ndarray, "H W C"]:
    """Change the colours of an image.

    Args:
        image: uint8 or float32; the result has the same dtype.
        brightness: factor of all values.
        contrast: factor of the differences from the mean brightness of the image.
        saturation: factor of the differences from the grey of the same brightness, for RGB.
        hue: rotation in degrees, for RGB.
    """
    channels = image.shape[2]
    is_rgb = channels == 3
    mean = float(image.mean(axis=(0, 1)) @ LUMA) if is_rgb else float(image.mean())
    matrix = brightness * contrast * (hue_matrix(hue) @ saturation_matrix(saturation) if is_rgb else np.eye(channels))
    shift = brightness * (1 - contrast) * mean
    if channels > 4:  # more than OpenCV's transform takes
        changed = image * matrix[0, 0] + shift
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8) if image.dtype == np.uint8 else changed.astype(image.dtype)
    changed = cv2.transform(np.ascontiguousarray(image), np.column_stack([matrix, np.full(channels, shift)]))
    return changed.reshape(image.shape)


def saturation_matrix(factor: float) -> Float64[np.ndarray, "3 3"]:
    """Return the matrix that multiplies the differences of (red, green, blue) from the grey of the same brightness."""
    return factor * np.eye(3) + (1 - factor) * _GREY


def hue_matrix(degrees: float) -> Float64[np.ndarray, "3 3"]:
    """Return the matrix that rotates (red, green, blue) about the grey axis and keeps the brightness."""
    angle = np.radians(degrees)
    return _GREY + np.cos(angle) * (np.eye(3) - _GREY) + np.sin(angle) * _QUARTER_TURN
