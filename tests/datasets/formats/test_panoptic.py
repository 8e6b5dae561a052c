"""Panoptic data from PNGs and from TFRecord shards, which give the same instances."""
import copy
import json
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.formats import panoptic
from mrcnn.datasets.panoptic.shards import manifest_path
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic
from tests.datasets.panoptic_sets import CATEGORIES, random_image, segment, write_jpeg, write_split
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

IDS = np.array([[10, 10, 20, 0], [30, 40, 20, 0], [50, 50, 50, 60]]).repeat(8, axis=0).repeat(9, axis=1)
PATCH = 8 * 9
SEGMENTS = [segment(20, 1, 2 * PATCH), segment(10, 1, 2 * PATCH), segment(30, 3, PATCH), segment(40, 1, PATCH, 1),
            segment(50, 200, 3 * PATCH), segment(60, 92, PATCH), segment(70, 3, 0)]  # fmt: skip


def patches(*positions):
    """Return a mask of patches of 8 x 9 pixels, given as (row, column)."""
    mask = np.zeros((3, 4), bool)
    mask[tuple(zip(*positions, strict=True))] = True
    return mask.repeat(8, axis=0).repeat(9, axis=1)


PERSON_20, PERSON_10, CAR, CROWD = patches((0, 2), (1, 2)), patches((0, 0), (0, 1)), patches((1, 0)), patches((1, 1))
RUG, BANNER = patches((2, 0), (2, 1), (2, 2)), patches((2, 3))


@pytest.fixture
def root(tmp_path):
    """Two training images, the second without segments, and one validation image."""
    write_split(tmp_path / "root", [("b.jpg", IDS, SEGMENTS), ("a.jpg", np.zeros((10, 20), int), [])])
    write_split(tmp_path / "root", [("v.jpg", IDS, SEGMENTS)], "val")
    return tmp_path / "root"


def to_shards(root, **options):
    out = root.parent / "shards"
    convert_panoptic(root, out, **{"shards": 2, "workers": 1, **options})
    return out


def check(dataset, image_id, expected):
    """Compare the masks of an image with a list of (class id, mask), in any order."""
    masks, class_ids = dataset.load_mask(image_id)
    actual = sorted((class_id, masks[:, :, i].tobytes()) for i, class_id in enumerate(class_ids.tolist()))
    assert actual == sorted((class_id, mask.tobytes()) for class_id, mask in expected)


def test_things_are_read_from_pngs(root):
    dataset = mrcnn.datasets.open(root, subset="train")
    assert dataset.class_names == ["BG", "person", "car"] and dataset.sources == ["", "panoptic"]
    assert [info["id"] for info in dataset.image_info] == [1, 2] and dataset.skipped == []
    check(dataset, 0, [(1, PERSON_20), (1, PERSON_10), (2, CAR), (-1, CROWD)])
    assert dataset.num_instances(0) == 3 and dataset.num_instances(1) == 0
    assert dataset.load_mask(1)[0].shape == (10, 20, 0) and dataset.image_size(1) == (10, 20)
    assert dataset.load_image(0).shape == (24, 36, 3) and dataset.image_reference(0) == "b.jpg"
    assert dataset.get_source_class_id(2, "panoptic") == 3
    truth = dataset.ground_truth(0)
    assert [t["class_id"] for t in truth] == [1, 1, 2, 1] and [t["iscrowd"] for t in truth] == [0, 0, 0, 1]
    assert truth[0]["bbox"] == [18, 0, 9, 16] and truth[0]["area"] == 144  # x, y, width, height


def test_stuff_option_adds_stuff(root):
    dataset = mrcnn.datasets.open(root, subset="train", stuff=True)
    assert dataset.class_names == ["BG", "person", "car", "banner", "rug"]
    check(dataset, 0, [(1, PERSON_20), (1, PERSON_10), (2, CAR), (-1, CROWD), (4, RUG), (3, BANNER)])
    assert dataset.num_instances(0) == 5


