"""The settings that define the network, grouped in the order in which an image passes through it.

`training.settings.network_settings` derives them from a Config; docs/configuration.md explains the attributes.

Shape letters: H W C image, h w feature map, L levels, R proposals, T sampled ROIs, K classes with background, D detections,
M side of a mask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mrcnn.network.backbones import Backbone
from mrcnn.network.backbones.resnet import ResNetVariant
from mrcnn.network.layers.norms import Norm
from mrcnn.network.losses import BoxLoss


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSettings:
    """The input, and how its pixels are normalised.

    Attributes:
        shape: (H, W, C).
        fixed_size: whether every image has this size; if not, H and W may be any multiples of 64.
        mean_pixel: channel means, subtracted from raw images.
        std_pixel: channel standard deviations, by which the difference is divided.
        bgr: whether the channels are then reversed.
        mean_padding: whether the padding is then set to zero, as if it were the mean pixel.
    """

    shape: tuple[int, int, int]
    fixed_size: bool
    mean_pixel: Sequence[float]
    std_pixel: Sequence[float]
    bgr: bool
    mean_padding: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureSettings:
    """The backbone and the pyramid.

    Attributes:
        backbone: name or function; see `get_backbone`.
        resnet: the variant of a backbone that is a ResNet.
        channels: channels of every pyramid level.
        norm: normalisation of the pyramid's convolutions.
    """

    backbone: str | Backbone
    resnet: ResNetVariant
    channels: int
    norm: Norm


@dataclass(frozen=True, eq=False, kw_only=True)
class AnchorSettings:
    """The anchors.

    Attributes:
        scales: side in pixels of each level's square anchors. Levels beyond the last scale have no anchors.
        ratios: width / height of the anchors in each cell.
        level_shapes: (h, w) of each level of the pyramid for images of `ImageSettings.shape`.
        level_strides: pixels per cell of each level of the pyramid.
        stride: cells from one anchor to the next.
        rounded: see `geometry.anchors.generate_anchors`.
        offset: see `geometry.anchors.generate_anchors`.
    """

    scales: Sequence[float]
    ratios: Sequence[float]
    level_shapes: np.ndarray
    level_strides: Sequence[int]
    stride: int
    rounded: bool
    offset: float


@dataclass(frozen=True, eq=False, kw_only=True)
class RpnSettings:
    """The region proposal network, and the choice of proposals.

    Attributes:
        channels: channels of the hidden convolutions.
        convolutions: number of these.
        logits: logits per anchor; see `rpn_graph`.
        bbox_std_dev: standard deviations by which deltas are divided.
        per_level: whether proposals are chosen level by level; see `LevelProposalLayer`.
        pre_nms_limit: number of top-scoring anchors kept before non-maximum suppression.
        nms_threshold: IoU above which the lower-scoring proposal is dropped.
        proposals_training: R in training.
        proposals_inference: R in inference.
    """

    channels: int
    convolutions: int
    logits: int
    bbox_std_dev: Sequence[float]
    per_level: bool
    pre_nms_limit: int
    nms_threshold: float
    proposals_training: int
    proposals_inference: int


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplingSettings:
    """The ROIs that train the heads, and the ground truth that they are compared with.

    Attributes:
        use_rpn_rois: whether they are sampled from the RPN's proposals; if not, from ROIs passed with the batch.
        gt_boxes_as_rois: whether ground-truth boxes are added to these.
        rois_per_image: T.
        positive_ratio: maximum fraction of positive ROIs.
        positive_iou: minimum IoU of a positive ROI with an object.
        fill_negatives: see `DetectionTargetLayer`.
        gt_mask_shape: size of the ground-truth masks.
        use_mini_mask: whether these are cropped to their boxes.
        seed: of the random choice.
    """

    use_rpn_rois: bool
    gt_boxes_as_rois: bool
    rois_per_image: int
    positive_ratio: float
    positive_iou: float
    fill_negatives: bool
    gt_mask_shape: tuple[int, int]
    use_mini_mask: bool
    seed: int


@dataclass(frozen=True, eq=False, kw_only=True)
class HeadSettings:
    """ROI align, the box head and the mask head.

    Attributes:
        norm: normalisation of both heads.
        roi_samples: samples per bin and axis of ROI features in continuous coordinates; see `averaged_roi_align`.
        roi_half_pixel: see `averaged_roi_align`.
        pool_size: side of the box head's ROI features.
        box_convolutions: 3x3 convolutions of the box head.
        box_channels: channels of these.
        fc_layers: fully connected layers of the box head.
        fc_units: units in each of them.
        bbox_std_dev: standard deviations by which the box head's deltas are divided.
        mask_pool_size: side of the mask head's ROI features.
        mask_channels: channels of the mask head.
        mask_shape: size of a mask target: (M, M).
    """

    norm: Norm
    roi_samples: int
    roi_half_pixel: bool
    pool_size: int
    box_convolutions: int
    box_channels: int
    fc_layers: int
    fc_units: int
    bbox_std_dev: Sequence[float]
    mask_pool_size: int
    mask_channels: int
    mask_shape: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionSettings:
    """The choice of detections.

    Attributes:
        max_instances: D.
        min_confidence: minimum score in the classic inference model; None for no threshold.
        nms_threshold: IoU above which the lower-scoring detection is dropped.
        nms: "class", "all" or "soft"; see Config.DETECTION_NMS.
        per_class: whether an ROI can give detections of several classes; see `PerClassDetectionLayer`.
    """

    max_instances: int
    min_confidence: float | None
    nms_threshold: float
    nms: str
    per_class: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class LossSettings:
    """The losses.

    Attributes:
        rpn_box: loss of the RPN's deltas.
        box: loss of the box head's deltas.
        weights: weight of each loss, by name.
        class_weights: weight of each class in the class loss of the heads; None for equal weights.
        weight_decay: weight of the L2 term.
    """

    rpn_box: BoxLoss
    box: BoxLoss
    weights: Mapping[str, float]
    class_weights: Sequence[float] | None
    weight_decay: float


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkSettings:
    """The settings of the whole network.

    Attributes:
        num_classes: K.
        train_bn: see Config.TRAIN_BN.
        continuous: whether boxes are in continuous coordinates; see `geometry.boxes`.
        max_log_scale: see `apply_box_deltas`.
    """

    num_classes: int
    train_bn: bool | None
    continuous: bool
    max_log_scale: float
    image: ImageSettings
    features: FeatureSettings
    anchors: AnchorSettings
    rpn: RpnSettings
    sampling: SamplingSettings
    heads: HeadSettings
    detection: DetectionSettings
    losses: LossSettings
