"""YOLO segmentation labels: a text file per image, a line per instance.

A line is `class x1 y1 x2 y2 ...`: the number of the class, from 0, and one polygon in fractions of the image's width and
height. They refer to the image rotated by its EXIF orientation, as YOLO programs display it and train on it. An object of
several parts is one polygon, whose parts are joined by lines of zero width. A line with a class and four numbers is a box
without a mask; it is skipped.

Layout: images in images/, labels in labels/ under the same names (`images/train/a.jpg`, `labels/train/a.txt`), or
`train/images` and `train/labels`; `layout` describes it and others. `data.yaml` names the classes and the folders of the
subsets: `path`, `train`, `val`, `test`, `names`, and `nc`, the number of names. An image without a label file has no instances,
but is skipped if label files of its folder have no image, because one of them may be meant for it.

Source: https://docs.ultralytics.com/datasets/segment/
"""

import os
import unicodedata
from collections.abc import Set
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_lines
from mrcnn.datasets.formats.yolo.files import (
    Layout,
    find_layout,
    holds_labels,
    is_label_name,
    labels_folder,
    names_of_lines,
    read_label_file,
)
from mrcnn.geometry.boxes import Integer
from mrcnn.io.file_finder import FileFinder
from mrcnn.io.images import image_names
from mrcnn.io.orientation import read_orientation
from mrcnn.io.paths import OutsideError, refuse_link

_DESCRIBED = "no data.yaml or obj.data with names and train, and no images/ next to labels/*.txt"


def recognise(path: Path) -> str | None:
    """Return None for a folder or YAML file of a YOLO data set, else why it is neither."""
    try:
        if path.is_file() and path.suffix.lower() not in (".yaml", ".yml", ".data"):
            return "not a folder or a .yaml file"
        layout = find_layout(path)
    except DataError as error:
        return str(error)
    return None if layout.parts else _DESCRIBED


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
    layout = find_layout(path, named=labels is not None)
    if subset not in layout.parts:
        raise DataError(f"{path}: {_DESCRIBED}, which YOLO's layout has")
    names = layout.names if labels is None else names_of_lines(Path(labels))
    if names is None:
        raise DataError(f"{path}: the classes have no names: put `names` into data.yaml, or one name per line into "
                        "classes.txt, or give such a file (labels, --labels)")  # fmt: skip
    dataset = YoloDataset(allow_outside=allow_outside)
    for number, name in names.items():
        dataset.add_class(dataset.source, number, name)
    for where, reason in layout.missing:
        dataset.skip(where, reason)
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
        where, note = layout.locate(entry, allow_outside=self.allow_outside)
        if note:
            self.notes.append((str(layout.described), note))
        labels = _LabelNames(layout.base)
        unpaired = False
        if where.is_dir():
            images = [(name, where / name) for name in image_names(where)]
            expected = {label for _, path in images if (label := labels.of(path)) is not None}
            unpaired = self._skip_unpaired_labels(labels_folder(where, layout.base), expected)
        else:
            images = self._listed(where, layout.base)
        classes = {info["id"] for info in self.class_info if info["source"] == self.source}
        owners: dict[Path, str] = {}
        for name, path in tracked(images, progress):
            label = labels.of(path)
            if label is None and unpaired:
                self.skip(prefix + name, "it has no label file, and label files of its folder have no image: correct their "
                          "names, or make an empty label file if it shows no objects")  # fmt: skip
                continue
            if label is not None and owners.setdefault(label, name) != name:
                self.notes.append((f"{label}: {owners[label]} and {name}", "images that differ only in their suffix share it"))
            if label is not None and label.stem != path.stem:
                self.notes.append((str(label), "its name differs from that of its image in capital letters or Unicode form"))
            self._add_labelled(prefix + name, path, label, classes, layout.base)

    def _listed(self, file: Path, base: Path) -> list[tuple[str, Path]]:
        """Read the names of images from a file, and find the images."""
        finder = FileFinder([file.parent, base], base, allow_outside=self.allow_outside)
        names: dict[Path, str] = {}
        for number, line in enumerate(read_lines(file), start=1):
            if line:
                where = f"{file}: line {number}"
                try:
                    found = finder.find(line, field="line in the list")
                except DataError as error:
                    self.skip(where, f"the image is skipped: {error}")
                    continue
                if found.note:
                    self.notes.append((where, found.note))
                names.setdefault(found.path, line)  # ./a.png is a.png
        return [(line, path) for path, line in names.items()]

    def _skip_unpaired_labels(self, labels: Path, expected: Set[Path]) -> bool:
        """Record label files that have no image, and return whether there are any."""
        found = False
        for parent, _, names in os.walk(labels):
            for name in sorted(names):
                path = Path(parent) / name
                if is_label_name(name) and path not in expected and holds_labels(path):
                    self.skip(str(path), "the label file has no image")
                    found = True
        return found

    def _add_labelled(self, name: str, path: Path, label: Path | None, classes: Set[int], base: Path) -> None:
        """Check the label file of an image, record its faults, and add the image."""
        try:
            if label is not None and not self.allow_outside:
                refuse_link(label, base, "label file")
            instances, faults = read_label_file(label, classes) if label is not None else ([], [])
        except DataError as error:
            # without its labels, the image would be trained on as if it contained no objects
            fault = "is a link out of the folder" if isinstance(error, OutsideError) else "is not text"
            self.skip(str(label), f"the label file {fault}, so its image is skipped")
            return
        for line, reason in faults:
            self.skip(f"{label}:{line}", reason)
        info = {"exif_applied": True} if self._orientation(path, base) != 1 else {}
        self.add_annotated_image(name, path, None, None, base, label=label and str(label), count=len(instances), **info)

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


class _LabelNames:
    """Finds the label files of images; each folder is listed once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def of(self, image: Path) -> Path | None:
        """Return the label file of an image, None if there is none.

        It has the image's name. If there is no such file, its only namesake in other capital letters or in another Unicode
        form is taken.
        """
        folder = labels_folder(image.parent, self._base)
        if folder not in self._listed:
            listed: dict[str, list[str]] = {}
            for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
                if is_label_name(name):
                    listed.setdefault(_key(os.path.splitext(name)[0]), []).append(name)
            self._listed[folder] = listed
        names = self._listed[folder].get(_key(image.stem), [])
        exact = [name for name in names if os.path.splitext(name)[0] == image.stem]
        chosen = exact[:1] or (names if len(names) == 1 else [])
        return folder / chosen[0] if chosen else None


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
