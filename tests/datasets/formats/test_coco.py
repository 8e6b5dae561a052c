import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.formats import coco
from mrcnn.datasets.formats.coco import CocoDataset, open_subset, recognise, subsets
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.masks import minimize_mask
from mrcnn.geometry.rasterize import as_instance
from mrcnn.geometry.rle import decode_rle, encode_mask, run_lengths
from mrcnn.io import json_fields as fields
from mrcnn.loading.generator import DetectionTargetSettings, data_generator
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.datasets.json_damage import damaged_json
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SIZE = (40, 60)
SQUARE = [[10, 5, 30, 5, 30, 25, 10, 25]]


def annotation(number, **kwargs):
    base = {"id": number, "image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": SQUARE,
            "area": 400.0, "bbox": [10, 5, 20, 20]}  # fmt: skip
    return {**base, **kwargs}


def write(tmp_path, annotations, images=None, categories=None, year="2017"):
    """Write a small data set in COCO's layout: image 7 of 40 x 60 with the annotations, image 9 without any."""
    images = images or [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in (7, 9)]
    categories = categories or [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}, {"id": 90, "name": "mouse"}]
    (tmp_path / "annotations").mkdir()
    (tmp_path / f"train{year}").mkdir()
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations" / f"instances_train{year}.json").write_text(json.dumps(content))
    for image in images:
        assert cv2.imwrite(str(tmp_path / f"train{year}" / image["file_name"]), np.full((*SIZE, 3), 90, np.uint8))
    return tmp_path


def load(folder, **kwargs):
    dataset = CocoDataset()
    dataset.load_coco(folder, "train", **{"year": 2017, "all_images": "class_ids" not in kwargs, **kwargs})
    dataset.prepare()
    return dataset


def test_images_without_annotations_are_loaded_on_request(tmp_path):
    """As the classic code did: 82081 of the 82783 images of train2014."""
    crowd = annotation(2, image_id=11, iscrowd=1)
    images = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in (7, 9, 11, 12)]
    folder = write(tmp_path, [annotation(1), crowd, annotation(3, image_id=12, segmentation=[])], images)
    assert [info["id"] for info in load(folder, all_images=False).image_info] == [7, 11]  # a crowd is an annotation
    assert [info["id"] for info in load(folder).image_info] == [7, 9, 11, 12]
    assert [info["id"] for info in load(folder, class_ids=[8], all_images=True).image_info] == [7, 9, 11, 12]
    assert load(folder, class_ids=[8]).image_info == []
    dataset = CocoDataset()
    dataset.load_coco(folder, "train", 2017)
    assert [info["id"] for info in dataset.image_info] == [7, 11]
    # commands evaluate and check the images without objects too
    assert mrcnn.datasets.open(folder).num_images == 4


