"""Images and class maps for semantic segmentation, out of any data set: which images, and batches of them.

Any worker may make any batch in any order: what `batches[step]` returns depends on the seed and the step alone.

Shape letters: B images, H W image file, h w input of the network, K classes of the data set with background.
"""

import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from mrcnn.data.catalog import open_dataset
from mrcnn.data.dataset import Dataset, instances_of
from mrcnn.data.errors import DataError
from mrcnn.data.sample import load_checked_image, load_parts, name_image
from mrcnn.data.semantic.augment import as_augmentation
from mrcnn.geometry.class_map import paint_classes

logger = logging.getLogger(__name__)

MASK_TYPES = ("binary", "normal")
BACKGROUND = "background"
# what a random stream is for, so that the choice, the order of a pass and its samples never share one
_FILTER_STREAM, _ORDER_STREAM, _SAMPLE_STREAM = 0, 1, 2


def filter_images(source, classes=None, mode=None, *, seed=0, **options):
    """Find the images that hold at least one of some classes; crowds count.

    Args:
        source: path of a data set in any format of `mrcnn.data.open`, or a prepared Dataset.
        classes: list of class names, or None for all images, those without instances too.
        mode: str. The part of a folder: "train", "val", ... None for one that is not divided, and for a Dataset.
        seed: int. Of the order.
        **options: of `mrcnn.data.open`, such as format or year.

    Returns:
        (dataset, image_ids): Dataset, prepared; int64 [n], positions in it, each once, in a shuffled order.

    Raises:
        DataError: the data cannot be opened, a class is unknown, or no image holds one of them.
        ValueError: a mode or options were given beside a Dataset.
    """
    if isinstance(source, Dataset):
        if mode is not None or options:
            raise ValueError("mode and options choose what is opened of a folder, and an open data set was given")
        dataset = source
    else:
        dataset = open_dataset(source, subset=mode, **options)
    ids = np.asarray(dataset.image_ids, np.int64)
    if classes is not None:
        wanted = number_classes(dataset, classes) > 0
        ids = np.array([i for i in ids if _holds(dataset, int(i), wanted)], np.int64)
    if not len(ids):
        raise DataError(
            "the data set has no images: call prepare() once they are added"
            if classes is None else f"no image holds any of the classes {', '.join(class_list(dataset, classes))}"
        )  # fmt: skip
    return dataset, np.random.default_rng([int(seed), _FILTER_STREAM]).permutation(ids)


def _holds(dataset, image_id, wanted):
    """Tell whether an image has an instance of the classes marked in bool [K]; a broken one is logged, and has none."""
    try:
        class_ids = np.abs(np.asarray(instances_of(dataset, image_id)[1], np.int64)).reshape(-1)
        return bool(wanted[class_ids].any())
    except Exception as error:  # what `load_mask` of somebody's own may raise
        logger.warning("%s is left out: %s", name_image(dataset, image_id), error)
        return False


def class_list(dataset, classes=None):
    """Give the names of the classes asked for.

    Args:
        dataset: Dataset, prepared.
        classes: list of names, one name, or None for all of the data set, each name once.

    Returns:
        list of str.

    Raises:
        DataError: a name is unknown, is given twice, or is the background's; or there is none.
    """
    there = list(dict.fromkeys(dataset.class_names[1:]))
    if classes is None:
        return there
    names = [classes] if isinstance(classes, str) else list(classes)
    for position, name in enumerate(names):
        if name not in there:
            shown = ", ".join(there[:100]) + (", ..." if len(there) > 100 else "")
            raise DataError(f"the data set has no class {name!r}; it has {shown}")
        if name in names[:position]:
            raise DataError(f"the class {name!r} is asked for twice")
    if not names:
        raise DataError("no class is asked for: give names, or None for all classes")
    return names


def number_classes(dataset, classes=None, mask_type="normal"):
    """Give each class of a data set its number in the class map.

    Args:
        dataset: Dataset, prepared. Classes of one name, of several sources, get one number.
        classes: see `class_list`.
        mask_type: "binary" numbers all classes asked for 1; "normal" numbers them from 1 in the order asked for.

    Returns:
        int64 [K]. 0 for the background and for classes not asked for.

    Raises:
        DataError: see `class_list`.
        ValueError: the mask_type is unknown.
    """
    if mask_type not in MASK_TYPES:
        raise ValueError(f"mask_type is {mask_type!r}, expected {' or '.join(MASK_TYPES)}")
    place = {name: k for k, name in enumerate(class_list(dataset, classes), start=1)}
    numbers = np.array([0] + [place.get(name, 0) for name in dataset.class_names[1:]], np.int64)
    return np.minimum(numbers, 1) if mask_type == "binary" else numbers


def make_semantic_sample(dataset, image_id, size, numbers, augmentation=None, rng=0):
    """Load an image with its class map, stretched to a size, and augment the two alike.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position of the image in it.
        size: (h, w) in pixels.
        numbers: int [K], as of `number_classes`. Of overlapping instances the highest number stays.
        augmentation: SemanticAugmentation or None.
        rng: numpy Generator, or an int seed.

    Returns:
        (image, class_map): float32 [h, w, 3] in [0, 1], grey repeated; int32 [h, w].

    Raises:
        DataError: the image or its instances are not usable; names the image.
    """
    image = load_checked_image(dataset, image_id)
    parts, class_ids = load_parts(dataset, image_id, image.shape[:2], dataset.num_classes)
    class_map = paint_classes(parts, numbers[np.abs(class_ids)], image.shape[:2], size)
    try:
        image = _unit_image(image, size)
    except ValueError as error:
        raise DataError(f"{name_image(dataset, image_id)}: {error}") from error
    if augmentation is not None:
        image, class_map = augmentation(image, class_map, rng)
    return image, class_map.astype(np.int32)


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


