"""Attributes changed on an instance, after which its computed attributes are out of date."""
import numpy as np
import pytest

from mrcnn.config import Config, ConfigError


@pytest.mark.parametrize("name, value, computed", [
    ("NUM_CLASSES", 7, "IMAGE_META_SIZE is 13"), ("IMAGE_MAX_DIM", 1152, "IMAGE_SHAPE is"),
    ("IMAGE_CHANNEL_COUNT", 1, "IMAGE_SHAPE is")])  # fmt: skip
def test_change_that_makes_a_computed_attribute_out_of_date_is_an_error(name, value, computed):
    config = Config()
    setattr(config, name, value)
    with pytest.raises(ConfigError, match=f"{computed}.*subclass"):
        config.validate()
    assert getattr(Config().with_overrides({name: value, **_matching(name)}), name) == value


def _matching(name):
    return {"MEAN_PIXEL": [127.0]} if name == "IMAGE_CHANNEL_COUNT" else {}


def test_other_attributes_may_be_changed_on_an_instance():
    config = Config()
    config.DETECTION_MIN_CONFIDENCE, config.BATCH_SIZE = 0.5, 1  # classic scripts do both
    config.validate()


def test_images_that_are_not_resized_may_have_any_shape():
    class WideConfig(Config):
        IMAGE_RESIZE_MODE = "none"

        def __init__(self):
            super().__init__()
            self.IMAGE_SHAPE = np.array([256, 512, 3])

    WideConfig().validate()