def rectangle(y1, x1, y2, x2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_classes_images_and_all_kinds_of_segmentations(tmp_path):
    runs = [0, 0, 400, 40 * 50]  # ten columns of mask, fifty of background
    crowd = {"size": [40, 60], "counts": [runs[0], runs[2], runs[3]]}
    dataset = load(write(tmp_path, [
        annotation(1),
        annotation(2, category_id=90, segmentation=crowd, iscrowd=1),
        annotation(3, category_id=8, segmentation=encode_mask(rectangle(30, 40, 40, 60))),
    ]))  # fmt: skip
    assert dataset.class_names == ["BG", "cat", "dog", "mouse"]
    assert [info["id"] for info in dataset.image_info] == [7, 9]
    assert dataset.image_info[0]["path"].endswith("train2017/7.png") and dataset.image_size(0) == SIZE
    masks, class_ids = dataset.load_mask(0)
    assert masks.dtype == bool and class_ids.dtype == np.int32 and class_ids.tolist() == [1, -3, 2]
    for i, expected in enumerate([rectangle(5, 10, 25, 30), rectangle(0, 0, 40, 10), rectangle(30, 40, 40, 60)]):
        np.testing.assert_array_equal(masks[:, :, i], expected)
    assert dataset.load_mask(1)[0].shape == (40, 60, 0)
    assert dataset.num_instances(0) == 2 and dataset.num_instances(1) == 0
    assert dataset.map_source_class_id("coco.90") == 3 and dataset.get_source_class_id(3, "coco") == 90
    assert dataset.image_reference(0) == "7.png", "not an image of COCO"
    assert dataset.load_image(0).shape == (40, 60, 3)


def test_ground_truth_keeps_area_and_box_of_the_annotation(tmp_path):
    dataset = load(write(tmp_path, [
        annotation(1, area=387.5, bbox=[10.2, 5.1, 19.9, 19.8]),
        annotation(2, iscrowd=1, segmentation={"size": [40, 60], "counts": [0, 400, 2000]}, bbox=[0, 0, 10, 40]),
    ]))  # fmt: skip
    first, crowd = dataset.ground_truth(0)
    assert first["area"] == 387.5 and first["bbox"] == [10.2, 5.1, 19.9, 19.8] and first["class_id"] == 1
    np.testing.assert_array_equal(decode_rle(first["segmentation"]), rectangle(5, 10, 25, 30))
    assert crowd["iscrowd"] == 1 and crowd["class_id"] == 1
    json.dumps(dataset.ground_truth(0))
    assert dataset.ground_truth(1) == []


def test_annotation_without_area_or_box_gets_those_of_its_mask(tmp_path):
    bare = annotation(1)
    del bare["area"], bare["bbox"], bare["iscrowd"]
    dataset = load(write(tmp_path, [bare]))
    (found,) = dataset.ground_truth(0)
    assert found["area"] == 400.0 and found["bbox"] == [10.0, 5.0, 20.0, 20.0] and found["iscrowd"] == 0
    assert dataset.skipped == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"category_id": 4}, "category_id is not among the categories"),
        ({"image_id": 1}, "image_id is not among the images"),
        ({"segmentation": []}, "has no segmentation"),
        ({"segmentation": None}, "has no segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "no polygon of its segmentation has three points"),
        ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "RLE is not of the image's size"),
        ({"segmentation": {"counts": [2400]}}, "lacks counts or size"),
        ({"segmentation": {"size": [40, 60], "counts": [100, 2299]}}, "counts of its RLE do not add up to its height x width"),
        ({"segmentation": {"size": [40, 60], "counts": [100.5, 2300]}}, "counts of its RLE are not all whole numbers"),
        ({"segmentation": {"size": [40, 60], "counts": [100, -100, 2400]}}, "RLE contain a run of negative length"),
        ({"segmentation": {"size": [40, 60], "counts": "XXX"}}, "counts of its RLE are truncated inside a run"),
        ({"segmentation": {"size": [40, 60], "counts": "2 3"}}, "counts of its RLE contain invalid characters"),
        ({"segmentation": {"size": [40, 60], "counts": "12"}}, "counts of its RLE do not add up to its height x width"),
        ({"segmentation": {"size": [40, 60], "counts": 2400}}, "counts of its RLE are neither a list"),
        ({"segmentation": {"size": 2400, "counts": [2400]}}, "size of its RLE is not a list of whole numbers"),
        ({"segmentation": {"size": [40.5, 60], "counts": [2400]}}, "size of its RLE is not a list of whole numbers"),
        ({"segmentation": "10 5 30 5 30 25"}, "neither a list of polygons nor an RLE"),
        ({"segmentation": [SQUARE[0], [1, 2, 3, 4, 5, "six"]]}, "holds something other than finite numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, True]]}, "holds something other than finite numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 10**400]]}, "holds something other than finite numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 601]]}, "further out than 10 times the size of the image"),
        ({"segmentation": [[1, -600.5, 3, 4, 5, 6]]}, "further out than 10 times the size of the image"),
        ({"iscrowd": "yes"}, "its iscrowd is neither 0 nor 1"),
        ({"image_id": 7.5}, "image_id is not among the images"),
        ({"image_id": [7]}, "image_id is not among the images"),
        ({"category_id": True}, "category_id is not among the categories"),
    ],
)
def test_unusable_annotation_is_skipped_and_reported(tmp_path, caplog, fault, reason):
    dataset = load(write(tmp_path, [annotation(1), annotation(55, **fault)]))
    assert dataset.load_mask(0)[1].tolist() == [1]
    ((number, reported),) = dataset.skipped
    assert number == 55 and reason in reported
    assert any("1 annotations skipped, such as 55" in record.getMessage() for record in caplog.records)


def test_number_that_cannot_be_read_skips_only_its_annotation(tmp_path):
    folder = write(tmp_path, [annotation(1), annotation(2, area="@digits@"), annotation(3, score="@large@")])
    path = folder / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text().replace('"@digits@"', "9" * 5000).replace('"@large@"', "1e999"))
    dataset = load(folder)
    ((where, reason),) = dataset.skipped
    assert where == "annotations[1]" and "it is not valid JSON: Exceeds the limit" in reason
    # a field that is not used may hold anything
    assert [a["id"] for a in dataset.annotations_of(0)] == [1, 3] and dataset.load_mask(0)[1].tolist() == [1, 1]


