"""Settings derived from a configuration."""
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.training import settings
from mrcnn.weights.imagenet import imagenet_settings
from tests.training.small import shapes, small_config


def test_backbone_shapes_round_up():
    config = small_config(BACKBONE="resnet50")
    assert settings.compute_backbone_shapes(config, (130, 64, 3)).tolist() == [
        [33, 16], [17, 8], [9, 4], [5, 2], [3, 1]]  # fmt: skip


def test_callable_backbone_may_define_its_shapes():
    def half_size(image_shape):
        return [[image_shape[0] // 2, image_shape[1] // 2]] * 5

    config = small_config(COMPUTE_BACKBONE_SHAPE=staticmethod(half_size))
    assert settings.compute_backbone_shapes(config, (64, 128, 3)).tolist() == [[32, 64]] * 5
    assert settings.compute_backbone_shapes(small_config(), (64, 128, 3))[0].tolist() == [16, 32]
    assert settings.compute_backbone_shapes(
        small_config(BACKBONE="resnet50", COMPUTE_BACKBONE_SHAPE=staticmethod(half_size)), (64, 128, 3))[0].tolist() == [16, 32]


def test_anchors_depend_on_the_image_shape():
    config = small_config()
    # 3 ratios at each cell of 16^2 + 8^2 + 4^2 + 2^2 + 1
    assert settings.config_anchors(config).shape == (3 * (256 + 64 + 16 + 4 + 1), 4)
    assert settings.config_anchors(config, (64, 128, 3)).shape == (3 * 2 * (256 + 64 + 16 + 4 + 1), 4)
    anchors = settings.config_anchors(config)[:3]  # side 8 in the first cell; the ratio is width / height
    np.testing.assert_allclose(anchors[1], [-4, -4, 4, 4])
    assert anchors[0, 2] - anchors[0, 0] > anchors[0, 3] - anchors[0, 1]


def test_sample_settings():
    found = settings.sample_settings(small_config(IMAGE_MIN_SCALE=2))
    assert (found.resize_mode, found.min_dim, found.max_dim, found.min_scale, found.mini_mask_shape, found.num_classes) == (
        "square", 64, 64, 2, (16, 16), 4)  # fmt: skip
    assert settings.sample_settings(small_config(), use_mini_mask=False).mini_mask_shape is None
    assert settings.sample_settings(small_config(USE_MINI_MASK=False)).mini_mask_shape is None
    assert settings.sample_settings(small_config(USE_MINI_MASK=False), use_mini_mask=True).mini_mask_shape == (16, 16)


def test_target_settings():
    found = settings.target_settings(small_config(RPN_TRAIN_ANCHORS_PER_IMAGE=77))
    assert (found.num_train_anchors, found.max_gt_instances, found.anchors.shape) == (77, 4, (1023, 4))
    found = settings.detection_target_settings(small_config(ROI_POSITIVE_RATIO=0.4, USE_MINI_MASK=False))
    assert (found.rois_per_image, found.positive_ratio, found.num_classes, found.mask_shape, found.use_mini_mask) == (
        8, 0.4, 4, (28, 28), False)  # fmt: skip


@pytest.mark.parametrize("mean, channels, expected", [
    ([1.0, 2.0, 3.0], 3, [1, 2, 3]), (100.0, 1, [100]), (100.0, 4, [100] * 4), ([7.0], 3, [7] * 3),
])  # fmt: skip
def test_single_mean_is_used_for_all_channels(mean, channels, expected):
    found = settings.mold_settings(small_config(MEAN_PIXEL=mean, IMAGE_CHANNEL_COUNT=channels))
    assert found.mean_pixel.tolist() == expected


def test_loader_gets_all_settings():
    augmentation = object()
    loader = settings.make_loader(shapes(3), small_config(SEED=9, TRAIN_EMPTY_IMAGES=True), shuffle=False,
                                  augmentation=augmentation, no_augmentation_sources=["shapes"])
    assert (loader.seed, loader.batch_size, loader.shuffle, loader.keep_empty) == (9, 2, False, True)
    assert loader.augmentation is augmentation and loader.no_augmentation_sources == ("shapes",)


def test_settings_that_imagenet_weights_need_are_listed():
    class Lite(Config):
        BACKBONE = "efficientnet_lite0"
        MEAN_PIXEL = 127.5  # for all channels, and less than a grey level is no difference
        STD_PIXEL = 1.0
        CHANNEL_ORDER = "bgr"

    assert settings.unmet_imagenet_settings(Lite()) == ["STD_PIXEL=[128.0, 128.0, 128.0]", "CHANNEL_ORDER='rgb'"]
    assert settings.unmet_imagenet_settings(Lite().with_overrides(imagenet_settings("efficientnet_lite0"))) == []
    assert settings.unmet_imagenet_settings(Config()) == []  # resnet101 of keras.applications
    # four channels that are not RGB have a mean and a deviation of their own
    assert settings.unmet_imagenet_settings(Lite().with_overrides({"IMAGE_CHANNEL_COUNT": 4})) == ["CHANNEL_ORDER='rgb'"]
