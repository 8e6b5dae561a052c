"""Random changes of training images: augmentation of an image together with its masks, colours, and scales.

imgaug augmenters are applied unchanged (the user imports imgaug; this module does not). Masks are passed to them as
segmentation maps: an augmenter that moves pixels also moves the masks, by nearest neighbour; one that changes pixel values
does not affect them. The most common augmenters have a shortcut: for flips, rotation and other affine maps, the outlines of
the instances are transformed, and no full-size mask is drawn.

Differs: the classic code applied only a fixed list of augmenters to masks. One that was not listed, such as Rot90, rotated
the image but not its masks.

Random scales apply within the fixed square that the network takes: `ShortSides` and `ScaleJitter` plan the size of one image
from (height, width), the side of the square, a random generator and where padding goes.

Shape letters: H W C image, N instances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float64, Shaped

from mrcnn.geometry.boxes import Integer, Number, PixelBox
from mrcnn.geometry.masks import BitMasks
from mrcnn.geometry.resize import ResizePlan, plan_square

# The dtypes that OpenCV can flip, and its codes for the flips (up-down, left-right).
_CV_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
_FLIP_CODES = {(True, False): 0, (False, True): 1, (True, True): -1}
# Modules of imgaug whose augmenters change values only, and the augmenters in them that can blank whole images.
_VALUE_MODULES = ("arithmetic", "artistic", "blur", "color", "contrast", "convolutional", "edges", "imgcorruptlike", "weather")
_BLANKING = ("Dropout2d", "TotalDropout")
# In other modules: the augmenters that keep straight lines straight and parallel lines parallel.
_AFFINE = ("Affine", "ScaleX", "ScaleY", "TranslateX", "TranslateY", "Rotate", "ShearX", "ShearY")
_LINE_KEEPING = {
    "geometric": _AFFINE,
    "flip": ("Fliplr", "Flipud"),
    "meta": ("Sequential", "SomeOf", "OneOf", "Sometimes", "Identity", "Noop", "ChannelShuffle"),
}


@dataclass(frozen=True)
class RandomFlip:
    """Flip images at random.

    Attributes:
        horizontal, vertical: probabilities of a left-right and an up-down flip.
    """

    horizontal: float | int = 0.5
    vertical: float | int = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[bool, bool]:
        """Draw the flips of one image: (up-down, left-right)."""
        across, along = rng.random(2)
        return bool(along < self.vertical), bool(across < self.horizontal)


def named_augmentation(name: str) -> Any:
    """Return the augmentation of a name: None for "none", left-right flips for "flip", flips along both axes and rotation by
    any angle for "rotate", changes of the colours for "color", and both for "flip+color" and "rotate+color".

    Raises:
        ValueError: the name is unknown.
    """
    if name == "color" or name.endswith("+color"):
        return ColorJitter(named_augmentation(name.removesuffix("color").rstrip("+") or "none"))
    if name == "none":
        return None
    if name == "flip":
        return RandomFlip()
    if name != "rotate":
        raise ValueError(f"{name!r} is not an augmentation: choose none, flip, rotate, color, flip+color or rotate+color.")
    import imgaug.augmenters as iaa

    return iaa.Sequential([iaa.Fliplr(0.5), iaa.Flipud(0.5), iaa.Affine(rotate=(-180, 180))])


def as_flip(augmentation: object) -> RandomFlip | None:
    """Return an augmentation as a RandomFlip if it is only a flip, else None.

    Args:
        augmentation: a RandomFlip; imgaug's Fliplr(p) and Flipud(p) with a fixed p; or anything else.
    """
    if isinstance(augmentation, RandomFlip):
        return augmentation
    name = type(augmentation).__name__
    if name not in ("Fliplr", "Flipud") or not type(augmentation).__module__.startswith("imgaug"):
        return None
    # imgaug wraps the probability: Binomial(Deterministic(p)), or Deterministic(p) if it is 0 or 1.
    probability: Any = getattr(augmentation, "p", None)
    probability = getattr(getattr(probability, "p", probability), "value", None)
    if not isinstance(probability, int | float):
        return None
    return RandomFlip(float(probability), 0.0) if name == "Fliplr" else RandomFlip(0.0, float(probability))


def is_affine(augmentation: Any) -> bool:
    """Return whether an augmentation moves pixels only by an affine map. It may change their values in any way.

    True for imgaug's flips, for one of `Affine` and its relatives, for augmenters that change only values, and for
    sequences and choices of these. False for two of `Affine`, because the second cannot bring back what the first moves
    out of the image. False for anything that is not from imgaug.
    """
    if not type(augmentation).__module__.startswith("imgaug."):
        return False
    num_affine = 0
    for augmenter in (augmentation, *augmentation.get_all_children(flat=True)):
        module, name = type(augmenter).__module__.removeprefix("imgaug.augmenters."), type(augmenter).__name__
        num_affine += module == "geometric"
        if (module not in _VALUE_MODULES or name in _BLANKING) and name not in _LINE_KEEPING.get(module, ()):
            return False
    return num_affine <= 1


def apply_flips(
    image: Shaped[np.ndarray, "H W C"], flips: tuple[bool, bool], out: Shaped[np.ndarray, "H W C"] | None = None
) -> Shaped[np.ndarray, "H W C"]:
    """Flip an image.

    Args:
        image: returned unchanged if there is nothing to flip.
        flips: (up-down, left-right).
        out: contiguous memory of the image's dtype for the result, or the image itself; None allocates memory.
    """
    vertical, horizontal = flips
    if not vertical and not horizontal:
        return image
    if image.dtype in _CV_DTYPES and image.shape[2] > 1:
        # OpenCV takes a tenth of the time that NumPy needs to copy a reversed view.
        return cv2.flip(image, _FLIP_CODES[vertical, horizontal], dst=out)
    flipped = np.ascontiguousarray(image[:: -1 if vertical else 1, :: -1 if horizontal else 1])
    if out is None:
        return flipped
    out[...] = flipped
    return out


def apply_imgaug(
    augmentation: Any, image: Shaped[np.ndarray, "H W C"], masks: BitMasks, rng: np.random.Generator
) -> tuple[Shaped[np.ndarray, "H W C"], BitMasks]:
    """Apply one draw of an imgaug augmenter to an image and its masks.

    Args:
        augmentation: imgaug augmenter.
        image: uint8 for most augmenters. The result has the same dtype.
        masks: masks of the size of the image.
        rng: determines the draw.

    Raises:
        ValueError: `augmentation` is not an augmenter, or changes the size of the image.
    """
    drawn = _draw(augmentation, rng)
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    if not masks.count:
        augmented = drawn(image=image)
        _check_shape("image", augmented.shape, image.shape)
        return augmented.astype(image.dtype, copy=False), masks
    maps = SegmentationMapsOnImage(masks.maps, shape=image.shape)
    augmented, maps = drawn(image=image, segmentation_maps=maps)
    _check_shape("image", augmented.shape, image.shape)
    _check_shape("masks", maps.arr.shape, masks.maps.shape)
    return augmented.astype(image.dtype, copy=False), BitMasks(maps.arr, masks.count)


def apply_affine(
    augmentation: Any, image: Shaped[np.ndarray, "H W C"], rng: np.random.Generator
) -> tuple[Shaped[np.ndarray, "H W C"], Float64[np.ndarray, "2 3"]]:
    """Apply one draw of an imgaug augmenter for which `is_affine` is True to an image.

    Args:
        augmentation, image, rng: see `apply_imgaug`, which makes the same image.

    Returns:
        The augmented image, and the matrix that maps (x, y, 1) in pixels of the image to (x, y) in the augmented one.

    Raises:
        ValueError: the augmentation changes the size of the image.
    """
    from imgaug.augmentables.kps import KeypointsOnImage

    height, width = image.shape[:2]
    corners = KeypointsOnImage.from_xy_array(np.array([[0, 0], [width, 0], [0, height]], np.float32), image.shape)
    augmented, corners = _draw(augmentation, rng)(image=image, keypoints=corners)
    _check_shape("image", augmented.shape, image.shape)
    origin, right, down = corners.to_xy_array().astype(np.float64)
    matrix = np.stack([(right - origin) / width, (down - origin) / height, origin], axis=1)
    return augmented.astype(image.dtype, copy=False), matrix


def _draw(augmentation: Any, rng: np.random.Generator) -> Any:
    """Return a copy of an augmenter whose next draw is fixed; the original may be in use by other threads."""
    if not hasattr(augmentation, "to_deterministic"):
        raise ValueError(
            "augmentation must be an imgaug augmenter, or a RandomFlip or ColorJitter of mrcnn.loading, "
            f"but is {type(augmentation).__name__}"
        )
    drawn = augmentation.to_deterministic()
    drawn.seed_(int(rng.integers(2**31)), deterministic_too=True)
    return drawn


def _check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape[: len(expected)]) != tuple(expected):
        raise ValueError(
            f"the augmentation changed the shape of the {name} from {tuple(expected)} to {tuple(shape)}: "
            "use augmenters that keep it (keep_size=True, Fliplr, Affine, ...)"
        )


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


@dataclass(frozen=True)
class ShortSides:
    """Scale the short side to one of several lengths, up or down, as far as the long side fits into the square.

    Attributes:
        sides: lengths in pixels, each as probable as the others.

    Source: R. Girshick et al., Detectron, 2018, TRAIN.SCALES; INPUT.MIN_SIZE_TRAIN of detectron2.
    """

    sides: tuple[int, ...]

    def plan(
        self, size: Sequence[Integer], square: int, rng: np.random.Generator, in_corner: bool = False
    ) -> ResizePlan:
        """Plan the size of one image; it is never cropped."""
        side = self.sides[int(rng.integers(len(self.sides)))]
        return plan_square(size, min(side / min(size), square / max(size)), square, rng, in_corner)


@dataclass(frozen=True)
class ScaleJitter:
    """Scale the long side to a random multiple of the square's side, then crop what is longer and pad what is shorter.

    Attributes:
        low, high: bounds of the multiple, which is drawn uniformly.

    Source: G. Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, 2021, section 3:
    0.8 to 1.25 is their standard jitter, 0.1 to 2 their large one.
    """

    low: Number
    high: Number

    def plan(
        self, size: Sequence[Integer], square: int, rng: np.random.Generator, in_corner: bool = False
    ) -> ResizePlan:
        """Plan the size of one image."""
        return plan_square(size, rng.uniform(self.low, self.high) * square / max(size), square, rng, in_corner)


RandomScale: TypeAlias = ShortSides | ScaleJitter
