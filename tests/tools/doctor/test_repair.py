"""What the repaired copy changes and drops. The data set itself stays unchanged."""
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.orientation import turn_upright
from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic
from mrcnn.tools.doctor import KINDS, check_dataset
from mrcnn.tools.doctor.repair import LEFT, repair
from tests.datasets.panoptic_sets import segment, write_split
from tests.loading.scenes import scenes
from tests.recorded_stages import RecordedStages
from tests.tools.doctor.damaged import DAMAGES, HEIGHT, WIDTH, annotation, healthy, octagon, write_photograph


def checksums(folder):
    return {path: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def damaged(folder, *names):
    train, val = healthy(folder, train=2 * len(names) + 2, val=60)
    for position, name in enumerate(names):
        DAMAGES[name][1](train, val, 2 * position)
    train.save(), val.save()
    return train, val


def test_repaired_copy_passes_the_check_and_the_data_set_is_unchanged(tmp_path):
    names = [name for name in DAMAGES if name not in ("a gap in the ids", "a different category in val")]
    damaged(tmp_path / "set", *names)
    before = checksums(tmp_path / "set")
    repairs = repair(check_dataset(tmp_path / "set"), tmp_path / "out")
    assert checksums(tmp_path / "set") == before
    assert [path.name for path in repairs.files] == ["instances_train.json", "instances_val.json"]
    for path, name in zip(repairs.files, ("train", "val"), strict=True):
        report = check_dataset(path, images=tmp_path / "set" / name)
        assert report.count("error") == 0 and set(report.counts) <= set(LEFT)
        dataset = open_dataset(path, images=tmp_path / "set" / name)
        assert dataset.skipped == []
        for image_id in dataset.image_ids:
            dataset.load_mask(image_id), dataset.load_image(image_id)
    assert json.loads(json.dumps(repairs.to_dict()))["counts"] == repairs.counts()


def test_each_annotation_is_kept_or_reported_as_dropped(tmp_path):
    train, _ = damaged(tmp_path / "set", *(name for name in DAMAGES if name != "a gap in the ids"))
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    dropped = [place for what, place, _ in repairs.changes if what == "annotation dropped"]
    dropped_images = {place.image_id for what, place, _ in repairs.changes if what == "image dropped"}
    given = [a for a in train.annotations if not (isinstance(a, dict) and a["image_id"] in dropped_images)]
    kept = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert len(given) == len(kept) + len(dropped) and len(dropped) > 10
    labels = {place.annotation_id for place in dropped}
    renumbered = {place.annotation_id for what, place, _ in repairs.changes if what == "annotation renumbered"}
    ids = {a["id"] for a in kept}
    assert all(a["id"] in ids | labels | renumbered for a in given if isinstance(a, dict))


def test_advice_mentions_fix_for_the_kinds_that_are_repaired():
    assert [name for name, kind in KINDS.items() if "--fix" not in kind.advice] == [name for name in KINDS if name in LEFT]


def test_valid_set_is_copied_unchanged(tmp_path):
    train, _ = healthy(tmp_path / "set")
    train.images[0]["license"], train.annotations[0]["note"] = 3, {"by": "me"}
    train.save()
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    assert repairs.changes == [] and json.loads((tmp_path / "a.json").read_text()) == train.content


def repair_first(tmp_path, change):
    """Change the first annotation, and repair. Return the repaired annotation or None, and the counts of changes."""
    train, _ = healthy(tmp_path / "set", train=2, val=1)
    change(train.annotations[0])
    train.save()
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    result = json.loads((tmp_path / "a.json").read_text())["annotations"]
    kept = [a for a in result if a["id"] == train.annotations[0]["id"]]
    assert [a for a in result if a not in kept] == train.annotations[1:]
    return (kept[0] if kept else None), repairs.counts()


def test_polygon_is_clipped(tmp_path):
    result, counts = repair_first(tmp_path, lambda a: a.update(
        segmentation=[[-10, 20, 30, 20, 30, 60, -10, 60]], bbox=[-10, 20, 40, 40], area=1600))  # fmt: skip
    assert {tuple(p) for p in np.reshape(result["segmentation"][0], (-1, 2))} == {(0, 20), (30, 20), (30, 60), (0, 60)}
    assert result["bbox"] == [0, 20, 30, 40] and result["area"] == 1200
    assert counts == {"polygon clipped to the image, or partly dropped": 1, "area and bbox computed": 1}


def test_wrong_boxes_and_areas_are_computed(tmp_path):
    square = [[10, 20, 50, 20, 50, 60, 10, 60]]
    result, counts = repair_first(tmp_path, lambda a: a.update(segmentation=square, bbox=[1, 2, 3], area=9000))
    assert result["bbox"] == [10, 20, 40, 40] and result["area"] == 1600 and result["segmentation"] == square
    assert counts == {"area and bbox computed": 1, "value written as it is read": 1}


def test_missing_fields_are_added(tmp_path):
    square = [[10, 20, 50, 20, 50, 60, 10, 60]]

    def change(a):
        a["segmentation"] = square
        for name in ("bbox", "area", "iscrowd"):
            del a[name]

    result, counts = repair_first(tmp_path, change)
    assert (result["bbox"], result["area"], result["iscrowd"]) == ([10, 20, 40, 40], 1600, 0)
    assert counts == {"area and bbox computed": 1, "iscrowd written as 0 or 1": 1}


@pytest.mark.parametrize("fields", [
    {"segmentation": []}, {"segmentation": [[1, 2, 3, 4]]}, {"segmentation": [[10, 20, 40, 20, 60, 20]]},
    {"category_id": 9}, {"image_id": 9}, {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [7]}},
    {"segmentation": [[500, 20, 540, 20, 540, 60]]}, {"iscrowd": 2}, {"iscrowd": "yes"}, {"iscrowd": [1]},
])  # fmt: skip
def test_annotation_without_mask_image_or_category_is_dropped(tmp_path, fields):
    result, counts = repair_first(tmp_path, lambda a: a.update(fields))
    assert result is None and counts == {"annotation dropped": 1}


