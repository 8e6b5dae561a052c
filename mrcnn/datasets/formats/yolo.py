"""YOLO segmentation labels: a text file per image, a line per instance.

A line is `class x1 y1 x2 y2 ...`: the number of the class, from 0, and one polygon in fractions of the image's width and
height. They refer to the image rotated by its EXIF orientation, as YOLO programs display it and train on it. An object of
several parts is one polygon, whose parts are joined by lines of zero width. A line with a class and four numbers is a box
without a mask; it is skipped.

Layout: images in images/, labels in labels/ under the same names (`images/train/a.jpg`, `labels/train/a.txt`), or
`train/images` and `train/labels`. `data.yaml` names the classes and the folders of the subsets: `path`, `train`, `val`,
`test`, `names`, and `nc`, the number of names. Without it, the subsets are the subfolders, and classes.txt has the names.
An image without a label file has no instances.

Source: https://docs.ultralytics.com/datasets/segment/
"""

import math
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_lines
from mrcnn.datasets.folders import PARTS, part_name
from mrcnn.geometry.boxes import Integer
from mrcnn.io.images import image_names
from mrcnn.io.json_fields import shown
from mrcnn.io.orientation import read_orientation
from mrcnn.io.paths import OutsideError, inside, refuse_link
from mrcnn.io.yaml import read_yaml

_NAME_FILES = ("classes.txt", "labels/classes.txt")
# maximum distance of a point outside the image, as a fraction of its size: rounding, and slightly oversized polygons
_MARGIN = 0.01


