"""File names that stand in data files: none of them may lead out of the data set's folder."""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from mrcnn.base.errors import DataError

# parts of letters, digits and - _ . that do not begin with a dot: nothing that could lead anywhere else, told quickly
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class OutsideError(DataError):
    """A name in a data file, or a link, leads out of the data set's folder."""


def inside(folder, name, where, *, allow_outside=False):
    """Join a file name from a data file to its folder.

    Args:
        folder: path. The folder that the data file's names are relative to; it may be a link itself.
        name: str. The name, with / or \\ between its parts.
        where: str. File and field, for the message.
        allow_outside: bool. True takes any name: an absolute one stands for itself.

    Returns:
        Path. Whether it exists is not looked at; `refuse_link` looks at what it really is.

    Raises:
        OutsideError: the name is absolute, or climbs out by "..".
        DataError: it is empty, or no name that a file can have.
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


def refuse_link(path, folder, where):
    """Refuse a file that is a link, or lies behind one, to a place outside its folder.

    Args:
        path: path of the file.
        folder: path. What it must lie in.
        where: str. File and field, for the message.

    Raises:
        OutsideError: the real place of the file is outside.
    """
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise OutsideError(f"{where}: {path} is a link to {real}, outside {folder}: {_HINT}")


def _is_encodable(name):
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a character, as \\ud800 in JSON
        return False
    return True


_HINT = "copy the file into the folder, or allow it (allow_outside=True, --allow-outside) if you trust this data set"
