"""Augmentation of an image and its masks together, so that they never part.

imgaug augmenters are taken as they are (imgaug itself is imported by whoever made them). Only those that move pixels
are applied to masks. A flip, the most common one, takes a shorter way: it is applied to the instances' outlines, and
no full mask is drawn.

Shape letters: H W C image, N instances.
"""

from dataclasses import dataclass

import numpy as np

# Augmenters that are safe to apply to masks: they move pixels and invent no values. Some, as Affine, need their
# settings to be so too.
MASK_AUGMENTERS = (
    "Sequential",
    "SomeOf",
    "OneOf",
    "Sometimes",
    "Fliplr",
    "Flipud",
    "CropAndPad",
    "Affine",
    "PiecewiseAffine",
)


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
    # the probability is wrapped twice: Binomial(Deterministic(p))
    probability = getattr(getattr(getattr(augmentation, "p", None), "p", None), "value", None)
    if not isinstance(probability, int | float):
        return None
    return RandomFlip(float(probability), 0.0) if name == "Fliplr" else RandomFlip(0.0, float(probability))


def apply_flips(image, flips):
    """Mirror an image. Args: image: [H, W, C]; flips: (up-down, left-right). Returns: [H, W, C]."""
    vertical, horizontal = flips
    if not vertical and not horizontal:
        return image
    return np.ascontiguousarray(image[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def _mask_hook(images, augmenter, parents, default):
    """Let an augmenter touch masks only if it is one of those that move pixels."""
    return type(augmenter).__name__ in MASK_AUGMENTERS


def apply_imgaug(augmentation, image, masks, rng):
    """Apply one draw of an imgaug augmenter to an image and to its masks.

    Args:
        augmentation: imgaug Augmenter.
        image: [H, W, C]. uint8 for most augmenters.
        masks: bool [H, W, N].
        rng: numpy Generator; the draw depends on it alone.

    Returns:
        (image [H, W, C] of the same dtype, masks bool [H, W, N]).

    Raises:
        ValueError: not an augmenter, or it changes the size of the image.
    """
    if not hasattr(augmentation, "to_deterministic"):
        raise ValueError(
            "augmentation must be an imgaug augmenter or a mrcnn.data.augment.RandomFlip, "
            f"and is {type(augmentation).__name__}"
        )
    import imgaug

    # deterministic: the image and each mask get the same draw
    drawn = augmentation.to_deterministic()
    drawn.seed_(int(rng.integers(2**31)), deterministic_too=True)
    augmented = drawn.augment_image(image)
    _check_size("image", augmented.shape, image.shape)
    if not masks.shape[-1]:
        return augmented.astype(image.dtype, copy=False), masks
    hooks = imgaug.HooksImages(activator=_mask_hook)
    # a mask at a time: some augmenters cannot take more channels than a picture has
    turned = [
        drawn.augment_image(np.ascontiguousarray(masks[:, :, i], np.uint8), hooks=hooks) for i in range(masks.shape[-1])
    ]
    _check_size("masks", turned[0].shape, masks.shape[:2])
    return augmented.astype(image.dtype, copy=False), np.stack(turned, axis=-1).astype(bool)


def _check_size(what, found, expected):
    if tuple(found[: len(expected)]) != tuple(expected):
        raise ValueError(
            f"the augmentation changed the shape of the {what} from {tuple(expected)} to {tuple(found)}: "
            "use augmenters that keep it (keep_size=True, Fliplr, Affine, ...)"
        )
