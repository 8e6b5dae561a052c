"""VIA: hand-computed shapes, both versions, attributes, and damaged files."""
import csv
import io
import json
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats.via import subsets
from mrcnn.geometry.polygons import rasterize_polygons
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.tools.write.images import images_folder
from tests.datasets.formats.labelme_files import box, ring, save_image
from tests.datasets.json_damage import damaged_json
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SIZE = (40, 60)


def polygon(points, name="polygon"):
    return {"name": name, "all_points_x": [x for x, _ in points], "all_points_y": [y for _, y in points]}


SQUARE = polygon(ring(10, 5, 30, 25))


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def write(folder, regions, name="a.png", file="via_region_data.json", wrap=False, orientation=1, image=True, **more):
    """Write an image, and a file with its regions (dict or list) and `more` entries. Returns the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    if image:
        save_image(folder / name, SIZE, orientation)
    entries = {f"{name}77": {"filename": name, "size": 77, "regions": regions, "file_attributes": {}}, **more}
    content = {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}} if wrap else entries
    (folder / file).write_text(json.dumps(content))
    return folder / file


def load(folder, **options):
    return mrcnn.datasets.open(folder, "via", **options)


@pytest.mark.parametrize("version", ["first", "second", "project"])
def test_both_versions_and_projects_are_read(tmp_path, version):
    regions = [region(SQUARE, kind="cat"), region({"name": "rect", "x": 40, "y": 2, "width": 10, "height": 6}, kind="dog")]
    if version == "first":
        regions = {str(i): one for i, one in enumerate(regions)}
    path = write(tmp_path, regions, wrap=version == "project")
    for where in (path, tmp_path):
        limit = csv.field_size_limit()
        assert recognise_format(where) == "via"
        dataset = mrcnn.datasets.open(where)
        assert csv.field_size_limit() == limit, "the limit is the whole process's"
        masks, class_ids = dataset.load_mask(0)
        assert dataset.class_names == ["BG", "cat", "dog"] and class_ids.tolist() == [1, 2] and dataset.skipped == []
        np.testing.assert_array_equal(masks[:, :, 0], box(5, 10, 25, 30))
        np.testing.assert_array_equal(masks[:, :, 1], box(2, 40, 8, 50))
        assert dataset.image_info[0]["id"] == "a.png" and dataset.image_size(0) == SIZE
        assert dataset.load_image(0).shape == (*SIZE, 3)


def test_training_samples_have_masks_and_boxes(tmp_path):
    rectangle = {"name": "rect", "x": 40, "y": 2, "width": 10, "height": 6}
    write(tmp_path, [region(SQUARE, kind="dog"), region(rectangle, kind="cat")])
    dataset = pickle.loads(pickle.dumps(load(tmp_path)))
    image, _, class_ids, boxes, masks = make_sample(dataset, 0, SampleSettings("none", num_classes=3, mini_mask_shape=None))
    assert image.shape == (*SIZE, 3) and class_ids.tolist() == [2, 1]
    assert boxes.tolist() == [[5, 10, 25, 30], [2, 40, 8, 50]]
    np.testing.assert_array_equal(masks, np.stack([box(5, 10, 25, 30), box(2, 40, 8, 50)]))


def test_circles_and_ellipses_become_masks(tmp_path):
    write(tmp_path, [region({"name": "circle", "cx": 20, "cy": 20, "r": 12}),
                     region({"name": "ellipse", "cx": 30, "cy": 20, "rx": 16, "ry": 8}),
                     region({"name": "ellipse", "cx": 30, "cy": 20, "rx": 16, "ry": 8, "theta": math.pi / 2})])  # fmt: skip
    dataset = load(tmp_path)
    masks, class_ids = dataset.load_mask(0)
    assert dataset.class_names == ["BG", "object"] and class_ids.tolist() == [1, 1, 1]
    y, x = np.mgrid[:40, :60] + 0.5
    expected = [np.hypot(x - 20, y - 20) < 12, np.hypot((x - 30) / 16, (y - 20) / 8) < 1,
                np.hypot((x - 30) / 8, (y - 20) / 16) < 1]  # fmt: skip
    for i, wanted in enumerate(expected):
        assert (masks[:, :, i] != wanted).sum() <= 8  # of about 400 pixels, all at the rim


def test_polyline_has_a_width_and_a_closed_one_is_filled(tmp_path):
    closed = [*ring(10, 5, 30, 25), [10, 5]]
    write(tmp_path, [region(polygon(closed, "polyline")), region(polygon([[10, 30], [40, 30]], "polyline"))])
    masks, _ = load(tmp_path, line_width=4).load_mask(0)
    np.testing.assert_array_equal(masks[:, :, 0], box(5, 10, 25, 30))
    np.testing.assert_array_equal(masks[:, :, 1], box(28, 10, 32, 40))
    np.testing.assert_array_equal(load(tmp_path).load_mask(0)[0][:, :, 1], box(25, 10, 35, 40))
    with pytest.raises(ValueError, match="line_width is -1"):
        load(tmp_path, line_width=-1)


def test_only_attribute_is_the_class(tmp_path):
    write(tmp_path, [region(SQUARE, kind="dog 10", note=""), region(SQUARE, kind="dog 9"), region(SQUARE, note=" "),
                     region(SQUARE, kind={"dog 9": True, "x": False}), region(SQUARE, kind={"a": True, "b": True}),
                     region(SQUARE, kind=[3]), region(SQUARE, kind=7)])  # fmt: skip
    dataset = load(tmp_path)
    assert dataset.class_names == ["BG", "7", "dog 9", "dog 10"]
    assert dataset.load_mask(0)[1].tolist() == [3, 2, 2, 1]
    assert [(where.rsplit(": ", 1)[1], reason) for where, reason in dataset.skipped] == [
        ("regions[2]", "it has no 'kind': give it one, or a class to all such regions (class_name, --class-name)"),
        ("regions[4]", "its 'kind' has 2 classes checked (a, b), expected one"),
        ("regions[5]", "its 'kind' is [3], expected the name of a class")]  # fmt: skip


def test_attribute_is_needed_if_there_are_several(tmp_path):
    write(tmp_path, [region(SQUARE, kind="dog", age="old"), region(SQUARE, kind="cat", age="young")])
    with pytest.raises(DataError, match="the regions have the attributes kind, age: say which.*--attribute"):
        load(tmp_path)
    assert load(tmp_path, attribute="age").class_names == ["BG", "old", "young"]
    with pytest.raises(DataError, match="no region has the attribute 'name'; they have kind, age"):
        load(tmp_path, attribute="name")


def test_class_name_and_labels_define_the_classes(tmp_path):
    write(tmp_path, [region(SQUARE)])
    assert load(tmp_path, class_name="balloon").class_names == ["BG", "balloon"]
    write(tmp_path, [region(SQUARE, kind="dog"), region(SQUARE, kind="cat")])
    dataset = load(tmp_path, labels=["emu", "dog"])
    assert dataset.class_names == ["BG", "emu", "dog"] and dataset.load_mask(0)[1].tolist() == [2]
    assert "its class 'cat' is not among the classes" in dataset.skipped[0][1]


def test_subsets_share_classes_but_not_skipped_regions(tmp_path):
    write(tmp_path / "train", [region(SQUARE, kind="dog"), region({"name": "point", "cx": 1, "cy": 1})])
    write(tmp_path / "val", [region(SQUARE, kind="cat"), "nothing"])
    assert subsets(tmp_path) == ["train", "val"] and recognise_format(tmp_path) == "via"
    train, val = (load(tmp_path, subset=part) for part in ("train", "val"))
    assert train.class_names == val.class_names == ["BG", "cat", "dog"]
    assert val.load_mask(0)[1].tolist() == [1]
    assert [images_folder(part) for part in (train, val)] == [tmp_path, tmp_path]
    assert ["its shape 'point' has no area"] == [reason for _, reason in train.skipped]
    assert ["it is 'nothing', expected an object with the field 'shape_attributes'"] == [reason for _, reason in val.skipped]


def test_image_is_in_the_default_path_of_the_project(tmp_path):
    path = write(tmp_path, [region(SQUARE)], wrap=True, image=False)
    (tmp_path / "images").mkdir()
    save_image(tmp_path / "images" / "a.png", SIZE)
    content = json.loads(path.read_text())
    content["_via_settings"] = {"core": {"default_filepath": "images/"}}
    path.write_text(json.dumps(content))
    assert load(tmp_path).load_image(0).shape == (*SIZE, 3)
    content["_via_settings"]["core"]["default_filepath"] = "../images/"
    path.write_text(json.dumps(content))
    dataset = load(tmp_path)  # it leads out of the folder, in which the image is found by its name
    assert dataset.load_image(0).shape == (*SIZE, 3) and "found by its name in images/" in dataset.notes[0][1]


@pytest.mark.parametrize("folder", ["C:\\Users\\me\\images\\", "C:/images/", "/home/me/images/", "\\\\host\\images", "gone/"])
def test_default_path_of_another_machine_is_ignored(tmp_path, folder):
    path = write(tmp_path, [region(SQUARE)], wrap=True, more={"filename": "lost.png", "regions": [region(SQUARE)]})
    content = json.loads(path.read_text())
    content["_via_settings"] = {"core": {"default_filepath": folder}}
    path.write_text(json.dumps(content))
    dataset = load(tmp_path)
    assert dataset.load_image(0).shape == (*SIZE, 3) and dataset.num_images == 2
    with pytest.raises(DataError, match="lost.png does not exist"):
        dataset.load_image(1)


def test_files_written_on_other_systems_are_read(tmp_path):
    path = write(tmp_path, [region(SQUARE, kind="Käfer"), region(SQUARE, kind="Käfer ")], name="été 1.PNG")
    path.write_bytes(path.read_text().replace("}, ", "},\r\n").encode("utf-8-sig"))
    path.rename(tmp_path / "Export.JSON")
    assert recognise_format(tmp_path) == recognise_format(tmp_path / "Export.JSON") == "via"
    dataset = load(tmp_path)
    assert dataset.class_names == ["BG", "Käfer"] and dataset.load_mask(0)[1].tolist() == [1, 1]
    assert dataset.load_image(0).shape == (*SIZE, 3)


def test_several_files_are_an_error_unless_one_has_the_default_name(tmp_path):
    write(tmp_path, [region(SQUARE)], file="one.json")
    assert load(tmp_path).num_images == 1
    write(tmp_path, [region(SQUARE)], file="two.json")
    with pytest.raises(DataError, match="one.json and two.json are all from VIA"):
        load(tmp_path)
    write(tmp_path, [region(SQUARE), region(SQUARE)])
    assert load(tmp_path).num_instances(0) == 2


def test_stages_are_reported(tmp_path):
    write(tmp_path, [region(SQUARE)], b={"filename": "b.png", "size": 1, "regions": [region(SQUARE)]})
    stages = RecordedStages()
    mrcnn.datasets.open(tmp_path, "via", progress=stages)
    assert stages.reported[-2:] == [("checking regions", [(1, 2), (2, 2)]), ("reading image sizes", [(1, 2), (2, 2)])]


def test_images_without_regions_are_kept_and_invalid_entries_skipped(tmp_path):
    more = {"empty": {"filename": "b.png", "regions": []}, "web": {"filename": "https://x.org/c.png", "regions": []},
            "again": {"filename": "a.png", "regions": []}, "gone": {"filename": "gone.png", "regions": [region(SQUARE)]},
            "odd": 3}  # fmt: skip
    write(tmp_path, [region(SQUARE)], **more)
    save_image(tmp_path / "b.png", SIZE)
    dataset = load(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["a.png", "b.png", "gone.png"]
    assert dataset.num_instances(1) == 0 and dataset.num_instances(2) == 1
    assert [where.split(": ")[1] for where, _ in dataset.skipped] == ["web", "odd"]
    ((where, note),) = dataset.notes
    assert where.endswith("again") and note == "its image was listed before: the regions of both entries are used"
    with pytest.raises(DataError, match="gone.png does not exist"):
        dataset.load_image(2)


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "..\\x.png"])
def test_image_whose_name_leads_out_of_the_folder_is_skipped(tmp_path, name):
    save_image(tmp_path / "x.png", SIZE)
    write(tmp_path / "set", [region(SQUARE)], more={"filename": name, "regions": []})
    dataset = load(tmp_path / "set")
    ((where, reason),) = dataset.skipped
    assert dataset.num_images == 1 and where == "via_region_data.json: more"
    assert "its filename leads out of the data set's folder" in reason and "--allow-outside" in reason
    assert load(tmp_path / "set", allow_outside=True).num_images == 2


def test_link_to_an_image_outside_is_skipped(tmp_path):
    write(tmp_path / "set", [region(SQUARE)], b={"filename": "b.png", "regions": []})
    save_image(tmp_path / "set" / "b.png", SIZE)
    (tmp_path / "set" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "a.png")
    dataset = load(tmp_path / "set")
    assert [info["id"] for info in dataset.image_info] == ["b.png"] and "is a link" in dataset.skipped[0][1]


@pytest.mark.parametrize(("sizes", "expected"), [
    # VIA writes -1 for the size of images that it loads by their address
    ((77, -1), [10, 40]), ((-1, 77), [10, 40]), ((77, 77), [10, 40]), (("file", 77), [10]), ((77, "file"), [40]),
    ((5, 77), [10]),
])  # fmt: skip
def test_two_entries_of_one_name_are_of_one_file_unless_their_sizes_differ(tmp_path, sizes, expected):
    save_image(tmp_path / "a.png", SIZE)
    first, second = ((tmp_path / "a.png").stat().st_size if size == "file" else size for size in sizes)
    other = {"name": "rect", "x": 40, "y": 2, "width": 10, "height": 6}
    entries = {"one": {"filename": "a.png", "size": first, "regions": [region(SQUARE, kind="cat")]},
               "two": {"filename": "a.png", "size": second, "regions": [region(other, kind="cat")]}}  # fmt: skip
    (tmp_path / "via_region_data.json").write_text(json.dumps(entries))
    dataset = load(tmp_path)
    masks, class_ids = dataset.load_mask(0)
    assert dataset.num_images == 1 and class_ids.tolist() == [1] * len(expected)
    assert [int(np.flatnonzero(masks[:, :, i].any(axis=0))[0]) for i in range(len(expected))] == expected
    assert len(dataset.skipped) == (len(expected) == 1) and len(dataset.notes) == (len(expected) == 2)


def test_regions_that_two_entries_repeat_are_read_once(tmp_path):
    regions = [region(SQUARE, kind="cat")]
    write(tmp_path, regions, again={"filename": "a.png", "size": -1, "regions": regions})
    assert load(tmp_path).load_mask(0)[1].tolist() == [1]


def test_class_name_is_the_class_of_regions_without_one(tmp_path):
    write(tmp_path, [region(SQUARE, kind="cat"), region(SQUARE)])
    dataset = load(tmp_path)
    assert dataset.load_mask(0)[1].tolist() == [1] and "--class-name" in dataset.skipped[0][1]
    dataset = load(tmp_path, class_name="dog")
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.load_mask(0)[1].tolist() == [1, 2] and not dataset.skipped


@pytest.mark.parametrize("header", ["filename,file_size,file_attributes", "#filename,file_size,file_attributes"])
def test_csv_of_both_versions_is_read(tmp_path, header):
    rectangle = {"name": "rect", "x": 40, "y": 2, "width": 10, "height": 6}
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*header.split(","), "region_count", "region_id", "region_shape_attributes", "region_attributes"])
    for number, (shape, kind) in enumerate([(SQUARE, "cat"), (rectangle, "dog")]):
        writer.writerow(["a, b.png", 77, "{}", 2, number, json.dumps(shape), json.dumps({"kind": kind})])
    writer.writerow(["none.png", 78, "{}", 0, 0, "{}", "{}"])
    writer.writerow(["a, b.png", 77, "{}", 2, 2, "no shape", "{}"])
    for name in ("a, b.png", "none.png"):
        save_image(tmp_path / name, SIZE)
    path = tmp_path / "via_region_data.csv"
    path.write_text(file.getvalue(), encoding="utf-8-sig")
    for where in (path, tmp_path):
        limit = csv.field_size_limit()
        assert recognise_format(where) == "via"
        dataset = mrcnn.datasets.open(where)
        assert csv.field_size_limit() == limit, "the limit is the whole process's"
        masks, class_ids = dataset.load_mask(0)
        assert dataset.class_names == ["BG", "cat", "dog"] and class_ids.tolist() == [1, 2]
        np.testing.assert_array_equal(masks[:, :, 1], box(2, 40, 8, 50))
        assert dataset.num_images == 2 and dataset.num_instances(1) == 0
        ((place, reason),) = dataset.skipped
        assert place.endswith("regions[2]") and "'no shape', expected an object" in reason
    write(tmp_path, [region(SQUARE)], file="a.json", name="none.png")
    assert load(tmp_path).image_info[0]["id"] == "none.png", "JSON comes before CSV"
    (tmp_path / "a.json").unlink()
    path.write_text("name,x\n1,2\n")
    with pytest.raises(DataError, match="unknown data set format"):
        recognise_format(path)


def test_project_of_version_3_is_read(tmp_path):
    shapes = {"polygon": [7, 10, 5, 30, 5, 30, 25, 10, 25], "rect": [2, 40, 2, 10, 6], "circle": [3, 20, 20, 5],
              "ellipse": [4, 20, 20, 5, 3], "line": [5, 1, 1, 20, 1], "point": [1, 3, 3],
              "extreme": [8, 1, 2, 3, 4, 5, 6, 7, 8]}  # fmt: skip
    metadata = {f"1_{name}": {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": {"1": "0", "2": "note"}}
                for name, xy in shapes.items()}  # fmt: skip
    metadata["1_rect"]["av"]["1"] = "1"
    metadata["1_image"] = {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"1": "0"}}
    metadata["1_odd"] = {"vid": "1", "xy": {"a": 1}}
    content = {
        "project": {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1"}, "config": {},
        "attribute": {"1": {"aname": "kind", "type": 4, "options": {"0": "cat", "1": "dog"}},
                      "2": {"aname": "remark", "type": 1}},
        "file": {"1": {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": ""},
                 "2": {"fid": "2", "fname": "b.png", "type": 2, "loc": 2, "src": "https://host.example/b.png"},
                 "3": {"fid": "3", "fname": "clip.mp4", "type": 4, "loc": 1, "src": "clip.mp4"}},
        "metadata": metadata, "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}, "3": {"fid_list": ["3"]}},
    }  # fmt: skip
    path = tmp_path / "via_project.json"
    path.write_text(json.dumps(content))
    for name in ("a.png", "b.png"):
        save_image(tmp_path / name, SIZE)
    assert recognise_format(path) == recognise_format(tmp_path) == "via"
    dataset = load(tmp_path, attribute="kind")
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.num_images == 2
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, 2, 1, 1, 1]
    np.testing.assert_array_equal(masks[:, :, 0], box(5, 10, 25, 30))
    np.testing.assert_array_equal(masks[:, :, 1], box(2, 40, 8, 50))
    assert abs(int(masks[:, :, 2].sum()) - math.pi * 25) < 4 and abs(int(masks[:, :, 3].sum()) - math.pi * 15) < 4
    assert [(where.split(": ", 1)[1], reason[:25]) for where, reason in dataset.skipped] == [
        ("1: regions[5]", "its shape 'point' has no "), ("1: regions[6]", "its shape 'number 8' is u"),
        ("1: regions[7]", "its shape \"{'a': 1}\" is u"), ("3", "it is 'a view of a video,")]  # fmt: skip
    content["attribute"]["1"]["type"] = 2  # check boxes
    metadata["1_polygon"]["av"]["1"] = "0,1"
    path.write_text(json.dumps(content))
    dataset = load(tmp_path, attribute="kind")
    assert dataset.skipped[-1][1] == "its 'kind' has 2 classes checked (cat, dog), expected one"


@pytest.mark.parametrize(("case", "count", "skipped"), [
    ("csv", 1, 0), ("via3", 1, 0), ("multi", 1, 1), ("mixed", 1, 1), ("twice", 2, 0)])
def test_cases_from_public_reports(case, count, skipped):
    dataset = load(shared_path(f"cases/31-via-variants/{case}"))
    assert dataset.load_image(0).shape == (64, 96, 3) and len(dataset.skipped) == skipped
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1] * count and dataset.class_names == ["BG", "cat"]
    assert sorted(masks.sum(axis=(0, 1)).tolist()) == {"multi": [1050], "twice": [900, 1050]}.get(case, [900])


def test_exif_orientation_is_applied_if_the_regions_fit_only_then(tmp_path):
    tall, both = polygon(ring(2, 3, 30, 55)), polygon(ring(2, 3, 30, 25))
    more = {"b": {"filename": "b.png", "regions": [region(both)]}}
    for shape, size in ((both, SIZE), (polygon(ring(2, 3, 55, 30)), SIZE), (tall, SIZE[::-1])):
        write(tmp_path, [region(shape)], orientation=6, **more)
        save_image(tmp_path / "b.png", SIZE, 6)
        dataset = load(tmp_path)
        for i in range(2):  # the orientation found for one image applies to the other
            assert dataset.image_size(i) == dataset.load_image(i).shape[:2] == dataset.load_mask(i)[0].shape[:2] == size
        assert [where for where, _ in dataset.notes] == ([] if size == SIZE else ["a.png", "b.png"])


@pytest.mark.parametrize("shape, reason", [
    ({"name": "blob"}, "its shape 'blob' is unknown"),
    ({}, "it: shape_attributes has no field 'name'"),
    ({**SQUARE, "all_points_x": [1, 2]}, "it has 2 all_points_x and 4 all_points_y"),
    ({**SQUARE, "all_points_x": [1, 2, 3, "4"]}, "all_points_x holds '4', expected finite numbers"),
    (polygon([[1, 1], [2, 2]]), "at least 3"),
    (polygon(ring(60, 5, 80, 9)), "lies outside the image"),
    ({"name": "rect", "x": 1, "y": 1, "width": 0, "height": 5}, "has no area"),
    ({"name": "rect", "x": 1, "y": 1, "width": 5}, "has no field 'height'"),
    ({"name": "circle", "cx": 9, "cy": 9, "r": -3}, "has no area"),
    ({"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": True}, "'ry' is True, expected a number"),
    ({"name": "circle", "cx": 1e308, "cy": 9, "r": 1e308}, "not finite numbers"),
])  # fmt: skip
def test_unusable_region_is_skipped_and_reported(tmp_path, caplog, shape, reason):
    write(tmp_path, [region(SQUARE), region(shape)])
    dataset = load(tmp_path)
    ((where, reported),) = dataset.skipped
    assert dataset.num_instances(0) == 1 and where == "via_region_data.json: a.png77: regions[1]" and reason in reported
    assert "1 images or regions skipped" in caplog.text


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"a": 1}', '{"a": {"filename": "a.png"}}', '{"project": {"pid": "1"}}'])
def test_files_of_other_formats_are_not_recognised(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    of_file = r"via \(the file has no images|not valid JSON"
    for path, message in ((tmp_path, r"via \(no JSON or CSV file of regions"), (tmp_path / "a.json", of_file)):
        with pytest.raises(DataError, match=message):
            recognise_format(path)


_VALID = {"a.png77": {"filename": "a.png", "size": 77, "regions": [
    region(SQUARE, kind="cat"), region({"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 4, "theta": 1.0}, kind="dog"),
    region({"name": "rect", "x": 4, "y": 5, "width": 6, "height": 7}, kind={"cat": True}),
    region(polygon([[4, 5], [8, 9], [20, 3]], "polyline"), kind="cat")]}}  # fmt: skip


def _open_and_use(folder):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            dataset = load(folder / "via_region_data.json")
            for i in dataset.image_ids:
                dataset.load_mask(i)
                dataset.ground_truth(i)
                dataset.load_image(i)
    except DataError as error:
        assert "via_region_data.json" in str(error) or str(folder) in str(error)


@given(damaged_json(_VALID))
@settings(max_examples=60)
def test_damage_raises_a_data_error_or_is_skipped(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("damage")
    write(folder, [])
    (folder / "via_region_data.json").write_text(text)
    _open_and_use(folder)


@given(st.integers(0, 900), st.sampled_from([b"", b"NaN", b"\xff\xfe", b'"', b"[" * 3000]))
def test_truncated_file_raises_a_data_error(tmp_path_factory, length, ending):
    folder = tmp_path_factory.mktemp("damage")
    write(folder, []).write_bytes(json.dumps(_VALID).encode()[:length] + ending)
    _open_and_use(folder)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)), max_size=5),
       st.booleans())  # fmt: skip
def test_rectangles_are_read_back(tmp_path_factory, rectangles, as_polygons):
    folder = tmp_path_factory.mktemp("rectangles")
    shapes = [polygon(ring(x, y, x + w, y + h)) if as_polygons else {"name": "rect", "x": x, "y": y, "width": w, "height": h}
              for x, y, w, h in rectangles]  # fmt: skip
    write(folder, {str(i): region(shape) for i, shape in enumerate(shapes)})
    masks, _ = load(folder).load_mask(0)
    for i, (x, y, w, h) in enumerate(rectangles):
        np.testing.assert_array_equal(masks[:, :, i], box(y, x, y + h, x + w))


POINTS = st.tuples(st.floats(0, SIZE[1]), st.floats(0, SIZE[0]))


@given(st.lists(st.tuples(st.sampled_from(["ant", "bee"]), st.lists(POINTS, min_size=3, max_size=8)), max_size=4))
def test_polygons_are_read_back(tmp_path_factory, instances):
    folder = tmp_path_factory.mktemp("polygons")
    write(folder, [region(polygon(points), kind=kind) for kind, points in instances])
    dataset = load(folder)
    masks, class_ids = dataset.load_mask(0)
    drawn = [(kind, rasterize_polygons([np.ravel(points).tolist()], SIZE)) for kind, points in instances]
    drawn = [(kind, mask) for kind, mask in drawn if mask.any()]
    assert [dataset.class_names[i] for i in class_ids] == [kind for kind, _ in drawn]
    for i, (_, mask) in enumerate(drawn):
        np.testing.assert_array_equal(masks[:, :, i], mask)


def test_error_about_attributes_names_the_file(tmp_path):
    shape = {"name": "rect", "x": 4, "y": 3, "width": 12, "height": 9}
    region = {"shape_attributes": shape, "region_attributes": {"name": "cat", "colour": "red"}}
    entry = {"filename": "a.png", "size": 1, "regions": [region]}
    (tmp_path / "via_region_data.json").write_text(json.dumps({"a.png1": entry}))
    with pytest.raises(DataError, match=r"via_region_data.json: the regions have the attributes name, colour"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"via_region_data.json: no region has the attribute 'kind'; they have name, colour"):
        load(tmp_path, attribute="kind")