def test_valid_polygons_are_kept_when_malformed_ones_are_dropped(tmp_path):
    square = [10, 20, 50, 20, 50, 60, 10, 60]
    result, _ = repair_first(tmp_path, lambda a: a.update(segmentation=[[1, 2], square], bbox=[10, 20, 40, 40], area=1600))
    assert result["segmentation"] == [square]


def test_annotations_that_share_an_id_are_renumbered(tmp_path):
    train, _ = damaged(tmp_path / "set", "two annotations with one id")
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    ids = [a["id"] for a in json.loads((tmp_path / "a.json").read_text())["annotations"]]
    most = max(a["id"] for a in train.annotations)
    assert ids[:2] == [train.annotations[0]["id"], most + 1] and len(set(ids)) == len(ids)
    assert repairs.counts() == {"annotation renumbered": 1}


def test_malformed_size_is_replaced_by_that_of_the_file(tmp_path):
    damaged(tmp_path / "set", "a height that is text")
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    image = json.loads((tmp_path / "a.json").read_text())["images"][0]
    assert (image["height"], image["width"]) == (HEIGHT, WIDTH)
    assert repairs.counts() == {"size of the image taken from its file": 1}


def test_images_that_share_an_id_are_dropped_with_their_annotations(tmp_path):
    train, _ = damaged(tmp_path / "set", "two images with one id")
    repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    result = json.loads((tmp_path / "a.json").read_text())
    assert [i["file_name"] for i in result["images"]] == ["003.jpg", "004.jpg"]
    assert result["annotations"] == train.annotations[4:]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("as_rle", [False, True])
