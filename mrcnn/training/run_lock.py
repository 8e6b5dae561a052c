"""A run folder belongs to one run, and one process at a time trains in it.

The process that trains holds a lock on training.lock in the folder. The operating system releases the lock when the process
ends, however it ends. Windows has no such locks; there, a folder is only protected by the run that is already in it.
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO

from mrcnn.base.atomic_write import remove_leftovers
from mrcnn.training.runs import HISTORY_NAME, next_log_dir, removed_if_empty, run_checkpoints

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK_NAME = "training.lock"


class RunInUseError(ValueError):
    """The run is being trained by another process."""


@contextlib.contextmanager
def held_run(log_dir: str, is_new: bool) -> Iterator[str]:
    """Hold a run folder, which is created if necessary, until the block ends. What killed processes left in it is removed.

    If the block ends with an error, and no file was written, the folder is removed.

    Args:
        log_dir: the folder.
        is_new: whether a new run begins. If another run is in the folder, or begins in it at the same moment, a number is
            added to its name. Otherwise the run in the folder is resumed.

    Yields:
        The folder that is held.

    Raises:
        RunInUseError: the run to resume is being trained by another process.
    """
    while True:
        os.makedirs(log_dir, exist_ok=True)
        lock = _try_lock(Path(log_dir, LOCK_NAME))
        if lock is not None and not (is_new and holds_run(log_dir)):
            break
        if lock is not None:
            _release(lock)
        elif not is_new:
            raise RunInUseError(f"{log_dir} is being trained by another process ({_holder(Path(log_dir, LOCK_NAME))}). Wait "
                                "for it, stop it, or start a new run.")
        log_dir = next_log_dir(log_dir)
    with removed_if_empty(log_dir):
        try:
            remove_leftovers(log_dir)
            yield log_dir
        finally:
            _release(lock)


def holds_run(folder: str) -> bool:
    """Return whether there are files of a run in a folder, which need not exist."""
    return any(Path(folder, name).exists() for name in ("config.json", HISTORY_NAME)) or bool(run_checkpoints(folder))


def _try_lock(path: Path) -> IO[str] | None:
    """Return the open lock file, locked; None if another process, or another model of this one, holds it."""
    while True:
        file = open(path, "a+", encoding="utf-8")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks
            pass
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its holder removed it between our opening and locking it
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file


def _release(lock: IO[str]) -> None:
    """Remove a lock file and release its lock."""
    with contextlib.suppress(OSError):  # Windows removes no open file
        os.unlink(lock.name)
    lock.close()


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:100] or "unknown"
    except OSError:
        return "unknown"
