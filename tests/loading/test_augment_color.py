"""Changes of colours: their numbers, what they leave alone, and their place before flips and rotation."""
import numpy as np
import pytest

from mrcnn.loading.augment import (
    LUMA,
    ColorJitter,
    RandomFlip,
    change_colors,
    hue_matrix,
    named_augmentation,
    saturation_matrix,
)
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.loading.scenes import scenes

RECTANGLES = [(1, 5, 11, 25, 49), (3, 31, 29, 39, 59)]
SETTINGS = SampleSettings("square", min_dim=64, max_dim=64, mini_mask_shape=None, num_classes=4)
SAME = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def _changed(image, **values):
    return change_colors(image, **{**SAME, **values})


def test_nothing_changes_with_neutral_values():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(_changed(image), image)


def test_brightness_and_contrast_by_hand():
    image = np.array([[[100, 100, 100], [200, 200, 200], [60, 60, 60]]], np.uint8)  # of mean 120
    assert _changed(image, brightness=1.5)[0, :, 0].tolist() == [150, 255, 90]
    # 120 + 0.5 * (x - 120)
    assert _changed(image, contrast=0.5)[0, :, 0].tolist() == [110, 160, 90]
    # of 50, 100 and 30, with a mean of 60: 60 + 2 * (x - 60)
    assert _changed(image, brightness=0.5, contrast=2.0)[0, :, 1].tolist() == [40, 140, 0]


def test_saturation_by_hand():
    image = np.array([[[200, 100, 0]]], np.uint8)  # of brightness 0.213 * 200 + 0.715 * 100 = 114.1
    assert _changed(image, saturation=0.0)[0, 0].tolist() == [114, 114, 114]
    # halfway to grey: (157.05, 107.05, 57.05)
    assert _changed(image, saturation=0.5)[0, 0].tolist() == [157, 107, 57]


def test_hue_keeps_brightness_and_grey():
    for degrees in (18, -90, 180):
        np.testing.assert_allclose(LUMA @ hue_matrix(degrees), LUMA, atol=1e-3)
        np.testing.assert_allclose(hue_matrix(degrees) @ [9, 9, 9], [9, 9, 9], atol=1e-9)
    np.testing.assert_allclose(hue_matrix(30) @ hue_matrix(-30), np.eye(3), atol=2e-3)
    # red turns towards yellow by a rotation to green, and towards magenta the other way round
    red = np.array([1.0, 0.0, 0.0])
    assert (hue_matrix(30) @ red)[1] > (hue_matrix(30) @ red)[2] and (hue_matrix(-30) @ red)[1] < (hue_matrix(-30) @ red)[2]
    np.testing.assert_allclose(saturation_matrix(1.0), np.eye(3))


@pytest.mark.parametrize("channels", [1, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_other_numbers_of_channels_have_no_hue(channels, dtype):
    image = np.array([100, 200, 60], dtype).reshape(1, 3, 1) * np.ones(channels, dtype)
    changed = _changed(image, contrast=0.5, saturation=0.0, hue=90.0)
    assert changed.dtype == dtype and changed.shape == image.shape
    for channel in range(channels):
        assert changed[0, :, channel].tolist() == [110, 160, 90]


@pytest.mark.parametrize("then", [None, RandomFlip(1.0, 0.0)])
def test_padding_masks_and_the_data_set_are_left_alone(then):
    dataset = scenes(RECTANGLES)
    plain = make_sample(dataset, 0, SETTINGS, then, np.random.default_rng(0))
    image, *rest = make_sample(dataset, 0, SETTINGS, ColorJitter(then, probability=1.0), np.random.default_rng(0))
    for ours, expected in zip(rest, plain[1:], strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert not image[:10].any() and not image[-10:].any(), "43 rows of image, and 10 of padding above and below"
    assert (image[12:52] != plain.image[12:52]).mean() > 0.5


def test_an_image_without_padding_is_not_changed_in_place():
    image = np.full((4, 4, 3), 100, np.uint8)
    changed = ColorJitter(probability=1.0).apply(image, (0, 0, 4, 4), np.random.default_rng(1))
    assert (image == 100).all() and (changed != 100).any()


def test_the_memory_of_a_batch_is_used():
    dataset = scenes([(1, 0, 0, 64, 64)])
    dataset.image_info[0]["size"] = (64, 64)
    for augmentation in (ColorJitter(probability=1.0), ColorJitter(RandomFlip(1.0, 1.0), probability=1.0)):
        out = np.zeros((64, 64, 3), np.uint8)
        sample = make_sample(dataset, 0, SETTINGS, augmentation, np.random.default_rng(1), out)
        expected = make_sample(dataset, 0, SETTINGS, augmentation, np.random.default_rng(1))
        assert sample.image is out
        np.testing.assert_array_equal(out, expected.image)


def test_colours_vary_within_their_bounds_and_by_the_generator_alone():
    image = np.full((1, 2, 1), 100, np.uint8)
    jitter = ColorJitter()
    values = [int(jitter.apply(image, (0, 0, 1, 2), np.random.default_rng(seed))[0, 0, 0]) for seed in range(200)]
    assert 85 <= min(values) < 92 and 108 < max(values) <= 113, "of one grey, contrast changes nothing"
    assert 70 < values.count(100) < 130, "half of the images keep their brightness"
    assert values == [int(jitter.apply(image, (0, 0, 1, 2), np.random.default_rng(seed))[0, 0, 0]) for seed in range(200)]


def test_colours_by_name():
    assert named_augmentation("color") == ColorJitter() and named_augmentation("flip+color") == ColorJitter(RandomFlip())
    pytest.importorskip("imgaug")
    rotate = named_augmentation("rotate+color")
    assert isinstance(rotate, ColorJitter) and len(rotate.then) == 3
    image, _, class_ids, boxes, masks = make_sample(scenes(RECTANGLES), 0, SETTINGS, rotate, np.random.default_rng(0))
    assert len(class_ids) == len(boxes) == len(masks) > 0 and image.any()
    with pytest.raises(ValueError, match="'mosaic' is not an augmentation"):
        named_augmentation("mosaic+color")
