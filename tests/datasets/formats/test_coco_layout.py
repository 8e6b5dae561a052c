"""Folder layouts in which programs export COCO files and images."""
import json

import cv2
import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format, subsets_of
from mrcnn.datasets.formats.coco.layout import file_layout
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.doctor.repair import repair
from tests.shared_data import shared_path

SQUARE = [[10, 5, 30, 5, 30, 25, 10, 25]]


def content(*names):
    """Return the content of a COCO file of 40 x 60 images with one square each."""
    return {
        "images": [{"id": i, "file_name": name, "height": 40, "width": 60} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "segmentation": SQUARE} for i in range(len(names))],
        "categories": [{"id": 1, "name": "cat"}],
    }


def write(folder, files):
    """Write {name: COCO content, or None for an image}. The grey value of an image is 10 times its position in `files`."""
    for position, (name, value) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if value is None:
            assert cv2.imwrite(str(path), np.full((40, 60, 3), 10 * position, np.uint8))
        else:
            path.write_text(json.dumps(value))
    return folder


LAYOUTS = {
    "COCO": ({"annotations/instances_train2017.json": content("a.png"), "train2017/a.png": None}, {"train": "train2017/a.png"}),
    "CVAT, one subset": ({"annotations/instances_default.json": content("a.png"), "images/a.png": None},
                         {"default": "images/a.png"}),
    "CVAT, subsets": ({"annotations/instances_Train.json": content("a.png"), "images/Train/a.png": None,
                       "annotations/instances_Val.json": content("a.png"), "images/Val/a.png": None},
                      {"Train": "images/Train/a.png", "Val": "images/Val/a.png"}),
    "CVAT, names with the subset": ({"annotations/instances_Train.json": content("Train/a.png"), "images/Train/a.png": None},
                                    {"Train": "images/Train/a.png"}),
    "Datumaro": ({"annotations/instances_train.json": content("a.png"), "images/train/a.png": None, "images/a.png": None},
                 {"train": "images/train/a.png"}),
    "undivided": ({"annotations/instances.json": content("a.png"), "images/a.png": None}, {None: "images/a.png"}),
    "FiftyOne": ({"labels.json": content("a.png"), "data/a.png": None}, {None: "data/a.png"}),
    "FiftyOne, subsets": ({"train/labels.json": content("a.png"), "train/data/a.png": None,
                           "validation/labels.json": content("a.png"), "validation/data/a.png": None},
                          {"train": "train/data/a.png", "val": "validation/data/a.png"}),
    "Roboflow": ({"train/_annotations.coco.json": content("a.png"), "train/a.png": None,
                  "valid/_annotations.coco.json": content("a.png"), "valid/a.png": None,
                  "test/_annotations.coco.json": content("b.png"), "test/b.png": None},
                 {"train": "train/a.png", "val": "valid/a.png", "test": "test/b.png"}),
    "one subset of Roboflow": ({"_annotations.coco.json": content("a.png"), "a.png": None}, {None: "a.png"}),
    "Label Studio": ({"result.json": content("images/a.png"), "images/a.png": None}, {None: "images/a.png"}),
    "Label Studio on Windows": ({"result.json": content("images\\a.png"), "images/a.png": None}, {None: "images/a.png"}),
    "a file next to its images": ({"my file.json": content("a.png"), "a.png": None}, {None: "a.png"}),
    "ours, divided": ({"toys_train.json": content("a.png"), "toys_val.json": content("b.png"), "images/a.png": None,
                       "images/b.png": None}, {"train": "images/a.png", "val": "images/b.png"}),
    "files of two dates": ({"2024_a.json": content("a.png"), "2025_b.json": content("a.png"), "a.png": None},
                           {"2024_a": "a.png", "2025_b": "a.png"}),
    "subsets in annotations/": ({"annotations/train.json": content("a.png"), "annotations/val.json": content("a.png"),
                                 "train/a.png": None, "val/a.png": None}, {"train": "train/a.png", "val": "val/a.png"}),
    "folders of their own": ({"train/coco.json": content("images/a.png"), "train/images/a.png": None,
                              "val/coco.json": content("images/a.png"), "val/images/a.png": None},
                             {"train": "train/images/a.png", "val": "val/images/a.png"}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_found_in_the_layout(tmp_path, layout):
    files, images = LAYOUTS[layout]
    write(tmp_path, files)
    assert recognise_format(tmp_path) == "coco"
    assert (subsets_of(tmp_path, "coco") or [None]) == list(images)
    for subset, path in images.items():
        dataset = mrcnn.datasets.open(tmp_path, subset=subset)
        assert [info["path"] for info in dataset.image_info] == [str(tmp_path / path)]
        assert dataset.load_image(0)[0, 0, 0] == 10 * list(files).index(path)
        assert dataset.load_mask(0)[1].tolist() == [1] and dataset.skipped == dataset.notes == []
    report = check_dataset(tmp_path)
    assert [part["part"] for part in report.statistics["parts"]] == [subset or "" for subset in images]
    assert report.exit_code() == 0 or set(report.counts) <= {"image_leak", "fields_missing", "image_near_leak"}
    for file in [name for name, value in files.items() if value is not None and len(images) == 1]:
        # the file alone finds the same images
        (path,) = images.values()
        assert mrcnn.datasets.open(tmp_path / file).image_info[0]["path"] == str(tmp_path / path)


def test_file_in_annotations_is_part_of_its_layout(tmp_path):
    write(tmp_path, LAYOUTS["Datumaro"][0])
    path = tmp_path / "annotations" / "instances_train.json"
    assert file_layout(path).root == tmp_path and file_layout(path).subset == "train"
    assert mrcnn.datasets.open(path).image_info[0]["path"] == str(tmp_path / "images" / "train" / "a.png")
    other = write(tmp_path, {"annotations/mine.json": content("a.png")}) / "annotations" / "mine.json"
    assert mrcnn.datasets.open(other).image_info[0]["path"] == str(tmp_path / "images" / "a.png")


def test_category_without_annotations_is_reported_and_can_be_excluded(tmp_path):
    """Roboflow writes the name of the project as category 0."""
    for subset in ("train", "valid"):
        value = content("a.png", "b.png")
        value["categories"] = [{"id": 0, "name": "pets"}, {"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]
        value["annotations"][1]["category_id"] = 2
        write(tmp_path, {f"{subset}/_annotations.coco.json": value, f"{subset}/a.png": None, f"{subset}/b.png": None})
    assert mrcnn.datasets.open(tmp_path, subset="val").class_names == ["BG", "pets", "cat", "dog"]
    (finding,) = [finding for finding in check_dataset(tmp_path).findings if finding.kind == "category_unused"]
    assert finding.message == "1 of 3 classes have no annotation: pets (0)" and "--labels" in finding.advice
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    for labels in (["dog", "cat"], tmp_path / "labels.txt"):
        dataset = mrcnn.datasets.open(tmp_path, subset="val", labels=labels)
        assert dataset.class_names == ["BG", "dog", "cat"] and dataset.skipped == []
        assert [dataset.load_mask(i)[1].tolist() for i in range(2)] == [[2], [1]]
        report = check_dataset(tmp_path, labels=labels)
        assert "category_unused" not in report.counts and report.statistics["parts"][0]["annotations"] == 2
    dataset = mrcnn.datasets.open(tmp_path, subset="val", labels=["cat"])
    assert dataset.num_images == 2 and [dataset.load_mask(i)[1].tolist() for i in range(2)] == [[1], []]
    assert check_dataset(tmp_path, labels=["cat"]).statistics["parts"][0]["annotations"] == 1
    for function in (mrcnn.datasets.open, check_dataset):
        with pytest.raises(DataError, match="has no category 'cow' .labels, --labels.; it has pets, dog, cat"):
            function(tmp_path, subset="val", labels=["cow"])


def test_images_of_another_subset_are_not_used(tmp_path):
    write(tmp_path, {"annotations/instances_train.json": content("a.png", "b.png"), "images/train/a.png": None,
                     "annotations/instances_val.json": content("b.png"), "images/val/b.png": None})  # fmt: skip
    dataset = mrcnn.datasets.open(tmp_path, subset="train")
    folder = tmp_path / "images" / "train"
    assert [info["path"] for info in dataset.image_info] == [str(folder / "a.png"), str(folder / "b.png")]
    with pytest.raises(DataError, match="b.png does not exist"):
        dataset.load_image(1)
    assert "image_missing" in check_dataset(tmp_path, subset="train").counts


def test_folder_with_json_files_of_other_formats_is_not_coco(tmp_path):
    """labelme and VIA folders often hold annotations that were converted to COCO."""
    converted = content("a.png")
    write(tmp_path, {"a.json": {"shapes": [], "imagePath": "a.png"}, "trainval.json": converted, "a.png": None})
    assert recognise_format(tmp_path) == "labelme"
    via = {"a.png1": {"filename": "a.png", "size": 1, "regions": [], "file_attributes": {}}}
    write(tmp_path / "via", {"via_region_data.json": via, "via_export_coco.json": converted})
    assert recognise_format(tmp_path / "via") == "via"
    write(tmp_path / "yolo", {"instances.json": converted, "images/a.png": None})
    (tmp_path / "yolo" / "labels").mkdir()
    (tmp_path / "yolo" / "labels" / "a.txt").write_text("0 0 0 1 0 1 1")
    assert recognise_format(tmp_path / "yolo") == "yolo"
    write(tmp_path / "many", {f"{i}.json": converted for i in range(21)})
    with pytest.raises(DataError, match="unknown data set format"):
        recognise_format(tmp_path / "many")


def test_check_finds_images_by_name_and_the_repaired_copy_has_their_paths(tmp_path):
    names = ["..\\media\\a.png", "/home/me/b.png", "http://x/my%20photo.png", "c.png", "gone.png", "/gone.png", "http://x/gone.png"]
    write(tmp_path, {"result.json": content(*names), "images/a.png": None, "images/b.png": None, "images/my photo.png": None,
                     "c.png": None})  # fmt: skip
    report = check_dataset(tmp_path)
    assert {kind: sum(of.values()) for kind, of in report.counts.items()} == {
        "image_elsewhere": 3, "image_missing": 2, "image_outside": 1, "fields_missing": 7}  # fmt: skip
    repairs = repair(report, tmp_path / "fixed.json")
    fixed = json.loads((tmp_path / "fixed.json").read_text())
    assert [image["file_name"] for image in fixed["images"]] == ["images/a.png", "images/b.png", "images/my photo.png", "c.png"]
    assert repairs.counts()["file_name corrected"] == 3 and repairs.counts()["image dropped"] == 3
    dataset = mrcnn.datasets.open(tmp_path / "fixed.json")
    assert dataset.notes == dataset.skipped == [] and [dataset.load_image(i)[0, 0, 0] for i in range(4)] == [10, 20, 30, 40]


@pytest.mark.parametrize(("case", "expected"), [
    ("01-string-image-id", {None: 2}), ("03-label-studio/result.json", {None: 2}),
    ("03-label-studio/result_old.json", {None: 2}),
    ("04-cvat-layout/flat", {"default": 2}), ("04-cvat-layout/sub", {"Train": 2}), ("04-cvat-layout/plain", {None: 1}),
    ("04-cvat-layout/fiftyone", {None: 1}), ("04-cvat-layout/train_images", {"train": 1, "val": 1}),
    ("05-roboflow-layout/set", {"train": 2, "val": 2, "test": 2}), ("12-unicode-normal-form", {None: 1}),
    ("13-url-encoded-names/a.json", {None: 1}), ("13-url-encoded-names/local.json", {None: 1}),
    ("13-url-encoded-names/url.json", {None: 1}), ("32-lvis-like/lvis_v1_own.json", {None: 1}),
])  # fmt: skip
def test_cases_from_public_reports(case, expected):
    path = shared_path(f"cases/{case}")
    assert (subsets_of(path, "coco") or [None]) == list(expected)
    for subset, count in expected.items():
        dataset = mrcnn.datasets.open(path, subset=subset)
        assert dataset.num_images == count and dataset.skipped == []
        assert all(dataset.load_image(i).shape == (64, 96, 3) for i in dataset.image_ids)
        assert sum(len(dataset.load_mask(i)[1]) for i in dataset.image_ids) > 0
    assert check_dataset(path).count("error") == 0 or case.startswith(("04", "05"))  # the same photographs in two subsets
