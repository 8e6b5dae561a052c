"""Data sets by the names that the command line gives them."""

from pathlib import Path

from mrcnn.data.errors import DataError
from mrcnn.data.formats.coco import CocoDataset
from mrcnn.data.formats.shapes import ShapesDataset

# Seeds far apart, so that no image of one subset is an image of another.
SHAPES_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}


def open_dataset(data, subset, *, folder=None, year="2017", count=1000, image_size=128):
    """Load and prepare one subset of a data set.

    Args:
        data: str. "shapes" (synthetic images) or "coco" (a folder in COCO's layout).
        subset: str. shapes: train, val or test; coco: as in the file names, such as train, val, minival.
        folder: path. coco: the folder that holds annotations/.
        year: str or int. coco: as in the file names.
        count: int. shapes: how many images.
        image_size: int, pixels. shapes: side of an image.

    Returns:
        mrcnn.data.dataset.Dataset, prepared.

    Raises:
        DataError: a missing folder, an unknown subset, or an empty data set.
        ValueError: `data` is unknown.
    """
    if data == "shapes":
        dataset = _shapes(subset, count, image_size)
    elif data == "coco":
        dataset = _coco(folder, subset, year)
    else:
        raise ValueError(f"{data!r} is no data format: choose shapes or coco.")
    dataset.prepare()
    if not dataset.num_images:
        raise DataError(f"{data}: the subset {subset!r} of {folder} holds no images.")
    return dataset


def _shapes(subset, count, image_size):
    if subset not in SHAPES_SEEDS:
        raise DataError(f"shapes has no subset {subset!r}: choose {', '.join(SHAPES_SEEDS)}.")
    dataset = ShapesDataset()
    dataset.load_shapes(count, image_size, image_size, seed=SHAPES_SEEDS[subset])
    return dataset


def _coco(folder, subset, year):
    if not folder:
        raise DataError("coco: say where the data are: --dataset DIR, a folder with annotations/ in it.")
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder.")
    dataset = CocoDataset()
    dataset.load_coco(folder, subset, year=year)
    return dataset
