"""The table of a run, history.csv: a line an epoch with its losses, figures and speed.

Keras is not imported here, so that a run can be read where there is no backend.

What a run was trained with: versions, devices, machine, command. Kept in its folder, environment.json.

The file is a list with an entry for each call of `train`, since a run may go on later, on another machine.

Log folders and checkpoints: <model_dir>/<name>YYYYMMDDTHHMM/mask_rcnn_<name>_<epoch>.h5, as in the classic code.

What training left behind: checkpoints, the configuration they were trained with, and the names of the classes.

A run folder is MODEL_DIR/<name><YYYYMMDDTHHMM>/ and holds mask_rcnn_<name>_<epoch:04d>.h5, config.json and
classes.json (a list of names whose position is the class id, "BG" first).
"""

import contextlib
import csv
import datetime
import errno
import json
import math
import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mrcnn import __version__
from mrcnn.base.atomic_write import atomic_open, save_json
from mrcnn.config import Config, ConfigError

HISTORY_NAME = "history.csv"


def read_history(path):
    """Read the table of a run.

    Args:
        path: path of a history.csv.

    Returns:
        list of {column: float}, in the order of "epoch" (from 1); what is empty or no number is left out. Of two lines
        of one epoch, as a run that was taken up again at an earlier checkpoint has them, the later one counts.

    Raises:
        ValueError: the file has no column "epoch", or is no text.
        OSError: it cannot be read.
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
        raise ValueError(f"{path}: no history of a run: {error}") from error
    return [rows[epoch] for epoch in sorted(rows)]


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):  # None or a list where a line is shorter or longer than the head
        return None


def write_history(path, rows):
    """Write the table, whole or not at all.

    Args:
        path: path.
        rows: list of {column: number}. Columns may differ from row to row: those of a stage without validation do.
    """
    columns = ["epoch", *sorted({name for row in rows for name in row} - {"epoch"})]
    with atomic_open(Path(path), "w") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({**row, "epoch": int(row["epoch"])})


ENVIRONMENT_NAME = "environment.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-python-headless", "pycocotools",
            "faster-coco-eval")


def describe_environment():
    """Say what this program runs with.

    Returns:
        dict: "command" (list of str), "python", "system", "processor" (str), "cores" (int), "memory_mb" (int or None),
        "versions" {package: str} of what is installed, "backend" (str), "devices" (list of str).
    """
    return {"command": list(sys.argv), "python": platform.python_version(), "system": platform.platform(),
            "processor": _processor(), "cores": os.cpu_count(), "memory_mb": _memory(), "versions": _versions(),
            **_devices()}  # fmt: skip


def add_entry(folder, **what):
    """Add an entry of this moment to the environment.json of a run.

    Args:
        folder: path of the run folder.
        **what: more of the entry: of the training that begins, such as first_epoch and layers.
    """
    path = Path(folder) / ENVIRONMENT_NAME
    began = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    save_json(path, [*read_entries(path), {"began": began, **what, **describe_environment()}], indent=1)


def read_entries(path):
    """Read an environment.json: list of dicts; [] where there is none, or what is there is something else."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def peak_memory():
    """Tell the most memory that this process has held: float in MiB, or None on a system that does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10  # bytes there, KiB elsewhere


def peak_device_memory():
    """Tell the most memory of the first accelerator that was in use: float in MiB, or None without one that tells."""
    if "keras" not in sys.modules:
        return None  # whoever did not load it used no device; loading it takes seconds
    try:
        return _peak_of_backend()
    except (ValueError, RuntimeError):  # TensorFlow and JAX refuse to say it of some kinds of device
        return None


def _peak_of_backend():
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU")
        return tf.config.experimental.get_memory_info(found[0].name.removeprefix("/device:"))["peak"] / 2**20 if found else None
    if backend == "jax":
        import jax

        used = jax.devices()[0].memory_stats() or {}
        return used["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in used else None
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return None


def _devices():
    """Name the backend and its devices, accelerators where there are any: {"backend": str, "devices": list of str}."""
    import keras

    backend, names = keras.backend.backend(), []
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
        names = [tf.config.experimental.get_device_details(device).get("device_name") or device.device_type
                 for device in found]
    elif backend == "jax":
        import jax

        names = [device.device_kind for device in jax.devices()]
    elif backend == "torch":
        import torch

        names = [torch.cuda.get_device_name(ix) for ix in range(torch.cuda.device_count())] or ["CPU"]
    return {"backend": backend, "devices": names}


def _versions():
    """Find the versions of this package and of those that it computes with, as far as they are installed."""
    found = {"mrcnn": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor():
    """Name the processor: str. Linux has its name in a file alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory():
    """Tell the memory of the machine: int in MiB, or None on a system that does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


CHECKPOINT = re.compile(r".*?(?P<name>[^/\\]+?)(?P<stamp>\d{8}T\d{4})[/\\]mask_rcnn_.+?_(?P<epoch>\d{4,})\.h5$")


def parse_checkpoint(path):
    """Return (log folder name, epoch) that a checkpoint's path tells, or None for another path.

    Args:
        path: str. E.g. "logs/coco20171029T2315/mask_rcnn_coco_0001.h5" -> ("coco20171029T2315", 1).
    """
    match = CHECKPOINT.match(str(path))
    return (match["name"] + match["stamp"], int(match["epoch"])) if match else None


def new_log_dir(model_dir, name, now=None):
    """Return the folder of a run that starts now: a later minute where another run has this one's. It is not made."""
    now = now or datetime.datetime.now()
    while os.path.exists(path := os.path.join(model_dir, f"{name.lower()}{now:%Y%m%dT%H%M}")):
        now += datetime.timedelta(minutes=1)
    return path


