"""Run folders: where they are, and what is in them.

A run folder is MODEL_DIR/<name><YYYYMMDDTHHMM>/, as in the classic code. It holds the checkpoints
mask_rcnn_<name>_<epoch:04d>.h5, config.json, classes.json (a list of names whose position is the class id, "BG" first),
history.csv (a row per epoch), environment.json (see `training.environment`) and training_state.h5 (see
`training.checkpoints`).

This module imports no Keras: a run can be read where no backend is installed.
"""

import contextlib
import csv
import datetime
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrcnn.base.atomic_write import atomic_open
from mrcnn.config import Config, ConfigError

HISTORY_NAME = "history.csv"
CHECKPOINT = re.compile(r".*?(?P<name>[^/\\]+?)(?P<stamp>\d{8}T\d{4})[/\\]mask_rcnn_.+?_(?P<epoch>\d{4,})\.h5$")
STAMP_LENGTH = len("20171029T2315")


# --- Names of run folders and checkpoints -----------------------------------------------------------------------------
def parse_checkpoint(path: Path | str) -> tuple[str, int] | None:
    """Return the run folder's name and the epoch that the path of a checkpoint names; None for another path.

    "logs/coco20171029T2315/mask_rcnn_coco_0001.h5" gives ("coco20171029T2315", 1).
    """
    match = CHECKPOINT.match(str(path))
    return (match["name"] + match["stamp"], int(match["epoch"])) if match else None


def checkpoint_path(log_dir: str, name: str) -> str:
    """Return the path of a run's checkpoints, with {epoch:04d} for the epoch."""
    return os.path.join(log_dir, f"mask_rcnn_{name.lower()}_{{epoch:04d}}.h5")


def new_log_dir(model_dir: Path | str, name: str, now: datetime.datetime | None = None) -> str:
    """Return the path of a new run folder, which is not created. If this minute's folder exists, a later minute is taken."""
    now = now or datetime.datetime.now()
    while os.path.exists(path := os.path.join(model_dir, f"{name.lower()}{now:%Y%m%dT%H%M}")):
        now += datetime.timedelta(minutes=1)
    return path


@contextlib.contextmanager
def removed_if_empty(log_dir: str) -> Iterator[None]:
    """Remove a run folder if the block ends with an error and the folder holds no file. The folder need not exist."""
    try:
        yield
    except BaseException:
        folders = list(os.walk(log_dir, topdown=False))
        if not any(files for _, _, files in folders):
            for folder, _, _ in folders:
                with contextlib.suppress(OSError):  # another process has put a file there since
                    os.rmdir(folder)
        raise


# --- Checkpoints of a run ---------------------------------------------------------------------------------------------
def run_checkpoints(folder: Path | str) -> dict[int, Path]:
    """Return the checkpoints of a run folder by epoch, in ascending order."""
    found = {}
    for path in Path(folder).glob("mask_rcnn_*.h5"):
        # resolved where the path does not show the folder's name, as in "."
        parsed = parse_checkpoint(path) or parse_checkpoint(path.resolve())
        if parsed:
            found[parsed[1]] = path
    return dict(sorted(found.items()))


def find_last(model_dir: Path | str, name: str | None = None) -> str:
    """Return the newest checkpoint of the newest run that has one.

    Args:
        model_dir: The folder of the run folders.
        name: Only runs of this Config.NAME; None takes any.

    Raises:
        FileNotFoundError: No run has a checkpoint. The message says where it was looked for.
    """
    pattern = rf"{re.escape(name.lower()) if name else '.+?'}\d{{8}}T\d{{4}}"
    folders = os.listdir(model_dir) if os.path.isdir(model_dir) else []
    runs = sorted((f for f in folders if re.fullmatch(pattern, f)), key=lambda f: (f[-STAMP_LENGTH:], f))
    for run in reversed(runs):
        checkpoints = run_checkpoints(Path(model_dir, run))
        if checkpoints:
            return os.path.join(model_dir, run, checkpoints[max(checkpoints)].name)
    wanted = f"checkpoint of {name!r}" if name else "checkpoint"
    reason = f"there is no folder {name.lower() if name else '<name>'}YYYYMMDDTHHMM"
    if runs:
        reason = f"the runs {', '.join(runs)} have no checkpoint yet"
    raise FileNotFoundError(f"no {wanted} under {model_dir}: {reason}. Train first, or give the path of a weight file, or "
                            "another folder of runs (--model-dir).")