class SemanticBatches:
    """Batches of images and class maps, epoch after epoch.

    `len(batches)` is the number of batches of an epoch, in which each image comes once; the last batch may be smaller.
    `batches[step]` for any step >= 0 is batch `step % len(batches)` of epoch `step // len(batches)`: a tuple

        images: float32 [B, h, w, 3] in [0, 1].
        masks: int32 [B, h, w, 1]. "binary": 1 where any of the classes is; "normal": k for the k-th class asked for,
            the highest where they overlap. 0 is background.

    A sample that is not usable is logged once and kept in `broken`; the next good one of the epoch stands in for it.
    It may be used from several threads, and pickled for processes.

    Args:
        dataset: Dataset, prepared.
        input_size: (h, w) that images are stretched to, in pixels.
        batch_size: int. B.
        classes: list of names, or None for all classes.
        mask_type: "binary" or "normal".
        image_ids: int [n]. None takes the images that hold one of the classes, all when `classes` is None.
        augmentation: SemanticAugmentation, a dict of its arguments, or None.
        shuffle: bool. Whether each epoch has an order of its own; otherwise it is that of `image_ids`.
        seed: int.
        workers: int. Threads that make the samples of a batch.

    Attributes:
        class_names: list of str. What the numbers of the masks mean: "background" first.
        broken: dict image id -> reason, of the samples met so far.

    Raises:
        DataError: no image holds any of the classes, or one is unknown.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        dataset,
        input_size,
        batch_size,
        *,
        classes=None,
        mask_type="binary",
        image_ids=None,
        augmentation=None,
        shuffle=True,
        seed=0,
        workers=1,
    ):
        if len(input_size) != 2 or not all(isinstance(v, int | np.integer) and v > 0 for v in input_size):
            raise ValueError(f"input_size is {input_size!r}, expected (height, width) in pixels")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, and is {batch_size}")
        self.workers = max(int(workers), 1)
        self.numbers = number_classes(dataset, classes, mask_type)
        self.dataset, self.batch_size, self.mask_type = dataset, int(batch_size), mask_type
        self.input_size = tuple(int(v) for v in input_size)
        self.augmentation = as_augmentation(augmentation)
        self.shuffle, self.seed = shuffle, int(seed)
        names = class_list(dataset, classes)
        if mask_type == "binary":
            names = ["any class" if classes is None else " or ".join(names)]
        self.class_names = [BACKGROUND, *names]
        if image_ids is None:
            image_ids = filter_images(dataset, classes, seed=seed)[1]
        self.image_ids = np.asarray(image_ids, np.int64)
        if not len(self.image_ids):
            raise DataError("there is no image to make batches of: image_ids is empty")
        self.broken = {}
        self._order = (None, None)

    def __len__(self):
        """Number of batches of an epoch."""
        return -(-len(self.image_ids) // self.batch_size)

    def order(self, epoch):
        """Give the image ids of an epoch in their order. Args: epoch: int >= 0. Returns: int64 [n]."""
        if not self.shuffle:
            return self.image_ids
        kept_epoch, kept = self._order
        if kept_epoch == epoch:
            return kept
        order = np.random.default_rng([self.seed, _ORDER_STREAM, epoch]).permutation(self.image_ids)
        self._order = (epoch, order)
        return order

    def __getitem__(self, step):
        """Make a batch. Args: step: int >= 0. Returns: (images, masks), as the class describes them."""
        step = int(step)
        if step < 0:
            raise IndexError(f"a step counts from 0, and is {step}")
        epoch, position = divmod(step, len(self))
        first = position * self.batch_size
        count = min(self.batch_size, len(self.image_ids) - first)
        places = range(first, first + count)
        if self.workers == 1:
            samples = [self.sample(epoch, place) for place in places]
        else:
            with ThreadPoolExecutor(self.workers, thread_name_prefix="mrcnn-semantic") as pool:
                samples = list(pool.map(lambda place: self.sample(epoch, place), places))
        images, masks = zip(*samples, strict=True)
        return np.stack(images), np.stack(masks)[:, :, :, None]

    def sample(self, epoch, position):
        """Make the sample at a position of an epoch, or the next good one after it.

        Args:
            epoch: int >= 0.
            position: int. Position in the epoch.

        Returns:
            (image, class_map), as of `make_semantic_sample`.

        Raises:
            DataError: no image is usable.
        """
        order = self.order(epoch)
        for offset in range(len(order)):
            place = (position + offset) % len(order)
            image_id = int(order[place])
            rng = np.random.default_rng([self.seed, _SAMPLE_STREAM, epoch, place])
            try:
                return make_semantic_sample(self.dataset, image_id, self.input_size, self.numbers, self.augmentation, rng)
            except DataError as error:
                reason = str(error)
                if self.broken.setdefault(image_id, reason) is reason:  # the first to find out tells it
                    logger.warning("a training sample is left out: %s", reason)
        raise DataError(f"none of the {len(order)} images can be used; the first: {next(iter(self.broken.values()))}")
