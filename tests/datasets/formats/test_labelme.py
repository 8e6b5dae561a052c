"""labelme: hand-computed shapes, folders, and photographs compared with the result of another converter."""
import json
import math
import pickle
import shutil

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats.labelme.dataset import open_subset, subsets
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.write.coco import write_coco
from tests.datasets.formats.labelme_files import SIZE, box, png, ring, save_image, shape, write
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SQUARE = ring(10, 5, 30, 25)


def load(folder, **options):
    return mrcnn.datasets.open(folder, "labelme", **options)


def masks_of(folder, **options):
    """Return the masks of the only image as a list, and the names of their classes."""
    dataset = load(folder, **options)
    masks, class_ids = dataset.load_mask(0)
    return [masks[:, :, i] for i in range(masks.shape[2])], [dataset.class_names[i] for i in class_ids]


def test_polygons_and_rectangles_become_masks(tmp_path):
    write(tmp_path, [shape("cat", SQUARE), shape("dog", [[50, 30], [40, 35]], "rectangle"),
                     shape("dog", ring(1, 30, 5, 36), "rectangle"),
                     {"label": "cat", "points": ring(40, 2, 44, 4)}])  # fmt: skip
    masks, names = masks_of(tmp_path)
    assert names == ["cat", "dog", "dog", "cat"]
    for mask, expected in zip(masks, [box(5, 10, 25, 30), box(30, 40, 35, 50), box(30, 1, 36, 5), box(2, 40, 4, 44)]):
        np.testing.assert_array_equal(mask, expected)
    dataset = load(tmp_path)
    segmentations, _ = dataset.load_instances(0)
    assert segmentations[0] == [[10, 5, 30, 5, 30, 25, 10, 25]]
    assert dataset.skipped == [] and dataset.notes == [] and dataset.image_size(0) == (40, 60)


def test_training_samples_have_masks_and_boxes(tmp_path):
    write(tmp_path, [shape("dog", SQUARE), shape("cat", ring(40, 2, 50, 8))])
    dataset = pickle.loads(pickle.dumps(load(tmp_path)))
    image, _, class_ids, boxes, masks = make_sample(dataset, 0, SampleSettings("none", num_classes=3, mini_mask_shape=None))
    assert image.shape == (40, 60, 3) and class_ids.tolist() == [2, 1]
    assert boxes.tolist() == [[5, 10, 25, 30], [2, 40, 8, 50]]
    np.testing.assert_array_equal(masks, np.stack([box(5, 10, 25, 30), box(2, 40, 8, 50)]))


def test_circle_becomes_a_disc(tmp_path):
    write(tmp_path, [shape("ball", [[30, 20], [30, 8]], "circle")])
    ((mask,), _) = masks_of(tmp_path)
    y, x = np.mgrid[:40, :60] + 0.5
    assert (mask != (np.hypot(x - 30, y - 20) < 12)).sum() <= 8  # of 452 pixels, all at the rim
    assert abs(mask.sum() - math.pi * 144) < 8


def test_linestrip_is_drawn_with_a_width(tmp_path):
    write(tmp_path, [shape("wire", [[10, 20], [40, 20]], "linestrip")])
    np.testing.assert_array_equal(masks_of(tmp_path)[0][0], box(15, 10, 25, 40))  # labelme draws 10 pixels
    np.testing.assert_array_equal(masks_of(tmp_path, line_width=4)[0][0], box(18, 10, 22, 40))
    with pytest.raises(ValueError, match="line_width is 0"):
        load(tmp_path, line_width=0)


@pytest.mark.parametrize("as_uint8", [False, True])
def test_mask_is_placed_at_its_first_point(tmp_path, as_uint8):
    mask = np.array([[1, 1, 0], [0, 1, 1]], bool)
    encoded = png(mask.astype(np.uint8) if as_uint8 else mask)
    write(tmp_path, [shape("leaf", [[20, 7], [22, 8]], "mask", mask=encoded),
                     shape("leaf", [[58, 39], [60, 40]], "mask", mask=encoded),
                     shape("leaf", [[-1, -1], [1, 0]], "mask", mask=encoded)])  # fmt: skip
    expected = [np.zeros((40, 60), bool) for _ in range(3)]
    expected[0][7:9, 20:23] = mask
    expected[1][39, 58:60] = mask[0, :2]  # clipped at the edges of the image
    expected[2][0, 0:2] = mask[1, 1:]
    for mask, wanted in zip(masks_of(tmp_path)[0], expected, strict=True):
        np.testing.assert_array_equal(mask, wanted)


