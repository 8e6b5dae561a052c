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
from mrcnn.loading.augment import RandomScale, ScaleJitter, ShortSides, named_augmentation
from mrcnn.loading.generator import DetectionTargetSettings
from mrcnn.loading.inspection import InspectionSettings
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from mrcnn.network.backbones.resnet import ResNetVariant
from mrcnn.network.layers.norms import Norm
from mrcnn.network.losses import BoxLoss
from mrcnn.network.settings import (
    AnchorSettings,
    DetectionSettings,
    FeatureSettings,
    HeadSettings,
    ImageSettings,
    LossSettings,
    NetworkSettings,
    RpnSettings,
    SamplingSettings,
)
from mrcnn.weights.imagenet import imagenet_settings

# The attributes of a configuration that define the layers of a network, and those that detection uses besides.
LAYER_ATTRIBUTES = ("NUM_CLASSES", "IMAGE_CHANNEL_COUNT", "BACKBONE", "BACKBONE_STRIDES", "TRAIN_BN", "TOP_DOWN_PYRAMID_SIZE",
                    "RPN_ANCHOR_STRIDE", "RPN_HEAD_CHANNELS", "POOL_SIZE", "MASK_POOL_SIZE", "FPN_CLASSIF_FC_LAYERS_SIZE",
                    "MASK_HEAD_CHANNELS", "RESNET_STRIDE_IN_3X3", "RESNET_PADDING", "BIAS_BEFORE_NORM", "NORM_EPSILON",
                    "PYRAMID_NORM", "HEAD_NORM", "RPN_CONVOLUTIONS", "RPN_LOGITS", "BOX_HEAD_CONVOLUTIONS", "BOX_HEAD_CHANNELS",
                    "BOX_HEAD_FC_LAYERS", "BOX_COORDINATES", "ROI_ALIGN_SAMPLES", "ROI_ALIGN_HALF_PIXEL",
                    "PRECISION")  # fmt: skip
DETECTION_ATTRIBUTES = (
    "IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE", "IMAGE_SHAPE", "MEAN_PIXEL", "RPN_ANCHOR_SCALES",
    "RPN_ANCHOR_RATIOS", "RPN_BBOX_STD_DEV", "RPN_NMS_THRESHOLD", "PRE_NMS_LIMIT", "POST_NMS_ROIS_INFERENCE", "BBOX_STD_DEV",
    "DETECTION_MAX_INSTANCES", "DETECTION_NMS_THRESHOLD", "DETECTION_MIN_CONFIDENCE", "STD_PIXEL", "CHANNEL_ORDER",
    "IMAGE_PADDING", "RESIZE_METHOD", "MASK_PASTE", "RPN_ANCHOR_ROUNDED", "RPN_ANCHOR_OFFSET",
    "BBOX_MAX_LOG_SCALE", "PROPOSALS_PER_LEVEL", "DETECTION_PER_CLASS", "DETECTION_NMS")


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


def anchor_levels(config: Config, image_shape: ImageShape) -> tuple[Int[np.ndarray, "L 2"], tuple[int, ...]]:
    """Return the (height, width) and the stride of each pyramid level that has anchors: as many as RPN_ANCHOR_SCALES."""
    count = len(config.RPN_ANCHOR_SCALES)
    return compute_backbone_shapes(config, image_shape)[:count], tuple(config.BACKBONE_STRIDES)[:count]


def config_anchors(config: Config, image_shape: ImageShape | None = None) -> Float64[np.ndarray, "A 4"]:
    """Return the anchors of an image in pixels. `image_shape` None is IMAGE_SHAPE."""
    shapes, strides = anchor_levels(config, config.IMAGE_SHAPE if image_shape is None else image_shape)
    return generate_pyramid_anchors(config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS, shapes, strides,
                                    config.RPN_ANCHOR_STRIDE, config.RPN_ANCHOR_ROUNDED, config.RPN_ANCHOR_OFFSET)


