"""The images, label files and class names of a YOLO data set, as programs lay them out.

data.yaml         Ultralytics, Roboflow, CVAT: names, and the folder or list of images of each subset
obj.data          Darknet, CVAT's "YOLO 1.1": the file of names, and the list of images of each subset
classes.txt       names; subsets are folders: images/train and labels/train, or train/images and train/labels
labels beside the images, with one of these files of names

An entry of data.yaml that names a folder of another computer (/content/set/train/images) is taken for the folder of this data
set whose path ends in the same way.

A label file has a line for each instance, `class x1 y1 x2 y2 ...`, in fractions of the image.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.datasets.class_names import read_lines
from mrcnn.datasets.folders import PARTS, part_name
from mrcnn.io.images import IMAGE_SUFFIXES
from mrcnn.io.json_fields import shown
from mrcnn.io.paths import inside, refuse_link
from mrcnn.io.yaml import read_yaml

_NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")
# folders of every data set, which say nothing about the subset
_COMMON = ("images", "labels")
# maximum distance of a point outside the image, as a fraction of its size: rounding, and slightly oversized polygons
_MARGIN = 0.01
# numbers of a line of the shortest label, a box
_SHORTEST = 5


@dataclass(frozen=True)
class Layout:
    """The location of the images of a data set, and its class names.

    Attributes:
        base: folder of the data set.
        parts: subset, or None if undivided -> folders or lists of images, relative to one of `roots`.
        names: class -> name, or None.
        described: the file that describes the layout, for messages.
        roots: folders relative to `base`.
        missing: (where, reason) of each subset that the file describes and that does not exist.
    """

    base: Path
    parts: Mapping[str | None, list[str]]
    names: Mapping[int, str] | None
    described: Path
    roots: tuple[str, ...]
    missing: Sequence[tuple[str, str]] = ()

    def locate(self, entry: str, *, allow_outside: bool = False) -> tuple[Path, str | None]:
        """Find the folder or file of an entry in the first root that has it, or else by the end of its path.

        Returns:
            (path, a note if it was found by the end of its path).

        Raises:
            OutsideError: it points outside the data set's folder, and nothing in it has such a path.
            DataError: it does not exist.
        """
        refused = None
        # Roboflow exports ../train/images for train/images
        for name in dict.fromkeys([entry, entry.removeprefix("../")]):
            for root in self.roots:
                try:
                    where = self._join(root, name, allow_outside)
                except DataError as error:
                    refused = refused or error
                    continue
                if where is not None:
                    return where, None
        where = self._by_ending(entry)
        if where is not None:
            ending = where.relative_to(self.base).as_posix()
            return where, f"{entry!r} does not exist: {ending!r} in the data set's folder is used"
        raise refused or DataError(f"{self.described}: {entry!r} does not exist in {self.base}: correct the entry")

    def _join(self, root: str, name: str, allow_outside: bool) -> Path | None:
        """Return the path of an entry below a root, None if it does not exist."""
        folder = self.base
        if root != ".":
            folder = inside(folder, root, f"{self.described}: path", allow_outside=allow_outside)
        where = folder if name == "." else inside(folder, name, str(self.described), allow_outside=allow_outside)
        if not os.path.exists(where):  # unlike Path.exists, it accepts names that are too long
            return None
        if not allow_outside:
            refuse_link(where, self.base, str(self.described))
        return where

    def _by_ending(self, entry: str) -> Path | None:
        """Return the path in the data set's folder that agrees with the end of an entry, the longest if there are several."""
        parts = [part for part in re.split(r"[\\/]", entry) if part not in ("", ".", "..") and part[-1] != ":"]
        for start in range(len(parts)):
            ending = "/".join(parts[start:])
            where = None if ending in _COMMON and start else self._join(".", ending, allow_outside=False)
            if where is not None:
                return where
        return None

    def exists(self, entry: str) -> bool:
        """Return whether an entry exists, in the data set's folder or, if it says so, elsewhere on this computer."""
        # a Windows path of another computer, which must not be connected to
        is_remote = entry.startswith(("//", "\\\\"))
        try:
            return bool(self.locate(entry, allow_outside=not is_remote))
        except DataError:
            return False