def test_points_and_lines_are_skipped_and_reported(tmp_path, caplog):
    write(tmp_path, [shape("cat", SQUARE), shape("eye", [[1, 2]], "point"), shape("eye", [[3, 2]], "point"),
                     shape("tail", [[1, 2], [3, 4]], "line"), shape("eyes", [[1, 2], [3, 4]], "points")])  # fmt: skip
    dataset = load(tmp_path)
    assert [where for where, _ in dataset.skipped] == [f"a.json: shapes[{i}]" for i in (1, 2, 3, 4)]
    assert dataset.class_names == ["BG", "cat"] and dataset.num_instances(0) == 1
    assert "2 files or shapes skipped, such as a.json: shapes[1]: its shape_type 'point' has no area" in caplog.text


def test_shapes_of_a_group_are_one_instance(tmp_path):
    write(tmp_path, [shape("cat", ring(2, 2, 8, 8), group_id=3), shape("cat", SQUARE), shape("dog", SQUARE, group_id=3),
                     shape("cat", ring(40, 2, 50, 8), group_id=3), shape("cat", ring(40, 20, 50, 28), group_id=0),
                     shape("cat", [[30, 30], [34, 33]], "rectangle", group_id=0)])  # fmt: skip
    dataset = load(tmp_path)
    segmentations, class_ids = dataset.load_instances(0)
    assert class_ids.tolist() == [1, 1, 2, 1]
    assert [len(s) for s in segmentations] == [2, 1, 1, 2] and all(isinstance(s, list) for s in segmentations)
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], box(2, 2, 8, 8) | box(2, 40, 8, 50))


@pytest.mark.parametrize("outer_clockwise", [True, False])
def test_inner_ring_of_a_group_in_opposite_direction_is_a_hole(tmp_path, outer_clockwise):
    outer, inner = ring(10, 5, 30, 25, outer_clockwise), ring(14, 8, 20, 12, not outer_clockwise)
    write(tmp_path, [shape("cat", inner, group_id=1), shape("cat", outer, group_id=1)])
    dataset = load(tmp_path)
    assert isinstance(dataset.load_instances(0)[0][0], dict)
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], box(5, 10, 25, 30) & ~box(8, 14, 12, 20))


@pytest.mark.parametrize("shapes", [
    [shape("cat", ring(10, 5, 30, 25, clockwise=False)), shape("cat", ring(14, 8, 20, 12))],  # no group
    [shape("cat", ring(10, 5, 30, 25, clockwise=False), group_id=1), shape("cat", ring(14, 8, 20, 12), group_id=2)],
    [shape("cat", ring(10, 5, 30, 25, clockwise=False), group_id=1), shape("dog", ring(14, 8, 20, 12), group_id=1)],
])  # fmt: skip
def test_ring_of_another_instance_is_not_a_hole(tmp_path, shapes):
    write(tmp_path, shapes)
    for mask, expected in zip(masks_of(tmp_path)[0], [box(5, 10, 25, 30), box(8, 14, 12, 20)], strict=True):
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("second", [ring(14, 8, 20, 12, False), ring(32, 8, 40, 12), ring(25, 8, 40, 12)])
def test_rings_of_a_group_in_the_same_direction_or_apart_are_solid(tmp_path, second):
    first = ring(10, 5, 30, 25, clockwise=False)
    write(tmp_path, [shape("cat", first, group_id=1), shape("cat", second, group_id=1)])
    ((left, top), (right, bottom)) = np.min(second, axis=0), np.max(second, axis=0)
    np.testing.assert_array_equal(masks_of(tmp_path)[0][0], box(5, 10, 25, 30) | box(top, left, bottom, right))


