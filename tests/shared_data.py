"""Data outside the repository: too large to include, or not ours to distribute."""
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MRCNN_SHARED_DATA", REPOSITORY.parent / "shared"))


def shared_path(relative):
    """Return the path of a file or folder of the shared data, or skip the running test.

    Args:
        relative: str. Path inside the shared folder, such as "data/tiny_coco".

    Returns:
        pathlib.Path. An existing file or folder. The shared folder is next to the repository, or at MRCNN_SHARED_DATA.
    """
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"needs {relative} of the shared data, and {path} does not exist")
    return path
