"""Variants of the formats that annotation programs write, and that have one reading: they are read, and reported."""
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycoco

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from mrcnn.tools.convert.between_formats import convert
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.doctor.repair import repair
from tests.shared_data import shared_path

SQUARE = [10, 10, 40, 10, 40, 40, 10, 40]  # 900 pixels


def picture(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((64, 96, 3), 90, np.uint8) if pixels is None else pixels).save(path)
    return path


def coco(folder, image=None, **fields):
    """Write a COCO file with one image, of 64 x 96, and an annotation with these fields."""
    picture(folder / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "area": 900, "bbox": [10, 10, 30, 30],
                  "iscrowd": 0, **fields}  # fmt: skip
    image = image or {"id": 1, "file_name": "a.png", "height": 64, "width": 96}
    content = {"images": [image], "categories": [{"id": 1, "name": "cat"}], "annotations": [annotation]}
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json"


def areas(dataset, image_id=0):
    masks, class_ids = dataset.load_mask(image_id)
    return [(dataset.class_names[c], int(masks[:, :, i].sum())) for i, c in enumerate(class_ids)]


@pytest.mark.parametrize("size", [{}, {"height": None, "width": None}, {"height": 64}])
def test_missing_size_of_an_image_is_that_of_its_file(tmp_path, size):
    path = coco(tmp_path, image={"id": 1, "file_name": "a.png", **size})
    dataset = mrcnn.datasets.open(path)
    assert areas(dataset) == [("cat", 900)] and dataset.image_size(0) == (64, 96)
    note = "it has no height or no width, and those of its file are used"
    assert dataset.notes == [("images[0]", note)]
    report = check_dataset(path)
    (finding,) = report.to_dict()["findings"]
    assert finding["kind"] == "value_mended" and f"images[0]: {note}" in json.dumps(finding)
    repair(report, tmp_path / "fixed.json")
    (image,) = json.loads((tmp_path / "fixed.json").read_text())["images"]
    assert (image["height"], image["width"]) == (64, 96)


def test_image_without_a_size_and_a_file_is_an_error(tmp_path):
    path = coco(tmp_path, image={"id": 1, "file_name": "b.png"})
    with pytest.raises(DataError, match=r"images\[0\] has no field 'height'"):
        mrcnn.datasets.open(path)


def test_counts_written_as_python_bytes(tmp_path):
    r"""str(mask["counts"]): b'...' around the counts, and \\ for each \."""
    mask = np.zeros((64, 96), np.uint8, order="F")
    mask[10:30, 10:40] = 1
    counts = pycoco.encode(mask)["counts"]
    assert b"\\" in counts
    path = coco(tmp_path, segmentation={"size": [64, 96], "counts": str(counts)}, area=int(mask.sum()))
    dataset = mrcnn.datasets.open(path)
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], mask)
    assert "counts such as b'...'" in dataset.notes[0][1]


def labelme(folder, *shapes):
    picture(folder / "a.png")
    records = [{"label": "cat", "points": np.reshape(SQUARE, (-1, 2)).tolist(), "shape_type": "polygon", "flags": {}, **shape}
               for shape in shapes]  # fmt: skip
    content = {"version": "5.4.1", "shapes": records, "imagePath": "a.png", "imageData": None}
    (folder / "a.json").write_text(json.dumps({**content, "imageHeight": 64, "imageWidth": 96}))
    return mrcnn.datasets.open(folder, "labelme")


def test_label_that_is_a_number_is_read_as_text(tmp_path):
    dataset = labelme(tmp_path, {"label": 5}, {"label": "5"}, {"label": True})
    assert areas(dataset) == [("5", 900), ("5", 900)]
    assert dataset.notes == [("a.json: shapes[0]", "its label is a number, and is read as text")]
    assert [where for where, _ in dataset.skipped] == ["a.json: shapes[2]"]


def test_rotated_rectangle_of_x_anylabeling_is_its_four_corners(tmp_path):
    """The corners of a square with diagonals of 40 pixels, 800 pixels large."""
    corners = [[30, 10], [50, 30], [30, 50], [10, 30]]
    dataset = labelme(tmp_path, {"shape_type": "rotation", "points": corners, "direction": 0.785})
    ((name, area),) = areas(dataset)
    assert name == "cat" and abs(area - 800) <= 20 and not dataset.skipped


def test_via_table_with_semicolons(tmp_path):
    size = picture(tmp_path / "a.png").stat().st_size
    shape = '"{""name"":""rect"",""x"":5,""y"":6,""width"":20,""height"":10}"'
    (tmp_path / "via_region_data.csv").write_text(
        "filename;file_size;file_attributes;region_count;region_id;region_shape_attributes;region_attributes\n"
        f'a.png;{size};"{{}}";1;0;{shape};"{{""type"":""cat, big""}}"\n')  # fmt: skip
    assert areas(mrcnn.datasets.open(tmp_path)) == [("cat, big", 200)]


