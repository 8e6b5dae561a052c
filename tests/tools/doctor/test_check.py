"""Each kind of damage is found, and a valid data set has no findings."""
import json
import os
import shutil

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.config import Config
from mrcnn.datasets.catalog import open_dataset
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from mrcnn.tools.doctor import KINDS, annotations, check_dataset
from tests.loading.scenes import Scenes, scenes
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path
from tests.tools.doctor.damaged import DAMAGES, FOLLOWS, HEIGHT, WIDTH, Part, healthy


@pytest.fixture(scope="module")
def valid_set(tmp_path_factory):
    """The folder of a valid data set that tests only read."""
    folder = tmp_path_factory.mktemp("valid") / "set"
    healthy(folder)
    return folder


def copy_of(valid_set, folder):
    """Copy a data set that will be damaged, and return its subsets train and val."""
    shutil.copytree(valid_set, folder, copy_function=os.link)
    parts = []
    for name in ("train", "val"):
        path = folder / "annotations" / f"instances_{name}.json"
        content = json.loads(path.read_text())
        path.unlink()
        for file in (folder / name).iterdir():  # replaces the hard link, so that writing does not change the original
            data = file.read_bytes()
            file.unlink()
            file.write_bytes(data)
        parts.append(Part(name, folder, content))
    return parts


def kinds(report):
    return {kind: sum(of.values()) for kind, of in report.counts.items()}


def test_valid_set_has_no_findings(valid_set):
    report = check_dataset(valid_set)
    assert report.counts == {} and report.findings == []
    assert report.exit_code() == 0 and report.exit_code(strict=True) == 0
    assert "11 images, 22 annotations: 0 errors, 0 warnings, 0 notes" in report.table()


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_without_other_findings(valid_set, tmp_path, name):
    expected, damage = DAMAGES[name]
    train, val = copy_of(valid_set, tmp_path / "set")
    image_id, annotation_id = damage(train, val, 2)
    train.save(), val.save()
    report = check_dataset(tmp_path / "set")
    found = kinds(report)
    assert set(expected) <= set(found) <= set(expected) | FOLLOWS.get(name, set())
    assert found[expected[0]] == 1
    (finding,) = [f for f in report.findings if f.kind == expected[0]]
    assert (finding.place.image_id, finding.place.annotation_id) == (image_id, annotation_id)
    assert finding.message and finding.advice == KINDS[finding.kind].advice


def test_all_damages_in_one_set_are_found(tmp_path):
    names = [name for name in DAMAGES if name not in ("a gap in the ids", "a different category in val")]
    train, val = healthy(tmp_path / "set", train=2 * len(names) + 2, val=60)
    expected_findings = {}
    for position, name in enumerate(names):
        expected, damage = DAMAGES[name]
        expected_findings[name] = expected[0], damage(train, val, 2 * position)
    train.save(), val.save()
    report = check_dataset(tmp_path / "set")
    found = {(f.kind, (f.place.image_id, f.place.annotation_id)) for f in report.findings}
    assert len(names) > 50
    assert [name for name, finding in expected_findings.items() if finding not in found] == []
    assert report.exit_code() == 1


def test_statistics_by_hand(valid_set, tmp_path):
    report = check_dataset(valid_set)
    assert report.statistics["parts"][0] == {
        "part": "train", "path": str(valid_set / "annotations" / "instances_train.json"), "images": 8, "without_objects": 0,
        "annotations": 16, "crowds": 0}  # fmt: skip
    # classes per image: 1, 2 | 3, 1 | 2, 3 | ...; train has 8 images, val 3
    assert {row["name"]: (row["objects"], row["by_part"]) for row in report.statistics["classes"]} == {
        "ball": (8, {"train": 6, "val": 2}), "brick": (7, {"train": 5, "val": 2}), "cat": (7, {"train": 5, "val": 2})}
    assert report.statistics["sizes"]["objects"] == 22
    saved = tmp_path / "report.json"
    report.save(saved)
    assert json.loads(saved.read_text()) == json.loads(json.dumps(report.to_dict()))


def test_report_is_independent_of_progress_and_workers(valid_set, monkeypatch):
    stages, check = RecordedStages(), annotations.check_annotation
    parts = iter(["train"] * 16 + ["val"] * 6)
    monkeypatch.setattr(annotations, "check_annotation",
                        lambda *args: stages.during(f"checking annotations {next(parts)}", check)(*args))
    report = check_dataset(valid_set, workers=0, progress=stages)
    monkeypatch.undo()
    assert report.to_dict() == check_dataset(valid_set, workers=3).to_dict() and next(parts, None) is None
    reading = ("reading instances_X.json, MiB", "parsing instances_X.json", "checking entries")
    assert stages.names == [
        *(name.replace("X", part) for part in ("train", "val") for name in reading), "checking images",
        "checking annotations train", "checking annotations val", "looking for duplicates", "measuring objects"]  # fmt: skip
    assert stages.of("checking images") == [[(i, 11) for i in range(1, 12)]]
    assert stages.of("checking entries") == [[(16, 16)], [(6, 6)]]
    assert stages.of("checking annotations train") == [[(i, 8) for i in range(1, 9)]]
    assert stages.of("checking annotations val") == [[(i, 3) for i in range(1, 4)]]


