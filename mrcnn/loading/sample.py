"""One training sample: an image and its instances as the network takes them.

`make_sample` is a function of the image and of the generator given alone; the loader calls it in any order from any
worker.

Shape letters: H W C network input, h w masks, N instances, K classes with background.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int32, Shaped

from mrcnn.base.errors import DataError
from mrcnn.base.random import as_rng
from mrcnn.datasets.dataset import instances_of
from mrcnn.geometry.masks import BitMasks, minimize_mask
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.rasterize import Frame, as_instance, box_in_frame, draw_instance, move_instance, split_masks
from mrcnn.geometry.resize import apply_plan, plan_resize
from mrcnn.loading.augment import apply_affine, apply_flips, apply_imgaug, as_flip, is_affine


@dataclass(frozen=True)
class SampleSettings:
    """How a sample is made; each field is the Config attribute of like name.

    Attributes:
        resize_mode: str. "none", "square", "pad64" or "crop"; see `mrcnn.geometry.resize.resize_image`.
        min_dim: int. Pixels.
        max_dim: int. Pixels.
        min_scale: float. 0 or None for no bound.
        mini_mask_shape: (h, w) of the masks, or None for masks of the network's input size.
        num_classes: int. K, background included.
        num_channels: int. C that an image must have, or None to take any.
    """

    resize_mode: str = "square"
    min_dim: int | None = None
    max_dim: int | None = None
    min_scale: float | int | None = None
    mini_mask_shape: tuple | None = (56, 56)
    num_classes: int = 2
    num_channels: int | None = None


class Sample(NamedTuple):
    """One image and its instances in pixels of the network's input.

    Attributes:
        image: In the dtype of the file; the mean is not subtracted.
        image_meta: See `mrcnn.geometry.meta`.
        class_ids: Negative for crowds.
        boxes: Pixels.
        masks: Mini-masks, or masks of the size of the image.
    """

    image: Shaped[np.ndarray, "H W C"]
    image_meta: Float64[np.ndarray, " 12+K"]
    class_ids: Int32[np.ndarray, " N"]
    boxes: Int32[np.ndarray, "N 4"]
    masks: Bool[np.ndarray, "N h w"]


def make_sample(dataset, image_id, settings, augmentation=None, rng=None, out=None):
    """Load an image with its instances, resize and augment it.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position of the image in it.
        settings: SampleSettings.
        augmentation: an imgaug augmenter, a `RandomFlip`, or None. It must not change the image's size.
        rng: numpy Generator for the crop and the augmentation; None draws from NumPy's global state.
        out: contiguous array [H, W, C] that gets the pixels where the image is of its shape and dtype, so that a batch is
            written once; the image returned is then this very array. None takes new memory.

    Returns:
        The sample; its meta holds image_id as the id. Instances without a pixel are left out.

    Raises:
        DataError: the image or its instances are not usable; names the image, its path and the field.
        ValueError: the augmentation changes sizes, or the settings contradict themselves.
    """
    rng = as_rng(rng)
    image = load_checked_image(dataset, image_id, settings.num_channels)
    parts, class_ids = load_parts(dataset, image_id, image.shape[:2], settings.num_classes)
    active = _active_classes(dataset, image_id, settings.num_classes)
    plan = plan_resize(
        image.shape[:2], settings.min_dim, settings.max_dim, settings.min_scale, settings.resize_mode, rng
    )
    original_shape = image.shape
    if out is not None and (out.shape != (*plan.size, image.shape[2]) or out.dtype != image.dtype):
        out = None
    image, frame, window = apply_plan(image, plan, fast=True, out=out), Frame.of_plan(plan), plan.window
    flip = as_flip(augmentation)
    if flip is not None:
        flips = flip.draw(rng)
        image, window = apply_flips(image, flips, out=out), _flip_window(window, frame.size, flips)
        frame = frame.flipped(*flips)
    boxes = [box_in_frame(part, frame) for part in parts]
    kept = np.array([i for i, box in enumerate(boxes) if box is not None], np.int64)
    instances = [(parts[i], boxes[i]) for i in kept]
    if augmentation is None or flip is not None:
        boxes = np.array([box for _, box in instances], np.int32).reshape(-1, 4)
        masks = _draw(instances, frame, settings.mini_mask_shape)
    else:
        image, boxes, masks, seen = _augment(augmentation, image, instances, frame, settings.mini_mask_shape, rng)
        kept = kept[seen]
        if out is not None:
            out[...] = image
            image = out
    meta = compose_image_meta(image_id, original_shape, image.shape, window, plan.scale, active)
    return Sample(image, meta, class_ids[kept], boxes, masks)


def name_image(dataset, image_id):
    """Name an image for a message: its number, and its path or id at the source where known."""
    try:
        info = dataset.image_info[image_id]
        return f"image {image_id} (id {info['id']!r} of {info['source']!r}, path {info['path']})"
    except (AttributeError, IndexError, KeyError, TypeError):
        return f"image {image_id}"


def load_checked_image(dataset, image_id, num_channels=None):
    """Load an image and see that it is one.

    Args:
        dataset: Dataset, prepared.
        image_id: int.
        num_channels: int. Channels that it must have; None takes any.

    Returns:
        any number dtype [H, W, C]; C = 1 for an image without channels.

    Raises:
        DataError: it cannot be loaded, or is no image; names the image.
    """
    try:
        image = dataset.load_image(image_id)
    except Exception as error:
        raise DataError(f"{name_image(dataset, image_id)}: the image cannot be loaded: {_reason(error)}") from error
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.size == 0 or image.dtype.kind not in "buif":
        raise DataError(
            f"{name_image(dataset, image_id)}: load_image gave {image.dtype} of shape {image.shape}; "
            "expected numbers of shape [height, width, channels], none of them 0"
        )
    if num_channels and image.shape[2] != num_channels:
        raise DataError(
            f"{name_image(dataset, image_id)}: the image has {image.shape[2]} channels, the network takes {num_channels} "
            "(IMAGE_CHANNEL_COUNT): override load_image to give as many"
        )
    return image


def _reason(error):
    return str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"


def load_parts(dataset, image_id, size, num_classes):
    """Load and check the instances of an image.

    Args:
        dataset: Dataset, prepared.
        image_id: int.
        size: (H, W) of the image file as decoded.
        num_classes: int. K, background included.

    Returns:
        (parts, class_ids): list of N PolygonInstance or MaskInstance; int32 [N], negative for crowds.

    Raises:
        DataError: they cannot be loaded, or are of another size or class; names the image.
    """
    where = name_image(dataset, image_id)
    try:
        masks, class_ids = instances_of(dataset, image_id)
    except Exception as error:
        raise DataError(f"{where}: its masks cannot be loaded: {_reason(error)}") from error
    class_ids = np.asarray(class_ids).reshape(-1)
    is_dense = isinstance(masks, np.ndarray)
    found = (masks.shape[-1] if masks.ndim == 3 else -1) if is_dense else len(masks)
    if found != len(class_ids):
        shape = masks.shape if is_dense else (found,)
        raise DataError(
            f"{where}: masks of shape {shape} do not go with {len(class_ids)} class ids, one for each is needed"
        )
    if not len(class_ids):
        return [], np.zeros(0, np.int32)
    if is_dense and masks.shape[:2] != tuple(size):
        raise DataError(
            f"{where}: its masks are of size {masks.shape[:2]}, its image of size {tuple(size)} (height, width)"
        )
    if not is_dense:
        _check_listed_size(dataset, image_id, size, where)
    _check_class_ids(class_ids, num_classes, where)
    try:
        parts = split_masks(masks) if is_dense else [as_instance(segmentation, size) for segmentation in masks]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{where}: a segmentation is not usable: {error}") from error
    return parts, class_ids.astype(np.int32)


def _check_listed_size(dataset, image_id, size, where):
    """Polygons are in pixels of the size that the annotations list: the file must be of that size."""
    info = dataset.image_info[image_id]
    listed = (info.get("height", size[0]), info.get("width", size[1]))
    if tuple(listed) != tuple(size):
        raise DataError(
            f"{where}: its file is of size {tuple(size)} (height, width), its annotations say {tuple(listed)}"
        )


def _check_class_ids(class_ids, num_classes, where):
    if class_ids.dtype.kind not in "iuf" or not np.array_equal(class_ids, np.around(class_ids)):
        raise DataError(f"{where}: class ids must be whole numbers, and are {class_ids.tolist()}")
    bad = [int(i) for i in class_ids if not 0 < abs(i) < num_classes]
    if bad:
        raise DataError(
            f"{where}: class id {bad[0]} is out of range: of {num_classes} classes they go from 1 to {num_classes - 1} "
            "(0 is background, negative ones are crowds)"
        )


def _active_classes(dataset, image_id, num_classes):
    """Mark the classes that the image's own source annotates: int32 [K]."""
    active = np.zeros(num_classes, np.int32)
    source = dataset.image_info[image_id]["source"]
    ids = dataset.source_class_ids.get(source)
    if ids is None:
        raise DataError(
            f"{name_image(dataset, image_id)}: its source {source!r} has no classes; "
            f"those with classes are {sorted(filter(None, dataset.source_class_ids))}: call add_class and prepare first"
        )
    if max(ids) >= num_classes:
        raise DataError(
            f"{name_image(dataset, image_id)}: its source has classes up to {max(ids)}, NUM_CLASSES is {num_classes}"
        )
    active[ids] = 1
    return active


