"""Log folders and checkpoints: <model_dir>/<name>YYYYMMDDTHHMM/mask_rcnn_<name>_<epoch>.h5, as in the classic code."""

import contextlib
import datetime
import errno
import os
import re

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