def test_things_are_read_from_shards(root):
    dataset = mrcnn.datasets.open(to_shards(root), subset="train")
    assert dataset.class_names == ["BG", "person", "car"] and dataset.get_source_class_id(2, "panoptic") == 3
    assert [info["id"] for info in dataset.image_info] == ["a", "b"]  # in the order of their names
    assert dataset.load_mask(0)[0].shape == (10, 20, 0) and dataset.image_size(1) == (24, 36)
    check(dataset, 1, [(1, PERSON_20), (1, PERSON_10), (2, CAR)])  # the crowd is ignored
    assert dataset.num_instances(1) is None
    assert dataset.image_reference(1).endswith("train-00001-of-00002.tfrecord: record 0, image b")
    np.testing.assert_array_equal(dataset.load_image(1), mrcnn.datasets.open(root, subset="train").load_image(0))
    truth = [t for t in dataset.ground_truth(1) if t["class_id"] == 2]
    assert len(truth) == 1 and truth[0]["bbox"] == [0, 8, 9, 8] and truth[0]["area"] == PATCH


def test_stuff_and_crowds_are_read_from_shards(root):
    dataset = mrcnn.datasets.open(to_shards(root, treat_crowd_as_ignore=False), subset="train", stuff=True)
    assert dataset.class_names == ["BG", "person", "car", "banner", "rug"]
    check(dataset, 1, [(1, PERSON_20), (1, PERSON_10), (2, CAR), (-1, CROWD), (4, RUG), (3, BANNER)])


def test_shards_without_a_manifest_have_the_categories_of_coco(tmp_path):
    content = json.loads(shared_path("data/panoptic/panoptic_coco_categories.json").read_text())
    write_split(tmp_path / "root", [("b.jpg", IDS, SEGMENTS[:4] + [segment(50, 200, 3 * PATCH), segment(60, 90, PATCH)])],
                categories=content)  # fmt: skip
    out = to_shards(tmp_path / "root", shards=1)
    manifest_path(out, "train").unlink()
    dataset = mrcnn.datasets.open(out)
    assert dataset.num_classes == 81 and dataset.class_names[1:4] == ["person", "bicycle", "car"]
    assert dataset.get_source_class_id(80, "panoptic") == 90
    check(dataset, 0, [(1, PERSON_20), (1, PERSON_10), (3, CAR), (80, BANNER)])
    dataset = mrcnn.datasets.open(out, stuff=True)
    assert dataset.class_names[1:] == [c["name"] for c in sorted(content, key=lambda c: c["id"])]
    check(dataset, 0, [(1, PERSON_20), (1, PERSON_10), (3, CAR), (80, BANNER), (133, RUG)])


def test_unlabelled_pixels_are_ignored(root):
    unlabelled = patches((0, 3), (1, 3))
    dataset = mrcnn.datasets.open(root, subset="train")
    np.testing.assert_array_equal(dataset.ignored_pixels(0), unlabelled)
    assert dataset.ignored_pixels(1).all()
    dataset = mrcnn.datasets.open(to_shards(root), subset="train")
    np.testing.assert_array_equal(dataset.ignored_pixels(1), unlabelled | CROWD)


def test_training_samples_from_pngs_and_shards(root):
    for folder, position in ((root, 0), (to_shards(root), 1)):
        dataset = mrcnn.datasets.open(folder, subset="train")
        image, meta, class_ids, boxes, masks = make_sample(dataset, position, SampleSettings("none", num_classes=3))[:5]
        assert image.shape == (24, 36, 3) and sorted(class_ids[class_ids > 0]) == [1, 1, 2]
        assert sorted(boxes[class_ids == 1].tolist()) == [[0, 0, 8, 18], [0, 18, 16, 27]]


def test_folder_is_recognised_and_its_subsets_are_named(root):
    out = to_shards(root)
    assert panoptic.recognise(root) is None and panoptic.recognise(out) is None
    assert panoptic.subsets(root) == panoptic.subsets(out) == ["train", "val"]
    path = root / "annotations" / "panoptic_val2017.json"
    assert panoptic.recognise(path) is None and panoptic.subsets(path) == []
    assert panoptic.recognise(manifest_path(out, "val")) == "the JSON has no 'segments_info'"
    assert "not a folder" in panoptic.recognise(out / "val-00000-of-00002.tfrecord")
    assert "no annotations/panoptic" in panoptic.recognise(root / "annotations")
    shutil.copy(path, root / "annotations" / "instances_val2017.json")
    assert "are read as coco" in panoptic.recognise(root)
    with pytest.raises(DataError, match="no annotations/panoptic_minival"):
        panoptic.open_subset(root, "minival")
    with pytest.raises(DataError, match="no annotations/panoptic_val2014.json"):
        panoptic.open_subset(root, "val", year="2014")
    assert panoptic.open_subset(root, "val", year=2017).image_info[0]["id"] == 1
    shutil.copy(path, path.with_name("panoptic_val2018.json"))
    with pytest.raises(DataError, match="for the years 2017, 2018: say which"):
        panoptic.open_subset(root, "val")


