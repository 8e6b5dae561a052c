"""Augmentation of an image together with its masks.

imgaug augmenters are applied unchanged (the user imports imgaug; this module does not). Masks are passed to them as
segmentation maps: an augmenter that moves pixels also moves the masks, by nearest neighbour; one that changes pixel values
does not affect them. The most common augmenters have a shortcut: for flips, rotation and other affine maps, the outlines of
the instances are transformed, and no full-size mask is drawn.

Differs: the classic code applied only a fixed list of augmenters to masks. One that was not listed, such as Rot90, rotated
the image but not its masks.

Shape letters: H W C image, N instances.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float64, Shaped

from mrcnn.geometry.masks import BitMasks
from mrcnn.loading.color import ColorJitter

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
