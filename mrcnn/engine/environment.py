"""What a run was trained with: versions, devices, machine, command. Kept in its folder, environment.json.

The file is a list with an entry for each call of `train`, since a run may go on later, on another machine.
"""

import datetime
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mrcnn import __version__
from mrcnn.data.files import save_json

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