def test_annotations_of_the_rotated_image_are_rotated_to_the_stored_pixels(tmp_path, orientation, as_rle):
    """The rotated image has a bright triangle at its annotation. The repaired annotation must cover the same pixels."""
    upright = np.zeros((WIDTH, HEIGHT), np.uint8)
    rows, columns = np.mgrid[:WIDTH, :HEIGHT]
    inside = (rows >= 20) & (columns >= 10) & (rows - 20 + columns - 10 < 50)
    upright[inside] = 255
    stored = next(s for s in (upright.T, upright.T[::-1], upright.T[:, ::-1], upright.T[::-1, ::-1])
                  if (turn_upright(s, orientation) == upright).all())  # fmt: skip
    folder = tmp_path / "set"
    train, _ = healthy(folder, train=2, val=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(folder / "train" / "001.jpg", exif=exif, quality=98)
    train.images[0].update(height=WIDTH, width=HEIGHT)
    outline = [[10.0, 20.0, 60.0, 20.0, 10.0, 70.0]]
    train.annotations[0].update(segmentation=encode_mask(inside) if as_rle else outline, bbox=[10, 20, 50, 50], area=1250)
    train.annotations.pop(1)
    train.save()
    report = check_dataset(folder, subset="train")
    assert [f.kind for f in report.findings if f.severity != "info"] == ["size_swapped"]
    repair(report, tmp_path / "a.json")
    dataset = open_dataset(tmp_path / "a.json", images=folder / "train")
    mask = dataset.load_mask(0)[0][:, :, 0]
    bright = dataset.load_image(0)[:, :, 0] > 127
    assert mask.shape == bright.shape == (HEIGHT, WIDTH)
    assert np.count_nonzero(mask & bright) / np.count_nonzero(mask | bright) > 0.95
    x, y, w, h = dataset.ground_truth(0)[0]["bbox"]
    rows, columns = np.nonzero(mask)
    np.testing.assert_allclose([x, y, x + w, y + h],
                               [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=1.01)  # fmt: skip


def test_other_format_is_repaired_as_coco(tmp_path):
    folder = tmp_path / "toys"
    folder.mkdir()
    for i in (1, 2):
        write_photograph(folder / f"{i}.jpg", i)
        shapes = [{"label": "ball", "shape_type": "polygon", "group_id": None, "flags": {},
                   "points": np.reshape(octagon(x, 48, 22), (-1, 2)).tolist()} for x in (36, 92, 92)]  # fmt: skip
        content = {"version": "5.0.1", "flags": {}, "imagePath": f"{i}.jpg", "imageData": None, "shapes": shapes,
                   "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip
        (folder / f"{i}.json").write_text(json.dumps(content))
    report = check_dataset(folder, format="labelme")
    assert report.counts["annotation_duplicate"] == {"warning": 2}
    repairs = repair(report, tmp_path / "a.json")
    dataset = open_dataset(tmp_path / "a.json", images=folder)
    assert [len(dataset.annotations_of(i)) for i in dataset.image_ids] == [2, 2] and dataset.class_names == ["BG", "ball"]
    assert repairs.counts()["annotation dropped"] == 2
    assert check_dataset(tmp_path / "a.json", images=folder).counts == {}


def test_file_names_are_relative_to_the_common_folder_of_all_images(tmp_path):
    """LVIS uses images from two of COCO's folders."""
    images, annotations = [], []
    for i, part in enumerate(("train2017", "val2017"), start=1):
        (tmp_path / "set" / part).mkdir(parents=True)
        write_photograph(tmp_path / "set" / part / f"{i}.jpg", i)
        images.append({"id": i, "height": HEIGHT, "width": WIDTH, "coco_url": f"http://images/{part}/{i}.jpg",
                       "neg_category_ids": [], "not_exhaustive_category_ids": []})  # fmt: skip
        annotations.append(annotation(i, i, 5, octagon(40, 40, 20)))
    content = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "ball", "frequency": "r"}]}
    (tmp_path / "set" / "lvis_v1_val.json").write_text(json.dumps(content))
    repairs = repair(check_dataset(tmp_path / "set"), tmp_path / "a.json")
    assert repairs.folders == [str(tmp_path / "set")] and repairs.changes == []
    dataset = open_dataset(tmp_path / "a.json", images=repairs.folders[0])
    assert [dataset.load_image(i).shape[0] for i in dataset.image_ids] == [HEIGHT] * 2
    assert check_dataset(tmp_path / "a.json", images=repairs.folders[0]).counts == {}


def test_image_with_unreadable_annotations_is_dropped(tmp_path):
    """Otherwise it would become an image without objects, and networks would be trained with it."""
    ids = np.ones((4, 6), int)
    write_split(tmp_path / "set", [(f"{i}.jpg", ids, [segment(1, 1, 24 - i)]) for i in (0, 1)])
    report = check_dataset(tmp_path / "set")
    assert "left_out" in report.counts and "image_without_objects" not in report.counts
    repairs = repair(report, tmp_path / "a.json")
    assert [i["file_name"] for i in json.loads((tmp_path / "a.json").read_text())["images"]] == ["0.jpg"]
    assert repairs.counts() == {"image dropped": 1} and "cannot be read" in repairs.changes[0][2]


def test_images_without_files_are_named_by_their_ids(tmp_path):
    write_split(tmp_path / "set", [("a.jpg", np.ones((4, 6), int), [segment(1, 1, 24)])])
    convert_panoptic(tmp_path / "set", tmp_path / "shards", shards=1, workers=1)
    repairs = repair(check_dataset(tmp_path / "shards"), tmp_path / "a.json")
    assert repairs.counts() == {"image without a file named by its id": 1} and repairs.folders == [None]


