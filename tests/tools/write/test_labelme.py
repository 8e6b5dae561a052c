"""Data sets and detections written as labelme files, and read back."""
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.formats.labelme.shapes import parse_shape, to_instances
from mrcnn.geometry.rle import as_rle, decode_rle, encode_mask
from mrcnn.io.orientation import turn_back
from mrcnn.tools.write.images import MISSING
from mrcnn.tools.write.labelme import to_shapes, write_labelme, write_labelme_result
from tests.loading.scenes import scenes
from tests.shared_data import shared_path

SIZE = (40, 60)
SQUARE = [10.5, 5, 30, 5, 30, 25, 10.5, 25]


def box(y1, x1, y2, x2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


class Drawn(AnnotatedDataset):
    source = "drawn"


def drawn(folder, *annotations, names=("a.png",), orientation=1):
    """Return a data set of images that are stored as 40 x 60 pixels."""
    dataset = Drawn()
    dataset.add_class("drawn", 8, "cat, tame")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.full((*SIZE, 3), 70, np.uint8)).save(folder / name, exif=exif)
        dataset.add_annotated_image(name, folder / name, SIZE, [{"category_id": 8, **a} for a in annotations], folder)
    dataset.prepare()
    return dataset


def content_of(path):
    return json.loads(path.read_text())


def test_content_of_a_file(tmp_path):
    dataset = drawn(tmp_path / "in", {"segmentation": [SQUARE]}, {"segmentation": [SQUARE, [1, 1, 4, 1, 4, 3]], "iscrowd": 1},
                    {"segmentation": [SQUARE, [1, 1, 4, 1, 4, 3]]})  # fmt: skip
    summary = write_labelme(dataset, tmp_path / "out", copy_images=True)
    content = content_of(tmp_path / "out" / "a.json")
    assert {k: v for k, v in content.items() if k != "shapes"} == {
        "version": "5.5.0", "flags": {}, "imagePath": "a.png", "imageData": None, "imageHeight": 40, "imageWidth": 60}
    first, *others = content["shapes"]
    assert first == {"label": "cat, tame", "points": [[10.5, 5], [30, 5], [30, 25], [10.5, 25]], "group_id": None,
                     "description": "", "shape_type": "polygon", "flags": {}, "mask": None}  # fmt: skip
    assert [shape["group_id"] for shape in others] == [1, 1, 2, 2]
    assert [shape["flags"] for shape in others] == [{"crowd": True}, {"crowd": True}, {}, {}]
    assert (summary.images, summary.instances, summary.per_class) == (1, 3, {"cat, tame": 3})
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "in" / "a.png").read_bytes()


def test_overlapping_polygons_are_not_read_as_holes(tmp_path):
    inner = [14, 20, 20, 20, 20, 12, 14, 12]  # the orientation opposite to SQUARE
    square = [10, 5, 30, 5, 30, 25, 10, 25]
    write_labelme(drawn(tmp_path, {"segmentation": [square, inner]}), tmp_path)
    masks, _ = mrcnn.datasets.open(tmp_path, "labelme").load_mask(0)
    np.testing.assert_array_equal(masks[:, :, 0], box(5, 10, 25, 30))


def test_mask_with_a_hole_and_two_parts(tmp_path):
    mask = (box(2, 2, 30, 30) & ~box(8, 9, 20, 24)) | box(34, 40, 38, 58)
    rle = {"segmentation": encode_mask(mask)}
    for shape_type, count in (("polygon", 3), ("mask", 1)):
        write_labelme(drawn(tmp_path, rle, rle), tmp_path, shape_type=shape_type)
        shapes = content_of(tmp_path / "a.json")["shapes"]
        assert len(shapes) == 2 * count and {shape["shape_type"] for shape in shapes} == {shape_type}
        masks, _ = mrcnn.datasets.open(tmp_path, "labelme").load_mask(0)
        for i in range(2):
            np.testing.assert_array_equal(masks[:, :, i], mask)


def test_mask_shape_of_labelme():
    (shape,) = to_shapes("cat", box(5, 10, 25, 30), 1, shape_type="mask")
    assert shape["points"] == [[10, 5], [29, 24]] and shape["group_id"] is None  # including the last row and column
    encoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    assert encoded.shape == (20, 20) and encoded.dtype == bool and encoded.all()
    assert to_shapes("cat", np.zeros(SIZE, bool), 1) == to_shapes("cat", np.zeros(SIZE, bool), 1, shape_type="mask") == []


