"""Segmentation labels of the YOLO family: a text file an image, a line an instance.

A line is `class x1 y1 x2 y2 ...`: the number of the class, from 0, and one polygon in shares of the image's width and
height, turned as its EXIF orientation says, for that is what programs of this family show and train on. An object of
several parts is one polygon too, its parts joined by lines of no width. A line of a class and four numbers is a box
without a mask; it is left out.

Layout: images in images/, labels in labels/ under the same names (`images/train/a.jpg`, `labels/train/a.txt`), or
`train/images` and `train/labels`. `data.yaml` names the classes and the folders of the parts: `path`, `train`, `val`,
`test`, `names`, and the number of these, `nc`. Without it the parts are the sub-folders, and the names stand in
classes.txt. An image without a label file has no instances.

Source: https://docs.ultralytics.com/datasets/segment/

Where a YOLO data set has its images, labels and names: see `mrcnn.datasets.formats.yolo` for the format.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.folders import PARTS, part_name
from mrcnn.io.images import image_names
from mrcnn.io.json_fields import shown
from mrcnn.io.orientation import read_orientation
from mrcnn.io.paths import OutsideError, inside, refuse_link
from mrcnn.io.yaml import read_yaml

_NAME_FILES = ("classes.txt", "labels/classes.txt")


@dataclass(frozen=True)
class Layout:
    """Where the images lie: base (folder of the data set), parts {name or None: list of str}, relative to one of `roots`,
    names {class: name} or None, and the file that says so, for messages.
    """

    base: Path
    parts: dict
    names: dict | None
    described: Path
    roots: tuple


def find_layout(path):
    """Find the parts and names of a folder or of a YAML file. Returns: Layout; its parts are {} for anything else."""
    base = path.parent if path.is_file() else path
    described, content = _description(path, base)
    names = _names_of_yaml(content, described) if "names" in content else _names_of_files(base)
    parts = {}
    for part, called in PARTS.items():
        key = next((name for name in called if content.get(name)), None)
        if key is not None:
            parts[part] = _texts(content[key], f"{described}: {key}")
    (root,) = _texts(content.get("path") or ".", f"{described}: path", most=1)
    if not parts and not path.is_file():
        try:
            parts, root = _parts_of_folders(base), "."
        except OSError as error:
            raise DataError(f"{base} cannot be read: {error}") from error
    return Layout(base, parts, names, described, tuple(dict.fromkeys([root, "."])))


def _description(path, base):
    """Find the YAML file that names the classes: (its path, what it holds), or (path, {})."""
    if path.is_file():
        return path, read_yaml(path)
    found = sorted(file for file in base.glob("*") if file.suffix.lower() in (".yaml", ".yml") and file.is_file())
    for file in sorted(found, key=lambda file: file.name != "data.yaml"):
        try:
            content = read_yaml(file)
        except DataError:
            if file.name == "data.yaml":
                raise
            continue  # some other file that lies there
        if "names" in content:
            return file, content
    return path, {}


def _texts(value, where, most=None):
    """Check a value that is one text, or a list of them: list of str."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, str) and one for one in found) or len(found) > (most or len(found)):
        raise DataError(f"{where} is {shown(value)}, expected the name of a folder or file")
    return found


def _parts_of_folders(base):
    """Find the parts where no YAML file names them: {name, or None where undivided: list of folders of the images}."""
    images, labels = base / "images", base / "labels"
    if images.is_dir() and labels.is_dir():
        divided = [(p.name, f"images/{p.name}") for p in sorted(images.iterdir()) if _has_labels(labels / p.name)]
        if not divided:
            return {None: ["images"]} if _has_labels(labels) else {}
    else:
        folders = sorted(base.iterdir()) if base.is_dir() else []
        divided = [(p.name, f"{p.name}/images") for p in folders if (p / "images").is_dir() and _has_labels(p / "labels")]
    parts = {}
    for name, folder in divided:
        parts.setdefault(part_name(name), []).append(folder)
    return parts


def _has_labels(folder):
    return folder.is_dir() and any(map(is_label_name, os.listdir(folder)))


def is_label_name(name):
    """Tell whether a file's name is that of labels, and neither of class names nor hidden: bool."""
    return name.lower().endswith(".txt") and name != "classes.txt" and not name.startswith(".")