def test_image_folder_is_rejected_for_a_folder_in_coco_layout(valid_set):
    with pytest.raises(DataError, match=r"is a folder, .* images inside: omit the folder of images, elsewhere \(--images\)"):
        check_dataset(valid_set, images="elsewhere")


def test_single_subset_is_checked(valid_set):
    assert [p["part"] for p in check_dataset(valid_set, subset="val").statistics["parts"]] == ["val"]
    with pytest.raises(DataError, match="no subset 'test'; it has train, val"):
        check_dataset(valid_set, subset=["test"])


def test_json_file_with_its_image_folder(valid_set):
    path = valid_set / "annotations" / "instances_val.json"
    assert check_dataset(path, images=valid_set / "val").counts == {}
    assert check_dataset(path).counts == {}, "the images are where the layout has them"
    report = check_dataset(path, images=valid_set / "annotations")
    assert kinds(report) == {"image_missing": 1} and "none of the 3 image files exists" in report.findings[0].message


def test_invalid_json_does_not_hide_the_other_subset(valid_set, tmp_path):
    train, val = copy_of(valid_set, tmp_path / "set")
    train.save()
    (tmp_path / "set" / "annotations" / "instances_val.json").write_text('{"images": [')
    report = check_dataset(tmp_path / "set")
    assert kinds(report) == {"part_unreadable": 1} and report.statistics["parts"][0]["part"] == "train"
    (tmp_path / "set" / "annotations" / "instances_train.json").unlink()
    with pytest.raises(DataError, match="instances_val.json is not valid JSON"):
        check_dataset(tmp_path / "set")


