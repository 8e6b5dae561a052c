"""labelme annotations: a JSON file next to each image.

`shapes` describes the types of shapes and how they become instances; `file` how a file and its image are matched. Images
without a JSON file were not annotated, and are not in the data set. Other JSON files, such as annotations converted to COCO
in the same folder, are ignored and listed in `notes`.

Source: https://github.com/wkentaro/labelme. Shape letters: H W C image.
"""

import io
import os
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import map_tasks
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import NO_CLASSES, natural_key, read_class_names
from mrcnn.datasets.folders import json_files, mentions, part_folders
from mrcnn.datasets.formats.labelme.file import (
    LabelmeFile,
    OtherJsonError,
    ReadSettings,
    embedded_image,
    read_labelme,
)
from mrcnn.datasets.formats.labelme.shapes import LINE_WIDTH
from mrcnn.geometry.boxes import Integer, Number
from mrcnn.io.images import open_image
from mrcnn.io.json_fields import json_outline, read_json
from mrcnn.io.orientation import turn_upright

# number of files examined to recognise a folder
_LOOKED_AT = 20


def recognise(path: Path) -> str | None:
    """Return None for a labelme file, or a folder that holds one, else why it is neither."""
    if path.is_dir():
        return None if _holds_labelme(path) else "no JSON file with shapes and imagePath in it"
    if path.suffix.lower() != ".json":
        return "not a folder or a .json file"
    return None if _is_labelme(path) else "the JSON has no shapes and imagePath"


def subsets(path: Path | str) -> list[str]:
    """Return the subfolders train, val and test of a folder that hold labelme files."""
    return list(part_folders(path, _holds_labelme))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    hole_label: str | None = None,
    line_width: Number = LINE_WIDTH,
    encoding: str | None = None,
    workers: int = 0,
    progress: Stages | None = None,
    allow_outside: bool = False,
) -> "LabelmeDataset":
    """Open a folder of labelme files, including subfolders, or one file.

    Args:
        path: the folder or file.
        subset: one of `subsets`. The classes are those of all subsets, so that their numbers agree.
        labels: the classes in their order, or a file with one per line; shapes with other labels are skipped. None takes
            the labels that occur, sorted by name (numbers in them by value).
        hole_label: shapes with this label are holes in other instances.
        line_width: width of linestrips in pixels.
        encoding: of files that are not UTF-8.
        workers: number of processes that parse the files; 0 parses them in this process.
        progress: reports the stage "reading", of files.
        allow_outside: whether an imagePath may point outside the folder.

    Returns:
        The data set, not prepared. Its `skipped` lists what was skipped, its `notes` what was repaired.

    Raises:
        DataError: no file can be used, or the labels cannot be read.
        ValueError: line_width is not above 0.
    """
    if not 0 < line_width < float("inf"):
        raise ValueError(f"line_width is {line_width}: expected pixels above 0")
    path = Path(path)
    root = path.parent if path.is_file() else path
    dataset = LabelmeDataset(allow_outside=allow_outside)
    settings = ReadSettings(str(root), float(line_width), hole_label, allow_outside, encoding=encoding)
    dataset.encoding = encoding
    classes = None if labels is None else read_class_names(labels)
    names, prefix, loose = [path.name] if path.is_file() else list(json_files(root)), "", list[str]()
    if subset is not None:
        parts = {part: f"{folder.name}/" for part, folder in part_folders(path, _holds_labelme).items()}
        prefix, every_part = parts[subset], tuple(parts.values())
        if subset == next(iter(parts)):  # reported with the first subset only
            loose = [name for name in names if not name.startswith(every_part) and _is_labelme(root / name)]
        # unless the classes are given, all subsets are read to find them
        names = [name for name in names if name.startswith(prefix if classes else every_part)]
    with (progress or unseen)("reading") as show:
        files, others = _read_all(names, settings, workers, show, dataset)
    if classes is None:
        classes = sorted({label for file in files for label, _, _ in file.instances} - set(NO_CLASSES), key=natural_key)
    dataset.add_files([file for file in files if file.name.startswith(prefix)], classes, root)
    dataset.skipped[:] = [entry for entry in dataset.skipped if entry[0].startswith(prefix)]
    for name in loose:
        dataset.skip(name, "it is in none of the data set's subsets")
    ignored = [(name, "it is not a labelme file, and is ignored") for name in others if name.startswith(prefix)]
    if not dataset.image_info and (dataset.skipped or ignored):
        where, reason = [*dataset.skipped, *ignored][0]
        raise DataError(f"{path} has no usable labelme file: {where}: {reason}")
    dataset.log_skipped(path, "files or shapes")
    dataset.notes += ignored  # not logged: nothing needs to be done about them
    return dataset


