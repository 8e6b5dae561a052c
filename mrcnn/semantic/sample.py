"""One sample for semantic segmentation: an image and its class map, stretched to a size and augmented alike.

Shape letters: H W image file, h w input of the network, K classes of the data set with background.
"""

import cv2
import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.loading.sample import load_checked_image, load_parts, name_image
from mrcnn.semantic.class_map import nearest_positions, paint_classes


def make_semantic_sample(dataset, image_id, size, numbers, augmentation=None, rng=0, ignore_label=None):
    """Load an image with its class map, stretched to a size, and augment the two alike.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position of the image in it.
        size: (h, w) in pixels.
        numbers: int [K], as of `number_classes`. Of overlapping instances the highest number stays.
        augmentation: SemanticAugmentation or None.
        rng: numpy Generator, or an int seed.
        ignore_label: int. The number of the pixels that the data say nothing of (`Dataset.ignored_pixels`); None gives
            them that of the background.

    Returns:
        (image, class_map): float32 [h, w, 3] in [0, 1], grey repeated; int32 [h, w].

    Raises:
        DataError: the image or its instances are not usable; names the image.
    """
    image = load_checked_image(dataset, image_id)
    parts, class_ids = load_parts(dataset, image_id, image.shape[:2], dataset.num_classes)
    class_map = paint_classes(parts, numbers[np.abs(class_ids)], image.shape[:2], size)
    if ignore_label is not None:
        _mark_ignored(class_map, dataset, image_id, image.shape[:2], ignore_label)
    try:
        image = _unit_image(image, size)
    except ValueError as error:
        raise DataError(f"{name_image(dataset, image_id)}: {error}") from error
    if augmentation is not None:
        image, class_map = augmentation(image, class_map, rng)
    return image, class_map.astype(np.int32)


def _mark_ignored(class_map, dataset, image_id, original, label):
    """Give the pixels of a class map that nothing is known of, and no class covers, their number; in place."""
    try:
        ignored = dataset.ignored_pixels(image_id)
    except DataError as error:
        raise DataError(f"{name_image(dataset, image_id)}: {error}") from error
    if ignored is None:
        return
    if np.shape(ignored) != tuple(original):
        raise DataError(f"{name_image(dataset, image_id)}: ignored_pixels gave an array of shape {np.shape(ignored)}, and the "
                        f"image is of size {tuple(original)} (height, width)")  # fmt: skip
    rows, cols = (nearest_positions(old, new) for old, new in zip(original, class_map.shape, strict=True))
    class_map[np.asarray(ignored)[np.ix_(rows, cols)] & (class_map == 0)] = label


def _unit_image(image, size):
    """Resize an image [H, W, any] and bring it to float32 [h, w, 3] in [0, 1]."""
    channels = image.shape[2]
    if channels > 4:
        raise ValueError(f"the image has {channels} channels: override load_image to give 3")
    image = np.repeat(image[:, :, :1], 3, axis=2) if channels < 3 else image[:, :, :3]
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype.kind == "f":
        image = image.astype(np.float32)
        if not (image.min() >= 0 and image.max() <= 1):  # so that nan fails too
            raise ValueError(f"the image holds floats from {image.min():g} to {image.max():g}, expected 0 to 1, or uint8")
    elif image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"the image is {image.dtype}, expected uint8, uint16, or floats from 0 to 1")
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    image = cv2.resize(np.ascontiguousarray(image), (size[1], size[0]),
                       interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # fmt: skip
    return image if image.dtype == np.float32 else image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
