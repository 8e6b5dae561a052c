"""Opening a data set of any format with one call, and its errors."""
import json

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset, recognise_format
from tests.shared_data import shared_path


def test_subsets_of_shapes_differ_and_are_reproducible():
    train, again, val = (open_dataset(None, "shapes", part, count=4, image_size=64) for part in ("train", "train", "val"))
    assert train.num_images == 4 and train.class_names == ["BG", "square", "circle", "triangle"]
    assert train.load_image(3).shape == (64, 64, 3)
    np.testing.assert_array_equal(train.load_image(3), again.load_image(3))
    assert (train.load_image(3) != val.load_image(3)).any()


def test_folder_is_recognised_and_its_subsets_are_named():
    folder = shared_path("data/tiny_coco")
    assert recognise_format(folder) == "coco"
    dataset = mrcnn.datasets.open(folder, subset="val")
    assert dataset.num_images == 6 and dataset.num_classes == 81
    with pytest.raises(DataError, match="has the subsets train, val: say which"):
        mrcnn.datasets.open(folder)


@pytest.mark.parametrize("arguments, message", [
    ((None, "coco", "val"), "--dataset PATH"),
    ((None, "shapes", "minival"), "no subset 'minival'; it has train, val, test"),
    ((None,), "say which data to open"),
    (("gone", "coco", "val"), "gone does not exist"),
    (("gone",), "gone does not exist"),
])  # fmt: skip
def test_missing_data_is_reported(arguments, message):
    with pytest.raises(DataError, match=message):
        open_dataset(*arguments)


def test_unknown_format_or_option_is_reported(tmp_path):
    with pytest.raises(ValueError, match="'cocoa' is not a data format: choose shapes, coco"):
        open_dataset(tmp_path, "cocoa", "val")
    with pytest.raises(ValueError, match="the format shapes has no option 'year'; it has count, image_size"):
        open_dataset(None, "shapes", "val", year=2017)
    (tmp_path / "a.json").write_text(json.dumps({"images": [], "categories": []}))
    with pytest.raises(DataError, match="a.json is not in a known format.*coco: the JSON has no 'annotations'"):
        open_dataset(tmp_path / "a.json")
