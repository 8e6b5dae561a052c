"""The four functions of a well-known tutorial on COCO and semantic segmentation with Keras, on top of `mrcnn.semantic`.

    images, dataset_size, coco = filterDataset(folder, ["laptop", "tv"], "train")
    train_gen = dataGeneratorCoco(images, ["laptop", "tv"], coco, folder, (224, 224), batch_size=4, mask_type="normal")
    train_gen = augmentationsGenerator(train_gen, {"rotation_range": 5, "horizontal_flip": True}, seed=1)
    visualizeGenerator(train_gen)
    model.fit(x=train_gen, steps_per_epoch=dataset_size // 4, epochs=10)

They keep its names, arguments and layouts, so that scripts written for it run. New code has less to write with
`mrcnn.semantic.training.SemanticGenerator`, which reads every format and whose batches depend only on the seed.

Where the tutorial is wrong, these are right: sizes need not be square, no class appears that was not asked for, every image
occurs once per pass, and augmentation invents no class values.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import numpy as np
from pycocotools.coco import COCO

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.coco import CocoDataset
from mrcnn.datasets.formats.coco.layout import CocoFile, annotation_files, coco_file
from mrcnn.semantic.augment import SemanticAugmentation, as_augmentation
from mrcnn.semantic.batches import SemanticBatches, filter_images
from mrcnn.semantic.figures import batch_figure
from mrcnn.viz.figure import show

logger = logging.getLogger(__name__)

# images, float32 [B, h, w, 3], and masks, [B, h, w, 1]
Batch = tuple[np.ndarray, np.ndarray]
SHOWN = 4
# arguments of Keras' former ImageDataGenerator that have no effect here, with their defaults: those that would change the
# values of the images, which stay from 0 to 1, and those of its files and arrays
IGNORED = {
    "featurewise_center": False, "samplewise_center": False, "featurewise_std_normalization": False,
    "samplewise_std_normalization": False, "zca_whitening": False, "zca_epsilon": 1e-6, "channel_shift_range": 0,
    "rescale": None, "preprocessing_function": None, "validation_split": 0, "interpolation_order": 1, "dtype": None,
}  # fmt: skip


def filterDataset(
    folder: Path | str, classes: Sequence[str] | str | None = None, mode: str = "train", seed: int = 0
) -> tuple[list[dict[str, Any]], int, COCO]:
    """Find the images with at least one of the classes.

    Args:
        folder: contains annotations/instances_<mode>.json, or instances_<mode>2017.json.
        classes: names; None for all images.
        mode: "train", "val", or another subset in the file names.
        seed: of the order.

    Returns:
        images: their entries in the JSON, each once, in random order.
        dataset_size: their number.
        coco: the annotations.

    Raises:
        mrcnn.base.errors.DataError: the file is missing or is not in COCO's format, a class is unknown, or no image has one.
    """
    dataset = CocoDataset()
    coco = dataset.load_coco(folder, mode, year=_annotation_file(folder, mode).year, return_coco=True, all_images=True)
    dataset.prepare()
    ids = filter_images(dataset, classes, seed=seed)[1]
    images = coco.loadImgs([dataset.image_info[i]["id"] for i in ids])
    return images, len(images), coco


def dataGeneratorCoco(
    images: Sequence[Mapping[str, Any]],
    classes: Sequence[str] | str | None,
    coco: COCO,
    folder: Path | str,
    input_image_size: Sequence[int] = (224, 224),
    batch_size: int = 4,
    mode: str = "train",
    mask_type: str = "binary",
    seed: int = 0,
) -> Iterator[Batch]:
    """Make batches of images and masks without end; each image occurs once per pass, in an order that the seed sets.

    Args:
        images, coco: from `filterDataset`.
        classes: names; None for all.
        folder: contains the images in images/<mode>/, <mode>2017/ or <mode>/.
        input_image_size: (width, height) to which images are resized.
        mask_type: "binary": 1 for any of the classes; "normal": k for the k-th, the highest where classes overlap. 0 is
            background.

    Returns:
        A generator of batches of batch_size: images, float32 [B, height, width, 3] from 0 to 1, and masks, int32 [B, height,
        width, 1].

    Raises:
        mrcnn.base.errors.DataError: a class is unknown.
        ValueError: an argument is out of range.
    """
    dataset = CocoDataset()
    dataset.add_annotations(coco.dataset, _annotation_file(folder, mode).finder(), all_images=True)
    dataset.prepare()
    ids = [dataset.image_from_source_map[f"coco.{image['id']}"] for image in images]
    batches = SemanticBatches(dataset, input_image_size[::-1], batch_size, classes=classes, mask_type=mask_type,
                              image_ids=ids, seed=seed)  # fmt: skip
    return _endless(batches)


def _annotation_file(folder: Path | str, mode: str) -> CocoFile:
    years = [year for subset, year, _ in annotation_files(Path(folder)) if subset == mode]
    if len(years) > 1:
        raise DataError(f"{folder} has {mode} for the years {', '.join(years)}: keep the JSON of one year in annotations/")
    return coco_file(Path(folder), mode, years[0] if years else "")


def _endless(batches: SemanticBatches) -> Iterator[Batch]:
    """Yield full batches; a batch may hold the last images of a pass and the first ones of the next."""
    size = batches.batch_size
    for first in count(step=size):
        samples = [batches.sample(*divmod(place, len(batches.image_ids))) for place in range(first, first + size)]
        pixels, masks = zip(*samples, strict=True)
        yield np.stack(pixels), np.stack(masks)[..., None]


def visualizeGenerator(gen: Iterator[Batch]) -> None:
    """Show the first images of the next batch beside their masks; with a matplotlib that only writes files, draw them."""
    batch_figure(*next(gen), limit=SHOWN)
    show()


def augmentationsGenerator(
    gen: Iterator[Batch], augGeneratorArgs: Mapping[str, Any], seed: int | None = None
) -> Iterator[Batch]:
    """Augment the batches of a generator, images and masks together.

    Args:
        gen: yields images, floats from 0 to 1, and masks; see `dataGeneratorCoco`.
        augGeneratorArgs: arguments of Keras' former ImageDataGenerator; see `mrcnn.semantic.augment.SemanticAugmentation`.
            Those of IGNORED are named in a warning.
        seed: None for other transforms each time.

    Returns:
        A generator of batches like those of `gen`.

    Raises:
        ValueError: an argument is unknown or out of range.
    """
    arguments = dict(augGeneratorArgs)
    if arguments.pop("data_format", None) not in (None, "channels_last"):
        raise ValueError(f"data_format is {augGeneratorArgs['data_format']!r}: batches have their channels last")
    given = {name: arguments.pop(name) for name in IGNORED if name in arguments}
    ignored = [name for name, value in given.items() if value and value != IGNORED[name]]
    if ignored:
        logger.warning("augmentationsGenerator ignores %s: images keep their values, from 0 to 1", ", ".join(ignored))
    augmentation = as_augmentation(arguments) or SemanticAugmentation()
    rng = np.random.default_rng(seed)
    return (_augmented(images, masks, augmentation, rng) for images, masks in gen)


def _augmented(images: np.ndarray, masks: np.ndarray, augmentation: SemanticAugmentation, rng: np.random.Generator) -> Batch:
    pairs = [augmentation(np.float32(image), mask[..., 0].astype(np.int64), rng)
             for image, mask in zip(images, masks, strict=True)]  # fmt: skip
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])[..., None].astype(masks.dtype)
