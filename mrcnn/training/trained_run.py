"""A trained network: which weights a user means, such as the best ones of a run, and their configuration and class names."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn import recipes
from mrcnn.config import Config, ConfigError
from mrcnn.datasets.coco_names import CLASS_NAMES
from mrcnn.training.runs import (
    HISTORY_NAME,
    find_checkpoint,
    load_class_names,
    load_config,
    newest_checkpoint,
    read_history,
    run_checkpoints,
)
from mrcnn.weights.catalogue import CATALOGUE, COCO_ROWS

if TYPE_CHECKING:
    from mrcnn.weights.convert import Network

# criteria for the best epoch, of which the first recorded one is used: column of history.csv, and whether higher is better
CRITERIA = (("val_mask_AP", True), ("val_loss", False))


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint with its configuration and class names.

    Attributes:
        weights: path of the checkpoint, or the name of published weights.
        config: the configuration that it was trained with.
        class_names: indexed by class id; [0] is the background.
    """

    weights: str
    config: Config
    class_names: list[str]


def best_path(log_dir: Path | str, name: str) -> Path:
    """Return the path of the best weights of a run, which KEEP_BEST writes."""
    return Path(log_dir, f"mask_rcnn_{name.lower()}_best.h5")


def best_epoch(history: Sequence[Mapping[str, Any]], among: Collection[int] | None = None) -> tuple[int, str, float] | None:
    """Find the best epoch by the first of CRITERIA that the history contains.

    Args:
        history: rows of `read_history`.
        among: epochs to choose from; None for all.

    Returns:
        (epoch, column, value), or None if the history contains no criterion.
    """
    for column, higher_is_better in CRITERIA:
        rows = [row for row in history if math.isfinite(row.get(column, math.nan))]
        rows = [row for row in rows if among is None or int(row["epoch"]) in among]
        if rows:
            row = (max if higher_is_better else min)(rows, key=lambda row: row[column])
            return int(row["epoch"]), column, row[column]
    return None


def best_weights(folder: Path | str) -> Path | None:
    """Return the best weights of a run: those that KEEP_BEST wrote, else the checkpoint of the best epoch, else the newest.

    Returns:
        None if the folder has no weights.
    """
    kept = sorted(Path(folder).glob("mask_rcnn_*_best.h5"))
    if kept:
        return kept[0]
    checkpoints = run_checkpoints(folder)
    if not checkpoints:
        return None
    history = Path(folder, HISTORY_NAME)
    best = best_epoch(read_history(history), checkpoints) if history.is_file() else None
    return checkpoints[best[0]] if best else newest_checkpoint(folder)


def find_weights(weights: str, model_dir: Path | str, name: str | None = None) -> str:
    """Return the path of the weights that a user names for detection.

    Args:
        weights: "best" for the `best_weights` of the newest run under `model_dir`, "last" for that run's newest checkpoint,
            the path of a weight file, or the path of a run folder, for its best weights.
        model_dir: the folder of the run folders.
        name: Config.NAME of the runs that "best" and "last" consider; None for any.

    Raises:
        FileNotFoundError: there is no such file, or no checkpoint.
    """
    if weights == "best":
        folder = Path(find_checkpoint("last", model_dir, name)).parent
    elif Path(weights).is_dir():
        folder = Path(weights)
    else:
        return find_checkpoint(weights, model_dir, name)
    best = best_weights(folder)
    return str(best) if best is not None else find_checkpoint(str(folder), model_dir, name)


def find_trained_run(weights: str, model_dir: Path | str, config_file: Path | str | None = None,
                     classes_file: Path | str | None = None) -> TrainedRun:
    """Find the weights that a user names for detection, with their configuration and class names.

    Args:
        weights: see `find_weights`; or the name of published weights, such as "coco".
        model_dir: the folder of the run folders.
        config_file: see `load_trained_run`.
        classes_file: see `load_trained_run`.

    Raises:
        FileNotFoundError: there are no such weights.
        ConfigError: there is no configuration or no list of class names, or they contradict each other.
    """
    path = weights if weights in CATALOGUE else find_weights(weights, model_dir)
    return load_trained_run(path, model_dir, config_file, classes_file)


