"""The mean and the standard deviation of the pixels of a data set, for images that are not photographs in RGB.

Photographs have the values of Config, or those of the pretrained weights. Depth, infrared or microscopy have others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.sample import load_checked_image

# For this many images, spread over the data set, the mean of a channel is known within a grey level or so.
SAMPLE = 200


class PixelMoments(NamedTuple):
    """The moments of the pixels of some images, each pixel of which counts once.

    Attributes:
        images: number of images.
        mean: of each channel.
        deviation: of each channel; that of a constant channel is 1.
    """

    images: int
    mean: Float64[np.ndarray, " C"]
    deviation: Float64[np.ndarray, " C"]


def measure_pixels(dataset: Dataset, num_channels: int, limit: int | None = SAMPLE) -> dict[str, Float64[np.ndarray, " C"]]:
    """Measure the pixels of images, as they are loaded for training; each pixel counts once.

    Images that cannot be used are left out; the loader reports them.

        config = MyConfig().with_overrides(measure_pixels(train_set, MyConfig.IMAGE_CHANNEL_COUNT))

    Args:
        dataset: prepared.
        num_channels: Config.IMAGE_CHANNEL_COUNT.
        limit: maximum number of images; of more, this many are taken at equal distances. None for all.

    Returns:
        MEAN_PIXEL and STD_PIXEL: of each channel. The deviation of a channel that is constant is 1.

    Raises:
        DataError: no image can be loaded, or there are none.
    """
    moments = pixel_moments(dataset, num_channels, limit)
    return {"MEAN_PIXEL": moments.mean, "STD_PIXEL": moments.deviation}


def pixel_moments(dataset: Dataset, num_channels: int, limit: int | None = SAMPLE) -> PixelMoments:
    """Return what `measure_pixels` measures, and in how many images."""
    ids = np.asarray(dataset.image_ids)
    if limit is not None and len(ids) > limit:
        ids = ids[np.linspace(0, len(ids) - 1, limit).round().astype(int)]
    images, count, total, squares = 0, 0, np.zeros(num_channels), np.zeros(num_channels)
    fault = None
    for image_id in ids:
        try:
            pixels = load_checked_image(dataset, image_id, num_channels).reshape(-1, num_channels).astype(np.float64)
        except DataError as error:
            fault = fault or error
            continue
        images += 1
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
    if not count:
        raise fault or DataError("the data set has no images whose pixels could be measured")
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return PixelMoments(images, mean, np.where(deviation < 1e-6, 1.0, deviation))
