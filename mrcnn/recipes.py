"""Recipes: named configurations, which reproduce the networks of other frameworks or collect today's practice.

    class ToysConfig(recipes.get("torchvision_v2")):
        NAME = "toys"
        NUM_CLASSES = 1 + 3

or `mrcnn train ... --recipe torchvision_v2`. Each is a Config subclass whose docstring lists what differs from the classic
configuration, with the source of each value. `mrcnn recipes` prints them.
"""

import inspect
import math
from typing import Any

import numpy as np

from mrcnn.config import Config, ConfigError

# ImageNet statistics that both frameworks use for images in RGB, in 0..255.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406]) * 255
IMAGENET_STD = np.array([0.229, 0.224, 0.225]) * 255


class Classic(Config):
    """The network and the training of the classic Keras Mask R-CNN (2017), for projects and weights of that time.

        mrcnn train coco --dataset DIR --recipe classic

    Every value is Config's default.
    """


class Common(Config):
    """What all recipes but `Classic` share: the choices on which torchvision and detectron2 agree, whatever the backbone.

    | attribute | value | source |
    |---|---|---|
    | IMAGE_PADDING | corner | torchvision's GeneralizedRCNNTransform.batch_images, detectron2's ImageList.from_tensors |
    | BOX_COORDINATES | continuous | both measure boxes from edge to edge |
    | RPN_LOGITS | 1 | one objectness logit per anchor |
    | BBOX_MAX_LOG_SCALE | log(1000 / 16) | bbox_xform_clip, SCALE_CLAMP |
    | PROPOSALS_PER_LEVEL | True | filter_proposals, find_top_rpn_proposals |
    | GT_BOXES_AS_ROIS | True | add_gt_proposals, PROPOSAL_APPEND_GT |
    | ROI_POSITIVE_RATIO, ROI_FILL_NEGATIVES | 0.25, True | box_positive_fraction, POSITIVE_FRACTION |
    | DETECTION_PER_CLASS | True | postprocess_detections, fast_rcnn_inference |
    | DETECTION_NMS_THRESHOLD | 0.5 | box_nms_thresh, NMS_THRESH_TEST |
    """

    IMAGE_PADDING = "corner"
    BOX_COORDINATES = "continuous"
    RPN_LOGITS = 1
    BBOX_MAX_LOG_SCALE = math.log(1000 / 16)
    PROPOSALS_PER_LEVEL = True
    GT_BOXES_AS_ROIS = True
    ROI_POSITIVE_RATIO = 0.25
    ROI_FILL_NEGATIVES = True
    DETECTION_PER_CLASS = True
    DETECTION_NMS_THRESHOLD = 0.5


class Detectron(Common):
    """What the recipes of torchvision and detectron2 share in addition to `Common`.

    | attribute | value | source |
    |---|---|---|
    | RESNET_PADDING | symmetric | PyTorch's padding=1 in the max-pooling and in 3x3 convolutions |
    | BIAS_BEFORE_NORM, NORM_EPSILON | False, 1e-5 | PyTorch's defaults of convolutions before a norm, and of BatchNorm2d |
    | RPN_ANCHOR_RATIOS | 2, 1, 0.5 | width / height here; both list 0.5, 1, 2 as height / width |
    | RPN_HEAD_CHANNELS | 256 | as many channels as the pyramid |
    | RPN_BBOX_STD_DEV | 1 | box coder weights of 1 |
    | PRE_NMS_LIMIT | 1000 | of each level, in detection |
    | POST_NMS_ROIS_TRAINING, POST_NMS_ROIS_INFERENCE | 1000, 1000 | after non-maximum suppression |
    | TRAIN_ROIS_PER_IMAGE | 512 | box_batch_size_per_image, BATCH_SIZE_PER_IMAGE |
    | DETECTION_MIN_CONFIDENCE | 0.05 | box_score_thresh, SCORE_THRESH_TEST |
    | IMAGE_MIN_DIM, IMAGE_MAX_DIM | 800, 1344 | min_size 800, max_size 1333, rounded up to a multiple of 64 |
    | GRADIENT_CLIP_NORM | None | neither clips gradients |
    | BOX_LOSS_PER_SAMPLE | True | box losses divided by the number of sampled anchors or ROIs |
    | OPTIMIZER, LEARNING_MOMENTUM | sgd, 0.9 | torch.optim.SGD in both |
    | LEARNING_RATE, LEARNING_RATE_BATCH | 0.02, 16 | for 16 images per step, scaled to the batch |
    | LEARNING_RATE_SCHEDULE, LEARNING_RATE_WARMUP | step, 1000 | linear warm-up from a thousandth |
    | WEIGHT_DECAY_KIND, WEIGHT_DECAY | l2, 0.0001 | torch.optim.SGD; both decay biases too, ours does not |
    | TRAIN_LAYERS, TRAIN_AUGMENT | 3+, flip | the stem and the first stage stay frozen; half of the images are flipped |

    and what `Common` lists.
    """

    BACKBONE = "resnet50"
    OPTIMIZER = "sgd"
    LEARNING_MOMENTUM = 0.9
    RESNET_PADDING = "symmetric"
    BIAS_BEFORE_NORM = False
    NORM_EPSILON = 1e-5
    RPN_ANCHOR_RATIOS = (2, 1, 0.5)
    RPN_HEAD_CHANNELS = 256
    RPN_BBOX_STD_DEV = np.ones(4)
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 1000
    POST_NMS_ROIS_INFERENCE = 1000
    TRAIN_ROIS_PER_IMAGE = 512
    DETECTION_MIN_CONFIDENCE = 0.05
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1344
    GRADIENT_CLIP_NORM = None
    BOX_LOSS_PER_SAMPLE = True
    LEARNING_RATE = 0.02
    LEARNING_RATE_BATCH = 16
    LEARNING_RATE_SCHEDULE = "step"
    LEARNING_RATE_WARMUP = 1000
    WEIGHT_DECAY_KIND = "l2"
    TRAIN_LAYERS = "3+"
    TRAIN_AUGMENT = "flip"


