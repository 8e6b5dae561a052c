"""Conversion from one format to another and back, with subsets, splits and skipped entries."""
import json

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.atomic_write import part_name
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import TARGETS
from mrcnn.tools.convert import between_formats
from mrcnn.tools.convert.between_formats import convert
from mrcnn.tools.write.coco import write_coco
from tests.datasets.formats.test_mask_folder import A, B, rectangle, write_flat
from tests.datasets.formats.test_yolo import RECTANGLE
from tests.datasets.formats.test_yolo import write as write_yolo_folder
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path


def write_masks(folder, count=10):
    """Write images s0_0, s0_1, s1_2, s1_3, ... with a cell, and with an axon in the first two."""
    for i in range(count):
        write_flat(folder, f"s{i // 2}_{i}", {"cell/0": A, **({"axon/0": B} if i < 2 else {})})
    return folder


def read(path):
    return json.loads(path.read_text())


def test_conversion_to_coco_without_copies(tmp_path):
    done = convert(write_masks(tmp_path / "in"), tmp_path / "out.json")
    assert (done.summary.images, done.summary.instances, done.summary.per_class) == (10, 12, {"axon": 2, "cell": 10})
    assert done.images == {None: tmp_path / "in"} and list(done.parts) == [None] and done.summary.skipped == []
    content = read(tmp_path / "out.json")
    assert content["images"][0] == {"id": 1, "file_name": "images/s0_0.jpg", "height": 40, "width": 60}
    again = mrcnn.datasets.open(tmp_path / "out.json", images=done.images[None])
    # classes in the order of their folders: axon, cell
    np.testing.assert_array_equal(again.load_mask(0)[0], np.dstack([B, A]))
    assert again.load_image(0).shape == (40, 60, 3)


def test_images_may_be_copied(tmp_path):
    done = convert(write_masks(tmp_path / "in"), tmp_path / "out/all.json", copy_images=True)
    assert done.images == {}
    assert mrcnn.datasets.open(tmp_path / "out/all.json", images=tmp_path / "out/images").load_image(9).any()
    convert(tmp_path / "in", tmp_path / "out/all.json", copy_images=tmp_path / "elsewhere")
    assert sum(p.suffix == ".jpg" for p in (tmp_path / "elsewhere").rglob("*")) == 10


@pytest.mark.parametrize("to, output, places", [
    ("coco", "out.json", [".", "images/val"]), ("yolo", "out", ["out/labels/train"]), ("labelme", "out", ["out"])])
def test_what_a_killed_conversion_left_is_removed(tmp_path, to, output, places):
    """Unfinished files, and the folder in which the files of a split are gathered."""
    write_masks(tmp_path / "in", 2)
    for place in places:
        left = tmp_path / place / part_name(".out.json")
        left.mkdir(parents=True)
        (left / "out_train.json").write_text("half")
        (tmp_path / place / part_name("a.txt")).write_text("half")
    convert(tmp_path / "in", tmp_path / output, to=to, copy_images=True if to == "coco" else None)
    assert list(tmp_path.rglob("*.part")) == [] and (tmp_path / output).exists()


def test_split_is_stratified_seeded_and_respects_groups(tmp_path):
    write_masks(tmp_path / "in")
    names = []
    for seed in (0, 0, 1, 2):
        done = convert(tmp_path / "in", tmp_path / "out.json", split=0.5, seed=seed)
        train, val = read(tmp_path / "out_train.json"), read(tmp_path / "out_val.json")
        names.append([image["file_name"] for image in val["images"]])
        assert len(train["images"]) == len(val["images"]) == 5 and not (tmp_path / "out.json").exists()
        assert [sum(a["category_id"] == 1 for a in part["annotations"]) for part in (train, val)] == [1, 1]
        assert done.summary.images == 10 and list(done.parts) == ["train", "val"] and done.summary.skipped == []
    assert names[0] == names[1] and len({tuple(one) for one in names}) > 1
    for pattern in ("s[0-9]+", "^(s[0-9]+)_"):
        convert(tmp_path / "in", tmp_path / "out.json", split=0.6, group=pattern)
        scenes = [{image["file_name"].split("_")[0] for image in read(tmp_path / f"out_{part}.json")["images"]}
                  for part in ("train", "val")]  # fmt: skip
        assert not scenes[0] & scenes[1] and len(scenes[0] | scenes[1]) == 5
    with pytest.raises(ValueError, match="'s\\[' is not a regular expression"):
        convert(tmp_path / "in", tmp_path / "out.json", split=0.6, group="s[")


