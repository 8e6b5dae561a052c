"""The functions of the COCO semantic segmentation tutorial, called as its notebook calls them."""
import itertools
import json
import logging
import types

import cv2
import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from samples.semantic.coco_functions import augmentationsGenerator, dataGeneratorCoco, filterDataset, visualizeGenerator

CLASSES = ["laptop", "tv"]
CATEGORIES = [{"id": 63, "name": "couch"}, {"id": 72, "name": "tv"}, {"id": 73, "name": "laptop"}]
COUCH, TV, LAPTOP = 63, 72, 73
# image i has these (category, x, y, width, height); images 3 and 4 have neither a laptop nor a tv
OBJECTS = [
    [(TV, 0, 0, 20, 20), (LAPTOP, 10, 0, 20, 20)], [(LAPTOP, 8, 4, 16, 12)], [(TV, 8, 4, 16, 12), (COUCH, 24, 20, 16, 12)],
    [(COUCH, 0, 0, 40, 40)], [], [(TV, 0, 24, 40, 16)], [(LAPTOP, 0, 24, 8, 8)],
]  # fmt: skip
HEIGHT, WIDTH = 40, 48


@pytest.fixture
def folder(tmp_path):
    """The tutorial's layout: annotations/instances_<mode>.json and images/<mode>/. Image i is grey 10 * i; one file is grey."""
    return write(tmp_path, "images/{}", "instances_{}.json")


