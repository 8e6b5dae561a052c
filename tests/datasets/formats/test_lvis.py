import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats import coco
from mrcnn.datasets.formats.lvis import LvisDataset, open_subset, recognise, subsets
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.datasets.formats.test_coco import SQUARE, coco_content, rectangle, use_all_of
from tests.datasets.json_damage import damaged_json
from tests.shared_data import shared_path

URL = "http://images.cocodataset.org"


def content(**changes):
    """Return a valid file: two images of 40 x 60 from different COCO folders, one with an apple."""
    valid = {
        "images": [
            {"id": 7, "height": 40, "width": 60, "coco_url": f"{URL}/val2017/000000000007.jpg",
             "neg_category_ids": [5, 12], "not_exhaustive_category_ids": [2]},
            {"id": 9, "height": 40, "width": 60, "coco_url": f"{URL}/train2017/000000000009.jpg",
             "neg_category_ids": [2], "not_exhaustive_category_ids": []},
        ],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "segmentation": SQUARE, "area": 400.0,
                         "bbox": [10, 5, 20, 20]}],
        "categories": [
            {"id": 5, "name": "bolt", "frequency": "r", "synset": "bolt.n.06", "image_count": 3},
            {"id": 2, "name": "apple", "frequency": "f"}, {"id": 12, "name": "crow", "frequency": "c"},
        ],
    }  # fmt: skip
    return {**valid, **changes}


def write(path, value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content() if value is None else value))
    return path


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.uint8))


def test_classes_images_and_coverage_are_read(tmp_path):
    write(tmp_path / "annotations" / "lvis_v1_val.json")
    write_image(tmp_path / "val2017" / "000000000007.jpg")
    write_image(tmp_path / "train2017" / "000000000009.jpg")
    assert recognise_format(tmp_path) == "lvis" and subsets(tmp_path) == ["val"]
    dataset = mrcnn.datasets.open(tmp_path)
    assert isinstance(dataset, LvisDataset) and dataset.skipped == []
    assert dataset.class_names == ["BG", "apple", "bolt", "crow"]
    assert [info.get("frequency") for info in dataset.class_info] == [None, "f", "r", "c"]
    assert dataset.get_source_class_id(2, "lvis") == 5
    assert dataset.image_info[0]["neg_category_ids"] == [5, 12]
    assert dataset.image_info[0]["not_exhaustive_category_ids"] == [2]
    # as class ids: bolt and crow are not in the first image, and not all of its apples are annotated
    assert dataset.coverage(0) == ({2, 3}, {1}) and dataset.coverage(1) == ({1}, frozenset())
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1] and np.array_equal(masks[:, :, 0], rectangle(5, 10, 25, 30))
    assert dataset.load_image(0).shape == dataset.load_image(1).shape == (40, 60, 3)
    image, meta, class_ids, boxes, _ = make_sample(dataset, 0, SampleSettings("none", num_classes=4))
    assert class_ids.tolist() == [1] and boxes.tolist() == [[5, 10, 25, 30]] and meta[12:].tolist() == [1, 1, 1, 1]


def test_coverage_of_other_data_sets_is_none():
    assert Dataset().coverage(0) is None


def test_coverage_omits_classes_that_were_not_loaded(tmp_path):
    dataset = LvisDataset()
    dataset.add_annotations(content(), tmp_path, "lvis.json", class_ids=[2, 12])
    dataset.prepare()
    assert dataset.num_images == 1 and dataset.coverage(0) == ({2}, {1})


@pytest.mark.parametrize("file, images, option", [
    ("lvis_v1_val.json", "val2017/000000000007.jpg", None),  # next to COCO's folders
    ("annotations/lvis_v1_val.json", "val2017/000000000007.jpg", None),
    ("annotations/lvis_v1_val.json", "images/val2017/000000000007.jpg", None),
    ("annotations/lvis_v1_val.json", "images/000000000007.jpg", None),  # all in one folder, as in the lvis package
    ("lvis_v1_val.json", "000000000007.jpg", None),
    ("lvis_v1_val.json", "elsewhere/val2017/000000000007.jpg", "elsewhere"),
    ("lvis_v1_val.json", "elsewhere/000000000007.jpg", "elsewhere"),
])  # fmt: skip
def test_images_are_found_in_every_common_layout(tmp_path, file, images, option):
    path = write(tmp_path / file)
    write_image(tmp_path / images)
    for opened in (path, tmp_path):
        dataset = mrcnn.datasets.open(opened, images=option and tmp_path / option)
        assert dataset.image_info[0]["path"] == str(tmp_path / images)
        assert dataset.load_image(0).shape == (40, 60, 3)
        with pytest.raises(DataError, match="000000000009.jpg does not exist"):
            dataset.load_image(1)


