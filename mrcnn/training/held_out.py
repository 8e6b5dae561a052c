"""The images that a run holds out for validation, in validation.json of its folder.

A resumed run must hold out the same images, even if the data set has grown, and an evaluation must not use the others.
"""

import json
from collections.abc import Collection
from pathlib import Path

from mrcnn.base.atomic_write import save_json
from mrcnn.base.progress import Show, Stages
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.splits import DatasetView, split_images, subset_of

HELD_OUT_NAME = "validation.json"
# Default fraction of images held out, their maximum number, and the minimum number of images of which any are held out.
DEFAULT_FRACTION, _MOST, _LEAST = 0.2, 1000, 5


def default_fraction(images: int) -> float:
    """Return the fraction of the images to hold out if the user says nothing; 0 if there are too few."""
    return 0.0 if images < _LEAST else min(DEFAULT_FRACTION, _MOST / images)


def hold_out(dataset: Dataset, fraction: float, seed: int, progress: Show | None = None) -> tuple[DatasetView, DatasetView]:
    """Divide a data set into training images and validation images, stratified by class.

    Args:
        dataset: prepared.
        fraction: of the images for validation, above 0 and below 1.
        seed: seed of the division.
        progress: called after each image that is read.

    Raises:
        DataError: the data set has a single image.
    """
    ids = split_images(dataset, {"train": 1 - fraction, "val": fraction}, seed=seed, progress=progress)
    return subset_of(dataset, ids["train"]), subset_of(dataset, ids["val"])


def divide_data(dataset: Dataset, share: float | None, seed: int, progress: Stages, earlier: Path | None = None,
                ) -> tuple[Dataset, Dataset | None, str]:  # fmt: skip
    """Divide a data set for a run: into the images that it trains on and those that it validates with.

    Args:
        dataset: prepared.
        share: fraction of the images to hold out, 0 for none; None for `default_fraction`, or for the images that an earlier
            run held out.
        seed: seed of the division.
        progress: shows the stages.
        earlier: the folder of the run that is resumed.

    Returns:
        Training images, validation images or None, and where these come from, or why there are none.
    """
    if earlier is not None and share is None:
        held_out = read_held_out(earlier)
        if not held_out:  # images held out now would be among those that the run has been trained on
            return dataset, None, "none held out, as before"
        train_set, val_set = divide(dataset, held_out)
        if train_set.num_images and val_set.num_images:
            return train_set, val_set, "held out, as before"
    fraction = default_fraction(dataset.num_images) if share is None else share
    if not fraction:
        return dataset, None, "too few to hold any out" if share is None else "none held out"
    with progress("dividing") as show:
        train_set, val_set = hold_out(dataset, fraction, seed, show)
    return train_set, val_set, "held out"


def divide(dataset: Dataset, held_out: Collection[str]) -> tuple[DatasetView, DatasetView]:
    """Divide a data set as an earlier run did: the images that it held out, and all others.

    Args:
        dataset: prepared.
        held_out: returned by `read_held_out`.

    Returns:
        Training images and validation images; either may be empty.
    """
    keys = [_key(info) for info in dataset.image_info]
    return (subset_of(dataset, [i for i in dataset.image_ids if keys[i] not in held_out]),
            subset_of(dataset, [i for i in dataset.image_ids if keys[i] in held_out]))


def save_held_out(folder: Path | str, train_set: Dataset, val_set: Dataset | None) -> None:
    """Write which images are held out, if the two data sets are selections of the same one."""
    if isinstance(train_set, DatasetView) and isinstance(val_set, DatasetView) and train_set.base is val_set.base:
        save_json(Path(folder, HELD_OUT_NAME), [_key(info) for info in val_set.image_info], indent=1)


def read_held_out(folder: Path | str) -> frozenset[str]:
    """Return the images that the run of a folder held out; none if there is no such file.

    Raises:
        ValueError: the file does not hold a list of image names.
    """
    path = Path(folder, HELD_OUT_NAME)
    if not path.is_file():
        return frozenset()
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a list of image names: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: expected a JSON list of image names, such as 'labelme.3'")
    return frozenset(names)


def _key(info: dict) -> str:
    return f"{info['source']}.{info['id']}"
