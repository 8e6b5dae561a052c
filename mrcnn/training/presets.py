"""Configurations of the command line: the preset of each data format, and the user's changes."""

from collections.abc import Mapping
from typing import Any

from mrcnn.config import Config, ConfigError
from mrcnn.datasets.dataset import Dataset

# The preset of a format, beside its NAME.
PRESETS: dict[str, dict[str, Any]] = {
    # Images of 128 pixels: smaller anchors and fewer ROIs than a photograph needs.
    "shapes": {"IMAGES_PER_GPU": 8, "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128,
               "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128), "TRAIN_ROIS_PER_IMAGE": 32, "VALIDATION_STEPS": 5},
    # LVIS measures up to 300 detections per image.
    "lvis": {"DETECTION_MAX_INSTANCES": 300},
}
# Settings for training from random weights: batch norm has to learn its statistics, and the first proposals of the RPN hold no
# objects from which the heads could learn.
FROM_SCRATCH: dict[str, Any] = {"TRAIN_BN": None, "GT_BOXES_AS_ROIS": True}
# More such settings for one format: a CPU trains a network on shapes in minutes.
FORMAT_FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "shapes": {"BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 64, "RPN_HEAD_CHANNELS": 64,
               "MASK_HEAD_CHANNELS": 64, "FPN_CLASSIF_FC_LAYERS_SIZE": 256, "PRE_NMS_LIMIT": 300,
               "POST_NMS_ROIS_TRAINING": 100, "POST_NMS_ROIS_INFERENCE": 100, "OPTIMIZER": "adam"},
}


def build_config(data: str, settings: Mapping[str, object], saved: Config | None = None, from_scratch: bool = False) -> Config:
    """Return the validated configuration of a command.

    Args:
        data: The data format. It is the NAME of the run if nothing else sets it.
        settings: The user's changes, which take precedence.
        saved: The configuration of an earlier run, used in place of the preset.
        from_scratch: Training starts from random weights.

    Returns:
        NUM_CLASSES is still 1 if neither `saved` nor `settings` sets it; see `with_classes`.

    Raises:
        ConfigError: An unknown name (with the nearest one), a value of the wrong kind, or a contradiction.
    """
    scratch = {**FROM_SCRATCH, **FORMAT_FROM_SCRATCH.get(data, {})} if from_scratch else {}
    base = saved or Config.from_dict({"NAME": data, **PRESETS.get(data, {}), **scratch})
    return base.with_overrides(settings)


def for_other_data(saved: Config | None, name: str) -> Config | None:
    """Return the configuration of an earlier run for training under another NAME: the same network, other classes.

    Args:
        saved: Returned unchanged if it is None or has this NAME.
        name: NAME of the new run.
    """
    if saved is None or saved.NAME == name:
        return saved
    return saved.with_overrides({"NAME": name, "NUM_CLASSES": Config.NUM_CLASSES})


def with_classes(config: Config, dataset: Dataset) -> Config:
    """Return `config` with the number of classes of `dataset`, which is prepared.

    Raises:
        ConfigError: The configuration already sets another number of classes.
    """
    if config.NUM_CLASSES == Config.NUM_CLASSES:
        return config.with_overrides({"NUM_CLASSES": dataset.num_classes})
    if config.NUM_CLASSES != dataset.num_classes:
        raise ConfigError(f"NUM_CLASSES is {config.NUM_CLASSES} in the configuration (of the run that the weights come "
                          f"from, or by --set), and the data set has {dataset.num_classes} classes, background included: "
                          "use weights that were trained on these classes.")
    return config