def test_only_coco_folders_may_be_links(tmp_path):
    value = content()
    value["images"][1]["coco_url"] = f"{URL}/mine/000000000009.jpg"
    path = write(tmp_path / "set" / "lvis_v1_val.json", value)
    for folder, name in (("val2017", "000000000007.jpg"), ("mine", "000000000009.jpg")):
        write_image(tmp_path / "coco" / folder / name)
        (tmp_path / "set" / folder).symlink_to(tmp_path / "coco" / folder)
    dataset = mrcnn.datasets.open(path)
    assert dataset.load_image(0).shape == (40, 60, 3)
    with pytest.raises(DataError, match="is a link to .*, outside"):
        dataset.load_image(1)
    assert mrcnn.datasets.open(path, allow_outside=True).load_image(1).shape == (40, 60, 3)
    # inside such a folder, no file may be a link out of it
    (tmp_path / "coco" / "val2017" / "000000000007.jpg").rename(tmp_path / "a.jpg")
    (tmp_path / "coco" / "val2017" / "000000000007.jpg").symlink_to(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="is a link to .*, outside"):
        dataset.load_image(0)


def test_images_without_coco_url_use_file_name(tmp_path):
    value = content()
    for image in value["images"]:
        image["file_name"] = f"photos/{image['id']}.jpg"
        del image["coco_url"]
    dataset = mrcnn.datasets.open(write(tmp_path / "a.json", value))
    assert dataset.image_info[1]["path"] == str(tmp_path / "photos" / "9.jpg")
    del value["images"][1]["file_name"]
    dataset = mrcnn.datasets.open(write(tmp_path / "a.json", value))
    assert dataset.image_info[1]["path"] == str(tmp_path / "000000000009.jpg"), "as COCO names its images"


@pytest.mark.parametrize("url", ["http://x/../7.jpg", "http://x/val2017/..", f"{URL}/val2017/\x007.jpg"])
def test_coco_url_out_of_the_folder_is_skipped(tmp_path, url):
    value = content()
    value["images"][0]["coco_url"] = url
    write_image(tmp_path / "7.jpg")
    dataset = mrcnn.datasets.open(write(tmp_path / "set" / "a.json", value))
    assert [info["id"] for info in dataset.image_info] == [9]
    ((where, reason),) = dataset.skipped
    assert where.startswith("image 7, ") and "its coco_url" in reason


def test_version_is_needed_if_there_are_several(tmp_path):
    for name in ("lvis_v1_train.json", "lvis_v1_val.json", "lvis_v0.5_val.json", "lvis_v1_image_info_test_dev.json"):
        write(tmp_path / "annotations" / name)
    assert subsets(tmp_path) == ["train", "val"]
    assert mrcnn.datasets.open(tmp_path, subset="train").num_images == 2
    with pytest.raises(DataError, match=r"the subset 'val' in the versions v0.5, v1: say which with version=V"):
        mrcnn.datasets.open(tmp_path, subset="val")
    assert mrcnn.datasets.open(tmp_path, subset="val", version="v0.5").num_images == 2
    with pytest.raises(DataError, match="in the versions v0.5, v1"):
        mrcnn.datasets.open(tmp_path, subset="val", version="v2")


def test_coco_and_lvis_are_told_apart(tmp_path):
    path = write(tmp_path / "a.json")
    assert recognise(path) is None and "LVIS" in coco.recognise(path)
    plain = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    assert "'neg_category_ids'" in recognise(write(path, plain)) and coco.recognise(path) is None
    assert "has no 'images'" in recognise(write(path, {"annotations": []}))
    assert "no lvis_v" in recognise(tmp_path)
    # a folder with both can be read as either
    write(tmp_path / "lvis_v1_val.json")
    write(tmp_path / "annotations" / "instances_val2017.json", plain)
    with pytest.raises(DataError, match="can be read as coco or lvis: say which"):
        mrcnn.datasets.open(tmp_path)


