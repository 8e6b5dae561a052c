"""Panoptic annotations as TFRecord shards: every field, decoded by TensorFlow, and every error."""
import io
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

import mrcnn.datasets
from mrcnn.base.atomic_write import part_name
from mrcnn.base.errors import DataError
from mrcnn.tools.convert import panoptic_tfrecord
from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic
from tests.datasets.panoptic_sets import SEMANTIC_IDS, random_image, segment, write_jpeg, write_split
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

FIELDS = {"image/encoded", "image/filename", "image/format", "image/height", "image/width", "image/channels",
          "image/segmentation/class/encoded", "image/segmentation/class/format"}  # fmt: skip


def examples(path):
    """Decode a shard with tf.data and tf.train.Example, and return a list of {field: value}."""
    tf = pytest.importorskip("tensorflow")
    decoded = []
    for record in tf.data.TFRecordDataset(str(path)):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        decoded.append({})
        for name, feature in features.items():
            (decoded[-1][name],) = getattr(feature, feature.WhichOneof("kind")).value
    return decoded


def check_fields(fields, jpeg, name, expected):
    """Compare an Example with its image file and the expected map."""
    assert set(fields) == FIELDS
    height, width = expected.shape
    assert fields["image/encoded"] == jpeg.read_bytes()
    assert fields["image/filename"] == name.encode() and fields["image/format"] == b"jpeg"
    assert (fields["image/height"], fields["image/width"], fields["image/channels"]) == (height, width, 3)
    assert fields["image/segmentation/class/format"] == b"raw"
    decoded = np.frombuffer(fields["image/segmentation/class/encoded"], np.dtype("int32").newbyteorder("<"))
    np.testing.assert_array_equal(decoded.reshape(height, width), expected)


def expected_map(png, annotation, semantic_ids, things, ignore_crowd):
    """Compute the map in a different way: with OpenCV and a mask for each segment."""
    blue, green, red = (channel.astype(np.int64) for channel in cv2.split(cv2.imread(str(png))))
    ids = red + 256 * green + 256**2 * blue
    expected, counts = np.zeros(ids.shape, np.int32), {}
    for info in annotation["segments_info"]:
        category, instance = info["category_id"], 0
        if info["iscrowd"]:
            if ignore_crowd:
                continue
        elif category in things:
            instance = counts[category] = counts.get(category, 0) + 1
        expected[ids == info["id"]] = semantic_ids[category] * 256 + instance
    return expected


def real_root(root):
    """Write the two photographs in COCO's layout, one in each split."""
    shared = shared_path("data/panoptic")
    content = json.loads((shared / "panoptic_examples.json").read_text())
    (root / "annotations").mkdir(parents=True)
    for split, image, annotation in zip(("train", "val"), content["images"], content["annotations"], strict=True):
        png_dir = root / "annotations" / f"panoptic_{split}2017"
        for folder, source in ((root / f"{split}2017", f"input_images/{image['file_name']}"),
                               (png_dir, f"panoptic_examples/{annotation['file_name']}")):  # fmt: skip
            folder.mkdir()
            shutil.copy(shared / source, folder)
        part = {"images": [image], "annotations": [annotation], "categories": content["categories"]}
        (root / "annotations" / f"panoptic_{split}2017.json").write_text(json.dumps(part))
    return content


@pytest.mark.parametrize("ignore_crowd", [True, False])
def test_photographs_field_by_field(tmp_path, ignore_crowd):
    content = real_root(tmp_path / "root")
    categories = {c["id"]: c for c in content["categories"]}
    numbers = {category_id: number for number, category_id in enumerate(sorted(categories), start=1)}
    assert len(numbers) == 133 and numbers[1] == 1 and numbers[90] == 80 and numbers[92] == 81 and numbers[200] == 133
    things = {i for i, c in categories.items() if c["isthing"]}
    summary = convert_panoptic(tmp_path / "root", tmp_path / "out", treat_crowd_as_ignore=ignore_crowd, shards=2, workers=1)
    assert summary.images == 2 and summary.skipped == []
    for split, annotation in zip(("train", "val"), content["annotations"], strict=True):
        (fields,) = examples(tmp_path / "out" / f"{split}-00000-of-00002.tfrecord")
        assert examples(tmp_path / "out" / f"{split}-00001-of-00002.tfrecord") == []
        png = tmp_path / "root" / "annotations" / f"panoptic_{split}2017" / annotation["file_name"]
        expected = expected_map(png, annotation, numbers, things, ignore_crowd)
        name = annotation["file_name"].removesuffix(".png")
        check_fields(fields, tmp_path / "root" / f"{split}2017" / f"{name}.jpg", name, expected)
    # both photographs have a crowd of persons, and 13 or more persons
    assert (256 in expected) != ignore_crowd and 257 in expected


