"""Augmentation for semantic segmentation: an affine transform of the image and its class map, and a change of brightness.

The arguments have the same names and meanings as in Keras' ImageDataGenerator. Rotation, shift, shear, zoom and flip are
combined into one matrix; OpenCV then samples the image bilinearly, and the class map with nearest-neighbour interpolation.

Shape letters: h w image and map, C channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Num, Shaped, UInt16

# Keras' names; on the right, how a row abcd continues on both sides
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,  # kkkk|abcd|kkkk
    "nearest": cv2.BORDER_REPLICATE,  # aaaa|abcd|dddd
    "reflect": cv2.BORDER_REFLECT,  # dcba|abcd|dcba
    "wrap": cv2.BORDER_WRAP,  # abcd|abcd|abcd
}


@dataclass(frozen=True, eq=False)
class Transform:
    """A randomly drawn transform.

    Attributes:
        matrix: maps each pixel (x, y, 1) of the result to its source point (x, y).
        brightness: factor applied to the image.
    """

    matrix: Float64[np.ndarray, "2 3"]
    brightness: float = 1.0

    @property
    def moves(self) -> bool:
        """True if the transform moves any pixel."""
        return not np.array_equal(self.matrix, np.eye(2, 3))


@dataclass(frozen=True)
class SemanticAugmentation:
    """Random transforms, each drawn uniformly from its range. Without arguments, nothing changes.

    Attributes:
        rotation_range: float, degrees; drawn from -range to range.
        width_shift_range: to the left or right. A float below 1 is a fraction of the width, a larger float is in pixels; an
            int n stands for integer shifts from -(n - 1) to n - 1 pixels; from a sequence, one value and its sign are drawn,
            in fractions if all values are below 1.
        height_shift_range: the same, up or down.
        brightness_range: (low, high) factors applied to the image, which is clipped at white; the class map does not
            change. None for no change.
        shear_range: float, degrees, at most 89; drawn from -range to range.
        zoom_range: (low, high), or a float z for (1 - z, 1 + z); below 1 enlarges. Drawn separately for each axis.
        horizontal_flip: bool, flip left and right with probability 1/2.
        vertical_flip: bool, flip up and down with probability 1/2.
        fill_mode: "nearest", "constant", "reflect" or "wrap": how to fill points outside the input. "constant" fills the
            image with `cval` and the class map with background, 0.
        cval: float, grey level from 0 to 255.

    Raises:
        ValueError: an argument is out of range.

    Differs: Keras 3 shifts rows by width_shift_range and columns by height_shift_range, and rotates non-square images about a
        point off their centre. Here, each argument does what Keras documents.
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

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check("rotation_range", self.rotation_range, 0)
        _check("shear_range", self.shear_range, 0, 89)
        _check("cval", self.cval, 0, 255)
        for name in ("width_shift_range", "height_shift_range"):
            value = getattr(self, name)
            if _is_sequence(value) and not len(value):
                raise ValueError(f"{name} is empty, expected a number, or a sequence of shifts to choose from")
            for one in value if _is_sequence(value) else [value]:
                _check(name, one, -math.inf if _is_sequence(value) else 0)
        if self.brightness_range is not None:
            _check_pair("brightness_range", self.brightness_range, 0)
        _check_pair("zoom_range", self._zooms(), 1e-3)
        if self.fill_mode not in _BORDERS:
            raise ValueError(f"fill_mode is {self.fill_mode!r}, expected one of {', '.join(_BORDERS)}")

    def _zooms(self) -> Any:
        """Return (low, high) of the zoom."""
        if _is_sequence(self.zoom_range):
            return self.zoom_range
        _check("zoom_range", self.zoom_range, 0)
        return 1 - self.zoom_range, 1 + self.zoom_range

    def draw(self, size: tuple[int, ...], rng: np.random.Generator | int) -> Transform:
        """Draw a transform for images of size (height, width). It depends only on the size and the generator or seed."""
        rng = np.random.default_rng(rng)
        angle = math.radians(rng.uniform(-self.rotation_range, self.rotation_range))
        up = _draw_shift(self.height_shift_range, size[0], rng)
        left = _draw_shift(self.width_shift_range, size[1], rng)
        shear = math.radians(rng.uniform(-self.shear_range, self.shear_range))
        low, high = self._zooms()
        zoom_x, zoom_y = rng.uniform(low, high, 2)
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

    def apply(
        self, image: Float32[np.ndarray, "..."], class_map: Shaped[np.ndarray, "..."], transform: Transform
    ) -> tuple[Float32[np.ndarray, "..."], Shaped[np.ndarray, "..."]]:
        """Apply a transform to an image and its class map.

        Args:
            image: [h, w, C], values 0..1, at most 4 channels.
            class_map: [h, w], integers from 0 to 65535.
            transform: drawn for this size.

        Returns:
            The image and the class map, with the same shapes and dtypes. The map has no new values except background.

        Raises:
            ValueError: the sizes of image and class map differ, or the map has values outside this range.
        """
        class_map = np.asarray(class_map)
        if image.shape[:2] != class_map.shape:
            raise ValueError(f"the image has size {image.shape[:2]}, its class map shape {class_map.shape}: expected equal")
        if transform.moves:
            image = self._warp(image, transform, cv2.INTER_LINEAR, self.cval / 255)
            class_map = self._warp(_as_uint16(class_map), transform, cv2.INTER_NEAREST, 0).astype(class_map.dtype)
        if transform.brightness != 1:
            image = np.clip(image * np.float32(transform.brightness), 0, 1)
        return image, class_map

    def __call__(
        self, image: Float32[np.ndarray, "..."], class_map: Shaped[np.ndarray, "..."], rng: np.random.Generator | int
    ) -> tuple[Float32[np.ndarray, "..."], Shaped[np.ndarray, "..."]]:
        """Draw a transform and apply it; see `draw` and `apply`."""
        return self.apply(image, class_map, self.draw(image.shape[:2], rng))

    def _warp(
        self, pixels: Num[np.ndarray, "h w *C"], transform: Transform, interpolation: int, outside: float | int
    ) -> Num[np.ndarray, "h w *C"]:
        size = (pixels.shape[1], pixels.shape[0])
        warped = cv2.warpAffine(np.ascontiguousarray(pixels), transform.matrix, size,
                                flags=interpolation | cv2.WARP_INVERSE_MAP,
                                borderMode=_BORDERS[self.fill_mode], borderValue=(outside,) * 4)  # fmt: skip
        return warped.reshape(pixels.shape)  # OpenCV drops a channel axis of 1