def test_annotations_are_kept_as_text_and_may_be_replaced(tmp_path):
    dataset = load(write(tmp_path, [annotation(1, attributes={"seen": True}), annotation(2, category_id=8)]))
    kept = dataset.image_info[0]["annotations"]
    assert isinstance(kept, fields.JsonList) and [a["id"] for a in kept] == [1, 2]
    assert dataset.annotations_of(0)[0] == annotation(1, attributes={"seen": True})
    dataset.image_info[0]["annotations"] = [a for a in kept if a["category_id"] == 8]
    assert dataset.load_mask(0)[1].tolist() == [2] and dataset.num_instances(0) == 1


def test_annotation_without_an_id_is_reported_by_its_position(tmp_path):
    bare = {key: value for key, value in annotation(1).items() if key != "id"}
    dataset = load(write(tmp_path, [bare, {**bare, "segmentation": []}, 5, annotation([3], iscrowd="x")]))
    assert dataset.load_mask(0)[1].tolist() == [1]
    assert [where for where, _ in dataset.skipped] == ["annotations[1]", "annotations[2]", "annotations[3]"]
    assert dataset.skipped[1][1] == "it is not an object"


def test_point_outside_the_image_but_within_the_limit_is_clipped(tmp_path):
    far = [-600, 5, 30, 5, 30, 25, -600, 25]  # 10 times the 60 pixels of the longer side
    dataset = load(write(tmp_path, [annotation(1, segmentation=[far])]))
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], rectangle(5, 0, 25, 30))


@pytest.mark.parametrize("images, categories, message", [
    ([{"id": True}], None, r"images\[0\]: 'id' is True, expected a whole number or text"),
    ([{"id": [1]}], None, r"images\[0\]: 'id' is \[1\], expected"),
    (["7.png"], None, r"images\[0\] is '7.png', expected an object"),
    ([{}, {"id": 8}, {"id": "7"}], None, "images: entries 0 and 2 have the same id '7'"),
    ([{"height": 0}], None, "image 7: 'height' is 0, expected a number of pixels above 0"),
    ([{"width": -60}], None, "image 7: 'width' is -60, expected a number of pixels above 0"),
    ([{"width": 60.5}], None, r"images\[0\]: 'width' is 60.5, expected a whole number"),
    ([{"width": 10**7}], None, "image 7 declares 40 x 10000000 pixels .height x width., and more than"),
    ([{"file_name": 7}], None, "image 7: 'file_name' is 7, expected text"),
    (None, [{"id": 3, "name": [5]}], r"categories\[0\]: 'name' is \[5\], expected text"),
    (None, [{"id": 3, "name": None}], r"categories\[0\] has no field 'name', expected text"),
    (None, [{"id": 3, "name": ""}], r"category 3: 'name' is empty: name the category"),
    (None, [{"id": None, "name": "cat"}], r"categories\[0\] has no field 'id'"),
    (None, [{"id": False, "name": "cat"}], r"categories\[0\]: 'id' is False"),
    (None, [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}], "categories: entries 0 and 1 have the same id 3"),
    (None, [3], r"categories\[0\] is 3, expected an object"),
])  # fmt: skip
def test_malformed_image_or_category_is_an_error(tmp_path, images, categories, message):
    valid = {"id": 7, "file_name": "7.png", "height": 40, "width": 60}
    images = [image if isinstance(image, str) else {**valid, **image} for image in images or [{}]]
    content = {"images": images, "annotations": [annotation(1)], "categories": categories or [{"id": 3, "name": "cat"}]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"instances.json: {message}"):
        open_subset(path)


def test_polygon_of_two_points_is_ignored_next_to_a_valid_one(tmp_path):
    dataset = load(write(tmp_path, [annotation(1, segmentation=[[1, 2, 3, 4], *SQUARE])]))
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], rectangle(5, 10, 25, 30))
    assert len(make_sample(dataset, 0, SampleSettings("none", num_classes=4))[2]) == 1


def test_object_without_pixels_is_skipped(tmp_path):
    dataset = load(write(tmp_path, [annotation(1, segmentation=[[1.1, 1.1, 1.3, 1.1, 1.3, 1.3]]), annotation(2)]))
    assert len(dataset.load_mask(0)[1]) == 1
    assert len(make_sample(dataset, 0, SampleSettings("none", num_classes=4))[2]) == 1


