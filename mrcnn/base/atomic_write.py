"""Atomic writes: under its final name, a file is what it was before or all of what is new, never a part of it."""

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
    """Yield a path beside `path` for a new file, which replaces `path` once the block ends without an error.

    The folder is made if it is missing. The yielded path does not exist; the block creates the file.
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
    """Open a file that replaces `path` once the block ends without an error. `mode` is "wb", or "w" for UTF-8 text."""
    with atomic_path(path) as temporary:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file


def save_json(path: Path | str, value: object, indent: int | None = None) -> None:
    """Write JSON atomically.

    Args:
        value: Made of dicts, lists, tuples, numbers and strings, NumPy's arrays and numbers too. NaN becomes null.
        indent: Spaces per level; None writes a single line.
    """
    with atomic_open(path, "w") as file:
        json.dump(_plain(value), file, allow_nan=False, indent=indent)
        file.write("\n")


def _plain(value: object) -> object:
    """Replace what JSON lacks: arrays by lists, NaN by None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    if isinstance(value, np.integer):
        return int(value)
    return value