class Torchvision(Detectron):
    """torchvision's maskrcnn_resnet50_fpn: box AP 37.9, mask AP 34.6 on COCO 2017 val with its weights COCO_V1.

        mrcnn train coco --dataset DIR --recipe torchvision

    | attribute | value | source |
    |---|---|---|
    | MEAN_PIXEL, STD_PIXEL | ImageNet's | image_mean and image_std of MaskRCNN |
    | RESNET_STRIDE_IN_3X3 | True | Bottleneck: "ResNet V1.5" |
    | HEAD_NORM | None | TwoMLPHead and MaskRCNNHeads without norm_layer |
    | RPN_ANCHOR_ROUNDED | True | AnchorGenerator.generate_anchors |
    | ROI_ALIGN_SAMPLES, ROI_ALIGN_HALF_PIXEL | 2, False | MultiScaleRoIAlign: sampling_ratio=2, aligned=False |
    | RESIZE_METHOD | torchvision | torch.nn.functional.interpolate with a scale factor, of floats |
    | MASK_PASTE | torchvision | paste_masks_in_image |
    | RPN_SMOOTH_L1_BETA, SMOOTH_L1_BETA | 1 / 9, 1 / 9 | smooth_l1_loss(beta=1 / 9) in rpn.py and roi_heads.py |
    | LEARNING_RATE_STEPS, TRAIN_EPOCHS | 16 / 26, 22 / 26; 26 | references/detection: --lr-steps 16 22 --epochs 26 |

    and what `Detectron` and `Common` list.
    """

    MEAN_PIXEL = IMAGENET_MEAN
    STD_PIXEL = IMAGENET_STD
    RESNET_STRIDE_IN_3X3 = True
    HEAD_NORM: str | None = None
    RPN_ANCHOR_ROUNDED = True
    ROI_ALIGN_SAMPLES = 2
    ROI_ALIGN_HALF_PIXEL = False
    RESIZE_METHOD = "torchvision"
    MASK_PASTE = "torchvision"
    RPN_SMOOTH_L1_BETA = 1 / 9
    SMOOTH_L1_BETA = 1 / 9
    LEARNING_RATE_STEPS = (16 / 26, 22 / 26)
    TRAIN_EPOCHS = 26


class TorchvisionV2(Torchvision):
    """torchvision's maskrcnn_resnet50_fpn_v2: box AP 47.4, mask AP 41.8 on COCO 2017 val with its weights COCO_V1.

        mrcnn train coco --dataset DIR --recipe torchvision_v2

    | attribute | value | source |
    |---|---|---|
    | PYRAMID_NORM, HEAD_NORM | batch, batch | norm_layer=nn.BatchNorm2d |
    | RPN_CONVOLUTIONS | 2 | RPNHead(conv_depth=2) |
    | BOX_HEAD_CONVOLUTIONS, BOX_HEAD_FC_LAYERS | 4, 1 | FastRCNNConvFCHead([256] * 4, [1024]) |

    and what `Torchvision` lists.
    """

    PYRAMID_NORM = "batch"
    HEAD_NORM = "batch"
    RPN_CONVOLUTIONS = 2
    BOX_HEAD_CONVOLUTIONS = 4
    BOX_HEAD_FC_LAYERS = 1


