import json

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.coco import CocoDataset
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.orientation import read_orientation
from mrcnn.tools.write.yolo import one_polygon, write_yolo
from tests.datasets.formats.labelme_files import save_image
from tests.loading.scenes import scenes
from tests.shared_data import shared_path

SIZE = (40, 60)


def rectangle(y1, x1, y2, x2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def coco(folder, *annotations, names=("a.png",)):
    """Return a COCO data set of images of SIZE. All annotations belong to the first."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), np.full((*SIZE, 3), 90, np.uint8))
    images = [{"id": i, "file_name": name, "height": 40, "width": 60} for i, name in enumerate(names, start=1)]
    given = [{"id": i, "image_id": 1, "iscrowd": 0, **a} for i, a in enumerate(annotations, start=1)]
    dataset = CocoDataset()
    dataset.add_annotations({"images": images, "annotations": given, "categories": [
        {"id": 3, "name": "cat"}, {"id": 8, "name": "dog: small"}]}, folder, all_images=True)  # fmt: skip
    dataset.prepare()
    return dataset


def square(y, x, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def test_polygons_are_written_relative_to_the_image_size(tmp_path):
    triangle = {"category_id": 8, "segmentation": [[15, 5, 30, 5, 45, 25]]}
    dataset = coco(tmp_path / "in", triangle, names=["a.png", "s/b.jpg"])
    summary = write_yolo(dataset, tmp_path / "out", subset="val")
    assert (tmp_path / "out/labels/val/a.txt").read_text() == "1 0.25 0.125 0.5 0.125 0.75 0.625\n"
    assert (tmp_path / "out/labels/val/s/b.txt").read_text() == ""
    assert (tmp_path / "out/images/val/s/b.jpg").read_bytes() == (tmp_path / "in/s/b.jpg").read_bytes()
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {
        "path": ".", "val": "images/val", "names": {0: "cat", 1: "dog: small"}}  # fmt: skip
    assert (summary.images, summary.instances, summary.per_class) == (2, 1, {"cat": 0, "dog: small": 1})
    assert summary.skipped == [] and summary.notes == []
    again = mrcnn.datasets.open(tmp_path / "out")
    assert again.class_names == dataset.class_names
    np.testing.assert_array_equal(again.load_mask(0)[0], dataset.load_mask(0)[0])


def test_parts_and_holes_are_joined_and_crowds_are_skipped(tmp_path):
    ring = rectangle(5, 5, 35, 35) & ~rectangle(15, 15, 25, 25)
    dataset = coco(
        tmp_path / "in",
        {"category_id": 3, "segmentation": [square(0, 0, 10), square(20, 40, 10)]},
        {"category_id": 8, "segmentation": encode_mask(ring)},
        {"category_id": 8, "segmentation": encode_mask(ring), "iscrowd": 1},
        {"category_id": 3, "segmentation": [square(0, 0, 10), square(5, 5, 10)]},  # they overlap
    )
    summary = write_yolo(dataset, tmp_path / "out")
    assert summary.skipped == [("instance 2 of image 1", "it is a crowd, which YOLO's labels cannot express")]
    assert summary.notes == [] and summary.instances == 3
    masks, class_ids = mrcnn.datasets.open(tmp_path / "out").load_mask(0)
    assert class_ids.tolist() == [1, 2, 1]
    overlapping = rectangle(0, 0, 10, 10) | rectangle(5, 5, 15, 15)
    expected = [rectangle(0, 0, 10, 10) | rectangle(20, 40, 30, 50), ring, overlapping]
    np.testing.assert_array_equal(masks, np.dstack(expected))


def test_polygons_are_clipped_to_the_image(tmp_path):
    dataset = coco(tmp_path / "in", {"category_id": 3, "segmentation": [[-10, -10, 20, -10, 20, 20, -10, 20]]},
                   {"category_id": 3, "segmentation": [square(70, 70, 5)]})  # fmt: skip
    summary = write_yolo(dataset, tmp_path / "out")
    assert [where for where, _ in summary.skipped] == ["instance 1 of image 1"]
    numbers = [float(v) for v in (tmp_path / "out/labels/train/a.txt").read_text().split()[1:]]
    assert min(numbers) == 0 and max(numbers) == 0.5
    np.testing.assert_array_equal(mrcnn.datasets.open(tmp_path / "out").load_mask(0)[0][:, :, 0], rectangle(0, 0, 20, 20))


def test_images_with_the_same_name_and_folders_named_images(tmp_path):
    dataset = coco(tmp_path / "in", {"category_id": 3, "segmentation": [square(0, 0, 10)]},
                   names=["images/a.png", "images/a.jpg", "x/images/a.png", "x.1/a.png"])  # fmt: skip
    write_yolo(dataset, tmp_path / "out")
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("a*")) == [
        f"{kind}/train/{name}" for kind, names in (
            ("images", ("a.png", "a_2.jpg", "x.1/a.png", "x/a.png")), ("labels", ("a.txt", "a_2.txt", "x.1/a.txt", "x/a.txt")))
        for name in names]  # fmt: skip
    again = mrcnn.datasets.open(tmp_path / "out")
    assert [info["id"] for info in again.image_info if again.num_instances(info_id(again, info))] == ["a.png"]


def info_id(dataset, info):
    return dataset.image_info.index(info)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("is_applied", [True, False])
def test_exif_orientation_is_applied_if_the_annotations_refer_to_the_rotated_image(tmp_path, suffix, is_applied):
    size = SIZE[::-1] if is_applied else SIZE
    save_image(tmp_path / f"a.{suffix}", SIZE, 6)
    content = {"images": [{"id": 1, "file_name": f"a.{suffix}", "height": size[0], "width": size[1],
                           **({"exif_applied": True} if is_applied else {})}],
               "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": [square(2, 5, 30)]}],
               "categories": [{"id": 3, "name": "cat"}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = mrcnn.datasets.open(tmp_path / "a.json")
    write_yolo(dataset, tmp_path / "out")
    again = mrcnn.datasets.open(tmp_path / "out")
    assert read_orientation(again.image_info[0]["path"]) == 1 and again.image_size(0) == size
    np.testing.assert_allclose(again.load_image(0), dataset.load_image(0), atol=0 if suffix == "png" else 12)
    np.testing.assert_array_equal(again.load_mask(0)[0], dataset.load_mask(0)[0])


def test_data_set_without_image_files(tmp_path):
    dataset = scenes([(1, 5, 10, 25, 30), (-2, 0, 0, 9, 9)], [])
    summary = write_yolo(dataset, tmp_path / "out")
    again = mrcnn.datasets.open(tmp_path / "out")
    assert again.num_images == 2 and summary.images == 2 and len(summary.skipped) == 1
    np.testing.assert_array_equal(again.load_mask(0)[0], rectangle(5, 10, 25, 30)[:, :, None])
    np.testing.assert_array_equal(again.load_image(0), dataset.load_image(0))


def test_subsets_written_one_after_another(tmp_path):
    dataset = coco(tmp_path / "in", names=["a.png", "b.png", "c.png"])
    write_yolo(dataset, tmp_path / "out", subset="train", image_ids=[0, 1])
    write_yolo(dataset, tmp_path / "out", subset="val", image_ids=[2])
    content = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert list(content) == ["path", "train", "val", "names"]
    assert [mrcnn.datasets.open(tmp_path / "out", subset=part).num_images for part in ("train", "val")] == [2, 1]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/images").rglob("*.png")}
    summary = write_yolo(dataset, tmp_path / "out", subset="train", image_ids=[0])
    assert {p: p.stat().st_mtime_ns for p in before} == before, "existing copies are kept"
    ((where, what),) = summary.notes
    assert where.endswith("images/train: b.png") and "contains 1 images of an earlier run" in what
    other = scenes([(1, 5, 10, 25, 30)])
    with pytest.raises(DataError, match=r"data.yaml has different classes, \['cat', 'dog: small'\]"):
        write_yolo(other, tmp_path / "out", subset="train")
    with pytest.raises(ValueError, match="YOLO has no subset 'minival': choose train, val, test"):
        write_yolo(other, tmp_path / "other", subset="minival")


def test_images_that_cannot_be_read_are_skipped(tmp_path):
    dataset = coco(tmp_path / "in", {"category_id": 3, "segmentation": [square(0, 0, 10)]}, names=["a.png", "b.png"])
    (tmp_path / "in/b.png").unlink()
    summary = write_yolo(dataset, tmp_path / "out", image_ids=[0, 1])
    assert summary.images == 1 and [where for where, _ in summary.skipped] == ["image 2"]
    (tmp_path / "in/a.png").unlink()
    with pytest.raises(DataError, match="no image is usable; the last: image 2"):
        write_yolo(dataset, tmp_path / "new")
    assert not (tmp_path / "new/data.yaml").exists()


def test_worker_processes_write_the_same_files(tmp_path):
    folder = shared_path("data/tiny_coco")
    dataset = mrcnn.datasets.open(folder, subset="train")
    calls = []
    one = write_yolo(dataset, tmp_path / "one", progress=lambda done, total: calls.append((done, total)))
    two = write_yolo(dataset, tmp_path / "two", workers=2)
    assert calls == [(i, 32) for i in range(1, 33)] and one == two
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.txt"))
    assert len(files) == 32 and all((tmp_path / "one" / f).read_text() == (tmp_path / "two" / f).read_text() for f in files)
    assert one.instances == 284 and sum("crowd" in reason for _, reason in one.skipped) == 4
    again = mrcnn.datasets.open(tmp_path / "one")
    worst = 1.0
    for i in range(32):
        masks, class_ids = dataset.load_mask(int(dataset.image_from_source_map[f"coco.{int(again.image_info[i]['id'][:-4])}"]))
        masks, class_ids = masks[:, :, class_ids > 0], class_ids[class_ids > 0]
        back, back_ids = again.load_mask(i)
        assert back_ids.tolist() == class_ids.tolist()
        for k in range(len(class_ids)):
            union = (masks[:, :, k] | back[:, :, k]).sum()
            worst = min(worst, (masks[:, :, k] & back[:, :, k]).sum() / union)
    assert worst > 0.98


boxes = st.tuples(st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60), st.booleans())


@given(st.lists(boxes, min_size=1, max_size=6))
def test_random_mask_becomes_one_polygon(rectangles):
    mask = np.zeros(SIZE, bool)
    for y1, x1, y2, x2, inside in rectangles:
        mask[y1:y2, x1:x2] = inside
    if mask.any():
        assert one_polygon(json.loads(json.dumps(encode_mask(mask))), SIZE, tolerance=0)[1] == 1
        assert one_polygon(encode_mask(mask), SIZE)[1] >= 0.98


class Empty(Dataset):
    pass


def test_data_set_without_images(tmp_path):
    dataset = Empty()
    dataset.add_class("x", 1, "one")
    dataset.prepare()
    assert write_yolo(dataset, tmp_path).images == 0
    assert yaml.safe_load((tmp_path / "data.yaml").read_text())["names"] == {0: "one"}