@pytest.fixture
def root(tmp_path):
    """Five images of different sizes, unordered, one in a subfolder; two test images."""
    rng = np.random.default_rng(5)
    images = []
    for number, name in enumerate(["d.jpg", "sub/a.jpg", "b.jpg", "c.jpg", "e.jpg"]):
        ids, segments = random_image(rng, (20 + number, 31 - number))
        images.append((name, ids, segments))
    write_split(tmp_path / "root", images)
    for number, name in enumerate(["z.jpg", "y.JPG"]):
        write_jpeg(tmp_path / "root" / "test2017" / name, (12, 17 + number))
    return tmp_path / "root"


def convert(root, **options):
    return convert_panoptic(root, root.parent / "out", **{"shards": 3, "workers": 1, **options})


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_images_are_distributed_by_name(root):
    summary = convert(root)
    out = root.parent / "out"
    names = [[e["image/filename"] for e in examples(out / f"train-0000{i}-of-00003.tfrecord")] for i in range(3)]
    assert names == [[b"b", b"c"], [b"d", b"e"], [b"sub/a"]]  # ceil(5 / 3) = 2
    assert summary.splits == {
        "train": {"images": 5, "shards": 3, "written": 3, "kept": 0},
        "test": {"images": 2, "shards": 3, "written": 3, "kept": 0},
    }
    assert summary.skipped == [] and summary.images == 7
    content = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    assert summary.instances == sum(len(a["segments_info"]) for a in content["annotations"])
    assert "train" in summary.table() and "already complete" in summary.table()
    annotations = {a["file_name"].removesuffix(".png"): a for a in content["annotations"]}
    for fields in (e for i in range(3) for e in examples(out / f"train-0000{i}-of-00003.tfrecord")):
        name = fields["image/filename"].decode()
        png = root / "annotations" / "panoptic_train2017" / f"{name}.png"
        check_fields(fields, root / "train2017" / f"{name}.jpg", name,
                     expected_map(png, annotations[name], SEMANTIC_IDS, {1, 3}, True))  # fmt: skip


def test_split_named_test_has_only_images(root):
    convert(root, splits=["test"], shards=1)
    y, z = examples(root.parent / "out" / "test-00000-of-00001.tfrecord")
    assert set(y) == FIELDS - {"image/segmentation/class/encoded", "image/segmentation/class/format"}
    assert (y["image/filename"], y["image/height"], y["image/width"]) == (b"y", 12, 18)
    assert z["image/encoded"] == (root / "test2017" / "z.jpg").read_bytes()


def test_worker_processes_write_the_same_files(root):
    stages = RecordedStages()
    convert(root)
    one = contents(root.parent / "out")
    shutil.rmtree(root.parent / "out")
    convert(root, workers=2, progress=stages)
    assert contents(root.parent / "out") == one
    what, calls = stages.reported[-1]
    assert what == "converting" and calls[-1] == (7, 7)


def test_a_second_run_keeps_complete_shards(root):
    convert(root)
    out = root.parent / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    stages = RecordedStages()
    summary = convert(root, progress=stages)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert summary.splits["train"] == {"images": 5, "shards": 3, "written": 0, "kept": 3}
    assert stages.reported[-1] == ("converting", [(7, 7)])
    shards = [calls for what, calls in stages.reported if what == "looking for complete shards"]
    assert shards and all(calls == [(1, 3), (2, 3), (3, 3)] for calls in shards)


