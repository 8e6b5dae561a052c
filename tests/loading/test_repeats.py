"""Repeat-factor sampling: the factors, and how often a pass has each image."""
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.repeats import repeat_factors, repeat_images
from mrcnn.loading.sample import SampleSettings
from mrcnn.training.settings import make_loader
from tests.loading.scenes import scenes
from tests.training.small import small_config

BOX = (5, 10, 25, 50)
SETTINGS = SampleSettings("square", min_dim=64, max_dim=64, mini_mask_shape=(9, 9), num_classes=4)
TARGETS = TargetSettings(np.array([[0, 0, 8, 8]]), 4, [0.1] * 4, 5, image_size=(64, 64))


def _images(*classes):
    return scenes(*[[(class_id, *BOX) for class_id in on_image] for on_image in classes])


def test_factors_by_hand():
    # of 8 images, 7 have class 1, two class 2 (twice on one of them, and once as a crowd) and one class 3
    dataset = _images([1], [1], [1], [1], [1], [1, 2, 2], [-2, 1], [3])
    # class 2: sqrt(0.5 / 0.25); class 3: sqrt(0.5 / 0.125) = 2
    np.testing.assert_allclose(repeat_factors(dataset, range(8), 0.5), [1] * 5 + [2**0.5] * 2 + [2])
    np.testing.assert_allclose(repeat_factors(dataset, range(8), 0.125), [1] * 8)
    np.testing.assert_allclose(repeat_factors(_images([1], []), range(2), 1.0), [2**0.5, 1])


def test_whole_factors_are_exact():
    order = repeat_images(np.array([7, 8, 9]), np.array([1.0, 3.0, 2.0]), 6, np.random.default_rng(0))
    assert sorted(order.tolist()) == [7, 8, 8, 8, 9, 9]


def test_fractions_are_exact_on_average():
    factors = np.array([1.0, 1.25, 2.5, 1.0])
    counts = np.array([np.bincount(repeat_images(np.arange(4), factors, 6, np.random.default_rng(seed)), minlength=4)
                       for seed in range(2000)])  # fmt: skip
    scaled = factors * 6 / 5.75
    np.testing.assert_allclose(counts.mean(axis=0), scaled, atol=0.05)
    assert (counts >= np.floor(scaled)).all() and (counts <= np.ceil(scaled)).all() and (counts.sum(axis=1) == 6).all()


def test_passes_of_a_loader():
    dataset = _images([1], [1], [1], [3])
    loader = Loader(dataset, SETTINGS, TARGETS, 2, seed=3, repeat_threshold=1.0)
    # class 1: sqrt(4 / 3) = 1.155 each; class 3: 2; together 5.46, so 6 samples and 3 steps
    assert (loader.num_samples, len(loader)) == (6, 3)
    classes = np.concatenate([loader[step][5][:, 0] for step in range(3)])
    assert sorted(classes) in ([1, 1, 1, 1, 3, 3], [1, 1, 1, 3, 3, 3]) and set(loader.order(0)) == {0, 1, 2, 3}
    again = Loader(dataset, SETTINGS, TARGETS, 2, seed=3, repeat_threshold=1.0)
    np.testing.assert_array_equal(again.order(5), loader.order(5))
    assert not np.array_equal(loader.order(5), loader.order(6))


def test_validation_and_the_default_use_every_image_once():
    dataset = _images([1], [1], [1], [3])
    plain = Loader(dataset, SETTINGS, TARGETS, 2, shuffle=False, repeat_threshold=1.0)
    assert plain.num_samples == 4 and plain.order(1).tolist() == [0, 1, 2, 3]
    assert make_loader(dataset, small_config(REPEAT_THRESHOLD=1.0)).num_samples == 4


@pytest.mark.parametrize("threshold", [0, 1.5, "0.1"])
def test_invalid_thresholds(threshold):
    with pytest.raises(ConfigError, match="REPEAT_THRESHOLD is .*: it must be a number above 0 and at most 1"):
        small_config(REPEAT_THRESHOLD=threshold).validate()