def test_class_ids_select_classes_and_their_images(tmp_path):
    images = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 60} for i in (1, 2, 3)]
    folder = write(tmp_path, [
        annotation(1, image_id=1), annotation(2, image_id=1, category_id=8), annotation(3, image_id=2, category_id=90),
    ], images)  # fmt: skip
    dataset = load(folder, class_ids=[8, 90])
    assert dataset.class_names == ["BG", "dog", "mouse"]
    assert [info["id"] for info in dataset.image_info] == [1, 2]  # image 3 has neither
    assert dataset.load_mask(0)[1].tolist() == [1]
    with pytest.raises(DataError, match=r"no category has the id 5; the ids are \[3, 8, 90\]"):
        load(folder, class_ids=[5])


def test_categories_can_be_merged(tmp_path):
    dataset = load(write(tmp_path, [annotation(1), annotation(2, category_id=8)]), class_map={8: 3})
    assert dataset.class_names == ["BG", "cat", "mouse"]
    assert dataset.load_mask(0)[1].tolist() == [1, 1]


def test_minival_of_2014_uses_the_images_of_val2014(tmp_path):
    write(tmp_path, [annotation(1)], year="2014")
    (tmp_path / "train2014").rename(tmp_path / "val2014")
    file = tmp_path / "annotations" / "instances_train2014.json"
    file.rename(file.with_name("instances_minival2014.json"))
    dataset = CocoDataset()
    dataset.load_coco(tmp_path, "minival")  # the year is 2014 by default
    dataset.prepare()
    assert dataset.load_image(0).shape == (40, 60, 3)


def test_return_coco_returns_a_pycocotools_object(tmp_path):
    coco = CocoDataset().load_coco(write(tmp_path, [annotation(1)]), "train", 2017, return_coco=True)
    assert isinstance(coco, COCO) and coco.getCatIds() == [3, 8, 90] and coco.getImgIds() == [7, 9]


def test_reading_is_reported_in_stages(tmp_path, monkeypatch):
    path = write(tmp_path, [annotation(i) for i in range(5)]) / "annotations" / "instances_train2017.json"
    stages = RecordedStages()
    monkeypatch.setattr(fields, "_PIECE", 300)
    monkeypatch.setattr(coco.dataset, "_REPORT_EVERY", 2)
    split = stages.during("parsing instances_train2017.json", fields._JsonText.entries)
    monkeypatch.setattr(fields._JsonText, "entries", split)
    dataset = CocoDataset()
    dataset.add_listed_image = stages.during("listing images", dataset.add_listed_image)
    dataset.load_coco(tmp_path, "train", 2017, all_images=True, progress=stages)
    pieces = -(-path.stat().st_size // 300)
    assert pieces > 3 and stages.reported == [
        ("reading instances_train2017.json, MiB", [(i, pieces) for i in range(1, pieces + 1)]),
        ("parsing instances_train2017.json", []),
        ("checking annotations", [(2, 5), (4, 5), (5, 5)]),
        ("listing images", [(2, 2)])]  # fmt: skip
    assert len(dataset.image_info) == 2 and len(dataset.image_info[0]["annotations"]) == 5


def test_reading_a_single_file_is_reported_in_stages(tmp_path):
    stages = RecordedStages()
    path = write(tmp_path, [annotation(1)]) / "annotations" / "instances_train2017.json"
    mrcnn.datasets.open(path, "coco", images=tmp_path / "train2017", progress=stages)
    assert stages.of("checking annotations") == [[(1, 1)]] and stages.of("listing images") == [[(2, 2)]]


def test_images_option_with_a_folder_that_contains_its_images_is_rejected(tmp_path):
    write(tmp_path, [annotation(1)])
    with pytest.raises(DataError, match=r"omit the folder of images, elsewhere \(--images\), or give the path"):
        mrcnn.datasets.open(tmp_path, "coco", images="elsewhere")


def test_missing_annotation_file_lists_the_existing_ones(tmp_path):
    folder = write(tmp_path, [])
    with pytest.raises(DataError, match="instances_val2017.json does not exist; its folder has instances_train2017"):
        CocoDataset().load_coco(folder, "val", 2017)
    with pytest.raises(DataError, match="has no annotation files"):
        CocoDataset().load_coco(tmp_path / "nowhere", "val", 2017)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "has no list 'images'"),
        ('{"images": [], "annotations": []}', "has no list 'categories'"),
        ('{"images": [{"id": 1, "height": 4, "width": 4}], "annotations": [], "categories": []}', "has no field 'file_name'"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [], "categories": []}', "has no field 'height'"),
    ],
)
def test_file_that_is_not_in_coco_format_is_an_error(tmp_path, content, message):
    folder = write(tmp_path, [])
    (folder / "annotations" / "instances_train2017.json").write_text(content)
    with pytest.raises(DataError, match=message):
        CocoDataset().load_coco(folder, "train", 2017, all_images=True)


