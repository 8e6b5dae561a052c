"""Writing any data set as YOLO segmentation labels. `mrcnn.datasets.formats.yolo` describes the format.

Shape letters: H W image.
"""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Bool

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.folders import PARTS
from mrcnn.geometry.outlines import join_rings, trace_mask
from mrcnn.geometry.polygons import clip_polygon, rasterize_polygons
from mrcnn.geometry.rle import as_rle, decode_rle
from mrcnn.io.images import image_names
from mrcnn.io.orientation import read_orientation
from mrcnn.io.yaml import read_yaml
from mrcnn.tools.write.images import ImageNames, is_file_name
from mrcnn.tools.write.instances import ReadImage, Segmentation, read_image_instances, read_instances
from mrcnn.tools.write.summary import Summary

# pixels by which an outline may deviate from its mask, to reduce the number of points
TOLERANCE = 1.0
# an instance whose polygon has a lower IoU with it gets a note
_MIN_IOU = 0.98


def write_yolo(dataset: Dataset, folder: Path | str, *, subset: str = "train", tolerance: int | float = TOLERANCE,
               image_ids: Sequence[int] | None = None, workers: int | None = 1,
               progress: Show | None = None) -> Summary:  # fmt: skip
    """Write a data set as images/<subset>/, labels/<subset>/ and data.yaml, with copies of the images.

    Images with an EXIF orientation are written without the tag, upright or as stored, whichever their annotations refer to.

    An instance becomes one polygon: its parts and holes are connected by bridges of zero width, it is clipped to the image, and
    masks and RLEs are traced. Crowds are skipped, because the format cannot express them.

    The folder may contain other subsets of the same classes; their entries in data.yaml are kept.

    Args:
        dataset: prepared.
        folder: created if necessary.
        subset: train, val or test.
        tolerance: pixels by which traced polygons may deviate from the mask; 0 follows every pixel.
        image_ids: indices of the images to write; None for all.
        workers: number of processes that read annotations; None uses one per core when there are many images.
        progress: called after each image.

    Returns:
        Summary, which lists unusable images and instances.

    Raises:
        DataError: no image could be written, or the folder contains a data set with different classes.
        ValueError: YOLO has no such subset.
    """
    if subset not in PARTS:
        raise ValueError(f"YOLO has no subset {subset!r}: choose {', '.join(PARTS)}")
    folder = Path(folder)
    class_names = [str(info["name"]) for info in dataset.class_info]
    entries = _entries(folder, class_names[1:])
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = _Names(dataset, _common_folder(dataset, image_ids), folder / "images" / subset, image_ids)
    summary = Summary.of(dataset)
    written: set[str] = set()
    work = functools.partial(_read_polygons, tolerance=tolerance)
    for done, read in enumerate(read_instances(dataset, image_ids, workers, work), start=1):
        summary.skipped += read.skipped
        summary.notes += read.notes
        if read.instances is not None:
            try:
                name = names.name(read.image_id)
            except DataError as error:
                summary.skipped.append((f"image {dataset.image_info[read.image_id]['id']}", str(error)))
            else:
                written.add(name)
                _write_labels(folder / "labels" / subset / Path(name).with_suffix(".txt"), read.instances)
                for class_id, _ in read.instances:
                    summary.count(class_names[class_id])
        if progress is not None:
            progress(done, len(image_ids))
    if not written and summary.skipped:
        where, reason = summary.skipped[-1]
        raise DataError(f"{folder} was not written because no image is usable; the last: {where}: {reason}")
    _note_others(folder / "images" / subset, written, summary)
    _write_yaml(folder, {**entries, subset: f"images/{subset}"}, class_names[1:])
    summary.images = len(written)
    return summary


class _Names(ImageNames):
    """Names of image copies with label files: unique without the suffix, and without a folder named `images`.

    Readers find the label file by replacing `images` in the path.
    """

    def is_redrawn(self, image_id: int) -> bool:
        """Return whether the image has an EXIF orientation: readers of this format apply it, so the copy must not have one."""
        return read_orientation(self.dataset.image_info[image_id]["path"]) != 1

    def unique_name(self, path: Path) -> str:
        """See `ImageNames.unique_name`."""
        path = Path(*(part for part in path.parts[:-1] if part != "images"), path.name)
        return Path(super().unique_name(path.with_suffix(""))).as_posix() + path.suffix