def test_an_interrupted_run_leaves_no_partial_shard_and_resumes(root, monkeypatch):
    convert(root)
    out = root.parent / "out"
    complete = contents(out)
    shutil.rmtree(out)
    encode, encoded = panoptic_tfrecord.encode_record, []

    def stop_at_the_fourth(record):
        encoded.append(record.name)
        if len(encoded) == 4:
            raise KeyboardInterrupt
        return encode(record)

    monkeypatch.setattr(panoptic_tfrecord, "encode_record", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        convert(root)
    assert {path.name for path in out.iterdir()} == {
        "panoptic-train.json", "panoptic-test.json", "train-00000-of-00003.tfrecord"}  # fmt: skip
    monkeypatch.setattr(panoptic_tfrecord, "encode_record", encode)
    (out / part_name("train-00001-of-00003.tfrecord")).write_bytes(b"half")  # as a killed process leaves it
    summary = convert(root)
    assert summary.splits["train"] == {"images": 5, "shards": 3, "written": 2, "kept": 1}
    assert contents(out) == complete


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:-20] + b"x" + data[-19:], lambda data: b""])
def test_a_damaged_shard_is_written_again(root, damage):
    convert(root)
    path = root.parent / "out" / "train-00001-of-00003.tfrecord"
    complete = path.read_bytes()
    path.write_bytes(damage(complete))
    summary = convert(root)
    assert path.read_bytes() == complete
    assert summary.notes == [(path.name, "the file was damaged, and is written again")]
    assert summary.splits["train"]["written"] == 1


def test_shards_with_other_settings_are_an_error(root):
    convert(root)
    for options, message in (
        ({"shards": 2}, "with shards 3, and now shards is 2: choose another output folder, or delete train"),
        ({"treat_crowd_as_ignore": False}, "with treat_crowd_as_ignore True, and now treat_crowd_as_ignore is False"),
    ):
        with pytest.raises(DataError, match=f"panoptic-train.json: the shards of this manifest were written {message}"):
            convert(root, **options)
    write_jpeg(root / "train2017" / "b.jpg", (22, 29), seed=99, quality=30)
    with pytest.raises(DataError, match="were written from files or annotations that have changed since"):
        convert(root)
    (root.parent / "out" / "panoptic-train.json").unlink()
    with pytest.raises(DataError, match="contains shards of train, but no panoptic-train.json with their settings"):
        convert(root)


def test_other_settings_are_accepted_if_there_are_no_shards(root):
    convert(root, splits=["train"])
    out = root.parent / "out"
    for path in out.glob("train-*"):
        path.unlink()
    assert convert(root, splits=["train"], shards=1).splits["train"]["written"] == 1


def test_skipped_images_are_reported(root):
    path = root / "annotations" / "panoptic_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][1:]  # of d.jpg, image 1
    path.write_text(json.dumps(content))
    write_jpeg(root / "train2017" / "unlisted.jpg", (9, 9))
    summary = convert(root, splits=["train", "val"])
    assert summary.splits["train"]["images"] == 4
    assert [where for where, _ in summary.skipped] == ["image 1 (d)", "train2017/d.jpg", "train2017/unlisted.jpg", "val"]
    assert "neither" in summary.skipped[-1][1]


IDS = np.array([[10, 10, 20, 0], [30, 40, 20, 0], [50, 50, 50, 60]])
SEGMENTS = [segment(20, 1, 2), segment(10, 1, 2), segment(30, 3, 1), segment(40, 1, 1, 1), segment(50, 200, 3),
            segment(60, 92, 1)]  # fmt: skip


def one_image(root, ids=IDS, segments=SEGMENTS, change=None):
    """Write a root with one image, after an optional change to the JSON."""
    path, content = write_split(root, [("a.jpg", ids, segments)])
    if change is not None:
        change(content)
        path.write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("segments, message", [
    ([segment(20, 1, 3), *SEGMENTS[1:]], "image a, segment 20: its area is given as 3 pixels, but the PNG shows 2"),
    (SEGMENTS[1:], "image a, segment 20: the PNG shows 2 pixels of it, but segments_info does not list it"),
    ([*SEGMENTS[:4], segment(50, 200, 3, 1), SEGMENTS[5]], r"image 1 \(a\), segment 50: it is a crowd of rug, which is stuff"),
    ([*SEGMENTS, segment(61, 7, 1)], r"image 1 \(a\), segment 61: its category 7 is not among"),
])  # fmt: skip
def test_invalid_segment_is_reported_with_its_image(tmp_path, segments, message):
    with pytest.raises(DataError, match=message):
        convert(one_image(tmp_path / "root", segments=segments))
    assert not list(tmp_path.glob("out/*.tfrecord*"))


