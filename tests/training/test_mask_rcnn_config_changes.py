"""Attributes of the configuration that are changed on a built model take effect in the next detection, or are refused."""
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.training.settings import DETECTION_ATTRIBUTES, attribute_values
from tests.training.small import shapes, small_config, small_model


@pytest.fixture
def image():
    return shapes(1, 64, 64).load_image(0)


def _detected_by(model, images, tmp_path):
    """Return what a new model with the present configuration and the weights of `model` detects."""
    values = {name: getattr(model.config, name) for name in dir(model.config)
              if name.isupper() and name not in ("BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE", "BACKBONE")}  # fmt: skip
    fresh = small_model("inference", tmp_path, **values)
    fresh.keras_model.set_weights(model.keras_model.get_weights())
    return fresh.detect(images)


@pytest.mark.parametrize("changes", [
    {"DETECTION_NMS_THRESHOLD": 0.9}, {"RPN_NMS_THRESHOLD": 0.2, "PRE_NMS_LIMIT": 30, "POST_NMS_ROIS_INFERENCE": 4},
    {"MEAN_PIXEL": np.zeros(3), "BBOX_STD_DEV": np.array([0.5, 0.5, 1.0, 1.0]), "RPN_BBOX_STD_DEV": [0.4, 0.4, 0.8, 0.8]},
    {"RPN_ANCHOR_SCALES": (16, 24, 32, 48, 56), "RPN_ANCHOR_RATIOS": [0.3, 1, 3]}, {"IMAGE_MAX_DIM": 128},
    {"IMAGE_RESIZE_MODE": "pad64", "DETECTION_MAX_INSTANCES": 2}], ids=lambda changes: ",".join(changes))  # fmt: skip
def test_a_change_takes_effect_in_the_next_detection(tmp_path, image, changes):
    model = small_model("inference", tmp_path, DETECTION_MAX_INSTANCES=10)
    (before,) = model.detect([image])
    for name, value in changes.items():
        setattr(model.config, name, value)
    (after,) = model.detect([image])
    (expected,) = _detected_by(model, [image], tmp_path)
    assert after["rois"].tolist() == expected["rois"].tolist() and (after["masks"] == expected["masks"]).all()
    np.testing.assert_allclose(after["scores"], expected["scores"], atol=1e-5)
    assert len(before["scores"]) and before["rois"].tolist() != after["rois"].tolist()


def test_every_attribute_that_detection_uses_is_part_of_the_key():
    config = small_config()
    before = attribute_values(config, DETECTION_ATTRIBUTES)
    config.MEAN_PIXEL = np.array(config.MEAN_PIXEL)
    assert attribute_values(config, DETECTION_ATTRIBUTES) == before
    config.MEAN_PIXEL[0] += 1  # in place
    config.IMAGE_MAX_DIM = 128
    after = attribute_values(config, DETECTION_ATTRIBUTES)
    assert {name for name in before if before[name] != after[name]} == {"MEAN_PIXEL", "IMAGE_MAX_DIM", "IMAGE_SHAPE"}


def test_the_minimum_score_and_the_batch_size_need_no_new_model(tmp_path, image):
    model = small_model("inference", tmp_path)
    predictor = model.predictor
    (before,) = model.detect([image])
    model.config.DETECTION_MIN_CONFIDENCE = float(np.sort(before["scores"])[1])
    model.config.IMAGES_PER_GPU = 1
    assert model.predictor is predictor and predictor.batch_size == 1
    assert len(model.detect([image])[0]["scores"]) == len(before["scores"]) - 1


def test_weights_loaded_after_a_change_are_used(tmp_path, image):
    model, other = small_model("inference", tmp_path), small_model("inference", tmp_path, SEED=9)
    model.config.DETECTION_NMS_THRESHOLD = other.config.DETECTION_NMS_THRESHOLD = 0.5
    model.detect([image])
    other.save_weights(tmp_path / "w.h5")
    model.load_weights(tmp_path / "w.h5")
    np.testing.assert_allclose(model.detect([image])[0]["scores"], other.detect([image])[0]["scores"], atol=1e-6)


def test_the_classic_model_and_its_stages_follow_a_change_too(tmp_path, image):
    model = small_model("inference", tmp_path)
    assert model.full_predictor.model is model.keras_model
    model.config.DETECTION_MAX_INSTANCES = 3
    molded, metas, _ = model.mold_inputs([image])
    assert model.full_predictor.run(molded, metas)[0].shape == (1, 3, 6)


@pytest.mark.parametrize("name, value, words", [
    ("NUM_CLASSES", 7, "NUM_CLASSES was 4 .* is 7 now"), ("POOL_SIZE", 5, "POOL_SIZE was 7"),
    ("TRAIN_BN", None, "TRAIN_BN was False"),
    ("RPN_ANCHOR_RATIOS", [1], "RPN_ANCHOR_RATIOS had 3 values .* has 1 now"),
    ("DETECTION_NMS_THRESHOLD", 2, "DETECTION_NMS_THRESHOLD is 2")])  # fmt: skip
def test_what_cannot_change_is_refused(tmp_path, image, name, value, words):
    model = small_model("inference", tmp_path)
    model.detect([image])
    setattr(model.config, name, value)
    with pytest.raises(ConfigError, match=words):
        model.detect([image])
