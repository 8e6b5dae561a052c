"""Batches of images and class maps for semantic segmentation: choosing images, numbering classes, ordering epochs.

`batches[step]` depends only on the seed and the step, so any worker can make any batch in any order.

Shape letters: B images, h w input of the network, K classes of the data set with background.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Integer

from mrcnn.base.errors import DataError, warn_of_one_more
from mrcnn.base.text import printable
from mrcnn.datasets.catalog import open_dataset
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.loading.sample import name_image
from mrcnn.semantic.augment import as_augmentation
from mrcnn.semantic.sample import make_semantic_sample

logger = logging.getLogger(__name__)

MASK_TYPES = ("binary", "normal")
# separate random streams for the choice of images, the order of an epoch, and its samples
FILTER_STREAM, ORDER_STREAM, SAMPLE_STREAM = 0, 1, 2
BACKGROUND = "background"
# largest value of a class map
_MAX_LABEL = 65535


def filter_images(
    source: Dataset | PathLike[str] | str,
    classes: Sequence[str] | str | None = None,
    mode: str | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> tuple[Dataset, Int64[np.ndarray, " n"]]:
    """Find the images that contain an instance, or a crowd, of at least one of the classes.

    Args:
        source: path of a data set in any format that `mrcnn.datasets.open` reads, or a prepared Dataset.
        classes: names; None for all images, including those without instances.
        mode: subset of the data set at a path, such as "train" or "val"; None if it has no subsets.
        seed: of the order.
        **options: of `mrcnn.datasets.open`, such as format or year.

    Returns:
        The prepared data set, and the indices of the images in it, in random order.

    Raises:
        DataError: the data cannot be opened, a class is unknown, or no image has one of the classes.
        ValueError: mode or options were given together with a Dataset.
    """
    if isinstance(source, Dataset):
        if mode is not None or options:
            raise ValueError("mode and options are only for a path, but source is an open Dataset: omit them")
        dataset = source
    else:
        dataset = open_dataset(source, subset=mode, **options)
    ids = np.asarray(dataset.image_ids, np.int64)
    if classes is not None:
        wanted = number_classes(dataset, classes) > 0
        ids = np.array([i for i in ids if _has_class(dataset, int(i), wanted)], np.int64)
    if not len(ids):
        raise DataError(
            "the data set has no images: call prepare() once they are added"
            if classes is None else f"no image has any of the classes {', '.join(class_list(dataset, classes))}"
        )  # fmt: skip
    return dataset, np.random.default_rng([int(seed), FILTER_STREAM]).permutation(ids)


def _has_class(dataset: Dataset, image_id: int, wanted: Bool[np.ndarray, " K"]) -> bool:
    """Return whether an image has an instance of a wanted class; an unusable image is logged and has none."""
    try:
        class_ids = np.abs(np.asarray(instances_of(dataset, image_id)[1], np.int64)).reshape(-1)
        return bool(wanted[class_ids].any())
    except Exception as error:  # a user's `load_mask` may raise anything
        logger.warning("%s is skipped: %s", printable(name_image(dataset, image_id)), printable(error))
        return False


def class_list(dataset: Dataset, classes: Sequence[str] | str | None = None) -> list[str]:
    """List the names of the chosen classes.

    Args:
        dataset: prepared.
        classes: names, one name, or None for all classes of the data set; names shared by several sources count once.

    Raises:
        DataError: a name is unknown, repeated, or the background's; or there is no name.
    """
    known = list(dict.fromkeys(dataset.class_names[1:]))
    if classes is None:
        return known
    names = [classes] if isinstance(classes, str) else list(classes)
    for position, name in enumerate(names):
        if name not in known:
            shown = ", ".join(known[:100]) + (", ..." if len(known) > 100 else "")
            raise DataError(f"the data set has no class {name!r}; it has {shown}")
        if name in names[:position]:
            raise DataError(f"the class {name!r} is given twice")
    if not names:
        raise DataError("classes is empty: give names, or None for all classes")
    return names


def number_classes(
    dataset: Dataset, classes: Sequence[str] | str | None = None, mask_type: str = "normal"
) -> Int64[np.ndarray, " K"]:
    """Assign each class of a data set its number in the class map.

    Args:
        dataset: prepared. Classes with the same name, from several sources, get the same number.
        classes: see `class_list`.
        mask_type: "binary" assigns 1 to all chosen classes; "normal" numbers them from 1 in the given order.

    Returns:
        Numbers by class id; 0 for the background and for classes that were not chosen.

    Raises:
        DataError: see `class_list`.
        ValueError: the mask_type is unknown.
    """
    if mask_type not in MASK_TYPES:
        raise ValueError(f"mask_type is {mask_type!r}, expected {' or '.join(MASK_TYPES)}")
    number = {name: k for k, name in enumerate(class_list(dataset, classes), start=1)}
    numbers = np.array([0] + [number.get(name, 0) for name in dataset.class_names[1:]], np.int64)
    return np.minimum(numbers, 1) if mask_type == "binary" else numbers


class SemanticBatches:
    """Batches of images and class maps.

    `len(batches)` is the number of batches per epoch; the last may be smaller. `batches[step]` is batch
    `step % len(batches)` of epoch `step // len(batches)`, for any step >= 0: a tuple of

        images: float32 [B, h, w, 3], values 0..1.
        masks: int32 [B, h, w, 1]. With "binary", 1 for any of the classes; with "normal", k for the k-th class, and the
            highest number where classes overlap. 0 is background. `ignore_label` marks unlabelled pixels: 255 in a class map,
            void in Pascal VOC, pixels outside all segments of a panoptic PNG.

    Each image occurs once per epoch. An unusable image is logged once, recorded in `broken`, and replaced by the next usable
    image of the epoch. The object can be used from several threads, and pickled for other processes.

    Args:
        dataset: prepared.
        input_size: (height, width) in pixels, to which images are resized regardless of aspect ratio.
        classes: names; None for all classes.
        mask_type: "binary" or "normal".
        image_ids: indices in the data set; None uses the images with one of the classes, or all images if `classes` is
            None.
        augmentation: SemanticAugmentation, a dict of its arguments, or None.
        shuffle: whether to shuffle each epoch; otherwise images keep the order of `image_ids`.
        workers: number of threads that make the samples of a batch.
        ignore_label: larger than all class numbers, up to 65535, for losses and metrics that can ignore pixels, such as
            `keras.losses.SparseCategoricalCrossentropy(ignore_class=255)`. None makes unlabelled pixels background.

    Attributes:
        class_names: names by number, "background" first.
        broken: the reason for each unusable image found so far, by image id.

    Raises:
        DataError: no image has any of the classes, or a class is unknown.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        dataset: Dataset,
        input_size: Sequence[object],
        batch_size: int,
        *,
        classes: Sequence[str] | str | None = None,
        mask_type: str = "binary",
        image_ids: Sequence[int] | Integer[np.ndarray, " n"] | None = None,
        augmentation: object = None,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 1,
        ignore_label: int | None = None,
    ) -> None:
        sides = [int(v) for v in input_size if isinstance(v, int | np.integer) and v > 0]
        if len(input_size) != 2 or len(sides) != 2:
            raise ValueError(f"input_size is {input_size!r}, expected (height, width) in pixels")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        self.workers = max(int(workers), 1)
        self.numbers = number_classes(dataset, classes, mask_type)
        self.dataset, self.batch_size, self.mask_type = dataset, int(batch_size), mask_type
        self.input_size = (sides[0], sides[1])
        self.augmentation = as_augmentation(augmentation)
        self.shuffle, self.seed = shuffle, int(seed)
        names = class_list(dataset, classes)
        if mask_type == "binary":
            names = ["any class" if classes is None else " or ".join(names)]
        self.class_names = [BACKGROUND, *names]
        if ignore_label is not None and not len(names) < ignore_label <= _MAX_LABEL:
            raise ValueError(f"ignore_label is {ignore_label}, expected a number such as 255: above {len(names)}, the number "
                             f"of the last class, and up to {_MAX_LABEL}")  # fmt: skip
        self.ignore_label = ignore_label
        if image_ids is None:
            image_ids = filter_images(dataset, classes, seed=seed)[1]
        self.image_ids = np.asarray(image_ids, np.int64)
        if not len(self.image_ids):
            raise DataError("image_ids is empty: there are no images to make batches from")
        self.broken: dict[int, str] = {}
        # the last epoch requested, and its order
        self._order: tuple[int, np.ndarray] = (-1, self.image_ids)

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return -(-len(self.image_ids) // self.batch_size)

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the image ids in the order of an epoch, counted from 0."""
        if not self.shuffle:
            return self.image_ids
        cached_epoch, order = self._order
        if cached_epoch == epoch:
            return order
        order = np.random.default_rng([self.seed, ORDER_STREAM, epoch]).permutation(self.image_ids)
        self._order = (epoch, order)
        return order

    def __getitem__(self, step: int) -> tuple[Float32[np.ndarray, "B h w 3"], Int32[np.ndarray, "B h w 1"]]:
        """Make a batch; see the class."""
        step = int(step)
        if step < 0:
            raise IndexError(f"step is {step}, expected 0 or more")
        epoch, position = divmod(step, len(self))
        first = position * self.batch_size
        count = min(self.batch_size, len(self.image_ids) - first)
        positions = range(first, first + count)
        if self.workers == 1:
            samples = [self.sample(epoch, position) for position in positions]
        else:
            with ThreadPoolExecutor(self.workers, thread_name_prefix="mrcnn-semantic") as pool:
                samples = list(pool.map(lambda position: self.sample(epoch, position), positions))
        images, masks = zip(*samples, strict=True)
        return np.stack(images), np.stack(masks)[:, :, :, None]

    def sample(self, epoch: int, position: int) -> tuple[Float32[np.ndarray, "h w 3"], Int32[np.ndarray, "h w"]]:
        """Make the image and class map at a position in an epoch, or those of the next usable image after it.

        Raises:
            DataError: no image is usable.
        """
        order = self.order(epoch)
        for offset in range(len(order)):
            ix = (position + offset) % len(order)
            image_id = int(order[ix])
            rng = np.random.default_rng([self.seed, SAMPLE_STREAM, epoch, ix])
            try:
                return make_semantic_sample(self.dataset, image_id, self.input_size, self.numbers, self.augmentation, rng,
                                            self.ignore_label)  # fmt: skip
            except DataError as error:
                reason = str(error)
                if self.broken.setdefault(image_id, reason) is reason:  # only the first thread logs it
                    warn_of_one_more(logger, len(self.broken), reason)
        raise DataError(f"none of the {len(order)} images is usable; the first: {next(iter(self.broken.values()))}")