def test_hole_label_cuts_holes(tmp_path):
    write(tmp_path, [
        shape("plate", ring(2, 2, 40, 38)), shape("ring", ring(5, 5, 20, 20)), shape("ring", ring(45, 5, 58, 20)),
        shape("gap", ring(8, 8, 12, 12)),  # cut from the smallest instance around it: the first ring, not the plate
        shape("gap", ring(30, 30, 36, 36)), shape("gap", ring(44, 26, 50, 30)),
        shape("cup", ring(20, 22, 24, 30), group_id=5), shape("gap", ring(21, 24, 23, 26), group_id=5),
        shape("gap", ring(1, 1, 3, 3), group_id=6),
    ])  # fmt: skip
    dataset = load(tmp_path, hole_label="gap")
    assert dataset.class_names == ["BG", "cup", "plate", "ring"]
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [2, 3, 3, 1]
    expected = [box(2, 2, 38, 40) & ~box(30, 30, 36, 36), box(5, 5, 20, 20) & ~box(8, 8, 12, 12), box(5, 45, 20, 58),
                box(22, 20, 30, 24) & ~box(24, 21, 26, 23)]  # fmt: skip
    for i, wanted in enumerate(expected):
        np.testing.assert_array_equal(masks[:, :, i], wanted)
    assert [where for where, _ in dataset.skipped] == ["a.json: shapes[5]", "a.json: shapes[8]"]
    assert "lies in no instance" in dataset.skipped[0][1]


def test_crowd_flag_makes_a_crowd(tmp_path):
    write(tmp_path, [shape("cat", SQUARE, flags={"crowd": True}), shape("cat", SQUARE, flags={"crowd": False})])
    dataset = load(tmp_path)
    assert dataset.load_mask(0)[1].tolist() == [-1, 1] and dataset.num_instances(0) == 1


@pytest.mark.parametrize("fault, reason", [
    ({"label": [5]}, "'label' is [5], expected text or a number"),
    ({"label": ""}, "'label' is ''"),
    ({"label": "\ud800"}, "'label' is"),
    ({"points": [[1, 2], [3, 4]]}, "'points' has 2 points, expected at least 3"),
    ({"points": [[1, 2], [3, 4], [5]]}, "points[2] is [5]"),
    ({"points": [[1, 2], [3, 4], [5, None]]}, "points[2]"),
    ({"points": [[1, 2], [3, 4], [5, 10**400]]}, "points[2]"),
    ({"points": [[1, 2], [1, 4], [1, 9]]}, "has no area"),
    ({"points": ring(60, 5, 80, 25)}, "lies outside the image"),
    ({"points": None}, "no field 'points'"),
    ({"group_id": [1]}, "'group_id' is [1]"),
    ({"flags": []}, "'flags' is []"),
    ({"shape_type": "spiral"}, "shape_type 'spiral' is unknown"),
    ({"shape_type": "circle", "points": [[9, 9], [9, 9]]}, "has no area"),
    ({"shape_type": "circle", "points": [[1e308, 0], [-1e308, 0]]}, "not finite numbers"),
    ({"shape_type": "linestrip", "points": [[9, 9], [9, 9]]}, "has no area"),
    ({"shape_type": "linestrip", "points": [[-1e308, 9], [1e308, 9]]}, "not finite numbers"),
    ({"shape_type": "rectangle", "points": [[9, 9]]}, "at least 2"),
    ({"shape_type": "rectangle", "points": [[9, 9], [20, 9], [20, 20]]}, "expected two corners or four"),
    ({"shape_type": "mask"}, "no field 'mask'"),
    ({"shape_type": "mask", "mask": "no PNG"}, "'mask' is not a PNG in base64"),
    ({"shape_type": "mask", "mask": png(np.zeros((3, 3), bool))}, "covers nothing of the image"),
    ({"shape_type": "mask", "mask": png(np.ones((3, 3), bool)), "points": [[60, 9], [62, 11]]}, "covers nothing"),
])  # fmt: skip
def test_unusable_shape_is_skipped_and_reported(tmp_path, fault, reason):
    write(tmp_path, [shape("cat", SQUARE), {**shape("cat", SQUARE), **fault}, "no shape"])
    dataset = load(tmp_path)
    assert dataset.load_mask(0)[1].tolist() == [1]
    (where, reported), (last, last_reported) = sorted(dataset.skipped)
    assert where == "a.json: shapes[1]" and reason in reported
    assert last == "a.json: shapes[2]" and "is 'no shape', expected an object" in last_reported