class LabelmeDataset(AnnotatedDataset):
    """Images annotated with labelme."""

    source = "labelme"
    encoding: str | None = None

    def add_files(self, files: Iterable[LabelmeFile], classes: Iterable[str], root: Path) -> None:
        """Add images with their instances.

        Args:
            files: one per image.
            classes: names in the order of their ids, from 1. Instances with other labels are skipped.
            root: folder of the data set.
        """
        ids = {label: number for number, label in enumerate(classes, start=1)}
        for label, number in ids.items():
            self.add_class(self.source, number, label)
        owners: dict[str, str] = {}
        for file in files:
            owner = owners.setdefault(file.name if file.embedded else file.image, file.name)
            if owner != file.name:
                self.notes.append((f"{owner} and {file.name}", "two files have the same image, which is added twice"))
            annotations = []
            for label, segmentation, iscrowd in file.instances:
                if label in ids:
                    annotations.append({"category_id": ids[label], "segmentation": segmentation, "iscrowd": int(iscrowd)})
                else:
                    self.skip(file.name, f"its label {label!r} is not among the classes")
            for where, reason in file.skipped:
                self.skip(where, reason)
            self.notes += file.notes
            info: dict[str, Any] = {"exif_applied": True} if file.exif_applied else {}
            if file.embedded:
                info["embedded_in"] = str(Path(root, file.name))
            self.add_annotated_image(file.name.rsplit(".", 1)[0], file.image, file.size, annotations, root, **info)

    def load_image(self, image_id: Integer) -> Num[np.ndarray, "H W C"]:
        """Read an image in the orientation that labelme displays, from its JSON if the image file is missing."""
        info = self.image_info[image_id]
        if not info.get("embedded_in") or os.path.isfile(info["path"]):
            return super().load_image(image_id)
        data = embedded_image(read_json(info["embedded_in"], nonfinite=[], encoding=self.encoding))
        if data is None:
            raise DataError(f"{info['embedded_in']}: imageData is not base64, and {info['path']} does not exist")
        with open_image(io.BytesIO(data)) as image:
            try:
                pixels = np.array(image.convert("RGB"))
                orientation = image.getexif().get(0x0112, 1) if info.get("exif_applied") else 1
            except Exception as error:  # damaged files make Pillow raise errors of any kind
                raise DataError(f"{info['embedded_in']}: imageData cannot be decoded: {error}") from error
        return np.ascontiguousarray(turn_upright(pixels, orientation))


def _read_all(
    names: Sequence[str], settings: ReadSettings, workers: int, progress: Show | None, dataset: LabelmeDataset
) -> tuple[list[LabelmeFile], list[str]]:
    """Read files in order, in this process or in others; skip those that cannot be used.

    Returns:
        (files, names of JSON files of other kinds).
    """
    files, others = [], []
    chunk = max(min(len(names) // (4 * max(workers, 1)), 64), 1)
    results = map_tasks(partial(_read_one, settings=settings), names, workers, chunk)
    for name, (file, error) in tracked(zip(names, results, strict=True), progress, len(names)):
        if file is not None:
            files.append(file)
        elif isinstance(error, OtherJsonError):
            others.append(name)
        else:
            dataset.skip(name, str(error))
    return files, others


def _read_one(name: str, settings: ReadSettings) -> tuple[LabelmeFile, None] | tuple[None, DataError]:
    """Read a file. An error is returned, not raised, because one file must not stop the pool."""
    try:
        return read_labelme(name, settings), None
    except DataError as error:
        return None, error


def _holds_labelme(folder: Path) -> bool:
    return any(_is_labelme(Path(folder, name)) for name in islice(json_files(folder), _LOOKED_AT))


def _is_labelme(path: Path) -> bool:
    if not mentions(path, (b'"shapes"', b'"imagePath"')):
        return False
    try:
        return {"shapes", "imagePath"} <= set(json_outline(path))
    except DataError:
        return False
