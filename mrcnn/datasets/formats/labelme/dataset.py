"""labelme's annotations: a JSON file beside each image.

`labelme_shapes` says which shapes there are, and how they become instances; `labelme_file` how a file and its image belong
together. Images without a JSON file are not in the data set: they were not annotated. JSON files of other kinds, such as
annotations that were converted to COCO beside them, are passed over and counted in `told`.

Source: https://github.com/wkentaro/labelme. Shape letters: H W image.
"""

import io
import os
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import map_tasks
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import NO_CLASSES, natural_key, read_class_names
from mrcnn.datasets.folders import json_files, mentions, part_folders
from mrcnn.datasets.formats.labelme.file import OtherJsonError, ReadSettings, embedded_image, read_labelme
from mrcnn.datasets.formats.labelme.shapes import LINE_WIDTH
from mrcnn.io.images import open_image
from mrcnn.io.json_fields import json_outline, read_json
from mrcnn.io.orientation import turn_upright
from mrcnn.io.paths import OutsideError

# files of a folder that are looked into before it is said to hold none of labelme's
_LOOKED_AT = 20


def recognise(path):
    """Say why a path holds nothing of labelme's, or None. Args: path: Path, a folder or a JSON file. Returns: str or None."""
    if path.is_dir():
        return None if _holds_labelme(path) else "no JSON file with shapes and imagePath in it"
    if path.suffix.lower() != ".json":
        return "no folder and no .json file"
    return None if _is_labelme(path) else "the JSON has no shapes and imagePath"


def _holds_labelme(folder):
    return any(_is_labelme(Path(folder, name)) for name in islice(json_files(folder), _LOOKED_AT))


def _is_labelme(path):
    if not mentions(path, (b'"shapes"', b'"imagePath"')):
        return False
    try:
        return {"shapes", "imagePath"} <= set(json_outline(path))
    except DataError:
        return False


def subsets(path):
    """Name the parts of a folder: its sub-folders train, val and test, where it has them. Returns: list of str."""
    return list(part_folders(path, _holds_labelme))


def open_subset(path, subset=None, *, labels=None, hole_label=None, line_width=LINE_WIDTH, workers=0, progress=None,
                allow_outside=False):  # fmt: skip
    """Open a folder of labelme's files with its sub-folders, or one file.

    Args:
        path: path.
        subset: str. One of `subsets`. The classes are those of all parts, so that their numbers agree.
        labels: list of str, or path of a file with one on a line: the classes in their order. Shapes of other labels are
            left out. None takes the labels that occur, sorted by name (numbers in them by value).
        hole_label: str. Shapes of this label are holes in other instances.
        line_width: float, pixels. How wide linestrips are taken to be.
        workers: int. Processes that parse the files; 0 does it in this one.
        progress: maker of stages (`mrcnn.base.progress`): "reading", of files; or None.
        allow_outside: bool. Whether an imagePath may lead out of the folder.

    Returns:
        LabelmeDataset, not prepared. What is left out of it is in its `skipped`, what is mended in its `told`.

    Raises:
        DataError: no file is usable, an imagePath leads out of the folder, or the labels are not usable.
        ValueError: line_width is no number above 0.
    """
    if not 0 < line_width < float("inf"):
        raise ValueError(f"line_width is {line_width}: expected pixels above 0")
    path = Path(path)
    root = path.parent if path.is_file() else path
    dataset = LabelmeDataset(allow_outside=allow_outside)
    settings = ReadSettings(str(root), float(line_width), hole_label, allow_outside)
    classes = None if labels is None else read_class_names(labels)
    names, prefix, loose = [path.name] if path.is_file() else list(json_files(root)), "", []
    if subset is not None:
        parts = {part: f"{folder.name}/" for part, folder in part_folders(path, _holds_labelme).items()}
        prefix, every_part = parts[subset], tuple(parts.values())
        if subset == next(iter(parts)):  # told with the first part, and not with each
            loose = [name for name in names if not name.startswith(every_part) and _is_labelme(root / name)]
        # where nobody says what the classes are, all parts are read to find out
        names = [name for name in names if name.startswith(prefix if classes else every_part)]
    with (progress or unseen)("reading") as show:
        files, others = _read_all(names, settings, workers, show, dataset)
    if classes is None:
        classes = sorted({label for file in files for label, _, _ in file.instances} - set(NO_CLASSES), key=natural_key)
    dataset.add_files([file for file in files if file.name.startswith(prefix)], classes, root)
    dataset.skipped[:] = [entry for entry in dataset.skipped if entry[0].startswith(prefix)]
    for name in loose:
        dataset.skip(name, "it lies beside the parts of the data set, in none of them")
    others = [(name, "it is other JSON than labelme's, and passed over") for name in others if name.startswith(prefix)]
    if not dataset.image_info and (dataset.skipped or others):
        where, reason = [*dataset.skipped, *others][0]
        raise DataError(f"{path} has no usable labelme file: {where}: {reason}")
    dataset.log_skipped(path, "files or shapes")
    dataset.notes += others  # not logged: there is nothing to do about it
    return dataset