@pytest.mark.parametrize("text, message", [
    ("{", "a.json is not valid JSON"),
    ('{"shapes": {}, "imagePath": "a.png"}', "'shapes' is {}, expected a list"),
    ('{"shapes": [], "imagePath": 3}', "'imagePath' is 3, expected text"),
    ('{"shapes": [], "imagePath": ""}', "its imagePath is '', expected the name of a file"),
    ('{"imagePath": "a.png"}', "no field 'shapes'"),
    ('{"shapes": [], "imagePath": "gone.png"}', "gone.png cannot be read, and it has no imageHeight and imageWidth"),
    ('{"shapes": [], "imagePath": "gone.png", "imageHeight": 0, "imageWidth": 9}', "no imageHeight"),
    ('{"shapes": [], "imagePath": "gone.png", "imageHeight": 4e9, "imageWidth": 4e9}',
     "imageHeight x imageWidth is 4000000000 x 4000000000, more than"),
    ('{"shapes": [], "imagePath": "a.png", "imageHeight": 30, "imageWidth": 60}', "was annotated at 30 x 60"),
])  # fmt: skip
def test_unusable_file_is_an_error_or_skipped_next_to_usable_ones(tmp_path, text, message):
    path = write(tmp_path, [], image="gone" not in text)
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json") as error:
        open_subset(path)
    assert message in str(error.value)
    write(tmp_path, [shape("cat", SQUARE)], "b")
    dataset = load(tmp_path)  # skipped next to a usable file
    assert [info["id"] for info in dataset.image_info] == ["b"]
    ((where, reason),) = dataset.skipped
    assert where == "a.json" and message in reason


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "sub/../../x.png", "C:\\x.png", "..\\x.png"])
def test_file_whose_image_path_leads_out_of_the_folder_is_skipped(tmp_path, name):
    save_image(tmp_path / "x.png", SIZE)
    write(tmp_path / "set", [shape("cat", SQUARE)], "b")
    write(tmp_path / "set", [shape("cat", SQUARE)], image=False, imagePath=name)
    dataset = load(tmp_path / "set")
    assert [info["id"] for info in dataset.image_info] == ["b"]
    ((where, reason),) = dataset.skipped
    assert where == "a.json" and "its imagePath leads out of the data set's folder" in reason and "--allow-outside" in reason
    assert load(tmp_path / "set", allow_outside=True).num_images == 2


FOUND_IN_IMAGES = "its file is not where its imagePath says, but was found by its name in images/"


@pytest.mark.parametrize(("given", "image", "note"), [
    ("/home/me/photographs/a.png", "deep/a.png", "its imagePath does not exist: the image of that name beside it is used"),
    ("D:\\photographs\\a.png", "deep/a.png", "its imagePath does not exist: the image of that name beside it is used"),
    ("..\\..\\..\\a.png", "deep/a.png", "its imagePath does not exist: the image of that name beside it is used"),
    ("old.png", "deep/mine.JPG", "its imagePath does not exist: the image beside it with its own name is used"),
    ("/home/me/photographs/a.png", "images/a.png", FOUND_IN_IMAGES), ("my%20cat.png", "images/my cat.png", FOUND_IN_IMAGES),
])  # fmt: skip
def test_image_of_another_computer_is_found_by_its_name(tmp_path, given, image, note):
    write(tmp_path, [shape("cat", SQUARE)], "deep/mine", image=False, imagePath=given)
    save_image((tmp_path / "deep" / "x.png"), SIZE)
    (tmp_path / image).parent.mkdir(exist_ok=True)
    save_image(tmp_path / image, SIZE)
    dataset = load(tmp_path)
    assert dataset.image_info[0]["path"] == str(tmp_path / image) and dataset.load_image(0).shape == (40, 60, 3)
    assert dataset.notes == [("deep/mine.json", note)] and dataset.skipped == []
    report = check_dataset(tmp_path)
    assert [(f.kind, f.message) for f in report.findings if f.kind == "noted"] == [("noted", f"deep/mine.json: {note}")]


