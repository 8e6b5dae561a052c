"""Finding the files that a data file names, which often lie elsewhere than it says: the paths of another machine, URLs."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mrcnn.base.errors import DataError
from mrcnn.io.paths import OutsideError, inside

# A folder with more files is not searched, because it is probably not that of a data set, but a home or a whole disk.
_MAX_FILES = 1_000_000


class Found(NamedTuple):
    """A file.

    Attributes:
        path: the file. It may not exist if the place that is given is in the data set's folder.
        root: the folder that it must be in after links are resolved.
        note: how it was found, None at the place that is given. The same text for all files of a folder.
    """

    path: Path
    root: Path
    note: str | None = None


class FileFinder:
    """Finds files at the places that a data file gives, or else by their names in the data set's folder.

    The folder is listed once, when the first file is not where it should be.

    Attributes:
        folders: the folders that names are relative to, the most likely one first.
        root: the data set's folder. No file outside it and `folders` is returned unless `allow_outside`.
    """

    def __init__(self, folders: Sequence[Path | str], root: Path | str, *, elsewhere: Sequence[str] = (),
                 allow_outside: bool = False) -> None:  # fmt: skip
        """Remember where to look.

        Args:
            folders: see the class.
            root: see the class.
            elsewhere: names of folders, in lower case and without digits, in which no file is looked for by its name, because
                they belong to other subsets.
            allow_outside: whether names may lead out of the folder.
        """
        self.folders, self.root = [Path(folder) for folder in folders], Path(root)
        self.allow_outside = allow_outside
        self._elsewhere = frozenset(elsewhere)
        self._listed: dict[str, frozenset[str]] = {}

    def find(self, name: str, *other_names: str, field: str = "file_name") -> Found:
        """Find a file.

        Args:
            name: from a data file: a name or path with / or \\ as separator, or a URL.
            *other_names: names of places where the file may be as well.
            field: the field that holds it, for messages.

        Returns:
            The file. A file that does not exist is returned if its name stays in the first folder.

        Raises:
            OutsideError: the name leads out of the folder, which has no file of that name.
            DataError: the name is a URL and there is no such file, or there are several files of that name, or it is not a
                name. The message does not repeat the name, so that files with the same fault have the same message.
        """
        found = self.at_place(name, *other_names, field=field)
        if found is not None:
            return found
        stated = self._stated(self.folders[0], name, field)
        matches = self._matches(name)
        if len(matches) == 1:
            return self._noted(matches[0], stated, field)
        if matches:
            raise DataError(f"several files in {self.root} have the name in its {field}: correct it")
        if stated is not None:
            return stated
        missing = f"and no file in {self.root} has its name"
        if _is_url(name):
            raise DataError(f"its {field} is a URL, {missing}: download the images into that folder")
        raise OutsideError(f"its {field} leads out of the data set's folder, {missing}: copy the images into it, or, if the "
                           "path exists on this computer and you trust this data set, allow it (allow_outside=True, "
                           "--allow-outside)")  # fmt: skip

    def at_place(self, *names: str, field: str = "file_name") -> Found | None:
        """Return the first of some names that is a file at its place in one of the folders, None if there is none.

        Args:
            *names: see `find`. Those that lead out of the folders are passed over.
            field: the field that holds them, for messages.

        Raises:
            DataError: one is not the name of a file.
        """
        for folder in self.folders:
            for name in names:
                if name in self._names_in(os.fspath(folder)):  # usual, and fast
                    return Found(folder / name, folder)
                found = self._stated(folder, name, field)
                if found is not None and found.path.name in self._names_in(os.path.dirname(found.path)):
                    return found
        return None

    def _stated(self, folder: Path, name: str, field: str) -> Found | None:
        """Return the place of a name, None if it leads out of the folder or is a URL.

        Raises:
            DataError: it is not the name of a file.
        """
        if _is_url(name):
            return None
        try:
            return Found(inside(folder, name, f"its {field}", allow_outside=self.allow_outside), folder)
        except OutsideError:
            return None

    def _names_in(self, folder: str) -> frozenset[str]:
        """List a folder, once, which is faster than a question for each of its files."""
        names = self._listed.get(folder)
        if names is None:
            try:
                names = frozenset(os.listdir(folder))
            except OSError:
                names = frozenset()
            self._listed[folder] = names
        return names

    def _noted(self, match: str, stated: Found | None, field: str) -> Found:
        """Return a match, with a note that says how it was found."""
        path, place = self.root / match, os.path.dirname(match)
        if stated is not None and stated.path.parent == path.parent:
            note = f"the name of its file differs from its {field} (capital letters, Unicode form or percent-encoding)"
        else:
            where = f"{place}/" if place else "the folder"
            note = f"its file is not where its {field} says, but was found by its name in {where}"
        return Found(path, self.root, note)

    def _matches(self, name: str) -> list[str]:
        """Return the files below the root, relative to it, whose paths agree with the end of a name in the most components."""
        readings = list(_readings(name))
        paths = list(dict.fromkeys(path for parts in readings for path in self._files.get(_key(parts[-1]), ())))
        if len(paths) > 1:
            counts = [max(_count_common(parts, path.split("/")) for parts in readings) for path in paths]
            paths = [path for path, count in zip(paths, counts, strict=True) if count == max(counts)]
        exact = [path for path in paths if os.path.basename(path) == re.split(r"[\\/]", name)[-1]]
        return exact or paths

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """The files below the root that are not hidden, by the key of their names."""
        files: dict[str, list[str]] = {}
        for count, path in enumerate(self._walk()):
            if count >= _MAX_FILES:
                return {}
            files.setdefault(_key(path.rpartition("/")[2]), []).append(path)
        return files

    def _walk(self) -> Iterator[str]:
        for parent, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not self._is_passed_over(name))
            base = os.path.relpath(parent, self.root).replace(os.sep, "/")
            prefix = "" if base == "." else base + "/"
            yield from (prefix + name for name in sorted(names) if not name.startswith("."))

    def _is_passed_over(self, folder: str) -> bool:
        return folder.startswith(".") or folder == "__MACOSX" or folder.lower().rstrip("0123456789") in self._elsewhere


def _is_url(name: str) -> bool:
    return "://" in name or name.startswith("data:")


def _key(name: str) -> str:
    """Return what the names of a file have in common: macOS decomposes letters, and Windows ignores capitals."""
    return unicodedata.normalize("NFC", name).casefold()


def _readings(name: str) -> Iterator[list[str]]:
    """Read a name as a path, in every way that programs write one: its components, at least one."""
    texts = [name, unquote(name)]
    if "?" in name:  # Label Studio serves files as /data/local-files/?d=images/a.jpg
        texts += [text.replace("?d=", "/") for text in texts]
    if "?" in name or "://" in name:
        try:
            path = urlsplit(name).path
        except ValueError:
            path = ""
        texts += [path, unquote(path)]
    for text in dict.fromkeys(texts):
        parts = [part for part in re.split(r"[\\/]", text) if part not in ("", ".", "..")]
        if parts:
            yield parts


def _count_common(parts: Sequence[str], others: Sequence[str]) -> int:
    """Count the components in which two paths agree, from the end."""
    count = 0
    for part, other in zip(reversed(parts), reversed(others)):
        if _key(part) != _key(other):
            break
        count += 1
    return count
