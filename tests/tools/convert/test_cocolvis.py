"""COCO+LVIS built and read back: hand-computed hierarchy, layers and counts; interrupted runs."""
import json
import os
import pickle
from contextlib import nullcontext

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.base.atomic_write import part_name
from mrcnn.base.errors import DataError
from mrcnn.io.pickles import read_pickle
from mrcnn.tools.convert import cocolvis
from mrcnn.tools.convert.cocolvis import build_cocolvis
from tests.datasets.cocolvis_pairs import LVIS, MAPPING, OBJECTS, SIZE, TREE, mask, polygon, write_pair
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path


def build(pair, out, **options):
    return build_cocolvis(*pair, out, **{"workers": 1, **options})


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_build_by_hand(tmp_path):
    stages = RecordedStages()
    pair = write_pair(tmp_path, missing=[4])
    summary = build(pair, tmp_path / "set" / "train", progress=stages)
    assert stages.reported[-2:] == [("hashing annotations", [(2, 2)]), ("building", [(1, 2), (2, 2)])]
    assert [what for what, _ in stages.reported].count("checking annotations") == 2
    assert (summary.images, summary.instances) == (1, 6)
    assert summary.skipped == [("image 000000000004", "its file does not exist")]
    assert summary.counts == {"lvis": 3, "coco": 3, "covered": 1, "crowds": 1, "parts": 2, "layers": 3, "only_coco": 1,
                              "only_lvis": 1}  # fmt: skip
    table = " ".join(summary.table().split())
    for row in ("images 1", "objects 6", "instances of LVIS 3", "covered by an LVIS instance 1", "crowds of COCO omitted 1",
                "1 its file does not exist image 000000000004"):  # fmt: skip
        assert row in table
    assert sorted(name for name in files(tmp_path / "set" / "train") if not name.startswith(".build")) == [
        "hannotation.pickle", "images/000000000001.jpg", "masks/000000000001.pickle"]  # fmt: skip
    # read with Python's own reader, like other programs do
    assert pickle.loads((tmp_path / "set" / "train" / "hannotation.pickle").read_bytes()) == {
        "000000000001": {"num_instance_masks": 6, "hierarchy": TREE}}  # fmt: skip
    layers, mapping = pickle.loads((tmp_path / "set" / "train" / "masks" / "000000000001.pickle").read_bytes())
    assert mapping == MAPPING and len(layers) == 3 and all(a.dtype == np.uint8 and a.ndim == 1 for a in layers)
    copy = tmp_path / "set" / "train" / "images" / "000000000001.jpg"
    assert copy.read_bytes() == (pair[2] / "000000000001.jpg").read_bytes()


@pytest.mark.parametrize("levels, ids", [("all", [0, 1, 2, 3, 4, 5]), ("whole", [0, 2, 4, 5]), ("parts", [1, 3])])
def test_built_data_set_is_read_back(tmp_path, levels, ids):
    build(write_pair(tmp_path), tmp_path / "set" / "val")
    dataset = mrcnn.datasets.open(tmp_path / "set", levels=levels)
    assert [info["id"] for info in dataset.image_info] == ["000000000001", "000000000004"]
    assert dataset.image_info[0]["hierarchy"] == TREE
    masks, class_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(masks, np.stack([mask(*OBJECTS[i]) for i in ids], axis=2))  # IoU 1
    assert class_ids.tolist() == [1] * len(ids) and dataset.num_instances(1) == len(ids)
    assert [a["node_level"] for a in dataset.annotations_of(1)] == [(TREE[i] or {"node_level": 0})["node_level"] for i in ids]
    assert dataset.load_image(1).shape == (*SIZE, 3) and dataset.skipped == []


@pytest.mark.parametrize(("path", "name", "expected"), [
    ("train2017/000000000036.jpg", "36", "000000000036"), ("COCO_train2014_000000000036.jpg", "36", "000000000036"),
    ("36.jpg", "36", "36"), ("scene.jpg", "36", "36"), ("photo7.jpg", "36", "36"), ("136.jpg", "36", "36"),
    ("000.jpg", "0", "000"), ("9" * 5000 + ".jpg", "36", "36"),
])  # fmt: skip
def test_ids_are_written_as_the_files_write_them(path, name, expected):
    assert cocolvis._file_id(path, name) == expected


def test_other_thresholds_change_the_counts(tmp_path):
    pair = write_pair(tmp_path)
    assert build(pair, tmp_path / "a", overlap=0.95).counts["coco"] == 8
    assert build(pair, tmp_path / "b", part_share=0.75).counts["parts"] == 6
    for name, value in [("overlap", 0), ("overlap", float("nan")), ("part_share", 1.1), ("workers", 0)]:
        with pytest.raises(ValueError, match=f"{name} is {value}, expected"):
            build(pair, tmp_path / "c", **{name: value})
    assert not (tmp_path / "c").exists()


