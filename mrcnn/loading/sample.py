"""One training sample: an image and its instances in the form that the network takes.

`make_sample` depends only on the image and the given random generator, so the loader may call it in any order and from any
worker.

Shape letters: H W C network input, h w masks, N instances, K classes with background.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64, Shaped

from mrcnn.base.errors import DataError
from mrcnn.base.random import as_rng
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.geometry.masks import BitMasks, minimize_mask
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.rasterize import (
    Frame,
    MaskInstance,
    PolygonInstance,
    as_instance,
    box_in_frame,
    draw_instance,
    move_instance,
    split_masks,
)
from mrcnn.geometry.resize import TRAINING_RESIZE, ResizePlan, apply_plan, plan_resize
from mrcnn.io.images import nonfinite_fault, to_channels
from mrcnn.loading.augment import (
    ColorJitter,
    RandomFlip,
    RandomScale,
    apply_affine,
    apply_flips,
    apply_imgaug,
    as_flip,
    is_affine,
)
from mrcnn.loading.copy_paste import Placed, choose_objects, paste_objects

Instance: TypeAlias = PolygonInstance | MaskInstance
# (y1, x1, y2, x2) in pixels.
Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class SampleSettings:
    """How a sample is made; each field is the Config attribute of a similar name.

    Attributes:
        resize_mode: "none", "square", "pad64" or "crop"; see `mrcnn.geometry.resize.resize_image`.
        min_dim: pixels.
        max_dim: pixels.
        min_scale: minimum scale factor; 0 or None for no bound.
        mini_mask_shape: (h, w), or None for masks of the size of the network's input.
        num_classes: K.
        num_channels: C, the number that `mrcnn.io.images.to_channels` converts images to.
        random_scale: draws the scale of an image in mode "square"; None scales as `resize_mode` says.
        in_corner: see `mrcnn.geometry.resize.plan_resize`.
        resize_method: see `mrcnn.geometry.resize.plan_resize`.
    """

    resize_mode: str = "square"
    min_dim: int | None = None
    max_dim: int | None = None
    min_scale: float | int | None = None
    mini_mask_shape: tuple | None = (56, 56)
    num_classes: int = 2
    num_channels: int = 3
    random_scale: RandomScale | None = None
    in_corner: bool = False
    resize_method: str = "classic"

    def plan(self, size: tuple[int, int], rng: np.random.Generator) -> ResizePlan:
        """Plan how to resize an image of (height, width)."""
        if self.random_scale is not None and self.max_dim is not None:
            return self.random_scale.plan(size, self.max_dim, rng, self.in_corner)
        return plan_resize(size, self.min_dim, self.max_dim, self.min_scale, self.resize_mode, rng, self.in_corner,
                           self.resize_method)  # fmt: skip


class Sample(NamedTuple):
    """One image and its instances in pixels of the network's input.

    Attributes:
        image: uint8 or float32, from `mrcnn.io.images.to_channels`; the mean is not subtracted.
        image_meta: see `mrcnn.geometry.meta`.
        class_ids: negative for crowds.
        boxes: pixels.
        masks: mini-masks, or masks of the size of the image.
    """

    image: Shaped[np.ndarray, "H W C"]
    image_meta: Float64[np.ndarray, " 12+K"]
    class_ids: Int32[np.ndarray, " N"]
    boxes: Int32[np.ndarray, "N 4"]
    masks: Bool[np.ndarray, "N h w"]


def make_sample(
    dataset: Dataset,
    image_id: int | np.integer,
    settings: SampleSettings,
    augmentation: Any = None,
    rng: np.random.Generator | None = None,
    out: Shaped[np.ndarray, "H W C"] | None = None,
    paste_from: int | np.integer | None = None,
) -> Sample:
    """Load an image with its instances, resize it and augment it.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        settings: see `SampleSettings`.
        augmentation: imgaug augmenter, `RandomFlip`, `ColorJitter` or None. It must not change the size of the image.
        rng: draws the scale, the crop and the augmentation; None uses NumPy's global state.
        out: contiguous memory for the pixels, so that a batch is written only once. It is used as the sample's image if the
            image has its shape and dtype; otherwise, and with None, the image is allocated.
        paste_from: index of an image whose objects are pasted on this one; see `mrcnn.loading.copy_paste`. None pastes nothing.

    Returns:
        The sample; its meta holds image_id as the id. Instances without pixels are dropped.

    Raises:
        DataError: the image or its instances cannot be used; the message names the image, its path and the field.
        PasteSourceError: the image `paste_from` cannot be used, for the same reasons.
        ValueError: the augmentation changes the size, or the settings contradict each other.
    """
    rng = as_rng(rng)
    jitter, flip, rest = _parts(augmentation)
    scene = _place(dataset, image_id, settings, jitter, flip, rng, out)
    if paste_from is not None:
        scene = _paste(scene, dataset, paste_from, settings, jitter, flip, rng, out)
    image, kept = scene.image, np.arange(len(scene.class_ids))
    if rest is None:
        boxes, masks = _box_array(scene.placed), _draw(scene.placed, image.shape[:2], settings.mini_mask_shape)
    else:
        image, boxes, masks, kept = _augment(rest, image, scene.placed, settings.mini_mask_shape, rng)
        if scene.image is out:
            out[...] = image
            image = out
    meta = compose_image_meta(image_id, scene.original_shape, image.shape, scene.window, scene.scale, scene.active)
    return Sample(image, meta, scene.class_ids[kept], boxes, masks)


def _parts(augmentation: Any) -> tuple[ColorJitter | None, RandomFlip | None, Any]:
    """Return the parts of an augmentation in their order: changes of colours, a flip, anything else. None for no such part."""
    jitter = augmentation if isinstance(augmentation, ColorJitter) else None
    rest = augmentation if jitter is None else jitter.then
    flip = as_flip(rest)
    return jitter, flip, rest if flip is None else None


class _Scene(NamedTuple):
    """A resized image and its visible instances.

    Attributes:
        image: pixels.
        placed: the N visible instances.
        class_ids: of these.
        window: (y1, x1, y2, x2) of the image file in the network's input.
        scale: network's input / image file.
        original_shape: of the image file.
        active: the classes that its source annotates.
    """

    image: Shaped[np.ndarray, "H W C"]
    placed: list[Placed]
    class_ids: Int32[np.ndarray, " N"]
    window: Box
    scale: float
    original_shape: tuple[int, ...]
    active: Int32[np.ndarray, " K"]


def _place(
    dataset: Dataset,
    image_id: int | np.integer,
    settings: SampleSettings,
    jitter: ColorJitter | None,
    flip: RandomFlip | None,
    rng: np.random.Generator,
    out: Shaped[np.ndarray, "H W C"] | None,
) -> _Scene:
    """Load an image with its instances, resize it, change its colours and flip it.

    The image of the scene is `out`, if that has its shape and dtype.
    """
    image = load_checked_image(dataset, image_id, settings.num_channels)
    loaded, class_ids = load_checked_instances(dataset, image_id, image.shape[:2], settings.num_classes)
    active = _active_classes(dataset, image_id, settings.num_classes)
    plan = settings.plan(image.shape[:2], rng)
    original_shape = image.shape
    if out is not None and (out.shape != (*plan.size, image.shape[2]) or out.dtype != image.dtype):
        out = None
    image = apply_plan(image, plan, TRAINING_RESIZE[settings.resize_method], out)
    frame, window = Frame.of_plan(plan), plan.window
    if jitter is not None:
        image = _recolor(jitter, image, window, rng, out)
    if flip is not None:
        flips = flip.draw(rng)
        image, window = apply_flips(image, flips, out=out), _flip_window(window, frame.size, flips)
        frame = frame.flipped(*flips)
    visible = [(i, instance, box) for i, instance in enumerate(loaded) if (box := box_in_frame(instance, frame)) is not None]
    placed = [Placed(instance, frame, box) for _, instance, box in visible]
    kept = np.array([i for i, _, _ in visible], np.int64)
    return _Scene(image, placed, class_ids[kept], window, plan.scale, original_shape, active)


def _paste(
    scene: _Scene,
    dataset: Dataset,
    paste_from: int | np.integer,
    settings: SampleSettings,
    jitter: ColorJitter | None,
    flip: RandomFlip | None,
    rng: np.random.Generator,
    out: Shaped[np.ndarray, "H W C"] | None,
) -> _Scene:
    """Paste objects of another image, which is scaled, recoloured and flipped by draws of its own."""
    try:
        other = _place(dataset, paste_from, settings, jitter, flip, rng, None)
    except DataError as error:
        raise PasteSourceError(str(error)) from error
    chosen = choose_objects(other.class_ids, scene.active, rng)
    if not len(chosen) or other.image.dtype != scene.image.dtype or other.image.shape != scene.image.shape:
        return scene
    image = scene.image if scene.image is out else scene.image.copy()  # it may belong to the data set
    pasted = [other.placed[i] for i in chosen]
    placed, kept = paste_objects(image, scene.placed, other.image, pasted)
    class_ids = np.concatenate([scene.class_ids[kept], other.class_ids[chosen]])
    return scene._replace(image=image, placed=placed + pasted, class_ids=class_ids)


class PasteSourceError(DataError):
    """The image whose objects were to be pasted cannot be used."""


def _recolor(
    jitter: ColorJitter,
    image: Shaped[np.ndarray, "H W C"],
    window: Box,
    rng: np.random.Generator,
    out: Shaped[np.ndarray, "H W C"] | None,
) -> Shaped[np.ndarray, "H W C"]:
    """Change the colours of an image in `out`, if it is given."""
    recolored = jitter.apply(image, window, rng)
    if out is None or recolored is out:
        return recolored
    out[...] = recolored
    return out


def name_image(dataset: Any, image_id: object) -> str:
    """Return the name of an image for a message: its index and, if known, its id at the source and its path."""
    try:
        info = dataset.image_info[image_id]
        return f"image {image_id} (id {info['id']!r} of {info['source']!r}, path {info['path']})"
    except (AttributeError, IndexError, KeyError, TypeError):
        return f"image {image_id}"


def load_checked_image(
    dataset: Dataset, image_id: int | np.integer, num_channels: int | None = None
) -> Shaped[np.ndarray, "H W C"]:
    """Load an image and check that it is valid.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        num_channels: C, the number that `mrcnn.io.images.to_channels` converts the image to, as in detection. None does not
            convert it.

    Returns:
        The image. With None, of any numeric dtype; C = 1 for an image without a channel axis.

    Raises:
        DataError: the image cannot be loaded, is not an image, or cannot be converted; the message names it.
    """
    try:
        image = dataset.load_image(image_id)
    except MemoryError:
        raise
    except Exception as error:  # a user's load_image may raise anything
        raise DataError(f"{name_image(dataset, image_id)}: the image cannot be loaded: {_reason(error)}") from error
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.size == 0 or image.dtype.kind not in "buif":
        raise DataError(
            f"{name_image(dataset, image_id)}: load_image returned {image.dtype} of shape {image.shape}; "
            "expected numbers of shape [height, width, channels], none of them 0"
        )
    fault = nonfinite_fault(image)
    if fault:
        raise DataError(f"{name_image(dataset, image_id)}: the image {fault}")
    if num_channels is None:
        return image
    try:
        return to_channels(image, num_channels)
    except ValueError as error:
        raise DataError(
            f"{name_image(dataset, image_id)}: {error} (IMAGE_CHANNEL_COUNT is {num_channels}): "
            "override load_image to convert the image"
        ) from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"


def load_checked_instances(
    dataset: Dataset, image_id: int | np.integer, size: tuple[int, int], num_classes: int
) -> tuple[list[Instance], Int32[np.ndarray, " N"]]:
    """Load the instances of an image and check them.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        size: (height, width) of the decoded image.
        num_classes: K.

    Returns:
        The N instances, and their class ids, negative for crowds.

    Raises:
        DataError: the instances cannot be loaded, or their size or class is wrong; the message names the image.
    """
    where = name_image(dataset, image_id)
    try:
        masks, class_ids = instances_of(dataset, image_id)
    except MemoryError:
        raise
    except Exception as error:  # a user's load_mask may raise anything
        raise DataError(f"{where}: its masks cannot be loaded: {_reason(error)}") from error
    class_ids = np.asarray(class_ids).reshape(-1)
    is_dense = isinstance(masks, np.ndarray)
    count = (masks.shape[-1] if masks.ndim == 3 else -1) if is_dense else len(masks)
    if count != len(class_ids):
        shape = masks.shape if is_dense else (count,)
        raise DataError(f"{where}: there are masks of shape {shape} and {len(class_ids)} class ids; each mask needs one")
    if is_dense and (class_ids == 0).any():  # a placeholder for "nothing here": zeros((h, w, 1)), zeros((1,))
        has_pixels = masks.reshape(-1, count).any(axis=0)
        masks, class_ids = masks[:, :, has_pixels], class_ids[has_pixels]
    if not len(class_ids):
        return [], np.zeros(0, np.int32)
    if is_dense and masks.shape[:2] != tuple(size):
        raise DataError(
            f"{where}: its masks are of size {masks.shape[:2]}, but its image is of size {tuple(size)} (height, width)"
        )
    if not is_dense:
        _check_listed_size(dataset, image_id, size, where)
    _check_class_ids(class_ids, num_classes, where)
    instances: list[Instance]
    try:
        instances = [*split_masks(masks)] if is_dense else [as_instance(segmentation, size) for segmentation in masks]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{where}: a segmentation cannot be used: {error}") from error
    return instances, class_ids.astype(np.int32)


def _check_listed_size(dataset: Dataset, image_id: int | np.integer, size: tuple[int, int], where: str) -> None:
    """Check the size of the decoded image, because polygons are in pixels of the size that the annotations list."""
    info = dataset.image_info[image_id]
    listed = (info.get("height", size[0]), info.get("width", size[1]))
    if tuple(listed) != tuple(size):
        raise DataError(
            f"{where}: its file is of size {tuple(size)} (height, width), but its annotations say {tuple(listed)}"
        )


def _check_class_ids(class_ids: Shaped[np.ndarray, " N"], num_classes: int, where: str) -> None:
    if class_ids.dtype.kind not in "iuf" or not np.array_equal(class_ids, np.around(class_ids)):
        raise DataError(f"{where}: class ids must be whole numbers, but are {class_ids.tolist()}")
    bad = [int(i) for i in class_ids if not 0 < abs(i) < num_classes]
    if bad:
        raise DataError(
            f"{where}: class id {bad[0]} is out of range: with {num_classes} classes, ids are 1 to {num_classes - 1} "
            "(0 is background, negative ids are crowds)"
        )


def _active_classes(dataset: Dataset, image_id: int | np.integer, num_classes: int) -> Int32[np.ndarray, " K"]:
    """Return 1 for each class that the source of an image annotates, 0 for the others."""
    active = np.zeros(num_classes, np.int32)
    source = dataset.image_info[image_id]["source"]
    ids = dataset.source_class_ids.get(source)
    if ids is None:
        raise DataError(
            f"{name_image(dataset, image_id)}: its source {source!r} has no classes; "
            f"the sources with classes are {sorted(filter(None, dataset.source_class_ids))}: call add_class, then prepare"
        )
    if max(ids) >= num_classes:
        raise DataError(
            f"{name_image(dataset, image_id)}: its source has classes up to {max(ids)}, but NUM_CLASSES is {num_classes}"
        )
    active[ids] = 1
    return active


def _flip_window(window: Box, size: tuple[int, int], flips: tuple[bool, bool]) -> Box:
    y1, x1, y2, x2 = window
    if flips[0]:
        y1, y2 = size[0] - y2, size[0] - y1
    if flips[1]:
        x1, x2 = size[1] - x2, size[1] - x1
    return y1, x1, y2, x2


def _box_array(placed: list[Placed]) -> Int32[np.ndarray, "N 4"]:
    return np.array([each.box for each in placed], np.int32).reshape(-1, 4)


def _draw(placed: list[Placed], size: tuple[int, int], mini_mask_shape: tuple | None) -> Bool[np.ndarray, "N h w"]:
    """Draw instances as mini-masks, or at the size of the network's input."""
    masks = np.zeros((len(placed), *(mini_mask_shape or size)), bool)
    for mask, (instance, frame, box) in zip(masks, placed, strict=True):
        if mini_mask_shape:
            mask[...] = draw_instance(instance, frame, box, tuple(mini_mask_shape))
        else:
            y1, x1, y2, x2 = box
            mask[y1:y2, x1:x2] = draw_instance(instance, frame, box, (y2 - y1, x2 - x1))
    return masks


