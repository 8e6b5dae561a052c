"""The configuration that `mrcnn train` chooses from the data and the initial weights, with a reason for each choice.

From a small backbone trained on ImageNet, or from random weights: a small network, an image size and anchors that fit the
objects, Adam, and augmentation by flips and rotation. From the weights of a whole network: the settings that these were trained
with, and cautious fine-tuning. In both cases, the length of the run depends on the number of images; AP is measured on the
validation set, the best weights are kept, and training stops early.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mrcnn import recipes
from mrcnn.config import Config
from mrcnn.loading.object_sizes import InputSettings, MeasuredObjects, best_scales, place_objects, relative_sides
from mrcnn.loading.pixel_statistics import PixelMoments
from mrcnn.weights.imagenet import imagenet_settings

# The settings of a format, whatever the weights.
FORMAT_SETTINGS: dict[str, dict[str, Any]] = {
    # Images of 128 pixels need smaller anchors and fewer ROIs than photographs.
    "shapes": {"IMAGES_PER_GPU": 8, "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128,
               "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128), "TRAIN_ROIS_PER_IMAGE": 32, "VALIDATION_STEPS": 5},
    # LVIS evaluates up to 300 detections per image.
    "lvis": {"DETECTION_MAX_INSTANCES": 300},
}
# Settings for training from random weights: batch norm must learn its statistics, and the first proposals of the RPN contain
# no objects for the heads to learn from.
FROM_SCRATCH: dict[str, Any] = {"TRAIN_BN": None, "GT_BOXES_AS_ROIS": True}
# A network that a CPU trains from random weights in minutes.
SMALL_NETWORK: dict[str, Any] = {
    "BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 64, "RPN_HEAD_CHANNELS": 64, "MASK_HEAD_CHANNELS": 64,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 256, "PRE_NMS_LIMIT": 300, "POST_NMS_ROIS_TRAINING": 100, "POST_NMS_ROIS_INFERENCE": 100,
    "TRAIN_ROIS_PER_IMAGE": 64, "OPTIMIZER": "adam"}  # fmt: skip

# A network with a backbone trained on ImageNet that a CPU trains in minutes; docs/results.md lists its accuracy.
PRETRAINED_NETWORK: dict[str, Any] = {
    **recipes.values("modern"), "BACKBONE": "efficientnet_lite0", "TOP_DOWN_PYRAMID_SIZE": 128, "RPN_HEAD_CHANNELS": 128,
    "MASK_HEAD_CHANNELS": 128, "FPN_CLASSIF_FC_LAYERS_SIZE": 512, "HEAD_NORM": None, "PRE_NMS_LIMIT": 300,
    "POST_NMS_ROIS_TRAINING": 200, "POST_NMS_ROIS_INFERENCE": 200, "TRAIN_ROIS_PER_IMAGE": 64}  # fmt: skip
# The text of a choice of MEAN_PIXEL and STD_PIXEL.
_PIXELS = "minus {MEAN_PIXEL}, divided by {STD_PIXEL}"
# What training starts from where PRETRAINED_NETWORK is used, as an argument of `choose_preset`.
SMALL_BACKBONE = "small backbone"

# From random weights, images are resized so that half of the objects have a side of at least the first number of pixels and
# 95 % of at least the second, within limits that a CPU can train; sizes are multiples of the step.
_MEDIAN_SIDE, _LEAST_SIDE = 32, 12
_MIN_SIZE, _MAX_SIZE, _SIZE_STEP = 128, 384, 64
# Images up to this size are trained in batches of 8, larger ones in batches of 4. Batch norm learns poorly from fewer.
_SMALL_SIZE = 160
# A run has at least this many steps, from random weights, on the small pretrained backbone and from other weights, and at least
# this many passes over the data.
_STEPS, _PRETRAINED_STEPS, _FINE_TUNING_STEPS, _PASSES = 800, 400, 600, 12
# An epoch has about the first number of steps if a pass has fewer, and at most the second.
_EPOCH_STEPS, _MAX_EPOCH_STEPS = 40, 10_000
# With fewer images than this, fine-tuning trains only the heads.
_MANY_IMAGES = 500
# Validation AP is computed on at most this many images.
_AP_IMAGES = 500
# Checkpoints kept besides the best one.
_KEPT = 3


class Choice(NamedTuple):
    """One line of a preset.

    Attributes:
        what: the name of the line, such as "Network".
        values: the attributes of Config that are set.
        text: the values in words.
        reason: why they were chosen, or that the user gave them.
    """

    what: str
    values: dict[str, Any]
    text: str
    reason: str


class Facts(NamedTuple):
    """The facts about the data that determine a preset.

    Attributes:
        images: number of training images.
        validation_images: number of validation images, 0 without validation.
        objects: those of the training images, or of a sample of them.
        pixels: of images that are not RGB and whose mean and deviation the user does not give; else None.
    """

    images: int
    validation_images: int
    objects: MeasuredObjects
    pixels: PixelMoments | None = None


def choose_preset(weights: str, facts: Facts, base: Mapping[str, Any], given: Mapping[str, Any],
                  recipe: str | None = None) -> list[Choice]:
    """Choose the configuration of a run.

    Args:
        weights: "none", SMALL_BACKBONE, "imagenet", the name of published weights, "file" for a file without a configuration,
            or "run" for those of a run on other data, whose network and optimizer `base` has.
        facts: about the data.
        base: settings of the format, of the recipe or of the earlier run. They are kept, except for the length of the run and
            its validation.
        given: the user's settings, which take precedence.
        recipe: the name of the recipe that the user gives, if any.
    """
    chosen = _Choices(base, given)
    if weights == "none":
        _from_scratch(chosen, facts, recipe)
        _length(chosen, facts, _STEPS)
    elif weights == SMALL_BACKBONE:
        _on_small_backbone(chosen, facts)
        _length(chosen, facts, _PRETRAINED_STEPS)
    else:
        _fine_tuning(chosen, facts, weights)
        _length(chosen, facts, _FINE_TUNING_STEPS)
    if facts.validation_images:
        _validation(chosen, facts)
    return chosen.lines


class _Choices:
    """Choices made one after another; each sees the values of those before it, of the format and of the user."""

    def __init__(self, base: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        self.fixed, self.given, self.lines = dict(base), dict(given), list[Choice]()
        self.values = {**Config().to_dict(), **base, **given}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def add(self, what: str, values: Mapping[str, Any], text: str, reason: str, anew: bool = False) -> None:
        """Add a choice.

        Args:
            values: attributes of Config. Those that the user or the format sets are kept.
            text: a format string with names of attributes.
            reason: used if no value was given by the user.
            anew: whether to replace the settings of an earlier run, too.
        """
        kept = self.given if anew else {**self.fixed, **self.given}
        free = {name: value for name, value in values.items() if name not in kept}
        self.values.update(free)
        if any(name in self.given for name in values):
            reason = "as given"
        self.lines.append(Choice(what, free, text.format_map(self.values), reason))


# --- From random weights ----------------------------------------------------------------------------------------------
def _from_scratch(chosen: _Choices, facts: Facts, recipe: str | None) -> None:
    modern = {} if recipe else recipes.values("modern")
    network, reason = {**modern, **SMALL_NETWORK, **FROM_SCRATCH}, "small, to learn without loaded weights"
    if "BACKBONE" in chosen.fixed:
        network, reason = FROM_SCRATCH, f"that of the recipe {recipe}"
    chosen.add("Network", network, "{BACKBONE}, {TOP_DOWN_PYRAMID_SIZE} channels", reason)
    if facts.pixels is not None:
        _measured_pixels(chosen, facts.pixels, facts.pixels.deviation, {})
    if facts.objects.boxes:
        _input(chosen, facts.objects)
        _anchors(chosen, facts.objects)
        _counts(chosen, facts.objects)
    batch = min(8 if chosen["IMAGE_MAX_DIM"] <= _SMALL_SIZE else 4, facts.images)
    chosen.add("Batch", {"IMAGES_PER_GPU": batch}, "{IMAGES_PER_GPU} images", "batch norm needs several")
    rate = 0.002 if chosen["OPTIMIZER"] == "adam" else Config.LEARNING_RATE
    chosen.add("Optimizer", {"OPTIMIZER": "adam", "LEARNING_RATE": rate, "LEARNING_RATE_SCHEDULE": "cosine"},
               "{OPTIMIZER}, rate {LEARNING_RATE}, {LEARNING_RATE_SCHEDULE}", "learns fast from random weights")
    chosen.add("Augment", {"TRAIN_AUGMENT": "rotate"}, "{TRAIN_AUGMENT}", "more views of every object")
    chosen.add("Layers", {"TRAIN_LAYERS": "all"}, "{TRAIN_LAYERS}", "all of them start from random values")


def _input(chosen: _Choices, objects: MeasuredObjects) -> None:
    """Choose the image size by the sizes of the objects; of a side that the user gives, the other follows."""
    least = -(-(chosen.given.get("IMAGE_MIN_DIM") or 0) // _SIZE_STEP) * _SIZE_STEP
    size = chosen.given.get("IMAGE_MAX_DIM") or max(image_size(objects), least)
    median = float(np.median(relative_sides(*objects))) * size
    chosen.add("Images", {"IMAGE_MIN_DIM": size, "IMAGE_MAX_DIM": size}, "resized to {IMAGE_MAX_DIM} x {IMAGE_MAX_DIM} pixels",
               f"half of the objects are at least {median:.0f} pixels large there")


def image_size(objects: MeasuredObjects) -> int:
    """Return the side of the network's input for training from random weights, in pixels."""
    sides = relative_sides(*objects)
    wanted = max(_MEDIAN_SIDE / float(np.median(sides)), _LEAST_SIDE / float(np.quantile(sides, 0.05)))
    longest = float(np.quantile(np.array(objects.sizes).max(axis=1), 0.95))
    return int(np.ceil(np.clip(wanted, _MIN_SIZE, min(_MAX_SIZE, max(longest, _MIN_SIZE))) / _SIZE_STEP) * _SIZE_STEP)