def test_worker_processes_write_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(cocolvis, "BATCH", 3)
    pair = write_pair(tmp_path, ids=range(10, 20))
    serial, parallel = build(pair, tmp_path / "a"), build(pair, tmp_path / "b", workers=2)
    assert serial == parallel and serial.images == 10
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_interrupted_run_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(cocolvis, "BATCH", 2)
    pair, out = write_pair(tmp_path, ids=range(10, 17)), tmp_path / "out"

    def show(done, total):
        if (done, total) == (5, 7):
            raise KeyboardInterrupt

    def stop(what):
        return nullcontext(show if what == "building" else None)

    with pytest.raises(KeyboardInterrupt):
        build(pair, out, progress=stop)
    half = files(out)
    assert "hannotation.pickle" not in half and not any(name.endswith(".part") for name in half)
    assert {f"masks/{i:012}.pickle" for i in (10, 13, 14)} | {".build/00001.json"} <= set(half)
    assert ".build/00002.json" not in half and "masks/000000000015.pickle" not in half
    with pytest.raises(DataError, match="no hannotation.pickle in it"):
        mrcnn.datasets.open(out, "cocolvis")
    for folder in (out / "masks", out / ".build"):  # as a killed process leaves them
        (folder / part_name("1.pickle")).write_bytes(b"half")
    times = {name: (out / name).stat().st_mtime_ns for name in half}
    stages = RecordedStages()
    summary = build(pair, out, progress=stages)
    assert stages.reported[-1] == ("building", [(4, 7), (5, 7), (6, 7), (7, 7)]) and summary.images == 7
    assert (out / "masks/000000000013.pickle").stat().st_mtime_ns == times["masks/000000000013.pickle"]
    build(pair, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")
    assert build(pair, out) == summary  # and once more, with nothing to do


def test_damaged_and_missing_files_are_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cocolvis, "BATCH", 1)
    pair, out = write_pair(tmp_path, ids=range(10, 16)), tmp_path / "out"
    build(pair, out)
    complete = files(out)
    (out / "masks/000000000010.pickle").write_bytes(b"half")
    (out / "images/000000000011.jpg").unlink()
    (out / ".build/00002.json").write_text("{")
    (out / ".build/00003.json").write_text("[7]")
    (out / "hannotation.pickle").unlink()
    stages = RecordedStages()
    build(pair, out, progress=stages)
    assert files(out) == complete and stages.reported[-1][1][0] == (2, 6)


def test_folder_with_other_content_is_rejected(tmp_path):
    pair, out = write_pair(tmp_path), tmp_path / "out"
    build(pair, out)
    before = files(out)
    with pytest.raises(DataError, match="was built with overlap 0.5, but it is now 0.6: choose another output folder"):
        build(pair, out, overlap=0.6)
    content = json.loads(pair[1].read_text())
    content["annotations"][0]["segmentation"] = [polygon(0, 0, 2, 2)]
    pair[1].write_text(json.dumps(content))
    with pytest.raises(DataError, match="was built with source"):
        build(pair, out)
    assert files(out) == before
    (tmp_path / "other" / "masks").mkdir(parents=True)
    with pytest.raises(DataError, match="other contains masks, but no record of how it was built"):
        build(pair, tmp_path / "other")


def test_images_may_be_linked(tmp_path):
    pair = write_pair(tmp_path)
    build(pair, tmp_path / "out", link=True)
    assert os.path.samefile(pair[2] / "000000000001.jpg", tmp_path / "out" / "images" / "000000000001.jpg")
    (tmp_path / "out" / ".build" / "00000.json").unlink()
    build(pair, tmp_path / "out", link=True)  # over the existing link
    assert sorted(os.listdir(tmp_path / "out" / "images")) == ["000000000001.jpg", "000000000004.jpg"]


