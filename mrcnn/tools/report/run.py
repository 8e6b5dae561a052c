"""What a run folder tells of itself, without a backend and without the data."""

import math
from dataclasses import dataclass
from pathlib import Path

from mrcnn.config import Config, ConfigError
from mrcnn.training.environment import ENVIRONMENT_NAME, read_entries
from mrcnn.training.runs import HISTORY_NAME, load_class_names, load_config, read_history, run_checkpoints

# What tells which epoch was best: a column of history.csv, and whether more is better.
MEASURES = (("val_mask_AP", True), ("val_loss", False))


@dataclass
class Run:
    """A run folder.

    Attributes:
        folder: Path.
        config: Config, or None where there is none.
        class_names: list of str, the background first, or None.
        history: list of {column: float}, one for each epoch; see `training.runs.read_history`.
        entries: list of dicts, one for each call of `train`; see `training.environment.read_entries`.
        checkpoints: {epoch: Path}, by epoch.
        left_out: list of str. What is missing, and why.
    """

    folder: Path
    config: Config | None
    class_names: list | None
    history: list
    entries: list
    checkpoints: dict
    left_out: list

    @property
    def name(self):
        """Name of the folder: str."""
        return self.folder.resolve().name


def best_epoch(history, among=None):
    """Find the best epoch by the first of MEASURES that the history has.

    Args:
        history: list of {column: float}, as of `Run.history`.
        among: collection of epochs to choose from; None for all.

    Returns:
        (epoch int, column str, value float), or None where nothing tells.
    """
    for column, more in MEASURES:
        rows = [row for row in history if math.isfinite(row.get(column, math.nan))]
        if more:  # AP stands until the next evaluation: the first of equal ones was measured, those behind it were not
            rows = [row for before, row in zip([{}, *rows], rows) if row[column] != before.get(column)]
        rows = [row for row in rows if among is None or int(row["epoch"]) in among]
        if rows:
            row = (max if more else min)(rows, key=lambda row: row[column])
            return int(row["epoch"]), column, row[column]
    return None


def read_run(folder):
    """Read a run folder; what it lacks is told in `left_out`, and the rest is read.

    Args:
        folder: path.

    Returns:
        Run.

    Raises:
        FileNotFoundError: there is no such folder, or it is none of a run.
        ValueError: a file of it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder: give that of a run, such as logs/toys20260131T0930.")
    checkpoints = run_checkpoints(folder)
    if not checkpoints and not any((folder / name).is_file() for name in ("config.json", HISTORY_NAME)):
        raise FileNotFoundError(f"{folder}: no run folder: it has no config.json, {HISTORY_NAME} or checkpoint."
                                + _runs_inside(folder))
    left_out = []
    config = load_config(folder / "config.json")
    if config is None:
        left_out.append("The configuration: the folder has no config.json.")
    try:
        names = load_class_names(folder / "classes.json")
    except ConfigError:
        names = None
    history = read_history(folder / HISTORY_NAME) if (folder / HISTORY_NAME).is_file() else []
    if not history:
        left_out.append(f"Losses and speed: the folder has no {HISTORY_NAME} with an epoch in it. Training writes a line "
                        "at the end of each.")
    entries = read_entries(folder / ENVIRONMENT_NAME)
    if not entries:
        left_out.append(f"The environment: the folder has no {ENVIRONMENT_NAME}.")
    return Run(folder, config, names, history, entries, checkpoints, left_out)


def _runs_inside(folder):
    """Name the newest run below a folder that is none itself: str, "" where there is none."""
    runs = [path.parent for path in sorted(folder.glob("*/config.json"))]
    return f" Did you mean {runs[-1]}?" if runs else ""


def choose_checkpoint(run, weights):
    """Find the checkpoint that a user means.

    Args:
        run: Run.
        weights: str. "last", "best" (of the epochs whose checkpoint is there, by the first of MEASURES that was
            recorded), or the path of a weight file.

    Returns:
        str.

    Raises:
        FileNotFoundError: it is not there. ValueError: "best", and nothing tells which one is.
    """
    if weights not in ("last", "best"):
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no such weight file: choose last, best, or a path.")
        return str(weights)
    if not run.checkpoints:
        raise FileNotFoundError(f"{run.folder} has no checkpoint: give a weight file with --weights PATH.")
    if weights == "last":
        return str(run.checkpoints[max(run.checkpoints)])
    best = best_epoch(run.history, run.checkpoints)
    if best is None:
        raise ValueError(f"{run.folder / HISTORY_NAME} has neither {' nor '.join(name for name, _ in MEASURES)} of an epoch "
                         "whose checkpoint is there: choose --weights last, or a path.")
    return str(run.checkpoints[best[0]])
