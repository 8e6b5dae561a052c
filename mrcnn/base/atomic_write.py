"""Writing files whole: under the final name lies what was there before, or all of what is new."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def whole_file(path, mode="wb"):
    """Open a temporary file beside `path` that takes its name once the block ends without an error.

    Args:
        path: path. Its folder is made if it is missing.
        mode: "wb", or "w" for UTF-8 text.

    Yields:
        The open file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        # mkstemp makes the file private; give it the rights that any new file would have
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save_json(path, value, indent=None):
    """Write JSON as a whole file.

    Args:
        path: path. Its folder is made if it is missing.
        value: dicts, lists, numbers (NumPy's too), strings; nan becomes null.
        indent: int or None. Spaces a level, None for one line.
    """
    with whole_file(path, "w") as file:
        json.dump(_plain(value), file, allow_nan=False, indent=indent)
        file.write("\n")


def _plain(value):
    """JSON knows no arrays and no nan: lists, and None, which says the same."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    if isinstance(value, np.integer):
        return int(value)
    return value
