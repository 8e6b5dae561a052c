"""What a run was trained with: versions, devices, machine, command. And the memory that a process has used.

The file is environment.json in the run folder: a list with an entry for each call of `train`, since a run may be resumed
later, on another machine. Only the functions that describe devices import Keras.
"""

import datetime
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mrcnn import __version__
from mrcnn.base.atomic_write import save_json

ENVIRONMENT_NAME = "environment.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-python-headless", "pycocotools", "faster-coco-eval")


def describe_environment() -> dict[str, Any]:
    """Describe what this process runs with.

    Returns:
        "command" (list of arguments), "python", "system", "processor", "cores", "memory_mb" (None if unknown), "versions"
        (by package, of what is installed), "backend", "devices" (list of names).
    """
    return {"command": list(sys.argv), "python": platform.python_version(), "system": platform.platform(),
            "processor": _processor(), "cores": os.cpu_count(), "memory_mb": _memory(), "versions": _versions(),
            **_devices()}  # fmt: skip


def add_entry(folder: Path | str, **details: object) -> None:
    """Add an entry to the environment.json of a run folder.

    Args:
        **details: More fields of the entry, such as first_epoch and layers.
    """
    path = Path(folder) / ENVIRONMENT_NAME
    began = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    save_json(path, [*read_entries(path), {"began": began, **details, **describe_environment()}], indent=1)


def read_entries(path: Path | str) -> list[dict[str, Any]]:
    """Read an environment.json; an empty list if there is none, or the file holds something else."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def peak_memory() -> float | None:
    """Return the most memory that this process has held, in MiB; None on a system that does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


def peak_device_memory() -> float | None:
    """Return the most memory of the first accelerator that was in use, in MiB; None without one that reports it."""
    if "keras" not in sys.modules:
        return None  # no device was used, and importing Keras takes seconds
    try:
        return _peak_of_backend()
    except (ValueError, RuntimeError):  # TensorFlow and JAX do not report it for some kinds of device
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


def _devices() -> dict[str, Any]:
    """Name the backend and its devices, accelerators if there are any."""
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
    """Return the versions of this package and of those PACKAGES that are installed."""
    versions = {"mrcnn": __version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    """Name the processor. On Linux only a file has its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    """Return the memory of the machine in MiB; None on a system that does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