def _augment(
    augmentation: Any,
    image: Shaped[np.ndarray, "H W C"],
    placed: list[Placed],
    mini_mask_shape: tuple | None,
    rng: np.random.Generator,
) -> tuple[Shaped[np.ndarray, "H W C"], Int32[np.ndarray, "N 4"], Bool[np.ndarray, "N h w"], Int64[np.ndarray, " N"]]:
    """Augment an image and its instances.

    Returns:
        The image; the boxes and masks of the instances that are still visible; and their indices in `placed`.
    """
    if is_affine(augmentation):
        image, matrix = apply_affine(augmentation, image, rng)
        return image, *_move(placed, image.shape[:2], matrix, mini_mask_shape)
    drawn = BitMasks.empty(image.shape[:2], len(placed))
    for i, (instance, frame, (y1, x1, y2, x2)) in enumerate(placed):
        drawn.put(i, (y1, x1, y2, x2), draw_instance(instance, frame, (y1, x1, y2, x2), (y2 - y1, x2 - x1)))
    image, drawn = apply_imgaug(augmentation, image, drawn, rng)
    boxes = drawn.boxes()
    visible = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
    masks = np.zeros((len(visible), *(mini_mask_shape or image.shape[:2])), bool)
    for mask, i in zip(masks, visible, strict=True):
        y1, x1, y2, x2 = boxes[i]
        cut = drawn.cut(i, boxes[i])
        if mini_mask_shape:
            mask[...] = minimize_mask([(0, 0, y2 - y1, x2 - x1)], cut[:, :, None], mini_mask_shape)[:, :, 0]
        else:
            mask[y1:y2, x1:x2] = cut
    return image, boxes[visible], masks, visible


def _move(
    placed: list[Placed],
    size: tuple[int, int],
    matrix: Float[np.ndarray, "2 3"],
    mini_mask_shape: tuple | None,
) -> tuple[Int32[np.ndarray, "N 4"], Bool[np.ndarray, "N h w"], Int64[np.ndarray, " N"]]:
    """Transform instances by an affine map of the network's input, and draw them: the result of `_augment` less the image."""
    if np.array_equal(matrix, np.eye(2, 3)):
        visible = list(enumerate(placed))
    else:
        moved = [move_instance(each.instance, each.frame, matrix) for each in placed]
        frame = Frame.of_input(size)
        visible = [(i, Placed(instance, frame, box)) for i, instance in enumerate(moved)
                   if instance is not None and (box := box_in_frame(instance, frame)) is not None]  # fmt: skip
    kept = [each for _, each in visible]
    return _box_array(kept), _draw(kept, size, mini_mask_shape), np.array([i for i, _ in visible], np.int64)