def test_unusable_images_and_annotations_are_reported(tmp_path):
    pair = write_pair(tmp_path, ids=range(10, 16), missing=[10])
    coco, lvis = (json.loads(path.read_text()) for path in pair[:2])
    (pair[2] / "000000000011.jpg").write_bytes(b"no image")
    coco["images"][2]["height"] = 21  # of image 12
    for content in (coco, lvis):
        content["images"][3]["width"] = 31  # of image 13, whose file is 30 wide
    lvis["annotations"][len(LVIS) * 4]["segmentation"] = []  # of image 14
    lvis["annotations"][len(LVIS) * 4 + 1]["segmentation"] = [polygon(25, 40, 30, 50)]
    for path, content in zip(pair, (coco, lvis), strict=False):
        path.write_text(json.dumps(content))
    summary = build(pair, tmp_path / "out")
    assert summary.skipped == [
        ("LVIS annotation 13", "it has no segmentation"),
        ("image 12", "COCO and LVIS give it different sizes"),
        ("image 000000000010", "its file does not exist"),
        ("image 000000000011", "its file cannot be read"),
        ("image 000000000013", "the size of its file differs from that in the annotations"),
        ("LVIS annotation 14", "it has no pixels in its image"),
    ]
    entries = read_pickle(tmp_path / "out" / "hannotation.pickle")
    assert list(entries) == ["000000000014", "000000000015"]
    assert entries["000000000014"]["num_instance_masks"] == 1 + 4  # COCO's first is uncovered now


def test_unusable_files_are_errors(tmp_path):
    coco, lvis, images = write_pair(tmp_path)
    with pytest.raises(DataError, match="gone.json is not a file: give the JSON of LVIS's annotations"):
        build((coco, tmp_path / "gone.json", images), tmp_path / "out")
    with pytest.raises(DataError, match="'frequency'"):
        content = json.loads(lvis.read_text())
        del content["categories"][0]["frequency"]
        lvis.write_text(json.dumps(content))
        build((coco, lvis, images), tmp_path / "out")
    write_pair(tmp_path / "other", ids=[8])
    with pytest.raises(DataError, match="have no image in common"):
        build((coco, tmp_path / "other" / "lvis.json", images), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pair = write_pair(tmp_path / "empty", missing=[1, 4])
    with pytest.raises(DataError, match="hannotation.pickle was not written because .*; the last: image 000000000004: its"):
        build(pair, tmp_path / "out")
    assert not (tmp_path / "out" / "hannotation.pickle").exists()


def test_image_that_links_out_of_its_folder_is_skipped(tmp_path):
    pair = write_pair(tmp_path)
    (pair[2] / "000000000004.jpg").rename(tmp_path / "elsewhere.jpg")
    (pair[2] / "000000000004.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    assert build(pair, tmp_path / "a").skipped == [("image 000000000004", "its file is a link that points outside its folder")]
    assert build(pair, tmp_path / "b", allow_outside=True).images == 2


def test_images_are_found_in_the_root_of_coco(tmp_path):
    coco, lvis, images = write_pair(tmp_path)
    (tmp_path / "coco").mkdir()
    images.rename(tmp_path / "coco" / "train2017")
    content = json.loads(lvis.read_text())
    for entry in content["images"]:
        entry["coco_url"] = f"http://images.cocodataset.org/train2017/{entry.pop('file_name')}"
    lvis.write_text(json.dumps(content))
    assert build((coco, lvis, tmp_path / "coco"), tmp_path / "out").images == 2


def test_each_instance_of_photographs_occurs_once(tmp_path):
    """LVIS has every second instance of COCO. Each occurs once, with the same pixels, except those that nearly coincide."""
    folder = shared_path("data/tiny_coco")
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    instances = [a for a in content["annotations"] if not a["iscrowd"]]
    categories = [{**category, "frequency": "c"} for category in content["categories"]]
    images = [{**image, "neg_category_ids": [], "not_exhaustive_category_ids": []} for image in content["images"]]
    (tmp_path / "lvis.json").write_text(json.dumps({"images": images, "annotations": instances[::2], "categories": categories}))
    summary = build((path, tmp_path / "lvis.json", folder / "val2017"), tmp_path / "set", part_share=0.7)
    assert summary.images == 6 and summary.counts["lvis"] == len(instances[::2]) and summary.skipped == []
    assert summary.instances + summary.counts["covered"] == len(instances[::2]) + len(instances)
    dataset, coco = mrcnn.datasets.open(tmp_path / "set"), mrcnn.datasets.open(path, images=folder / "val2017")
    positions = {info["id"]: i for i, info in enumerate(coco.image_info)}
    for i in dataset.image_ids:
        known = positions[int(dataset.image_info[i]["id"])]
        drawn = {coco.annToMask(a, *coco.image_size(known)).tobytes() for a in coco.annotations_of(known)}
        masks = [mask.tobytes() for mask in np.moveaxis(dataset.load_mask(i)[0], 2, 0)]
        assert set(masks) <= drawn and len(set(masks)) == len(masks)
        np.testing.assert_array_equal(dataset.load_image(i), coco.load_image(known))