def test_subsets_stay_subsets(tmp_path):
    yaml = "train: images/train\nval: images/val\nnames: [cat, dog]"
    write_yolo_folder(tmp_path / "in", {"a": f"0 {RECTANGLE}\n0 1 1", "b": ""}, yaml)
    write_yolo_folder(tmp_path / "in", {"a": f"1 {RECTANGLE}\n0 1 1"}, yaml, "images/val", "labels/val")
    done = convert(tmp_path / "in", tmp_path / "out.json")
    assert [(part, path.name, summary.images) for part, (path, summary) in done.parts.items()] == [
        ("train", "out_train.json", 2), ("val", "out_val.json", 1)]  # fmt: skip
    assert len(done.summary.skipped) == 2 and done.summary.per_class == {"cat": 1, "dog": 1}
    done = convert(tmp_path / "in", tmp_path / "one.json", subsets=["val"])
    assert list(done.parts) == [None] and read(tmp_path / "one.json")["images"][0]["file_name"] == "images/val/a.png"
    # images with the same name in both subsets
    convert(tmp_path / "in", tmp_path / "copied/out.json", copy_images=True)
    assert sorted(p.relative_to(tmp_path / "copied").as_posix() for p in (tmp_path / "copied").rglob("a.png")) == [
        "images/train/images/train/a.png", "images/val/images/val/a.png"]  # fmt: skip
    with pytest.raises(ValueError, match="already divided into train, val: choose the subset to split"):
        convert(tmp_path / "in", tmp_path / "out.json", split=0.5)
    assert len(convert(tmp_path / "in", tmp_path / "out.json", subsets=["train"], split=0.5).parts) == 2
    with pytest.raises(DataError, match="no subset 'test'"):
        convert(tmp_path / "in", tmp_path / "out.json", subsets=["test"])


def test_entries_that_the_reader_skipped_are_counted_once_in_a_split(tmp_path):
    write_masks(tmp_path / "in")
    write_flat(tmp_path / "in", "empty", {"cell/0": A, "cell/1": rectangle(0, 0, 0, 0)})
    write_flat(tmp_path / "in", "unlisted", None)
    for split in (None, 0.5):
        done = convert(tmp_path / "in", tmp_path / "out.json", split=split)
        assert sorted(reason[:12] for _, reason in done.summary.skipped) == ["the image ha", "the mask is "]


@pytest.mark.parametrize("to", ["yolo", "labelme"])
@pytest.mark.parametrize("split", [None, 0.8])
def test_conversion_to_folders_and_back(tmp_path, to, split):
    done = convert(write_masks(tmp_path / "in"), tmp_path / "out", to=to, split=split, copy_images=True)
    assert done.images == {} and done.summary.instances == 12
    back = convert(tmp_path / "out", tmp_path / "back.json")
    assert set(back.parts) == ({"train", "val"} if split else {None}) and back.summary.skipped == []
    assert back.summary.per_class == {"axon": 2, "cell": 10}
    for part, (path, _) in back.parts.items():
        dataset = mrcnn.datasets.open(path, images=back.images[part])
        masks, class_ids = dataset.load_mask(0)
        for i, class_id in enumerate(class_ids):
            np.testing.assert_array_equal(masks[:, :, i], {1: B, 2: A}[class_id])


def test_worker_processes_give_the_same_result_and_progress_is_reported(tmp_path):
    folder, stages = shared_path("data/tiny_coco"), RecordedStages()
    convert(folder, tmp_path / "one.json", subsets=["train"], split=0.75, progress=stages)
    convert(folder, tmp_path / "two.json", subsets=["train"], split=0.75, workers=2)
    assert {what: counts[-1] for what, counts in stages.reported[-3:]} == {
        "dividing": (32, 32), "writing train": (24, 24), "writing val": (8, 8)}  # fmt: skip
    assert stages.names[:-3] == ["reading instances_train2017.json, MiB", "parsing instances_train2017.json",
                                 "checking annotations", "listing images"]  # fmt: skip
    for part in ("train", "val"):
        assert (tmp_path / f"one_{part}.json").read_text() == (tmp_path / f"two_{part}.json").read_text()