def _names_of_yaml(content, path):
    """Read `names`, a list or a mapping from numbers, and hold `nc`, their number, against it: {class: name}."""
    names, count = content["names"], content.get("nc")
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    found = {}
    for key, name in pairs:
        if not isinstance(name, str) or not name or not (isinstance(key, int) or key.isdecimal() and len(key) < 10):
            raise DataError(f"{path}: names has {shown(key)}: {shown(name)}, expected the number of a class and its name")
        found[int(key)] = name
    if not found:
        raise DataError(f"{path}: names is {shown(names)}, expected a list of names, or numbers with names")
    if count and count != str(len(found)):
        raise DataError(f"{path}: nc is {shown(count)}, and there are {len(found)} names, {', '.join(found.values()):.200}: "
                        "correct one of them")  # fmt: skip
    return dict(sorted(found.items()))


def _names_of_files(base):
    for name in _NAME_FILES:
        if (base / name).is_file():
            return names_of_lines(base / name)
    return None


def names_of_lines(path):
    """Read a name a line: {class: name}."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of names: {error}") from error
    if not any(lines):
        raise DataError(f"{path} holds no names, expected one a line")
    return {number: name for number, name in enumerate(lines) if name}


def label_of(image, base):
    """Find the place of an image's label file, whose ending is .txt, or .TXT where that is there; see `labels_folder`."""
    label = labels_folder(image.parent, base) / (image.stem + ".txt")
    shouted = label.with_suffix(".TXT")
    return shouted if not label.exists() and shouted.exists() else label


def labels_folder(folder, base):
    """Find the folder of the labels: the last `images` in the path, below the data set's folder, becomes `labels`."""
    within = folder.relative_to(base).parts if folder.is_relative_to(base) else folder.parts
    above, parts = folder.parts[: len(folder.parts) - len(within)], list(within)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*above, *parts)


# how far beyond the border a point may lie, in shares of the image: rounding, and polygons drawn a little too far
_MARGIN = 0.01


def recognise(path):
    """Say why a path is no YOLO data set, or None. Args: path: Path of a folder or YAML file. Returns: str or None."""
    try:
        if path.is_file() and path.suffix.lower() not in (".yaml", ".yml"):
            return "no folder and no .yaml file"
        layout = find_layout(path)
    except DataError as error:
        return str(error)
    return None if layout.parts else "no data.yaml with names and train, and no images/ beside labels/*.txt"


def subsets(path):
    """Name the parts: list of str, [] when the folder is undivided. Raises: DataError: its data.yaml is damaged."""
    return [name for name in find_layout(Path(path)).parts if name is not None]