def test_single_file_can_be_opened(root):
    path = root / "annotations" / "panoptic_val2017.json"
    dataset = mrcnn.datasets.open(path, images=root / "val2017")
    check(dataset, 0, [(1, PERSON_20), (1, PERSON_10), (2, CAR), (-1, CROWD)])
    assert dataset.load_image(0).shape == (24, 36, 3)


def test_test_split_of_shards_has_no_instances(root):
    write_jpeg(root / "test2017" / "t.jpg", (8, 9))
    dataset = mrcnn.datasets.open(to_shards(root), "panoptic", "test")
    assert dataset.load_image(0).shape == (8, 9, 3) and dataset.load_mask(0)[0].shape == (8, 9, 0)
    assert dataset.ignored_pixels(0) is None


def test_images_of_another_source_can_be_added(root):
    for folder in (root, to_shards(root)):
        dataset = panoptic.open_subset(folder, "val")
        dataset.add_class("mine", 1, "axe")
        dataset.add_image("mine", 0, str(root / "val2017" / "v.jpg"))
        dataset.prepare()
        assert dataset.load_image(1).shape == (24, 36, 3) and len(dataset.load_mask(1)[1]) == 0
        assert dataset.num_instances(1) is None and dataset.image_size(1) == (24, 36)


def test_invalid_entry_is_skipped_and_invalid_png_is_an_error_when_read(root, caplog):
    path = root / "annotations" / "panoptic_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["segments_info"] = [segment(5, 77, 3)]
    content["annotations"][0]["segments_info"][0]["area"] += 1
    path.write_text(json.dumps(content))
    dataset = mrcnn.datasets.open(root, subset="train")
    ((where, reason),) = dataset.skipped
    assert where == "panoptic_train2017.json: annotations[1]" and "image 2 (a), segment 5: its category 77" in reason
    assert any("images skipped" in record.getMessage() for record in caplog.records)
    with pytest.raises(DataError, match=r"b.png: image 1, segment 20: its area is given as 145 pixels, but the PNG shows 144"):
        dataset.load_mask(0)
    (root / "annotations" / "panoptic_train2017" / "b.png").unlink()
    with pytest.raises(DataError, match=r"b.png of image 1 cannot be read"):
        dataset.load_instances(0)


def test_damaged_shards_are_errors(root):
    out = to_shards(root)
    path = out / "train-00001-of-00002.tfrecord"
    dataset, data = mrcnn.datasets.open(out, subset="train"), bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="train-00001-of-00002.tfrecord: the record at byte 12 is damaged"):
        dataset.load_mask(1)
    path.write_bytes(data[:-50])
    with pytest.raises(DataError, match="train-00001-of-00002.tfrecord: it ends inside record 0"):
        mrcnn.datasets.open(out, subset="train")
    path.unlink()
    with pytest.raises(DataError, match="lacks 1 of the 2 files of train"):
        mrcnn.datasets.open(out, subset="train")


def test_unknown_semantic_id_is_an_error(root):
    out = to_shards(root)
    manifest = json.loads(manifest_path(out, "val").read_text())
    manifest["categories"] = CATEGORIES[:2]  # now rug has the id 2, and car 1
    manifest_path(out, "val").write_text(json.dumps(manifest))
    dataset = mrcnn.datasets.open(out, subset="val")
    with pytest.raises(DataError, match="val-00000-of-00002.tfrecord: record 0, image v: the panoptic map holds 513"):
        dataset.load_mask(0)