def load_trained_run(weights: str, model_dir: Path | str, config_file: Path | str | None = None,
                     classes_file: Path | str | None = None) -> TrainedRun:
    """Find a checkpoint with its configuration and class names.

    Args:
        weights: see `find_checkpoint`; or the name of published weights, such as "coco" (`weights.catalogue`).
        model_dir: the folder of the run folders, for "last".
        config_file: read instead of the config.json next to the weights. Files of torchvision and detectron2 need none: the
            names of their tensors tell the network.
        classes_file: read instead of the classes.json next to the weights.

    Raises:
        FileNotFoundError: there are no such weights.
        ConfigError: there is no configuration or no list of class names, or they contradict each other.
    """
    config: Config | None = None
    names: list[str] | None = None
    if weights not in CATALOGUE:
        weights = find_checkpoint(weights, model_dir)
        config = None if config_file else load_config(weights)
        beside = Path(weights).parent / "classes.json"
        names = load_class_names(beside) if beside.is_file() and not classes_file else None
    if config is None:
        config, coco = _published(weights)
        names = names or coco
    if config_file:
        config = Config.load(config_file)
    if classes_file:
        names = load_class_names(classes_file)
    if config is None or names is None:
        missing = [name for name, found in (("config", config), ("classes", names)) if found is None]
        files = " and no ".join(f"{name}.json" for name in missing)
        options = " and ".join(f"--{name} FILE" for name in missing)
        raise ConfigError(f"{weights}: there is no {files} next to these weights: give {options}, or make them: "
                          'YourConfig().save("config.json"), and a classes.json such as ["BG", "cat", "dog"].')
    if config.NUM_CLASSES != len(names):
        raise ConfigError(f"{weights}: NUM_CLASSES is {config.NUM_CLASSES}, but {len(names)} class names were given (the "
                          "background counts): the two files do not belong together.")
    return TrainedRun(str(weights), config, names)


def network_settings_of(weights: str) -> dict[str, Any]:
    """Return the attributes of Config that the network of published weights needs, or that of a file of another framework.

    Args:
        weights: the name of published weights, or a path. For any other value, and for files whose names do not tell their
            exact recipe, there is nothing to set.
    """
    entry, network = CATALOGUE.get(weights), _other_network(weights)
    if entry is not None:
        return {**recipes.values(entry.recipe), "BACKBONE": entry.backbone, **entry.overrides}
    if network is None or not network.is_exact:
        return {}
    overrides = next((entry.overrides for entry in CATALOGUE.values() if entry.file_name == Path(weights).name), {})
    backbone = {} if network.backbone is None else {"BACKBONE": network.backbone}
    return {**recipes.values(network.recipe), **backbone, **overrides}


def _other_network(weights: str) -> "Network | None":
    """Return the network of a file of another framework; None for other weights."""
    from mrcnn.io.state_dict import is_state_dict_file, read_state_dict

    if not Path(weights).is_file() or not is_state_dict_file(weights):
        return None
    from mrcnn.weights.convert import network_of

    return network_of(read_state_dict(weights), weights)


def _published(weights: str) -> tuple[Config | None, list[str] | None]:
    """Return the configuration and class names of published weights, or of a file of another framework.

    The class names are those of COCO, if the file has as many classes. Either is None if it is not known.
    """
    settings, network = network_settings_of(weights), _other_network(weights)
    count = len(CLASS_NAMES) if network is None or network.num_classes in COCO_ROWS else network.num_classes
    if not settings or count is None:
        return None, None
    config = Config.from_dict({"NAME": "coco", "NUM_CLASSES": count, **settings})
    return config, list(CLASS_NAMES) if count == len(CLASS_NAMES) else None
