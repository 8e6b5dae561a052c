"""Run folders: their location and their content.

A run folder is MODEL_DIR/<name><YYYYMMDDTHHMM>/, as in the classic code; the second run of a minute adds "-2". It holds the
checkpoints mask_rcnn_<name>_<epoch:04d>.h5, config.json, classes.json (a list of class names indexed by class id, "BG" first),
history.csv (a row per epoch), environment.json (versions, hardware and command line) and training_state_<epoch:04d>.h5 of the
newest epochs (see `training.checkpoints`). It may be moved and renamed.

A run can be read without a backend: only the functions that describe devices import Keras.
"""

import contextlib
import csv
import datetime
import itertools
import json
import logging
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import h5py
import numpy as np

from mrcnn import __version__
from mrcnn.base.atomic_write import atomic_open, save_json
from mrcnn.config import Config, ConfigError
from mrcnn.io.hdf5 import Hdf5Error, digest_fault, open_hdf5

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

HISTORY_NAME = "history.csv"
ENVIRONMENT_NAME = "environment.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-python-headless", "pycocotools", "faster-coco-eval")
MAX_EPOCH = 1_000_000  # far more than any run has
STATE_NAME = "training_state_{epoch:04d}.h5"
RUN_FOLDER = re.compile(r"(?P<name>.+?)(?P<stamp>\d{8}T\d{4})(?:-(?P<number>\d+))?")
CHECKPOINT = re.compile(r"(?:(?P<folder>.*)[/\\])?mask_rcnn_(?P<name>[^/\\]+)_(?P<epoch>\d{4,})\.h5")


# --- Names of run folders and checkpoints -----------------------------------------------------------------------------
def parse_checkpoint(path: Path | str) -> tuple[str, int] | None:
    """Parse the path of a checkpoint into the name of its run folder and its epoch; None if it is not one.

    "logs/coco20171029T2315/mask_rcnn_coco_0001.h5" gives ("coco20171029T2315", 1). A renamed run folder is known by the
    history in it.
    """
    match = CHECKPOINT.fullmatch(str(path))
    if match is None:
        return None
    folder = match["folder"] or "."
    name = re.split(r"[/\\]", folder)[-1]
    if not RUN_FOLDER.fullmatch(name):
        if not Path(folder, HISTORY_NAME).is_file():
            return None
        name = Path(folder).resolve().name
    return name, int(match["epoch"])


def checkpoint_name(path: Path | str) -> str | None:
    """Return the NAME in lower case that the file name of a checkpoint carries; None if it is not a checkpoint."""
    match = CHECKPOINT.fullmatch(str(path))
    return match["name"] if match else None


def checkpoint_path(log_dir: str, name: str) -> str:
    """Return the path of a run's checkpoints, with {epoch:04d} for the epoch."""
    return os.path.join(log_dir, f"mask_rcnn_{name.lower()}_{{epoch:04d}}.h5")


def state_path(log_dir: Path | str, epoch: int) -> Path:
    """Return the path of the training state of an epoch."""
    return Path(log_dir, STATE_NAME.format(epoch=epoch))


def new_log_dir(model_dir: Path | str, name: str, now: datetime.datetime | None = None) -> str:
    """Return the path of a new run folder, without creating it. If this minute's folder exists, a number is added to it."""
    path = os.path.join(model_dir, f"{name.lower()}{now or datetime.datetime.now():%Y%m%dT%H%M}")
    return path if not os.path.exists(path) else next_log_dir(path)


def next_log_dir(path: str) -> str:
    """Return the path of a run folder that does not exist: `path` with a number, "-2" or the next one that is free."""
    folder, name = os.path.split(path)
    match = RUN_FOLDER.fullmatch(name)
    if match is not None:
        name = match["name"] + match["stamp"]
    return next(new for number in itertools.count(2) if not os.path.exists(new := os.path.join(folder, f"{name}-{number}")))


@contextlib.contextmanager
def removed_if_empty(log_dir: str) -> Iterator[None]:
    """Remove a run folder if the block ends with an error and the folder holds no file. The folder need not exist."""
    try:
        yield
    except BaseException:
        folders = list(os.walk(log_dir, topdown=False))
        if not any(files for _, _, files in folders):
            for folder, _, _ in folders:
                with contextlib.suppress(OSError):  # another process may have put a file there in the meantime
                    os.rmdir(folder)
        raise


