"""Data sets divided into parts by folders of well-known names, as `set/train` and `set/val`."""

import os
from pathlib import Path

# the names of parts, and what else a folder of each may be called
PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


def part_folders(path, holds):
    """Find the folders that a data set is divided into.

    Args:
        path: path. Of a file there are none.
        holds: callable (Path of a folder) -> bool: whether annotations of the format lie in it.

    Returns:
        dict name of the part -> Path of its folder, in the order train, val, test.
    """
    path, found = Path(path), {}
    for part, names in PARTS.items():
        for name in names:
            if part not in found and (path / name).is_dir() and holds(path / name):
                found[part] = path / name
    return found


def part_name(folder):
    """Name the part that a folder holds, by its name: val for valid; any other stands for itself. Returns: str."""
    return next((part for part, names in PARTS.items() if folder in names), folder)


def json_files(folder):
    """Give the JSON files in a folder and below it, but for hidden ones.

    Args:
        folder: path. Links to folders are not followed.

    Yields:
        str relative to the folder, with / between its parts: sorted within a folder, its own files before those of the
        folders below it. The tree is walked as the names are asked for.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        for name in sorted(files):
            if name.lower().endswith(".json") and not name.startswith("."):
                yield prefix + name


def mentions(path, words, reach=1 << 16):
    """Tell whether a file's beginning or end holds one of some words; so that large files of other kinds are not read.

    Args:
        path: path.
        words: tuple of bytes.
        reach: int. Bytes looked at on either end.

    Returns:
        bool. False for what cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(reach)
            file.seek(max(os.fstat(file.fileno()).st_size - reach, 0))
            tail = file.read(reach)
    except OSError:
        return False
    return any(word in head or word in tail for word in words)
