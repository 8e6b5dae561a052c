"""The rules that `Config.validate` checks: the valid values of each attribute, and which attributes contradict each other.

A new attribute needs a row in `RULES`, and a check among those of `contradictions` if its values depend on others.
"""

import math
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
WEIGHT_DECAY_KINDS = ("classic", "l2", "decoupled")
SCHEDULES = ("constant", "cosine", "step")
AUGMENTATIONS = ("none", "flip", "rotate", "color", "flip+color", "rotate+color")
RESIZE_MODES = ("none", "square", "pad64", "crop")
CHANNEL_ORDERS = ("rgb", "bgr")
PADDINGS = ("center", "corner")
COORDINATES = ("classic", "continuous")
RESNET_PADDINGS = ("tensorflow", "symmetric")
NMS_KINDS = ("class", "all", "soft")
BOX_LOSSES = ("smooth_l1", "l1", "giou")
PASTE_METHODS = ("classic", "torchvision", "detectron2")
RESIZE_METHODS = ("classic", "opencv", "torchvision", "detectron2")
NORMS = ("batch", "sync", "group")
# Valid names for BACKBONE, listed here so that they are checked without loading Keras; mrcnn.network.backbones builds them.
BACKBONE_NAMES = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50v2", "resnet101v2", "resnet152v2", "convnext_tiny",
    "convnext_small", "convnext_base", "efficientnetv2_b0", "efficientnetv2_b1", "efficientnetv2_b2", "efficientnetv2_b3",
    "efficientnetv2_s", "mobilenetv3_small", "mobilenetv3_large", "efficientnet_lite0", "compact")
# What a BACKBONE of KerasHub begins with, before the name of a preset.
KERAS_HUB = "keras_hub:"
# Strides of the pyramid levels P2..P6, the same for each of these backbones.
PYRAMID_STRIDES = (4, 8, 16, 32, 64)
# Computed attributes, and what they are computed from.
COMPUTED = {"BATCH_SIZE": "IMAGES_PER_GPU and GPU_COUNT",
            "IMAGE_SHAPE": "IMAGE_RESIZE_MODE, IMAGE_MIN_DIM, IMAGE_MAX_DIM and IMAGE_CHANNEL_COUNT",
            "IMAGE_META_SIZE": "NUM_CLASSES"}
# Attributes of the classic Config. Others are newer than the projects that were written for it.
CLASSIC = (
    "NAME", "GPU_COUNT", "IMAGES_PER_GPU", "STEPS_PER_EPOCH", "VALIDATION_STEPS", "BACKBONE", "COMPUTE_BACKBONE_SHAPE",
    "BACKBONE_STRIDES", "FPN_CLASSIF_FC_LAYERS_SIZE", "TOP_DOWN_PYRAMID_SIZE", "NUM_CLASSES", "RPN_ANCHOR_SCALES",
    "RPN_ANCHOR_RATIOS", "RPN_ANCHOR_STRIDE", "RPN_NMS_THRESHOLD", "RPN_TRAIN_ANCHORS_PER_IMAGE", "PRE_NMS_LIMIT",
    "POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE", "USE_MINI_MASK", "MINI_MASK_SHAPE", "IMAGE_RESIZE_MODE",
    "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "IMAGE_MIN_SCALE", "IMAGE_CHANNEL_COUNT", "MEAN_PIXEL", "TRAIN_ROIS_PER_IMAGE",
    "ROI_POSITIVE_RATIO", "POOL_SIZE", "MASK_POOL_SIZE", "MASK_SHAPE", "MAX_GT_INSTANCES", "RPN_BBOX_STD_DEV", "BBOX_STD_DEV",
    "DETECTION_MAX_INSTANCES", "DETECTION_MIN_CONFIDENCE", "DETECTION_NMS_THRESHOLD", "LEARNING_RATE", "LEARNING_MOMENTUM",
    "WEIGHT_DECAY", "LOSS_WEIGHTS", "USE_RPN_ROIS", "TRAIN_BN", "GRADIENT_CLIP_NORM", "BATCH_SIZE", "IMAGE_SHAPE",
    "IMAGE_META_SIZE")
LOSS_NAMES = ("rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss")
# NUM_CLASSES of a configuration whose data set is not known yet.
UNKNOWN_CLASSES = 1


