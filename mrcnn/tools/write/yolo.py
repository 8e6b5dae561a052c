"""Any data set as YOLO segmentation labels.

See `mrcnn.datasets.formats.yolo` for the format. Shape letters: H W image.
"""

import functools
import os
from pathlib import Path

import numpy as np
import yaml

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.part_folders import PARTS
from mrcnn.geometry.outlines import join_rings, trace_mask
from mrcnn.geometry.polygons import clip_polygon, rasterize_polygons
from mrcnn.geometry.rle import as_rle, decode_rle
from mrcnn.io.images import image_names
from mrcnn.io.orientation import read_orientation
from mrcnn.io.yaml import read_yaml
from mrcnn.tools.write.images import ImageNames, is_file_name
from mrcnn.tools.write.reading import read_image_instances, read_instances
from mrcnn.tools.write.summary import Summary

# pixels that an outline traced from a mask may be off, for the sake of fewer points
TOLERANCE = 1.0
# an instance whose polygon covers it by less than this (IoU) is told
_LEAST_IOU = 0.98


def write_yolo(dataset, folder, *, subset="train", tolerance=TOLERANCE, image_ids=None, workers=1, progress=None):
    """Write a data set as images/<subset>/, labels/<subset>/ and data.yaml. Images are copied: labels lie beside them.

    Copies of images with an EXIF orientation are written the way up that their annotations refer to, without one.

    An instance becomes one polygon. Its parts are joined by lines of no width, and so are its holes; what lies outside
    of the image is cut off; masks and RLE are traced. Crowds cannot be told in this format and are left out.

    The folder may hold another subset of the same classes, whose entry in data.yaml stays.

    Args:
        dataset: Dataset, prepared.
        folder: path. It is made if it is missing.
        subset: str. train, val or test.
        tolerance: float, pixels. How far traced polygons may be off; 0 follows every step of the mask.
        image_ids: positions of the images to write; None for all.
        workers: int. Processes that read the annotations; None for one a processor core where there are many images.
        progress: callable (images done, images in all), or None.

    Returns:
        Summary. An image or instance that is not usable is left out and listed in it.

    Raises:
        DataError: no image at all could be written, or the folder holds a data set of other classes.
        ValueError: the subset is none of YOLO's.
    """
    if subset not in PARTS:
        raise ValueError(f"{subset!r} is no part of a YOLO data set: choose {', '.join(PARTS)}")
    folder = Path(folder)
    class_names = [str(info["name"]) for info in dataset.class_info]
    entries = _entries(folder, class_names[1:])
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = _Names(dataset, _common_folder(dataset, image_ids), folder / "images" / subset, image_ids)
    summary, written = Summary.of(dataset), set()
    work = functools.partial(_read_polygons, tolerance=tolerance)
    for done, read in enumerate(read_instances(dataset, image_ids, workers, work), start=1):
        summary.left_out += read.left_out
        summary.told += read.told
        if read.instances is not None:
            try:
                name = names.name(read.image_id)
            except DataError as error:
                summary.left_out.append((f"image {dataset.image_info[read.image_id]['id']}", str(error)))
            else:
                written.add(name)
                _write_labels(folder / "labels" / subset / Path(name).with_suffix(".txt"), read.instances)
                for class_id, _ in read.instances:
                    summary.count(class_names[class_id])
        if progress is not None:
            progress(done, len(image_ids))
    if not written and summary.left_out:
        where, reason = summary.left_out[-1]
        raise DataError(f"{folder} is not written, for no image is left: {where}: {reason}")
    _tell_others(folder / "images" / subset, written, summary)
    _write_yaml(folder, {**entries, subset: f"images/{subset}"}, class_names[1:])
    summary.images = len(written)
    return summary


