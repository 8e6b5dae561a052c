from dataclasses import replace

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.masks import minimize_mask
from mrcnn.geometry.meta import parse_image_meta
from mrcnn.inference.mold import MoldSettings, fit_input
from mrcnn.loading.augment import RandomFlip
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.loading.scenes import Scenes, scenes

SQUARE = SampleSettings("square", min_dim=80, max_dim=128, mini_mask_shape=(28, 28), num_classes=4)
FULL = SampleSettings("square", min_dim=80, max_dim=128, mini_mask_shape=None, num_classes=4)
# 40 x 60 is resized to 80 x 120 in 128 x 128: twice as large, shifted 24 down and 4 to the right
OFFSET = np.array([24, 4, 24, 4])
RECTANGLES = [(1, 5, 10, 25, 50), (-2, 0, 0, 40, 4), (3, 30, 30, 39, 59)]


def test_a_sample_by_hand():
    image, meta, class_ids, boxes, masks = make_sample(scenes([], RECTANGLES), 1, SQUARE)
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    assert class_ids.dtype == np.int32 and class_ids.tolist() == [1, -2, 3]
    assert boxes.dtype == np.int32
    np.testing.assert_array_equal(boxes, [2 * np.array(r[1:]) + OFFSET for r in RECTANGLES])
    assert masks.shape == (3, 28, 28) and masks.dtype == bool and masks.all()
    assert meta.dtype == np.float64 and meta.tolist() == [1, 40, 60, 3, 128, 128, 3, 24, 4, 104, 124, 2, 1, 1, 1, 1]
    y1, x1, y2, x2 = boxes[0]
    assert (image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] == 50).all()


def test_full_masks_cover_their_objects():
    image, _, class_ids, boxes, masks = make_sample(scenes(RECTANGLES), 0, FULL)
    assert masks.shape == (3, 128, 128)
    np.testing.assert_array_equal(extract_bboxes(np.moveaxis(masks, 0, -1)), boxes)
    for i, class_id in enumerate(class_ids):
        inside = image[masks[i]][:, 0]
        # at its border an object is blended with its neighbour, or with black at the edge of the image
        assert np.median(inside) == 50 * abs(class_id) and (inside == np.median(inside)).mean() > 0.7


@pytest.mark.parametrize("mode", ["none", "square", "pad64", "crop"])
def test_mini_masks_agree_with_full_masks(mode):
    dataset = scenes(RECTANGLES)
    settings = dict(resize_mode=mode, min_dim=64, max_dim=128, num_classes=4)
    mini = make_sample(dataset, 0, SampleSettings(mini_mask_shape=(14, 14), **settings), rng=np.random.default_rng(1))
    full = make_sample(dataset, 0, SampleSettings(mini_mask_shape=None, **settings), rng=np.random.default_rng(1))
    for a, b in zip(mini[:4], full[:4], strict=True):
        np.testing.assert_array_equal(a, b)
    full_masks = np.moveaxis(full.masks, 0, -1)
    np.testing.assert_array_equal(np.moveaxis(mini.masks, 0, -1), minimize_mask(full.boxes, full_masks, (14, 14)))


def test_crop_drops_objects_outside_it():
    dataset = scenes([(1, 0, 0, 2, 2), (2, 38, 58, 40, 60), (3, 0, 0, 40, 60)])
    settings = SampleSettings("crop", min_dim=16, mini_mask_shape=(7, 7), num_classes=4)
    for seed in range(5):
        image, meta, class_ids, boxes, _ = make_sample(dataset, 0, settings, rng=np.random.default_rng(seed))
        assert image.shape == (16, 16, 3) and meta[7:11].tolist() == [0, 0, 16, 16]
        assert not {1, 2} <= set(class_ids.tolist()) and class_ids[-1] == 3
        assert boxes[-1].tolist() == [0, 0, 16, 16]


def test_image_without_objects():
    for settings in (SQUARE, FULL):
        image, meta, class_ids, boxes, masks = make_sample(scenes([]), 0, settings)
        side = settings.mini_mask_shape or (128, 128)
        assert class_ids.shape == (0,) and boxes.shape == (0, 4) and masks.shape == (0, *side)
        assert masks.dtype == bool and boxes.dtype == np.int32