def invalid_values(config: Any) -> Iterator[tuple[str, str]]:
    """Check every attribute by itself: yield (name, problem).

    Args:
        config: a Config, also for the other functions.
    """
    for names, is_valid, expected in RULES:
        for name in names:
            value = getattr(config, name)
            if not is_valid(value):
                yield name, f"{name} is {show(value)}: {expected}."


def contradictions(config: Any, invalid: set[str]) -> Iterator[str]:
    """Check attributes against each other, except those that are `invalid` by themselves."""
    for names, check in (
            ({"IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM"}, _check_image_size),
            ({"IMAGE_RESIZE_MODE", "TRAIN_MIN_DIMS", "SCALE_JITTER", "COPY_PASTE"}, _check_random_scale),
            ({"IMAGE_CHANNEL_COUNT", "MEAN_PIXEL", "STD_PIXEL"}, _check_channels),
            ({"BACKBONE", "BACKBONE_STRIDES", "RPN_ANCHOR_SCALES"}, _check_pyramid),
            ({"MASK_SHAPE", "MASK_POOL_SIZE"}, _check_mask_shape),
            ({"USE_MINI_MASK"}, _check_mini_mask_shape),
            ({"OPTIMIZER", "WEIGHT_DECAY_KIND"}, _check_weight_decay),
            ({"LOSS_WEIGHTS"}, _check_loss_weights),
            ({"NUM_CLASSES", "CLASS_LOSS_WEIGHTS"}, _check_class_loss_weights)):  # fmt: skip
        if not names & invalid:
            yield from check(config)
    if not {*POSITIVE_INTEGERS, *COUNTS, "IMAGE_RESIZE_MODE"} & invalid:
        yield from _check_computed(config)


def warn(config: Any, message: str) -> None:
    """Warn of something in a configuration; the warning points to the caller of `validate`."""
    warnings.warn(f"{type(config).__name__}: {message}", stacklevel=5)


