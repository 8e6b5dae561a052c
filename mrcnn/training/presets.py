"""Configurations of the command line: what each data format starts from, and the changes that a user asks for."""

from mrcnn.config import Config, ConfigError

# What each format starts from beside its NAME.
PRESETS = {
    # Images of 128 pixels: smaller anchors and fewer ROIs than a photograph needs.
    "shapes": {"IMAGES_PER_GPU": 8, "IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128,
               "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128), "TRAIN_ROIS_PER_IMAGE": 32, "VALIDATION_STEPS": 5},
    # LVIS's figures are of up to 300 detections an image.
    "lvis": {"DETECTION_MAX_INSTANCES": 300},
}
# What changes where no weights at all are loaded: BatchNorm has its statistics to learn, and what the RPN proposes first
# holds no objects for the heads to learn from.
FROM_SCRATCH = {"TRAIN_BN": None, "GT_BOXES_AS_ROIS": True}
# What changes besides for one format: a CPU trains a network for shapes in minutes.
FORMAT_FROM_SCRATCH = {
    "shapes": {"BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 64, "RPN_HEAD_CHANNELS": 64,
               "MASK_HEAD_CHANNELS": 64, "FPN_CLASSIF_FC_LAYERS_SIZE": 256, "PRE_NMS_LIMIT": 300,
               "POST_NMS_ROIS_TRAINING": 100, "POST_NMS_ROIS_INFERENCE": 100, "OPTIMIZER": "adam"},
}


def build_config(data, settings, saved=None, from_scratch=False):
    """Return the validated configuration that a command starts from.

    Args:
        data: str. The data format; it names the run where nothing else does.
        settings: {str: value}. The user's own changes; they win.
        saved: Config or None. The configuration of an earlier run, taken in place of the preset.
        from_scratch: bool. Training starts from random weights.

    Returns:
        Config. NUM_CLASSES is still 1 where neither `saved` nor `settings` says otherwise; see `with_classes`.

    Raises:
        ConfigError: an unknown name (with the nearest one), a value of the wrong kind, or a contradiction.
    """
    scratch = {**FROM_SCRATCH, **FORMAT_FROM_SCRATCH.get(data, {})} if from_scratch else {}
    base = saved or Config.from_dict({"NAME": data, **PRESETS.get(data, {}), **scratch})
    return base.with_overrides(settings)


def for_other_data(saved, name):
    """Return the configuration of an earlier run for training under another NAME: the same network, other classes.

    Args:
        saved: Config or None. None, or one of the same NAME, is returned as it is.
        name: str. NAME of the new run.
    """
    if saved is None or saved.NAME == name:
        return saved
    return saved.with_overrides({"NAME": name, "NUM_CLASSES": Config.NUM_CLASSES})


def with_classes(config, dataset):
    """Return `config` with the number of classes of `dataset`, a prepared Dataset.

    Raises:
        ConfigError: the configuration already counts another number of classes.
    """
    if config.NUM_CLASSES == Config.NUM_CLASSES:
        return config.with_overrides({"NUM_CLASSES": dataset.num_classes})
    if config.NUM_CLASSES != dataset.num_classes:
        raise ConfigError(f"NUM_CLASSES is {config.NUM_CLASSES} in the configuration (of the run that the weights come "
                          f"from, or by --set), and the data set has {dataset.num_classes} classes, background included: "
                          "use weights that were trained on these classes.")
    return config