def test_duplicate_image_id_is_an_error(tmp_path):
    image = {"id": 7, "file_name": "7.png", "height": 40, "width": 60}
    with pytest.raises(DataError, match="images: entries 0 and 1 have the same id 7"):
        load(write(tmp_path, [], [image, image]))


def test_image_of_a_different_size_than_annotated_is_an_error(tmp_path):
    images = [{"id": 7, "file_name": "7.png", "height": 60, "width": 40}]
    dataset = load(write(tmp_path, [annotation(1)], images))
    with pytest.raises(DataError, match=r"file is of size \(40, 60\) .* annotations say \(60, 40\)"):
        make_sample(dataset, 0, SampleSettings("none", num_classes=4))


def test_subclass_that_overrides_only_load_mask(tmp_path):
    class Halved(CocoDataset):
        def load_mask(self, image_id):
            return np.ones((*SIZE, 1), bool), np.array([2])

    dataset = Halved()
    dataset.load_coco(write(tmp_path, [annotation(1)]), "train", 2017, all_images=True)
    dataset.prepare()
    assert make_sample(dataset, 0, SampleSettings("none", num_classes=4))[2].tolist() == [2]
    assert [truth["class_id"] for truth in dataset.ground_truth(0)] == [2]
    assert dataset.num_instances(1) is None


def test_images_of_another_source_can_be_added(tmp_path):
    class Mixed(CocoDataset):
        def load_mask(self, image_id):
            if self.image_info[image_id]["source"] != "mine":
                return super().load_mask(image_id)
            return np.ones((*SIZE, 1), bool), np.array([self.map_source_class_id("mine.a")])

    dataset = Mixed()
    dataset.load_coco(write(tmp_path, [annotation(1)]), "train", 2017, all_images=True)
    dataset.add_class("mine", "a", "axe")
    dataset.add_image("mine", 0, str(tmp_path / "train2017" / "7.png"))
    dataset.prepare()
    samples = [make_sample(dataset, i, SampleSettings("none", num_classes=5)) for i in (0, 2)]
    assert [s[2].tolist() for s in samples] == [[1], [4]]
    assert [s[1][12:].tolist() for s in samples] == [[1, 1, 1, 1, 0], [1, 0, 0, 0, 1]]


