"""The attributes of a new MaskRCNN, and the random states that it leaves unchanged."""
import os
import random
import re

import keras
import numpy as np
import pytest

from mrcnn.network.mask_rcnn import Network
from mrcnn.training.mask_rcnn import _seeded
from tests.training.small import small_model, weights_of


def test_log_folder_is_set_but_not_created_before_training(tmp_path):
    model = small_model("training", tmp_path)
    # classic scripts pass it to their own callbacks
    assert re.fullmatch(r"small\d{8}T\d{4}", os.path.basename(model.log_dir))
    assert model.checkpoint_path == os.path.join(model.log_dir, "mask_rcnn_small_{epoch:04d}.h5")
    assert model.epoch == 0 and os.listdir(tmp_path) == []


def test_initial_weights_depend_on_the_seed_and_the_global_random_state_is_restored(tmp_path):
    random.seed(1), np.random.seed(2)
    expected = random.random(), np.random.rand()
    random.seed(1), np.random.seed(2)
    with _seeded(3):
        random.random(), np.random.rand()
    assert (random.random(), np.random.rand()) == expected
    np.random.seed(2)
    first = weights_of(small_model("training", tmp_path).keras_model, "fpn_p2")
    # Python's generator is not compared: beartype, which checks signatures in the tests, draws from it
    assert np.random.rand() == expected[1]
    again = weights_of(small_model("inference", tmp_path).keras_model, "fpn_p2")
    other = weights_of(small_model("inference", tmp_path, SEED=3).keras_model, "fpn_p2")
    np.testing.assert_array_equal(first["fpn_p2/kernel"], again["fpn_p2/kernel"])
    assert (first["fpn_p2/kernel"] != other["fpn_p2/kernel"]).any()


def _draws_around(between, draw, seed):
    """Seed, draw, call `between` and draw once more."""
    seed(5)
    first = np.asarray(draw())
    between()
    return first, np.asarray(draw())


def test_new_model_does_not_change_the_random_state_of_keras(tmp_path):
    def draw():
        return keras.ops.convert_to_numpy(keras.random.normal((3,)))

    expected = _draws_around(lambda: None, draw, keras.utils.set_random_seed)
    found = _draws_around(lambda: small_model("training", tmp_path), draw, keras.utils.set_random_seed)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.tensorflow_only
def test_new_model_does_not_change_the_random_state_of_tensorflow(tmp_path):
    import tensorflow as tf

    def draw():
        return tf.random.normal((3,)).numpy()

    expected = _draws_around(lambda: None, draw, tf.random.set_seed)
    found = _draws_around(lambda: small_model("training", tmp_path), draw, tf.random.set_seed)
    np.testing.assert_array_equal(found, expected)


def test_get_anchors_builds_no_detection_model(tmp_path, monkeypatch):
    model = small_model("training", tmp_path)
    monkeypatch.setattr(Network, "detection_model", None)
    anchors = model.get_anchors((64, 64, 3))
    assert anchors.shape == (1023, 4)  # 3 * (16 * 16 + 8 * 8 + 4 * 4 + 2 * 2 + 1)
    np.testing.assert_allclose(anchors * 63 + [0, 0, 1, 1], model.anchors, atol=1e-4)