def find_checkpoint(weights: str, model_dir: Path | str, name: str | None = None) -> str:
    """Return the checkpoint that a user means.

    Args:
        weights: "last" for the newest run's newest checkpoint under `model_dir`, the path of a weight file, or the path of
            a run folder, for its newest checkpoint.
        model_dir: The folder of the run folders.
        name: With "last", only runs of this Config.NAME.

    Raises:
        FileNotFoundError: There is no such file, or no checkpoint.
    """
    if weights == "last":
        return find_last(model_dir, name)
    if Path(weights).is_file():
        return str(weights)
    checkpoints = run_checkpoints(weights)
    if not checkpoints:
        raise FileNotFoundError(f"{weights}: no such weight file, and no run folder with checkpoints.")
    return str(checkpoints[max(checkpoints)])


# --- A trained network: weights, configuration, class names -----------------------------------------------------------
@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint and what is needed to use it.

    Attributes:
        weights: Path of the checkpoint, or "coco" for the published weights.
        config: The configuration that it was trained with.
        class_names: Position is class id; [0] is the background.
    """

    weights: str
    config: Config
    class_names: list[str]


def load_config(checkpoint: Path | str) -> Config | None:
    """Return the configuration in the folder of `checkpoint`; None if there is none."""
    path = Path(checkpoint).parent / "config.json"
    return Config.load(path) if path.is_file() else None


def load_class_names(path: Path | str) -> list[str]:
    """Read a classes.json.

    Raises:
        ConfigError: The file is missing or does not hold a list of names.
    """
    try:
        names = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read class names: {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: expected a JSON list of class names, the background first.")
    return names


def load_trained_run(weights: str, model_dir: Path | str, config_file: Path | str | None = None,
                     classes_file: Path | str | None = None) -> TrainedRun:
    """Find a checkpoint with its configuration and class names.

    Args:
        weights: As `find_checkpoint` takes it, or "coco" for the published COCO weights.
        model_dir: Where "last" looks.
        config_file: Read in place of the config.json beside the weights.
        classes_file: Read in place of the classes.json beside the weights.

    Raises:
        FileNotFoundError: There are no such weights.
        ConfigError: There is no configuration or no list of class names, or they contradict each other.
    """
    config: Config | None = None
    names: list[str] | None = None
    if weights == "coco":
        config, names = _published_coco()
    else:
        weights = find_checkpoint(weights, model_dir)
        config = None if config_file else load_config(weights)
        beside = Path(weights).parent / "classes.json"
        names = load_class_names(beside) if beside.is_file() and not classes_file else None
    if config_file:
        config = Config.load(config_file)
    if classes_file:
        names = load_class_names(classes_file)
    if config is None or names is None:
        missing = "config" if config is None else "classes"
        raise ConfigError(f"{weights}: there is no {missing}.json beside these weights: give one with --{missing} FILE.")
    if config.NUM_CLASSES != len(names):
        raise ConfigError(f"{weights}: NUM_CLASSES is {config.NUM_CLASSES}, but {len(names)} class names were given (the "
                          "background counts): the two files do not belong together.")
    return TrainedRun(str(weights), config, names)


def _published_coco() -> tuple[Config, list[str]]:
    """The configuration and class names of the published COCO weights."""
    from mrcnn.datasets.coco_names import CLASS_NAMES

    return Config.from_dict({"NAME": "coco", "NUM_CLASSES": len(CLASS_NAMES)}), list(CLASS_NAMES)


# --- history.csv ------------------------------------------------------------------------------------------------------
def read_history(path: Path | str) -> list[dict[str, float]]:
    """Read the table of a run.

    Returns:
        Rows in the order of "epoch", which counts from 1. Empty cells and cells that are not numbers are left out. If an
        epoch has two rows, the later row counts.

    Raises:
        ValueError: The file has no column "epoch", or is not text.
        OSError: It cannot be read.
    """
    rows = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                row = {name: number for name, text in line.items() if (number := _number(text)) is not None}
                if "epoch" in row and math.isfinite(row["epoch"]):
                    rows[row["epoch"]] = row
                elif "epoch" not in line:
                    raise ValueError("there is no column named epoch")
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: not the history of a run: {error}") from error
    return [rows[epoch] for epoch in sorted(rows)]


def _number(text: object) -> float | None:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # None or a list where a row is shorter or longer than the header
        return None


def write_history(path: Path | str, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the table atomically. The columns may differ from row to row: a stage without validation has fewer."""
    columns = ["epoch", *sorted({name for row in rows for name in row} - {"epoch"})]
    with atomic_open(path, "w") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({**row, "epoch": int(row["epoch"])})
