"""Random scales of training images: the sizes, what is cropped and padded, and that annotations follow the pixels."""
from dataclasses import replace

import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.geometry.masks import minimize_mask
from mrcnn.geometry.rasterize import Frame
from mrcnn.geometry.resize import apply_plan, plan_square, resize_pixels_exactly, resize_pixels_fast
from mrcnn.loading.augment import RandomFlip, ScaleJitter, ShortSides
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.training.settings import make_loader, random_scale
from tests.loading.scenes import scenes
from tests.training.small import small_config

SETTINGS = SampleSettings("square", min_dim=64, max_dim=64, mini_mask_shape=None, num_classes=4)
RECTANGLES = [(1, 5, 11, 25, 49), (3, 31, 29, 39, 59)]


class _Drawn(np.random.Generator):
    """A generator whose integers are 0 or the given corner, and whose uniform number is given."""

    def __init__(self, *integers, uniform=0.0):
        super().__init__(np.random.PCG64(0))
        self.numbers, self.number, self.bounds = list(integers), uniform, []

    def integers(self, low, high=None):
        self.bounds.append((low, high))
        return self.numbers.pop(0) if self.numbers else 0

    def uniform(self, low, high):
        assert low <= self.number <= high
        return self.number


def test_a_plan_that_crops_and_pads_by_hand():
    # 40 x 60 by 1.5 is 60 x 90 in 64 x 64: 2 rows of padding at both ends, 26 columns too many, of which 7 are cut at the left
    rng = _Drawn(0, 7)
    plan = plan_square((40, 60), 1.5, 64, rng)
    assert rng.bounds == [(0, 1), (0, 27)]
    assert (plan.resized, plan.size, plan.scale) == ((60, 90), (64, 64), 1.5)
    assert (plan.window, plan.crop) == ((2, 0, 62, 64), (0, 7, 60, 64))
    assert plan.padding == [(2, 2), (0, 0), (0, 0)]
    # a point of the image at (y, x) = (10, 20): (10 * 1.5 + 2, 20 * 1.5 - 7)
    assert Frame.of_plan(plan).place((10, 20, 10, 20)) == (17, 23, 17, 23)


def test_pixels_of_a_plan_that_crops_and_pads():
    image = np.arange(1, 13, dtype=np.uint8).reshape(2, 6, 1) * np.ones(3, np.uint8)
    plan = plan_square((2, 6), 1.0, 4, _Drawn(0, 1))
    expected = [[0, 0, 0, 0], [2, 3, 4, 5], [8, 9, 10, 11], [0, 0, 0, 0]]
    out = np.full((4, 4, 3), 99, np.uint8)
    for resize in (resize_pixels_fast, resize_pixels_exactly):
        np.testing.assert_array_equal(apply_plan(image, plan, resize)[..., 0], expected)
    assert apply_plan(image, plan, resize_pixels_fast, out=out) is out
    np.testing.assert_array_equal(out[..., 2], expected)


def test_an_image_of_the_size_of_the_square_is_scaled_too():
    image = np.full((64, 64, 3), 7, np.uint8)
    small = apply_plan(image, plan_square((64, 64), 0.5, 64), resize_pixels_fast)
    assert small[16:48, 16:48].min() == 7 and small.sum() == 7 * 32 * 32 * 3
    large = apply_plan(image, plan_square((64, 64), 2.0, 64, np.random.default_rng(0)), resize_pixels_fast)
    assert large.shape == (64, 64, 3) and large.min() == 7
    assert apply_plan(image, plan_square((64, 64), 1.0, 64)) is image


@pytest.mark.parametrize(("index", "resized"), [(0, (20, 30)), (1, (32, 48)), (2, (43, 64))])
def test_short_sides_by_hand(index, resized):
    """40 x 60: 20 and 32 rows are scaled down; 100 rows would be 150 columns, of which the square has 64."""
    plan = ShortSides((20, 32, 100)).plan((40, 60), 64, _Drawn(index))
    assert plan.resized == resized and plan.crop is None


@pytest.mark.parametrize(("factor", "resized"), [(0.1, (4, 6)), (1.0, (43, 64)), (2.0, (85, 128))])
def test_scale_jitter_by_hand(factor, resized):
    """The long side, 60, becomes 6.4, 64 and 128; a portrait is its transpose."""
    plan = ScaleJitter(0.1, 2.0).plan((40, 60), 64, _Drawn(uniform=factor))
    assert plan.resized == resized
    assert ScaleJitter(0.1, 2.0).plan((60, 40), 64, _Drawn(uniform=factor)).resized == resized[::-1]