# --- Checkpoints of a run ---------------------------------------------------------------------------------------------
def run_checkpoints(folder: Path | str) -> dict[int, Path]:
    """Return the checkpoints of a run folder by epoch, in ascending order."""
    matches = ((path, CHECKPOINT.fullmatch(path.name)) for path in Path(folder).glob("mask_rcnn_*.h5"))
    return dict(sorted((int(match["epoch"]), path) for path, match in matches if match))


def newest_checkpoint(folder: Path | str) -> Path | None:
    """Return the newest checkpoint of a run that is whole, together with its training state.

    A checkpoint without a training state counts too. Newer ones that are damaged are reported. If none is whole, the newest
    is returned, and loading it raises an error that names the fault; None if there is no checkpoint.
    """
    checkpoints = run_checkpoints(folder)
    faults = {}
    for epoch in reversed(checkpoints):
        faults[epoch] = checkpoint_fault(checkpoints[epoch]) or state_fault(folder, epoch)
        if faults[epoch] is None:
            for newer in list(faults)[:-1]:
                logger.warning("%s is passed over: %s", checkpoints[newer], faults[newer])
            return checkpoints[epoch]
    return checkpoints[max(checkpoints)] if checkpoints else None


def whole_checkpoint_instead(path: Path | str) -> Path | None:
    """Return the newest whole checkpoint of a run in place of a damaged one; None if `path` is whole, or there is no other."""
    if parse_checkpoint(path) is None or checkpoint_fault(path) is None:
        return None
    checkpoints = reversed(run_checkpoints(Path(path).parent).values())
    return next((checkpoint for checkpoint in checkpoints if checkpoint_fault(checkpoint) is None), None)


def checkpoint_fault(path: Path | str) -> str | None:
    """Return why a checkpoint must not be used: it is damaged, or holds NaN or infinite numbers; None if it is whole."""
    try:
        with open_hdf5(path) as file:
            return digest_fault(file) or _numbers_fault(file)
    except (OSError, Hdf5Error) as error:
        return str(error).removeprefix(f"{path}: ")


def state_fault(folder: Path | str, epoch: int) -> str | None:
    """Return what is wrong with the training state of an epoch; None if it is whole or there is none."""
    path = state_path(folder, epoch)
    if not path.exists():
        return None
    try:
        with open_hdf5(path) as file:
            fault = digest_fault(file)
    except (OSError, Hdf5Error) as error:
        fault = str(error).removeprefix(f"{path}: ")
    return f"its training state {path} is damaged: {fault}" if fault else None


def _numbers_fault(file: h5py.File) -> str | None:
    """Return the first tensor with NaN or infinite numbers, in words; None if all are finite."""

    def fault(name: str, item: object) -> str | None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind != "f" or item.id.get_storage_size() != item.nbytes:
            return None
        return None if np.isfinite(item[()]).all() else f"{name} holds NaN or infinite numbers"

    return file.visititems(fault)


class CheckpointPath(str):
    """The path of a checkpoint. `[1]` gives it too: until 2018, the classic `find_last` returned a folder and a path."""

    def __getitem__(self, index: SupportsIndex | slice) -> str:
        """Return the path for 1, and otherwise a part of the text."""
        return str(self) if index == 1 else super().__getitem__(index)


def find_last(model_dir: Path | str, name: str | None = None) -> str:
    """Return the newest whole checkpoint of the newest run that has checkpoints; see `newest_checkpoint`.

    Newer runs without a checkpoint, and damaged checkpoints, are reported.

    Args:
        model_dir: the folder of the run folders.
        name: Config.NAME of the runs; None for any.

    Raises:
        FileNotFoundError: no run has a checkpoint. The message names the folder that was searched.
        ConfigError: `name` cannot be a NAME.
    """
    if name is not None:
        Config.from_dict({"NAME": name}).validate()
    runs = _runs(model_dir, name.lower() if name else None)
    for position in reversed(range(len(runs))):
        checkpoint = newest_checkpoint(Path(model_dir, runs[position]))
        if checkpoint is not None:
            for newer in runs[position + 1 :]:
                logger.warning("%s is passed over: it has no checkpoint yet", Path(model_dir, newer))
            return os.path.join(model_dir, runs[position], checkpoint.name)
    wanted = f"checkpoint of {name!r}" if name else "checkpoint"
    reason = f"there is no folder {name.lower() if name else '<name>'}YYYYMMDDTHHMM"
    if runs:
        reason = f"the runs {', '.join(runs)} have no checkpoint yet"
    raise FileNotFoundError(f"no {wanted} under {model_dir}: {reason}. Train first, or give the path of a weight file, or "
                            "another folder of runs (--model-dir).")


