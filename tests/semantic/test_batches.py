"""The selection of images, and batches that depend only on seed and step."""
import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.semantic.batches import SemanticBatches, class_list, filter_images, number_classes
from tests.loading.scenes import Scenes, scenes
from tests.semantic.drawn import AUGMENTATION, RED, SCENES, Broken


@pytest.mark.parametrize("classes, expected", [
    (None, [0, 1, 2, 3, 4]),
    (["red"], [0, 3]),
    ("red", [0, 3]),
    (["green", "blue"], [0, 1, 4]),
])  # fmt: skip
def test_filter_images_selects_images_with_a_class(classes, expected):
    dataset, ids = filter_images(scenes(*SCENES), classes)
    assert ids.dtype == np.int64 and sorted(ids.tolist()) == expected and dataset.num_images == 5


def test_order_depends_on_the_seed():
    dataset = scenes(*[[(RED, 0, 0, 9, 9)]] * 30)
    orders = [filter_images(dataset, ["red"], seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize("classes, message", [
    (["red", "pink"], "no class 'pink'; it has red, green, blue"),
    (["red", "red"], "'red' is given twice"),
    (["BG"], "no class 'BG'"),
    ([], "classes is empty"),
])  # fmt: skip
def test_invalid_classes_are_errors(classes, message):
    with pytest.raises(DataError, match=message):
        filter_images(scenes(*SCENES), classes)


def test_no_images_is_an_error():
    with pytest.raises(DataError, match="no image has any of the classes green, blue"):
        filter_images(scenes([(RED, 0, 0, 9, 9)]), ["green", "blue"])
    with pytest.raises(DataError, match="has no images"):
        filter_images(Scenes())
    with pytest.raises(ValueError, match="source is an open Dataset"):
        filter_images(scenes(*SCENES), ["red"], "train")


def test_image_with_unreadable_instances_is_skipped(caplog):
    _, ids = filter_images(scenes(*SCENES, cls=Broken), ["red"])
    assert ids.tolist() == [0] and "image 3" in caplog.text and "the disk is gone" in caplog.text


def test_number_classes():
    dataset = scenes(*SCENES)
    assert number_classes(dataset).tolist() == [0, 1, 2, 3]
    assert number_classes(dataset, ["blue", "red"]).tolist() == [0, 2, 0, 1]
    assert number_classes(dataset, ["blue", "red"], "binary").tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="mask_type is 'both', expected binary or normal"):
        number_classes(dataset, None, "both")


def test_classes_with_the_same_name_in_two_sources_are_one():
    dataset = scenes()
    dataset.add_class("other", 7, "green")
    dataset.add_class("other", 8, "grey")
    dataset.prepare()
    assert class_list(dataset) == ["red", "green", "blue", "grey"]
    assert number_classes(dataset).tolist() == [0, 1, 2, 3, 2, 4]


def batches_of(dataset=None, input_size=(8, 12), batch_size=3, **arguments):
    return SemanticBatches(dataset or scenes(*SCENES * 2), input_size, batch_size, **arguments)


def epoch_batches(batches, epoch):
    return [batches[epoch * len(batches) + i] for i in range(len(batches))]


def test_every_image_is_used_once_per_epoch_in_a_new_order():
    dataset = scenes(*[[(RED, i, 0, i + 1, 60)] for i in range(20)])  # the row of red identifies the image
    batches = batches_of(dataset, (40, 6), 3)
    orders = []
    for epoch in range(3):
        made = epoch_batches(batches, epoch)
        assert [len(images) for images, _ in made] == [3] * 6 + [2]
        orders.append([int(np.flatnonzero(mask[:, 0, 0])[0]) for _, masks in made for mask in masks])
        assert sorted(orders[-1]) == list(range(20))
    assert orders[0] != orders[1] != orders[2]
    assert orders[1] == batches.order(1).tolist()
    fixed = batches_of(dataset, (40, 6), 3, shuffle=False, image_ids=[4, 9, 2])
    assert [int(np.flatnonzero(mask[:, 0, 0])[0]) for mask in fixed[5][1]] == [4, 9, 2]


def test_shapes_dtypes_and_class_names():
    images, masks = batches_of(classes=["red", "blue"], mask_type="normal")[0]
    assert images.shape == (3, 8, 12, 3) and images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1
    assert masks.shape == (3, 8, 12, 1) and masks.dtype == np.int32
    named = batches_of(classes=["red", "blue"], mask_type="normal")
    assert named.class_names == ["background", "red", "blue"] and sorted(named.image_ids) == [0, 3, 4, 5, 8, 9]
    assert batches_of(classes=["red", "blue"]).class_names == ["background", "red or blue"]


def test_a_batch_depends_only_on_seed_and_step():
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


def test_a_broken_image_is_replaced_by_the_next_one(caplog):
    dataset = scenes(*SCENES, cls=Broken)
    batches = batches_of(dataset, (40, 60), 5, shuffle=False, image_ids=[0, 1, 3, 4])
    with caplog.at_level(logging.WARNING):
        (_, masks), _ = batches[0], batches[1]
    assert len(masks) == 4 and set(batches.broken) == {1, 3}
    assert len([record for record in caplog.records if "skipped in training" in record.message]) == 2
    for replacement in masks[1:3]:
        np.testing.assert_array_equal(replacement, masks[3])
    with pytest.raises(DataError, match="none of the 2 images is usable; the first: image 1 .*it is torn"):
        batches_of(dataset, image_ids=[1, 3], shuffle=False)[0]


@pytest.mark.parametrize("arguments, message", [
    ({"input_size": (8,)}, r"input_size is \(8,\), expected \(height, width\)"),
    ({"input_size": (8, 1.5)}, "input_size"),
    ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
    ({"image_ids": []}, "image_ids is empty"),
    ({"augmentation": {"rotate": 3}}, "no argument 'rotate'"),
    ({"ignore_label": 1}, "ignore_label is 1, .* above 1, the number of the last class"),
    ({"ignore_label": 3, "mask_type": "normal"}, "above 3"),
    ({"ignore_label": 2**16}, "up to 65535"),
])  # fmt: skip
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        batches_of(**arguments)
    with pytest.raises(IndexError, match="expected 0 or more"):
        batches_of()[-1]


def test_coco_folder_with_polygons_and_rle(tmp_path):
    """A COCO folder with grey images: a polygon of cats and an RLE of dogs, drawn at half the size."""
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