def level_counts(config: Config, image_shape: ImageShape | None = None) -> list[int]:
    """Return the number of anchors of each pyramid level that has any. `image_shape` None is IMAGE_SHAPE."""
    shapes, _ = anchor_levels(config, config.IMAGE_SHAPE if image_shape is None else image_shape)
    cells = -(-np.asarray(shapes) // config.RPN_ANCHOR_STRIDE)
    return [int(h * w) * len(config.RPN_ANCHOR_RATIOS) for h, w in cells]


def network_settings(config: Config) -> NetworkSettings:
    """Return the NetworkSettings of a configuration."""
    height, width, channels = (int(side) for side in config.IMAGE_SHAPE)
    class_weights = config.CLASS_LOSS_WEIGHTS
    return NetworkSettings(
        num_classes=config.NUM_CLASSES, train_bn=config.TRAIN_BN, continuous=is_continuous(config),
        max_log_scale=config.BBOX_MAX_LOG_SCALE,
        image=ImageSettings(
            shape=(height, width, channels), fixed_size=config.IMAGE_RESIZE_MODE == "square",
            mean_pixel=_per_channel(config, config.MEAN_PIXEL).tolist(),
            std_pixel=_per_channel(config, config.STD_PIXEL).tolist(),
            bgr=config.CHANNEL_ORDER == "bgr", mean_padding=config.IMAGE_PADDING == "corner"),
        features=FeatureSettings(
            backbone=config.BACKBONE, resnet=resnet_variant(config), channels=config.TOP_DOWN_PYRAMID_SIZE,
            norm=_norm(config, config.PYRAMID_NORM)),
        anchors=AnchorSettings(
            scales=config.RPN_ANCHOR_SCALES, ratios=config.RPN_ANCHOR_RATIOS,
            level_shapes=compute_backbone_shapes(config, config.IMAGE_SHAPE), level_strides=config.BACKBONE_STRIDES,
            stride=config.RPN_ANCHOR_STRIDE, rounded=config.RPN_ANCHOR_ROUNDED, offset=config.RPN_ANCHOR_OFFSET),
        rpn=RpnSettings(
            channels=config.RPN_HEAD_CHANNELS, convolutions=config.RPN_CONVOLUTIONS, logits=config.RPN_LOGITS,
            bbox_std_dev=_floats(config.RPN_BBOX_STD_DEV), per_level=config.PROPOSALS_PER_LEVEL,
            pre_nms_limit=config.PRE_NMS_LIMIT, nms_threshold=config.RPN_NMS_THRESHOLD,
            proposals_training=config.POST_NMS_ROIS_TRAINING, proposals_inference=config.POST_NMS_ROIS_INFERENCE),
        sampling=SamplingSettings(
            use_rpn_rois=config.USE_RPN_ROIS, gt_boxes_as_rois=config.GT_BOXES_AS_ROIS,
            rois_per_image=config.TRAIN_ROIS_PER_IMAGE, positive_ratio=config.ROI_POSITIVE_RATIO,
            positive_iou=config.ROI_POSITIVE_IOU, fill_negatives=config.ROI_FILL_NEGATIVES,
            gt_mask_shape=_size(config.MINI_MASK_SHAPE) if config.USE_MINI_MASK else (height, width),
            use_mini_mask=config.USE_MINI_MASK, seed=config.SEED),
        heads=HeadSettings(
            norm=_norm(config, config.HEAD_NORM), roi_samples=config.ROI_ALIGN_SAMPLES,
            roi_half_pixel=config.ROI_ALIGN_HALF_PIXEL, pool_size=config.POOL_SIZE,
            box_convolutions=config.BOX_HEAD_CONVOLUTIONS, box_channels=config.BOX_HEAD_CHANNELS,
            fc_layers=config.BOX_HEAD_FC_LAYERS, fc_units=config.FPN_CLASSIF_FC_LAYERS_SIZE,
            bbox_std_dev=_floats(config.BBOX_STD_DEV), mask_pool_size=config.MASK_POOL_SIZE,
            mask_channels=config.MASK_HEAD_CHANNELS, mask_shape=_size(config.MASK_SHAPE)),
        detection=DetectionSettings(
            max_instances=config.DETECTION_MAX_INSTANCES, min_confidence=config.DETECTION_MIN_CONFIDENCE,
            nms_threshold=config.DETECTION_NMS_THRESHOLD, nms=config.DETECTION_NMS, per_class=config.DETECTION_PER_CLASS),
        losses=LossSettings(
            rpn_box=_box_loss(config, config.RPN_BBOX_LOSS, config.RPN_SMOOTH_L1_BETA, config.RPN_BBOX_STD_DEV),
            box=_box_loss(config, config.BBOX_LOSS, config.SMOOTH_L1_BETA, config.BBOX_STD_DEV),
            weights=dict(config.LOSS_WEIGHTS), class_weights=None if class_weights is None else _floats(class_weights),
            weight_decay=config.WEIGHT_DECAY if config.WEIGHT_DECAY_KIND == "classic" else 0.0))  # fmt: skip


def _floats(values: Any) -> list[float]:
    return np.asarray(values, float).tolist()


def is_continuous(config: Config) -> bool:
    """Return whether boxes are in continuous coordinates; see `geometry.boxes`."""
    return config.BOX_COORDINATES == "continuous"


def _per_channel(config: Config, values: Any) -> Float32[np.ndarray, " C"]:
    """Return one number for each channel, from one for all channels or one for each."""
    return np.broadcast_to(np.asarray(values, np.float32), (config.IMAGE_CHANNEL_COUNT,))


def _norm(config: Config, kind: str | None) -> Norm:
    return Norm(kind, config.TRAIN_BN, config.NORM_EPSILON, config.BIAS_BEFORE_NORM)


def _box_loss(config: Config, kind: str, beta: float, std_dev: Any) -> BoxLoss:
    return BoxLoss(kind, beta, tuple(_floats(std_dev)), config.BOX_LOSS_PER_SAMPLE)


def resnet_variant(config: Config) -> ResNetVariant:
    """Return the ResNetVariant of a configuration."""
    return ResNetVariant(stride_in_3x3=config.RESNET_STRIDE_IN_3X3, use_bias=config.BIAS_BEFORE_NORM,
                         symmetric_padding=config.RESNET_PADDING == "symmetric", epsilon=config.NORM_EPSILON)


def unmet_imagenet_settings(config: Config) -> list[str]:
    """Return the settings of the backbone's ImageNet weights that a configuration does not have, as "NAME=value".

    Images that are not RGB have a mean and a deviation of their own.
    """
    wanted = imagenet_settings(config.BACKBONE, config.IMAGE_CHANNEL_COUNT, config.RESNET_STRIDE_IN_3X3)
    if config.IMAGE_CHANNEL_COUNT != 3:
        wanted = {name: value for name, value in wanted.items() if name not in ("MEAN_PIXEL", "STD_PIXEL")}
    return [f"{name}={value.tolist() if isinstance(value, np.ndarray) else value!r}" for name, value in wanted.items()
            if not _is_close(getattr(config, name), value)]  # fmt: skip


def _is_close(value: Any, wanted: Any) -> bool:
    """Compare attributes; a grey level is no difference."""
    if isinstance(wanted, str):
        return value == wanted
    return np.size(value) in (1, wanted.size) and bool(np.allclose(value, wanted, rtol=0, atol=1))


def _size(shape: Sequence[int] | np.ndarray) -> tuple[int, int]:
    return int(shape[0]), int(shape[1])


def mold_settings(config: Config) -> MoldSettings:
    """Return the MoldSettings of a configuration."""
    return MoldSettings(
        mean_pixel=_per_channel(config, config.MEAN_PIXEL), resize_mode=config.IMAGE_RESIZE_MODE,
        min_dim=config.IMAGE_MIN_DIM, max_dim=config.IMAGE_MAX_DIM, min_scale=config.IMAGE_MIN_SCALE,
        num_classes=config.NUM_CLASSES, std_pixel=_per_channel(config, config.STD_PIXEL), bgr=config.CHANNEL_ORDER == "bgr",
        in_corner=config.IMAGE_PADDING == "corner", resize_method=config.RESIZE_METHOD, continuous=is_continuous(config),
        paste=config.MASK_PASTE)  # fmt: skip


def sample_settings(config: Config, use_mini_mask: bool | None = None) -> SampleSettings:
    """Return the SampleSettings of a configuration. `use_mini_mask` None is USE_MINI_MASK."""
    mini = config.USE_MINI_MASK if use_mini_mask is None else use_mini_mask
    return SampleSettings(
        resize_mode=config.IMAGE_RESIZE_MODE, min_dim=config.IMAGE_MIN_DIM, max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE, in_corner=config.IMAGE_PADDING == "corner",
        resize_method=config.RESIZE_METHOD, mini_mask_shape=tuple(config.MINI_MASK_SHAPE) if mini else None,
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
        rpn_bbox_std_dev=config.RPN_BBOX_STD_DEV, max_gt_instances=config.MAX_GT_INSTANCES,
        positive_iou=config.RPN_POSITIVE_IOU, negative_iou=config.RPN_NEGATIVE_IOU)


def detection_target_settings(config: Config) -> DetectionTargetSettings:
    """Return the DetectionTargetSettings of a configuration."""
    return DetectionTargetSettings(
        rois_per_image=config.TRAIN_ROIS_PER_IMAGE, positive_ratio=config.ROI_POSITIVE_RATIO,
        num_classes=config.NUM_CLASSES, bbox_std_dev=config.BBOX_STD_DEV, mask_shape=_size(config.MASK_SHAPE),
        use_mini_mask=config.USE_MINI_MASK)


def inspection_settings(config: Config) -> InspectionSettings:
    """Return the InspectionSettings of a configuration, for the inspection of training samples."""
    shapes, strides = anchor_levels(config, config.IMAGE_SHAPE)
    return InspectionSettings(
        sample=sample_settings(config), targets=target_settings(config), detection=detection_target_settings(config),
        level_shapes=shapes, scales=tuple(config.RPN_ANCHOR_SCALES), strides=strides, level_counts=level_counts(config))


def make_loader(dataset: Dataset, config: Config, *, shuffle: bool = True, augmentation: Any = None,
                no_augmentation_sources: Sequence[str] | None = None, scale: RandomScale | None = None,
                repeat_threshold: float | None = None, copy_paste: float = 0.0) -> Loader:
    """Return the Loader that feeds a training model.

    Args:
        dataset: prepared.
        augmentation: imgaug augmenter.
        no_augmentation_sources: names of sources whose images are neither augmented nor scaled at random.
        scale: draws the scale of each image; see `random_scale`.
        repeat_threshold, copy_paste: see `Loader`.
    """
    targets = replace(target_settings(config), image_size=_size(config.IMAGE_SHAPE))
    return Loader(dataset, replace(sample_settings(config), random_scale=scale), targets, config.BATCH_SIZE, seed=config.SEED,
                  shuffle=shuffle, augmentation=augmentation,
                  no_augmentation_sources=tuple(no_augmentation_sources or ()), keep_empty=config.TRAIN_EMPTY_IMAGES,
                  repeat_threshold=repeat_threshold, copy_paste=copy_paste)


def training_loader(dataset: Dataset, config: Config, augmentation: Any = None,
                    no_augmentation_sources: Sequence[str] | None = None) -> Loader:
    """Return the Loader of a training run, with every random change of images that the configuration asks for.

    Args:
        dataset: prepared.
        augmentation: imgaug augmenter, which replaces TRAIN_AUGMENT.
        no_augmentation_sources: see `make_loader`.
    """
    augmentation = named_augmentation(config.TRAIN_AUGMENT) if augmentation is None else augmentation
    return make_loader(dataset, config, augmentation=augmentation, no_augmentation_sources=no_augmentation_sources,
                       scale=random_scale(config), repeat_threshold=config.REPEAT_THRESHOLD,
                       copy_paste=float(config.COPY_PASTE))  # fmt: skip


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