@pytest.mark.parametrize("tolerance", [0, 1, 3])
def test_traced_masks_keep_a_high_iou(tolerance):
    y, x = np.mgrid[:300, :400] / 10
    for seed in range(8):
        a, b, c = np.random.default_rng(seed).uniform(0.3, 1.2, 3)
        mask = np.sin(a * x) + np.cos(b * y) + np.sin(c * (x + y)) > 0.9  # islands, bays and holes
        shapes = to_shapes("blob", mask, 1, tolerance=tolerance)
        parsed = [parse_shape(shape, "", 1) for shape in shapes]
        ((_, segmentation, _),) = to_instances(parsed, mask.shape, None, pytest.fail)
        again = decode_rle(as_rle(segmentation, mask.shape))
        iou = (again & mask).sum() / (again | mask).sum()
        assert iou > 0.98 and (tolerance or iou == 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("copy_images", [True, False])
def test_annotations_are_rotated_like_labelme_rotates_the_image(tmp_path, orientation, copy_images):
    mask = encode_mask(box(0, 0, 4, 50))
    dataset = drawn(tmp_path, {"segmentation": [SQUARE]}, {"segmentation": mask}, orientation=orientation)
    write_labelme(dataset, tmp_path / "out" if copy_images else tmp_path, copy_images=copy_images)
    again = mrcnn.datasets.open(tmp_path / "out" if copy_images else tmp_path, "labelme")
    assert again.image_size(0) == again.load_image(0).shape[:2] == (SIZE if orientation < 5 else SIZE[::-1])
    assert again.notes == []
    masks, _ = again.load_mask(0)
    np.testing.assert_array_equal(turn_back(masks, orientation)[:, :, 1], box(0, 0, 4, 50))
    # the left side runs through pixel centres, so these pixels may be drawn or not
    assert (turn_back(masks, orientation)[:, :, 0] != box(5, 11, 25, 30)).sum() <= 20


def test_files_refer_to_images_that_are_not_copied(tmp_path):
    dataset = drawn(tmp_path / "in", {"segmentation": [SQUARE]}, names=("a.png", "sub/a.png", "sub/b.png", "a.jpg"))
    summary = write_labelme(dataset, tmp_path / "out")
    names = ["a.json", "a_2.json", "sub/a.json", "sub/b.json"]
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == names
    assert content_of(tmp_path / "out" / "sub" / "a.json")["imagePath"] == "../../in/sub/a.png"
    assert content_of(tmp_path / "out" / "a_2.json")["imagePath"] == "../in/a.jpg"
    assert len(summary.notes) == 4 and "--allow-outside" in summary.notes[0][1]
    with pytest.raises(DataError, match="imagePath"):
        mrcnn.datasets.open(tmp_path / "out")
    assert mrcnn.datasets.open(tmp_path / "out", allow_outside=True).load_image(3).shape == (40, 60, 3)
    assert write_labelme(dataset, tmp_path / "in").notes == []  # next to the images
    (tmp_path / "in" / "a.jpg").unlink()
    assert write_labelme(dataset, tmp_path / "in").notes == [("a_2.json", MISSING)]
    assert mrcnn.datasets.open(tmp_path / "in").num_images == 4


def test_images_in_memory_need_copies(tmp_path):
    dataset = scenes([(1, 5, 10, 25, 30)], [])
    for info in dataset.image_info:
        info["path"] = None
    with pytest.raises(DataError, match="nothing was written.*copy_images"):
        write_labelme(dataset, tmp_path)
    summary = write_labelme(dataset, tmp_path, copy_images=True)
    assert (summary.images, summary.instances) == (2, 1) and summary.per_class == {"red": 1, "green": 0, "blue": 0}
    again = mrcnn.datasets.open(tmp_path, "labelme")
    assert again.num_images == 2 and again.load_mask(1)[1].size == 0
    np.testing.assert_array_equal(again.load_image(0), dataset.load_image(0))


def test_unknown_shape_type_is_rejected_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="shape_type is 'points': expected polygon or mask"):
        write_labelme(scenes([]), tmp_path, shape_type="points")
    assert list(tmp_path.iterdir()) == []


def test_boxes_without_masks_are_rectangles(tmp_path):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    result = {"rois": np.array([[5, 10, 25, 30]], np.int32), "class_ids": np.array([1]), "scores": np.array([0.5])}
    path = write_labelme_result(tmp_path / "out", tmp_path / "a.png", "b", result, ["BG", "cat"], SIZE)
    (shape,) = content_of(path)["shapes"]
    assert shape["shape_type"] == "rectangle" and shape["points"] == [[10, 5], [30, 25]]
    assert path.name == "b.json" and content_of(path)["imagePath"] == "b.png" and (tmp_path / "out" / "b.png").exists()


def test_photographs_are_read_back(tmp_path):
    dataset = mrcnn.datasets.open(shared_path("data/tiny_coco"), subset="train")
    summary = write_labelme(dataset, tmp_path, copy_images=True)
    assert (summary.images, summary.instances) == (32, 288) and summary.skipped == []
    again = mrcnn.datasets.open(tmp_path, "labelme", labels=dataset.class_names[1:])
    assert again.class_names == dataset.class_names and again.skipped == []
    positions = {info["id"]: i for i, info in enumerate(again.image_info)}
    for i, info in enumerate(dataset.image_info):
        masks, class_ids = again.load_mask(positions[info["path"].rsplit("/", 1)[1][:-4]])
        expected, expected_ids = dataset.load_mask(i)
        assert class_ids.tolist() == expected_ids.tolist()
        if len(class_ids):
            assert ((masks & expected).sum((0, 1)) / (masks | expected).sum((0, 1))).min() > 0.98