def _common_folder(dataset: Dataset, image_ids: Iterable[int]) -> Path | None:
    """Find the deepest folder that contains all image files, to keep the names of the copies short."""
    paths = [dataset.image_info[i]["path"] for i in image_ids]
    parents = {os.path.abspath(os.path.dirname(path)) for path in paths if is_file_name(path)}
    return Path(os.path.commonpath(parents)) if parents else None


def _read_polygons(dataset: Dataset, image_id: int, tolerance: int | float) -> ReadImage:
    """Read an image; its instances are (class id, polygon [P, 2] relative to the size of the image)."""
    read = read_image_instances(dataset, image_id)
    if read.instances is None:
        return read
    polygons, size = [], dataset.image_size(image_id)
    for i, instance in enumerate(read.instances):
        where = f"instance {i} of image {dataset.image_info[image_id]['id']}"
        if instance.iscrowd:
            read.skipped.append((where, "it is a crowd, which YOLO's labels cannot express"))
            continue
        polygon, iou = one_polygon(instance.segmentation, size, tolerance)
        if iou < _MIN_IOU:
            read.notes.append((where, f"the IoU of its polygon with it is below {_MIN_IOU}"))
        polygons.append((instance.class_id, np.asarray(polygon).reshape(-1, 2) / (size[1], size[0])))
    read.instances = polygons
    return read


def one_polygon(segmentation: Segmentation, size: tuple[int, int],
                tolerance: int | float = TOLERANCE) -> tuple[list[Any], float]:  # fmt: skip
    """Convert an instance to a single polygon.

    Args:
        segmentation: covers at least one pixel.
        size: (height, width) of the image.
        tolerance: see `write_yolo`.

    Returns:
        (polygon, iou): [x1, y1, ...] inside the image, and its IoU with the instance.
    """
    mask = None
    if isinstance(segmentation, list):
        rings = [ring for ring in (clip_polygon(polygon, size) for polygon in segmentation) if len(ring)]
        if len(rings) == 1 and len(segmentation) == 1:
            return rings[0].tolist(), 1.0
        mask = decode_rle(as_rle(segmentation, size))
        if rings:
            polygon = join_rings(rings)
            iou = _iou(polygon, mask)
            if iou >= _MIN_IOU:
                return polygon, iou
    # a mask, or overlapping parts: joining those would turn their overlap into a hole
    mask = decode_rle(as_rle(segmentation, size)) if mask is None else mask
    polygon = join_rings([ring for part in trace_mask(mask, tolerance) for ring in part.rings])
    return polygon, _iou(polygon, mask)


def _iou(polygon: Sequence[Any], mask: Bool[np.ndarray, "H W"]) -> float:
    drawn = rasterize_polygons([polygon], mask.shape)
    return np.count_nonzero(drawn & mask) / max(np.count_nonzero(drawn | mask), 1)


def _write_labels(path: Path, instances: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write a label file, which is empty without instances."""
    with atomic_open(path, "w") as file:
        for class_id, shares in instances:
            # all digits, because rounding to the usual six could move a point exactly between two pixels
            file.write(" ".join([str(class_id - 1), *map(repr, shares.ravel().tolist())]) + "\n")


def _entries(folder: Path, names: list[str]) -> dict[str, Any]:
    """Return the entries of the parts in an existing data.yaml, which must have the same classes."""
    path = folder / "data.yaml"
    if not path.is_file():
        return {}
    content = read_yaml(path)
    given = content.get("names")
    given = list(given.values()) if isinstance(given, dict) else given
    if given != names:
        raise DataError(f"{path} has different classes, {given!r:.200}: choose another folder, or remove that data set")
    return {part: content[part] for part in PARTS if content.get(part)}


def _write_yaml(folder: Path, entries: Mapping[str, Any], names: list[str]) -> None:
    content = {"path": ".", **{part: entries[part] for part in PARTS if part in entries}, "names": dict(enumerate(names))}
    with atomic_open(folder / "data.yaml", "w") as file:
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True, width=1000)


def _note_others(folder: Path, written: set[str], summary: Summary) -> None:
    """Add a note about images from an earlier run, which readers treat as part of the data set."""
    others = [name for name in image_names(folder) if name not in written]
    if others:
        summary.notes.append((f"{folder}: {others[0]}", f"the folder contains {len(others)} images of an earlier run, which "
                              "readers will also use: remove them unless they belong there"))  # fmt: skip
