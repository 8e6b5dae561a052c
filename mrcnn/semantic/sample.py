"""One sample for semantic segmentation: an image and its class map, resized and augmented together.

Shape letters: H W image file, h w input of the network, N instances, K classes of the data set with background.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Int32, Int64, Integer, Shaped, UInt16

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.polygons import rasterize_polygons, transform_polygons
from mrcnn.geometry.rasterize import MaskInstance, PolygonInstance
from mrcnn.loading.sample import load_checked_image, load_checked_instances, name_image

# (image, class map, random generator or seed) -> augmented image and class map
Augmentation = Callable[[np.ndarray, np.ndarray, np.random.Generator | int], tuple[np.ndarray, np.ndarray]]


def make_semantic_sample(
    dataset: Dataset,
    image_id: int,
    size: tuple[int, int],
    numbers: Integer[np.ndarray, " K"],
    augmentation: Augmentation | None = None,
    rng: np.random.Generator | int = 0,
    ignore_label: int | None = None,
) -> tuple[Float32[np.ndarray, "h w 3"], Int32[np.ndarray, "h w"]]:
    """Load an image with its class map, resize both regardless of aspect ratio, and augment them together.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        size: (height, width) in pixels.
        numbers: number of each class, from `number_classes`. Where instances overlap, the highest number wins.
        augmentation: for example a `SemanticAugmentation`.
        rng: generator or seed of the augmentation.
        ignore_label: value of unlabelled pixels (`Dataset.ignored_pixels`); None makes them background.

    Returns:
        The image, in 0..1 with grey repeated, and its class map.

    Raises:
        DataError: the image or its instances are not usable.
    """
    image = load_checked_image(dataset, image_id)
    parts, class_ids = load_checked_instances(dataset, image_id, image.shape[:2], dataset.num_classes)
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


def _mark_ignored(
    class_map: UInt16[np.ndarray, "h w"], dataset: Dataset, image_id: int, original: tuple[int, ...], label: int
) -> None:
    """Set unlabelled pixels that no class covers to the ignore label, in place."""
    try:
        ignored = dataset.ignored_pixels(image_id)
    except DataError as error:
        raise DataError(f"{name_image(dataset, image_id)}: {error}") from error
    if ignored is None:
        return
    if np.shape(ignored) != tuple(original):
        raise DataError(f"{name_image(dataset, image_id)}: ignored_pixels returned an array of shape {np.shape(ignored)}, "
                        f"expected the image's size {tuple(original)} (height, width)")  # fmt: skip
    rows, cols = (nearest_positions(old, new) for old, new in zip(original, class_map.shape, strict=True))
    class_map[np.asarray(ignored)[np.ix_(rows, cols)] & (class_map == 0)] = label


def _unit_image(image: Shaped[np.ndarray, "H W C"], size: tuple[int, int]) -> Float32[np.ndarray, "h w 3"]:
    """Resize an image and convert it to RGB in 0..1."""
    channels = image.shape[2]
    if channels > 4:
        raise ValueError(f"the image has {channels} channels: override load_image to give 3")
    image = np.repeat(image[:, :, :1], 3, axis=2) if channels < 3 else image[:, :, :3]
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype.kind == "f":
        image = image.astype(np.float32)
        if not (image.min() >= 0 and image.max() <= 1):  # nan fails too
            raise ValueError(f"the image has floats from {image.min():g} to {image.max():g}, expected 0 to 1, or uint8")
    elif image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"the image is {image.dtype}, expected uint8, uint16, or floats from 0 to 1")
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    image = cv2.resize(np.ascontiguousarray(image), (size[1], size[0]),
                       interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # fmt: skip
    return image if image.dtype == np.float32 else np.divide(image, 255 if image.dtype == np.uint8 else 65535, dtype=np.float32)


def nearest_positions(length: int, count: int) -> Int64[np.ndarray, " count"]:
    """Find the source pixel under the centre of each of `count` samples when a line of `length` pixels is resized.

    Returns:
        floor((i + 1/2) * length / count), computed exactly in integers.
    """
    return (2 * np.arange(count, dtype=np.int64) + 1) * int(length) // (2 * int(count))


def paint_classes(
    parts: Sequence[PolygonInstance | MaskInstance],
    numbers: npt.ArrayLike,
    original: tuple[int, ...],
    size: tuple[int, int],
) -> UInt16[np.ndarray, "h w"]:
    """Paint instances into a class map. Where they overlap, the higher number wins.

    A pixel of the map takes the value under its centre: polygons are drawn at the size of the map, and dense masks are
    sampled at the nearest pixel. So the map contains only 0 and `numbers`, and has no gaps between touching masks.

    Args:
        parts: N instances, from `geometry.rasterize.as_instance`.
        numbers: [N]; 0 skips an instance.
        original: (height, width) of the image file, to which the instances refer.
        size: (height, width) of the map.

    Returns:
        The map, 0 for background.

    Raises:
        ValueError: a number is negative or above 65535.
    """
    numbers = np.asarray(numbers, np.int64).reshape(-1)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= np.iinfo(np.uint16).max:
        raise ValueError(f"numbers of a class map from {numbers.min()} to {numbers.max()}, expected from 0 to 65535")
    painted = np.zeros(tuple(size), np.uint16)
    rows, cols = (nearest_positions(old, new) for old, new in zip(original, size, strict=True))
    scale = size[0] / original[0], size[1] / original[1]
    for i in np.argsort(numbers, kind="stable"):
        if not numbers[i]:
            continue
        part = parts[i]
        if isinstance(part, MaskInstance):
            _paint_dense(painted, part, int(numbers[i]), rows, cols)
        else:
            painted[rasterize_polygons(transform_polygons(part.polygons, scale, (0.0, 0.0)), size)] = numbers[i]
    return painted


def _paint_dense(
    painted: UInt16[np.ndarray, "h w"],
    part: MaskInstance,
    number: int,
    rows: Int64[np.ndarray, " h"],
    cols: Int64[np.ndarray, " w"],
) -> None:
    """Sample a mask at (rows, cols) of the image, and write the number where the mask is set, in place."""
    y1, x1, y2, x2 = part.bounds
    # rows and cols ascend, so the positions inside the mask's box are contiguous
    top, bottom = np.searchsorted(rows, (y1, y2))
    left, right = np.searchsorted(cols, (x1, x2))
    if bottom > top and right > left:
        inside = part.mask[np.ix_(rows[top:bottom] - y1, cols[left:right] - x1)]
        painted[top:bottom, left:right][inside] = number
