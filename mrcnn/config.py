"""The configuration of a data set, a network and a training run.

Subclass `Config`, override the class attributes that differ, and pass an instance to `MaskRCNN`:

    class ToysConfig(Config):
        NAME = "toys"
        NUM_CLASSES = 1 + 3

Every default is the classic one. `validate` finds misspelt attributes and values that contradict each other before
anything long starts; `MaskRCNN` calls it.
"""

import copy
import difflib
import inspect
import json
import numbers
from pathlib import Path

import numpy as np

from mrcnn.base.atomic_write import atomic_open

RESIZE_MODES = ("none", "square", "pad64", "crop")
# Attributes that are computed, and what from.
COMPUTED = {"BATCH_SIZE": "IMAGES_PER_GPU and GPU_COUNT",
            "IMAGE_SHAPE": "IMAGE_RESIZE_MODE, IMAGE_MIN_DIM, IMAGE_MAX_DIM and IMAGE_CHANNEL_COUNT",
            "IMAGE_META_SIZE": "NUM_CLASSES"}
# Attributes that are True or False.
FLAGS = ("USE_MINI_MASK", "GT_BOXES_AS_ROIS", "TRAIN_EMPTY_IMAGES", "USE_RPN_ROIS", "LOADER_PROCESSES")
LOSS_NAMES = ("rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss")
# Attributes that may be functions of the user's own.
CALLABLE_NAMES = ("BACKBONE", "COMPUTE_BACKBONE_SHAPE", "OPTIMIZER")


class ConfigError(ValueError):
    """A configuration that cannot work. The message lists everything that was found."""