@pytest.mark.parametrize("part, field, value, message", [
    ("categories", "frequency", "often", r"category 5: 'frequency' is 'often', expected r, c or f"),
    ("categories", "frequency", None, "category 5: 'frequency' is None, expected r, c or f"),
    ("images", "neg_category_ids", None, r"image 7 has no field 'neg_category_ids', which LVIS has: .* write \[\] for it"),
    ("images", "not_exhaustive_category_ids", {}, "image 7: 'not_exhaustive_category_ids' is {}, expected a list"),
    ("images", "neg_category_ids", [5, True], r"image 7: neg_category_ids\[1\] is True, expected the id of a category"),
    ("images", "height", 0, "image 7: 'height' is 0"),
    ("images", "coco_url", 7, "image 7: 'coco_url' is 7, expected text"),
])  # fmt: skip
def test_malformed_field_is_an_error(tmp_path, part, field, value, message):
    changed = content()
    changed[part][0][field] = value
    with pytest.raises(DataError, match=f"a.json: {message}"):
        open_subset(write(tmp_path / "a.json", changed))


@st.composite
def lvis_content(draw):
    """Draw a valid file, and the masks and class ids of each image."""
    value, expected = draw(coco_content())
    for image in value["images"]:
        image["coco_url"] = f"{URL}/{draw(st.sampled_from(['train2017', 'val2017']))}/{image['file_name']}"
        image["neg_category_ids"] = draw(st.sampled_from([[], [3], [8, 3]]))
        image["not_exhaustive_category_ids"] = draw(st.sampled_from([[], [8]]))
    for category in value["categories"]:
        category["frequency"] = draw(st.sampled_from("rcf"))
    return value, expected


@given(lvis_content())
def test_written_instances_are_read_back(tmp_path_factory, valid):
    value, expected = valid
    dataset = mrcnn.datasets.open(write(tmp_path_factory.mktemp("lvis") / "a.json", value))
    assert dataset.source_class_ids["lvis"] == [0, 1, 2] and dataset.skipped == []
    for image_id, (image, instances) in enumerate(zip(value["images"], expected, strict=True)):
        masks, class_ids = dataset.load_mask(image_id)
        assert class_ids.tolist() == [class_id for _, class_id in instances]
        np.testing.assert_array_equal(masks.sum(axis=2), sum([m for m, _ in instances], np.zeros(masks.shape[:2], int)))
        for i, (mask, _) in enumerate(instances):
            np.testing.assert_array_equal(masks[:, :, i], mask)
        to_class = {3: 1, 8: 2}
        absent, partial = dataset.coverage(image_id)
        assert absent == {to_class[i] for i in image["neg_category_ids"]}
        assert partial == {to_class[i] for i in image["not_exhaustive_category_ids"]}


@settings(max_examples=100)
@given(st.data())
def test_damage_raises_a_data_error_or_is_skipped(tmp_path_factory, data):
    value, _ = data.draw(lvis_content())
    path = tmp_path_factory.getbasetemp() / "damaged lvis" / "damaged_lvis.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(data.draw(damaged_json(value)))
    try:
        dataset = open_subset(path)
    except DataError as error:
        assert "damaged_lvis.json" in str(error)
        return
    dataset.prepare()
    use_all_of(dataset)
    for image_id in dataset.image_ids:
        absent, partial = dataset.coverage(image_id)
        assert (absent | partial) <= set(range(1, dataset.num_classes))


def test_published_file_has_known_counts():
    dataset = mrcnn.datasets.open(shared_path("data/lvis/lvis_val_100.json"))
    assert isinstance(dataset, LvisDataset) and dataset.skipped == []
    assert dataset.num_images == 100 and dataset.num_classes == 1231
    assert sum(dataset.num_instances(i) for i in dataset.image_ids) == 977
    frequencies = [info.get("frequency") for info in dataset.class_info[1:]]
    assert [frequencies.count(name) for name in "rcf"] == [454, 461, 315]
    # true of the file: classes that are absent from an image are not annotated in it; partially annotated classes are
    for image_id in dataset.image_ids:
        annotated = set(np.abs(dataset.load_instances(image_id)[1]).tolist())
        absent, partial = dataset.coverage(image_id)
        assert not absent & annotated and partial <= annotated
    assert sum(len(dataset.coverage(i)[1]) for i in dataset.image_ids) == 16
    first = dataset.image_info[0]
    assert first["id"] == 266409 and first["path"].endswith("val2017/000000266409.jpg")
    assert [len(dataset.coverage(0)[0]), dataset.image_size(0)] == [7, (480, 640)]
