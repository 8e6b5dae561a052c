"""One sample for semantic segmentation: an image and its class map, stretched to a size and augmented alike.

Shape letters: H W image file, h w input of the network, N instances, K classes of the data set with background.
"""

import cv2
import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.geometry.polygons import rasterize_polygons, transform_polygons
from mrcnn.geometry.rasterize import MaskInstance
from mrcnn.loading.sample import load_checked_image, load_parts, name_image


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


def nearest_positions(length, count):
    """Find the pixel that the centre of each sample falls on, when a line of pixels is resized.

    Args:
        length: int. Pixels of the line.
        count: int. Samples spread over it.

    Returns:
        int64 [count]. floor((i + 1/2) * length / count), computed in whole numbers.
    """
    return (2 * np.arange(count, dtype=np.int64) + 1) * int(length) // (2 * int(count))


def paint_classes(parts, numbers, original, size):
    """Paint instances into one map. Where they overlap, the higher number stays.

    A pixel of the map takes what lies under its centre: polygons are drawn at the size of the map, dense masks are
    sampled at the nearest pixel. No value arises that is not among `numbers`, and where masks meet no seam of 0 does.

    Args:
        parts: list of N PolygonInstance or MaskInstance, of `mrcnn.geometry.rasterize.as_instance`.
        numbers: int [N]. 0 leaves an instance out.
        original: (H, W) of the image file that the parts are in.
        size: (h, w) of the map.

    Returns:
        uint16 [h, w]. 0 where there is nothing.

    Raises:
        ValueError: a number is negative or above 65535.
    """
    numbers = np.asarray(numbers, np.int64).reshape(-1)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= np.iinfo(np.uint16).max:
        raise ValueError(f"the numbers of a class map go from 0 to 65535, and are {numbers.min()} to {numbers.max()}")
    painted = np.zeros(tuple(size), np.uint16)
    rows, cols = (nearest_positions(old, new) for old, new in zip(original, size, strict=True))
    scale = tuple(new / old for old, new in zip(original, size, strict=True))
    for i in np.argsort(numbers, kind="stable"):
        if not numbers[i]:
            continue
        if isinstance(parts[i], MaskInstance):
            _paint_dense(painted, parts[i], numbers[i], rows, cols)
        else:
            painted[rasterize_polygons(transform_polygons(parts[i].polygons, scale, (0.0, 0.0)), size)] = numbers[i]
    return painted


def _paint_dense(painted, part, number, rows, cols):
    """Sample a mask at (rows, cols) of the image file and paint what is inside, in place."""
    (y1, x1, y2, x2) = part.bounds
    # the positions rise, so that those within the mask's box are one stretch
    top, bottom = np.searchsorted(rows, (y1, y2))
    left, right = np.searchsorted(cols, (x1, x2))
    if bottom > top and right > left:
        inside = part.mask[np.ix_(rows[top:bottom] - y1, cols[left:right] - x1)]
        painted[top:bottom, left:right][inside] = number
