"""Images of a size that does not fit the network or its anchors are an error."""
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.training.settings import make_loader
from tests.training.small import shapes, small_config, small_model


def test_detection_without_resizing_accepts_multiples_of_64(tmp_path):
    model = small_model("inference", tmp_path, IMAGE_RESIZE_MODE="none")
    assert len(model.detect([np.zeros((64, 128, 3), np.uint8)])) == 1
    with pytest.raises(ValueError, match="100 x 90 pixels.*multiples of 64"):
        model.detect([np.zeros((100, 90, 3), np.uint8)])


@pytest.mark.parametrize("mode", ["none", "pad64"])
def test_training_rejects_images_that_do_not_fit_the_anchors(mode):
    loader = make_loader(shapes(2, height=64, width=128), small_config(IMAGE_RESIZE_MODE=mode))
    with pytest.raises(DataError, match="64 x 128 pixels.*anchors are for images of 64 x 64.*square"):
        loader[0]


def test_training_without_resizing_on_images_of_the_right_size():
    assert make_loader(shapes(2), small_config(IMAGE_RESIZE_MODE="none"))[0][0].shape == (2, 64, 64, 3)