@contextlib.contextmanager
def removed_if_empty(log_dir):
    """Remove the folder of a run where the block ends with an error and no file is in the folder.

    Args:
        log_dir: str. It need not be there.
    """
    try:
        yield
    except BaseException:
        folders = list(os.walk(log_dir, topdown=False))
        if not any(files for _, _, files in folders):
            for folder, _, _ in folders:
                with contextlib.suppress(OSError):  # it holds something by now: only empty folders can be removed so
                    os.rmdir(folder)
        raise


def checkpoint_path(log_dir, name):
    """Return the pattern of a run's checkpoints, with {epoch:04d} in the place of the epoch."""
    return os.path.join(log_dir, f"mask_rcnn_{name.lower()}_{{epoch:04d}}.h5")


def find_last(model_dir, name):
    """Return the newest checkpoint of the newest run of this name that has one.

    Raises:
        FileNotFoundError: no run, or no checkpoint in any; the message says where it looked.
    """
    prefix = name.lower()
    runs = []
    if os.path.isdir(model_dir):
        runs = sorted(d for d in os.listdir(model_dir) if re.fullmatch(re.escape(prefix) + r"\d{8}T\d{4}", d))
    for run in reversed(runs):
        folder = os.path.join(model_dir, run)
        files = [f for f in os.listdir(folder) if parse_checkpoint(os.path.join(folder, f))]
        if files:
            return os.path.join(folder, max(files, key=lambda f: parse_checkpoint(os.path.join(folder, f))[1]))
    found = f"no folder {prefix}YYYYMMDDTHHMM is there"
    if runs:
        found = f"the runs {', '.join(runs)} have no checkpoint yet"
    raise FileNotFoundError(errno.ENOENT, f"no checkpoint of {name!r} under {model_dir!r}: {found}. "
                            "Train first, or give the path of a weight file.")


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
    from mrcnn.datasets.coco_names import CLASS_NAMES

    return Config.from_dict({"NAME": "coco", "NUM_CLASSES": len(CLASS_NAMES)}), list(CLASS_NAMES)