@pytest.mark.parametrize("content", [{}, {"images": {}}, {"images": [], "annotations": None, "categories": 3}])
def test_missing_lists_are_reported(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    report = check_dataset(path, format="coco")
    assert kinds(report)["list_missing"] == sum(not isinstance(content.get(k), list) for k in
                                                ("images", "annotations", "categories"))  # fmt: skip


def test_data_set_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        check_dataset(tmp_path / "gone")
    with pytest.raises(DataError, match="does not exist"):
        check_dataset(tmp_path / "gone", format="coco")
    with pytest.raises(ValueError, match="unknown data format 'cocoa'"):
        check_dataset(tmp_path, format="cocoa")
    with pytest.raises(ValueError, match="no option 'count'"):
        check_dataset(tmp_path, format="coco", count=3)


def test_findings_beyond_the_limit_are_counted(tmp_path):
    content = {"images": [{"id": i} for i in range(1500)], "annotations": [], "categories": []}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    report = check_dataset(path, format="coco")
    assert kinds(report)["entry_malformed"] == 3000 and len(report.findings) < 1100


class Broken(Scenes):
    """Scenes with an image and a mask that cannot be loaded."""

    def load_image(self, image_id):
        if image_id == 1:
            raise RuntimeError("no such slide")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        if image_id == 2:
            raise KeyError("points")
        return super().load_mask(image_id)


def test_dataset_subclass_is_checked():
    dataset = scenes([(1, 5, 5, 25, 30)], [(2, 1, 1, 30, 40)], [(3, 2, 2, 9, 9)], [(1, 5, 5, 25, 30), (2, 0, 0, 0, 0)],
                     cls=Broken)  # fmt: skip
    report = check_dataset(dataset)
    assert kinds(report) == {"image_unreadable": 1, "left_out": 1, "image_duplicate": 1, "mask_empty": 1,
                             "category_unused": 1}  # fmt: skip
    by_kind = {finding.kind: finding for finding in report.findings}
    unreadable_image, unreadable_mask = by_kind["image_unreadable"], by_kind["left_out"]
    assert "RuntimeError: no such slide" in unreadable_image.message and unreadable_image.place.image_id == 1
    assert "KeyError: 'points'" in unreadable_mask.message and unreadable_mask.place.image_id == 2
    assert by_kind["mask_empty"].place.annotation_id == "object 1 of the image"
    assert [(r["name"], r["objects"]) for r in report.statistics["classes"]] == [("red", 2), ("green", 2), ("blue", 0)]


def test_several_data_sets_are_checked_together():
    first, second = scenes([(1, 5, 5, 25, 30)]), scenes([(1, 5, 5, 25, 30)])
    report = check_dataset({"train": first, "val": second})
    assert kinds(report)["image_leak"] == 1
    assert report.findings[0].place.part == "val" and "same content as train" in report.findings[0].message


def test_generated_data_set():
    report = check_dataset(None, format="shapes", subset="val", count=5, image_size=64)
    assert report.statistics["parts"][0]["images"] == 5 and report.count("error") == 0


def test_real_photographs():
    folder = shared_path("data/tiny_coco")
    report = check_dataset(folder)
    assert report.count("error") == 0
    assert [(p["part"], p["images"], p["annotations"]) for p in report.statistics["parts"]] == [
        ("train", 32, 288), ("val", 6, 136)]  # fmt: skip
    assert not {kind for kind in report.counts if "duplicate" in kind or "leak" in kind or "image_" in kind} - {
        "image_without_objects"}  # fmt: skip
    assert report.statistics["classes"][0]["name"] == "person"
    sizes = report.statistics["sizes"]
    assert sum(sizes["sides"].values()) == sizes["objects"] == 288 + 136 - 5  # without the five crowds


def test_photographs_with_labelme_files():
    report = check_dataset(shared_path("data/fruits"))
    assert report.count("error") == 0
    assert {row["name"]: row["objects"] for row in report.statistics["classes"]} == {"date": 71, "hazelnut": 53, "fig": 41}
    assert np.isclose(sum(report.statistics["sizes"]["sides"].values()), 165)


def test_exif_applied_is_considered(valid_set, tmp_path):
    train, val = copy_of(valid_set, tmp_path / "set")
    DAMAGES["a size swapped by EXIF"][1](train, val, 2)
    train.images[2]["exif_applied"] = True
    train.save(), val.save()
    assert check_dataset(tmp_path / "set").counts == {}
    train.images[2].update(height=HEIGHT, width=WIDTH)
    train.save()
    assert "size_mismatch" in check_dataset(tmp_path / "set").counts


def test_classes_with_similar_names_are_reported(valid_set, tmp_path, caplog):
    train = copy_of(valid_set, tmp_path / "set")[0].content
    for category, name in zip(train["categories"], ("Ball", "ball.", "brick"), strict=True):
        category["name"] = name
    train["categories"].append({"id": 4, "name": "birck"})
    next(a for a in train["annotations"] if a["category_id"] == 1)["category_id"] = 4
    path = tmp_path / "set" / "train" / "all.json"
    path.write_text(json.dumps(train))
    messages = {f.severity: f.message for f in check_dataset(path).findings if f.kind == "category_names_similar"}
    # 16 objects: classes 1, 2, 3 in turn, one of class 1 changed to 4; 5 bricks are five times 1 birck
    assert messages == {"warning": "'Ball' (5 objects), 'ball.' (5 objects) differ only in case, spaces or punctuation",
                        "info": "'birck' (1 object) may be a misspelling of 'brick' (5 objects)"}
    mrcnn.datasets.open(path)
    assert "the classes 'Ball', 'ball.' differ only in case" in caplog.text and "birck" not in caplog.text


def test_images_with_more_objects_than_training_uses_are_counted(valid_set):
    class Few(Config):
        NAME = "few"
        MAX_GT_INSTANCES = 1

    report = check_dataset(valid_set, subset="val", config=Few())
    assert kinds(report) == {"too_many_objects": 3}
    assert report.findings[0].message == "2 objects, more than MAX_GT_INSTANCES, which is 1"
    assert report.findings[0].place.file == "009.jpg" and "raise MAX_GT_INSTANCES" in report.findings[0].advice


def test_file_names_in_findings_are_relative_to_the_folder():
    report = check_dataset(shared_path("data/lvis/lvis_val_100.json"))
    by_kind = {f.kind: f for f in report.findings}
    assert "none of the 100 image files exists" in by_kind["image_missing"].message
    assert by_kind["box_mismatch"].place.file.startswith("val2017/0000")


@pytest.mark.parametrize("write_id", [str, float])
def test_ids_and_sizes_of_other_types_are_matched_and_reported_once(valid_set, tmp_path, write_id):
    train, val = copy_of(valid_set, tmp_path / "set")
    for entry in train.annotations:
        entry["image_id"] = write_id(entry["image_id"])
    for image in train.images:
        image["height"] = float(image["height"])
    train.save(), val.save()
    report = check_dataset(tmp_path / "set")
    assert kinds(report) == {"number_reread": 2}
    assert [str(finding.place) for finding in report.findings] == ["train", "train"]
    first, count = train.annotations[0]["image_id"], len(train.annotations)
    assert report.findings[1].message == (
        f"annotations: 'image_id' of {count} of {count} entries is written differently, such as {first!r} for "
        f"{int(float(first))}: read by its number")
    assert report.statistics["parts"][0]["annotations"] == count and report.exit_code() == 0


def test_data_set_with_only_crowds_is_an_error_in_check_and_training(valid_set, tmp_path):
    """pycococreator writes iscrowd 1 for each RLE. Then the classes have annotations, but none can be used for training."""
    train, val = copy_of(valid_set, tmp_path / "set")
    for a in train.annotations:
        a["iscrowd"] = 1
    train.save(), val.save()
    report = check_dataset(tmp_path / "set", subset="train")
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert finding.kind == "only_crowds" and "all 16 annotations are crowds (iscrowd 1)" in finding.message
    assert "category_unused" not in report.counts and report.exit_code() == 1
    dataset = open_dataset(tmp_path / "set", subset="train")
    with pytest.raises(DataError, match="has an instance to train on, only crowds .iscrowd 1., which training ignores"):
        Loader(dataset, SampleSettings("none", num_classes=4), TargetSettings(np.zeros((1, 4)), 1, (1, 1, 1, 1), 1), 1)