def _flip_window(window, size, flips):
    y1, x1, y2, x2 = window
    if flips[0]:
        y1, y2 = size[0] - y2, size[0] - y1
    if flips[1]:
        x1, x2 = size[1] - x2, size[1] - x1
    return y1, x1, y2, x2


def _draw(instances, frame, mini_mask_shape):
    """Draw instances as mini-masks, or at the size of the frame: bool [N, h, w]."""
    masks = np.zeros((len(instances), *(mini_mask_shape or frame.size)), bool)
    for mask, (part, box) in zip(masks, instances, strict=True):
        if mini_mask_shape:
            mask[...] = draw_instance(part, frame, box, tuple(mini_mask_shape))
        else:
            y1, x1, y2, x2 = box
            mask[y1:y2, x1:x2] = draw_instance(part, frame, box, (y2 - y1, x2 - x1))
    return masks


def _augment(augmentation, image, instances, frame, mini_mask_shape, rng):
    """Augment an image and its instances: image, boxes int32 [n, 4], masks bool [n, h, w], and which are still seen."""
    if is_affine(augmentation):
        image, matrix = apply_affine(augmentation, image, rng)
        return image, *_move(instances, frame, matrix, mini_mask_shape)
    drawn = BitMasks.empty(frame.size, len(instances))
    for i, (part, (y1, x1, y2, x2)) in enumerate(instances):
        drawn.put(i, (y1, x1, y2, x2), draw_instance(part, frame, (y1, x1, y2, x2), (y2 - y1, x2 - x1)))
    image, drawn = apply_imgaug(augmentation, image, drawn, rng)
    boxes = drawn.boxes()
    seen = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
    masks = np.zeros((len(seen), *(mini_mask_shape or frame.size)), bool)
    for mask, i in zip(masks, seen, strict=True):
        y1, x1, y2, x2 = boxes[i]
        cut = drawn.cut(i, boxes[i])
        if mini_mask_shape:
            mask[...] = minimize_mask([(0, 0, y2 - y1, x2 - x1)], cut[:, :, None], mini_mask_shape)[:, :, 0]
        else:
            mask[y1:y2, x1:x2] = cut
    return image, boxes[seen], masks, seen


def _move(instances, frame, matrix, mini_mask_shape):
    """Draw instances after an affine map of the network's input: boxes, masks and which are seen, as `_augment`."""
    if not np.array_equal(matrix, np.eye(2, 3)):
        moved = [move_instance(part, frame, matrix) for part, _ in instances]
        frame = Frame.of_input(frame.size)
        instances = [(part, None if part is None else box_in_frame(part, frame)) for part in moved]
    seen = np.array([i for i, (_, box) in enumerate(instances) if box is not None], np.int64)
    instances = [instances[i] for i in seen]
    boxes = np.array([box for _, box in instances], np.int32).reshape(-1, 4)
    return boxes, _draw(instances, frame, mini_mask_shape), seen