@given(seed=st.integers(0, 2**32), height=st.integers(1, 30), width=st.integers(1, 30))
def test_random_images_are_read_back_from_pngs_and_shards(tmp_path_factory, seed, height, width):
    root = tmp_path_factory.mktemp("set") / "root"
    ids, segments = random_image(np.random.default_rng(seed), (height, width))
    write_split(root, [("a.jpg", ids, segments)])
    class_ids = {c["id"]: i for i, c in enumerate(sorted(CATEGORIES, key=lambda c: c["id"]), start=1)}
    expected = [((-1 if s["iscrowd"] else 1) * class_ids[s["category_id"]], ids == s["id"]) for s in segments]
    check(mrcnn.datasets.open(root, subset="train", stuff=True), 0, expected)
    # shards merge the crowds of a category, and its stuff
    merged = {}
    for class_id, mask in expected:
        key = class_id if class_id < 0 or class_id > 2 else (class_id, len(merged))
        merged[key] = merged.get(key, False) | mask
    expected = [(key if isinstance(key, int) else key[0], mask) for key, mask in merged.items()]
    out = to_shards(root, treat_crowd_as_ignore=False)
    check(mrcnn.datasets.open(out, subset="train", stuff=True), 0, expected)


@given(data=st.data())
def test_any_damage_to_a_shard_is_a_data_error(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("set") / "root"
    write_split(root, [("a.jpg", IDS, SEGMENTS)])
    out = to_shards(root, shards=1)
    path = out / "train-00000-of-00001.tfrecord"
    damaged = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(damaged) - 1))]
    else:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    with pytest.raises(DataError) as error:  # a checksum covers every byte
        dataset = mrcnn.datasets.open(out, "panoptic", "train")
        dataset.load_image(0), dataset.load_mask(0)
    # an empty file has no images, which is reported for the folder
    assert path.name in str(error.value) or not damaged


WRONG = st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.integers(), st.text(max_size=4), st.just([]), st.just({}))


@given(data=st.data())
def test_damaged_annotations_raise_no_other_error_than_data_error(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("set") / "root"
    path, content = write_split(root, [("a.jpg", IDS, SEGMENTS), ("b.jpg", IDS, SEGMENTS)])
    content = copy.deepcopy(content)  # it contains the constants above
    record = data.draw(st.sampled_from([
        content, content["images"][0], content["annotations"][0], content["annotations"][0]["segments_info"][0],
        content["categories"][0], content["categories"][3],
    ]))  # fmt: skip
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(WRONG)
    path.write_text(json.dumps(content))
    png = path.with_suffix("") / "a.png"
    if data.draw(st.booleans()):
        damaged = bytearray(png.read_bytes())
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        png.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        dataset = mrcnn.datasets.open(root, "panoptic", "train")
    except DataError as error:
        assert path.name in str(error) or "holds no images" in str(error)
        return
    for i in dataset.image_ids:
        try:
            masks, class_ids = dataset.load_mask(i)
        except DataError as error:
            assert "a.png" in str(error) or dataset.image_info[i]["png"] in str(error)
        else:
            assert masks.shape == (24, 36, len(class_ids)) and dataset.num_instances(i) == (class_ids > 0).sum()


def test_photographs_have_the_masks_of_their_pngs():
    folder = shared_path("data/panoptic")
    dataset = mrcnn.datasets.open(folder / "panoptic_examples.json", images=folder / "input_images")
    assert dataset.num_classes == 81 and dataset.num_images == 2 and dataset.skipped == []
    content = json.loads((folder / "panoptic_examples.json").read_text())
    for i, annotation in enumerate(content["annotations"]):
        png = cv2.imread(str(folder / "panoptic_examples" / annotation["file_name"]))
        blue, green, red = (channel.astype(int) for channel in cv2.split(png))
        ids = red + 256 * green + 65536 * blue
        things = [s for s in annotation["segments_info"] if s["category_id"] <= 90]
        expected = [((-1 if s["iscrowd"] else 1) * dataset.map_source_class_id(f"panoptic.{s['category_id']}"), ids == s["id"])
                    for s in things]  # fmt: skip
        check(dataset, i, expected)
        assert dataset.load_image(i).shape[:2] == ids.shape


def test_images_option_with_a_folder_that_contains_its_images_is_rejected(root):
    with pytest.raises(DataError, match="omit the folder of images, elsewhere"):
        mrcnn.datasets.open(root, subset="train", images="elsewhere")


def test_stages_are_reported(root):
    stages = RecordedStages()
    mrcnn.datasets.open(root, subset="train", progress=stages)
    assert stages.reported[-2:] == [("checking segments", [(2, 2)]), ("listing images", [(2, 2)])]
    stages = RecordedStages()
    mrcnn.datasets.open(to_shards(root), subset="train", progress=stages)
    assert stages.reported == [("reading", [(1, 2), (2, 2)])]
