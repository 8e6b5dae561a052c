"""Data sets written as COCO JSON, and read back with our reader and with pycocotools."""
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.annotation_mending import FAR
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_image
from mrcnn.tools.write.coco import write_coco
from mrcnn.tools.write.images import MISSING
from tests.loading.scenes import scenes
from tests.shared_data import shared_path

SIZE = (40, 60)
SQUARE = [10.5, 5, 30, 5, 30, 25, 10.5, 25]


class Drawn(AnnotatedDataset):
    source = "drawn"


def drawn(folder, names=("a.png", "sub/b.png"), rotated=False):
    """Return a data set of images that each have a dog as a polygon and a cat as an RLE."""
    dataset = Drawn()
    dataset.add_class("drawn", 30, "dog")
    dataset.add_class("drawn", 8, "cat")
    mask = np.zeros(SIZE, bool)
    mask[30:, 50:] = True
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*SIZE, 3), 50 + i, np.uint8)
        exif = Image.Exif()
        if rotated:
            exif[0x0112] = 6
            pixels = np.rot90(pixels)
        Image.fromarray(pixels).save(folder / name, exif=exif)
        annotations = [{"category_id": 30, "segmentation": [SQUARE], "iscrowd": i},
                       {"category_id": 8, "segmentation": encode_mask(mask)}]  # fmt: skip
        info = {"exif_applied": True} if rotated else {}
        dataset.add_annotated_image(name, folder / name, SIZE, annotations, folder, **info)
    dataset.prepare()
    return dataset


def test_content_of_the_json_file(tmp_path):
    summary = write_coco(drawn(tmp_path), tmp_path / "out" / "all.json")
    content = json.loads((tmp_path / "out" / "all.json").read_text())
    assert content["images"] == [{"id": 1, "file_name": "a.png", "height": 40, "width": 60},
                                 {"id": 2, "file_name": "sub/b.png", "height": 40, "width": 60}]  # fmt: skip
    assert [(c["id"], c["name"]) for c in content["categories"]] == [(1, "dog"), (2, "cat")]
    first, second, third, fourth = content["annotations"]
    assert first == {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 390.0, "bbox": [10.5, 5, 19.5, 20],
                     "segmentation": [SQUARE]}  # fmt: skip
    assert (second["category_id"], second["area"], second["bbox"]) == (2, 100.0, [50, 30, 10, 10])
    assert (third["id"], third["image_id"], third["iscrowd"]) == (3, 2, 1)
    assert (summary.images, summary.instances, summary.per_class) == (2, 4, {"dog": 2, "cat": 2})
    assert summary.skipped == []
    coco = COCO(str(tmp_path / "out" / "all.json"))
    assert coco.annToMask(fourth).sum() == 100 and coco.annToMask(first).shape == (40, 60)
    loaded = coco.loadRes([{"image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4], "score": 1.0}])
    assert len(loaded.anns) == 1


def test_some_images_are_written_with_progress(tmp_path):
    calls = []
    summary = write_coco(drawn(tmp_path, ("a.png", "b.png", "c.png")), tmp_path / "x.json", image_ids=[2, 0],
                         progress=lambda done, total: calls.append((done, total)))  # fmt: skip
    assert [i["file_name"] for i in json.loads((tmp_path / "x.json").read_text())["images"]] == ["c.png", "a.png"]
    assert calls == [(1, 2), (2, 2)] and summary.images == 2


def test_copies_keep_their_folders_and_are_not_written_again(tmp_path):
    dataset = drawn(tmp_path / "in")
    for _ in range(2):
        write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "out")
        assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == [
            "a.png", "sub/b.png"]  # fmt: skip
    for name in ("a.png", "sub/b.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    stamp = (tmp_path / "out" / "a.png").stat().st_ino
    write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "out")
    assert (tmp_path / "out" / "a.png").stat().st_ino == stamp
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.zeros((*SIZE, 3), np.uint8))
    write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "out")
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "in" / "a.png").read_bytes()


def test_images_in_memory_are_written_as_files(tmp_path):
    dataset = mrcnn.datasets.open(None, "shapes", "train", count=3, image_size=64)
    with pytest.raises(DataError, match="x.json was not written.*copy_images"):
        write_coco(dataset, tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []
    write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "images")
    again = mrcnn.datasets.open(tmp_path / "x.json", images=tmp_path / "images")
    for i in range(3):
        np.testing.assert_array_equal(again.load_image(i), dataset.load_image(i))
        for ours, theirs in zip(again.load_mask(i), dataset.load_mask(i)):
            np.testing.assert_array_equal(ours, theirs)


def test_file_names_are_relative_to_the_given_folder(tmp_path):
    dataset = drawn(tmp_path / "in")
    write_coco(dataset, tmp_path / "x.json", images=tmp_path)
    content = json.loads((tmp_path / "x.json").read_text())
    assert [i["file_name"] for i in content["images"]] == ["in/a.png", "in/sub/b.png"]
    summary = write_coco(dataset, tmp_path / "x.json", images=tmp_path / "in" / "sub")
    ((where, reason),) = summary.skipped
    assert where == "image a.png" and "is not in" in reason and summary.images == 1 and summary.instances == 2


