"""Reading the records in a run folder, without a backend and without the data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.config import Config, ConfigError
from mrcnn.training.runs import (
    ENVIRONMENT_NAME,
    HISTORY_NAME,
    load_class_names,
    load_config,
    read_environments,
    read_history,
    run_checkpoints,
)
from mrcnn.training.trained_run import best_weights


@dataclass
class Run:
    """A run folder.

    Attributes:
        config: None when it is missing.
        class_names: the background first; None when they are missing.
        history: columns of each epoch; see `training.runs.read_history`.
        entries: one per call of `train`; see `training.runs.read_environments`.
        checkpoints: by epoch, ascending.
        missing: what is missing, and why.
    """

    folder: Path
    config: Config | None
    class_names: list[str] | None
    history: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    checkpoints: dict[int, Path]
    missing: list[str]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name


def read_run(folder: Path | str) -> Run:
    """Read a run folder; some files may be missing.

    Raises:
        FileNotFoundError: there is no such folder, or it is not a run folder.
        ValueError: a file cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder: give the folder of a run, such as logs/toys20260101T1200.")
    checkpoints = run_checkpoints(folder)
    if not checkpoints and not any((folder / name).is_file() for name in ("config.json", HISTORY_NAME)):
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json, {HISTORY_NAME} or checkpoint."
                                + _runs_inside(folder))
    missing = []
    config = load_config(folder / "config.json")
    if config is None:
        missing.append("The configuration: the folder has no config.json.")
    try:
        names = load_class_names(folder / "classes.json")
    except ConfigError:
        names = None
    history = read_history(folder / HISTORY_NAME) if (folder / HISTORY_NAME).is_file() else []
    if not history:
        missing.append(f"Losses and speed: the folder has no {HISTORY_NAME} with an epoch in it. Training writes a line at the "
                       "end of each epoch.")
    entries = read_environments(folder / ENVIRONMENT_NAME)
    if not entries:
        missing.append(f"The environment: the folder has no {ENVIRONMENT_NAME}.")
    return Run(folder, config, names, history, entries, checkpoints, missing)


def _runs_inside(folder: Path) -> str:
    """Suggest the newest run inside a folder that is not a run folder; "" if there is none."""
    runs = [path.parent for path in sorted(folder.glob("*/config.json"))]
    return f" Did you mean {runs[-1]}?" if runs else ""


def choose_checkpoint(run: Run, weights: str) -> str:
    """Find the weights that a user requests.

    Args:
        weights: "last" for the newest checkpoint; "best", see `trained_run.best_weights`; or the path of a weight file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if weights not in ("last", "best"):
        if not Path(weights).is_file():
            raise FileNotFoundError(f"{weights}: no such weight file: choose last, best, or a path.")
        return str(weights)
    path = best_weights(run.folder) if weights == "best" else run.checkpoints.get(max(run.checkpoints, default=0))
    if path is None:
        raise FileNotFoundError(f"{run.folder} has no checkpoint: give a weight file with --weights PATH.")
    return str(path)