def test_objects_without_pixels_are_dropped():
    class_ids = make_sample(scenes([(1, 5, 5, 5, 9), (2, 5, 5, 9, 9)]), 0, SQUARE)[2]
    assert class_ids.tolist() == [2]
    small = SampleSettings("square", max_dim=6, num_classes=4)  # a tenth of the size: only every tenth pixel is sampled
    kept = make_sample(scenes([(1, 0, 0, 1, 1), (2, 0, 0, 40, 60)]), 0, small)[2]
    assert kept.tolist() == [2]


def test_an_object_of_one_pixel_is_kept():
    _, _, class_ids, boxes, masks = make_sample(scenes([(3, 39, 59, 40, 60)]), 0, SQUARE)
    np.testing.assert_array_equal(boxes, [2 * np.array([39, 59, 40, 60]) + OFFSET])
    assert masks.all()


def test_active_classes_are_those_of_the_source_of_the_image():
    dataset = Scenes()
    dataset.add_class("scenes", 1, "red")
    dataset.add_class("other", 1, "blue")
    dataset.add([(1, 0, 0, 9, 9)])
    dataset.add([(2, 0, 0, 9, 9)], source="other")
    dataset.prepare()
    settings = SampleSettings("none", num_classes=3)
    metas = np.stack([make_sample(dataset, i, settings)[1] for i in (0, 1)])
    assert parse_image_meta(metas)["active_class_ids"].tolist() == [[1, 1, 0], [1, 0, 1]]


def test_a_flip_changes_image_boxes_masks_and_window_together():
    dataset = scenes([(1, 5, 10, 25, 50), (2, 30, 40, 39, 59)])
    plain = make_sample(dataset, 0, FULL)
    image, meta, class_ids, boxes, masks = make_sample(dataset, 0, FULL, RandomFlip(horizontal=1.0))
    np.testing.assert_array_equal(image, plain[0][:, ::-1])
    np.testing.assert_array_equal(masks, plain[4][:, :, ::-1])
    np.testing.assert_array_equal(boxes, extract_bboxes(np.moveaxis(masks, 0, -1)))
    y1, x1, y2, x2 = plain[1][7:11]
    assert meta[7:11].tolist() == [y1, 128 - x2, y2, 128 - x1]
    upside_down = make_sample(dataset, 0, FULL, RandomFlip(0.0, 1.0))
    np.testing.assert_array_equal(upside_down[4], plain[4][:, ::-1])


def dataset_of(image):
    """Return a data set with one image."""

    class OneImage(Scenes):
        def load_image(self, image_id):
            return image

    return scenes([(1, 0, 0, 9, 9)], cls=OneImage)