def find_layout(path: Path, *, named: bool = False) -> Layout:
    """Find the subsets and names of a folder or of the file that describes it. A layout without parts is not YOLO's.

    Args:
        path: the folder, or a YAML file or a file such as obj.data.
        named: whether the user names the classes.
    """
    base = path.parent if path.is_file() else path
    described, content = _description(path, base)
    (root,) = _texts(content.get("path") or ".", f"{described}: path", max_texts=1)
    roots: tuple[str, ...] = tuple(dict.fromkeys([root, "."]))
    stated: dict[str | None, list[str]] = {}
    for part, aliases in PARTS.items():
        key = next((name for name in aliases if content.get(name)), None)
        if key is not None:
            stated[part] = _texts(content[key], f"{described}: {key}")
    layout = Layout(base, stated, None, described, roots)
    names = _names(layout, content)
    found = {part: entries for part, entries in stated.items() if any(map(layout.exists, entries))}
    if not found and not path.is_file():
        try:
            found, roots = _parts_of_folders(base, named or names is not None), (".",)
        except OSError as error:
            raise DataError(f"{base} cannot be read: {error}") from error
    if not found:
        return Layout(base, stated, names, described, layout.roots)
    missing = [(f"{described.name}: {part}", f"{', '.join(entries)} does not exist in {base}, so the data set has no such "
                "subset: correct the entry") for part, entries in stated.items() if part not in found]  # fmt: skip
    return Layout(base, found, names, described, roots, missing)


def _description(path: Path, base: Path) -> tuple[Path, dict[str, Any]]:
    """Find the file that names the classes and subsets: (its path, its content), or (path, {})."""
    if path.is_file():
        return path, _read_darknet(path) if path.suffix.lower() == ".data" else read_yaml(path)
    files = sorted(file for file in base.glob("*") if file.suffix.lower() in (".yaml", ".yml") and file.is_file())
    for file in sorted(files, key=lambda file: file.name != "data.yaml"):
        try:
            content = read_yaml(file)
        except DataError:
            if file.name == "data.yaml":
                raise
            continue  # an unrelated file
        if "names" in content:
            return file, content
    for file in sorted(base.glob("*.data")):
        content = _read_darknet(file)
        if "names" in content and "train" in content:
            return file, content
    return path, {}


def _read_darknet(path: Path) -> dict[str, Any]:
    """Read the lines `key = value` of a file of Darknet; {} if it is not text."""
    try:
        pairs = [line.partition("=") for line in read_lines(path)]
    except DataError:
        return {}
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _names(layout: Layout, content: Mapping[str, Any]) -> dict[int, str] | None:
    if "names" not in content:
        return _names_of_files(layout.base)
    if layout.described.suffix.lower() == ".data":
        return names_of_lines(layout.locate(content["names"])[0])
    return _names_of_yaml(content, layout.described)