def recognise(path: Path) -> str | None:
    """Return None for a folder or YAML file of a YOLO data set, else why it is neither."""
    try:
        if path.is_file() and path.suffix.lower() not in (".yaml", ".yml"):
            return "not a folder or a .yaml file"
        layout = find_layout(path)
    except DataError as error:
        return str(error)
    return None if layout.parts else "no data.yaml with names and train, and no images/ next to labels/*.txt"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets, [] if the folder is undivided.

    Raises:
        DataError: its data.yaml is damaged.
    """
    return [name for name in find_layout(Path(path)).parts if name is not None]


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    labels: Path | str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "YoloDataset":
    """Open a data set, or a subset of one.

    Args:
        path: the folder, or its YAML file.
        subset: train, val, ...
        labels: a text file with one class name per line, from class 0; None for the names of the data set.
        allow_outside: whether images may be outside the folder.
        progress: reports the stage "reading", of images, for each entry of the subset.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: the YAML file is damaged, a folder that it names is missing or outside, or the classes have no names.
    """
    path = Path(path)
    layout = find_layout(path)
    if subset not in layout.parts:
        raise DataError(f"{path}: no data.yaml with names and train, and no images/ next to labels/, which YOLO's layout has")
    names = layout.names if labels is None else names_of_lines(Path(labels))
    if names is None:
        raise DataError(f"{path}: the classes have no names: put `names` into data.yaml, or one name per line into "
                        "classes.txt, or give such a file (labels, --labels)")  # fmt: skip
    dataset = YoloDataset(allow_outside=allow_outside)
    for number, name in names.items():
        dataset.add_class(dataset.source, number, name)
    entries = layout.parts[subset]
    for entry in entries:
        with (progress or unseen)("reading") as show:
            dataset.add_part(layout, entry, f"{entry}/" if len(entries) > 1 else "", show)
    dataset.log_skipped(path, "lines or files")
    return dataset


class YoloDataset(AnnotatedDataset):
    """A data set of label files. They are checked when it is opened, and read again when an image is loaded."""

    source = "yolo"

    def add_part(self, layout: "Layout", entry: str, prefix: str = "", progress: Show | None = None) -> None:
        """Add the images of an entry of a layout: a folder, or a text file with the name of an image per line.

        Args:
            layout: of the data set.
            entry: path relative to one of the layout's roots.
            prefix: prefix of the image ids, for a subset with several entries.
            progress: called after each image.

        Raises:
            DataError: the entry does not exist, or points outside the data set's folder.
        """
        where = self._locate(layout, entry)
        if where.is_dir():
            images = [(name, where / name) for name in image_names(where)]
            self._skip_unpaired_labels(labels_folder(where, layout.base), {label_of(path, layout.base) for _, path in images})
        else:
            images = self._listed(where)
        classes = {info["id"] for info in self.class_info if info["source"] == self.source}
        owners: dict[Path, str] = {}
        for name, path in tracked(images, progress):
            label = label_of(path, layout.base)
            if owners.setdefault(label, name) != name and label.exists():
                self.notes.append((f"{label}: {owners[label]} and {name}", "images that differ only in their suffix share it"))
            self._add_labelled(prefix + name, path, label, classes, layout.base)

    def _locate(self, layout: "Layout", entry: str) -> Path:
        """Find the folder or list of a subset in the first root that has it."""
        refused = None
        # Roboflow exports ../train/images for train/images
        for name in dict.fromkeys([entry, entry.removeprefix("../")]):
            for root in layout.roots:
                try:
                    where = self._join(layout, root, name)
                except DataError as error:
                    refused = refused or error
                    continue
                if where is not None:
                    return where
        raise refused or DataError(f"{layout.described}: {entry!r} does not exist in {layout.base}: correct the entry")

    def _join(self, layout: "Layout", root: str, name: str) -> Path | None:
        """Return the path of an entry below a root, None if it does not exist."""
        folder = layout.base
        if root != ".":
            folder = inside(folder, root, f"{layout.described}: path", allow_outside=self.allow_outside)
        where = inside(folder, name, str(layout.described), allow_outside=self.allow_outside)
        if not os.path.exists(where):  # unlike Path.exists, it accepts names that are too long
            return None
        if not self.allow_outside:
            refuse_link(where, layout.base, str(layout.described))
        return where

    def _listed(self, file: Path) -> list[tuple[str, Path]]:
        """Read the names and paths of images from a file."""
        names: dict[Path, str] = {}
        for number, line in enumerate(read_lines(file), start=1):
            if line:
                path = inside(file.parent, line, f"{file}: line {number}", allow_outside=self.allow_outside)
                names.setdefault(path, line)  # ./a.png is a.png
        return [(line, path) for path, line in names.items()]

    def _skip_unpaired_labels(self, labels: Path, expected: Set[Path]) -> None:
        """Record label files that have no image."""
        for parent, _, names in os.walk(labels):
            for name in sorted(names):
                path = Path(parent) / name
                if is_label_name(name) and path not in expected:
                    self.skip(str(path), "the label file has no image")

    def _add_labelled(self, name: str, path: Path, label: Path, classes: Set[int], base: Path) -> None:
        """Check the label file of an image, record its faults, and add the image."""
        try:
            if not self.allow_outside:
                refuse_link(label, base, "label file")
            instances, faults = read_label_file(label, classes)
        except DataError as error:
            # without its labels, the image would be trained on as if it contained no objects
            fault = "is a link out of the folder" if isinstance(error, OutsideError) else "is not text"
            self.skip(str(label), f"the label file {fault}, so its image is skipped")
            return
        for line, reason in faults:
            self.skip(f"{label}:{line}", reason)
        info = {"exif_applied": True} if self._orientation(path, base) != 1 else {}
        self.add_annotated_image(name, path, None, None, base, label=str(label), count=len(instances), **info)

    def _orientation(self, path: Path, base: Path) -> int:
        """Read the EXIF orientation of an image, 1 if it cannot be read, which loading the image reports."""
        try:
            if not self.allow_outside:
                refuse_link(path, base, "image")
            return read_orientation(path)
        except DataError:
            return 1

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Read the label file of an image; see `AnnotatedDataset.annotations_of`."""
        info = self.image_info[image_id]
        if not info["count"]:
            return []
        h, w = self.image_size(image_id)
        classes = {one["id"] for one in self.class_info if one["source"] == self.source}
        instances, _ = read_label_file(Path(info["label"]), classes)
        return [{"category_id": number, "segmentation": [[v * (h if i % 2 else w) for i, v in enumerate(polygon)]]}
                for number, polygon in instances]  # fmt: skip

    def num_instances(self, image_id: Integer) -> int | None:
        """Count an image's instances; see `Dataset.num_instances`."""
        return self.image_info[image_id]["count"] if self.reads(image_id) else super().num_instances(image_id)


