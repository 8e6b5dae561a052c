"""Class names from a list or a file, and their order."""
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.class_names import natural_key, read_class_names


def test_list_and_file_give_the_same_names(tmp_path):
    (tmp_path / "labels.txt").write_text("\ufeff__ignore__\n_background_\nnut\n\n fig \nnut\n", encoding="utf-8")
    for labels in (tmp_path / "labels.txt", str(tmp_path / "labels.txt"), ["nut", "fig", "nut"]):
        assert read_class_names(labels) == ["nut", "fig"]


def test_unusable_names_are_reported(tmp_path):
    with pytest.raises(DataError, match="gone.txt does not exist"):
        read_class_names(tmp_path / "gone.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\x00")
    with pytest.raises(DataError, match="bytes.txt is not UTF-8 text: save it as UTF-8"):
        read_class_names(tmp_path / "bytes.txt")
    with pytest.raises(DataError, match="labels names no class"):
        read_class_names(["_background_", " "])


def test_numbers_in_names_are_sorted_by_value():
    names = ["stage 10", "stage 2", "Beta", "alpha", "stage", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "alpha", "Beta", "stage", "stage 2", "stage 10"]