def test_rotated_images_are_copied_upright_or_marked(tmp_path):
    dataset = drawn(tmp_path / "in", ("a.jpg", "b.png"), rotated=True)
    summary = write_coco(dataset, tmp_path / "in" / "x.json")
    assert len(summary.notes) == 2 and "EXIF" in summary.notes[0][1]
    write_coco(dataset, tmp_path / "y.json", copy_images=tmp_path / "out")
    for path, images in ((tmp_path / "in" / "x.json", tmp_path / "in"), (tmp_path / "y.json", tmp_path / "out")):
        again = mrcnn.datasets.open(path, images=images)
        for i in range(2):
            assert again.load_image(i).shape == (40, 60, 3) and again.load_mask(i)[0].shape == (40, 60, 2)
    assert read_image(tmp_path / "out" / "a.jpg").shape == (40, 60, 3)  # as stored
    assert "exif_applied" not in (tmp_path / "y.json").read_text()


def test_missing_image_is_skipped_when_copying(tmp_path):
    dataset = drawn(tmp_path / "in")
    (tmp_path / "in" / "a.png").unlink()
    summary = write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "out")
    ((where, reason),) = summary.skipped
    assert where == "image a.png" and "does not exist" in reason and summary.images == 1
    ids = [a["id"] for a in json.loads((tmp_path / "x.json").read_text())["annotations"]]
    assert ids == [1, 2]


def test_link_out_of_the_folder_is_not_copied(tmp_path):
    dataset = drawn(tmp_path / "in")
    (tmp_path / "in" / "a.png").rename(tmp_path / "secret.png")
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    summary = write_coco(dataset, tmp_path / "x.json", copy_images=tmp_path / "out")
    assert "is a link" in summary.skipped[0][1] and not (tmp_path / "out" / "a.png").exists()


def test_interruption_keeps_the_existing_file(tmp_path):
    (tmp_path / "x.json").write_text("earlier")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(drawn(tmp_path / "in"), tmp_path / "x.json", progress=stop)
    assert (tmp_path / "x.json").read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.json"]


RECTANGLES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30), st.integers(0, 50), st.integers(1, 10),
                                st.integers(1, 10), st.booleans()), max_size=4)  # fmt: skip


@given(st.lists(RECTANGLES, min_size=1, max_size=3))
def test_random_masks_are_read_back(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("coco")
    dataset = scenes(*([(-c if crowd else c, y, x, y + h, x + w) for c, y, x, h, w, crowd in image] for image in images))
    write_coco(dataset, folder / "x.json", copy_images=folder)
    again = mrcnn.datasets.open(folder / "x.json")
    assert again.class_names == dataset.class_names
    for i in dataset.image_ids:
        masks, class_ids = again.load_mask(i)
        expected, expected_ids = dataset.load_mask(i)
        assert class_ids.tolist() == expected_ids.tolist()
        np.testing.assert_array_equal(masks, expected.reshape(masks.shape))
        np.testing.assert_array_equal(again.load_image(i), dataset.load_image(i))


def test_photographs_keep_their_crowds_and_areas(tmp_path):
    dataset = mrcnn.datasets.open(shared_path("data/tiny_coco"), subset="train")
    summary = write_coco(dataset, tmp_path / "x.json")
    assert summary.images == 32 and summary.instances == 288 and summary.per_class["person"] == 84
    again = mrcnn.datasets.open(tmp_path / "x.json", images=shared_path("data/tiny_coco/train2017"))
    for i in dataset.image_ids:
        for ours, theirs in zip(again.ground_truth(i), dataset.ground_truth(i), strict=True):
            assert ours == theirs


def test_polygon_far_outside_is_written_only_if_it_can_be_read(tmp_path):
    dataset = drawn(tmp_path, ["a.png"])
    far = FAR * max(SIZE)
    dataset.image_info[0]["annotations"] = [
        {"category_id": 30, "segmentation": [[10, 5, end, 5, end, 25, 10, 25]]} for end in (far, far + 1)]  # fmt: skip
    summary = write_coco(dataset, tmp_path / "a.json")
    assert summary.instances == 1 and [where for where, _ in summary.skipped] == ["instance 1 of image a.png"]
    again = mrcnn.datasets.open(tmp_path / "a.json")
    assert again.skipped == [] and again.num_instances(0) == 1


def test_missing_images_are_reported(tmp_path):
    dataset = drawn(tmp_path)
    (tmp_path / "sub/b.png").unlink()
    summary = write_coco(dataset, tmp_path / "all.json")
    assert summary.images == 2 and summary.notes == [("sub/b.png", MISSING)] and summary.skipped == []
    summary = write_coco(dataset, tmp_path / "all.json", copy_images=tmp_path / "copies")
    assert summary.images == 1 and [where for where, _ in summary.skipped] == ["image sub/b.png"] and summary.notes == []