class _Names(ImageNames):
    """Names of copies: no folder `images` in them, which would lead to other labels, and none equal but for its ending."""

    def is_drawn_anew(self, info):
        """See `ImageNames.is_drawn_anew`. Readers of this format turn images: a copy must be one that needs no turning."""
        return read_orientation(info["path"]) != 1

    def own_name(self, path):
        """Give a name that has a label file of its own; see `ImageNames.own_name`."""
        path = Path(*(part for part in path.parts[:-1] if part != "images"), path.name)
        return Path(super().own_name(path.with_suffix(""))).as_posix() + path.suffix


def _common_folder(dataset, image_ids):
    """The deepest folder that all image files lie in, so that the names of the copies are short."""
    paths = [dataset.image_info[i]["path"] for i in image_ids]
    parents = {os.path.abspath(os.path.dirname(path)) for path in paths if is_file_name(path)}
    return Path(os.path.commonpath(parents)) if parents else None


def _read_polygons(dataset, image_id, tolerance):
    """Read an image for `write_yolo`: a ReadImage whose instances are (class id, polygon in shares of the image)."""
    read = read_image_instances(dataset, image_id)
    if read.instances is None:
        return read
    found, size = [], dataset.image_size(image_id)
    for i, instance in enumerate(read.instances):
        where = f"instance {i} of image {dataset.image_info[image_id]['id']}"
        if instance.iscrowd:
            read.left_out.append((where, "it is a crowd, which YOLO's labels cannot tell"))
            continue
        polygon, iou = one_polygon(instance.segmentation, size, tolerance)
        if iou < _LEAST_IOU:
            read.told.append((where, f"one polygon covers it with an IoU below {_LEAST_IOU}"))
        found.append((instance.class_id, np.asarray(polygon).reshape(-1, 2) / (size[1], size[0])))
    read.instances = found
    return read


def one_polygon(segmentation, size, tolerance=TOLERANCE):
    """Make one polygon of an instance.

    Args:
        segmentation: list of polygons, or an RLE dict, that covers a pixel at least.
        size: (height, width) of the image.
        tolerance: float, pixels; see `write_yolo`.

    Returns:
        (polygon, iou): flat list of floats inside the image, and the share of the instance's pixels that it covers
            (intersection over union).
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
            if iou >= _LEAST_IOU:
                return polygon, iou
    # masks, and parts that overlap: joined, what is covered twice would be a hole
    mask = decode_rle(as_rle(segmentation, size)) if mask is None else mask
    polygon = join_rings([ring for part in trace_mask(mask, tolerance) for ring in part.rings])
    return polygon, _iou(polygon, mask)


def _iou(polygon, mask):
    drawn = rasterize_polygons([polygon], mask.shape)
    return np.count_nonzero(drawn & mask) / max(np.count_nonzero(drawn | mask), 1)


def _write_labels(path, instances):
    """Write a label file, empty where there are no instances."""
    with atomic_open(path, "w") as file:
        for class_id, shares in instances:
            # all digits: six, as is usual, would move points that lie half way between two pixels to one of them
            file.write(" ".join([str(class_id - 1), *map(repr, shares.ravel().tolist())]) + "\n")


def _entries(folder, names):
    """The entries of the other parts in a data.yaml that is there, {part: its images}, if its classes are the same."""
    path = folder / "data.yaml"
    if not path.is_file():
        return {}
    content = read_yaml(path)
    there = content.get("names")
    there = list(there.values()) if isinstance(there, dict) else there
    if there != names:
        raise DataError(f"{path} is of other classes, {there!r:.200}: choose another folder, or remove that data set")
    return {part: content[part] for part in PARTS if content.get(part)}


def _write_yaml(folder, entries, names):
    content = {"path": ".", **{part: entries[part] for part in PARTS if part in entries}, "names": dict(enumerate(names))}
    with atomic_open(folder / "data.yaml", "w") as file:
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True, width=1000)


def _tell_others(folder, written, summary):
    """Tell of images that lie there from before: they are in the part too, whether they are meant to be or not."""
    others = [name for name in image_names(folder) if name not in written]
    if others:
        summary.told.append((f"{folder}: {others[0]}", f"{len(others)} images of an earlier run lie beside these, and count "
                             "among them: remove them unless they belong there"))  # fmt: skip