def _anchors(chosen: _Choices, objects: MeasuredObjects) -> None:
    """Choose the anchors by the sizes of the objects in the network's input."""
    settings = InputSettings.of(chosen.values)
    boxes, shapes = place_objects(*objects, settings)
    _, scales = best_scales(boxes, shapes, settings)
    chosen.add("Anchors", {"RPN_ANCHOR_SCALES": scales}, "{RPN_ANCHOR_SCALES} pixels", "these fit the objects best")


def _counts(chosen: _Choices, objects: MeasuredObjects) -> None:
    """Make room for as many objects as the fullest image has."""
    most = max(len(of_image) for of_image in objects.boxes)
    if most > Config.MAX_GT_INSTANCES:
        names = ("MAX_GT_INSTANCES", "DETECTION_MAX_INSTANCES", "POST_NMS_ROIS_TRAINING", "POST_NMS_ROIS_INFERENCE")
        room = -(-most // 100) * 100
        values = {**dict.fromkeys(names[:2], room), **dict.fromkeys(names[2:], 2 * room), "PRE_NMS_LIMIT": 6 * room}
        chosen.add("Objects", values, "up to {MAX_GT_INSTANCES} per image", f"one image has {most}")


# --- On a small backbone trained on ImageNet --------------------------------------------------------------------------
def _on_small_backbone(chosen: _Choices, facts: Facts) -> None:
    chosen.add("Network", PRETRAINED_NETWORK, "{BACKBONE}, {TOP_DOWN_PYRAMID_SIZE} channels",
               "trained on ImageNet, and small enough for a CPU")
    _pixels(chosen, facts, "imagenet")
    if facts.objects.boxes:
        _input(chosen, facts.objects)
        _anchors(chosen, facts.objects)
        _counts(chosen, facts.objects)
    chosen.add("Batch", {"IMAGES_PER_GPU": min(4, facts.images)}, "{IMAGES_PER_GPU} images", "enough for a steady gradient")
    values = {"OPTIMIZER": "adamw", "WEIGHT_DECAY_KIND": "decoupled", "LEARNING_RATE": 0.0005,
              "LEARNING_RATE_SCHEDULE": "cosine"}  # fmt: skip
    chosen.add("Optimizer", values, "{OPTIMIZER}, rate {LEARNING_RATE}, {LEARNING_RATE_SCHEDULE}", "trains new heads quickly")
    chosen.add("Augment", {"TRAIN_AUGMENT": "rotate"}, "{TRAIN_AUGMENT}", "more views of every object")
    chosen.add("Layers", {"TRAIN_LAYERS": "all"}, "{TRAIN_LAYERS}", "the backbone adapts to the data")


def _pixels(chosen: _Choices, facts: Facts, weights: str) -> None:
    """Normalise pixels as the loaded weights require, whatever a recipe says."""
    names = ("BACKBONE", "IMAGE_CHANNEL_COUNT", "RESNET_STRIDE_IN_3X3")
    published = imagenet_settings(*(chosen[name] for name in names)) if weights == "imagenet" else {}
    if facts.pixels is not None:
        # the first kernels are those for photographs: what they compute from must vary as much as photographs did
        scale = np.mean(published.get("STD_PIXEL", chosen["STD_PIXEL"])) / np.mean(recipes.IMAGENET_STD)
        _measured_pixels(chosen, facts.pixels, facts.pixels.deviation * scale, published)
    elif published:
        chosen.add("Pixels", published, _PIXELS, "what the weights were trained with", anew=True)


def _measured_pixels(chosen: _Choices, pixels: PixelMoments, divisor: np.ndarray, more: Mapping[str, Any]) -> None:
    """Normalise pixels by their measured mean, and by `divisor`, of each channel; `more` are other settings of the weights."""
    mean, std = (np.array([float(f"{value:.4g}") for value in values]) for values in (pixels.mean, divisor))
    images = "one image" if pixels.images == 1 else f"{pixels.images} images"
    chosen.add("Pixels", {**more, "MEAN_PIXEL": mean, "STD_PIXEL": std}, _PIXELS, f"measured on {images}", anew=True)


# --- From loaded weights ----------------------------------------------------------------------------------------------
def _fine_tuning(chosen: _Choices, facts: Facts, weights: str) -> None:
    reason = "the backbone of the weights" if weights == "imagenet" else "what the weights were trained with"
    if not {"BACKBONE", "IMAGE_MAX_DIM"}.isdisjoint(chosen.given):
        reason = "as given"
    elif weights == "file" and not chosen.fixed:
        reason = "the classic ones, as the file does not say what its network is"
    chosen.add("Network", {}, "{BACKBONE}, images of {IMAGE_MAX_DIM} pixels", reason)
    _pixels(chosen, facts, weights)
    chosen.add("Batch", {"IMAGES_PER_GPU": min(chosen["IMAGES_PER_GPU"], facts.images)}, "{IMAGES_PER_GPU} images",
               "what 12 GB of GPU memory hold")
    chosen.add("Optimizer", {"OPTIMIZER": "sgd", "LEARNING_RATE": Config.LEARNING_RATE, "LEARNING_RATE_SCHEDULE": "cosine"},
               "{OPTIMIZER}, rate {LEARNING_RATE}, {LEARNING_RATE_SCHEDULE}", "changes the loaded weights gently")
    chosen.add("Augment", {"TRAIN_AUGMENT": "flip"}, "{TRAIN_AUGMENT}", "what the weights were trained with")
    few = facts.images < _MANY_IMAGES
    chosen.add("Layers", {"TRAIN_LAYERS": "heads" if few else "3+"}, "{TRAIN_LAYERS}",
               "too few images to train the backbone" if few else "enough images for the backbone too", anew=True)


# --- Both -------------------------------------------------------------------------------------------------------------
def run_length(images: int, batch: int, least_steps: int, passes: int | None = None, limit: int | None = None,
               ) -> dict[str, int]:  # fmt: skip
    """Choose the number and the length of the epochs.

    Args:
        images: number of training images.
        batch: images per step.
        least_steps: minimum number of steps of the run.
        passes: PASSES_PER_EPOCH, if given.
        limit: STEPS_PER_EPOCH, if given.

    Returns:
        PASSES_PER_EPOCH, STEPS_PER_EPOCH and TRAIN_EPOCHS.
    """
    in_pass = -(-images // batch)
    passes = passes or max(round(_EPOCH_STEPS / in_pass), 1)
    steps = passes * in_pass
    if steps > _MAX_EPOCH_STEPS:  # equal parts
        steps = -(-steps // -(-steps // _MAX_EPOCH_STEPS))
    limit = limit or max(steps, Config.STEPS_PER_EPOCH)
    epochs = -(-_run_steps(in_pass, least_steps) // min(steps, limit))
    return {"PASSES_PER_EPOCH": passes, "STEPS_PER_EPOCH": limit, "TRAIN_EPOCHS": epochs}


def _run_steps(in_pass: int, least_steps: int) -> int:
    return max(least_steps, _PASSES * in_pass)


def _length(chosen: _Choices, facts: Facts, least_steps: int) -> None:
    batch = chosen["IMAGES_PER_GPU"] * chosen["GPU_COUNT"]
    length = run_length(facts.images, batch, least_steps, chosen.given.get("PASSES_PER_EPOCH"),
                        chosen.given.get("STEPS_PER_EPOCH"))  # fmt: skip
    in_pass = -(-facts.images // batch)
    steps = _run_steps(in_pass, least_steps)
    if length["STEPS_PER_EPOCH"] < length["PASSES_PER_EPOCH"] * in_pass:
        of_epoch = "one step" if length["STEPS_PER_EPOCH"] == 1 else "{STEPS_PER_EPOCH} steps"
    else:
        of_epoch = ("one pass" if length["PASSES_PER_EPOCH"] == 1 else "{PASSES_PER_EPOCH} passes") + " over the images"
    chosen.add("Epochs", length, "{TRAIN_EPOCHS}, each of " + of_epoch,
               f"{steps} steps in all for {facts.images} images", anew=True)


def _validation(chosen: _Choices, facts: Facts) -> None:
    if chosen.given.get("VALIDATION_AP_EVERY") == 0:
        chosen.add("Validation", {"VALIDATION_AP_EVERY": 0}, "loss alone, every checkpoint kept", "as given", anew=True)
        return
    patience = max(10, -(-chosen["TRAIN_EPOCHS"] // 2))
    values = {"VALIDATION_AP_EVERY": 1, "VALIDATION_AP_PATIENCE": patience, "KEEP_BEST": True, "CHECKPOINTS_KEPT": _KEPT,
              "VALIDATION_AP_IMAGES": _AP_IMAGES if facts.validation_images > _AP_IMAGES else None}  # fmt: skip
    every = "epoch" if chosen.given.get("VALIDATION_AP_EVERY", 1) == 1 else "{VALIDATION_AP_EVERY} epochs"
    chosen.add("Validation", values, f"AP every {every}, best weights kept",
               f"stops after {patience} evaluations without a better one", anew=True)


def chosen_values(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the attributes of Config that choices set."""
    return {name: value for choice in choices for name, value in choice.values.items()}
