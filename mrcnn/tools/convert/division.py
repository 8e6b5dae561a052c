"""Dividing a data set during conversion: the parts, the images of each, and where their files go.

Parts are train and val, or train, val and test. Folds for cross-validation have the parts fold1/train, fold1/val, fold2/train
and so on; each fold is a complete pair.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.folders import PARTS
from mrcnn.datasets.splits import Group, group_by_id, k_fold, split_images


@dataclass(frozen=True)
class Division:
    """How to divide a data set.

    Attributes:
        fractions: fraction of the images in each part, in the order train, val, test; None for folds.
        folds: number of folds, or None.
        group: returns the group of an entry of `image_info`; images of a group stay together. None for no groups.
    """

    fractions: dict[str, float | int] | None
    folds: int | None
    group: Group | None = None
    seed: int = 0

    @property
    def parts(self) -> list[str]:
        """Names of the parts."""
        if self.folds is None:
            return list(self.fractions or ())
        return [f"fold{number}/{part}" for number in range(1, self.folds + 1) for part in ("train", "val")]

    def divide(self, dataset: Dataset, progress: Show | None = None) -> dict[str, list[int]]:
        """Divide a data set, and return the image ids of each part, ascending.

        Args:
            progress: see `split_images`.

        Raises:
            DataError: there are fewer images, or groups, than parts.
        """
        if self.folds is None:
            return split_images(dataset, self.fractions or {}, group=self.group, seed=self.seed, progress=progress)
        pairs = k_fold(dataset, self.folds, group=self.group, seed=self.seed, progress=progress)
        return dict(zip(self.parts, (ids for pair in pairs for ids in pair), strict=True))

    def once(self) -> list[str]:
        """Names of the parts that together contain each image exactly once."""
        return self.parts if self.folds is None else [part for part in self.parts if part.endswith("/val")]


def division_of(split: int | float | Sequence[int | float] | None = None, folds: Any = None, group: str | None = None,
                seed: int = 0) -> Division | None:  # fmt: skip
    """Make a division from the arguments of `convert`; None if they request none.

    Args:
        split: the fraction of the images for train, with the rest in val; or the fractions of train, val and test.
        folds: at least 2.
        group: a regular expression; see `mrcnn.datasets.splits.group_by_id`.

    Raises:
        ValueError: an argument is invalid or contradicts another.
    """
    if split is None and folds is None:
        if group is not None:
            raise ValueError("group (--group) needs a split into fractions (--split) or folds (--folds)")
        return None
    if split is not None and folds is not None:
        raise ValueError("the images are split into fractions (--split) or into folds (--folds): choose one of them")
    if folds is not None and (not isinstance(folds, int) or folds < 2):
        raise ValueError(f"folds is {folds}: expected a whole number of at least 2")
    return Division(None if split is None else _shares(split), folds, None if group is None else group_by_id(group), seed)


def _shares(split: int | float | Sequence[int | float]) -> dict[str, float | int]:
    given = [split] if isinstance(split, int | float) else list(split)
    fractions = [given[0], 1 - given[0]] if len(given) == 1 else given
    if len(given) not in (1, 3) or not all(fraction > 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"split is {' '.join(map(str, given))}: expected the fraction of train, between 0 and 1, or the "
                         "fractions of train, val and test, which add up to 1, such as 0.7 0.15 0.15")
    return dict(zip(PARTS, fractions))


def part_file(output: Path, part: str | None) -> Path:
    """Derive the name of a part's JSON from that of the whole data set; `part` None stands for the whole."""
    return output.with_name(f"{output.stem}_{part.replace('/', '_')}{output.suffix}") if part else output


def part_folders(output: Path, to: str, part: str, copies: Path | None) -> list[Path]:
    """List the folders for the files of a part, except COCO's JSON.

    Args:
        to: coco, yolo or labelme.
        copies: folder for copies of COCO's images, or None.
    """
    if to == "labelme":
        return [output / part]
    if to == "coco":
        return [] if copies is None else [copies / part]
    fold, _, name = part.rpartition("/")
    return [output / fold / kind / name for kind in ("images", "labels")]


def refuse_leftovers(division: Division, output: Path, to: str, copies: Path | None) -> None:
    """Refuse an output with files of an earlier split: an image could then be in two parts of this one.

    Args:
        output, to, copies: see `part_folders`.

    Raises:
        DataError: there are such files.
    """
    for part in division.parts:
        for folder in part_folders(output, to, part, copies):
            if folder.is_dir() and any(folder.iterdir()):
                raise DataError(f"{folder} contains files: after another split, an image could be in two subsets: remove the "
                                "folder, or choose another output")
    if division.folds is None:
        return
    pattern = re.escape(output.stem) + r"_fold\d+_(train|val)" + re.escape(output.suffix) if to == "coco" else r"fold\d+"
    expected = {part_file(output, part) for part in division.parts}
    folder = output.parent if to == "coco" else output
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if re.fullmatch(pattern, path.name) and path not in expected:
            raise DataError(f"{path} belongs to other folds, and could be mistaken for one of these {division.folds}: remove "
                            "it, or choose another output")


def note_other_parts(division: Division, output: Path, to: str) -> list[tuple[str, str]]:
    """Return (where, note) for each part in the output that a split into fractions did not write.

    They may belong there, such as test images that were converted earlier.
    """
    others = [part for part in PARTS if part not in division.parts] if division.folds is None else []
    places = [part_file(output, part) if to == "coco" else part_folders(output, to, part, None)[0] for part in others]
    return [(str(path), "it existed before and is not part of this split: remove it unless it belongs there")
            for path in places if path.exists()]  # fmt: skip