def _runs(model_dir: Path | str, name: str | None) -> list[str]:
    """Return the run folders of a name, or of all, from the oldest to the newest.

    A run is as old as the time in the name of its folder, or, if the folder was renamed, as its newest checkpoint; of runs that
    began in the same minute, the one with the newest checkpoint is the newest.
    """
    found = []
    for folder in os.listdir(model_dir) if os.path.isdir(model_dir) else []:
        match = RUN_FOLDER.fullmatch(folder)
        checkpoints = list(run_checkpoints(Path(model_dir, folder)).values())
        written = checkpoints[-1].stat().st_mtime if checkpoints else 0.0
        if match:
            run, began, number = match["name"], match["stamp"], int(match["number"] or 1)
        else:
            if not checkpoints or parse_checkpoint(checkpoints[-1]) is None:
                continue
            run = checkpoint_name(checkpoints[-1])
            began, number = f"{datetime.datetime.fromtimestamp(written):%Y%m%dT%H%M}", 1
        if name in (None, run):
            found.append((began, number, written, folder))
    return [folder for *_, folder in sorted(found)]


def find_checkpoint(weights: str, model_dir: Path | str, name: str | None = None) -> str:
    """Return the path of the checkpoint that a user specifies.

    Args:
        weights: "last" for the newest run's newest checkpoint under `model_dir`, the path of a weight file, or the path of
            a run folder, for its newest checkpoint.
        model_dir: the folder of the run folders.
        name: Config.NAME of the runs that "last" considers; None for any.

    Raises:
        FileNotFoundError: there is no such file, or no checkpoint.
    """
    if weights == "last":
        return find_last(model_dir, name)
    if Path(weights).is_file():
        return str(weights)
    checkpoint = newest_checkpoint(weights)
    if checkpoint is None:
        runs = _runs(weights, None)
        advice = f" It holds runs: give one, such as {Path(weights, runs[-1])}." if runs else ""
        raise FileNotFoundError(f"{weights}: no such weight file, and no run folder with checkpoints.{advice}")
    return str(checkpoint)


def differences(log_dir: Path | str, epoch: int, config: Config, num_images: int) -> Iterator[str]:
    """Say in what a run that is resumed differs from the run so far, and where `last` will not be what it seems.

    Args:
        log_dir: the run folder, before anything is written to it.
        epoch: number of trained epochs.
        config: configuration from now on.
        num_images: number of training images from now on.
    """
    if not epoch:
        folder = Path(log_dir).resolve()
        runs = _runs(folder.parent, (config.NAME or "").lower())
        newer = runs[runs.index(folder.name) + 1 :] if folder.name in runs else []
        if newer:
            yield (f"The name of {newer[-1]} has a later time than that of this run, which begins now; was the clock set back? "
                   f"`last` takes the later one. For this run, give {log_dir}.")
        return
    saved = load_config(checkpoint_path(str(log_dir), ""))
    pairs = [(name, getattr(saved, name), getattr(config, name)) for name in ("BATCH_SIZE", "SEED", "STEPS_PER_EPOCH")
             if saved is not None]
    entries = read_environments(Path(log_dir, ENVIRONMENT_NAME))
    pairs += [("the number of training images", entry["images"], num_images) for entry in entries[-1:] if "images" in entry]
    for name, before, now in pairs:
        if before != now:
            yield f"The order of the images changes: {name} was {before}, and is {now} now."
    later = [number for number in run_checkpoints(log_dir) if number > epoch]
    if later:
        yield (f"The run has checkpoints of later epochs ({', '.join(map(str, later))}), which training replaces one by one. "
               "Until then they are the last ones of the run.")


