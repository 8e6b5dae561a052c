"""From a Config to the explicit arguments of the inner rings. Config attributes are translated here and nowhere else."""

import numpy as np

from mrcnn.data.loader import Loader, TargetSettings
from mrcnn.data.sample import SampleSettings
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors


def compute_backbone_shapes(config, image_shape):
    """Return the (height, width) of each pyramid level.

    Args:
        config: Config.
        image_shape: (height, width, ...) in pixels.

    Returns:
        int array [L, 2].
    """
    if callable(config.BACKBONE) and config.COMPUTE_BACKBONE_SHAPE is not None:
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(image_shape))
    return backbone_shapes(image_shape, config.BACKBONE_STRIDES)


def config_anchors(config, image_shape=None):
    """Return the anchors of an image: float [A, 4] in pixels.

    Args:
        config: Config.
        image_shape: (height, width, ...); IMAGE_SHAPE when None.
    """
    image_shape = config.IMAGE_SHAPE if image_shape is None else image_shape
    return generate_pyramid_anchors(config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS,
                                    compute_backbone_shapes(config, image_shape), config.BACKBONE_STRIDES,
                                    config.RPN_ANCHOR_STRIDE)


def mold_settings(config):
    """Return the keyword arguments of `inference.mold.mold_input`."""
    mean_pixel = np.broadcast_to(np.asarray(config.MEAN_PIXEL, np.float32), (config.IMAGE_CHANNEL_COUNT,))
    return {"mean_pixel": mean_pixel, "resize_mode": config.IMAGE_RESIZE_MODE, "min_dim": config.IMAGE_MIN_DIM,
            "max_dim": config.IMAGE_MAX_DIM, "min_scale": config.IMAGE_MIN_SCALE, "num_classes": config.NUM_CLASSES}


def sample_settings(config, use_mini_mask=None):
    """Return the SampleSettings of a configuration; `use_mini_mask` None follows USE_MINI_MASK."""
    mini = config.USE_MINI_MASK if use_mini_mask is None else use_mini_mask
    return SampleSettings(
        resize_mode=config.IMAGE_RESIZE_MODE, min_dim=config.IMAGE_MIN_DIM, max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE, mini_mask_shape=tuple(config.MINI_MASK_SHAPE) if mini else None,
        num_classes=config.NUM_CLASSES)


def make_loader(dataset, config, *, shuffle=True, augmentation=None, no_augmentation_sources=None):
    """Return the Loader that feeds a training model.

    Args:
        dataset: Dataset, prepared.
        config: Config.
        shuffle: bool.
        augmentation: imgaug augmenter, optional.
        no_augmentation_sources: list of source names whose images are not augmented, optional.
    """
    targets = TargetSettings(
        anchors=config_anchors(config), num_train_anchors=config.RPN_TRAIN_ANCHORS_PER_IMAGE,
        rpn_bbox_std_dev=config.RPN_BBOX_STD_DEV, max_gt_instances=config.MAX_GT_INSTANCES)
    return Loader(dataset, sample_settings(config), targets, config.BATCH_SIZE, seed=config.SEED, shuffle=shuffle,
                  augmentation=augmentation, no_augmentation_sources=tuple(no_augmentation_sources or ()),
                  keep_empty=config.TRAIN_EMPTY_IMAGES, mean_pixel=config.MEAN_PIXEL)
