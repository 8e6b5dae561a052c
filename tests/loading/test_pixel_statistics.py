"""Mean and standard deviation of pixels, on images counted by hand."""

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.pixel_statistics import measure_pixels, pixel_moments


class Arrays(Dataset):
    """Images given as arrays."""

    def __init__(self, *images):
        super().__init__()
        self.images = images
        for number in range(len(images)):
            self.add_image("arrays", number, f"{number}.png")
        self.prepare()

    def load_image(self, image_id):
        """Return an array."""
        return self.images[image_id]


def test_each_pixel_of_images_of_all_sizes_counts_once():
    """Channel 0 has the values 0, 0, 0, 8 with mean 2 and variance (3 * 4 + 36) / 4 = 12; channel 1 is constant."""
    values = measure_pixels(Arrays(np.array([[[0, 7]], [[0, 7]], [[0, 7]]], np.uint8), np.array([[[8, 7]]], np.uint8)), 2)
    np.testing.assert_allclose(values["MEAN_PIXEL"], [2, 7])
    np.testing.assert_allclose(values["STD_PIXEL"], [np.sqrt(12), 1])


def test_values_are_those_of_the_normalisation():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (9, 5, 4), dtype=np.uint8) for _ in range(3)]
    values = measure_pixels(Arrays(*images), 4)
    normalised = (np.concatenate([image.reshape(-1, 4) for image in images]) - values["MEAN_PIXEL"]) / values["STD_PIXEL"]
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(normalised.std(axis=0), 1)
    config = Config().with_overrides({"IMAGE_CHANNEL_COUNT": 4, **values})
    assert config.MEAN_PIXEL.shape == (4,)


def test_pixels_of_16_bits_are_measured_as_they_are_loaded():
    """65535 is loaded as 255."""
    values = measure_pixels(Arrays(np.array([[0, 65535]], np.uint16)), 1)
    np.testing.assert_allclose([*values["MEAN_PIXEL"], *values["STD_PIXEL"]], [127.5, 127.5])


def test_of_many_images_some_at_equal_distances_are_taken():
    images = [np.full((2, 2, 1), value, np.uint8) for value in (0, 100, 10, 100, 20)]
    assert measure_pixels(Arrays(*images), 1, limit=3)["MEAN_PIXEL"] == pytest.approx(10)  # of 0, 10 and 20
    assert measure_pixels(Arrays(*images), 1, limit=None)["MEAN_PIXEL"] == pytest.approx(46)


def test_images_that_cannot_be_used_are_left_out():
    """Only the good image counts, with the pixels 10 and 20: the other array is not an image."""
    good, bad = np.array([[[10], [20]]], np.uint8), np.array(["text"])
    moments = pixel_moments(Arrays(good, bad), 1)
    assert (moments.images, *moments.mean, *moments.deviation) == (1, 15, 5)
    with pytest.raises(DataError, match="load_image returned <U4 of shape"):
        pixel_moments(Arrays(bad, bad), 1)


def test_no_images_are_an_error():
    with pytest.raises(DataError, match="no images"):
        measure_pixels(Arrays(), 3)
