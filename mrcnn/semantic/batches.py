"""Batches of images and class maps, epoch after epoch.

Any worker may make any batch in any order: what `batches[step]` returns depends on the seed and the step alone.

Shape letters: B images, h w input of the network, K classes of the data set with background.
"""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.loading.sample import name_image
from mrcnn.semantic.augment import as_augmentation
from mrcnn.semantic.sample import make_semantic_sample

logger = logging.getLogger(__name__)

MASK_TYPES = ("binary", "normal")
# what a random stream is for, so that the choice, the order of a pass and its samples never share one
FILTER_STREAM, ORDER_STREAM, SAMPLE_STREAM = 0, 1, 2
BACKGROUND = "background"
# what a class map can hold at most
_LARGEST_LABEL = 65535


def filter_images(source, classes=None, mode=None, *, seed=0, **options):
    """Find the images that hold at least one of some classes; crowds count.

    Args:
        source: path of a data set in any format of `mrcnn.datasets.open`, or a prepared Dataset.
        classes: list of class names, or None for all images, those without instances too.
        mode: str. The part of a folder: "train", "val", ... None for one that is not divided, and for a Dataset.
        seed: int. Of the order.
        **options: of `mrcnn.datasets.open`, such as format or year.

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
    return dataset, np.random.default_rng([int(seed), FILTER_STREAM]).permutation(ids)


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


class SemanticBatches:
    """Batches of images and class maps, epoch after epoch.

    `len(batches)` is the number of batches of an epoch; the last of them may be smaller. Each image comes once an epoch. In
    the place of one that cannot be used, which is logged once and kept in `broken`, the next good one of the epoch comes a
    second time.

    `batches[step]` for any step >= 0 is batch `step % len(batches)` of epoch `step // len(batches)`: a tuple

        images: float32 [B, h, w, 3] in [0, 1].
        masks: int32 [B, h, w, 1]. "binary": 1 where any of the classes is; "normal": k for the k-th class asked for,
            the highest where they overlap. 0 is background, and with `ignore_label` that number is where the data say
            nothing: 255 in a class map, void in Pascal VOC, or what a panoptic PNG leaves out.

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
        ignore_label: int above all numbers of classes, up to 65535. For losses and metrics that leave pixels out, such as
            `keras.losses.SparseCategoricalCrossentropy(ignore_class=255)`. None, and data that know of no such pixels,
            give background there.

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
        ignore_label=None,
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
        if ignore_label is not None and not len(names) < ignore_label <= _LARGEST_LABEL:
            raise ValueError(f"ignore_label is {ignore_label}, expected a number such as 255: above {len(names)}, that of the "
                             f"last class, and up to {_LARGEST_LABEL}")  # fmt: skip
        self.ignore_label = ignore_label
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
        order = np.random.default_rng([self.seed, ORDER_STREAM, epoch]).permutation(self.image_ids)
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
            rng = np.random.default_rng([self.seed, SAMPLE_STREAM, epoch, place])
            try:
                return make_semantic_sample(self.dataset, image_id, self.input_size, self.numbers, self.augmentation, rng,
                                            self.ignore_label)  # fmt: skip
            except DataError as error:
                reason = str(error)
                if self.broken.setdefault(image_id, reason) is reason:  # the first to find out tells it
                    logger.warning("a training sample is left out: %s", reason)
        raise DataError(f"none of the {len(order)} images can be used; the first: {next(iter(self.broken.values()))}")
