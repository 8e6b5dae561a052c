"""Which images hold a class, and batches of images with their class maps, against rectangles drawn by hand."""
import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from mrcnn.data.errors import DataError
from mrcnn.data.semantic.augment import SemanticAugmentation
from mrcnn.data.semantic.batches import SemanticBatches, class_list, filter_images, make_semantic_sample, number_classes
from tests.data.scenes import Scenes, scenes
from tests.shared_data import shared_path

RED, GREEN, BLUE = 1, 2, 3
# image 0: red, and blue over its lower right; image 1: green; image 2: nothing; image 3: a crowd of reds; image 4: blue
SCENES = (
    [(RED, 4, 10, 24, 40), (BLUE, 14, 30, 34, 60)], [(GREEN, 0, 0, 10, 10)], [], [(-RED, 20, 0, 40, 60)],
    [(BLUE, 0, 0, 40, 2), (GREEN, 2, 2, 8, 8)],
)  # fmt: skip


@pytest.mark.parametrize("classes, expected", [
    (None, [0, 1, 2, 3, 4]),
    (["red"], [0, 3]),
    ("red", [0, 3]),
    (["green", "blue"], [0, 1, 4]),
])  # fmt: skip
def test_images_that_hold_a_class_each_once(classes, expected):
    dataset, ids = filter_images(scenes(*SCENES), classes)
    assert ids.dtype == np.int64 and sorted(ids.tolist()) == expected and dataset.num_images == 5


