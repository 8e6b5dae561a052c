"""Augmentation of an image and its masks together, so that they never part.

imgaug augmenters are taken as they are (imgaug itself is imported by whoever made them). Masks travel as segmentation
maps: what moves pixels moves them too, by nearest neighbour, and what changes values leaves them alone. The most common
augmenters, flips, and rotation and its like, take shorter ways: the instances' outlines are moved, and no full mask is
drawn.

Differs: the classic code let a list of augmenters touch masks, and one that was not on it, such as Rot90, turned the
image and not its masks.

Shape letters: H W C image, N instances.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mrcnn.geometry.masks import BitMasks

# what OpenCV mirrors as it is, and what it calls the mirrorings
_CV_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
_FLIP_CODES = {(True, False): 0, (False, True): 1, (True, True): -1}
# imgaug's modules: of those whose augmenters change values alone, all but what drops whole images and their instances; of
# the others, those of which it is known that straight lines stay straight and parallel
_VALUES = ("arithmetic", "artistic", "blur", "color", "contrast", "convolutional", "edges", "imgcorruptlike", "weather")
_DROPPING = ("Dropout2d", "TotalDropout")
_AFFINE = ("Affine", "ScaleX", "ScaleY", "TranslateX", "TranslateY", "Rotate", "ShearX", "ShearY")
_PLACES = {
    "geometric": _AFFINE,
    "flip": ("Fliplr", "Flipud"),
    "meta": ("Sequential", "SomeOf", "OneOf", "Sometimes", "Identity", "Noop", "ChannelShuffle"),
}


@dataclass(frozen=True)
class RandomFlip:
    """Mirror an image by chance. Attributes: horizontal, vertical: probabilities in [0, 1]."""

    horizontal: float = 0.5
    vertical: float = 0.0

    def draw(self, rng):
        """Decide for one image. Args: rng: numpy Generator. Returns: (flip up-down, flip left-right), two bools."""
        across, along = rng.random(2)
        return bool(along < self.vertical), bool(across < self.horizontal)


def as_flip(augmentation):
    """Recognise an augmentation that is a mere flip.

    Args:
        augmentation: RandomFlip, imgaug augmenter or None.

    Returns:
        RandomFlip, for a RandomFlip and for imgaug's Fliplr(p) and Flipud(p) with a fixed p; else None.
    """
    if isinstance(augmentation, RandomFlip):
        return augmentation
    name = type(augmentation).__name__
    if name not in ("Fliplr", "Flipud") or not type(augmentation).__module__.startswith("imgaug"):
        return None
    # the probability is wrapped: Binomial(Deterministic(p)), or Deterministic(p) where it is 0 or 1
    probability = getattr(augmentation, "p", None)
    probability = getattr(getattr(probability, "p", probability), "value", None)
    if not isinstance(probability, int | float):
        return None
    return RandomFlip(float(probability), 0.0) if name == "Fliplr" else RandomFlip(0.0, float(probability))


def is_affine(augmentation):
    """Tell whether all that an augmentation does to places is an affine map, whatever it does to colours.

    Args:
        augmentation: imgaug augmenter, or anything else.

    Returns:
        bool. True for flips, for one of `Affine` and its kin, for what changes values alone, and for chains and choices of
        these. False with two of `Affine`: what the first moves out of the image the second cannot bring back.
    """
    if not type(augmentation).__module__.startswith("imgaug."):
        return False
    num_affine = 0
    for one in (augmentation, *augmentation.get_all_children(flat=True)):
        module, name = type(one).__module__.removeprefix("imgaug.augmenters."), type(one).__name__
        num_affine += module == "geometric"
        if (module not in _VALUES or name in _DROPPING) and name not in _PLACES.get(module, ()):
            return False
    return num_affine <= 1


def apply_flips(image, flips, out=None):
    """Mirror an image.

    Args:
        image: [H, W, C].
        flips: (up-down, left-right), two bools.
        out: contiguous memory of the dtype and shape of the image, or the image itself; None takes new memory.

    Returns:
        [H, W, C]. `out` where it is given, or the image where there is nothing to flip.
    """
    vertical, horizontal = flips
    if not vertical and not horizontal:
        return image
    if image.dtype in _CV_DTYPES and image.shape[2] > 1:
        # a tenth of the time that numpy takes to copy a view that goes backwards
        return cv2.flip(image, _FLIP_CODES[vertical, horizontal], dst=out)
    flipped = np.ascontiguousarray(image[:: -1 if vertical else 1, :: -1 if horizontal else 1])
    if out is None:
        return flipped
    out[...] = flipped
    return out


def apply_imgaug(augmentation, image, masks, rng):
    """Apply one draw of an imgaug augmenter to an image and to its masks.

    Args:
        augmentation: imgaug Augmenter.
        image: [H, W, C]. uint8 for most augmenters.
        masks: BitMasks of N masks [H, W].
        rng: numpy Generator; the draw depends on it alone.

    Returns:
        (image [H, W, C] of the same dtype, BitMasks).

    Raises:
        ValueError: not an augmenter, or it changes the size of the image.
    """
    drawn = _draw(augmentation, rng)
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    if not masks.count:
        augmented = drawn(image=image)
        _check_size("image", augmented.shape, image.shape)
        return augmented.astype(image.dtype, copy=False), masks
    maps = SegmentationMapsOnImage(masks.maps, shape=image.shape)
    augmented, maps = drawn(image=image, segmentation_maps=maps)
    _check_size("image", augmented.shape, image.shape)
    _check_size("masks", maps.arr.shape, masks.maps.shape)
    return augmented.astype(image.dtype, copy=False), BitMasks(maps.arr, masks.count)


def apply_affine(augmentation, image, rng):
    """Apply one draw of an imgaug augmenter of which `is_affine` is True to an image.

    Args:
        augmentation, image, rng: as of `apply_imgaug`, which makes the same image.

    Returns:
        (image [H, W, C] of the same dtype, float64 [2, 3]): the matrix leads from (x, y, 1) in pixels of the image to
        (x, y) in the augmented one.

    Raises:
        ValueError: it changes the size of the image.
    """
    from imgaug.augmentables.kps import KeypointsOnImage

    height, width = image.shape[:2]
    corners = KeypointsOnImage.from_xy_array(np.array([[0, 0], [width, 0], [0, height]], np.float32), image.shape)
    augmented, corners = _draw(augmentation, rng)(image=image, keypoints=corners)
    _check_size("image", augmented.shape, image.shape)
    origin, right, down = corners.to_xy_array().astype(np.float64)
    matrix = np.stack([(right - origin) / width, (down - origin) / height, origin], axis=1)
    return augmented.astype(image.dtype, copy=False), matrix


def _draw(augmentation, rng):
    """Draw what an augmenter is to do: a copy, as augmenters keep state and other threads use the same one."""
    if not hasattr(augmentation, "to_deterministic"):
        raise ValueError(
            "augmentation must be an imgaug augmenter or a mrcnn.loading.augment.RandomFlip, "
            f"and is {type(augmentation).__name__}"
        )
    drawn = augmentation.to_deterministic()
    drawn.seed_(int(rng.integers(2**31)), deterministic_too=True)
    return drawn


def _check_size(what, found, expected):
    if tuple(found[: len(expected)]) != tuple(expected):
        raise ValueError(
            f"the augmentation changed the shape of the {what} from {tuple(expected)} to {tuple(found)}: "
            "use augmenters that keep it (keep_size=True, Fliplr, Affine, ...)"
        )
