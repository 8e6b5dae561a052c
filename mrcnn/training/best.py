"""The best epoch of a run, by the records in its folder, and the weights to use when a run is named for detection."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.training.runs import (
    HISTORY_NAME,
    TrainedRun,
    find_checkpoint,
    load_trained_run,
    newest_checkpoint,
    read_history,
    run_checkpoints,
)
from mrcnn.weights.catalogue import CATALOGUE

# criteria for the best epoch, of which the first recorded one is used: column of history.csv, and whether higher is better
CRITERIA = (("val_mask_AP", True), ("val_loss", False))


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
