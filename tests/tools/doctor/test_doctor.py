"""Each damage is found by name, and a healthy set gives no alarm."""
import json
import os
import shutil

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.tools.doctor import KINDS, annotations, check_dataset
from tests.loading.scenes import Scenes, scenes
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path
from tests.tools.doctor.damaged import DAMAGES, FOLLOWS, HEIGHT, WIDTH, Part, healthy


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A healthy set that is only read: its folder."""
    folder = tmp_path_factory.mktemp("twin") / "set"
    healthy(folder)
    return folder


def copy_of(twin, folder):
    """Copy a set to be damaged. Returns: (Part train, Part val)."""
    shutil.copytree(twin, folder, copy_function=os.link)
    parts = []
    for name in ("train", "val"):
        path = folder / "annotations" / f"instances_{name}.json"
        content = json.loads(path.read_text())
        path.unlink()
        for file in (folder / name).iterdir():  # links of their own, so that writing does not reach the twin
            data = file.read_bytes()
            file.unlink()
            file.write_bytes(data)
        parts.append(Part(name, folder, content))
    return parts


def kinds(report):
    return {kind: sum(of.values()) for kind, of in report.counts.items()}


def test_a_healthy_set_gives_no_alarm(twin):
    report = check_dataset(twin)
    assert report.counts == {} and report.findings == []
    assert report.exit_code() == 0 and report.exit_code(strict=True) == 0
    assert "11 images, 22 annotations: 0 errors, 0 warnings, 0 notes" in report.table()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_gives_no_other_alarm(twin, tmp_path, name):
    expected, damage = DAMAGES[name]
    train, val = copy_of(twin, tmp_path / "set")
    image_id, annotation_id = damage(train, val, 2)
    train.save(), val.save()
    report = check_dataset(tmp_path / "set")
    found = kinds(report)
    assert set(expected) <= set(found) <= set(expected) | FOLLOWS.get(name, set())
    assert found[expected[0]] == 1
    (finding,) = [f for f in report.findings if f.kind == expected[0]]
    assert (finding.place.image_id, finding.place.annotation_id) == (image_id, annotation_id)
    assert finding.found and finding.todo == KINDS[finding.kind].todo


def test_all_damages_of_one_set_are_found_at_once(tmp_path):
    names = [name for name in DAMAGES if name not in ("a gap in the ids", "another category in val")]
    train, val = healthy(tmp_path / "set", train=2 * len(names) + 2, val=60)
    places = {}
    for position, name in enumerate(names):
        expected, damage = DAMAGES[name]
        places[name] = expected[0], damage(train, val, 2 * position)
    train.save(), val.save()
    report = check_dataset(tmp_path / "set")
    found = {(f.kind, (f.place.image_id, f.place.annotation_id)) for f in report.findings}
    assert len(names) > 50
    assert [name for name, place in places.items() if place not in found] == []
    assert report.exit_code() == 1


def test_numbers_are_told(twin, tmp_path):
    report = check_dataset(twin)
    assert report.statistics["parts"][0] == {
        "part": "train", "path": str(twin / "annotations" / "instances_train.json"), "images": 8, "without_objects": 0,
        "annotations": 16, "crowds": 0}  # fmt: skip
    # train: classes 1, 2 | 3, 1 | 2, 3 | ... over 8 images; val over 3
    assert {row["name"]: (row["objects"], row["by_part"]) for row in report.statistics["classes"]} == {
        "ball": (8, {"train": 6, "val": 2}), "brick": (7, {"train": 5, "val": 2}), "cat": (7, {"train": 5, "val": 2})}
    assert report.statistics["sizes"]["objects"] == 22
    saved = tmp_path / "report.json"
    report.save(saved)
    assert json.loads(saved.read_text()) == json.loads(json.dumps(report.to_dict()))


def test_stages_and_workers_change_nothing(twin, monkeypatch):
    stages, looks = RecordedStages(), annotations.look_at
    parts = iter(["train"] * 16 + ["val"] * 6)
    monkeypatch.setattr(annotations, "look_at",
                        lambda *args: stages.during(f"checking annotations {next(parts)}", looks)(*args))
    report = check_dataset(twin, workers=0, progress=stages)
    monkeypatch.undo()
    assert report.to_dict() == check_dataset(twin, workers=3).to_dict() and next(parts, None) is None
    reading = ("reading instances_X.json, MiB", "parsing instances_X.json", "checking entries")
    assert stages.names == [
        *(name.replace("X", part) for part in ("train", "val") for name in reading), "checking images",
        "checking annotations train", "checking annotations val", "looking for duplicates", "measuring objects"]  # fmt: skip
    assert stages.of("checking images") == [[(i, 11) for i in range(1, 12)]]
    assert stages.of("checking entries") == [[(16, 16)], [(6, 6)]]
    assert stages.of("checking annotations train") == [[(i, 8) for i in range(1, 9)]]
    assert stages.of("checking annotations val") == [[(i, 3) for i in range(1, 4)]]


def test_images_beside_a_folder_that_says_where_they_lie_are_refused(twin):
    with pytest.raises(DataError, match=r"is a folder, .* lie in it: leave out the folder of images, elsewhere \(--images\)"):
        check_dataset(twin, images="elsewhere")


def test_some_parts_alone(twin):
    assert [p["part"] for p in check_dataset(twin, subset="val").statistics["parts"]] == ["val"]
    with pytest.raises(DataError, match="no subset 'test'; it has train, val"):
        check_dataset(twin, subset=["test"])


def test_a_file_and_its_images(twin):
    path = twin / "annotations" / "instances_val.json"
    assert check_dataset(path, images=twin / "val").counts == {}
    report = check_dataset(path)
    assert kinds(report) == {"image_missing": 1} and "none of the 3 image files is there" in report.findings[0].found


def test_a_part_that_is_no_json_does_not_hide_the_other(twin, tmp_path):
    train, val = copy_of(twin, tmp_path / "set")
    train.save()
    (tmp_path / "set" / "annotations" / "instances_val.json").write_text('{"images": [')
    report = check_dataset(tmp_path / "set")
    assert kinds(report) == {"part_unreadable": 1} and report.statistics["parts"][0]["part"] == "train"
    (tmp_path / "set" / "annotations" / "instances_train.json").unlink()
    with pytest.raises(DataError, match="instances_val.json is no valid JSON"):
        check_dataset(tmp_path / "set")


@pytest.mark.parametrize("content", [{}, {"images": {}}, {"images": [], "annotations": None, "categories": 3}])
def test_lists_that_are_missing(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    report = check_dataset(path, format="coco")
    assert kinds(report)["list_missing"] == sum(not isinstance(content.get(k), list) for k in
                                                ("images", "annotations", "categories"))  # fmt: skip


def test_what_cannot_be_checked_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        check_dataset(tmp_path / "gone")
    with pytest.raises(DataError, match="does not exist"):
        check_dataset(tmp_path / "gone", format="coco")
    with pytest.raises(ValueError, match="'cocoa' is no data format"):
        check_dataset(tmp_path, format="cocoa")
    with pytest.raises(ValueError, match="no option 'count'"):
        check_dataset(tmp_path, format="coco", count=3)


def test_more_findings_than_are_kept_are_counted(tmp_path):
    content = {"images": [{"id": i} for i in range(1500)], "annotations": [], "categories": []}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    report = check_dataset(path, format="coco")
    assert kinds(report)["entry_malformed"] == 3000 and len(report.findings) < 1100


class Broken(Scenes):
    """Scenes of which some cannot be loaded."""

    def load_image(self, image_id):
        if image_id == 1:
            raise RuntimeError("no such slide")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        if image_id == 2:
            raise KeyError("points")
        return super().load_mask(image_id)


def test_data_sets_of_ones_own():
    dataset = scenes([(1, 5, 5, 25, 30)], [(2, 1, 1, 30, 40)], [(3, 2, 2, 9, 9)], [(1, 5, 5, 25, 30), (2, 0, 0, 0, 0)],
                     cls=Broken)  # fmt: skip
    report = check_dataset(dataset)
    assert kinds(report) == {"image_unreadable": 1, "left_out": 1, "image_duplicate": 1, "mask_empty": 1,
                             "category_unused": 1}  # fmt: skip
    told = {finding.kind: finding for finding in report.findings}
    assert "RuntimeError: no such slide" in told["image_unreadable"].found and told["image_unreadable"].place.image_id == 1
    assert "KeyError: 'points'" in told["left_out"].found and told["left_out"].place.image_id == 2
    assert told["mask_empty"].place.annotation_id == "object 1 of the image"
    assert [(r["name"], r["objects"]) for r in report.statistics["classes"]] == [("red", 2), ("green", 2), ("blue", 0)]


def test_several_data_sets_at_once():
    first, second = scenes([(1, 5, 5, 25, 30)]), scenes([(1, 5, 5, 25, 30)])
    report = check_dataset({"train": first, "val": second})
    assert kinds(report)["image_leak"] == 1
    assert report.findings[0].place.part == "val" and "the same content as train" in report.findings[0].found


def test_a_set_that_is_made_as_it_is_asked_for():
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
    assert sum(sizes["sides"].values()) == sizes["objects"] == 288 + 136 - 5  # five crowds


def test_photographs_with_labelme_files():
    report = check_dataset(shared_path("data/fruits"))
    assert report.count("error") == 0
    assert {row["name"]: row["objects"] for row in report.statistics["classes"]} == {"date": 71, "hazelnut": 53, "fig": 41}
    assert np.isclose(sum(report.statistics["sizes"]["sides"].values()), 165)


def test_annotations_that_are_known_to_be_of_the_turned_image(twin, tmp_path):
    train, val = copy_of(twin, tmp_path / "set")
    DAMAGES["a size swapped by EXIF"][1](train, val, 2)
    train.images[2]["exif_applied"] = True
    train.save(), val.save()
    assert check_dataset(tmp_path / "set").counts == {}
    train.images[2].update(height=HEIGHT, width=WIDTH)
    train.save()
    assert "size_mismatch" in check_dataset(tmp_path / "set").counts


def test_file_names_are_told_from_the_folder_on():
    report = check_dataset(shared_path("data/lvis/lvis_val_100.json"))
    told = {f.kind: f for f in report.findings}
    assert "none of the 100 image files is there" in told["image_missing"].found
    assert told["box_mismatch"].place.file.startswith("val2017/0000")