def _read_all(names, settings, workers, progress, dataset):
    """Read files, in this process or in others, in their order; those that are not usable are left out.

    Returns:
        (list of LabelmeFile, list of the names of JSON files of other kinds).
    """
    found, others = [], []
    chunk = max(min(len(names) // (4 * max(workers, 1)), 64), 1)
    results = map_tasks(partial(_read_one, settings=settings), names, workers, chunk)
    for name, (file, error) in tracked(zip(names, results, strict=True), progress, len(names)):
        if isinstance(error, OutsideError):
            raise error
        if error is None:
            found.append(file)
        elif isinstance(error, OtherJsonError):
            others.append(name)
        else:
            dataset.skip(name, str(error))
    return found, others


def _read_one(name, settings):
    """Read a file. Returns: (LabelmeFile, None), or (None, DataError)."""
    try:
        return read_labelme(name, settings), None
    except DataError as error:
        return None, error


class LabelmeDataset(AnnotatedDataset):
    """Images annotated with labelme."""

    source = "labelme"

    def add_files(self, files, classes, root):
        """Add images with their instances.

        Args:
            files: list of LabelmeFile.
            classes: list of str, in the order of their ids, which count from 1. Instances of other labels are left out.
            root: path of the data set's folder.
        """
        ids = {label: number for number, label in enumerate(classes, start=1)}
        for label, number in ids.items():
            self.add_class(self.source, number, label)
        owners = {}
        for file in files:
            owner = owners.setdefault(file.name if file.embedded else file.image, file.name)
            if owner != file.name:
                self.notes.append((f"{owner} and {file.name}", "two files are of one image, which is taken twice"))
            annotations = []
            for label, segmentation, iscrowd in file.instances:
                if label in ids:
                    annotations.append({"category_id": ids[label], "segmentation": segmentation, "iscrowd": int(iscrowd)})
                else:
                    self.skip(file.name, f"its label {label!r} is not among the classes")
            for where, reason in file.skipped:
                self.skip(where, reason)
            self.notes += file.notes
            info = {"exif_applied": True} if file.exif_applied else {}
            if file.embedded:
                info["embedded_in"] = str(Path(root, file.name))
            self.add_annotated_image(file.name.rsplit(".", 1)[0], file.image, file.size, annotations, root, **info)

    def load_image(self, image_id):
        """Read an image the way up that labelme shows it, from its JSON where the file is missing."""
        info = self.image_info[image_id]
        if not info.get("embedded_in") or os.path.isfile(info["path"]):
            return super().load_image(image_id)
        data = embedded_image(read_json(info["embedded_in"]))
        if data is None:
            raise DataError(f"{info['embedded_in']}: imageData is no base64, and {info['path']} does not exist")
        with open_image(io.BytesIO(data)) as image:
            try:
                pixels = np.array(image.convert("RGB"))
                orientation = image.getexif().get(0x0112, 1) if info.get("exif_applied") else 1
            except Exception as error:  # damaged files make Pillow raise errors of any kind
                raise DataError(f"{info['embedded_in']}: imageData cannot be decoded: {error}") from error
        return np.ascontiguousarray(turn_upright(pixels, orientation))