@pytest.mark.parametrize("channels", [1, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_number_of_channels(channels, dtype):
    dataset = dataset_of(np.full((40, 60, channels), 7 * 257 if dtype == np.uint16 and channels == 1 else 7, dtype))
    image, meta, *_ = make_sample(dataset, 0, replace(SQUARE, num_channels=channels))
    assert image.shape == (128, 128, channels) and image[64, 64].tolist() == [7] * channels
    assert image.dtype == (np.uint8 if dtype == np.uint8 or dtype == np.uint16 and channels == 1 else np.float32)
    assert meta[1:7].tolist() == [40, 60, channels, 128, 128, channels]


RAMP = np.arange(40 * 60 * 3).reshape(40, 60, 3) % 251


@pytest.mark.parametrize("picture", [
    RAMP.astype(np.uint8), RAMP.astype(np.uint16) * 257, RAMP > 125, RAMP.astype(np.int32), RAMP.astype(np.float64),
    RAMP[:, :, 0].astype(np.uint8), RAMP[:, :, :1].astype(np.uint16) * 257, RAMP[:, :, :2].astype(np.uint8),
    RAMP[:, :, [0, 1, 2, 2]].astype(np.uint8),
], ids=["uint8", "uint16", "bool", "int32", "float64", "grey", "16-bit grey", "grey and alpha", "RGBA"])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_detection_see_the_same_pixels(picture, channels):
    sample = make_sample(dataset_of(picture), 0, SampleSettings("square", 40, 64, num_classes=4, num_channels=channels))
    detection = MoldSettings(np.zeros(channels, np.float32), "square", 40, 64, None, num_classes=4)
    fitted, meta, _ = fit_input(picture, detection)
    assert sample.image.dtype == fitted.dtype
    np.testing.assert_array_equal(sample.image, fitted)
    np.testing.assert_array_equal(sample.image_meta[:12], meta[:12])
    assert 200 < fitted.max() <= 255


def broken(image=None, masks=None, class_ids=None):
    """Return a data set with one image, whose load functions return the given values, or raise them."""

    def return_or_raise(value, default):
        if isinstance(value, Exception):
            raise value
        return default if value is None else value

    class Broken(Scenes):
        def load_image(self, image_id):
            return return_or_raise(image, np.zeros((40, 60, 3), np.uint8))

        def load_mask(self, image_id):
            return return_or_raise(masks, np.ones((40, 60, 1), bool)), return_or_raise(class_ids, np.array([1]))

    return scenes([], cls=Broken)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (broken(image=OSError("disk full")), "the image cannot be loaded: OSError: disk full"),
        (broken(image=np.zeros((0, 60, 3))), r"load_image returned float64 of shape \(0, 60, 3\)"),
        (broken(image=np.zeros((1, 40, 60, 3))), "height, width, channels"),
        (broken(image="picture.jpg"), "load_image returned"),
        (broken(image=np.full((40, 60, 3), 65535, np.int32)), r"int32 has values 65535\.\.65535, outside 0\.\.255"),
        (broken(image=np.full((40, 60, 3), np.nan)), "contains NaN or infinity in 7200 of 7200 values"),
        (broken(image=np.zeros((40, 60, 5))), r"has 5 channels .*\(IMAGE_CHANNEL_COUNT is 3"),
        (broken(masks=KeyError("polygons")), "its masks cannot be loaded: KeyError: 'polygons'"),
        (broken(masks=np.ones((60, 40, 1), bool)), r"masks are of size \(60, 40\), but its image is of size \(40, 60\)"),
        (broken(masks=np.ones((40, 60), bool)), r"masks of shape \(40, 60\) and 1 class ids"),
        (broken(masks=np.ones((40, 60, 2), bool)), r"masks of shape \(40, 60, 2\) and 1 class ids; each mask needs one"),
        (broken(masks=[[[1, 2, 3, 4]]]), "segmentation cannot be used: a polygon needs at least three"),
        (broken(class_ids=np.array([4])), "class id 4 is out of range: with 4 classes, ids are 1 to 3"),
        (broken(class_ids=np.array([-4])), "class id -4 is out of range"),
        (broken(class_ids=np.array([0])), "class id 0 is out of range"),
        (broken(class_ids=np.array([1.5])), "whole numbers"),
        (broken(class_ids=np.array(["red"])), "whole numbers"),
    ],
)
def test_error_about_invalid_data_names_image_path_and_field(dataset, message):
    with pytest.raises(DataError, match=message) as error:
        make_sample(dataset, 0, SQUARE)
    assert "image 0 (id 0 of 'scenes', path 0.png)" in str(error.value)


def test_too_little_memory_is_not_a_broken_sample():
    """Otherwise every large image would count as broken, one after the other."""
    for dataset in (broken(image=MemoryError()), broken(masks=MemoryError())):
        with pytest.raises(MemoryError):
            make_sample(dataset, 0, SQUARE)


def test_a_wrong_number_of_channels_is_an_error():
    settings = SampleSettings("none", num_classes=4, num_channels=4)
    with pytest.raises(DataError, match=r"has 3 channels .* expected 4 \(IMAGE_CHANNEL_COUNT is 4"):
        make_sample(scenes([]), 0, settings)
    assert make_sample(scenes([]), 0, SampleSettings("none", num_classes=4, num_channels=3))[0].shape == (40, 60, 3)


def test_a_source_without_classes_is_an_error():
    dataset = scenes([])
    dataset.add([], source="elsewhere")
    dataset.prepare()
    with pytest.raises(DataError, match="source 'elsewhere' has no classes; the sources with classes are .'scenes'"):
        make_sample(dataset, 1, SQUARE)


def test_nonzero_mask_pixels_belong_to_the_object():
    masks = np.zeros((40, 60, 1), np.uint8)
    masks[5:9, 7:30] = 255
    _, _, _, boxes, mini = make_sample(broken(masks=masks), 0, SQUARE)
    np.testing.assert_array_equal(boxes, [2 * np.array([5, 7, 9, 30]) + OFFSET])
    assert mini.all()


def test_arrays_of_the_data_set_are_not_changed():
    image, masks, class_ids = np.full((40, 60, 3), 9, np.uint8), np.ones((40, 60, 1), bool), np.array([2])
    dataset = broken(image, masks, class_ids)
    for augmentation in (None, RandomFlip(1.0, 1.0)):
        make_sample(dataset, 0, FULL, augmentation)
    assert (image == 9).all() and masks.all() and class_ids.tolist() == [2]
