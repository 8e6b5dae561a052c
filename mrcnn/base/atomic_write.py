"""Atomic writes: a file has either its old or its complete new content, never a part of the new."""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a path next to `path` for a new file, which replaces `path` when the block ends without an error.

    The folder is created if necessary. The yielded path does not exist yet; the block creates the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_open(path: Path | str, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a new file that replaces `path` when the block ends without an error. `mode` is "wb", or "w" for UTF-8 text."""
    with atomic_path(path) as temporary:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file


def save_json(path: Path | str, value: object, indent: int | None = None) -> None:
    """Write JSON atomically.

    Args:
        value: dicts, lists, tuples, numbers and strings, including NumPy arrays and scalars. NaN becomes null.
        indent: spaces per level; None writes a single line.
    """
    with atomic_open(path, "w") as file:
        json.dump(_plain(value), file, allow_nan=False, indent=indent)
        file.write("\n")


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