def _texts(value: Any, where: str, max_texts: int | None = None) -> list[str]:
    """Return a value that must be a text or a list of texts as a list."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(one, str) and one for one in texts) or len(texts) > (max_texts or len(texts)):
        raise DataError(f"{where} is {shown(value)}, expected the name of a folder or file")
    return texts


def _parts_of_folders(base: Path, named: bool) -> dict[str | None, list[str]]:
    """Find the subsets if no file names them: name, or None if undivided -> folders of the images.

    Args:
        base: the folder.
        named: whether the classes have names. Without them, text files beside images are not taken for labels.
    """
    images, labels = base / "images", base / "labels"
    if images.is_dir() and labels.is_dir():
        divided = [(p.name, f"images/{p.name}") for p in sorted(images.iterdir()) if _has_labels(labels / p.name)]
        if not divided:
            return {None: ["images"]} if _has_labels(labels) else {}
    else:
        folders = sorted(base.iterdir()) if base.is_dir() else []
        divided = [(p.name, f"{p.name}/images") for p in folders if (p / "images").is_dir() and _has_labels(p / "labels")]
        if named and not divided:
            if _has_labels_beside(base):
                return {None: ["."]}
            divided = [(p.name, p.name) for p in folders if part_name(p.name) in PARTS and _has_labels_beside(p)]
    parts: dict[str | None, list[str]] = {}
    for name, folder in divided:
        parts.setdefault(part_name(name), []).append(folder)
    return parts


def _has_labels_beside(folder: Path) -> bool:
    """Return whether a folder has a label file beside an image of the same name."""
    if not folder.is_dir():
        return False
    names = sorted(os.listdir(folder))
    images = {os.path.splitext(name)[0] for name in names if name.lower().endswith(IMAGE_SUFFIXES)}
    labels = (name for name in names if is_label_name(name) and os.path.splitext(name)[0] in images)
    first = next(labels, None)
    return first is not None and holds_labels(folder / first)


def _has_labels(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_label_name, os.listdir(folder)))


def _names_of_yaml(content: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Read `names`, a list or a mapping from numbers, and compare their number with `nc`."""
    names, count = content["names"], content.get("nc")
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    checked: dict[int, str] = {}
    for key, name in pairs:
        if not isinstance(name, str) or not name or not (isinstance(key, int) or key.isdecimal() and len(key) < 10):
            raise DataError(f"{path}: names has {shown(key)}: {shown(name)}, expected the number of a class and its name")
        checked[int(key)] = name
    if not checked:
        raise DataError(f"{path}: names is {shown(names)}, expected a list of names, or numbers with names")
    if count and count != str(len(checked)):
        raise DataError(f"{path}: nc is {shown(count)}, but there are {len(checked)} names, "
                        f"{', '.join(checked.values()):.200}: correct one of them")  # fmt: skip
    return dict(sorted(checked.items()))


def _names_of_files(base: Path) -> dict[int, str] | None:
    for name in _NAME_FILES:
        if (base / name).is_file():
            return names_of_lines(base / name)
    return None


def names_of_lines(path: Path) -> dict[int, str]:
    """Read a file with one class name per line: class -> name. An empty line skips a number."""
    lines = read_lines(path)
    if not any(lines):
        raise DataError(f"{path} holds no names, expected one per line")
    return {number: name for number, name in enumerate(lines) if name}


def labels_folder(folder: Path, base: Path) -> Path:
    """Return the folder of the labels: the path with its last `images` below the data set's folder replaced by `labels`."""
    within = folder.relative_to(base).parts if folder.is_relative_to(base) else folder.parts
    above, parts = folder.parts[: len(folder.parts) - len(within)], list(within)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*above, *parts)


def is_label_name(name: str) -> bool:
    """Return whether a file name is that of a label file, and not that of a hidden file or a list of classes."""
    return name.lower().endswith(".txt") and name != "classes.txt" and not name.startswith(".")


def holds_labels(path: Path) -> bool:
    """Return whether a text file is empty or begins with a label, unlike a list of images or a text to read."""
    try:
        lines = [line for line in read_lines(path) if line]
        return not lines or len([float(word) for word in lines[0].split()]) >= _SHORTEST
    except (DataError, ValueError):
        return False


def read_label_file(path: Path, classes: Set[int]) -> tuple[list[tuple[int, list[float]]], list[tuple[int, str]]]:
    """Read the label file of an image.

    Args:
        path: the file. If it does not exist, the image has no instances.
        classes: the known classes.

    Returns:
        (instances, faults): (class, [x1, y1, x2, y2, ...]) in fractions of the image; (line number, reason) of the lines
        that are skipped.

    Raises:
        DataError: it is not text.
    """
    if not os.path.exists(path):
        return [], []
    instances, faults = [], []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = [math.nan]
        fault = _line_fault(values, classes)
        if fault:
            faults.append((number, fault))
        else:
            instances.append((int(values[0]), values[1:]))
    return instances, faults


def _line_fault(values: Sequence[float], classes: Set[int]) -> str | None:
    """Return why a line of numbers is not an instance."""
    count = len(values) - 1
    if not all(map(math.isfinite, values)):
        return "it is not a line of finite numbers"
    if values[0] not in classes:
        return "its class is not among the names"
    if count == 4:
        return "it is a box without a mask"
    if count < 6 or count % 2:
        return "it does not have three or more pairs x y after the class"
    if min(values[1:]) < -_MARGIN or max(values[1:]) > 1 + _MARGIN:
        return "its coordinates are not fractions of the image, from 0 to 1"
    return None
