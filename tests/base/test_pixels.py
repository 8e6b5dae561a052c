import numpy as np
import pytest

from mrcnn.base.pixels import mold_image, unmold_image

MEAN = np.array([123.7, 116.8, 103.9])


def test_mold_image_subtracts_the_mean_and_unmold_image_restores_every_level():
    levels = np.arange(256, dtype=np.uint8)
    image = np.stack([levels, levels, levels], axis=-1)[None]  # [1, 256, 3]
    molded = mold_image(image, MEAN)
    assert molded.dtype == np.float32
    assert molded[0, 200].tolist() == pytest.approx([76.3, 83.2, 96.1], abs=1e-4)
    assert (unmold_image(molded, MEAN) == image).all()


def test_unmold_image_clips():
    assert unmold_image(np.array([[[-300.0, 0, 300.0]]]), MEAN)[0, 0].tolist() == [0, 117, 255]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float64])
def test_mold_image_converts_any_dtype_to_float32(dtype):
    molded = mold_image(np.ones((2, 3, 4, 1), dtype), 0.25)  # one mean for every channel
    assert molded.dtype == np.float32 and molded.shape == (2, 3, 4, 1) and (molded == 0.75).all()
