"""Detection on picture files: annotated pictures, COCO results and labelme files."""
import csv
import json

import numpy as np
import pytest
import skimage.io
from PIL import Image, ImageOps
from pycocotools import mask as mask_utils

import mrcnn.datasets
from mrcnn.datasets.coco_names import CATEGORY_IDS, CLASS_NAMES
from mrcnn.geometry.rle import encode_mask
from mrcnn.io import images
from mrcnn.tools import predict
from mrcnn.tools.predict import find_pictures, other_files, picture_ids, predict_pictures, read_picture
from tests.recorded_stages import RecordedStages

NAMES = ["BG", "ball", "brick"]


def _save(path, shape=(20, 30, 3), value=100, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    skimage.io.imsave(path, np.full(shape, value, dtype), check_contrast=False)
    return str(path)


def _detect(images):
    """Detect a brick in rows 2..9 and columns 5..24 of every image, except small ones."""
    results = []
    for image in images:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        count = int(image.shape[0] >= 20)
        masks = np.zeros((*image.shape[:2], count), bool)
        masks[2:10, 5:25] = True
        results.append({"rois": np.array([[2, 5, 10, 25]] * count, np.int32).reshape(-1, 4), "masks": masks,
                        "class_ids": np.full(count, 2, np.int32), "scores": np.full(count, 0.75, np.float32)})
    return results


def test_results_are_in_cocos_format(tmp_path):
    pictures = [_save(tmp_path / "b.png"), _save(tmp_path / "a.png")]
    summary = predict_pictures(_detect, pictures, tmp_path / "out", NAMES)
    assert (summary.pictures, summary.instances, summary.unreadable) == (2, 2, {})
    first, second = json.loads((tmp_path / "out" / "detections.json").read_text())
    mask = mask_utils.decode(first.pop("segmentation"))
    assert mask.shape == (20, 30) and mask.sum() == 8 * 20 and mask[2:10, 5:25].all()
    assert first == {"image_id": 1, "category_id": 2, "bbox": [5.0, 2.0, 20.0, 8.0], "score": 0.75,
                     "category": "brick", "file_name": "b.png"}
    assert (second["image_id"], second["file_name"]) == (2, "a.png")


def test_pictures_are_drawn(tmp_path):
    picture = _save(tmp_path / "a.png")
    predict_pictures(_detect, [picture], tmp_path / "out", NAMES)
    drawn = skimage.io.imread(tmp_path / "out" / "a_detections.jpg").astype(int)
    # a picture this small is enlarged by a whole factor, so that names are legible
    k = drawn.shape[0] // 20
    assert drawn.shape == (20 * k, 30 * k, 3)
    assert np.abs(drawn[4 * k : 9 * k, 8 * k : 22 * k] - 100).max() > 20, "the mask is visible"
    assert np.abs(drawn[18 * k :, : 4 * k] - 100).max() < 20, "the rest is unchanged"


def test_no_detections_give_an_empty_list(tmp_path):
    summary = predict_pictures(_detect, [_save(tmp_path / "a.png", (8, 30, 3))], tmp_path / "out", NAMES)
    assert summary.instances == 0
    assert json.loads((tmp_path / "out" / "detections.json").read_text()) == []
    assert (tmp_path / "out" / "a_detections.jpg").exists()


def test_numbers_in_file_names_and_coco_category_ids_are_kept(tmp_path):
    pictures = [_save(tmp_path / "000000000139.png"), _save(tmp_path / "000000000285.png")]
    predict_pictures(lambda images: [{**r, "class_ids": r["class_ids"] + 10} for r in _detect(images)], pictures,
                     tmp_path / "out", list(CLASS_NAMES))
    first, second = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert (first["image_id"], second["image_id"]) == (139, 285)
    # The twelfth class of the network is COCO's category 13: 12 is one of the gaps.
    assert CLASS_NAMES[12] == "stop sign" and first["category_id"] == 13 and first["category"] == "stop sign"


def test_coco_has_80_classes_and_ids_up_to_90():
    assert len(CLASS_NAMES) == len(CATEGORY_IDS) == 81
    assert CATEGORY_IDS[80] == 90 and CLASS_NAMES[80] == "toothbrush" and CATEGORY_IDS[0] == 0


@pytest.mark.parametrize("names, ids", [
    (["7.jpg", "12.jpg"], [7, 12]),
    (["7.jpg", "dog.jpg"], [1, 2]),
    (["7.jpg", "07.jpg"], [1, 2]),
    (["7.jpg", "²3.jpg"], [1, 2]),
])  # fmt: skip
def test_ids_are_the_numbers_in_file_names_only_if_all_differ(names, ids):
    assert list(picture_ids(names).values()) == ids


def test_pictures_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    pictures = [_save(tmp_path / "x" / "a.png"), _save(tmp_path / "y" / "a.jpg"), _save(tmp_path / "z" / "A.png")]
    predict_pictures(_detect, pictures, tmp_path / "out", NAMES)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == [
        "A_3_detections.jpg", "a_2_detections.jpg", "a_detections.jpg"]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_broken_picture_is_skipped_and_reported(tmp_path, batch_size):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    pictures = [_save(tmp_path / "a.png"), str(broken), _save(tmp_path / "c.png")]
    stages = RecordedStages()
    summary = predict_pictures(_detect, pictures, tmp_path / "out", NAMES, batch_size=batch_size, progress=stages)
    assert stages.names == ["detecting", "drawing"] and len(stages.of("detecting")[0]) == -(-len(pictures) // batch_size)
    assert summary.pictures == 2 and list(summary.unreadable) == [str(broken)]
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [(row["file_name"], row["image_id"]) for row in rows] == [("a.png", 1), ("c.png", 3)]


def _counts(folder):
    with open(folder / "detections.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_picture_that_cannot_be_written_is_reported_and_the_others_are_written(tmp_path):
    """A line scan is 66000 pixels wide, but a JPEG has at most 65500 columns."""
    Image.new("RGB", (66000, 20), (90, 90, 90)).save(tmp_path / "b.png")
    pictures = [_save(tmp_path / "a.png"), str(tmp_path / "b.png"), _save(tmp_path / "c.png")]
    summary = predict_pictures(_detect_rle, pictures, tmp_path / "out", NAMES, labelme="polygon")
    assert (summary.pictures, summary.instances, summary.unreadable) == (3, 3, {})
    assert list(summary.unwritten) == [pictures[1]]
    assert "20 x 66000 pixels (height x width) cannot be written as JPEG" in summary.unwritten[pictures[1]]
    assert [row["file_name"] for row in json.loads((tmp_path / "out" / "detections.json").read_text())] == [
        "a.png", "b.png", "c.png"]  # fmt: skip
    assert len(_counts(tmp_path / "out")) == 3
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg*")) == ["a_detections.jpg", "c_detections.jpg"]
    assert sorted(path.name for path in (tmp_path / "out" / "labelme").glob("*.json")) == ["a.json", "b.json", "c.json"]


def test_results_are_written_before_the_pictures(tmp_path, monkeypatch):
    def draw(*args):
        assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 2
        assert len(_counts(tmp_path / "out")) == 2
        raise MemoryError("no memory for a canvas")

    monkeypatch.setattr(predict, "draw_detections", draw)
    pictures = [_save(tmp_path / "a.png"), _save(tmp_path / "b.png")]
    summary = predict_pictures(_detect, pictures, tmp_path / "out", NAMES)
    assert summary.unwritten == dict.fromkeys(pictures, "no memory for a canvas")


def test_interrupted_detection_writes_the_results_so_far(tmp_path):
    def detect(images):
        if (images[0] == 7).all():
            raise KeyboardInterrupt
        return _detect(images)

    pictures = [_save(tmp_path / "a.png"), _save(tmp_path / "b.png", value=7), _save(tmp_path / "c.png")]
    with pytest.raises(KeyboardInterrupt):
        predict_pictures(detect, pictures, tmp_path / "out", NAMES)
    assert [row["file_name"] for row in json.loads((tmp_path / "out" / "detections.json").read_text())] == ["a.png"]
    assert [row["file_name"] for row in _counts(tmp_path / "out")] == ["a.png"]


def test_counts_areas_and_scores_of_each_picture(tmp_path):
    """A picture with a brick of 8 x 20 = 160 pixels, a small one without a brick, and an unreadable one."""
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    pictures = [_save(tmp_path / "a.png"), _save(tmp_path / "small.png", (8, 30, 3)), str(tmp_path / "broken.jpg")]
    predict_pictures(_detect, pictures, tmp_path / "out", NAMES)
    first, second, third = _counts(tmp_path / "out")
    assert first == {"file_name": "a.png", "image_id": "1", "height": "20", "width": "30", "instances": "1", "area": "160",
                     "score": "0.75", "brick instances": "1", "brick area": "160", "brick score": "0.75", "skipped": ""}
    assert (second["instances"], second["area"], second["score"], second["brick instances"]) == ("0", "0", "", "0")
    assert third["skipped"].startswith("image file") and third["instances"] == ""


def test_earlier_result_is_kept_when_nothing_can_be_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "detections.json").write_text("[]")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="none of the 1 pictures could be read.*broken.jpg"):
        predict_pictures(_detect, [str(broken)], tmp_path / "out", NAMES)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["detections.json"]


def test_folder_is_searched_and_each_file_is_used_once(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pictures = find_pictures([tmp_path / "b.png", tmp_path])
    assert [path.removeprefix(f"{tmp_path}/") for path in pictures] == ["b.png", "a.JPG", "sub/c.webp"]


def test_missing_path_and_folder_without_pictures_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.jpg: no such file or folder"):
        find_pictures([tmp_path / "gone.jpg"])
    with pytest.raises(FileNotFoundError, match="no pictures in this folder"):
        find_pictures([tmp_path])


def test_pictures_of_a_folder_are_in_natural_order(tmp_path):
    for name in ("10.png", "2.png", "1.png", "b/3.png", "a10/1.png", "a9/1.png"):
        _save(tmp_path / name)
    found = [path.removeprefix(f"{tmp_path}/") for path in find_pictures([tmp_path])]
    assert found == ["1.png", "2.png", "10.png", "a9/1.png", "a10/1.png", "b/3.png"]


def test_hidden_files_are_ignored_and_other_files_are_listed(tmp_path):
    for name in ("a.png", "._a.png", "__MACOSX/a.png", ".cache/b.png", "clip.MP4", "logo.svg", "a.json", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_pictures([tmp_path]) == [str(tmp_path / "a.png")]
    assert other_files([tmp_path]) == [str(tmp_path / "clip.MP4"), str(tmp_path / "logo.svg")]
    assert find_pictures([tmp_path / "a.png", tmp_path / "notes.txt"]) == [str(tmp_path / "a.png")]
    assert other_files([tmp_path / "a.png", tmp_path / "notes.txt"]) == [str(tmp_path / "notes.txt")]


@pytest.mark.parametrize("name, expected", [
    ("clip.mp4", "clip.mp4 is a film: `predict` takes pictures .*jpg.* and folders of them. .*: ffmpeg -i"),
    ("notes.txt", "notes.txt is not a picture: `predict` takes pictures"),
    ("model.h5", "model.h5 is not a picture"),
])  # fmt: skip
def test_file_of_another_type_is_an_error_that_says_its_type(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=expected):
        find_pictures([tmp_path / name])


def test_folder_without_pictures_is_an_error_that_names_other_files(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"no pictures in this folder, but 1 other file \(.*clip.mp4\)"):
        find_pictures([tmp_path])


def test_picture_without_a_suffix_is_recognised_by_its_content(tmp_path):
    (tmp_path / "photo").write_bytes(open(_save(tmp_path / "a.png"), "rb").read())
    assert find_pictures([tmp_path / "photo"]) == [str(tmp_path / "photo")]


@pytest.mark.parametrize("shape, dtype, value", [
    ((20, 30), np.uint8, 100), ((20, 30, 4), np.uint8, 100), ((20, 30), np.uint16, 25700)])  # fmt: skip
def test_any_kind_of_picture_is_converted_to_colour(tmp_path, shape, dtype, value):
    image = read_picture(_save(tmp_path / "a.png", shape, value, dtype))
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8 and (image == 100).all()


def test_dark_picture_of_16_bits_is_reported(tmp_path):
    """1696 of a camera of 12 bits is read as 7 of 255."""
    path = str(_save(tmp_path / "a.png", (20, 30), 1696, np.uint16))
    _save(tmp_path / "b.png", (20, 30), 7)  # a dark picture of 8 bits
    pictures = [path, str(tmp_path / "b.png")]
    summary = predict_pictures(_detect, pictures, tmp_path / "out", NAMES)
    assert summary.darkened == [path] and summary.pictures == 2
    assert predict_pictures(_detect, pictures, tmp_path / "out2", NAMES, depth=12).darkened == []


@pytest.mark.parametrize("channels", [3, 4])
def test_image_bomb_is_rejected_before_decoding(tmp_path, monkeypatch, channels):
    path = _save(tmp_path / "a.png", (20, 30, 4))
    assert read_picture(path, channels).shape == (20, 30, channels)
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(images.ImageTooLargeError, match="a.png declares 20 x 30 pixels"):
        read_picture(path, channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photograph_is_read_upright(tmp_path, orientation):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8] = (250, 0, 0)
    pixels[8:, 16:] = (0, 0, 250)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("shape_type", ["polygon", "mask"])
def test_labelme_files_are_read_back_as_the_detections(tmp_path, shape_type):
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(turned, exif=exif)  # 20 x 30 as displayed
    pictures = [_save(tmp_path / "x" / "a.png"), _save(tmp_path / "y" / "a.png"), _save(tmp_path / "b.png", (8, 30, 3)),
                str(turned)]  # fmt: skip
    rle = _detect_rle if shape_type == "mask" else _detect
    predict_pictures(rle, pictures, tmp_path / "out", NAMES, labelme=shape_type)
    dataset = mrcnn.datasets.open(tmp_path / "out" / "labelme", "labelme", labels=NAMES[1:])
    assert [info["id"] for info in dataset.image_info] == ["a", "a_2", "b", "turned"] and dataset.skipped == []
    assert dataset.class_names == NAMES
    expected = np.zeros((20, 30), bool)
    expected[2:10, 5:25] = True
    for image_id, count in enumerate((1, 1, 0, 1)):
        masks, class_ids = dataset.load_mask(image_id)
        assert class_ids.tolist() == [2] * count and dataset.load_image(image_id).shape[:2] == masks.shape[:2]
        for i in range(count):
            np.testing.assert_array_equal(masks[:, :, i], expected)
    (shape,) = json.loads((tmp_path / "out" / "labelme" / "a.json").read_text())["shapes"]
    assert shape["label"] == "brick" and shape["description"] == "score 0.7500" and shape["shape_type"] == shape_type


def _detect_rle(images):
    results = _detect(images)
    for result in results:
        result["masks"] = [encode_mask(mask) for mask in np.moveaxis(result["masks"], -1, 0)]
    return results


def test_instances_without_a_mask_are_counted(tmp_path):
    def detect(images):
        results = _detect_rle(images)
        return [{**result, "masks": [encode_mask(np.zeros((20, 30), bool))]} for result in results]

    pictures = [_save(tmp_path / "a.png"), _save(tmp_path / "b.png")]
    summary = predict_pictures(detect, pictures, tmp_path / "out", NAMES)
    assert (summary.instances, summary.without_mask) == (2, 2)
    summary = predict_pictures(_detect_rle, pictures, tmp_path / "out", NAMES)
    assert (summary.instances, summary.without_mask) == (2, 0)


def test_no_labelme_files_by_default(tmp_path):
    predict_pictures(_detect, [_save(tmp_path / "a.png")], tmp_path / "out", NAMES)
    assert not (tmp_path / "out" / "labelme").exists()


def test_output_of_an_earlier_call_is_ignored(tmp_path):
    for name in ("a.png", "found/a_detections.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_pictures([tmp_path], tmp_path / "found") == [str(tmp_path / "a.png")]
    assert len(find_pictures([tmp_path], tmp_path / "elsewhere")) == 2
    assert len(find_pictures([tmp_path / "found" / "a_detections.jpg"], tmp_path / "found")) == 1  # named explicitly


def test_a_url_is_refused():
    with pytest.raises(ValueError, match="https://example.org/a.jpg is a URL: download the picture"):
        find_pictures(["https://example.org/a.jpg"])