def test_256_instances_of_a_category_are_an_error(tmp_path):
    ids = np.arange(1, 257).reshape(16, 16)
    with pytest.raises(DataError, match="image a, segment 256: it is instance 256 of car"):
        convert(one_image(tmp_path / "root", ids, [segment(i, 3, 1) for i in range(1, 257)]))


def double(content):
    content["images"].append({**content["images"][0], "file_name": "b.jpg"})


def swap_json(content):
    content["images"][0].update(height=4, width=3)


def leave_folder(content):
    content["images"][0]["file_name"] = "../other/a.jpg"


@pytest.mark.parametrize("change, message", [
    (double, r"images\[1\]: two images have the id 1, a and b"),
    (swap_json, r"image a, file .*a.jpg is of size \(3, 4\) .* its annotation says \(4, 3\): height and width are swapped"),
    (leave_folder, r"file_name is '../other/a.jpg', which points outside"),
    (lambda content: content["annotations"][0].update(image_id=5), "its image_id 5 is not among the images"),
    (lambda content: content.update(annotations=[{"image_id": 1, "category_id": 1, "segmentation": []}]),
     "panoptic_train2017.json holds instances.*use panoptic_train2017.json and"),
])  # fmt: skip
def test_invalid_json_is_reported(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        convert(one_image(tmp_path / "root", change=change))


def test_png_of_another_size_is_an_error(tmp_path):
    root = one_image(tmp_path / "root")
    Image.new("RGB", (4, 4)).save(root / "annotations" / "panoptic_train2017" / "a.png")
    with pytest.raises(DataError, match=r"image a, file .*a.png is of size \(4, 4\) .* its image is of size \(3, 4\)"):
        convert(root)


@pytest.mark.parametrize("orientation", [6, 8])
def test_image_rotated_by_exif_is_stored_like_its_annotations(tmp_path, orientation):
    root = one_image(tmp_path / "root")
    exif = Image.Exif()
    exif[0x0112] = orientation
    # as stored by the camera: 4 x 3 pixels; the left half is white
    stored = np.zeros((4, 3, 3), np.uint8)
    stored[:2] = 255
    Image.fromarray(stored).save(root / "train2017" / "a.jpg", quality=95, exif=exif, subsampling=0)
    convert(root)
    record = mrcnn.datasets.open(tmp_path / "out").record_of(0)
    image = mrcnn.datasets.open(tmp_path / "out").load_image(0)
    assert record.size == (3, 4) == image.shape[:2]
    white = image[:, 2:] if orientation == 6 else image[:, :2]  # rotated right or left
    assert white.min() > 200 and not Image.open(io.BytesIO(record.jpeg)).getexif()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_images_are_converted_to_rgb(tmp_path, mode):
    root = one_image(tmp_path / "root")
    Image.new("RGB", (4, 3), (200, 200, 200)).convert(mode).save(root / "train2017" / "a.jpg", quality=95)
    convert(root)
    dataset = mrcnn.datasets.open(tmp_path / "out")
    jpeg = Image.open(io.BytesIO(dataset.record_of(0).jpeg))
    assert jpeg.mode == "RGB" and jpeg.size == (4, 3)
    np.testing.assert_allclose(dataset.load_image(0), 200, atol=6)


def test_images_are_read_from_the_annotations_if_the_json_lists_none(tmp_path):
    """Other programs read only the annotations."""
    root = one_image(tmp_path / "root")
    convert(root)
    expected = mrcnn.datasets.open(tmp_path / "out").record_of(0)
    path = root / "annotations" / "panoptic_train2017.json"
    content = json.loads(path.read_text())
    del content["images"]
    path.write_text(json.dumps(content))
    summary = convert_panoptic(root, tmp_path / "other", shards=1, workers=1)
    assert summary.images == 1 and not summary.skipped
    found = mrcnn.datasets.open(tmp_path / "other").record_of(0)
    assert (found.name, found.size, found.jpeg) == (expected.name, expected.size, expected.jpeg)
    np.testing.assert_array_equal(found.panoptic, expected.panoptic)
    dataset = mrcnn.datasets.open(root, "panoptic")
    assert dataset.image_size(0) == (3, 4) and dataset.load_mask(0)[0].shape[:2] == (3, 4)


def test_error_in_a_worker_process_is_reported(root):
    path = root / "train2017" / "d.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="image d, file .*d.jpg is cut off"):
        convert(root, workers=2)
    assert not list((root.parent / "out").glob("*.part"))
    assert not (root.parent / "out" / "train-00001-of-00003.tfrecord").exists()


def test_link_out_of_the_folder_is_rejected(tmp_path):
    root = one_image(tmp_path / "root")
    image = root / "train2017" / "a.jpg"
    image.rename(tmp_path / "elsewhere.jpg")
    os.symlink(tmp_path / "elsewhere.jpg", image)
    with pytest.raises(DataError, match="image a: .*a.jpg is a link to .*elsewhere.jpg, outside"):
        convert(root)
    assert convert(root, allow_outside=True).images == 1


def test_missing_files_are_reported_before_anything_is_written(tmp_path):
    root = one_image(tmp_path / "root")
    png = root / "annotations" / "panoptic_train2017" / "a.png"
    png.unlink()
    with pytest.raises(DataError, match="1 files of the 1 images of train are missing, such as .*a.png"):
        convert(root)
    png.parent.rmdir()
    with pytest.raises(DataError, match="panoptic_train2017, the folder of the PNGs of .*, does not exist"):
        convert(root)
    path = root / "annotations" / "panoptic_train2017.json"
    path.rename(path.with_name("instances_train2017.json"))
    with pytest.raises(DataError, match=r"panoptic_train2017.json does not exist \(instances_train2017.json exists"):
        convert(root)
    with pytest.raises(DataError, match="contains nothing to convert: neither .*val2017 nor"):
        convert(root, splits=["val"])
    assert not (tmp_path / "out").exists()


def test_splits_with_different_categories_are_an_error(root):
    ids, segments = np.zeros((4, 5), int), []
    write_split(root, [("v.jpg", ids, segments)], "val", [{"id": 3, "name": "car", "isthing": 1}])
    with pytest.raises(DataError, match="val and train have different categories"):
        convert(root)
    assert convert(root, splits=["val"]).images == 1


def test_cocos_categories_keep_their_numbers_where_a_json_lists_fewer(tmp_path):
    """Stop sign is DeepLab2's 12, rug-merged its 133; the splits list different ones."""
    ids = np.array([[1, 1, 2], [1, 1, 0]])
    sign, rug = {"id": 13, "name": "stop sign", "isthing": 1}, {"id": 200, "name": "rug-merged", "isthing": 0}
    root = tmp_path / "root"
    write_split(root, [("a.jpg", ids, [segment(1, 13, 4), segment(2, 200, 1)])], "train", [rug, sign])
    write_split(root, [("b.jpg", ids, [segment(1, 200, 4), segment(2, 200, 1)])], "val", [rug])
    convert_panoptic(root, tmp_path / "out", shards=1, workers=1)
    for split, expected in (("train", [[3073, 3073, 34048], [3073, 3073, 0]]), ("val", [[34048] * 3, [34048, 34048, 0]])):
        dataset = mrcnn.datasets.open(tmp_path / "out", subset=split, stuff=True)
        np.testing.assert_array_equal(dataset.record_of(0).panoptic, expected)
        assert {dataset.class_names[c] for c in dataset.load_mask(0)[1]} == (
            {"stop sign", "rug-merged"} if split == "train" else {"rug-merged"})  # fmt: skip


@pytest.mark.parametrize("options, message", [
    ({"shards": 0}, "shards is 0"),
    ({"shards": 100000}, "shards is 100000"),
    ({"splits": ["trian"]}, r"splits is \['trian'\]: choose from train, val, test"),
    ({"splits": []}, "choose from train"),
    ({"workers": 0}, "workers is 0"),
])  # fmt: skip
def test_argument_out_of_range_is_an_error(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        convert_panoptic(tmp_path, tmp_path / "out", **options)