# --- config.json and classes.json ------------------------------------------------------------------------------------
def load_config(checkpoint: Path | str) -> Config | None:
    """Return the configuration in the folder of `checkpoint`; None if there is none."""
    path = Path(checkpoint).parent / "config.json"
    return Config.load(path) if path.is_file() else None


def load_class_names(path: Path | str) -> list[str]:
    """Read a classes.json.

    Raises:
        ConfigError: the file is missing or does not hold a list of names.
    """
    try:
        names = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot read class names: {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: expected a JSON list of class names, the background first.")
    return names


# --- history.csv ------------------------------------------------------------------------------------------------------
def read_history(path: Path | str) -> list[dict[str, float]]:
    """Read the history of a run.

    Returns:
        Rows in the order of "epoch", which counts from 1. Empty cells and cells that are not numbers are skipped, and so are
        rows whose epoch is not a whole number from 1 to MAX_EPOCH. If an epoch has two rows, the later one is used.

    Raises:
        ValueError: the file has no column "epoch", or is not text.
        OSError: the file cannot be read.
    """
    rows = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                row = {name: number for name, text in line.items() if (number := _number(text)) is not None}
                if "epoch" in row and 1 <= row["epoch"] <= MAX_EPOCH and row["epoch"].is_integer():
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
    """Write the history atomically. Rows may have different columns: a stage without validation has fewer."""
    columns = ["epoch", *sorted({name for row in rows for name in row} - {"epoch"})]
    with atomic_open(path, "w", durable=True) as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({**row, "epoch": int(row["epoch"])})


# --- environment.json -------------------------------------------------------------------------------------------------
def describe_environment() -> dict[str, Any]:
    """Describe the software and hardware of this process.

    Returns:
        "command" (list of arguments), "python", "system", "processor", "cores", "memory_mb" (None if unknown), "versions"
        (by package, of what is installed), "backend", "devices" (list of names).
    """
    return {"command": list(sys.argv), "python": platform.python_version(), "system": platform.platform(),
            "processor": _processor(), "cores": os.cpu_count(), "memory_mb": _memory(), "versions": _versions(),
            **_devices()}  # fmt: skip


def add_environment(folder: Path | str, **details: object) -> None:
    """Add an entry to the environment.json of a run folder. A run may be resumed later, on another machine.

    Args:
        folder: the run folder.
        **details: additional fields of the entry, such as first_epoch and layers.
    """
    path = Path(folder) / ENVIRONMENT_NAME
    began = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    save_json(path, [*read_environments(path), {"began": began, **details, **describe_environment()}], indent=1, durable=True)


def read_environments(path: Path | str) -> list[dict[str, Any]]:
    """Read an environment.json; return an empty list if there is none, or the file holds something else."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _devices() -> dict[str, Any]:
    """Return the names of the backend and its devices, accelerators if there are any."""
    import keras

    backend, names = keras.backend.backend(), []
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
        names = [tf.config.experimental.get_device_details(device).get("device_name") or device.device_type
                 for device in devices]
    elif backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices()]
    elif backend == "torch":
        import torch

        names = [torch.cuda.get_device_name(ix) for ix in range(torch.cuda.device_count())] or ["CPU"]
    return {"backend": backend, "devices": names}


def _versions() -> dict[str, str]:
    """Return the versions of this package and of the installed ones among PACKAGES."""
    versions = {"mrcnn": __version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    """Return the name of the processor. On Linux, only /proc/cpuinfo has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    """Return the memory of the computer in MiB; None on a system that does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


# --- Memory in use, for history.csv and the report --------------------------------------------------------------------
def peak_memory() -> float | None:
    """Return the peak memory of this process in MiB; None on a system that does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


def peak_device_memory() -> float | None:
    """Return the peak memory in use on the first accelerator in MiB; None if there is none, or it does not report it."""
    if "keras" not in sys.modules:
        return None  # no device has been used, and importing Keras takes seconds
    try:
        return _peak_of_backend()
    except (ValueError, RuntimeError):  # TensorFlow and JAX do not report it for some types of device
        return None


def _peak_of_backend() -> float | None:
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_logical_devices("GPU")
        return tf.config.experimental.get_memory_info(gpus[0].name.removeprefix("/device:"))["peak"] / 2**20 if gpus else None
    if backend == "jax":
        import jax

        used = jax.devices()[0].memory_stats() or {}
        return used["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in used else None
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return None
