"""The subsets of a split, their images, and the paths of their files."""
from pathlib import Path

import pytest

from mrcnn.base.errors import DataError
from mrcnn.tools.convert.division import division_of, note_other_parts, part_file, part_folders
from tests.datasets.test_splits import labelled

OUT = Path("out")


def test_fractions_of_two_or_three_subsets():
    assert division_of(0.8).fractions == pytest.approx({"train": 0.8, "val": 0.2})
    assert division_of((0.7, 0.2, 0.1)).fractions == {"train": 0.7, "val": 0.2, "test": 0.1}
    assert division_of([0.75]).parts == ["train", "val"] == division_of([0.75]).once()
    assert division_of() is None


@pytest.mark.parametrize("split", [0, 1, -0.5, 1.5, float("nan"), (0.5, 0.5), (0.5, 0.4, 0.2), (0.6, 0.4, 0.0), ()])
def test_invalid_fractions_are_rejected(split):
    with pytest.raises(ValueError, match="split is .*such as 0.7 0.15 0.15"):
        division_of(split)


@pytest.mark.parametrize("folds", [1, 0, 2.5, "3"])
def test_invalid_folds_are_rejected(folds):
    with pytest.raises(ValueError, match=f"folds is {folds}: expected a whole number of at least 2"):
        division_of(folds=folds)


def test_each_image_is_in_val_of_one_fold_and_in_train_of_the_others():
    division = division_of(folds=3, seed=2)
    assert division.parts == ["fold1/train", "fold1/val", "fold2/train", "fold2/val", "fold3/train", "fold3/val"]
    assert division.once() == ["fold1/val", "fold2/val", "fold3/val"]
    parts = division.divide(labelled(*[[1]] * 6, *[[2]] * 3))
    assert list(parts) == division.parts
    assert sorted(sum((parts[part] for part in division.once()), [])) == list(range(9))
    for fold in (1, 2, 3):
        train, val = parts[f"fold{fold}/train"], parts[f"fold{fold}/val"]
        assert sorted(train + val) == list(range(9)) and sum(i >= 6 for i in val) == 1, "one of three of class 2"
    with pytest.raises(DataError, match="2 images cannot be divided into 3 subsets"):
        division.divide(labelled([1], [1]))


def test_a_group_stays_in_one_fold():
    # ids 0 to 29; the group is the first of two digits; each of the images 0 to 9 is a group of its own
    parts = division_of(folds=4, group="^[0-9](?=[0-9])").divide(labelled(*[[1]] * 30))
    homes = [{name for name, ids in parts.items() if name.endswith("val") and i in ids} for i in range(30)]
    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes[10:20])) == len(set.union(*homes[20:])) == 1 < len(set.union(*homes[:10]))


def test_paths_of_the_files_of_a_subset():
    assert part_file(Path("a/toys.v2.json"), None) == Path("a/toys.v2.json")
    assert part_file(Path("a/toys.v2.json"), "val") == Path("a/toys.v2_val.json")
    assert part_file(Path("toys.json"), "fold2/train") == Path("toys_fold2_train.json")
    assert part_folders(OUT, "yolo", "val", None) == [OUT / "images/val", OUT / "labels/val"]
    assert part_folders(OUT, "yolo", "fold2/val", None) == [OUT / "fold2/images/val", OUT / "fold2/labels/val"]
    assert part_folders(OUT, "labelme", "fold2/val", None) == [OUT / "fold2/val"]
    assert part_folders(Path("x.json"), "coco", "val", None) == []
    assert part_folders(Path("x.json"), "coco", "fold1/val", Path("copies")) == [Path("copies/fold1/val")]


def test_other_subsets_are_reported_only_for_a_split_into_fractions(tmp_path):
    (tmp_path / "toys_test.json").touch()
    (tmp_path / "images" / "test").mkdir(parents=True)
    for output, to in ((tmp_path / "toys.json", "coco"), (tmp_path, "yolo")):
        assert len(note_other_parts(division_of(0.5), output, to)) == 1
        assert note_other_parts(division_of((0.5, 0.3, 0.2)), output, to) == []
        assert note_other_parts(division_of(folds=3), output, to) == []
