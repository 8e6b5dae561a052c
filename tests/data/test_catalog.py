"""Data sets by name, and what is said where there are none."""
import numpy as np
import pytest

from mrcnn.data.catalog import open_dataset
from mrcnn.data.errors import DataError
from tests.shared_data import shared_path


def test_subsets_of_shapes_differ_and_come_again_the_same():
    train, again, val = (open_dataset("shapes", subset, count=4, image_size=64) for subset in ("train", "train", "val"))
    assert train.num_images == 4 and train.class_names == ["BG", "square", "circle", "triangle"]
    assert train.load_image(3).shape == (64, 64, 3)
    np.testing.assert_array_equal(train.load_image(3), again.load_image(3))
    assert (train.load_image(3) != val.load_image(3)).any()


def test_coco_is_read_from_its_folder():
    dataset = open_dataset("coco", "val", folder=shared_path("data/tiny_coco"), year="2017")
    assert dataset.num_images == 6 and dataset.num_classes == 81


@pytest.mark.parametrize("arguments, said", [
    (("coco", "val"), "--dataset DIR"),
    (("shapes", "minival"), "choose train, val, test"),
])  # fmt: skip
def test_what_is_missing_is_told(arguments, said):
    with pytest.raises(DataError, match=said):
        open_dataset(*arguments)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder"):
        open_dataset("coco", "val", folder=tmp_path / "gone")


def test_an_unknown_format_is_told():
    with pytest.raises(ValueError, match="'cocoa' is no data format"):
        open_dataset("cocoa", "val")