def test_the_order_follows_from_the_seed():
    dataset = scenes(*[[(RED, 0, 0, 9, 9)]] * 30)
    orders = [filter_images(dataset, ["red"], seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize("classes, said", [
    (["red", "pink"], "no class 'pink'; it has red, green, blue"),
    (["red", "red"], "'red' is asked for twice"),
    (["BG"], "no class 'BG'"),
    ([], "no class is asked for"),
])  # fmt: skip
def test_classes_that_cannot_be_found_are_told(classes, said):
    with pytest.raises(DataError, match=said):
        filter_images(scenes(*SCENES), classes)


def test_no_image_at_all_is_told():
    with pytest.raises(DataError, match="no image holds any of the classes green, blue"):
        filter_images(scenes([(RED, 0, 0, 9, 9)]), ["green", "blue"])
    with pytest.raises(DataError, match="has no images"):
        filter_images(Scenes())
    with pytest.raises(ValueError, match="an open data set was given"):
        filter_images(scenes(*SCENES), ["red"], "train")


class Broken(Scenes):
    """Image 1 has no pixels, and the masks of image 3 cannot be read."""

    def load_image(self, image_id):
        if image_id == 1:
            raise DataError("it is torn")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        if image_id == 3:
            raise OSError("the disk is gone")
        return Scenes.load_mask(self, image_id)


def test_an_image_whose_instances_cannot_be_read_is_left_out(caplog):
    _, ids = filter_images(scenes(*SCENES, cls=Broken), ["red"])
    assert ids.tolist() == [0] and "image 3" in caplog.text and "the disk is gone" in caplog.text


def test_numbers_of_classes():
    dataset = scenes(*SCENES)
    assert number_classes(dataset).tolist() == [0, 1, 2, 3]
    assert number_classes(dataset, ["blue", "red"]).tolist() == [0, 2, 0, 1]
    assert number_classes(dataset, ["blue", "red"], "binary").tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="mask_type is 'both', expected binary or normal"):
        number_classes(dataset, None, "both")


def test_classes_of_one_name_in_two_sources_are_one():
    dataset = scenes()
    dataset.add_class("other", 7, "green")
    dataset.add_class("other", 8, "grey")
    dataset.prepare()
    assert class_list(dataset) == ["red", "green", "blue", "grey"]
    assert number_classes(dataset).tolist() == [0, 1, 2, 3, 2, 4]


def test_a_map_by_hand():
    numbers = number_classes(scenes(), ["blue", "red"])
    image, class_map = make_semantic_sample(scenes(*SCENES), 0, (20, 30), numbers)
    expected = np.zeros((20, 30), int)
    expected[7:17, 15:30] = 1
    expected[2:12, 5:20] = 2  # asked for last, and so on top, though blue has the higher id and is drawn over it
    assert class_map.dtype == np.int32
    np.testing.assert_array_equal(class_map, expected)
    grey = np.full((20, 30), 10)
    grey[2:12, 5:20] = 50
    grey[7:17, 15:30] = 150
    assert image.dtype == np.float32 and image.shape == (20, 30, 3)
    np.testing.assert_allclose(image, np.repeat(grey[:, :, None] / 255, 3, axis=2), rtol=1e-6)


def test_crowds_belong_to_their_class():
    _, class_map = make_semantic_sample(scenes(*SCENES), 3, (4, 6), np.array([0, 5, 0, 0]))
    np.testing.assert_array_equal(class_map, np.repeat([[0], [0], [5], [5]], 6, axis=1))


class OneImage(Scenes):
    """Shows the image that it is given, with red all over."""

    def load_image(self, image_id):
        return self.picture

    def load_mask(self, image_id):
        return np.ones((*self.picture.shape[:2], 1), bool), np.array([RED])


def sample_of(picture, size):
    dataset = scenes([], cls=OneImage)
    dataset.picture = picture
    return make_semantic_sample(dataset, 0, size, np.array([0, 1, 0, 0]))[0]


RAMP = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize("picture", [
    RAMP, RAMP[:, :, None], np.dstack([RAMP, RAMP]), np.dstack([RAMP] * 3), np.dstack([RAMP] * 3 + [RAMP * 0]),
    RAMP.astype(np.uint16) * 257, RAMP.astype(np.float64) / 255, (RAMP / 255).astype(np.float16),
], ids=["grey", "one channel", "grey and alpha", "RGB", "RGBA", "16 bits", "floats", "half floats"])  # fmt: skip
def test_images_of_any_kind_become_rgb_from_0_to_1(picture):
    image = sample_of(picture, (2, 3))
    assert image.dtype == np.float32 and image.shape == (2, 3, 3)
    np.testing.assert_allclose(image, np.dstack([RAMP] * 3) / 255, atol=3e-4)


def test_an_image_of_bits_is_black_and_white():
    np.testing.assert_array_equal(sample_of(RAMP > 100, (2, 3))[:, :, 1], RAMP > 100)


@pytest.mark.parametrize("picture, said", [
    (RAMP.astype(np.float32), "image 0 .*holds floats from 0 to 255, expected 0 to 1"),
    (np.full((2, 3), np.nan), "holds floats from nan"),
    (RAMP.astype(np.int64), "the image is int64"),
    (np.zeros((2, 3, 5), np.uint8), "has 5 channels"),
])  # fmt: skip
def test_images_that_cannot_be_taken_are_named(picture, said):
    with pytest.raises(DataError, match=said):
        sample_of(picture, (2, 3))


def test_a_smaller_image_is_the_mean_of_its_pixels():
    np.testing.assert_allclose(sample_of(RAMP, (1, 1))[0, 0], 127.5 / 255, atol=0.002)


def batches_of(dataset=None, input_size=(8, 12), batch_size=3, **arguments):
    return SemanticBatches(dataset or scenes(*SCENES * 2), input_size, batch_size, **arguments)


def seen(batches, epoch):
    return [batches[epoch * len(batches) + i] for i in range(len(batches))]


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own():
    dataset = scenes(*[[(RED, i, 0, i + 1, 60)] for i in range(20)])  # the row of red tells the image
    batches = batches_of(dataset, (40, 6), 3)
    orders = []
    for epoch in range(3):
        made = seen(batches, epoch)
        assert [len(images) for images, _ in made] == [3] * 6 + [2]
        orders.append([int(np.flatnonzero(mask[:, 0, 0])[0]) for _, masks in made for mask in masks])
        assert sorted(orders[-1]) == list(range(20))
    assert orders[0] != orders[1] != orders[2]
    assert orders[1] == batches.order(1).tolist()
    fixed = batches_of(dataset, (40, 6), 3, shuffle=False, image_ids=[4, 9, 2])
    assert [int(np.flatnonzero(mask[:, 0, 0])[0]) for mask in fixed[5][1]] == [4, 9, 2]


def test_batches_are_of_the_kind_that_models_take():
    images, masks = batches_of(classes=["red", "blue"], mask_type="normal")[0]
    assert images.shape == (3, 8, 12, 3) and images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1
    assert masks.shape == (3, 8, 12, 1) and masks.dtype == np.int32
    named = batches_of(classes=["red", "blue"], mask_type="normal")
    assert named.class_names == ["background", "red", "blue"] and sorted(named.image_ids) == [0, 3, 4, 5, 8, 9]
    assert batches_of(classes=["red", "blue"]).class_names == ["background", "red or blue"]


AUGMENTATION = {"rotation_range": 30, "zoom_range": 0.3, "width_shift_range": 0.2, "horizontal_flip": True}


def test_a_batch_follows_from_seed_and_step_whoever_makes_it_and_when():
    expected = [batches_of(augmentation=AUGMENTATION)[step] for step in range(12)]
    with ThreadPoolExecutor(4) as pool:
        batches = batches_of(augmentation=AUGMENTATION)
        backwards = list(pool.map(batches.__getitem__, range(11, -1, -1)))[::-1]
    pickled = pickle.loads(pickle.dumps(batches))
    by_threads = batches_of(augmentation=AUGMENTATION, workers=3)
    for step, (images, masks) in enumerate(expected):
        for other in (backwards[step], pickled[step], by_threads[step]):
            np.testing.assert_array_equal(images, other[0])
            np.testing.assert_array_equal(masks, other[1])
    other_seed = batches_of(augmentation=AUGMENTATION, seed=1)
    assert any((other_seed[i][0] != expected[i][0]).any() for i in range(4))


def test_augmentation_differs_from_epoch_to_epoch():
    batches = batches_of(scenes(SCENES[0]), batch_size=1, augmentation=AUGMENTATION)
    assert (batches[0][0] != batches[1][0]).any()


def test_the_next_good_image_stands_in_for_a_broken_one(caplog):
    dataset = scenes(*SCENES, cls=Broken)
    batches = batches_of(dataset, (40, 60), 5, shuffle=False, image_ids=[0, 1, 3, 4])
    with caplog.at_level(logging.WARNING):
        (_, masks), _ = batches[0], batches[1]
    assert len(masks) == 4 and set(batches.broken) == {1, 3}
    assert len([record for record in caplog.records if "left out" in record.message]) == 2
    for stand_in in masks[1:3]:
        np.testing.assert_array_equal(stand_in, masks[3])
    with pytest.raises(DataError, match="none of the 2 images can be used; the first: image 1 .*it is torn"):
        batches_of(dataset, image_ids=[1, 3], shuffle=False)[0]


@pytest.mark.parametrize("arguments, said", [
    ({"input_size": (8,)}, r"input_size is \(8,\), expected \(height, width\)"),
    ({"input_size": (8, 1.5)}, "input_size"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"image_ids": []}, "image_ids is empty"),
    ({"augmentation": {"rotate": 3}}, "no argument 'rotate'"),
])  # fmt: skip
def test_arguments_out_of_range_are_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        batches_of(**arguments)
    with pytest.raises(IndexError, match="counts from 0"):
        batches_of()[-1]


