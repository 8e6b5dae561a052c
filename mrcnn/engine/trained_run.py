"""What training left behind: checkpoints, the configuration they were trained with, and the names of the classes.

A run folder is MODEL_DIR/<name><YYYYMMDDTHHMM>/ and holds mask_rcnn_<name>_<epoch:04d>.h5, config.json and
classes.json (a list of names whose position is the class id, "BG" first).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mrcnn.config import Config, ConfigError
from mrcnn.engine.run_dir import find_last, parse_checkpoint

STAMP_LENGTH = len("20171029T2315")


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint and what is needed to use it.

    Attributes:
        weights: str. Path of the checkpoint, or "coco" for the published weights.
        config: Config. As trained.
        class_names: list of str. Position is class id; [0] is the background.
    """

    weights: str
    config: Config
    class_names: list


def find_checkpoint(weights, model_dir, name=None):
    """Return the checkpoint that a user means: str.

    Args:
        weights: str. "last" for the newest run's newest checkpoint under `model_dir`, the path of a checkpoint, or of a
            run folder (its newest checkpoint).
        model_dir: path. The folder of run folders.
        name: str or None. With "last", only runs of this Config.NAME.

    Raises:
        FileNotFoundError: nothing there, with what to do.
    """
    if weights == "last" and name:
        return find_last(str(model_dir), name)
    if weights != "last" and Path(weights).is_file():
        return str(weights)
    folder, pattern = (model_dir, "*/mask_rcnn_*.h5") if weights == "last" else (weights, "mask_rcnn_*.h5")
    found = sorted((_age(path), str(path)) for path in Path(folder).glob(pattern) if parse_checkpoint(path.resolve()))
    if found:
        return found[-1][1]
    if weights == "last":
        raise FileNotFoundError(f"no checkpoint under {model_dir}: train first, or give the folder of the runs with "
                                "--model-dir.")
    raise FileNotFoundError(f"{weights}: no such weight file, and no run folder with checkpoints.")


def _age(path):
    """Order checkpoints by the start of their run, then by epoch: (str, int)."""
    folder, epoch = parse_checkpoint(path.resolve())
    return folder[-STAMP_LENGTH:], epoch


def load_config(checkpoint):
    """Return the configuration kept beside `checkpoint`: Config, or None where there is none."""
    path = Path(checkpoint).parent / "config.json"
    return Config.load(path) if path.is_file() else None


def load_class_names(path):
    """Read a classes.json: list of str, the background first.

    Raises:
        ConfigError: the file is missing or holds something else.
    """
    try:
        names = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no class names could be read: {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: expected a JSON list of class names, the background first.")
    return names


def load_trained_run(weights, model_dir, config_file=None, classes_file=None):
    """Find a checkpoint with its configuration and class names.

    Args:
        weights: str. As `find_checkpoint` takes it, or "coco" for the published COCO weights.
        model_dir: path. Where "last" looks.
        config_file, classes_file: path or None. Read in place of config.json and classes.json beside the weights.

    Returns:
        TrainedRun.

    Raises:
        FileNotFoundError: no weights. ConfigError: no configuration or class names, or they contradict each other.
    """
    if weights == "coco":
        config, names = _published_coco()
    else:
        weights = find_checkpoint(weights, model_dir)
        config, names = None, None
    if config_file:
        config = Config.load(config_file)
    elif weights != "coco":
        config = load_config(weights)
    beside = Path(weights).parent / "classes.json"
    if classes_file or (weights != "coco" and beside.is_file()):
        names = load_class_names(classes_file or beside)
    if config is None or names is None:
        missing = "config" if config is None else "classes"
        raise ConfigError(f"{weights}: no {missing}.json beside these weights: give one with --{missing} FILE.")
    if config.NUM_CLASSES != len(names):
        raise ConfigError(f"{weights}: NUM_CLASSES is {config.NUM_CLASSES}, but {len(names)} class names were given "
                          "(the background counts): the two files do not belong together.")
    return TrainedRun(str(weights), config, names)


def _published_coco():
    """The configuration and class names of the published COCO weights: (Config, list of str)."""
    from mrcnn.data.coco_names import CLASS_NAMES

    return Config.from_dict({"NAME": "coco", "NUM_CLASSES": len(CLASS_NAMES)}), list(CLASS_NAMES)