def test_masks_in_memory_become_rle(tmp_path):
    repairs = repair(check_dataset(scenes([(1, 5, 5, 25, 30), (-2, 8, 8, 30, 50)])), tmp_path / "a.json")
    assert repairs.changes == []  # they had no ids, boxes or areas to correct
    content = json.loads((tmp_path / "a.json").read_text())
    assert [(a["category_id"], a["iscrowd"], a["area"], a["bbox"]) for a in content["annotations"]] == [
        (1, 0, 500, [5, 5, 25, 20]), (2, 1, 924, [8, 8, 42, 22])]  # fmt: skip


def test_data_set_is_never_overwritten(tmp_path):
    healthy(tmp_path / "set")
    annotations = tmp_path / "set" / "annotations"
    before = checksums(tmp_path / "set")
    one, both = check_dataset(tmp_path / "set", subset="val"), check_dataset(tmp_path / "set")
    (tmp_path / "link.json").symlink_to(annotations / "instances_val.json")
    for report, output in ((one, annotations / "instances_val.json"), (one, tmp_path / "link.json"), (both, tmp_path / "set"),
                           (both, tmp_path / "a.json")):  # fmt: skip
        with pytest.raises(DataError, match="would overwrite|is one file, but 2 subsets"):
            repair(report, output)
    assert checksums(tmp_path / "set") == before


def test_repairing_and_writing_are_reported_as_stages(tmp_path):
    healthy(tmp_path / "set", 3, 2)
    stages = RecordedStages()
    repair(check_dataset(tmp_path / "set"), tmp_path / "out", stages)
    assert stages.reported == [("repairing train", [(1, 3), (2, 3), (3, 3)]), ("repairing val", [(1, 2), (2, 2)]),
                           ("writing", []), ("writing", [])]  # fmt: skip


@pytest.mark.parametrize("write_id", [str, float])
def test_ids_of_different_types_are_unified_and_no_annotation_is_lost(tmp_path, write_id):
    train, _ = damaged(tmp_path / "set", "a gap in the ids")
    expected = [(a["id"], a["image_id"], a["segmentation"]) for a in train.annotations]
    for entry in train.annotations:
        entry["image_id"] = write_id(entry["image_id"])
    train.save()
    repairs = repair(check_dataset(tmp_path / "set", subset="train"), tmp_path / "a.json")
    written = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert [(a["id"], a["image_id"], a["segmentation"]) for a in written] == expected
    assert all(type(a["image_id"]) is int for a in written) and repairs.counts() == {"ids or sizes written in one way": 1}


SQUARE = [10, 10, 40, 10, 40, 40, 10, 40]