def open_subset(path, subset=None, *, labels=None, allow_outside=False, progress=None):
    """Open a data set, or a part of one.

    Args:
        path: path of the folder, or of its YAML file.
        subset: str. train, val, ...
        labels: path of a text file with the name of a class a line, from class 0; None for those of the data set.
        allow_outside: bool. Whether images may lie outside the folder.
        progress: maker of stages (`mrcnn.base.progress`): "reading", of images, for each entry of the part; or None.

    Returns:
        YoloDataset, not prepared.

    Raises:
        DataError: the YAML file is damaged, a folder that it names is missing or outside, or the classes have no names.
    """
    path = Path(path)
    layout = find_layout(path)
    if subset not in layout.parts:
        raise DataError(f"{path}: no data.yaml with names and train, and no images/ beside labels/, which YOLO's layout has")
    names = layout.names if labels is None else names_of_lines(Path(labels))
    if names is None:
        raise DataError(f"{path}: the classes have no names: put `names` into data.yaml, or a name a line into classes.txt, "
                        "or give such a file (labels, --labels)")  # fmt: skip
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
    """A data set of label files. They are checked when it is opened, and read again when an image is asked for."""

    source = "yolo"

    def add_part(self, layout, entry, prefix="", progress=None):
        """Add the images that an entry of a layout stands for: a folder, or a text file with the name of an image a line.

        Args:
            layout: Layout.
            entry: str. Relative to one of the layout's roots.
            prefix: str. Put before the names of the images to make their ids, where a part has several entries.
            progress: function (done, total), called after each image, or None.

        Raises:
            DataError: it is missing, or leads out of the data set's folder.
        """
        where = self._locate(layout, entry)
        if where.is_dir():
            images = [(name, where / name) for name in image_names(where)]
            self._note_lonely_labels(labels_folder(where, layout.base), {label_of(path, layout.base) for _, path in images})
        else:
            images = self._listed(where)
        classes = {info["id"] for info in self.class_info if info["source"] == self.source}
        owners = {}
        for name, path in tracked(images, progress):
            label = label_of(path, layout.base)
            if owners.setdefault(label, name) != name and label.exists():
                self.notes.append((f"{label}: {owners[label]} and {name}", "images that differ only in their ending share it"))
            self._add_labelled(prefix + name, path, label, classes, layout.base)

    def _locate(self, layout, entry):
        """Find the folder or list of a part in the first root that has it."""
        refused = None
        # one well-known tool exports ../train/images for what lies in train/images
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

    def _join(self, layout, root, name):
        """Find an entry below a root: Path, or None when it is not there."""
        folder = layout.base
        if root != ".":
            folder = inside(folder, root, f"{layout.described}: path", allow_outside=self.allow_outside)
        where = inside(folder, name, str(layout.described), allow_outside=self.allow_outside)
        if not os.path.exists(where):  # unlike Path.exists, it does not mind a name that is too long
            return None
        if not self.allow_outside:
            refuse_link(where, layout.base, str(layout.described))
        return where

    def _listed(self, file):
        """Read the names of images from a file: list of (name, path)."""
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read as a list of images: {error}") from error
        found = {}
        for number, line in enumerate(lines, start=1):
            if line:
                path = inside(file.parent, line, f"{file}: line {number}", allow_outside=self.allow_outside)
                found.setdefault(path, line)  # ./a.png is a.png
        return [(line, path) for path, line in found.items()]

    def _note_lonely_labels(self, labels, expected):
        """Note label files that no image has."""
        for parent, _, names in os.walk(labels):
            for name in sorted(names):
                path = Path(parent) / name
                if is_label_name(name) and path not in expected:
                    self.skip(str(path), "no image goes with this label file")

    def _add_labelled(self, name, path, label, classes, base):
        """Add one image, its label file checked; the file's faults are noted."""
        try:
            if not self.allow_outside:
                refuse_link(label, base, "label file")
            instances, faults = read_label_file(label, classes)
        except DataError as error:
            # without its labels an image would teach that there is nothing on it
            fault = "a link out of the folder" if isinstance(error, OutsideError) else "no text"
            self.skip(str(label), f"the label file is {fault}, so its image is left out")
            return
        for line, reason in faults:
            self.skip(f"{label}:{line}", reason)
        info = {"exif_applied": True} if self._orientation(path, base) != 1 else {}
        self.add_annotated_image(name, path, None, None, base, label=str(label), count=len(instances), **info)

    def _orientation(self, path, base):
        """Read the EXIF orientation of an image: 1 too where that cannot be done, which loading the image tells."""
        try:
            if not self.allow_outside:
                refuse_link(path, base, "image")
            return read_orientation(path)
        except DataError:
            return 1

    def annotations_of(self, image_id):
        """Read the label file of an image; see `AnnotatedDataset.annotations_of`."""
        info = self.image_info[image_id]
        if not info["count"]:
            return []
        h, w = self.image_size(image_id)
        classes = {one["id"] for one in self.class_info if one["source"] == self.source}
        instances, _ = read_label_file(Path(info["label"]), classes)
        return [{"category_id": number, "segmentation": [[v * (h if i % 2 else w) for i, v in enumerate(polygon)]]}
                for number, polygon in instances]  # fmt: skip

    def num_instances(self, image_id):
        """Count an image's instances; see `Dataset.num_instances`."""
        return self.image_info[image_id]["count"] if self.reads(image_id) else super().num_instances(image_id)


def read_label_file(path, classes):
    """Read the label file of an image.

    Args:
        path: Path. A file that is missing holds no instances.
        classes: set of int. The known classes.

    Returns:
        (instances, faults): list of (class, [x1, y1, x2, y2, ...]) in shares of the image; list of (line number,
        reason) of the lines that are left out.

    Raises:
        DataError: it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"it is no text: {type(error).__name__}") from error
    instances, faults = [], []
    for number, line in enumerate(lines, start=1):
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


def _line_fault(values, classes):
    """Say why a line of numbers is no instance: str or None."""
    points = len(values) - 1
    if not all(map(math.isfinite, values)):
        return "it is no line of finite numbers"
    if values[0] not in classes:
        return "its class is not among the names"
    if points == 4:
        return "it is a box without a mask"
    if points < 6 or points % 2:
        return "it does not hold three or more pairs x y behind the class"
    if min(values[1:]) < -_MARGIN or max(values[1:]) > 1 + _MARGIN:
        return "its coordinates are not shares of the image, from 0 to 1"
    return None