@pytest.mark.parametrize("arguments, message", [
    ({"output": "out", "to": "coco"}, "out: coco is written to a .json file"),
    ({"output": "out.json", "to": "yolo"}, "out.json: yolo is written to a folder"),
    ({"output": "out", "to": "cocoa"}, "'cocoa' cannot be written: choose coco, yolo, labelme"),
    ({"output": "out.json", "split": 1.0}, "split is 1.0"),
    ({"output": "out.json", "split": (0.5, 0.5)}, "split is 0.5 0.5"),
    ({"output": "out.json", "split": (0.5, 0.6, -0.1)}, "split is 0.5 0.6 -0.1"),
    ({"output": "out.json", "folds": 1}, "folds is 1"),
    ({"output": "out.json", "folds": 2, "split": 0.5}, "choose one of them"),
    ({"output": "out.json", "group": "a"}, "needs a split into fractions"),
    ({"output": "in", "to": "yolo"}, "in would overwrite the data set"),
    ({"output": "in/yolo", "to": "yolo"}, "yolo would overwrite the data set, or is in it"),
    ({"output": "out", "to": "yolo", "copy_images": "x"}, "are copied to the output"),
    ({"output": "out.json", "year": 2017}, "has no option 'year'"),
])  # fmt: skip
def test_invalid_arguments_are_rejected_before_anything_is_written(tmp_path, arguments, message, monkeypatch):
    write_masks(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        convert("in", **arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert TARGETS == ("coco", "yolo", "labelme")


def test_file_is_not_replaced_by_its_own_conversion(tmp_path):
    convert(write_masks(tmp_path / "in"), tmp_path / "out.json")
    with pytest.raises(ValueError, match="out.json would overwrite the data set"):
        convert(tmp_path / "out.json", tmp_path / "out.json", images=tmp_path / "in")


@pytest.mark.parametrize("to, part", [("labelme", "train"), ("yolo", "images/train"), ("coco", "images/train")])
def test_splitting_again_never_mixes_subsets(tmp_path, to, part):
    write_masks(tmp_path / "in")
    output = tmp_path / "out" / ("a.json" if to == "coco" else "")
    arguments = {"to": to, "split": 0.5, "copy_images": None if to == "yolo" else True}
    convert(tmp_path / "in", output, seed=0, **arguments)
    before = sorted(path for path in (tmp_path / "out").rglob("*"))
    with pytest.raises(DataError, match=f"out/{part} contains files"):
        convert(tmp_path / "in", output, seed=1, **arguments)
    assert sorted(path for path in (tmp_path / "out").rglob("*")) == before


def test_subset_never_overwrites_its_source(tmp_path):
    convert(write_masks(tmp_path / "in"), tmp_path / "out_train.json")
    before = (tmp_path / "out_train.json").read_bytes()
    with pytest.raises(ValueError, match="out_train.json would overwrite the data set"):
        convert(tmp_path / "out_train.json", tmp_path / "out.json", split=0.5, images=tmp_path / "in")
    assert (tmp_path / "out_train.json").read_bytes() == before


def parts_of(folder, part, to):
    """Return the names, without suffixes, of the images of a subset that `convert` wrote to `folder`."""
    if to == "coco":
        images = read(folder / f"out_{part.replace('/', '_')}.json")["images"]
        return sorted(image["file_name"].split("/")[-1].split(".")[0] for image in images)
    fold, _, name = part.rpartition("/")
    dataset = mrcnn.datasets.open(folder / "out" / fold, subset=name)
    return sorted(str(info["id"]).split(".")[0].split("/")[-1] for info in dataset.image_info)


def output_of(folder, to):
    return folder / ("out.json" if to == "coco" else "out")


@pytest.mark.parametrize("to", TARGETS)
def test_each_image_is_in_the_val_subset_of_one_fold(tmp_path, to):
    write_masks(tmp_path / "in")
    done = convert(tmp_path / "in", output_of(tmp_path, to), to=to, folds=3, copy_images=to != "coco" or None)
    assert list(done.parts) == [f"fold{k}/{part}" for k in (1, 2, 3) for part in ("train", "val")]
    assert (done.summary.images, done.summary.instances, done.summary.notes) == (10, 12, [])
    names = sorted(f"s{i // 2}_{i}" for i in range(10))
    val_sets = [parts_of(tmp_path, f"fold{k}/val", to) for k in (1, 2, 3)]
    assert sorted(sum(val_sets, [])) == names and {len(one) for one in val_sets} == {3, 4}
    for k, val in enumerate(val_sets, start=1):
        assert sorted(parts_of(tmp_path, f"fold{k}/train", to) + val) == names
    axons = [sum(name in ("s0_0", "s0_1") for name in val) for val in val_sets]
    assert sorted(axons) == [0, 1, 1], "the two images of the rare class are in different val subsets"


def test_folds_respect_groups(tmp_path):
    write_masks(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out.json", folds=2, group="^s[0-9]+")
    scenes = [{name.split("_")[0] for name in parts_of(tmp_path, f"fold{k}/val", "coco")} for k in (1, 2)]
    assert not scenes[0] & scenes[1] and len(scenes[0] | scenes[1]) == 5


@pytest.mark.parametrize("to", TARGETS)
def test_split_into_three_subsets(tmp_path, to):
    write_masks(tmp_path / "in")
    done = convert(tmp_path / "in", output_of(tmp_path, to), to=to, split=(0.5, 0.3, 0.2), copy_images=to != "coco" or None)
    assert {part: summary.images for part, (_, summary) in done.parts.items()} == {"train": 5, "val": 3, "test": 2}
    parts = [parts_of(tmp_path, part, to) for part in ("train", "val", "test")]
    assert sorted(sum(parts, [])) == sorted(f"s{i // 2}_{i}" for i in range(10)) and done.summary.images == 10


def test_splitting_again_replaces_json_files_and_reports_other_subsets(tmp_path):
    write_masks(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out.json", split=(0.5, 0.3, 0.2))
    done = convert(tmp_path / "in", tmp_path / "out.json", split=0.6, seed=1)
    train, val = (parts_of(tmp_path, part, "coco") for part in ("train", "val"))
    assert not set(train) & set(val) and len(train + val) == 10
    ((where, what),) = done.summary.notes
    assert where == str(tmp_path / "out_test.json") and "is not part of this split" in what
    convert(tmp_path / "in", tmp_path / "out.json", folds=3)
    convert(tmp_path / "in", tmp_path / "out.json", folds=3, seed=1)
    assert sorted(sum((parts_of(tmp_path, f"fold{k}/val", "coco") for k in (1, 2, 3)), [])) == sorted(train + val)
    with pytest.raises(DataError, match="out_fold3_train.json belongs to other folds, and could be mistaken for one of"):
        convert(tmp_path / "in", tmp_path / "out.json", folds=2)


@pytest.mark.parametrize("to", ["yolo", "labelme"])
def test_folders_of_other_folds_are_rejected(tmp_path, to):
    write_masks(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out", to=to, folds=3, copy_images=True)
    for part in ("fold1", "fold2"):
        (tmp_path / "out" / part).rename(tmp_path / part)
    with pytest.raises(DataError, match="out/fold3 belongs to other folds, and could be mistaken for one of"):
        convert(tmp_path / "in", tmp_path / "out", to=to, folds=2, copy_images=True)


def test_interrupted_split_keeps_the_earlier_one(tmp_path, monkeypatch):
    write_masks(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out.json", split=0.5, seed=0)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    written = []

    def write_one(dataset, path, **options):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        return write_coco(dataset, path, **options)

    monkeypatch.setattr(between_formats, "write_coco", write_one)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "in", tmp_path / "out.json", split=0.5, seed=1)
    assert written and {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out_train.json", "out_val.json"]


def test_subsets_unknown_to_yolo_are_rejected_before_anything_is_written(tmp_path):
    for part in ("train", "val"):
        write_masks(tmp_path / "in" / part, count=2)
    assert mrcnn.datasets.catalog.subsets_of(tmp_path / "in", "masks") == ["train", "val"]
    convert(tmp_path / "in", tmp_path / "out", to="yolo")
    with pytest.raises(ValueError, match="YOLO has no subset 'trainval': .*from train, val"):
        convert(tmp_path / "in", tmp_path / "other", to="yolo", subsets=["train", "trainval", "val"])
    assert not (tmp_path / "other").exists()


def test_class_names_with_commas_stay_whole_through_every_format(tmp_path):
    """The classic code cut at the comma, which made one name of two; written to labelme, it destroyed the user's labels."""
    (tmp_path / "names.txt").write_text("bolt, bent\nM 3,5\nM 3,8\n")
    write_yolo_folder(tmp_path / "in", {f"{i}": f"{i} {RECTANGLE}" for i in range(3)}, yaml=None)
    names = ["bolt, bent", "M 3,5", "M 3,8"]
    convert(tmp_path / "in", tmp_path / "1.json", labels=tmp_path / "names.txt")
    assert [category["name"] for category in read(tmp_path / "1.json")["categories"]] == names
    done = convert(tmp_path / "1.json", tmp_path / "lm", to="labelme", images=tmp_path / "in", copy_images=True)
    assert done.summary.per_class == dict.fromkeys(names, 1)
    labels = [read(path)["shapes"][0]["label"] for path in sorted((tmp_path / "lm").rglob("*.json"))]
    assert labels == names
    convert(tmp_path / "lm", tmp_path / "yolo", to="yolo")
    again = mrcnn.datasets.open(tmp_path / "yolo")
    assert again.class_names == ["BG", *names] and [int(again.load_mask(i)[1][0]) for i in range(3)] == [1, 2, 3]
