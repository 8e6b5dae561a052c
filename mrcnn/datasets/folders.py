"""Search the folder of a data set for the folders of its subsets, such as `set/train`, and for JSON files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# subset -> possible names of its folder
PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


def part_folders(path: Path | str, is_part: Callable[[Path], object]) -> dict[str, Path]:
    """Find the subfolders that a data set is divided into.

    Args:
        path: folder of the data set. A file has no subsets.
        is_part: returns whether a folder holds annotations of the format.

    Returns:
        Subset -> its folder, in the order train, val, test.
    """
    path = Path(path)
    folders: dict[str, Path] = {}
    for part, names in PARTS.items():
        for name in names:
            if part not in folders and (path / name).is_dir() and is_part(path / name):
                folders[part] = path / name
    return folders


def folders_of_others(subset: str | None) -> list[str]:
    """Return the names of folders that hold the files of other subsets than train, val or test; [] for any other subset."""
    own = part_name((subset or "").lower())
    return [name for part, names in PARTS.items() if own in PARTS and part != own for name in names]


def part_name(folder: str) -> str:
    """Return the subset that a folder name stands for, such as val for valid; any other name is returned unchanged."""
    return next((part for part, names in PARTS.items() if folder in names), folder)


def json_files(folder: Path | str) -> Iterator[str]:
    """List the JSON files in a folder and its subfolders, except hidden ones; links to folders are not followed.

    Yields:
        Name relative to the folder, with / as separator. Files are sorted within a folder, and come before those of its
        subfolders. The tree is walked lazily.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        for name in sorted(files):
            if name.lower().endswith(".json") and not name.startswith("."):
                yield prefix + name


def mentions(path: Path | str, words: tuple[bytes, ...], window: int = 1 << 16) -> bool:
    """Return whether the beginning or end of a file contains one of some words, so that large files need not be parsed.

    Args:
        path: the file. The answer is False if it cannot be read.
        words: the words.
        window: number of bytes searched at either end.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(window)
            file.seek(max(os.fstat(file.fileno()).st_size - window, 0))
            tail = file.read(window)
    except OSError:
        return False
    return any(word in head or word in tail for word in words)
