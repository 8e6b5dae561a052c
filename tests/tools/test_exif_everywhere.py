"""COCO annotations of a photograph rotated by EXIF: reading, drawing, conversion and repair use the same mask."""
import json
import logging

import numpy as np
import pytest
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.datasets.splits import subset_of
from mrcnn.io.orientation import turn_back
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.tools.convert.between_formats import convert
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.doctor.repair import repair
from mrcnn.tools.view.figures import draw_annotations

HEIGHT, WIDTH = 64, 96  # as shown
TOP, LEFT, BOTTOM, RIGHT = 10, 8, 40, 30


@pytest.fixture(params=[5, 6, 7, 8])
def folder(request, tmp_path):
    """A folder with a photograph that is stored rotated or mirrored. Its annotation is a bright square of the shown image."""
    shown = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shown[TOP:BOTTOM, LEFT:RIGHT] = 255
    exif = Image.Exif()
    exif[0x0112] = request.param
    Image.fromarray(np.ascontiguousarray(turn_back(shown, request.param))).save(tmp_path / "a.jpg", exif=exif, quality=98)
    ring = [LEFT, TOP, RIGHT, TOP, RIGHT, BOTTOM, LEFT, BOTTOM]
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [ring], "iscrowd": 0,
              "bbox": [LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP], "area": (RIGHT - LEFT) * (BOTTOM - TOP)}  # fmt: skip
    content = {"images": [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}], "annotations": [square],
               "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path


def assert_covers(dataset, image_id=0):
    """Assert that the mask covers the bright square of the image, except for JPEG blur at its edge."""
    bright, mask = dataset.load_image(image_id)[:, :, 0] > 127, dataset.load_mask(image_id)[0][:, :, 0]
    assert bright.shape == mask.shape == dataset.image_size(image_id)
    assert np.count_nonzero(bright & mask) > 0.95 * np.count_nonzero(bright | mask) > 600


def test_reader_and_subset(folder, caplog):
    dataset = open_dataset(folder / "a.json")
    assert_covers(dataset)
    assert dataset.load_image(0).shape == (HEIGHT, WIDTH, 3) and dataset.is_rotated(0)
    dataset.load_image(0)
    (record,) = caplog.records
    assert "the size of image 1 is that of its file rotated by its EXIF orientation" in record.getMessage()
    view = subset_of(open_dataset(folder / "a.json"), [0])
    assert view.is_rotated(0)
    assert_covers(view)


def test_training_sample(folder):
    image, _, class_ids, boxes, _ = make_sample(open_dataset(folder / "a.json"), 0, SampleSettings("none", num_classes=2))
    assert image.shape == (HEIGHT, WIDTH, 3) and class_ids.tolist() == [1]
    assert boxes.tolist() == [[TOP, LEFT, BOTTOM, RIGHT]]


def test_drawn_annotations(folder):
    dataset = open_dataset(folder / "a.json")
    picture = draw_annotations(dataset, 0)
    assert picture.shape[0] * WIDTH == picture.shape[1] * HEIGHT


@pytest.mark.parametrize("to, copy", [("coco", False), ("coco", True), ("labelme", False), ("labelme", True), ("yolo", True)])
def test_conversion(folder, to, copy):
    output = folder / ("out.json" if to == "coco" else "out")
    options = {"copy_images": folder / "copies" if to == "coco" else True} if copy and to != "yolo" else {}
    convert(folder / "a.json", output, to=to, **options)
    read = {"images": folder / "copies" if copy else folder} if to == "coco" else {"allow_outside": True}
    assert_covers(open_dataset(output, **read))


def test_check_and_repair(folder):
    report = check_dataset(folder / "a.json")
    assert report.counts == {"size_swapped": {"warning": 1}}
    (finding,) = report.findings
    assert "it is read rotated" in finding.message and finding.picture.images[0]().shape == (HEIGHT, WIDTH, 3)
    repair(report, folder / "fixed.json")
    assert_covers(open_dataset(folder / "fixed.json"))
    assert set(check_dataset(folder / "fixed.json").counts) == {"exif_orientation"}


@pytest.mark.parametrize("orientation, size", [(3, (64, 96)), (6, (80, 80))])
def test_orientation_that_does_not_change_the_size_is_reported_once(tmp_path, caplog, orientation, size):
    """It is unknown whether the annotations refer to the rotated image, so the stored pixels are used with a warning."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    images = []
    for i in (1, 2):
        Image.fromarray(np.full((*size, 3), 100 * i, np.uint8)).save(tmp_path / f"{i}.jpg", exif=exif)
        images.append({"id": i, "file_name": f"{i}.jpg", "height": size[0], "width": size[1]})
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path / "a.json")
    for i in dataset.image_ids:
        assert dataset.load_image(i).shape[:2] == size and not dataset.is_rotated(i)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and f"image 1 has the EXIF orientation {orientation}" in record.getMessage()
    assert check_dataset(tmp_path / "a.json").counts["exif_orientation"] == {"warning": 2}


def test_image_of_a_different_size_is_not_drawn(tmp_path):
    """A mask resized to a different aspect ratio would be wrong."""
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "a.jpg")
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    content = {"images": [{"id": 1, "file_name": "a.jpg", "height": 96, "width": 64}], "annotations": [square],
               "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="64 x 96 pixels .* refer to 96 x 64"):
        draw_annotations(open_dataset(tmp_path / "a.json"), 0)