def test_image_in_the_file_comes_before_an_image_elsewhere(tmp_path):
    data = png(np.full((40, 60), 77, np.uint8))
    write(tmp_path, [shape("cat", SQUARE)], "deep/mine", image=False, imagePath="/home/me/a.png", imageData=data)
    (tmp_path / "images").mkdir()
    save_image(tmp_path / "images" / "a.png", SIZE)
    assert load(tmp_path).load_image(0)[0, 0, 0] == 77


def test_image_of_a_name_that_several_files_have_is_reported(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_image(tmp_path / folder / "x.png", SIZE)
    write(tmp_path, [shape("cat", SQUARE)], "b")
    write(tmp_path, [shape("cat", SQUARE)], image=False, imagePath="/home/me/x.png")
    ((where, reason),) = load(tmp_path).skipped
    assert where == "a.json" and "several files" in reason and "have the name in its imagePath" in reason


def test_image_path_may_contain_parent_folders_inside_the_data_set(tmp_path):
    write(tmp_path / "images", [], "a").unlink()
    write(tmp_path / "labels" / "deep", [shape("cat", SQUARE)], "a", image=False, imagePath="..\\../images/a.png")
    dataset = load(tmp_path)
    assert dataset.load_image(0).shape == (40, 60, 3) and dataset.image_info[0]["id"] == "labels/deep/a"


def test_link_to_an_image_outside_is_rejected(tmp_path):
    write(tmp_path / "set", [shape("cat", SQUARE)])
    (tmp_path / "set" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match="imagePath: .*is a link"):
        load(tmp_path / "set")
    assert load(tmp_path / "set", allow_outside=True).load_image(0).shape == (40, 60, 3)


def test_subfolders_are_read_and_hidden_folders_ignored(tmp_path):
    for name in ("b", "sub/a", "sub/c10", "sub/c2", "a10"):
        write(tmp_path, [shape("cat", SQUARE)], name)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.json").write_text("{}")
    dataset = load(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["a10", "b", "sub/a", "sub/c10", "sub/c2"]
    assert dataset.skipped == [] == dataset.notes
    write_coco(dataset, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert [image["file_name"] for image in content["images"]][2] == "sub/a.png"


def test_files_written_on_other_systems_are_read(tmp_path):
    path = write(tmp_path, [shape("Käfer", SQUARE), shape(" Käfer ", SQUARE)], "sub dir/été 1")
    path.write_bytes(path.read_text().replace("}, ", "},\r\n").encode("utf-8-sig"))
    path.rename(path.with_suffix(".JSON"))
    dataset = load(tmp_path)
    assert dataset.class_names == ["BG", "Käfer"] and dataset.load_mask(0)[1].tolist() == [1, 1]
    assert [info["id"] for info in dataset.image_info] == ["sub dir/été 1"] and dataset.load_image(0).shape == (40, 60, 3)


def test_other_json_files_are_ignored_and_damaged_files_reported(tmp_path, caplog):
    write(tmp_path / "train", [shape("cat", SQUARE)])
    write(tmp_path / "val", [shape("cat", SQUARE)])
    for name, text in (("train/list", "[1, 2]"), ("train/coco", '{"images": [], "annotations": [], "categories": []}'),
                       ("val/text", '"a"'), ("val/empty", "{}")):  # fmt: skip
        (tmp_path / f"{name}.json").write_text(text)
    for part, names in (("train", ["train/coco.json", "train/list.json"]), ("val", ["val/empty.json", "val/text.json"])):
        dataset = load(tmp_path, subset=part)
        assert dataset.notes == [(name, "it is not a labelme file, and is ignored") for name in names]
        assert dataset.skipped == [] and caplog.records == []
    (tmp_path / "train" / "half.json").write_text('{"imagePath": "a.png"}')
    (tmp_path / "train" / "cut.json").write_text('{"version": "5.5.0", "shapes": [')
    assert [where for where, _ in load(tmp_path, subset="train").skipped] == ["train/cut.json", "train/half.json"]
    with pytest.raises(DataError, match="coco.json has no usable labelme file: coco.json: it is not a labelme file"):
        open_subset(tmp_path / "train" / "coco.json")


def test_subsets_share_their_classes(tmp_path):
    write(tmp_path / "train", [shape("fig", SQUARE), shape("date", SQUARE)])
    write(tmp_path / "valid", [shape("hazelnut", SQUARE)], "b")
    (tmp_path / "valid" / "broken.json").write_text('{"shapes"')
    assert subsets(tmp_path) == ["train", "val"]
    train, val = (mrcnn.datasets.open(tmp_path, subset=part) for part in ("train", "val"))
    assert train.class_names == val.class_names == ["BG", "date", "fig", "hazelnut"]
    assert train.load_mask(0)[1].tolist() == [2, 1] and val.load_mask(0)[1].tolist() == [3]
    assert train.skipped == [] and [where for where, _ in val.skipped] == ["valid/broken.json"]
    with pytest.raises(DataError, match="say which one to open"):
        mrcnn.datasets.open(tmp_path)


def test_two_files_for_one_image_are_reported(tmp_path):
    write(tmp_path, [shape("cat", SQUARE)])
    write(tmp_path, [shape("cat", SQUARE)], "sub/b", image=False, imagePath="../a.png")
    write(tmp_path, [shape("cat", SQUARE)], "c")
    dataset = load(tmp_path)
    assert dataset.num_images == 3 and dataset.skipped == []
    assert dataset.notes == [("a.json and sub/b.json", "two files have the same image, which is added twice")]


def test_files_outside_the_subsets_are_reported_with_the_first_subset(tmp_path):
    for name in ("train/a", "val/a", "a", "more/a"):
        write(tmp_path, [shape(f"in {name}", SQUARE)], name)
    write_coco(load(tmp_path, subset="val"), tmp_path / "val.json")
    train, val = (load(tmp_path, subset=part) for part in ("train", "val"))
    assert [info["id"] for info in train.image_info] == ["train/a"] and train.class_names == ["BG", "in train/a", "in val/a"]
    assert train.skipped == [(name, "it is in none of the data set's subsets")
                             for name in ("a.json", "more/a.json")]  # fmt: skip
    assert val.skipped == [] == val.notes


def test_labels_define_the_classes_and_their_order(tmp_path):
    write(tmp_path, [shape("fig", SQUARE), shape("date", SQUARE), shape("__ignore__", SQUARE)])
    assert load(tmp_path).class_names == ["BG", "date", "fig"]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nnut\n\nfig\n")
    for labels in (str(tmp_path / "labels.txt"), ["nut", "fig"]):
        dataset = load(tmp_path, labels=labels)
        assert dataset.class_names == ["BG", "nut", "fig"] and dataset.load_mask(0)[1].tolist() == [2]
        assert [reason for _, reason in dataset.skipped] == [
            "its label 'date' is not among the classes", "its label '__ignore__' is not among the classes"]


def test_worker_processes_give_the_same_result(tmp_path):
    for i in range(6):
        write(tmp_path, [shape("cat", SQUARE), shape("dog", [[1, 1]], "point")], f"{i}")
    (tmp_path / "bad.json").write_text("{")
    stages = RecordedStages()
    serial, parallel = load(tmp_path), load(tmp_path, workers=2, progress=stages)
    assert serial.image_info == parallel.image_info and serial.skipped == parallel.skipped and len(serial.skipped) == 7
    assert stages.reported == [("reading", [(i, 7) for i in range(1, 8)])]


def test_files_and_folders_are_recognised(tmp_path):
    path = write(tmp_path / "set", [])
    assert recognise_format(path) == recognise_format(tmp_path / "set") == "labelme"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.json").write_text('{"shapes": []}')
    with pytest.raises(DataError, match=r"labelme \(no JSON file with shapes and imagePath"):
        recognise_format(tmp_path / "other")
    with pytest.raises(DataError, match=r"labelme \(the JSON has no shapes and imagePath"):
        recognise_format(tmp_path / "other" / "a.json")


def test_photographs_agree_with_the_reference_converter(tmp_path):
    folder = shared_path("data/fruits")
    reference = json.loads(shared_path("data/fruits_reference.json").read_text())
    dataset = mrcnn.datasets.open(folder)
    assert dataset.class_names == ["BG", "date", "fig", "hazelnut"] and dataset.skipped == [] and dataset.notes == []
    summary = write_coco(dataset, tmp_path / "fruits.json")
    assert (summary.images, summary.instances) == (18, 165)
    assert summary.per_class == {"date": 71, "fig": 41, "hazelnut": 53}
    ours = json.loads((tmp_path / "fruits.json").read_text())
    names = [{i["id"]: i["file_name"] for i in content["images"]} for content in (ours, reference)]
    ours_by_key, expected = (
        {(name[a["image_id"]], a["category_id"], str(a["segmentation"])): a for a in content["annotations"]}
        for content, name in zip((ours, reference), names)
    )
    assert len(ours_by_key) == 165 and ours_by_key.keys() == expected.keys()
    for key, annotation in ours_by_key.items():
        assert annotation["area"] == pytest.approx(expected[key]["area"], rel=0.005)
        np.testing.assert_allclose(annotation["bbox"], expected[key]["bbox"], atol=1.01)  # the reference has whole pixels


def test_photograph_without_its_file_is_read_from_the_json(tmp_path):
    folder = shared_path("data/fruits")
    for name in ("0.json", "1.json"):
        shutil.copy(folder / name, tmp_path)
    dataset = load(tmp_path)
    whole = mrcnn.datasets.open(folder)
    gaps = [np.abs(dataset.load_image(0).astype(int) - whole.load_image(i)).mean() for i in (0, 1)]
    assert gaps[0] < 5 < 15 < gaps[1] and dataset.image_size(0) == (600, 800)  # the embedded image was compressed again
    assert dataset.image_size(1) == (600, 800)  # from the JSON, which has no embedded image here
    with pytest.raises(DataError, match="1.jpg does not exist"):
        dataset.load_image(1)


def test_files_in_another_encoding(tmp_path):
    """labelme on a Chinese Windows wrote GBK. The folder is recognised, and the error proposes the encoding."""
    for name, label in (("1", "汽车"), ("2", "行人"), ("3", "cat")):
        path = write(tmp_path, [shape(label, ring(5, 5, 20, 20))], name)
        path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode("gb18030"))
    dataset = mrcnn.datasets.open(tmp_path)
    assert [where for where, _ in dataset.skipped] == ["1.json", "2.json"] and dataset.class_names == ["BG", "cat"]
    assert "1.json is not UTF-8 text" in dataset.skipped[0][1] and "gb18030, which reads '汽车'" in dataset.skipped[0][1]
    dataset = mrcnn.datasets.open(tmp_path, encoding="gb18030")
    assert dataset.skipped == [] and dataset.class_names == ["BG", "cat", "汽车", "行人"]


def test_nan_costs_only_what_needs_it(tmp_path):
    nan = float("nan")
    shapes = [shape("cat", ring(5, 5, 20, 20), score=nan), shape("dog", [[nan, 1], [9, 9], [1, 9]])]
    path = write(tmp_path, shapes, more=float("inf"))
    assert "NaN" in path.read_text()
    dataset = mrcnn.datasets.open(tmp_path)
    assert dataset.class_names == ["BG", "cat"] and [where for where, _ in dataset.skipped] == ["a.json: shapes[1]"]
    assert [where for where, note in dataset.notes if "NaN" in note] == [
        "a.json: shapes[0].score", "a.json: shapes[1].points[0][0]", "a.json: more"]  # fmt: skip