def write(folder, images, annotations):
    for mode in ("train", "val"):
        content = {"images": [], "annotations": [], "categories": CATEGORIES}
        (folder / images.format(mode)).mkdir(parents=True)
        for i, objects in enumerate(OBJECTS):
            shape = (HEIGHT, WIDTH) if i == 1 else (HEIGHT, WIDTH, 3)
            cv2.imwrite(str(folder / images.format(mode) / f"{i}.png"), np.full(shape, 10 * i, np.uint8))
            content["images"].append({"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH})
            for category, x, y, w, h in objects:
                content["annotations"].append({
                    "id": len(content["annotations"]) + 1, "image_id": i, "category_id": category, "iscrowd": 0, "area": w * h,
                    "bbox": [x, y, w, h], "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                })  # fmt: skip
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / annotations.format(mode)).write_text(json.dumps(content))
    return folder


def numbers(images):
    """Which image each one of a batch is, by its grey level."""
    return [round(float(image.max()) * 25.5) for image in images]


def test_images_with_at_least_one_of_the_classes_are_found_once(folder):
    images, dataset_size, coco = filterDataset(folder, CLASSES, "train")
    assert dataset_size == len(images) == 5
    assert sorted(image["id"] for image in images) == [0, 1, 2, 5, 6]
    assert images[0]["file_name"] == f"{images[0]['id']}.png"
    assert coco.getCatIds(catNms=["tv"]) == [TV] and len(coco.getAnnIds(imgIds=[0])) == 2
    assert filterDataset(folder, CLASSES, "train")[0] == images and filterDataset(folder, CLASSES, seed=1)[0] != images
    assert filterDataset(folder, mode="val")[1] == 7  # no classes: all images
    with pytest.raises(DataError, match="no class 'cat'"):
        filterDataset(folder, ["cat"], "train")


@pytest.mark.parametrize(("mask_type", "tv", "laptop"), [("normal", 2, 1), ("binary", 1, 1)])
def test_masks_hold_the_classes_asked_for(folder, mask_type, tv, laptop):
    images, _, coco = filterDataset(folder, CLASSES, "train")
    gen = dataGeneratorCoco(images, CLASSES, coco, folder, (WIDTH, HEIGHT), 5, "train", mask_type)
    assert isinstance(gen, types.GeneratorType)  # what `fit` of Keras takes
    pixels, masks = next(gen)
    assert pixels.shape == (5, HEIGHT, WIDTH, 3) and pixels.dtype == np.float32
    assert masks.shape == (5, HEIGHT, WIDTH, 1)
    expected = np.zeros((7, HEIGHT, WIDTH), int)
    expected[0, :20, :20], expected[0, :20, 20:30] = tv, laptop  # where they overlap, the higher number wins
    expected[1, 4:16, 8:24] = laptop
    expected[2, 4:16, 8:24] = tv  # and no couch
    expected[5, 24:, :40], expected[6, 24:32, :8] = tv, laptop
    order = numbers(pixels)
    assert sorted(order) == [0, 1, 2, 5, 6]
    np.testing.assert_array_equal(masks[..., 0], expected[order])
    greys = np.array(order)[:, None, None] * np.full((1, HEIGHT, WIDTH), 10 / 255)
    np.testing.assert_allclose(pixels[..., 0], greys, atol=1e-6)


def test_sizes_are_width_and_height(folder):
    images, _, coco = filterDataset(folder, CLASSES, "train")
    pixels, masks = next(dataGeneratorCoco(images, CLASSES, coco, folder, (24, 10), 2))
    assert pixels.shape == (2, 10, 24, 3) and masks.shape == (2, 10, 24, 1)


def test_batches_are_full_and_without_end_and_each_image_occurs_once_per_pass(folder):
    images, dataset_size, coco = filterDataset(folder, CLASSES, "val")
    gen = dataGeneratorCoco(images, CLASSES, coco, folder, (WIDTH, HEIGHT), batch_size=2, mode="val")
    seen = [numbers(pixels) for pixels, _ in itertools.islice(gen, 10)]
    assert [len(batch) for batch in seen] == [2] * 10
    order = sum(seen, [])
    passes = [order[start : start + dataset_size] for start in range(0, 20, dataset_size)]
    assert [sorted(one) for one in passes] == [[0, 1, 2, 5, 6]] * 4
    assert passes[0] != passes[1]


@pytest.mark.parametrize(("pictures", "annotations"), [
    ("{}2017", "instances_{}2017.json"), ("{}2014", "instances_{}2014.json"), ("{}", "instances_{}.json"),
    ("images/{}", "instances_{}2017.json"),
])  # fmt: skip
def test_layouts(tmp_path, pictures, annotations):
    folder = write(tmp_path, pictures, annotations)
    images, _, coco = filterDataset(str(folder), CLASSES, "val")
    assert sorted(numbers(next(dataGeneratorCoco(images, CLASSES, coco, str(folder), (8, 8), 5, "val"))[0])) == [0, 1, 2, 5, 6]


def test_missing_files_are_reported_by_name(folder, tmp_path):
    with pytest.raises(DataError, match="instances_test.json does not exist; its folder has instances_train.json"):
        filterDataset(folder, CLASSES, "test")
    images, _, coco = filterDataset(folder, CLASSES, "train")
    with pytest.raises(DataError, match="none of the 5 images is usable; the first: .*elsewhere"):
        next(dataGeneratorCoco(images, CLASSES, coco, tmp_path / "elsewhere", (8, 8), 2))


def test_batch_is_drawn(folder):
    images, _, coco = filterDataset(folder, CLASSES, "train")
    visualizeGenerator(dataGeneratorCoco(images, CLASSES, coco, folder, (WIDTH, HEIGHT), 5, mask_type="normal"))
    assert len(plt.gcf().axes) == 4 * 3  # for each of four images: image, mask and both
    plt.close("all")


TUTORIAL_ARGUMENTS = {
    "featurewise_center": False, "samplewise_center": False, "rotation_range": 5, "width_shift_range": 0.01,
    "height_shift_range": 0.01, "brightness_range": (0.8, 1.2), "shear_range": 0.01, "zoom_range": [1, 1.25],
    "horizontal_flip": True, "vertical_flip": False, "fill_mode": "reflect", "data_format": "channels_last",
}  # fmt: skip


def test_augmentation_of_the_tutorial(folder, caplog):
    images, _, coco = filterDataset(folder, CLASSES, "train")
    unchanged, *others = (dataGeneratorCoco(images, CLASSES, coco, folder, (WIDTH, HEIGHT), 5, mask_type="normal")
                      for _ in range(3))  # fmt: skip
    first, second = (augmentationsGenerator(gen, TUTORIAL_ARGUMENTS, seed=1) for gen in others)
    assert isinstance(first, types.GeneratorType)
    pixels, masks = next(first)
    again = next(second)
    np.testing.assert_array_equal(pixels, again[0])
    np.testing.assert_array_equal(masks, again[1])
    original = next(unchanged)
    assert pixels.shape == original[0].shape and masks.dtype == original[1].dtype
    assert set(np.unique(masks)) <= {0, 1, 2} and (masks != original[1]).any()
    assert pixels.min() >= 0 and pixels.max() <= 1 and not caplog.records  # no message about arguments without an effect


def test_flip_changes_images_and_masks_together():
    mask = np.zeros((16, 6, 8, 1), np.float64)  # like the generator of the tutorial
    mask[:, :3, :2] = 2
    image = np.repeat(mask / 2, 3, axis=3)
    pixels, masks = next(augmentationsGenerator(iter([(image, mask)]), {"horizontal_flip": True}, seed=0))
    assert masks.dtype == np.float64
    flipped = [bool(one[0, -1, 0]) for one in masks]
    assert True in flipped and False in flipped
    for i, is_flipped in enumerate(flipped):
        np.testing.assert_array_equal(masks[i], mask[i][:, ::-1] if is_flipped else mask[i])
        np.testing.assert_allclose(pixels[i, ..., 0], masks[i, ..., 0] / 2, atol=1e-6)


def test_arguments_that_change_the_statistics_are_ignored_with_a_warning(caplog):
    image, mask = np.full((2, 4, 4, 3), 0.5, np.float32), np.ones((2, 4, 4, 1), np.int32)
    arguments = {"featurewise_center": True, "samplewise_std_normalization": True, "zca_whitening": True, "zca_epsilon": 1e-6,
                 "rescale": 1 / 255, "channel_shift_range": 10.0, "preprocessing_function": np.sqrt}  # fmt: skip
    with caplog.at_level(logging.WARNING):
        pixels, masks = next(augmentationsGenerator(iter([(image, mask)]), arguments))
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(masks, mask)
    assert caplog.messages == ["augmentationsGenerator ignores featurewise_center, samplewise_std_normalization, "
                               "zca_whitening, channel_shift_range, rescale, preprocessing_function: images keep their values, "
                               "from 0 to 1"]  # fmt: skip


def test_unknown_arguments_are_an_error():
    with pytest.raises(ValueError, match="no argument 'rotation'"):
        augmentationsGenerator(iter([]), {"rotation": 5})
    with pytest.raises(ValueError, match="channels last"):
        augmentationsGenerator(iter([]), {"data_format": "channels_first"})


@pytest.mark.tensorflow_only
def test_training_of_the_tutorial(folder):
    """`fit` with infinite generators and given numbers of steps."""
    batch_size, n_epochs = 2, 3
    images_train, train_size, coco_train = filterDataset(folder, CLASSES, "train")
    images_val, val_size, coco_val = filterDataset(folder, CLASSES, "val")
    train_gen = augmentationsGenerator(
        dataGeneratorCoco(images_train, CLASSES, coco_train, folder, (16, 16), batch_size, "train", "normal"),
        TUTORIAL_ARGUMENTS)
    val_gen = dataGeneratorCoco(images_val, CLASSES, coco_val, folder, (16, 16), batch_size, "val", "normal")
    m = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1, activation="softmax")])
    m.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    history = m.fit(x=train_gen, validation_data=val_gen, steps_per_epoch=train_size // batch_size,
                    validation_steps=val_size // batch_size, epochs=n_epochs, verbose=0)  # fmt: skip
    assert len(history.history["loss"]) == len(history.history["val_loss"]) == n_epochs
    assert m.optimizer.iterations == n_epochs * 2