def lvis(folder, image, category):
    picture(folder / "val2017/000000000009.jpg")
    image = {"id": 9, "height": 64, "width": 96, "neg_category_ids": [], "not_exhaustive_category_ids": [], **image}
    content = {"images": [{name: value for name, value in image.items() if value != "absent"}],
               "categories": [{"id": 1, "name": "cat", **category}],
               "annotations": [{"id": 1, "image_id": 9, "category_id": 1, "segmentation": [SQUARE], "area": 900,
                                "bbox": [10, 10, 30, 30]}]}  # fmt: skip
    (folder / "lvis_v0.5_train.json").write_text(json.dumps(content))
    return folder


def test_lvis_05_has_the_file_names_of_2014(tmp_path):
    lvis(tmp_path, {"file_name": "COCO_train2014_000000000009.jpg"}, {"frequency": "f"})
    dataset = mrcnn.datasets.open(tmp_path, subset="train")
    assert dataset.image_info[0]["path"] == str(tmp_path / "val2017/000000000009.jpg")
    assert dataset.load_image(0).shape == (64, 96, 3) and areas(dataset) == [("cat", 900)]


@pytest.mark.parametrize("category", [{}, {"frequency": "often"}])
def test_lvis_without_frequencies_is_an_error(tmp_path, category):
    lvis(tmp_path, {"coco_url": "http://x/val2017/000000000009.jpg"}, category)
    with pytest.raises(DataError, match="category 1: 'frequency' is .*, expected r, c or f .*: write one of them"):
        mrcnn.datasets.open(tmp_path, "lvis", subset="train")


def test_advice_about_lvis_without_negative_categories_works(tmp_path):
    """COCO's reader needs file_name, which LVIS 1 does not have."""
    path = lvis(tmp_path, {"coco_url": "http://x/val2017/000000000009.jpg", "neg_category_ids": "absent"}, {"frequency": "f"})
    with pytest.raises(DataError, match="image 9 has no field 'neg_category_ids', .* write \\[\\] for it"):
        mrcnn.datasets.open(path, "lvis", subset="train")
    lvis(tmp_path, {"file_name": "val2017/000000000009.jpg", "neg_category_ids": "absent"}, {"frequency": "f"})
    with pytest.raises(DataError, match="image 9 has no field 'neg_category_ids', .* read the file as COCO"):
        mrcnn.datasets.open(path, "lvis", subset="train")
    assert areas(mrcnn.datasets.open(path / "lvis_v0.5_train.json", "coco")) == [("cat", 900)]


def test_dark_image_of_16_bits_is_reported_once_on_loading(tmp_path, caplog):
    """A camera of 12 bits: 1696 of 65535 is read as 7 of 255, and as 106 with depth=12."""
    path = coco(tmp_path)
    picture(tmp_path / "a.png", np.full((64, 96), 1696, np.uint16))
    dataset = mrcnn.datasets.open(path)
    assert [int(dataset.load_image(0).max()) for _ in range(2)] == [7, 7]
    (record,) = caplog.records
    assert "image 1 has 16 bits, but values that are read as at most 7 of 255" in record.getMessage()
    caplog.clear()
    assert mrcnn.datasets.open(path, depth=12).load_image(0).max() == 106
    picture(tmp_path / "a.png", np.full((64, 96), 7, np.uint8))  # a dark image of 8 bits
    assert mrcnn.datasets.open(path).load_image(0).max() == 7 and not caplog.records


@pytest.mark.parametrize("orientation, size, count", [(3, (64, 96), 1), (6, (64, 64), 1), (1, (64, 96), 0), (6, (64, 96), 0)])
def test_conversion_reports_an_unclear_exif_orientation(tmp_path, orientation, size, count):
    """Upside down, or square and rotated: nothing shows whether the annotations refer to the image as stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = coco(tmp_path, image={"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]})
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    conversion = convert(path, tmp_path / "b.json")
    notes = conversion.summary.notes
    assert [(where, "not applied" in note) for where, note in notes] == [("a.jpg", True)] * count


def test_images_of_8_bits_12_bits_and_floats_train_together():
    """Each of them used to be of its own dtype, of which training took that of the first image only."""
    dataset = mrcnn.datasets.open(shared_path("cases/20-deep-images/a.json"), depth=12)
    pixels = [dataset.load_image(i) for i in dataset.image_ids]
    assert [image.dtype for image in pixels] == [np.uint8, np.uint8] and min(image.max() for image in pixels) > 90
    anchors = generate_pyramid_anchors((16, 32), (0.5, 1, 2), backbone_shapes((64, 64), (4, 8)), (4, 8), 1)
    sample = SampleSettings("square", min_dim=40, max_dim=64, mini_mask_shape=(14, 14), num_classes=3)
    loader = Loader(dataset, sample, TargetSettings(anchors, 32, np.array([0.1, 0.1, 0.2, 0.2]), 5), 2)
    assert loader[0][0].dtype == np.uint8 and not loader.broken
