"""Conversion of a Config to the explicit settings that loading, the network and inference take.

Shape letters: A anchors, C channels, L pyramid levels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int

from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.geometry.boxes import ImageShape
from mrcnn.inference.mold import MoldSettings
from mrcnn.loading import generator
from mrcnn.loading.generator import DetectionTargetSettings
from mrcnn.loading.inspection import InspectionSettings
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from mrcnn.loading.scales import RandomScale, ScaleJitter, ShortSides
from mrcnn.network.mask_rcnn import NetworkSettings

# The attributes of a configuration that define the layers of a network, and those that detection uses besides.
LAYER_ATTRIBUTES = ("NUM_CLASSES", "IMAGE_CHANNEL_COUNT", "BACKBONE", "BACKBONE_STRIDES", "TRAIN_BN", "TOP_DOWN_PYRAMID_SIZE",
                    "RPN_ANCHOR_STRIDE", "RPN_HEAD_CHANNELS", "POOL_SIZE", "MASK_POOL_SIZE", "FPN_CLASSIF_FC_LAYERS_SIZE",
                    "MASK_HEAD_CHANNELS")  # fmt: skip
DETECTION_ATTRIBUTES = (
    "IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE", "IMAGE_SHAPE", "MEAN_PIXEL", "RPN_ANCHOR_SCALES",
    "RPN_ANCHOR_RATIOS", "RPN_BBOX_STD_DEV", "RPN_NMS_THRESHOLD", "PRE_NMS_LIMIT", "POST_NMS_ROIS_INFERENCE", "BBOX_STD_DEV",
    "DETECTION_MAX_INSTANCES", "DETECTION_NMS_THRESHOLD", "DETECTION_MIN_CONFIDENCE")


def attribute_values(config: Config, names: Sequence[str]) -> dict[str, Any]:
    """Return attributes by name, with lists and arrays as tuples, which can be compared and do not change."""
    return {name: _frozen(getattr(config, name)) for name in names}


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def compute_backbone_shapes(config: Config, image_shape: ImageShape) -> Int[np.ndarray, "L 2"]:
    """Return the (height, width) of the feature map of each pyramid level."""
    if callable(config.BACKBONE) and config.COMPUTE_BACKBONE_SHAPE is not None:
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(image_shape))
    return backbone_shapes(image_shape, config.BACKBONE_STRIDES)


def config_anchors(config: Config, image_shape: ImageShape | None = None) -> Float64[np.ndarray, "A 4"]:
    """Return the anchors of an image in pixels. `image_shape` None is IMAGE_SHAPE."""
    image_shape = config.IMAGE_SHAPE if image_shape is None else image_shape
    return generate_pyramid_anchors(config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS,
                                    compute_backbone_shapes(config, image_shape), config.BACKBONE_STRIDES,
                                    config.RPN_ANCHOR_STRIDE)


def level_counts(config: Config, image_shape: ImageShape | None = None) -> list[int]:
    """Return the number of anchors of each pyramid level. `image_shape` None is IMAGE_SHAPE."""
    shapes = compute_backbone_shapes(config, config.IMAGE_SHAPE if image_shape is None else image_shape)
    cells = -(-np.asarray(shapes) // config.RPN_ANCHOR_STRIDE)
    return [int(h * w) * len(config.RPN_ANCHOR_RATIOS) for h, w in cells]


def network_settings(config: Config) -> NetworkSettings:
    """Return the NetworkSettings of a configuration."""
    height, width, channels = (int(side) for side in config.IMAGE_SHAPE)
    mask_height, mask_width = (int(side) for side in (config.MINI_MASK_SHAPE if config.USE_MINI_MASK else (height, width)))
    return NetworkSettings(
        image_shape=(height, width, channels), fixed_size=config.IMAGE_RESIZE_MODE == "square",
        mean_pixel=_mean_pixel(config).tolist(), num_classes=config.NUM_CLASSES, backbone=config.BACKBONE,
        train_bn=config.TRAIN_BN, pyramid_channels=config.TOP_DOWN_PYRAMID_SIZE, anchor_scales=config.RPN_ANCHOR_SCALES,
        anchor_ratios=config.RPN_ANCHOR_RATIOS, level_shapes=compute_backbone_shapes(config, config.IMAGE_SHAPE),
        level_strides=config.BACKBONE_STRIDES, anchor_stride=config.RPN_ANCHOR_STRIDE,
        rpn_channels=config.RPN_HEAD_CHANNELS, rpn_bbox_std_dev=np.asarray(config.RPN_BBOX_STD_DEV, float).tolist(),
        rpn_nms_threshold=config.RPN_NMS_THRESHOLD, pre_nms_limit=config.PRE_NMS_LIMIT,
        proposals_training=config.POST_NMS_ROIS_TRAINING, proposals_inference=config.POST_NMS_ROIS_INFERENCE,
        use_rpn_rois=config.USE_RPN_ROIS, gt_boxes_as_rois=config.GT_BOXES_AS_ROIS,
        rois_per_image=config.TRAIN_ROIS_PER_IMAGE, positive_ratio=config.ROI_POSITIVE_RATIO,
        bbox_std_dev=np.asarray(config.BBOX_STD_DEV, float).tolist(), mask_shape=(config.MASK_SHAPE[0], config.MASK_SHAPE[1]),
        gt_mask_shape=(mask_height, mask_width), use_mini_mask=config.USE_MINI_MASK,
        pool_size=config.POOL_SIZE, mask_pool_size=config.MASK_POOL_SIZE,
        fc_units=config.FPN_CLASSIF_FC_LAYERS_SIZE, mask_channels=config.MASK_HEAD_CHANNELS,
        max_detections=config.DETECTION_MAX_INSTANCES, min_confidence=config.DETECTION_MIN_CONFIDENCE,
        detection_nms_threshold=config.DETECTION_NMS_THRESHOLD, loss_weights=dict(config.LOSS_WEIGHTS),
        weight_decay=config.WEIGHT_DECAY if config.WEIGHT_DECAY_KIND == "classic" else 0.0, seed=config.SEED)  # fmt: skip


def _mean_pixel(config: Config) -> Float32[np.ndarray, " C"]:
    """Return the mean of each channel."""
    return np.broadcast_to(np.asarray(config.MEAN_PIXEL, np.float32), (config.IMAGE_CHANNEL_COUNT,))


def _size(shape: Sequence[int] | np.ndarray) -> tuple[int, int]:
    return int(shape[0]), int(shape[1])


def mold_settings(config: Config) -> MoldSettings:
    """Return the MoldSettings of a configuration."""
    return MoldSettings(
        mean_pixel=_mean_pixel(config), resize_mode=config.IMAGE_RESIZE_MODE, min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM, min_scale=config.IMAGE_MIN_SCALE, num_classes=config.NUM_CLASSES)  # fmt: skip


def sample_settings(config: Config, use_mini_mask: bool | None = None) -> SampleSettings:
    """Return the SampleSettings of a configuration. `use_mini_mask` None is USE_MINI_MASK."""
    mini = config.USE_MINI_MASK if use_mini_mask is None else use_mini_mask
    return SampleSettings(
        resize_mode=config.IMAGE_RESIZE_MODE, min_dim=config.IMAGE_MIN_DIM, max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE, mini_mask_shape=tuple(config.MINI_MASK_SHAPE) if mini else None,
        num_classes=config.NUM_CLASSES, num_channels=config.IMAGE_CHANNEL_COUNT)


def random_scale(config: Config) -> RandomScale | None:
    """Return how a configuration varies the scale of training images; None does not vary it."""
    if config.SCALE_JITTER is not None:
        return ScaleJitter(*config.SCALE_JITTER)
    return ShortSides(tuple(config.TRAIN_MIN_DIMS)) if config.TRAIN_MIN_DIMS is not None else None


def target_settings(config: Config) -> TargetSettings:
    """Return the TargetSettings of a configuration."""
    return TargetSettings(
        anchors=config_anchors(config), num_train_anchors=config.RPN_TRAIN_ANCHORS_PER_IMAGE,
        rpn_bbox_std_dev=config.RPN_BBOX_STD_DEV, max_gt_instances=config.MAX_GT_INSTANCES)


def detection_target_settings(config: Config) -> DetectionTargetSettings:
    """Return the DetectionTargetSettings of a configuration."""
    return DetectionTargetSettings(
        rois_per_image=config.TRAIN_ROIS_PER_IMAGE, positive_ratio=config.ROI_POSITIVE_RATIO,
        num_classes=config.NUM_CLASSES, bbox_std_dev=config.BBOX_STD_DEV, mask_shape=_size(config.MASK_SHAPE),
        use_mini_mask=config.USE_MINI_MASK)


def inspection_settings(config: Config) -> InspectionSettings:
    """Return the InspectionSettings of a configuration, for the inspection of training samples."""
    return InspectionSettings(
        sample=sample_settings(config), targets=target_settings(config), detection=detection_target_settings(config),
        level_shapes=compute_backbone_shapes(config, config.IMAGE_SHAPE), scales=tuple(config.RPN_ANCHOR_SCALES),
        strides=tuple(config.BACKBONE_STRIDES), level_counts=level_counts(config))


def make_loader(dataset: Dataset, config: Config, *, shuffle: bool = True, augmentation: Any = None,
                no_augmentation_sources: Sequence[str] | None = None, scale: RandomScale | None = None) -> Loader:
    """Return the Loader that feeds a training model.

    Args:
        dataset: prepared.
        augmentation: imgaug augmenter.
        no_augmentation_sources: names of sources whose images are neither augmented nor scaled at random.
        scale: draws the scale of each image; see `random_scale`.
    """
    targets = replace(target_settings(config), image_size=_size(config.IMAGE_SHAPE))
    return Loader(dataset, replace(sample_settings(config), random_scale=scale), targets, config.BATCH_SIZE, seed=config.SEED,
                  shuffle=shuffle, augmentation=augmentation,
                  no_augmentation_sources=tuple(no_augmentation_sources or ()), keep_empty=config.TRAIN_EMPTY_IMAGES)


def make_generator(
    dataset: Dataset, config: Config, *, shuffle: bool = True, augmentation: Any = None, random_rois: int = 0,
    batch_size: int = 1, detection_targets: bool = False, no_augmentation_sources: Sequence[str] | None = None,
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Return the classic generator of batches; see `loading.generator.data_generator` for what it yields.

    Args:
        dataset: prepared.
        config: the configuration.
        shuffle: see `loading.generator.data_generator`.
        augmentation: see `make_loader`.
        random_rois: number of random ROIs per image, 0 for none.
        batch_size: images per batch.
        detection_targets: whether to sample the random ROIs and compute head targets for them.
        no_augmentation_sources: see `make_loader`.
    """
    return generator.data_generator(
        dataset, sample_settings(config), target_settings(config), batch_size=batch_size, shuffle=shuffle,
        augmentation=augmentation, no_augmentation_sources=tuple(no_augmentation_sources or ()),
        keep_empty=config.TRAIN_EMPTY_IMAGES, mean_pixel=config.MEAN_PIXEL, random_rois=random_rois,
        detection=detection_target_settings(config) if detection_targets else None)
