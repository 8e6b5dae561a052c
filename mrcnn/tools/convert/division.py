"""A data set divided anew while it is converted: which parts there are, which images they get, and where their files go.

Parts are train and val, or train, val and test. Of folds for cross-validation they are fold1/train, fold1/val, fold2/train
and so on; each fold is a pair that stands by itself.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.folders import PARTS
from mrcnn.datasets.splits import group_by_id, k_fold, split_images


@dataclass(frozen=True)
class Division:
    """How a data set is divided.

    Attributes:
        shares: dict part -> share of the images, in the order train, val, test; None where there are folds.
        folds: int, or None.
        group: function of `image_info` -> group, or None: images of one group stay together.
        seed: int.
    """

    shares: dict | None
    folds: int | None
    group: object = None
    seed: int = 0

    @property
    def parts(self):
        """Names of the parts: list of str."""
        if self.folds is None:
            return list(self.shares)
        return [f"fold{number}/{part}" for number in range(1, self.folds + 1) for part in ("train", "val")]

    def divide(self, dataset, progress=None):
        """Divide a data set. Args: dataset: Dataset, prepared; progress: see `split_images`.

        Returns:
            dict part -> ascending list of image ids.

        Raises:
            DataError: there are fewer images, or groups, than parts.
        """
        arguments = {"group": self.group, "seed": self.seed, "progress": progress}
        if self.folds is None:
            return split_images(dataset, self.shares, **arguments)
        pairs = k_fold(dataset, self.folds, **arguments)
        return dict(zip(self.parts, (ids for pair in pairs for ids in pair), strict=True))

    def once(self):
        """Names of parts that together hold each image once: list of str."""
        return self.parts if self.folds is None else [part for part in self.parts if part.endswith("/val")]


def division_of(split=None, folds=None, group=None, seed=0):
    """Read how a data set is to be divided.

    Args:
        split: float, the share of the images for train, the others are val; or the three shares of train, val and test.
        folds: int, 2 or more.
        group: str. A regular expression; see `mrcnn.datasets.splits.group_by_id`.
        seed: int.

    Returns:
        Division, or None where nothing of it is asked for.

    Raises:
        ValueError: a value cannot be meant, or contradicts another.
    """
    if split is None and folds is None:
        if group is not None:
            raise ValueError("a group (--group) is for dividing the images: say how they are to be divided (--split, --folds)")
        return None
    if split is not None and folds is not None:
        raise ValueError("the images are divided into shares (--split) or into folds (--folds): choose one of them")
    if folds is not None and (not isinstance(folds, int) or folds < 2):
        raise ValueError(f"folds is {folds}: expected a whole number of at least 2")
    return Division(None if split is None else _shares(split), folds, None if group is None else group_by_id(group), seed)


def _shares(split):
    given = list(split) if isinstance(split, list | tuple) else [split]
    shares = [given[0], 1 - given[0]] if len(given) == 1 else given
    if len(given) not in (1, 3) or not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"split is {' '.join(map(str, given))}: expected the share of the images to train on, between 0 and "
                         "1, or the shares of train, val and test, which are together 1, such as 0.7 0.15 0.15")  # fmt: skip
    return dict(zip(PARTS, shares))


def part_file(output, part):
    """Name the file of a part beside a JSON file: Path. Args: output: Path of the JSON; part: str, or None for the whole."""
    return output.with_name(f"{output.stem}_{part.replace('/', '_')}{output.suffix}") if part else output


def part_folders(output, to, part, copies):
    """List the folders that the files of a part go to, but for COCO's JSON.

    Args:
        output: Path that the data set goes to.
        to: str. coco, yolo or labelme.
        part: str.
        copies: Path of the folder for copies of COCO's images, or None.

    Returns:
        list of Path.
    """
    if to == "labelme":
        return [output / part]
    if to == "coco":
        return [] if copies is None else [copies / part]
    fold, _, name = part.rpartition("/")
    return [output / fold / kind / name for kind in ("images", "labels")]


def refuse_leftovers(division, output, to, copies):
    """Refuse a place with files of an earlier division: an image could then be in two parts of this one.

    Args:
        division: Division.
        output, to, copies: see `part_folders`.

    Raises:
        DataError: there are some.
    """
    for part in division.parts:
        for folder in part_folders(output, to, part, copies):
            if folder.is_dir() and any(folder.iterdir()):
                raise DataError(f"{folder} has files in it, and data that are divided anew beside them could have an image "
                                "in both parts: remove the folder, or give another output")
    if division.folds is None:
        return
    kind = re.escape(output.stem) + r"_fold\d+_(train|val)" + re.escape(output.suffix) if to == "coco" else r"fold\d+"
    own = {part_file(output, part) for part in division.parts}
    for path in _entries(output.parent if to == "coco" else output):
        if re.fullmatch(kind, path.name) and path not in own:
            raise DataError(f"{path} is of other folds, and would be taken for one of these {division.folds}: remove it, or "
                            "give another output")  # fmt: skip


def parts_from_before(division, output, to):
    """Find parts that lie there and are not of a division into shares: list of (where, what) to be told.

    They may be meant, such as images for testing that were converted before.
    """
    others = [part for part in PARTS if part not in division.parts] if division.folds is None else []
    places = [part_file(output, part) if to == "coco" else part_folders(output, to, part, None)[0] for part in others]
    return [(str(path), "it lies there from before, and is no part of this division: remove it unless it belongs there")
            for path in places if path.exists()]  # fmt: skip


def _entries(folder):
    return sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
