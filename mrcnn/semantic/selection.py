"""Which images semantic segmentation is trained on, and the number of each class in their class maps.

Shape letters: K classes of the data set with background.
"""

import logging

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.loading.sample import name_image

logger = logging.getLogger(__name__)

MASK_TYPES = ("binary", "normal")
# what a random stream is for, so that the choice, the order of a pass and its samples never share one
FILTER_STREAM, ORDER_STREAM, SAMPLE_STREAM = 0, 1, 2


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
