"""A batch of images of COCO+LVIS, written by one process, with a record of what was written.

A record is JSON: "images", a list of {"name", "num_instance_masks", "hierarchy", "files": path -> bytes}; "left_out", a list of
[where, reason]; and "counts", of instances by the names in COUNTS. It is written after the files of its batch.
"""

import os
import pickle
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mrcnn.data.converters.cocolvis_objects import containment_tree, encode_layers, pack_layers, uncovered
from mrcnn.data.errors import DataError
from mrcnn.data.fields import read_json
from mrcnn.data.files import save_json, whole_file
from mrcnn.data.images import read_image_size
from mrcnn.data.paths import OutsideError, refuse_link
from mrcnn.geometry.rle import as_rle, rle_area

COUNTS = ("lvis", "coco", "covered", "crowds", "parts", "layers")
# of the pickles that are written: any Python 3 of today reads it
PROTOCOL = 4


@dataclass(frozen=True)
class ImageTask:
    """An image to be written.

    Attributes:
        name: str. The image id, which its files are called by.
        path: str. Its file.
        root: str. The folder that the file must really lie in; None for any.
        size: (height, width) that its annotations are for.
        lvis, coco: lists of (annotation id, segmentation, is crowd): an RLE dict, or a list of polygons, flat arrays of floats.
    """

    name: str
    path: str
    root: str
    size: tuple
    lvis: list
    coco: list


@dataclass(frozen=True)
class Batch:
    """Images to be written, and what holds for all of them.

    Attributes:
        record: Path of the record.
        images: list of ImageTask.
        folder: Path of the part.
        overlap, part_share, link: see `build_cocolvis`.
    """

    record: Path
    images: list
    folder: Path
    overlap: float
    part_share: float
    link: bool


def is_whole(batch):
    """Tell whether all images of a batch are written, as its record says, and their files are there: bool."""
    try:
        images = read_json(batch.record)["images"]
        files = [(name, size) for image in images for name, size in image["files"].items()]
        return ([image["name"] for image in images] == [image.name for image in batch.images]
                and all((batch.folder / name).stat().st_size == size for name, size in files))  # fmt: skip
    except (DataError, OSError, LookupError, TypeError, AttributeError):  # no record, or one that is none
        return False


def write_batch(batch, tick):
    """Write the images of a batch, then its record. Args: batch: Batch; tick: callable, after each image."""
    record = {"images": [], "left_out": [], "counts": Counter(dict.fromkeys(COUNTS, 0))}
    for image in batch.images:
        reason = _fault(image)
        if reason:
            record["left_out"].append((f"image {image.name}", reason))
        else:
            record["images"].append(_write_image(image, batch, record))
        tick()
    save_json(batch.record, record)


def _fault(image):
    """Say why an image cannot be taken: str or None."""
    if not os.path.isfile(image.path):
        return "its file does not exist"
    try:
        if image.root is not None:
            refuse_link(image.path, image.root, image.name)
        size = read_image_size(image.path)
    except OutsideError:
        return "its file is a link out of its folder"
    except DataError:
        return "its file cannot be read"
    return None if size == image.size else "its file is of another size than the annotations say"


def _write_image(image, batch, record):
    """Write the masks of an image and its file. Returns: dict, its entry in the record."""
    counts, left_out = record["counts"], record["left_out"]
    lvis, coco = (_masks(getattr(image, side), side.upper(), image, left_out) for side in ("lvis", "coco"))
    things = [rle for rle, is_crowd in coco if not is_crowd]
    lvis = [rle for rle, _ in lvis]
    kept = [things[i] for i in uncovered(things, lvis, batch.overlap)]
    rles = lvis + kept
    hierarchy = containment_tree(rles, batch.part_share)
    layers, mapping = pack_layers(rles, image.size)
    counts.update(lvis=len(lvis), coco=len(kept), covered=len(things) - len(kept), crowds=len(coco) - len(things),
                  parts=sum(node is not None and node["parent"] is not None for node in hierarchy.values()),
                  layers=len(layers))  # fmt: skip
    suffix = os.path.splitext(image.path)[1].lower().replace(".jpeg", ".jpg")
    names = f"masks/{image.name}.pickle", f"images/{image.name}{suffix}"
    with whole_file(batch.folder / names[0]) as file:
        pickle.dump((encode_layers(layers), mapping), file, protocol=PROTOCOL)
    _place_image(image.path, batch.folder / names[1], batch.link)
    return {"name": image.name, "num_instance_masks": len(rles), "hierarchy": hierarchy,
            "files": {name: (batch.folder / name).stat().st_size for name in names}}  # fmt: skip


def _masks(instances, side, image, left_out):
    """Draw instances: list of (compressed RLE, is crowd). Those without a pixel are left out."""
    found = []
    for number, segmentation, is_crowd in instances:
        if not isinstance(segmentation, dict):
            segmentation = [polygon.tolist() for polygon in segmentation]
        rle = as_rle(segmentation, image.size)
        if rle_area(rle):
            found.append((rle, is_crowd))
        else:
            left_out.append((f"{side} annotation {number}", "it has no pixels in its image"))
    return found


def _place_image(source, target, link):
    """Copy an image whole, or link it where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            # a link takes no name that is taken; under a new name first, it then replaces whatever is there
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".link") as folder:
                os.link(os.path.realpath(source), os.path.join(folder, target.name))
                os.replace(os.path.join(folder, target.name), target)
            return
        except OSError:  # another disk, or one that has no links: a copy does as well
            link = False
    with open(source, "rb") as read, whole_file(target) as write:
        shutil.copyfileobj(read, write)