@pytest.mark.parametrize("scale", [ShortSides((16, 24, 40)), ScaleJitter(0.3, 2.0)])
@pytest.mark.parametrize("augmentation", [None, RandomFlip(0.5, 0.5)])
def test_masks_follow_the_pixels(scale, augmentation):
    dataset = scenes(RECTANGLES)
    sizes = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sample = make_sample(dataset, 0, replace(SETTINGS, random_scale=scale), augmentation, rng)
        for mask, class_id, (y1, x1, y2, x2) in zip(sample.masks, sample.class_ids, sample.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            # a pixel whose centre lies on the border may be in the box and not in the mask
            drawn = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            np.testing.assert_allclose([y1, x1, y2, x2], drawn, atol=1)
            inner = sample.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2, 0]
            assert (inner == 50 * class_id).all()
        sizes.add(sample.boxes[0].tobytes())
        mini = make_sample(dataset, 0, replace(SETTINGS, random_scale=scale, mini_mask_shape=(9, 9)), augmentation,
                           np.random.default_rng(seed))  # fmt: skip
        full = np.moveaxis(sample.masks, 0, -1)
        # mini-masks are drawn at their own resolution, so a row at the border may differ
        assert (np.moveaxis(mini.masks, 0, -1) == minimize_mask(sample.boxes, full, (9, 9))).mean() > 0.8
        np.testing.assert_array_equal(mini.boxes, sample.boxes)
    assert len(sizes) >= 3


def test_objects_cropped_to_nothing_are_dropped():
    dataset = scenes([(1, 0, 0, 40, 10), (2, 0, 0, 40, 60)])
    counts = {tuple(make_sample(dataset, 0, replace(SETTINGS, random_scale=ScaleJitter(2.0, 2.0)), None,
                                np.random.default_rng(seed)).class_ids) for seed in range(20)}  # fmt: skip
    assert counts == {(1, 2), (2,)}


TARGETS = TargetSettings(np.array([[0, 0, 8, 8]]), 4, [0.1] * 4, 5, image_size=(64, 64))


def test_an_image_whose_only_object_is_cropped_away_is_not_marked_as_empty():
    settings = replace(SETTINGS, random_scale=ScaleJitter(2.0, 2.0))
    loader = Loader(scenes([(1, 0, 0, 40, 10)], [(2, 0, 0, 40, 60)]), settings, TARGETS, 1, shuffle=False)
    seen = [int(loader[step][5][0, 0]) for step in range(0, 40, 2)]
    assert set(seen) == {1, 2} and not loader.empty


def test_samples_depend_on_the_seed_and_the_step_alone():
    settings = replace(SETTINGS, random_scale=ScaleJitter(0.5, 2.0))
    first, second = (Loader(scenes(*[RECTANGLES] * 3), settings, TARGETS, 1, seed=5) for _ in range(2))
    for step in (4, 0, 7):
        for a, b in zip(first[step], second[step], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0][0], first[3][0])


def test_sources_without_augmentation_are_not_scaled():
    dataset = scenes(RECTANGLES)
    settings = replace(SETTINGS, random_scale=ScaleJitter(0.3, 0.3))
    plain = Loader(dataset, SETTINGS, TARGETS, 1)[0]
    kept = Loader(dataset, settings, TARGETS, 1, no_augmentation_sources=["scenes"])[0]
    np.testing.assert_array_equal(kept[0], plain[0])
    assert not np.array_equal(Loader(dataset, settings, TARGETS, 1)[0][0], plain[0])


def test_settings_and_loaders_of_a_configuration():
    assert random_scale(small_config()) is None
    assert random_scale(small_config(TRAIN_MIN_DIMS=[48.0, 64])) == ShortSides((48, 64))
    assert random_scale(small_config(SCALE_JITTER=[0.1, 2])) == ScaleJitter(0.1, 2)
    config = small_config(SCALE_JITTER=(0.1, 2.0))
    assert make_loader(scenes(RECTANGLES), config).sample_settings.random_scale is None, "validation is not varied"


@pytest.mark.parametrize(("values", "words"), [
    ({"SCALE_JITTER": (2.0, 0.1)}, r"SCALE_JITTER is \(2.0, 0.1\): give \(low, high\)"),
    ({"SCALE_JITTER": (0, 1)}, "SCALE_JITTER is"), ({"SCALE_JITTER": 0.5}, "SCALE_JITTER is 0.5"),
    ({"TRAIN_MIN_DIMS": []}, r"TRAIN_MIN_DIMS is \[\]: give whole numbers"),
    ({"TRAIN_MIN_DIMS": (48.5,)}, "TRAIN_MIN_DIMS is"),
    ({"TRAIN_MIN_DIMS": (48,), "SCALE_JITTER": (0.1, 2.0)}, "TRAIN_MIN_DIMS and SCALE_JITTER are both set"),
    ({"TRAIN_MIN_DIMS": (48,), "IMAGE_RESIZE_MODE": "crop"}, "IMAGE_RESIZE_MODE is crop: random scales need the mode square"),
])  # fmt: skip
def test_invalid_scales(values, words):
    with pytest.raises(ConfigError, match=words):
        small_config(**values).validate()
