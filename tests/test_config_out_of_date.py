"""Attributes changed on an instance, after which its computed attributes are out of date."""
import numpy as np
import pytest

from mrcnn.config import Config, ConfigError


@pytest.mark.parametrize("name, value, computed, expected", [
    ("NUM_CLASSES", 7, "IMAGE_META_SIZE", 12 + 7), ("IMAGE_MAX_DIM", 1152, "IMAGE_SHAPE", [1152, 1152, 3]),
    ("IMAGES_PER_GPU", 5, "BATCH_SIZE", 5)])  # fmt: skip
def test_computed_attributes_follow_a_late_change(name, value, computed, expected):
    config = Config()
    setattr(config, name, value)
    config.validate()
    np.testing.assert_array_equal(getattr(config, computed), expected)
    np.testing.assert_array_equal(config.to_dict()[computed], expected)


@pytest.mark.parametrize("name, value", [("IMAGE_META_SIZE", 14), ("IMAGE_SHAPE", np.array([512, 512, 3]))])
def test_a_computed_attribute_that_contradicts_the_others_is_an_error(name, value):
    config = Config()
    setattr(config, name, value)
    with pytest.raises(ConfigError, match=f"{name} is .* but .* give .*leave {name} to be computed"):
        config.validate()


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
