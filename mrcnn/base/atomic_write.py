"""Atomic writes: a file has either its old or its complete new content, never a part of the new.

A file is written next to its final place under the name `<name>.<host>-<process id>-<random>.part`, and several that appear
together in a folder of such a name. A process that is killed leaves them there; `remove_leftovers` recognises them by the
process that wrote them.
"""

import contextlib
import errno
import json
import math
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

PART = re.compile(r".+\.(?P<host>[a-z0-9-]*)-(?P<process>\d+)-[0-9a-f]{8}\.part")
# Characters of the name and of the host that a part's name keeps, so that it stays within the 255 bytes of a file name.
NAME_KEPT, HOST_KEPT = 40, 30
# Seconds after which a part that another computer wrote is abandoned: a write takes seconds, an hour at most.
ABANDONED = 24 * 3600
# Errors of a disk that takes no more: it is full, the quota is used up, or a file would exceed the allowed size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Names of the parts that this process is writing.
_writing: set[str] = set()


@contextlib.contextmanager
def atomic_path(path: Path | str, *, durable: bool = False, size: int | None = None) -> Iterator[Path]:
    """Yield a path next to `path` for a new file, which replaces `path` when the block ends without an error.

    The folder is created if necessary. The yielded path does not exist yet; the block creates the file.

    Args:
        path: the final path.
        durable: whether the file must survive a power failure: it is then on the disk before it gets its name. This takes
            milliseconds, so it is for a few files that matter.
        size: bytes that the file will have at least, if known. If the disk has less, nothing is written.

    Raises:
        OSError: the disk is full. The message names the file and its size; an older file at `path` is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if size is not None and shutil.disk_usage(path.parent).free < size:
        raise _full(path, errno.ENOSPC, size)
    temporary = path.with_name(part_name(path.name))
    _writing.add(temporary.name)
    try:
        yield temporary
        if durable:
            _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if durable and os.name == "posix":
            with contextlib.suppress(OSError):  # some network file systems cannot synchronise a folder
                _sync(path.parent, os.O_RDONLY)
    except (OSError, RuntimeError, SystemError) as error:  # HDF5 raises the latter two
        code = _disk_error(error)
        if code is None:
            raise
        raise _full(path, code, size) from error
    finally:
        temporary.unlink(missing_ok=True)
        _writing.discard(temporary.name)


@contextlib.contextmanager
def atomic_open(path: Path | str, mode: str = "wb", *, durable: bool = False, size: int | None = None) -> Iterator[IO[Any]]:
    """Open a new file that replaces `path` when the block ends without an error. `mode` is "wb", or "w" for UTF-8 text.

    `durable` and `size` are those of `atomic_path`.
    """
    with atomic_path(path, durable=durable, size=size) as temporary:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file


def save_json(path: Path | str, value: object, indent: int | None = None, *, durable: bool = False) -> None:
    """Write JSON atomically.

    Args:
        path: the file.
        value: dicts, lists, tuples, numbers and strings, including NumPy arrays and scalars. NaN becomes null.
        indent: spaces per level; None writes a single line.
        durable: see `atomic_path`.
    """
    with atomic_open(path, "w", durable=durable) as file:
        json.dump(_plain(value), file, allow_nan=False, indent=indent)
        file.write("\n")


@contextlib.contextmanager
def scratch_folder(folder: Path | str, name: str) -> Iterator[Path]:
    """Yield a new folder in `folder`, on the same file system, that is removed when the block ends.

    What killed processes left in `folder` is removed first.

    Args:
        folder: created if necessary.
        name: what the name of the new folder begins with.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    scratch = Path(folder, part_name(name))
    _writing.add(scratch.name)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        _writing.discard(scratch.name)


def part_name(name: str) -> str:
    """Return a name of this process for the unfinished form of a file or folder."""
    return f"{name[:NAME_KEPT]}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def remove_leftovers(folder: Path | str, *, subfolders: bool = False) -> None:
    """Remove the parts that killed processes left in a folder, which need not exist. Those of living processes stay.

    Args:
        folder: the folder.
        subfolders: whether to search its subfolders too.
    """
    for path in Path(folder).glob("**/*.part" if subfolders else "*.part"):
        match = PART.fullmatch(path.name)
        if match and path.name not in _writing:
            with contextlib.suppress(OSError):  # another process may remove it at the same time
                if _has_ended(match["host"], int(match["process"]), path.stat().st_mtime):
                    (shutil.rmtree if path.is_dir() else os.unlink)(path)


def _has_ended(host: str, process: int, modified: float) -> bool:
    """Return whether the writer of a part has ended. Of a process elsewhere only the time of its last write is known."""
    if host != _host() or os.name != "posix":
        return time.time() - modified > ABANDONED
    if process == os.getpid():  # an earlier process with the same id, as in a container that was started again
        return True
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return True
    except OSError:  # it exists, and belongs to another user
        return False
    return False


def _host() -> str:
    """Return the name of this computer in lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", platform.node().lower())[:HOST_KEPT]


def _sync(path: Path, flags: int) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(error: BaseException | None) -> int | None:
    """Return the number, one of FULL, of the error of a full disk; None for any other error.

    HDF5 reports it in the text of an error of its own, or raises another error because of it.
    """
    while error is not None:
        said = re.search(r"\berrno = (\d+)", str(error))
        code = error.errno if isinstance(error, OSError) and error.errno else int(said[1]) if said else None
        if code in FULL:
            return code
        error = error.__cause__ or error.__context__
    return None


def _full(path: Path, code: int, size: int | None) -> OSError:
    """Return the error for a file that the disk did not take."""
    free = shutil.disk_usage(path.parent).free
    needed = "" if size is None else f"The file needs {_mebibytes(size)}. "
    error = OSError(f"cannot write {path}: {os.strerror(code)}. {needed}The disk has {_mebibytes(free)} free. Make "
                    "room, or write to another disk; a file that already had this name is unchanged")  # fmt: skip
    error.errno = code
    return error


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _plain(value: object) -> object:
    """Convert values that JSON lacks: arrays to lists, NaN to None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    if isinstance(value, np.integer):
        return int(value)
    return value