def one_image(folder, categories=({"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}), **fields):
    """Write an image with an annotation of class 1 whose `fields` are replaced, and a valid annotation of class 2."""
    write_photograph(folder / "1.jpg", 1)
    good = {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[50, 20, 80, 20, 80, 55, 50, 55]],
            "bbox": [50, 20, 30, 35], "area": 1050, "iscrowd": 0}  # fmt: skip
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "bbox": [10, 10, 30, 30], "area": 900,
              "iscrowd": 0, **fields}  # fmt: skip
    content = {"images": [{"id": 1, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}], "annotations": [square, good],
               "categories": list(categories)}  # fmt: skip
    (folder / "a.json").write_text(json.dumps(content))
    return content


def repaired(folder):
    """Check, repair and compare the annotations before and after. Return the repaired content, the report and the changes."""
    report = check_dataset(folder / "a.json")
    repairs = repair(report, folder / "fixed.json")
    before, after = open_dataset(folder / "a.json"), open_dataset(folder / "fixed.json")
    assert before.class_names == after.class_names and before.skipped == after.skipped == []
    assert [before.ground_truth(i) for i in before.image_ids] == [after.ground_truth(i) for i in after.image_ids]
    assert report.count("error") == 0 and check_dataset(folder / "fixed.json").count("warning") == 0
    return json.loads((folder / "fixed.json").read_text()), report, repairs.counts()


@pytest.mark.parametrize("fields", [
    {"segmentation": SQUARE}, {"segmentation": [[SQUARE]]}, {"segmentation": np.reshape(SQUARE, (-1, 2)).tolist()},
    {"segmentation": [np.reshape(SQUARE, (-1, 2)).tolist()]}, {"segmentation": json.dumps([SQUARE])},
    {"segmentation": [list(map(str, SQUARE))]},
    {"area": [900]}, {"area": -900.0}, {"area": "900.0"}, {"area": float("nan")}, {"area": 1e9}, {"area": True},
    {"bbox": [25, 25, 30, 30, 0.0]}, {"bbox": [None] * 4}, {"bbox": "10,10,30,30"}, {"bbox": [1e300, 0, 1, 1]},
    {"bbox": [10, 10, -30, 30]}, {"iscrowd": "0"}, {"iscrowd": " False "}, {"license": float("nan")},
], ids=str)  # fmt: skip
def test_values_with_a_unique_meaning_are_converted_and_reported(tmp_path, fields):
    """The reader and the repaired copy have the square with its area and box in COCO format."""
    one_image(tmp_path, **fields)
    content, report, counts = repaired(tmp_path)
    square, good = content["annotations"]
    assert square["segmentation"] == [SQUARE] and square["bbox"] == [10, 10, 30, 30] and square["area"] == 900
    assert type(square["iscrowd"]) is int and square["iscrowd"] == 0 and good["area"] == 1050
    assert report.counts["value_mended"] == {"warning": 1} and counts["value written as it is read"] == 1
    assert "annotation dropped" not in counts


def test_crowd_as_text_remains_a_crowd(tmp_path):
    """An earlier repair replaced the text by 0."""
    one_image(tmp_path, iscrowd="1")
    content, _, counts = repaired(tmp_path)
    assert [a["iscrowd"] for a in content["annotations"]] == [1, 0] and counts == {"value written as it is read": 1}


def test_names_that_are_numbers_are_written_as_text(tmp_path):
    """An earlier repair replaced them by "category 1" and "category 2"."""
    one_image(tmp_path, [{"id": 1, "name": 0, "supercategory": 5}, {"id": 2, "name": 3.5}])
    content, _, counts = repaired(tmp_path)
    assert content["categories"] == [{"id": 1, "name": "0", "supercategory": 5}, {"id": 2, "name": "3.5"}]
    assert counts == {"value written as it is read": 2}


@pytest.mark.parametrize("name", [None, "", True, ["cat"]])
def test_missing_category_name_is_an_error(tmp_path, name):
    one_image(tmp_path, [{"id": 1, "name": name}, {"id": 2, "name": "dog"}])
    report = check_dataset(tmp_path / "a.json")
    assert report.counts["entry_malformed"] == {"error": 1}
    with pytest.raises(DataError, match=r"the name of categories\[0\] is .*, and a repair invents none"):
        repair(report, tmp_path / "fixed.json")
    assert not (tmp_path / "fixed.json").exists()
    with pytest.raises(DataError, match=r"name"):
        open_dataset(tmp_path / "a.json")


def test_categories_with_one_name_are_one_class_everywhere(tmp_path):
    pets = {"id": 1, "name": "pets", "supercategory": "none"}
    one_image(tmp_path, [pets, {"id": 3, "name": "cat"}, {"id": 2, "name": "pets"}])
    content, report, counts = repaired(tmp_path)
    assert open_dataset(tmp_path / "a.json").class_names == ["BG", "pets", "cat"]
    assert [row["objects"] for row in report.statistics["classes"] if row["name"] == "pets"] == [2]
    assert content["categories"] == [pets, {"id": 3, "name": "cat"}]
    assert [a["category_id"] for a in content["annotations"]] == [1, 1]
    assert counts == {"category merged into the one of its name": 1}


def test_repair_that_would_keep_nothing_writes_nothing(tmp_path):
    content = one_image(tmp_path)
    for a in content["annotations"]:
        a["category_id"] = "unknown"
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="would keep no annotation.*annotation 2: its category is not listed"):
        repair(check_dataset(tmp_path / "a.json"), tmp_path / "fixed.json")
    one_image(tmp_path)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(DataError, match="would keep no image.*1.jpg does not exist"):
        repair(check_dataset(tmp_path / "a.json"), tmp_path / "fixed.json")
    assert not (tmp_path / "fixed.json").exists()


def test_nothing_is_written_if_a_subset_fails(tmp_path):
    train, val = healthy(tmp_path / "set", train=2, val=1)
    for a in val.annotations:
        a["segmentation"] = []
    train.save(), val.save()
    with pytest.raises(DataError, match="would keep no annotation"):
        repair(check_dataset(tmp_path / "set"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