def as_augmentation(given: object) -> SemanticAugmentation | None:
    """Convert an augmentation passed by the user: a SemanticAugmentation, a dict of its arguments, or None.

    Raises:
        ValueError: an argument is unknown or out of range, or `given` is of another type.
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


def _about_centre(steps: Sequence[Any], size: tuple[int, ...]) -> Float64[np.ndarray, "2 3"]:
    """Multiply 3 x 3 matrices, with the origin at the centre of the image."""
    centre = np.array([[1, 0, (size[1] - 1) / 2], [0, 1, (size[0] - 1) / 2], [0, 0, 1]])
    back = np.array([[1, 0, -centre[0, 2]], [0, 1, -centre[1, 2]], [0, 0, 1]])
    whole = centre
    for step in steps:
        whole = whole @ np.asarray(step, np.float64)
    return (whole @ back)[:2]


def _draw_shift(given: Any, length: int, rng: np.random.Generator) -> float:
    """Draw a shift in pixels; see `SemanticAugmentation.width_shift_range`."""
    if _is_sequence(given):
        pixels = float(rng.choice(np.asarray(given, np.float64))) * rng.choice((-1, 1))
        largest = max(given)
    elif isinstance(given, Integral):
        return float(rng.integers(-int(given) + 1, int(given))) if given else 0.0
    else:
        pixels, largest = rng.uniform(-given, given), given
    return pixels * length if largest < 1 else pixels


def _as_uint16(class_map: Shaped[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    """Convert to uint16, which holds all class numbers and which OpenCV warps without loss."""
    if class_map.dtype.kind not in "bui":
        raise ValueError(f"the class map is {class_map.dtype}, expected integers")
    if class_map.size and not 0 <= class_map.min() <= class_map.max() <= 65535:
        raise ValueError(f"the class map has values from {class_map.min()} to {class_map.max()}, expected 0 to 65535")
    return class_map.astype(np.uint16)


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _check(name: str, value: Any, minimum: float | int, maximum: float | int = math.inf) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not minimum <= value <= maximum:
        limits = ["" if minimum == -math.inf else f" from {minimum:g}", "" if maximum == math.inf else f" to {maximum:g}"]
        raise ValueError(f"{name} is {value!r}, expected a number{''.join(limits)}")


def _check_pair(name: str, value: Any, minimum: float | int) -> None:
    if not _is_sequence(value) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}, expected two numbers (low, high)")
    for one in value:
        _check(name, one, minimum)
    if value[0] > value[1]:
        raise ValueError(f"{name} is {value!r}, expected (low, high) with low <= high")
