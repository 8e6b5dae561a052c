"""Sample pictures in TensorBoard during training."""
import io
import types

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from mrcnn.training.inspection_callback import InspectSamples
from tests.training.small import shapes, small_config


@pytest.fixture
def fake_detector(tmp_path):
    """Replaces a MaskRCNN in training, with a configuration, a folder and no detections."""
    nothing = {"rois": np.zeros((0, 4)), "class_ids": np.zeros(0, int), "scores": np.zeros(0), "masks": None}
    return types.SimpleNamespace(config=small_config(), log_dir=str(tmp_path), detect=lambda images: [nothing])


def events(folder):
    """Return [(tag, step, size)] for the pictures in a folder of event files."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder))
    loader.Reload()
    return [(tag, image.step, Image.open(io.BytesIO(image.encoded_image_string)).size)
            for tag in loader.Tags()["images"] for image in loader.Images(tag)]  # fmt: skip


def test_pictures_are_written_every_second_epoch(fake_detector, tmp_path):
    open_figures = plt.get_fignums()
    callback = InspectSamples(fake_detector, shapes(3), image_ids=[2], every=2)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    model.fit(np.zeros((2, 1)), np.zeros((2, 1)), epochs=3, verbose=0, callbacks=[callback])
    found = events(tmp_path / "inspection")
    assert [(tag, step) for tag, step, _ in found] == [("sample 2", 2)]
    assert min(found[0][2]) > 300
    assert plt.get_fignums() == open_figures  # the callback closes its figures


@pytest.mark.parametrize("arguments, message", [({"every": 0}, "every is 0"), ({"image_ids": [3]}, "3 is not in the data set")])
def test_invalid_arguments_are_rejected(fake_detector, arguments, message):
    with pytest.raises(ValueError, match=message):
        InspectSamples(fake_detector, shapes(3), **arguments)