rectangles = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, -2]), st.integers(0, 30), st.integers(0, 50), st.integers(1, 10), st.integers(1, 10)),
    max_size=5,
)


@given(rectangles, st.tuples(st.integers(1, 50), st.integers(1, 70)), st.integers(0, 99),
       st.sampled_from([None, ("blue", "red"), ("green",)]), st.sampled_from(["binary", "normal"]))
def test_masks_hold_no_class_that_the_image_does_not_hold(found, size, seed, classes, mask_type):
    dataset = scenes([(c, y, x, y + h, x + w) for c, y, x, h, w in found])
    numbers = number_classes(dataset, classes, mask_type)
    allowed = {0} | {int(numbers[abs(c)]) for c, *_ in found}
    for augmentation in (None, SemanticAugmentation(**AUGMENTATION, fill_mode="constant", cval=200)):
        _, class_map = make_semantic_sample(dataset, 0, size, numbers, augmentation, seed)
        assert class_map.shape == size and set(np.unique(class_map)) <= allowed
    straight = make_semantic_sample(dataset, 0, (40, 60), numbers)[1]
    for number in np.unique(straight):
        assert number == 0 or number in numbers[[abs(c) for c, *_ in found]]


def test_coco_folder_polygons_and_runs(tmp_path):
    """A folder in COCO's layout, grey files: a polygon of cats and an RLE of dogs, drawn at half the size."""
    runs = {"size": [8, 12], "counts": [8 * 6, 8 * 2, 8 * 4]}  # columns 6 and 7
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 5, "iscrowd": 0, "segmentation": [[2, 2, 8, 2, 8, 6, 2, 6]]},
        {"id": 2, "image_id": 1, "category_id": 9, "iscrowd": 1, "segmentation": runs},
    ]
    content = {"images": [{"id": i, "file_name": f"{i}.png", "height": 8, "width": 12} for i in (1, 2)],
               "annotations": annotations, "categories": [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}]}  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    (tmp_path / "train2017").mkdir()
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / "train2017" / f"{i}.png"), np.full((8, 12), 51 * i, np.uint8))
    dataset, ids = filter_images(tmp_path, ["cat", "dog"], "train")
    assert [dataset.image_info[i]["id"] for i in ids] == [1]
    (image,), (mask,) = SemanticBatches(dataset, (4, 6), 1, classes=["cat", "dog"], mask_type="normal", image_ids=ids)[0]
    np.testing.assert_allclose(image, 0.2, rtol=1e-6)
    np.testing.assert_array_equal(mask[:, :, 0], [[0, 0, 0, 2, 0, 0],
                                                  [0, 1, 1, 2, 0, 0],
                                                  [0, 1, 1, 2, 0, 0],
                                                  [0, 0, 0, 2, 0, 0]])  # fmt: skip


def test_real_images_against_pycocotools():
    folder = shared_path("data/tiny_coco")
    coco = COCO(str(folder / "annotations" / "instances_train2017.json"))
    names = ["person", "bus"]
    by_name = [coco.getCatIds(catNms=[name])[0] for name in names]
    dataset, ids = filter_images(folder, names, "train")
    expected = set(coco.getImgIds(catIds=by_name[:1])) | set(coco.getImgIds(catIds=by_name[1:]))
    assert {dataset.image_info[i]["id"] for i in ids} == expected and len(ids) == len(expected)
    numbers = number_classes(dataset, names)
    for i in ids[:4].tolist():
        info = dataset.image_info[i]
        image, class_map = make_semantic_sample(dataset, i, (info["height"], info["width"]), numbers)
        np.testing.assert_array_equal(image, dataset.load_image(i) / np.float32(255))
        drawn = np.zeros_like(class_map)
        for k, category in enumerate(by_name, start=1):
            for annotation in coco.loadAnns(coco.getAnnIds(imgIds=info["id"], catIds=category)):
                drawn[coco.annToMask(annotation) > 0] = k
        np.testing.assert_array_equal(class_map, drawn)