class Config:
    """Base configuration. All UPPERCASE class attributes may be overridden in a subclass.

    An instance adds three computed attributes:
        BATCH_SIZE: int. IMAGES_PER_GPU * GPU_COUNT, images of a training step.
        IMAGE_SHAPE: int array [3], (height, width, channels) of the network's input in the modes "square" and "crop".
        IMAGE_META_SIZE: int. Length of an image's meta row, 12 + NUM_CLASSES.
    """

    # --- Run -------------------------------------------------------------------------------------------------------
    # Name of the data set or experiment; log folders and checkpoints carry it. Required.
    NAME = None
    # Images a device, and devices that share a batch: a training batch is their product. A 12 GB GPU holds two images of
    # 1024x1024. The batch is spread over devices by keras.distribution, set before the model is built. Detection takes
    # any number of images.
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    # Upper bound on the steps of an epoch. An epoch is one pass over the data, or this many steps of it when the data
    # are more; the next epoch then goes on where the last one stopped, so that no image is seen twice before all were
    # seen once. More frequent epochs mean more frequent checkpoints and validation.
    STEPS_PER_EPOCH = 1000
    # The same bound for the validation losses at the end of each epoch. Small values save time, and are noisier.
    VALIDATION_STEPS = 50
    # Root of every random choice of a run: the order of images, augmentation, target sampling, initial weights.
    SEED = 0
    # Threads or processes that prepare batches beside the training step; 0 prepares them in the training thread.
    LOADER_WORKERS = 2
    # False: the workers are threads, which share the data set; two make 1.2 times the batches of one. True: processes; two
    # make 1.6 times as many. Each takes two seconds to start, and 200 MB with its own copy of the data set: gigabytes, where
    # the annotations are as large as COCO's. Training has LOADER_WORKERS of them, and validation as many.
    LOADER_PROCESSES = False
    # Checkpoints that a call of train() leaves, the newest; None keeps one of every epoch.
    CHECKPOINTS_KEPT = None
    # Compute COCO AP of boxes and masks on the validation set every so many epochs (0: never), on the first
    # VALIDATION_AP_IMAGES images (None: all). Logged as val_mask_AP, val_box_AP and so on.
    VALIDATION_AP_EVERY = 0
    VALIDATION_AP_IMAGES = None

    # --- Network ---------------------------------------------------------------------------------------------------
    # "resnet50", "resnet101", the name of another registered backbone, or a callable:
    # input_image [B, H, W, C] -> list of the feature maps [C1, C2, C3, C4, C5] (C1 may be None).
    BACKBONE = "resnet101"
    # Only with a callable BACKBONE whose maps are not ceil(size / BACKBONE_STRIDES): a callable
    # image_shape -> int array [L, 2], the (height, width) of each pyramid level.
    COMPUTE_BACKBONE_SHAPE = None
    # Pixels of the input between neighbouring cells of each pyramid level P2..P6.
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]
    # Units of the fully connected layers of the box head.
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    # Channels of every pyramid level.
    TOP_DOWN_PYRAMID_SIZE = 256
    # Classes, background included.
    NUM_CLASSES = 1
    # Channels of the hidden convolutions of the RPN and of the mask head. Smaller ones suit small images.
    RPN_HEAD_CHANNELS = 512
    MASK_HEAD_CHANNELS = 256
    # Side of the ROI features of the box head and of the mask head, and (height, width) of a predicted mask. The mask
    # head doubles MASK_POOL_SIZE; a backbone of other heads must keep that relation.
    POOL_SIZE = 7
    MASK_POOL_SIZE = 14
    MASK_SHAPE = [28, 28]

    # --- Input images ----------------------------------------------------------------------------------------------
    # none:   no resizing or padding. Sizes must be multiples of 64; in training all are of IMAGE_SHAPE.
    # square: scale to IMAGE_MIN_DIM on the short side without exceeding IMAGE_MAX_DIM on the long one, then pad with
    #         zeros to a square of IMAGE_MAX_DIM.
    # pad64:  scale the short side to IMAGE_MIN_DIM (IMAGE_MAX_DIM is not used), pad to multiples of 64. Inference.
    # crop:   scale as above, then cut a random square of IMAGE_MIN_DIM. Training only.
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    # Least scale factor: 2 doubles small images even where IMAGE_MIN_DIM asks for less. 0: no bound. In mode square
    # IMAGE_MAX_DIM wins.
    IMAGE_MIN_SCALE = 0
    # Channels: 3 RGB, 1 grey, 4 RGB-D. Other than 3 needs a MEAN_PIXEL of that length, and weights without conv1.
    IMAGE_CHANNEL_COUNT = 3
    # Mean of each channel (RGB order), subtracted from every pixel.
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])

    # --- Region proposals ------------------------------------------------------------------------------------------
    # Side of a square anchor in pixels, one for each pyramid level.
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)
    # Width / height of the anchors at each cell: 0.5 is tall, 2 is wide.
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]
    # Cells between anchors: 1 puts anchors on each cell of the map, 2 on every other one.
    RPN_ANCHOR_STRIDE = 1
    # IoU above which the weaker of two proposals is dropped. Raise it to train on more proposals.
    RPN_NMS_THRESHOLD = 0.7
    # Anchors of an image that the RPN loss looks at, at most half of them positive.
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    # Proposals by score before non-maximum suppression, and after it in training and in inference.
    PRE_NMS_LIMIT = 6000
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000
    # Divisors of the deltas (dy, dx, log dh, log dw), for the RPN and for the box head.
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])

    # --- Training targets ------------------------------------------------------------------------------------------
    # Store masks cropped to their boxes at MINI_MASK_SHAPE (height, width): far less memory, slightly coarser edges.
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)
    # ROIs of an image given to the heads in training, and the share of them that is positive.
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    # Add the objects' own boxes to the proposals that ROIs are sampled from, all through training and in validation losses:
    # the heads have positives from the first step on. False takes the RPN's alone, as the classic code did.
    GT_BOXES_AS_ROIS = False
    # Slots for ground-truth instances of an image; of more, a random choice is used.
    MAX_GT_INSTANCES = 100
    # Train on images without objects (every ROI is background). False leaves them out, as the classic code did.
    TRAIN_EMPTY_IMAGES = False

    # --- Detection -------------------------------------------------------------------------------------------------
    # Most instances of an image, least score of an instance, and the IoU above which the weaker of two boxes of a
    # class is dropped.
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3

    # --- Optimisation ----------------------------------------------------------------------------------------------
    # "sgd" (with LEARNING_MOMENTUM), the name of any Keras optimizer, or a callable
    # (learning_rate, config) -> keras.optimizers.Optimizer. GRADIENT_CLIP_NORM is applied to the first two.
    OPTIMIZER = "sgd"
    # With ResNet-101 from COCO weights 0.02, the paper's, makes the losses explode; likely a matter of the batch size.
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    # Factor of the L2 term: the sum over kernels and biases of WEIGHT_DECAY * mean(weight^2).
    WEIGHT_DECAY = 0.0001
    # Factor of each loss in the sum that is minimised.
    LOSS_WEIGHTS = {name: 1.0 for name in LOSS_NAMES}
    # True: ROIs come from the RPN. False: training takes POST_NMS_ROIS_TRAINING random regions an image, most of them
    # about the objects, to train the heads before or without the RPN.
    USE_RPN_ROIS = True
    # BatchNorm statistics: None trains them, False freezes them (for small batches), True takes the batch's at all times.
    TRAIN_BN = False
    # Largest norm of the whole gradient, all variables together; a longer one is scaled down to it. None: no bound.
    GRADIENT_CLIP_NORM = 5.0

    def __init_subclass__(cls, **kwargs):
        """Take a plain function in a class body as it is; Python would make a method of it, and pass the instance."""
        super().__init_subclass__(**kwargs)
        for name in CALLABLE_NAMES:
            value = vars(cls).get(name)
            if inspect.isfunction(value) and next(iter(inspect.signature(value).parameters), None) != "self":
                setattr(cls, name, staticmethod(value))

    def __init__(self):
        self._compute()

    def _compute(self):
        """Set the attributes that follow from others."""
        self.BATCH_SIZE = self.IMAGES_PER_GPU * self.GPU_COUNT
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        self.IMAGE_SHAPE = np.array([side, side, self.IMAGE_CHANNEL_COUNT])
        # image id 1, original shape 3, shape 3, window 4, scale 1, active classes
        self.IMAGE_META_SIZE = 1 + 3 + 3 + 4 + 1 + self.NUM_CLASSES

    # --- Checks ----------------------------------------------------------------------------------------------------
    def validate(self):
        """Check names and values against each other.

        Raises:
            ConfigError: listing everything that is wrong, each with what was found and what to do.
        """
        problems = self._misspelt() or list(self._contradictions())
        if problems:
            raise ConfigError(f"{type(self).__name__} cannot be used:\n" + "\n".join(f"- {p}" for p in problems))

    def _misspelt(self):
        known = set(_names(Config)) | set(COMPUTED)
        found = []
        for name in sorted(set(_names(type(self))) | {n for n in vars(self) if n.isupper()}):
            # A name of a user's own is fine; one that is close to ours is a slip of the pen.
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if name not in known and close:
                found.append(f"{name} is not an attribute of Config: did you mean {close[0]}?")
        return found

    def _contradictions(self):
        yield from self._out_of_date()
        yield from self._bad_sizes()
        yield from self._bad_network()
        yield from self._bad_ranges()

    def _out_of_date(self):
        """Find computed attributes that an instance's later change left behind; BATCH_SIZE may be set on purpose."""
        fresh = copy.copy(self)
        fresh._compute()
        # Images that are not resized may have an IMAGE_SHAPE of their own.
        fixed = ("IMAGE_SHAPE",) if self.IMAGE_RESIZE_MODE in ("square", "crop") else ()
        for name in (*fixed, "IMAGE_META_SIZE"):
            if not np.array_equal(getattr(self, name), getattr(fresh, name)):
                yield (f"{name} is {getattr(self, name)}, and follows from the other attributes as "
                       f"{getattr(fresh, name)}: change attributes in a subclass, or by with_overrides, and not after "
                       "the instance was made.")

    def _bad_sizes(self):
        mode = self.IMAGE_RESIZE_MODE
        if mode not in RESIZE_MODES:
            yield f"IMAGE_RESIZE_MODE is {mode!r}: choose one of {', '.join(RESIZE_MODES)}."
            return
        side = "IMAGE_MIN_DIM" if mode in ("crop", "pad64") else "IMAGE_MAX_DIM"
        value = getattr(self, side)
        if mode != "none" and (not value or value <= 0 or value % 64):
            below = max(int(value or 0) // 64 * 64, 64)
            yield (f"{side} is {value}: in mode {mode} it must be a multiple of 64 (the pyramid halves it six times), "
                   f"for example {below} or {below + 64}.")
        if mode == "square" and self.IMAGE_MIN_DIM and self.IMAGE_MIN_DIM > self.IMAGE_MAX_DIM:
            yield f"IMAGE_MIN_DIM {self.IMAGE_MIN_DIM} is larger than IMAGE_MAX_DIM {self.IMAGE_MAX_DIM}: lower it."
        if np.size(self.MEAN_PIXEL) not in (1, self.IMAGE_CHANNEL_COUNT):
            yield (f"MEAN_PIXEL has {np.size(self.MEAN_PIXEL)} values for IMAGE_CHANNEL_COUNT "
                   f"{self.IMAGE_CHANNEL_COUNT}: give one for each channel.")

    def _bad_network(self):
        if self.NUM_CLASSES < 1:
            yield f"NUM_CLASSES is {self.NUM_CLASSES}: count the background too, 1 + the classes of the data set."
        if len(self.RPN_ANCHOR_SCALES) != len(self.BACKBONE_STRIDES):
            yield (f"RPN_ANCHOR_SCALES has {len(self.RPN_ANCHOR_SCALES)} values and BACKBONE_STRIDES "
                   f"{len(self.BACKBONE_STRIDES)}: there is one of each for a pyramid level.")
        if tuple(self.MASK_SHAPE) != (2 * self.MASK_POOL_SIZE,) * 2:
            yield (f"MASK_SHAPE is {tuple(self.MASK_SHAPE)} and MASK_POOL_SIZE {self.MASK_POOL_SIZE}: the mask head "
                   f"doubles its input, so MASK_SHAPE must be ({2 * self.MASK_POOL_SIZE}, {2 * self.MASK_POOL_SIZE}).")
        if not isinstance(self.BACKBONE, str) and not callable(self.BACKBONE):
            yield f"BACKBONE is {self.BACKBONE!r}: give a name or a callable."
        if self.TRAIN_BN not in (True, False, None):
            yield f"TRAIN_BN is {self.TRAIN_BN!r}: give None, False or True."
        unknown = sorted(set(self.LOSS_WEIGHTS) - set(LOSS_NAMES))
        missing = sorted(set(LOSS_NAMES) - set(self.LOSS_WEIGHTS))
        if unknown or missing:
            yield (f"LOSS_WEIGHTS must name the five losses: unknown {unknown or 'none'}, missing {missing or 'none'}.")

    def _bad_ranges(self):
        for name in ("GPU_COUNT", "IMAGES_PER_GPU", "STEPS_PER_EPOCH", "VALIDATION_STEPS", "POOL_SIZE",
                     "MASK_POOL_SIZE", "RPN_ANCHOR_STRIDE", "RPN_TRAIN_ANCHORS_PER_IMAGE", "PRE_NMS_LIMIT",
                     "POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE", "TRAIN_ROIS_PER_IMAGE", "MAX_GT_INSTANCES",
                     "DETECTION_MAX_INSTANCES", "TOP_DOWN_PYRAMID_SIZE", "FPN_CLASSIF_FC_LAYERS_SIZE",
                     "RPN_HEAD_CHANNELS", "MASK_HEAD_CHANNELS", "IMAGE_CHANNEL_COUNT"):
            value = getattr(self, name)
            if not _is_number(value) or value != int(value) or value < 1:
                yield f"{name} is {value!r}: it must be a whole number of at least 1."
        kept = self.CHECKPOINTS_KEPT
        if kept is not None and (not _is_number(kept) or kept != int(kept) or kept < 1):
            yield f"CHECKPOINTS_KEPT is {kept!r}: keep at least 1, or None for all."
        for name in ("RPN_NMS_THRESHOLD", "DETECTION_NMS_THRESHOLD", "ROI_POSITIVE_RATIO"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value <= 1:
                yield f"{name} is {value!r}: it must be above 0 and at most 1."
        for name in ("LEARNING_MOMENTUM", "DETECTION_MIN_CONFIDENCE"):
            value = getattr(self, name) or 0
            if not _is_number(value) or not 0 <= value <= 1:
                yield f"{name} is {value!r}: it must lie between 0 and 1."
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool | np.bool_):
                yield f"{name} is {getattr(self, name)!r}: give True or False."
        for name in ("LEARNING_RATE", "WEIGHT_DECAY", "LOADER_WORKERS", "VALIDATION_AP_EVERY", "IMAGE_MIN_SCALE"):
            value = getattr(self, name) or 0
            if not _is_number(value) or value < 0:
                yield f"{name} is {value!r}: it must be a number, and not negative."
        for name in ("RPN_BBOX_STD_DEV", "BBOX_STD_DEV"):
            if np.size(getattr(self, name)) != 4 or np.any(np.asarray(getattr(self, name)) <= 0):
                yield f"{name} must be four positive numbers (dy, dx, log dh, log dw)."

    # --- Out and in ------------------------------------------------------------------------------------------------
    def to_dict(self):
        """Return every UPPERCASE attribute by name, sorted: {str: value}."""
        names = set(_names(type(self))) | {n for n in vars(self) if n.isupper()}
        return {name: getattr(self, name) for name in sorted(names)}

    @classmethod
    def from_dict(cls, values):
        """Return an instance with `values`, a dict as `to_dict` or a JSON file gives it.

        Args:
            values: {str: value}. Computed attributes in it are computed anew; lists stand for tuples and arrays. Names
                that Config does not have are a subclass' own and are kept.

        Raises:
            ConfigError: a name that is not UPPERCASE, or is a known one misspelt.
        """
        wrong = [name for name in values if not str(name).isupper()]
        if wrong:
            raise ConfigError(f"{wrong[0]!r} cannot be an attribute of a configuration: their names are UPPERCASE.")
        attributes = {name: _like(getattr(cls, name, None), value)
                      for name, value in values.items() if name not in COMPUTED}
        config = type(cls.__name__, (cls,), attributes)()
        misspelt = config._misspelt()
        if misspelt:
            raise ConfigError(misspelt[0])
        return config

    def with_overrides(self, values):
        """Return a validated copy in which `values` {name: value} replace this configuration's own.

        Raises:
            ConfigError: a name that this configuration does not have, with one that is near, or values that contradict
                each other.
        """
        known = self.to_dict()
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1) or ["one of those in docs/configuration.md"]
                raise ConfigError(f"{name} is not an attribute of {type(self).__name__}: did you mean {near[0]}?")
            if name in COMPUTED and not np.array_equal(values[name], known[name]):
                raise ConfigError(f"{name} cannot be set: it follows from {COMPUTED[name]}.")
        own = {name: value for name, value in vars(self).items() if name in _names(type(self))}
        config = type(self).from_dict({**own, **values})
        config.validate()
        return config

    def save(self, path):
        """Write the configuration as JSON. A callable BACKBONE is written by its qualified name, for the record."""
        with atomic_open(path, "w") as file:
            json.dump(self.to_dict(), file, indent=2, default=_to_json)
            file.write("\n")

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises:
            ConfigError: the file is missing, or is no JSON object of UPPERCASE names.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: no configuration could be read: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: expected a JSON object of attributes, found {type(values).__name__}.")
        return cls.from_dict(values)

    def display(self):
        """Print every attribute and its value."""
        rows = (f"{name:30} {value}" for name, value in self.to_dict().items())
        print("\nConfigurations:", *rows, "\n", sep="\n")


def _is_number(value):
    return isinstance(value, numbers.Real) and np.isfinite(value)


def _names(cls):
    return [name for name in dir(cls) if name.isupper()]


def _like(default, value):
    """Give a value read from JSON the type of the default that it replaces."""
    if isinstance(default, np.ndarray) and isinstance(value, (list, tuple)):
        return np.array(value)
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value


def _to_json(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', repr(value))}"
    raise TypeError(f"a configuration value of type {type(value).__name__} cannot be written as JSON: {value!r}")
