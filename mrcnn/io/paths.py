"""Checking file names in data files: none of them may point outside the data set's folder."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from mrcnn.base.errors import DataError

# Path components of letters, digits, - _ and . that do not start with a dot. They are always safe, and fast to check.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_HINT = "copy the file into the folder, or allow it (allow_outside=True, --allow-outside) if you trust this data set"


class OutsideError(DataError):
    """A file name in a data file, or a link, points outside the data set's folder."""


def inside(folder: Path | str, name: str, where: str, *, allow_outside: bool = False) -> Path:
    """Join a file name from a data file to its folder.

    Args:
        folder: the folder to which the name is relative. It may be a link.
        name: with / or \\ as separator.
        where: file and field, for messages.
        allow_outside: True accepts any name; an absolute path is returned unchanged.

    Returns:
        The path, which may not exist. `refuse_link` checks where links lead.

    Raises:
        OutsideError: the name is absolute, or points outside the folder with "..".
        DataError: the name is empty, or is not a valid file name.
    """
    if _PLAIN.fullmatch(name):
        return Path(folder, name)
    parts = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name or not parts.parts or not _is_encodable(name):
        raise DataError(f"{where} is {name!r}, expected the name of a file")
    if not allow_outside:
        if parts.is_absolute() or PureWindowsPath(name).drive:
            raise OutsideError(f"{where} is the absolute path {name!r}, outside {folder}: {_HINT}")
        if ".." in parts.parts:
            raise OutsideError(f"{where} is {name!r}, which points outside {folder}: {_HINT}")
    return Path(folder) / parts


def refuse_link(path: Path | str, folder: Path | str, where: str) -> None:
    """Refuse a file whose path points outside a folder once links are resolved.

    Args:
        where: file and field, for messages.

    Raises:
        OutsideError: the resolved path is outside.
    """
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise OutsideError(f"{where}: {path} is a link to {real}, outside {folder}: {_HINT}")


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # an unpaired surrogate, such as \\ud800 in JSON
        return False
    return True