# --- the layout


@dataclass(frozen=True)
class Layout:
    """The location of the images of a data set, and its class names.

    Attributes:
        base: folder of the data set.
        parts: subset, or None if undivided -> folders or lists of images, relative to one of `roots`.
        names: class -> name, or None.
        described: the file that describes the layout, for messages.
        roots: folders relative to `base`.
    """

    base: Path
    parts: Mapping[str | None, list[str]]
    names: Mapping[int, str] | None
    described: Path
    roots: tuple[str, ...]


def find_layout(path: Path) -> Layout:
    """Find the subsets and names of a folder or of a YAML file. A layout without parts is not a YOLO data set."""
    base = path.parent if path.is_file() else path
    described, content = _description(path, base)
    names = _names_of_yaml(content, described) if "names" in content else _names_of_files(base)
    parts: dict[str | None, list[str]] = {}
    for part, aliases in PARTS.items():
        key = next((name for name in aliases if content.get(name)), None)
        if key is not None:
            parts[part] = _texts(content[key], f"{described}: {key}")
    (root,) = _texts(content.get("path") or ".", f"{described}: path", max_texts=1)
    if not parts and not path.is_file():
        try:
            parts, root = _parts_of_folders(base), "."
        except OSError as error:
            raise DataError(f"{base} cannot be read: {error}") from error
    return Layout(base, parts, names, described, tuple(dict.fromkeys([root, "."])))


def _description(path: Path, base: Path) -> tuple[Path, dict[str, Any]]:
    """Find the YAML file that names the classes: (its path, its content), or (path, {})."""
    if path.is_file():
        return path, read_yaml(path)
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
    return path, {}


def _texts(value: Any, where: str, max_texts: int | None = None) -> list[str]:
    """Return a value that must be a text or a list of texts as a list."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(one, str) and one for one in texts) or len(texts) > (max_texts or len(texts)):
        raise DataError(f"{where} is {shown(value)}, expected the name of a folder or file")
    return texts


def _parts_of_folders(base: Path) -> dict[str | None, list[str]]:
    """Find the subsets if no YAML file names them: name, or None if undivided -> folders of the images."""
    images, labels = base / "images", base / "labels"
    if images.is_dir() and labels.is_dir():
        divided = [(p.name, f"images/{p.name}") for p in sorted(images.iterdir()) if _has_labels(labels / p.name)]
        if not divided:
            return {None: ["images"]} if _has_labels(labels) else {}
    else:
        folders = sorted(base.iterdir()) if base.is_dir() else []
        divided = [(p.name, f"{p.name}/images") for p in folders if (p / "images").is_dir() and _has_labels(p / "labels")]
    parts: dict[str | None, list[str]] = {}
    for name, folder in divided:
        parts.setdefault(part_name(name), []).append(folder)
    return parts


def _has_labels(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_label_name, os.listdir(folder)))


def is_label_name(name: str) -> bool:
    """Return whether a file name is that of a label file, and not that of a hidden file or a list of classes."""
    return name.lower().endswith(".txt") and name != "classes.txt" and not name.startswith(".")


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


def label_of(image: Path, base: Path) -> Path:
    """Return the path of an image's label file, with the suffix .TXT if only that exists; see `labels_folder`."""
    label = labels_folder(image.parent, base) / (image.stem + ".txt")
    upper = label.with_suffix(".TXT")
    return upper if not label.exists() and upper.exists() else label


def labels_folder(folder: Path, base: Path) -> Path:
    """Return the folder of the labels: the path with its last `images` below the data set's folder replaced by `labels`."""
    within = folder.relative_to(base).parts if folder.is_relative_to(base) else folder.parts
    above, parts = folder.parts[: len(folder.parts) - len(within)], list(within)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*above, *parts)


# --- label files


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