def as_plain(value: Any) -> Any:
    """Return np.bool_ as bool and whole floats as int, also in a list, tuple or array; anything else unchanged."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    if isinstance(value, list | tuple) and any(isinstance(item, float | np.floating) for item in value):
        return type(value)(map(as_plain, value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isfinite(value).all() and (value % 1 == 0).all():
        return value.astype(int)
    return value


def show(value: object) -> str:
    """Return a value as messages show it: arrays as lists."""
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


# --- Single attributes ---------------------------------------------------------------------------------------------
def is_number(value: object) -> bool:
    """Return whether a value is a finite number; True and False are none."""
    if isinstance(value, numbers.Integral):
        return not isinstance(value, bool)
    return isinstance(value, numbers.Real) and math.isfinite(value)


def count_items(value: object) -> int:
    """Return the length of a list, tuple or array, which may be uneven; 0 for anything else."""
    return len(value) if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0) else 0


def _is_count(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0


def _is_positive_integer(value: object) -> bool:
    return _is_count(value) and value != 0


def is_positive(value: Any) -> bool:
    """Return whether a value is a number above 0."""
    return is_number(value) and value > 0


def _is_not_negative(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_fraction(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _is_list_of(is_valid: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    """Return a check for a list, tuple or one-dimensional array of valid items, of this length or not empty."""

    def check(value: Any) -> bool:
        return (isinstance(value, list | tuple | np.ndarray) and np.ndim(np.asarray(value, object)) == 1
                and (len(value) == length if length else len(value) > 0) and all(map(is_valid, value)))

    return check


_is_size = _is_list_of(_is_positive_integer, 2)


def _is_range(value: Any) -> bool:
    return _is_list_of(is_positive, 2)(value) and value[0] <= value[1]


def _none_or(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_valid(value)


def _is_backbone(value: Any) -> bool:
    if isinstance(value, str):
        return value in BACKBONE_NAMES or bool(value.startswith(KERAS_HUB) and value.removeprefix(KERAS_HUB))
    return callable(value)


def _is_one_of(words: Sequence[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _is_run_name(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(value.strip()) and value.isprintable()
                             and not set(value) & set("/\\"))


def _are_loss_weights(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_not_negative, value.values()))


FLAGS = ("USE_MINI_MASK", "GT_BOXES_AS_ROIS", "TRAIN_EMPTY_IMAGES", "USE_RPN_ROIS", "LOADER_PROCESSES", "KEEP_BEST",
         "RESNET_STRIDE_IN_3X3", "BIAS_BEFORE_NORM", "ROI_ALIGN_HALF_PIXEL", "RPN_ANCHOR_ROUNDED", "PROPOSALS_PER_LEVEL",
         "ROI_FILL_NEGATIVES", "DETECTION_PER_CLASS", "BOX_LOSS_PER_SAMPLE")
POSITIVE_INTEGERS = (
    "GPU_COUNT", "IMAGES_PER_GPU", "GRADIENT_ACCUMULATION", "STEPS_PER_EPOCH", "PASSES_PER_EPOCH", "TRAIN_EPOCHS", "POOL_SIZE",
    "MASK_POOL_SIZE", "RPN_ANCHOR_STRIDE", "RPN_TRAIN_ANCHORS_PER_IMAGE", "PRE_NMS_LIMIT", "POST_NMS_ROIS_TRAINING",
    "POST_NMS_ROIS_INFERENCE", "TRAIN_ROIS_PER_IMAGE", "MAX_GT_INSTANCES", "DETECTION_MAX_INSTANCES",
    "TOP_DOWN_PYRAMID_SIZE", "FPN_CLASSIF_FC_LAYERS_SIZE", "RPN_HEAD_CHANNELS", "MASK_HEAD_CHANNELS", "IMAGE_CHANNEL_COUNT",
    "BOX_HEAD_CHANNELS", "BOX_HEAD_FC_LAYERS", "RPN_CONVOLUTIONS")
COUNTS = ("NUM_CLASSES", "LOADER_WORKERS", "SEED", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "CHECKPOINTS_KEPT", "VALIDATION_AP_EVERY",
          "VALIDATION_STEPS", "VALIDATION_AP_IMAGES", "VALIDATION_AP_PATIENCE", "LEARNING_RATE_WARMUP", "LEARNING_RATE_BATCH",
          "ROI_ALIGN_SAMPLES", "BOX_HEAD_CONVOLUTIONS")
INTEGER_LISTS = ("BACKBONE_STRIDES", "MASK_SHAPE", "MINI_MASK_SHAPE", "TRAIN_MIN_DIMS")
# Rules for single attributes: (names, is_valid, advice in the error message).
RULES: tuple[tuple[Sequence[str], Callable[[Any], bool], str], ...] = (
    (("NAME",), _is_run_name, 'give text on one line without "/", which names the run folders, or None'),
    (FLAGS, lambda value: isinstance(value, bool), "give True or False"),
    (("TRAIN_BN",), lambda value: value is None or isinstance(value, bool), "give None, False or True"),
    (POSITIVE_INTEGERS, _is_positive_integer, "it must be a whole number of at least 1"),
    (("NUM_CLASSES",), _is_positive_integer, "count the background too, 1 + the classes of the data set"),
    (("LOADER_WORKERS", "VALIDATION_STEPS"), _is_count, "it must be a whole number of at least 0"),
    (("SEED",), lambda value: _is_count(value) and value < 2**32, "it must be a whole number from 0 to 2**32 - 1"),
    (("CHECKPOINTS_KEPT",), _none_or(_is_positive_integer), "keep at least 1, or None for all"),
    (("VALIDATION_AP_EVERY",), _none_or(_is_count), "it must be a whole number of at least 1, or 0 for never"),
    (("VALIDATION_AP_IMAGES",), _none_or(_is_positive_integer), "it must be a whole number of at least 1, or None for all"),
    (("VALIDATION_AP_PATIENCE",), _none_or(_is_positive_integer), "it must be a whole number of at least 1, or None for never"),
    (("LEARNING_RATE_WARMUP",), _is_count, "it must be a whole number of at least 0"),
    (("LEARNING_RATE_WARMUP_FACTOR",), _is_fraction, "it must be a number from 0 to 1"),
    (("LEARNING_RATE_STEPS",), lambda value: _is_list_of(is_positive)(value) or isinstance(value, list | tuple) and not value,
     "give fractions of the run below 1 or epochs, such as (0.7, 0.9) or (8, 11), or ()"),
    (("LEARNING_RATE_BATCH",), _none_or(_is_positive_integer), "give the number of images that the rate is for, or None"),
    (("LEARNING_RATE_SCHEDULE",), _is_one_of(SCHEDULES), f"choose one of {', '.join(SCHEDULES)}"),
    (("PRECISION",), _none_or(_is_one_of(PRECISIONS)), f"choose one of {', '.join(PRECISIONS)}, or None for Keras' own"),
    (("WEIGHT_DECAY_KIND",), _is_one_of(WEIGHT_DECAY_KINDS), f"choose one of {', '.join(WEIGHT_DECAY_KINDS)}"),
    (("TRAIN_AUGMENT",), _is_one_of(AUGMENTATIONS), f"choose one of {', '.join(AUGMENTATIONS)}"),
    (("TRAIN_LAYERS",), lambda value: isinstance(value, str) and bool(value),
     "give heads, 3+, 4+, 5+, all or a regular expression"),
    (("IMAGE_RESIZE_MODE",), _is_one_of(RESIZE_MODES), f"choose one of {', '.join(RESIZE_MODES)}"),
    (("IMAGE_MIN_DIM", "IMAGE_MAX_DIM"), _none_or(_is_count), "it must be a whole number of pixels"),
    (("BACKBONE",), _is_backbone,
     f"choose one of {', '.join(BACKBONE_NAMES)} or {KERAS_HUB}PRESET, or give a callable (a saved configuration holds only "
     "the name of one)"),
    (("COMPUTE_BACKBONE_SHAPE",), _none_or(callable), "give a callable or None"),
    (("OPTIMIZER",), lambda value: callable(value) or isinstance(value, str), "give the name of an optimizer or a callable"),
    (("BACKBONE_STRIDES",), _is_list_of(_is_positive_integer),
     "give whole numbers of at least 1, one for each pyramid level"),
    (("TRAIN_MIN_DIMS",), _none_or(_is_list_of(_is_positive_integer)),
     "give whole numbers of pixels, such as (640, 800), or None"),
    (("SCALE_JITTER",), _none_or(_is_range), "give (low, high), numbers above 0 of which the first is not larger, or None"),
    (("RPN_ANCHOR_SCALES",), _is_list_of(is_positive), "give numbers above 0, one for each pyramid level"),
    (("RPN_ANCHOR_RATIOS",), _is_list_of(is_positive), "give numbers above 0"),
    (("MASK_SHAPE",), _is_size, "give (height, width), two whole numbers of at least 1"),
    (("MEAN_PIXEL",), lambda value: is_number(value) or _is_list_of(is_number)(value), "give one number for each channel"),
    (("RPN_BBOX_STD_DEV", "BBOX_STD_DEV"), _is_list_of(is_positive, 4),
     "give four numbers above 0, for dy, dx, log dh and log dw"),
    (("RPN_NMS_THRESHOLD", "DETECTION_NMS_THRESHOLD"), _is_fraction, "it must be a number from 0 to 1"),
    (("STD_PIXEL",), lambda value: is_positive(value) or _is_list_of(is_positive)(value),
     "give a number above 0, or one for each channel"),
    (("CHANNEL_ORDER",), _is_one_of(CHANNEL_ORDERS), f"choose one of {', '.join(CHANNEL_ORDERS)}"),
    (("IMAGE_PADDING",), _is_one_of(PADDINGS), f"choose one of {', '.join(PADDINGS)}"),
    (("BOX_COORDINATES",), _is_one_of(COORDINATES), f"choose one of {', '.join(COORDINATES)}"),
    (("RESNET_PADDING",), _is_one_of(RESNET_PADDINGS), f"choose one of {', '.join(RESNET_PADDINGS)}"),
    (("DETECTION_NMS",), _is_one_of(NMS_KINDS), f"choose one of {', '.join(NMS_KINDS)}"),
    (("RESIZE_METHOD",), _is_one_of(RESIZE_METHODS), f"choose one of {', '.join(RESIZE_METHODS)}"),
    (("MASK_PASTE",), _is_one_of(PASTE_METHODS), f"choose one of {', '.join(PASTE_METHODS)}"),
    (("PYRAMID_NORM", "HEAD_NORM"), _none_or(_is_one_of(NORMS)), f"choose one of {', '.join(NORMS)}, or None"),
    (("ROI_ALIGN_SAMPLES", "BOX_HEAD_CONVOLUTIONS"), _is_count, "it must be a whole number of at least 0"),
    (("RPN_LOGITS",), lambda value: _is_count(value) and value in (1, 2), "it must be 1 or 2"),
    (("NORM_EPSILON", "RPN_ANCHOR_OFFSET"), _is_not_negative, "it must be a number of at least 0"),
    (("RPN_BBOX_LOSS", "BBOX_LOSS"), _is_one_of(BOX_LOSSES), f"choose one of {', '.join(BOX_LOSSES)}"),
    (("BBOX_MAX_LOG_SCALE", "RPN_SMOOTH_L1_BETA", "SMOOTH_L1_BETA"), is_positive, "it must be a number above 0"),
    (("RPN_POSITIVE_IOU", "RPN_NEGATIVE_IOU", "ROI_POSITIVE_IOU"), _is_fraction, "it must be a number from 0 to 1"),
    (("ROI_POSITIVE_RATIO",),
     lambda value: _is_fraction(value) and value > 0, "it must be a number above 0 and at most 1"),
    (("COPY_PASTE",), _is_fraction, "it must be a probability, a number from 0 to 1"),
    (("LEARNING_MOMENTUM",), _is_fraction, "it must be a number from 0 to 1"),
    (("REPEAT_THRESHOLD",), _none_or(lambda value: _is_fraction(value) and value > 0),
     "it must be a number above 0 and at most 1, such as 0.001, or None"),
    (("EMA_MOMENTUM",), _none_or(lambda value: is_number(value) and 0 < value < 1),
     "it must be a number above 0 and below 1, such as 0.998, or None for no average"),
    (("DETECTION_MIN_CONFIDENCE",), _none_or(_is_fraction), "it must be a number from 0 to 1, or None for 0"),
    (("LEARNING_RATE", "WEIGHT_DECAY"), _is_not_negative, "it must be a number of at least 0"),
    (("IMAGE_MIN_SCALE",), _none_or(_is_not_negative), "it must be a number of at least 0"),
    (("GRADIENT_CLIP_NORM",), _none_or(_is_not_negative), "it must be a number above 0, or None for no bound"),
    (("LOSS_WEIGHTS",), _are_loss_weights, "give a dict with a number of at least 0 for each loss"),
    (("CLASS_LOSS_WEIGHTS",), _none_or(_is_list_of(_is_not_negative)), "give a number of at least 0 for each class, or None"),
)


# --- Attributes that depend on each other --------------------------------------------------------------------------
def _check_computed(config: Any) -> Iterator[str]:
    """Find computed attributes that were set on the instance and contradict the others."""
    if not _is_positive_integer(config.BATCH_SIZE):  # classic scripts set it on purpose
        yield f"BATCH_SIZE is {show(config.BATCH_SIZE)}: it must be a whole number of at least 1."
    if not _is_list_of(_is_positive_integer, 3)(config.IMAGE_SHAPE):  # an instance may set it in the modes none and pad64
        yield f"IMAGE_SHAPE is {show(config.IMAGE_SHAPE)}: set IMAGE_MAX_DIM."
        return
    # Images that are not resized may have any IMAGE_SHAPE.
    fixed = ("IMAGE_SHAPE",) if config.IMAGE_RESIZE_MODE in ("square", "crop") else ()
    for name in (*fixed, "IMAGE_META_SIZE"):
        if not np.array_equal(getattr(config, name), config.computed(name)):
            yield (f"{name} is {getattr(config, name)}, but {COMPUTED[name]} give {config.computed(name)}: set those, and "
                   f"leave {name} to be computed.")


def _check_image_size(config: Any) -> Iterator[str]:
    mode = config.IMAGE_RESIZE_MODE
    side = "IMAGE_MIN_DIM" if mode in ("crop", "pad64") else "IMAGE_MAX_DIM"
    value = getattr(config, side)
    if mode != "none" and (not value or value % 64):
        below = max((value or 0) // 64 * 64, 64)
        yield (f"{side} is {value}: in mode {mode} it must be a multiple of 64 (the pyramid halves it six times), "
               f"for example {below} or {below + 64}.")
    if mode == "square" and config.IMAGE_MAX_DIM and (config.IMAGE_MIN_DIM or 0) > config.IMAGE_MAX_DIM:
        warn(config, f"IMAGE_MIN_DIM {config.IMAGE_MIN_DIM} is larger than IMAGE_MAX_DIM {config.IMAGE_MAX_DIM}, so every "
                     "image is scaled until its long side is IMAGE_MAX_DIM.")


def _check_random_scale(config: Any) -> Iterator[str]:
    given = [name for name in ("TRAIN_MIN_DIMS", "SCALE_JITTER") if getattr(config, name) is not None]
    if len(given) > 1:
        yield "TRAIN_MIN_DIMS and SCALE_JITTER are both set: each draws the scale of an image, so set one of them to None."
    if config.COPY_PASTE and config.IMAGE_RESIZE_MODE not in ("square", "crop"):
        yield (f"COPY_PASTE is {config.COPY_PASTE}, but IMAGE_RESIZE_MODE is {config.IMAGE_RESIZE_MODE}: pasting needs images "
               "of one size, from the mode square or crop.")
    if given and config.IMAGE_RESIZE_MODE != "square":
        yield (f"{given[0]} is {show(getattr(config, given[0]))}, but IMAGE_RESIZE_MODE is {config.IMAGE_RESIZE_MODE}: random "
               "scales need the mode square.")


def _check_channels(config: Any) -> Iterator[str]:
    for name in ("MEAN_PIXEL", "STD_PIXEL"):
        count = np.size(getattr(config, name))
        if count not in (1, config.IMAGE_CHANNEL_COUNT):
            yield (f"{name} has {count} values for IMAGE_CHANNEL_COUNT {config.IMAGE_CHANNEL_COUNT}: give one for each "
                   "channel.")


def _check_pyramid(config: Any) -> Iterator[str]:
    strides = tuple(config.BACKBONE_STRIDES)
    scales = list(config.RPN_ANCHOR_SCALES)
    if not 0 < len(scales) <= len(strides):
        yield (f"RPN_ANCHOR_SCALES has {len(scales)} values and BACKBONE_STRIDES {len(strides)}: give one of each for "
               "every pyramid level.")
    elif len(strides) != len(PYRAMID_STRIDES):
        yield (f"BACKBONE_STRIDES has {len(strides)} values: the pyramid has {len(PYRAMID_STRIDES)} levels, P2 to P6, and "
               "RPN_ANCHOR_SCALES and BACKBONE_STRIDES need one value for each.")
    elif isinstance(config.BACKBONE, str) and strides != PYRAMID_STRIDES:
        yield (f"BACKBONE_STRIDES is {list(strides)}, but {config.BACKBONE} has {list(PYRAMID_STRIDES)}: remove it, or "
               "give a callable BACKBONE.")


def _check_mask_shape(config: Any) -> Iterator[str]:
    if tuple(config.MASK_SHAPE) != (2 * config.MASK_POOL_SIZE,) * 2:
        yield (f"MASK_SHAPE is {tuple(config.MASK_SHAPE)} and MASK_POOL_SIZE {config.MASK_POOL_SIZE}: the mask head "
               f"doubles its input, so MASK_SHAPE must be ({2 * config.MASK_POOL_SIZE}, {2 * config.MASK_POOL_SIZE}).")


def _check_mini_mask_shape(config: Any) -> Iterator[str]:
    if config.USE_MINI_MASK and not _is_size(config.MINI_MASK_SHAPE):
        yield (f"MINI_MASK_SHAPE is {show(config.MINI_MASK_SHAPE)}: give (height, width), two whole numbers of at least 1, "
               "or set USE_MINI_MASK to False.")


def _check_weight_decay(config: Any) -> Iterator[str]:
    if config.WEIGHT_DECAY_KIND == "l2" and config.OPTIMIZER != "sgd":
        name = repr(config.OPTIMIZER) if isinstance(config.OPTIMIZER, str) else "a callable"
        yield (f'WEIGHT_DECAY_KIND is "l2", which is for OPTIMIZER "sgd", but OPTIMIZER is {name}: choose "decoupled" or '
               '"classic".')


def _check_loss_weights(config: Any) -> Iterator[str]:
    unknown = sorted(set(config.LOSS_WEIGHTS) - set(LOSS_NAMES))
    missing = sorted(set(LOSS_NAMES) - set(config.LOSS_WEIGHTS))
    if unknown or missing:
        yield f"LOSS_WEIGHTS must name the five losses: unknown {unknown or 'none'}, missing {missing or 'none'}."


def _check_class_loss_weights(config: Any) -> Iterator[str]:
    weights = config.CLASS_LOSS_WEIGHTS
    if weights is None or config.NUM_CLASSES == UNKNOWN_CLASSES:
        return
    if len(weights) != config.NUM_CLASSES:
        yield (f"CLASS_LOSS_WEIGHTS has {len(weights)} weights for {config.NUM_CLASSES} classes: give one for each, that of "
               "the background first.")
