"""Augmentation for semantic segmentation: one affine move of the image and its class map, and the image's brightness.

The arguments have the names and the meanings of Keras' ImageDataGenerator. All moves of one draw become one matrix, by
which OpenCV samples the image bilinearly and the map at the nearest pixel.

Shape letters: h w image and map, C channels.
"""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import cv2
import numpy as np

# what Keras calls them: abcd | edge treatment | abcd
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,  # kkkk|abcd|kkkk
    "nearest": cv2.BORDER_REPLICATE,  # aaaa|abcd|dddd
    "reflect": cv2.BORDER_REFLECT,  # dcba|abcd|dcba
    "wrap": cv2.BORDER_WRAP,  # abcd|abcd|abcd
}


@dataclass(frozen=True, eq=False)
class Transform:
    """One draw.

    Attributes:
        matrix: float64 [2, 3]. From a pixel (x, y, 1) of the result to the place (x, y) in the source that it shows.
        brightness: float. Factor of the image's values.
    """

    matrix: np.ndarray
    brightness: float = 1.0

    @property
    def moves(self):
        """Whether any pixel moves: bool."""
        return not np.array_equal(self.matrix, np.eye(2, 3))


@dataclass(frozen=True)
class SemanticAugmentation:
    """How far images may be moved and brightened; each draw is uniform in its range. All ranges 0 change nothing.

    Attributes:
        rotation_range: float. Degrees, from -range to range.
        width_shift_range: float below 1: share of the width, to both sides; float from 1: pixels; int n: whole pixels
            from -(n - 1) to n - 1; a sequence: one of its values, to either side, shares if all are below 1.
        height_shift_range: the same for the height.
        brightness_range: (low, high) factors of the image's values, which are cut off at white; None changes nothing.
            The map stays as it is.
        shear_range: float. Degrees, from -range to range, at most 89.
        zoom_range: (low, high), or a float z for (1 - z, 1 + z). Below 1 enlarges. Drawn for each axis by itself.
        horizontal_flip: bool. Left and right change places in half of the draws.
        vertical_flip: bool. The same for top and bottom.
        fill_mode: "nearest", "constant", "reflect" or "wrap". What lies beyond the edges, of image and map alike;
            "constant" fills the image with `cval` and the map with background, 0.
        cval: float. Grey level from 0 to 255.

    Raises:
        ValueError: an argument is out of its range.

    Differs: Keras 3 moves rows by width_shift_range and columns by height_shift_range, and turns images that are not
        square about a point beside their centre. Here each does what its documentation says.
    """

    rotation_range: Any = 0.0
    width_shift_range: Any = 0.0
    height_shift_range: Any = 0.0
    brightness_range: Any = None
    shear_range: Any = 0.0
    zoom_range: Any = 0.0
    horizontal_flip: Any = False
    vertical_flip: Any = False
    fill_mode: Any = "nearest"
    cval: Any = 0.0

    def __post_init__(self):
        """Check the arguments; see the class."""
        _check("rotation_range", self.rotation_range, 0)
        _check("shear_range", self.shear_range, 0, 89)
        _check("cval", self.cval, 0, 255)
        for name in ("width_shift_range", "height_shift_range"):
            value = getattr(self, name)
            if _is_sequence(value) and not len(value):
                raise ValueError(f"{name} is empty, expected a number or the shifts to choose from")
            for one in value if _is_sequence(value) else [value]:
                _check(name, one, -math.inf if _is_sequence(value) else 0)
        if self.brightness_range is not None:
            _check_pair("brightness_range", self.brightness_range, 0)
        _check_pair("zoom_range", self._zooms(), 1e-3)
        if self.fill_mode not in _BORDERS:
            raise ValueError(f"fill_mode is {self.fill_mode!r}, expected one of {', '.join(_BORDERS)}")

    def _zooms(self):
        if _is_sequence(self.zoom_range):
            return self.zoom_range
        _check("zoom_range", self.zoom_range, 0)
        return 1 - self.zoom_range, 1 + self.zoom_range

    def draw(self, size, rng):
        """Draw one transform.

        Args:
            size: (h, w) of the images that it is for, in pixels.
            rng: numpy Generator, or an int seed. The draw depends on it alone.

        Returns:
            Transform.
        """
        rng = np.random.default_rng(rng)
        angle = math.radians(rng.uniform(-self.rotation_range, self.rotation_range))
        up = _draw_shift(self.height_shift_range, size[0], rng)
        left = _draw_shift(self.width_shift_range, size[1], rng)
        shear = math.radians(rng.uniform(-self.shear_range, self.shear_range))
        zoom_x, zoom_y = rng.uniform(*self._zooms(), 2)
        flip_x, flip_y = rng.random(2) < 0.5
        brightness = 1.0 if self.brightness_range is None else rng.uniform(*self.brightness_range)
        steps = (
            [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
            [[1, 0, left], [0, 1, up], [0, 0, 1]],
            [[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]],
            np.diag([zoom_x, zoom_y, 1]),
            np.diag([-1 if self.horizontal_flip and flip_x else 1, -1 if self.vertical_flip and flip_y else 1, 1]),
        )
        return Transform(_about_centre(steps, size), float(brightness))

    def apply(self, image, class_map, transform):
        """Apply one draw to an image and its map.

        Args:
            image: float32 [h, w, C] in [0, 1], C at most 4.
            class_map: whole numbers from 0 to 65535, [h, w].
            transform: Transform of this size.

        Returns:
            (image, class_map), of the same shapes and dtypes. The map holds values that it held before, or background.

        Raises:
            ValueError: the two are not of one size, or the map has other numbers.
        """
        class_map = np.asarray(class_map)
        if image.shape[:2] != class_map.shape:
            raise ValueError(f"the image is of size {image.shape[:2]}, its map of shape {class_map.shape}")
        if transform.moves:
            image = self._warp(image, transform, cv2.INTER_LINEAR, self.cval / 255)
            class_map = self._warp(_as_uint16(class_map), transform, cv2.INTER_NEAREST, 0).astype(class_map.dtype)
        if transform.brightness != 1:
            image = np.clip(image * np.float32(transform.brightness), 0, 1)
        return image, class_map

    def __call__(self, image, class_map, rng):
        """Draw, and apply the draw; see `draw` and `apply`."""
        return self.apply(image, class_map, self.draw(image.shape[:2], rng))

    def _warp(self, pixels, transform, interpolation, outside):
        size = (pixels.shape[1], pixels.shape[0])
        warped = cv2.warpAffine(np.ascontiguousarray(pixels), transform.matrix, size,
                                flags=interpolation | cv2.WARP_INVERSE_MAP,
                                borderMode=_BORDERS[self.fill_mode], borderValue=(outside,) * 4)  # fmt: skip
        return warped.reshape(pixels.shape)  # OpenCV drops a channel axis of 1


def as_augmentation(given):
    """Take an augmentation as users give it.

    Args:
        given: SemanticAugmentation, a dict of its arguments, or None.

    Returns:
        SemanticAugmentation or None.

    Raises:
        ValueError: a name is unknown, or a value is out of range.
    """
    if given is None or isinstance(given, SemanticAugmentation):
        return given
    if not isinstance(given, dict):
        raise ValueError(f"augmentation is {type(given).__name__}, expected SemanticAugmentation or a dict of its arguments")
    known = [field.name for field in fields(SemanticAugmentation)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"augmentation has no argument {unknown[0]!r}; it has {', '.join(known)}")
    return SemanticAugmentation(**given)


def _about_centre(steps, size):
    """Multiply 3 x 3 matrices, about the centre of the image: float64 [2, 3]."""
    centre = np.array([[1, 0, (size[1] - 1) / 2], [0, 1, (size[0] - 1) / 2], [0, 0, 1]])
    back = np.array([[1, 0, -centre[0, 2]], [0, 1, -centre[1, 2]], [0, 0, 1]])
    whole = centre
    for step in steps:
        whole = whole @ np.asarray(step, np.float64)
    return (whole @ back)[:2]


def _draw_shift(given, length, rng):
    """Draw a shift in pixels; `SemanticAugmentation` says what the argument means."""
    if _is_sequence(given):
        pixels = float(rng.choice(np.asarray(given, np.float64))) * rng.choice((-1, 1))
        largest = max(given)
    elif isinstance(given, Integral):
        return float(rng.integers(-given + 1, given)) if given else 0.0
    else:
        pixels, largest = rng.uniform(-given, given), given
    return pixels * length if largest < 1 else pixels


def _as_uint16(class_map):
    """Whole numbers in the one dtype that OpenCV warps without loss and that holds them all."""
    if class_map.dtype.kind not in "bui":
        raise ValueError(f"a class map holds whole numbers, and this one is {class_map.dtype}")
    if class_map.size and not 0 <= class_map.min() <= class_map.max() <= 65535:
        raise ValueError(f"a class map holds 0 to 65535, and this one {class_map.min()} to {class_map.max()}")
    return class_map.astype(np.uint16)


def _is_sequence(value):
    return isinstance(value, list | tuple | np.ndarray)


def _check(name, value, least, most=math.inf):
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not least <= value <= most:
        limits = ["" if least == -math.inf else f" from {least:g}", "" if most == math.inf else f" to {most:g}"]
        raise ValueError(f"{name} is {value!r}, expected a number{''.join(limits)}")


def _check_pair(name, value, least):
    if not _is_sequence(value) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}, expected two numbers (low, high)")
    for one in value:
        _check(name, one, least)
    if value[0] > value[1]:
        raise ValueError(f"{name} is {value!r}, its low end above its high end")
