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
    with pytest.raises(DataError, match=r"unknown data set format; looked for coco \(the JSON has no 'annotations'"):
        open_dataset(tmp_path / "a.json")


def test_the_message_about_an_unknown_folder_names_the_data_set_inside(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="can be read|unknown") as caught:
        open_dataset(tmp_path / "notes")
    assert "unknown data set format; looked for coco (no annotations/instances_*.json" in str(caught.value)
    (tmp_path / "photographs").rename(tmp_path / "JPEGImages")
    (tmp_path / "voc" / "SegmentationObject").mkdir(parents=True)
    (tmp_path / "voc" / "JPEGImages").mkdir()
    (tmp_path / "voc" / "Annotations").mkdir()
    (tmp_path / "JPEGImages" / "a.json").unlink()
    with pytest.raises(DataError, match="; its folder voc/ is in the format voc: give that$"):
        open_dataset(tmp_path)


def test_data_of_another_format_are_named(tmp_path):
    (tmp_path / "1.json").write_text('{"shapes": [], "imagePath": "1.png", "imageHeight": 20, "imageWidth": 30}')
    for format in ("coco", "voc", "lvis", "yolo"):
        with pytest.raises(DataError, match=f"is not {format} but labelme data: use the format labelme"):
            open_dataset(tmp_path, format)
    (tmp_path / "1.json").unlink()
    with pytest.raises(DataError, match="^(?!.* but ).*annotations"):
        open_dataset(tmp_path, "coco")
