"""File names that data files contain: none of them may lead out of the folder of the data set."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from mrcnn.base.errors import DataError

# Parts made of letters, digits, - _ and . that do not begin with a dot. They cannot lead anywhere else, and are quick to check.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_HINT = "copy the file into the folder, or allow it (allow_outside=True, --allow-outside) if you trust this data set"


class OutsideError(DataError):
    """A name in a data file, or a link, leads out of the folder of the data set."""


def inside(folder: Path | str, name: str, where: str, *, allow_outside: bool = False) -> Path:
    """Join a file name from a data file to its folder.

    Args:
        folder: The folder that the name is relative to. It may be a link itself.
        name: With / or \\ between its parts.
        where: File and field, for messages.
        allow_outside: True accepts any name; an absolute one is returned as it is.

    Returns:
        The path, whether it exists or not. `refuse_link` checks where it really leads.

    Raises:
        OutsideError: The name is absolute, or climbs out by "..".
        DataError: The name is empty, or cannot be the name of a file.
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
            raise OutsideError(f"{where} is {name!r}, which climbs out of {folder}: {_HINT}")
    return Path(folder) / parts


def refuse_link(path: Path | str, folder: Path | str, where: str) -> None:
    """Refuse a file that is a link, or lies behind one, to a place outside a folder.

    Args:
        where: File and field, for messages.

    Raises:
        OutsideError: The real place of the file is outside.
    """
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise OutsideError(f"{where}: {path} is a link to {real}, outside {folder}: {_HINT}")


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair, such as \\ud800 in JSON
        return False
    return True