class Detectron2(Detectron):
    """detectron2's model zoo, mask_rcnn_R_50_FPN and (with BACKBONE resnet101) R_101_FPN: mask AP 37.2 and 38.6 on COCO 2017
    val with the weights of its 3x schedule.

        mrcnn train coco --dataset DIR --recipe detectron2

    | attribute | value | source |
    |---|---|---|
    | CHANNEL_ORDER | bgr | INPUT.FORMAT: the backbones are MSRA's, from Caffe |
    | MEAN_PIXEL, STD_PIXEL | 123.675, 116.28, 103.53; 1 | MODEL.PIXEL_MEAN and PIXEL_STD, here in RGB |
    | RESNET_STRIDE_IN_3X3 | False | MODEL.RESNETS.STRIDE_IN_1X1 |
    | HEAD_NORM | None | FastRCNNConvFCHead and MaskRCNNConvUpsampleHead without norm |
    | BOX_HEAD_FC_LAYERS | 2 | MODEL.ROI_BOX_HEAD.NUM_FC |
    | ROI_ALIGN_SAMPLES, ROI_ALIGN_HALF_PIXEL | 0, True | POOLER_SAMPLING_RATIO 0, ROIAlignV2 |
    | RESIZE_METHOD | detectron2 | ResizeShortestEdge, with Pillow |
    | MASK_PASTE | detectron2 | paste_masks_in_image |
    | RPN_BBOX_LOSS, BBOX_LOSS | l1, l1 | SMOOTH_L1_BETA 0.0 |
    | LEARNING_RATE_STEPS, TRAIN_EPOCHS | 7 / 9, 25 / 27; 37 | the 3x schedule: steps 210k and 250k of 270k |

    and what `Detectron` and `Common` list.
    """

    CHANNEL_ORDER = "bgr"
    MEAN_PIXEL = np.array([123.675, 116.28, 103.53])
    STD_PIXEL = 1.0
    HEAD_NORM: str | None = None
    ROI_ALIGN_SAMPLES = 0
    ROI_ALIGN_HALF_PIXEL = True
    RESIZE_METHOD = "detectron2"
    MASK_PASTE = "detectron2"
    RPN_BBOX_LOSS = "l1"
    BBOX_LOSS = "l1"
    LEARNING_RATE_STEPS = (7 / 9, 25 / 27)
    TRAIN_EPOCHS = 37


class Detectron2Lsj(Detectron2):
    """detectron2's new_baselines, mask_rcnn_R_50_FPN_*ep_LSJ: mask AP 42.5 on COCO 2017 val after 400 epochs.

        mrcnn train coco --dataset DIR --recipe detectron2_lsj

    | attribute | value | source |
    |---|---|---|
    | PYRAMID_NORM, HEAD_NORM | batch, batch | backbone.norm, box_head.conv_norm and mask_head.conv_norm are SyncBN |
    | RPN_CONVOLUTIONS | 2 | rpn_head.conv_dims [-1, -1] |
    | BOX_HEAD_CONVOLUTIONS, BOX_HEAD_FC_LAYERS | 4, 1 | box_head.conv_dims [256] * 4, fc_dims [1024] |

    and what `Detectron2` lists. Of their training, large-scale jitter (SCALE_JITTER=(0.1, 2.0)), 64 images per step and
    hundreds of epochs are not set, because they need many GPUs.
    """

    PYRAMID_NORM = "batch"
    HEAD_NORM = "batch"
    RPN_CONVOLUTIONS = 2
    BOX_HEAD_CONVOLUTIONS = 4
    BOX_HEAD_FC_LAYERS = 1


class Modern(Common):
    """Today's practice for your own data, on any backbone. `mrcnn train` builds on it when it starts from a small backbone
    trained on ImageNet.

        mrcnn train labelme --dataset DIR --recipe modern

    | attribute | value | source |
    |---|---|---|
    | ROI_ALIGN_SAMPLES, ROI_ALIGN_HALF_PIXEL | 2, True | torchvision's number of samples, detectron2's ROIAlignV2 |
    | RESIZE_METHOD | opencv | ResizeShortestEdge, but by OpenCV, which loads images faster than Pillow |
    | MASK_PASTE | detectron2 | paste_masks_in_image |
    | DETECTION_MIN_CONFIDENCE | 0.5 | ours: more likely an object than not; `evaluate` counts detections of every score |
    | EMA_MOMENTUM | 0.998 | averages over some 500 steps; Mean Teacher (Tarvainen and Valpola 2017), section 2 |

    and what `Common` lists.
    """

    ROI_ALIGN_SAMPLES = 2
    ROI_ALIGN_HALF_PIXEL = True
    RESIZE_METHOD = "opencv"
    MASK_PASTE = "detectron2"
    DETECTION_MIN_CONFIDENCE = 0.5
    EMA_MOMENTUM = 0.998


RECIPES: dict[str, type[Config]] = {
    "classic": Classic, "torchvision": Torchvision, "torchvision_v2": TorchvisionV2, "detectron2": Detectron2,
    "detectron2_lsj": Detectron2Lsj, "modern": Modern}  # fmt: skip


def names() -> list[str]:
    """Return the names of the recipes."""
    return list(RECIPES)


def values(name: str) -> dict[str, Any]:
    """Return the attributes that a recipe sets, by name; the others are Config's."""
    lineage = [cls for cls in reversed(get(name).__mro__) if issubclass(cls, Config) and cls is not Config]
    return {key: value for cls in lineage for key, value in vars(cls).items() if key.isupper()}


def summary(name: str) -> str:
    """Return the first paragraph of a recipe's docstring, as one line."""
    text = inspect.getdoc(get(name)) or ""
    return " ".join(text.split("\n\n")[0].split())


def get(name: str) -> type[Config]:
    """Return the Config subclass of a recipe.

    Raises:
        ConfigError: the recipe is unknown.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