@st.composite
def coco_content(draw):
    """Draw a valid file of one to three images, and the masks and class ids of each image."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    images, annotations, expected = [], [], []
    for i in range(draw(st.integers(1, 3))):
        h, w = (int(v) for v in rng.integers(1, 40, 2))
        number = 100 - i if draw(st.booleans()) else f"i{i}"
        images.append({"id": number, "file_name": f"{i}.png", "height": h, "width": w})
        expected.append([])
        for form in draw(st.lists(st.sampled_from(["polygon", "packed", "runs"]), max_size=3)):
            mask = np.zeros((h, w), bool)
            y1, x1 = int(rng.integers(h)), int(rng.integers(w))
            y2, x2 = int(rng.integers(y1, h)) + 1, int(rng.integers(x1, w)) + 1
            mask[y1:y2, x1:x2] = True
            if form == "polygon":
                segmentation = [[x1, y1, x2, y1, x2, y2, x1, float(y2)]]
            else:
                mask &= rng.random((h, w)) < 0.7
                segmentation = encode_mask(mask)
                if form == "runs":
                    segmentation["counts"] = run_lengths(segmentation).tolist()
            crowd, category = int(form == "runs" and draw(st.booleans())), draw(st.sampled_from([3, 8]))
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "iscrowd": crowd,
                                "segmentation": segmentation})  # fmt: skip
            if mask.any():
                expected[-1].append((mask, (-1 if crowd else 1) * {3: 1, 8: 2}[category]))
    content = {"images": images, "annotations": annotations,
               "categories": [{"id": 8, "name": "dog"}, {"id": 3, "name": "cat"}]}  # fmt: skip
    return content, expected


@given(coco_content())
def test_written_instances_are_read_back(tmp_path_factory, valid):
    content, expected = valid
    path = tmp_path_factory.mktemp("coco") / "a.json"
    path.write_text(json.dumps(content))
    dataset = mrcnn.datasets.open(path)
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.skipped == []
    for image_id, (image, instances) in enumerate(zip(content["images"], expected, strict=True)):
        masks, class_ids = dataset.load_mask(image_id)
        assert class_ids.tolist() == [class_id for _, class_id in instances]
        assert masks.shape == (image["height"], image["width"], len(instances))
        for i, (mask, _) in enumerate(instances):
            np.testing.assert_array_equal(masks[:, :, i], mask)


@settings(max_examples=150)
@given(st.data())
def test_damage_raises_a_data_error_or_is_skipped(tmp_path_factory, data):
    content, _ = data.draw(coco_content())
    path = tmp_path_factory.getbasetemp() / "damaged coco" / "damaged.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(data.draw(damaged_json(content)))
    try:
        dataset = open_subset(path)
    except DataError as error:
        assert "damaged.json" in str(error)
        return
    dataset.prepare()
    use_all_of(dataset)


@pytest.mark.parametrize("name, address", [
    ("000000000139.jpg", True), ("COCO_val2014_000000000139.jpg", True), ("139.jpg", False), ("000000000140.jpg", False)
])  # fmt: skip
def test_image_reference_is_an_address_for_images_of_coco(name, address):
    dataset = CocoDataset()
    dataset.add_image("coco", 139, f"somewhere/{name}")
    assert dataset.image_reference(0) == ("https://cocodataset.org/#explore?id=139" if address else name)


def use_all_of(dataset):
    """Call every method for every image. `load_image` may fail, because there are no image files."""
    for image_id in dataset.image_ids:
        size = dataset.image_size(image_id)
        segmentations, class_ids = dataset.load_instances(image_id)
        assert len([as_instance(segmentation, size) for segmentation in segmentations]) == len(class_ids)
        masks, drawn_ids = dataset.load_mask(image_id)
        assert masks.shape == (*size, len(drawn_ids)) and len(drawn_ids) <= len(class_ids)
        assert len(dataset.ground_truth(image_id)) == len(class_ids) >= dataset.num_instances(image_id)
        assert dataset.image_reference(image_id)
        with pytest.raises(DataError, match="does not exist"):
            dataset.load_image(image_id)


def test_recognise_tells_coco_from_other_files(tmp_path):
    path = tmp_path / "a.json"
    valid = {"images": [{"id": 1}], "annotations": [{"id": 1}], "categories": [{"id": 1}]}
    for change, reason in [
        ({}, None), ({"annotations": []}, None), ({"annotations": [{"segments_info": []}]}, "panoptic"),
        ({"categories": [{"id": 1, "frequency": "r"}]}, None), ({"images": [{"id": 1, "neg_category_ids": []}]}, "LVIS"),
    ]:  # fmt: skip
        path.write_text(json.dumps({**valid, **change}))
        assert recognise(path) is None if reason is None else reason in recognise(path)
    path.write_text('{"images": [], "annotations": []}')
    assert recognise(path) == "the JSON has no 'categories'"
    assert "not a folder or a .json" in recognise(tmp_path.joinpath("x.txt"))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_.json").write_text("{}")
    assert "no annotations/instances_" in recognise(tmp_path) and subsets(tmp_path) == []


@pytest.fixture(scope="module")
def tiny_coco():
    return load(shared_path("data/tiny_coco"))


def test_photographs_have_known_classes_and_counts(tiny_coco):
    assert tiny_coco.num_classes == 81 and tiny_coco.num_images == 32 and tiny_coco.skipped == []
    assert tiny_coco.class_names[:2] == ["BG", "person"] and tiny_coco.class_names[80] == "toothbrush"
    truth = [t for i in tiny_coco.image_ids for t in tiny_coco.ground_truth(i)]
    assert len(truth) == 288 and sum(t["iscrowd"] for t in truth) == 4


def test_photographs_have_the_masks_of_pycocotools(tiny_coco):
    coco = load(shared_path("data/tiny_coco")).load_coco(shared_path("data/tiny_coco"), "train", 2017, return_coco=True)
    for image_id in tiny_coco.image_ids:
        annotations = coco.loadAnns(coco.getAnnIds(tiny_coco.image_info[image_id]["id"]))
        expected = [coco.annToMask(a).astype(bool) for a in annotations]
        expected = [mask for mask in expected if mask.any()]
        masks, class_ids = tiny_coco.load_mask(image_id)
        assert len(class_ids) == len(expected)
        if expected:
            np.testing.assert_array_equal(masks, np.stack(expected, axis=2))


def test_mini_masks_of_photographs_from_polygons_and_from_dense_masks_agree(tiny_coco):
    class Dense(CocoDataset):
        def load_mask(self, image_id):
            return super().load_mask(image_id)

    dense = Dense()
    dense.load_coco(shared_path("data/tiny_coco"), "train", 2017, all_images=True)
    dense.prepare()
    settings = SampleSettings("square", 400, 512, mini_mask_shape=(56, 56), num_classes=81)
    agreement = []
    for image_id in tiny_coco.image_ids:
        ours, theirs = (make_sample(d, image_id, settings) for d in (tiny_coco, dense))
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
        if ours[2].tolist() == theirs[2].tolist() and len(ours[2]):
            gap = np.abs(ours[3] - theirs[3])  # a thin spike of an outline may cover no pixel centre of the original
            assert gap.max() <= 4 and gap.mean() < 0.7
            agreement += list((ours[4] & theirs[4]).sum((1, 2)) / np.maximum((ours[4] | theirs[4]).sum((1, 2)), 1))
    assert len(agreement) > 250 and np.mean(agreement) > 0.9


def test_full_size_masks_of_photographs_agree_with_their_mini_masks(tiny_coco):
    settings = dict(resize_mode="square", min_dim=800, max_dim=1024, num_classes=81)
    for image_id in range(0, 32, 4):
        mini = make_sample(tiny_coco, image_id, SampleSettings(mini_mask_shape=(56, 56), **settings))
        full = make_sample(tiny_coco, image_id, SampleSettings(mini_mask_shape=None, **settings))
        assert full[0].shape == (1024, 1024, 3) and full[1].shape == (93,) and full[4].shape[1:] == (1024, 1024)
        np.testing.assert_array_equal(mini[3], full[3])
        if len(full[2]):
            assert np.abs(extract_bboxes(np.moveaxis(full[4], 0, -1)) - full[3]).max() <= 3  # thin corners may vanish
            assert (minimize_mask(full[3], np.moveaxis(full[4], 0, -1), (56, 56)) != np.moveaxis(mini[4], 0, -1)).mean() < 0.03


def test_every_photograph_is_loaded_once_per_pass(tiny_coco):
    target = TargetSettings(np.array([[0.0, 0, 64, 64]]), 4, np.ones(4), 100)
    loader = Loader(tiny_coco, SampleSettings("square", 200, 256, num_classes=81), target, 5)  # 30 images, in six full batches
    seen = sorted(int(i) for step in range(len(loader)) for i in loader[step][1][:, 0])
    assert seen == sorted(set(range(32)) - {25, 29}) and loader.empty == {25, 29} and not loader.broken


def test_classic_generator_yields_classic_shapes_at_the_default_size(tiny_coco):
    shapes = backbone_shapes((1024, 1024), (4, 8, 16, 32, 64))
    anchors = generate_pyramid_anchors((32, 64, 128, 256, 512), (0.5, 1, 2), shapes, (4, 8, 16, 32, 64), 1)
    std = np.array([0.1, 0.1, 0.2, 0.2])
    batches = data_generator(
        tiny_coco,
        SampleSettings("square", 800, 1024, 0, (56, 56), 81),
        TargetSettings(anchors, 256, std, 100),
        batch_size=2,
        random_rois=2000,
        detection=DetectionTargetSettings(200, 0.33, 81, std, (28, 28), True),
        seed=0,
    )
    inputs, outputs = next(batches)
    assert [(a.shape, str(a.dtype)) for a in inputs + outputs] == [
        ((2, 1024, 1024, 3), "float32"),
        ((2, 93), "float64"),
        ((2, 261888, 1), "int32"),
        ((2, 256, 4), "float64"),
        ((2, 100), "int32"),
        ((2, 100, 4), "int32"),
        ((2, 56, 56, 100), "bool"),
        ((2, 2000, 4), "int32"),
        ((2, 200, 4), "int32"),
        ((2, 200, 1), "int32"),
        ((2, 200, 81, 4), "float32"),
        ((2, 200, 28, 28, 81), "float32"),
    ]
    assert ((outputs[0] > 0).mean(axis=(1, 2)) == 0.33).all()
    assert (np.abs(inputs[2]).sum(axis=(1, 2)) == 256).all()


@pytest.mark.parametrize("write_id", [str, float, lambda number: f"{number}.0"])
@pytest.mark.parametrize("of_images", [True, False])
def test_ids_that_are_written_differently_in_two_lists_are_matched_and_reported_once(tmp_path, write_id, of_images):
    """Web tools write each id as text, data frames turn 1 into 1.0."""
    images = [{"id": i, "file_name": f"{i}.png", "height": 40.0, "width": 60.0} for i in (7, 9)]
    first, second = annotation(1), annotation(2, image_id=9, category_id=8)
    for entry in images if of_images else (first, second):
        key = "id" if of_images else "image_id"
        entry[key] = write_id(entry[key])
    if not of_images:
        first["category_id"] = write_id(3)
    dataset = CocoDataset()
    pycoco = dataset.load_coco(write(tmp_path, [first, second], images), "train", year=2017, return_coco=True)
    dataset.prepare()
    assert dataset.skipped == [] and dataset.num_images == 2
    assert dataset.image_size(0) == (40, 60) and type(dataset.image_info[0]["height"]) is int
    assert [dataset.load_mask(i)[1].tolist() for i in range(2)] == [[1], [2]]
    assert [dataset.ground_truth(i)[0]["class_id"] for i in range(2)] == [1, 2]
    assert [dataset.num_instances(i) for i in range(2)] == [1, 1]
    (about,) = [note for place, note in dataset.notes if str(place).endswith("images")]
    assert about == "2 entries have whole numbers with a decimal point, such as 1.0, read as 1"
    is_reread = of_images and write_id is not float or not of_images
    assert len({note for place, note in dataset.notes if place == 1}) == (is_reread and 1 + (not of_images))
    assert len(pycoco.getAnnIds(imgIds=[dataset.image_info[0]["id"]])) == 1


def test_a_class_is_found_by_an_id_of_another_kind_in_the_list_of_wanted_classes(tmp_path):
    folder = write(tmp_path, [annotation(1, category_id="3"), annotation(2, image_id=9, category_id=8.0)])
    dataset = load(folder, class_ids=[8])
    assert [info["id"] for info in dataset.image_info] == [9] and dataset.load_mask(0)[1].tolist() == [1]


def test_ids_that_cannot_be_matched_say_of_which_kind_they_are(tmp_path):
    dataset = load(write(tmp_path, [annotation(1, image_id="a"), annotation(2, image_id="9x"), annotation(3, image_id="8")]))
    assert dataset.skipped == [(1, "its image_id is text, but the ids of the images are numbers"),
                               (2, "its image_id is text, but the ids of the images are numbers"),
                               (3, "its image_id is not among the images")]  # fmt: skip


def test_images_whose_files_cannot_be_found_are_skipped_and_the_others_are_read(tmp_path):
    names = ["../7.png", "/home/me/7.png", "https://host.example/7.png", "x.png", "there.png"]
    images = [{"id": i, "file_name": name, "height": 40, "width": 60} for i, name in enumerate(names)]
    path = tmp_path / "set" / "a.json"
    (tmp_path / "set" / "photographs").mkdir(parents=True)
    annotations = [annotation(i, image_id=i) for i in range(5)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}))
    for outside in ("7.png", "set/photographs/there.png"):
        assert cv2.imwrite(str(tmp_path / outside), np.zeros((*SIZE, 3), np.uint8))
    dataset = mrcnn.datasets.open(path)
    assert [(info["id"], info["path"]) for info in dataset.image_info] == [
        (3, str(tmp_path / "set" / "x.png")), (4, str(tmp_path / "set" / "photographs" / "there.png"))]  # fmt: skip
    assert dataset.load_image(1).shape == (40, 60, 3) and dataset.load_mask(1)[1].tolist() == [1]
    (outside, first), (_, second), (url, third) = dataset.skipped
    assert outside == "image 0, '../7.png'" and "leads out of the data set's folder" in first and first == second
    assert url == "image 2, 'https://host.example/7.png'" and "is a URL" in third
    assert dataset.notes == [("image 4, 'there.png'", "its file is not where its file_name says, but was found by its name in "
                              "photographs/")]  # fmt: skip
    allowed = mrcnn.datasets.open(path, allow_outside=True)
    assert [info["id"] for info in allowed.image_info] == [0, 1, 3, 4] and allowed.load_image(0).shape == (40, 60, 3)


def test_a_set_without_any_image_says_what_was_skipped(tmp_path):
    content = {"images": [{"id": 1, "file_name": "../a.png", "height": 4, "width": 4}], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"a.json holds no images. 1 was skipped: image 1, '../a.png': the image"):
        mrcnn.datasets.open(tmp_path / "a.json")


def test_a_file_in_another_encoding(tmp_path):
    content = {"images": [{"id": 7, "file_name": "7.png", "height": 40, "width": 60}], "annotations": [annotation(1)],
               "categories": [{"id": 3, "name": "汽车"}]}  # fmt: skip
    (tmp_path / "a.json").write_bytes(json.dumps(content, ensure_ascii=False).encode("gb18030"))
    with pytest.raises(DataError, match="a.json is not UTF-8 text: give its encoding .*gb18030, which reads '汽车'"):
        mrcnn.datasets.open(tmp_path / "a.json")
    dataset = mrcnn.datasets.open(tmp_path / "a.json", encoding="gb18030")
    assert dataset.class_names == ["BG", "汽车"] and dataset.load_mask(0)[1].tolist() == [1]
