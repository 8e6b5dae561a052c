"""A split of a data set in numbered files, `train-00000-of-01000.tfrecord` and so on, and what is told of them.

Beside the files of a split lies its manifest, `panoptic-train.json`: with what settings, and out of what, they were
made. It is there before the first file is, so that a run which goes on after an interruption knows what it finds.
"""

import re
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.maps import number_categories
from mrcnn.io import json_fields as fields

_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5,})-of-(?P<count>\d{5,})\.tfrecord")
# five digits in the file names
MAX_SHARDS = 99999
MANIFEST_VERSION = 1


def shard_path(folder, split, number, count):
    """Name a file. Args: folder: path; split: str; number: int from 0; count: int, files of the split. Returns: Path."""
    return Path(folder) / f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def cut(count, shards):
    """Share images out: ceil(count / shards) to each file, in their order, until none are left.

    Args:
        count: int. Images.
        shards: int. Files.

    Returns:
        list of `shards` ranges of positions; the last ones may be empty.
    """
    size = -(-count // shards)
    return [range(min(i * size, count), min((i + 1) * size, count)) for i in range(shards)]


def splits_in(folder):
    """Name the splits that a folder holds files of. Args: folder: path. Returns: list of str, sorted."""
    return sorted({match["split"] for match in _matches(folder)})


def _matches(folder):
    return [match for path in Path(folder).iterdir() if (match := _NAME.fullmatch(path.name))]


def shards_of(folder, split):
    """Find the files of a split.

    Args:
        folder: path.
        split: str.

    Returns:
        list of Path, in order.

    Raises:
        DataError: some are missing, or there are two sets of them.
    """
    found = [match for match in _matches(folder) if match["split"] == split]
    counts = sorted({match["count"] for match in found})
    if not counts:
        raise DataError(f"{folder} holds no file {split}-*-of-*.tfrecord")
    if len(counts) > 1:
        raise DataError(f"{folder} holds {split} in {' and in '.join(counts)} files: remove those that are out of date")
    paths = [shard_path(folder, split, number, int(counts[0])) for number in range(int(counts[0]))]
    missing = sorted({path.name for path in paths} - {match[0] for match in found})
    if missing:
        raise DataError(f"{folder} lacks {len(missing)} of the {len(paths)} files of {split}, such as {missing[0]}: "
                        "run the conversion again, which goes on where it was interrupted")  # fmt: skip
    return paths


def manifest_path(folder, split):
    """Name the manifest of a split. Args: folder: path; split: str. Returns: Path."""
    return Path(folder) / f"panoptic-{split}.json"


def categories_to_json(categories):
    """Write categories for a manifest. Args: categories: dict id -> Category. Returns: list of dict, as COCO has them."""
    return [{"id": c.id, "name": c.name, "isthing": int(c.is_thing)} for c in categories.values()]


def read_categories(folder, split):
    """Read the categories of a split from its manifest.

    Args:
        folder: path.
        split: str.

    Returns:
        dict id -> Category; None where there is no manifest, as beside shards that another program wrote.

    Raises:
        DataError: the manifest is damaged.
    """
    path = manifest_path(folder, split)
    if not path.exists():
        return None
    found = {}
    for number, entry in enumerate(fields.field(fields.read_json(path), "categories", list, str(path))):
        where = f"{path}: categories[{number}]"
        category_id, name = fields.field(entry, "id", int, where), fields.field(entry, "name", str, where)
        if category_id in found:
            raise DataError(f"{where}: two categories have the id {category_id}")
        found[category_id] = (category_id, name, bool(fields.field(entry, "isthing", int, where)))
    return number_categories(found.values())
