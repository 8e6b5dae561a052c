"""COCO+LVIS built out of COCO's instances and LVIS's annotations of the same images.

An image gets its LVIS instances, then the COCO instances that none of these covers, and the tree of what is a part of what
(`cocolvis_objects`). The layout is that of `mrcnn.datasets.formats.cocolvis.dataset`.

Batches of images are written each by one process, and then noted in `.build/` (`cocolvis_batch`), so an interrupted run is
gone on with by running it again. The hierarchy file comes last: a folder without it is not finished.

The objects of an image of COCO+LVIS, out of its COCO and LVIS instances: which ones, the tree, and the layers.

Masks are RLEs of one size throughout. Shape letters: H W image, N objects, C COCO instances, L LVIS instances.

A batch of images of COCO+LVIS, written by one process, with a record of what was written.

A record is JSON: "images", a list of {"name", "num_instance_masks", "hierarchy", "files": path -> bytes}; "left_out", a list of
[where, reason]; and "counts", of instances by the names in COUNTS. It is written after the files of its batch.
"""

import hashlib
import os
import pickle
import shutil
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.base.atomic_write import atomic_open, atomic_path, save_json
from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, run_tasks
from mrcnn.base.progress import counted_from, tracked, unseen
from mrcnn.datasets.annotated_dataset import rings_of
from mrcnn.datasets.formats import coco, lvis
from mrcnn.datasets.formats.cocolvis.files import HANNOTATION, whole_number
from mrcnn.geometry.rle import as_rle, decode_to_box, rle_area
from mrcnn.io.images import read_image_size
from mrcnn.io.json_fields import read_json, shown
from mrcnn.io.paths import OutsideError, refuse_link
from mrcnn.tools.write.summary import Summary

# numbers of masks in a layer of uint8, of which 0 is none
MOST_IN_A_LAYER = 255


def uncovered(coco, lvis, overlap):
    """Find the COCO instances that no LVIS instance covers.

    Args:
        coco: list of C compressed RLEs.
        lvis: list of L compressed RLEs.
        overlap: float. An instance is covered by one whose IoU with it is at least this.

    Returns:
        list of int, positions in `coco`.
    """
    if not coco or not lvis:
        return list(range(len(coco)))
    ious = coco_mask.iou(coco, lvis, [0] * len(lvis))  # [C, L]
    return np.flatnonzero(ious.max(axis=1) < overlap).tolist()


def containment_tree(rles, part_share):
    """Find what each object is a part of: the smallest other object that most of it lies in.

    Args:
        rles: list of N compressed RLEs, none empty.
        part_share: float. Share of an object's pixels that must lie in another for it to be a part of it.

    Returns:
        dict id -> None for an object by itself, or {"children": ascending ids, "parent": id or None, "node_level": depth, 0 for
        what is part of nothing}. Of objects that have as many pixels, the earlier one may contain the later one.
    """
    if not rles:
        return {}
    # what COCO's evaluation computes with crowds is the share of the first that lies in the second
    shares = coco_mask.iou(rles, rles, [1] * len(rles))  # [N, N]
    areas = coco_mask.area(rles).tolist()
    ranks = [(area, -i) for i, area in enumerate(areas)]
    parents = []
    for i in range(len(rles)):
        around = [j for j in np.flatnonzero(shares[i] >= part_share).tolist() if ranks[j] > ranks[i]]
        parents.append(min(around, key=ranks.__getitem__, default=None))
    levels = {}
    for i in sorted(range(len(rles)), key=ranks.__getitem__, reverse=True):  # larger ones, and so parents, first
        levels[i] = 0 if parents[i] is None else levels[parents[i]] + 1
    children = [[] for _ in rles]
    for i, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(i)
    return {i: None if parents[i] is None and not children[i] else
            {"children": children[i], "parent": parents[i], "node_level": levels[i]} for i in range(len(rles))}  # fmt: skip


def pack_layers(rles, size):
    """Lay objects into as few layers as the first free place for each gives, so that none overlap in a layer.

    Args:
        rles: list of N RLEs.
        size: (height, width).

    Returns:
        layers: list of uint8 [H, W]. 0 where there is nothing, else the number of an object in this layer, from 1.
        mapping: list of N (layer, number).
    """
    layers, counts, mapping = [], [], []
    for rle in rles:
        part, (y1, x1, y2, x2) = decode_to_box(rle)
        for index, layer in enumerate(layers):
            if counts[index] < MOST_IN_A_LAYER and not layer[y1:y2, x1:x2][part].any():
                break
        else:
            index = len(layers)
            layers.append(np.zeros(size, np.uint8))
            counts.append(0)
        counts[index] += 1
        layers[index][y1:y2, x1:x2][part] = counts[index]
        mapping.append((index, counts[index]))
    return layers, mapping


def encode_layers(layers):
    """Encode layers as PNGs. Args: layers: list of uint8 [H, W]. Returns: list of uint8 [bytes]."""
    return [cv2.imencode(".png", layer)[1].reshape(-1) for layer in layers]


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
    root: str | None
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
    with atomic_open(batch.folder / names[0]) as file:
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
    if link:
        try:
            with atomic_path(target) as temporary:  # a link cannot replace a file, but it can be renamed onto one
                os.link(os.path.realpath(source), temporary)
            return
        except OSError:  # another disk, or one that has no links: a copy does as well
            link = False
    with open(source, "rb") as read, atomic_open(target) as write:
        shutil.copyfileobj(read, write)


VERSION = 1
# images of a batch: what is done again after an interruption, by each process
BATCH = 100
_RECORDS, _SETTINGS = ".build", "settings.json"
# how what is counted is called in the summary
_TOLD = {
    "lvis": "instances of LVIS",
    "coco": "instances of COCO, which no LVIS instance covers",
    "covered": "instances of COCO not taken: an LVIS instance covers them",
    "crowds": "crowds of COCO not taken",
    "parts": "objects that are part of another",
    "layers": "layers",
    "only_coco": "images not taken: LVIS's file has them not",
    "only_lvis": "images not taken: COCO's file has them not",
}


@dataclass
class BuildSummary(Summary):
    """What a build did. Its images and instances are those of the set.

    Attributes:
        counts: dict -> int: "lvis", "coco" instances that were taken; "covered", "crowds" of COCO, and "only_coco", "only_lvis"
            images, that are not taken, as it should be; "parts" and "layers" of the set.
    """

    counts: dict = field(default_factory=lambda: dict.fromkeys(_TOLD, 0))

    def first_table(self, table):
        """Lay the counts out. Args: table: rich Table without columns. Returns: it."""
        table.add_column("COCO+LVIS")
        table.add_column("number", justify="right")
        for what, count in (("images", self.images), ("objects", self.instances)):
            table.add_row(what, str(count))
        for name, what in _TOLD.items():
            table.add_row(what, str(self.counts[name]))
        return table


def build_cocolvis(coco_json, lvis_json, images_dir, out_dir, *, overlap=0.5, part_share=0.8, link=False, workers=None,
                   progress=None, allow_outside=False):
    """Build a part of COCO+LVIS, such as train or val.

    The images are those that both files have. Batches that are whole already are left as they are; they must have been made
    with the same settings out of the same annotations.

    Args:
        coco_json: path of COCO's instances.
        lvis_json: path of LVIS's annotations.
        images_dir: path of the folder of the images, or of COCO's train2017 and val2017.
        out_dir: path of the folder of the part, such as cocolvis/train; made if it is missing.
        overlap: float in (0, 1]. A COCO instance is not taken where its IoU with an LVIS instance is at least this.
        part_share: float in (0, 1]. Share of an object's pixels that lie in another for it to be a part of that one.
        link: bool. Whether image files are hard links where that is possible, in place of copies.
        workers: int. Processes. None takes one a core.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of the readers of both files, "summing up"
            what they hold, and "building", of images.
        allow_outside: bool. Whether file names may lead out of `images_dir`.

    Returns:
        BuildSummary. Images whose file is not usable, and annotations that are not, are left out and listed in it.

    Raises:
        DataError: a JSON file is not usable, no image is in both, none is left, or the folder holds something else or a set of
            other settings.
        ValueError: an argument is out of its range.
    """
    for name, value in (("overlap", overlap), ("part_share", part_share)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} is {value}, expected a share above 0, up to 1")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    out_dir, summary, progress = Path(out_dir), BuildSummary(), progress or unseen
    images = _pairs(coco_json, lvis_json, images_dir, allow_outside, summary, progress)
    with progress("summing up") as show:
        source = _digest(tracked(images, show, every=1000))
    _claim(out_dir, {"version": VERSION, "overlap": overlap, "part_share": part_share, "source": source})
    batches = [Batch(out_dir / _RECORDS / f"{start // BATCH:05d}.json", images[start : start + BATCH], out_dir, overlap,
                     part_share, link) for start in range(0, len(images), BATCH)]  # fmt: skip
    todo = [batch for batch in batches if not is_whole(batch)]
    kept = len(images) - sum(len(batch.images) for batch in todo)
    with progress("building") as show:
        run_tasks(write_batch, todo, workers or available_cores(), counted_from(kept, len(images), show))
    _finish(out_dir, batches, summary)
    return summary


def _pairs(coco_json, lvis_json, images_dir, allow_outside, summary, progress):
    """Read both files: list of ImageTask, by ascending image id."""
    of_coco = _side(coco, coco_json, "COCO", images_dir, allow_outside, summary, progress)
    of_lvis = _side(lvis, lvis_json, "LVIS", images_dir, allow_outside, summary, progress)
    summary.counts["only_coco"] = len(of_coco.keys() - of_lvis.keys())
    summary.counts["only_lvis"] = len(of_lvis.keys() - of_coco.keys())
    images = {}
    for name in of_coco.keys() & of_lvis.keys():
        (info, coco_instances), (other, lvis_instances) = of_coco[name], of_lvis[name]
        size, number = (info["height"], info["width"]), whole_number(name)
        if number is None or number in images:
            summary.left_out.append((f"image {name}", "its id is no whole number, or another image has it"))
        elif size != (other["height"], other["width"]):
            summary.left_out.append((f"image {name}", "COCO and LVIS say that it is of different sizes"))
        else:
            # COCO names the file; LVIS says in which of COCO's folders it is
            place = info if os.path.exists(info["path"]) else other
            images[number] = ImageTask(name, place["path"], place["root"], size, lvis_instances, coco_instances)
    if not images:
        raise DataError(f"{coco_json} and {lvis_json} have no image in common: give the files of the same images")
    return [images[number] for number in sorted(images)]


def _side(reader, path, name, images_dir, allow_outside, summary, progress):
    """Read one of the files: dict image id (str) -> (what is known of the image, its instances).

    Only what is needed is kept, and that packed: of the data set as it was read nothing is left when the other file, of a
    gigabyte, is read.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} is no file: give the JSON of {name}'s annotations")
    dataset = reader.open_subset(path, images=images_dir, allow_outside=allow_outside, progress=progress)
    summary.left_out += [(f"{name} annotation {where}", reason) for where, reason in dataset.skipped]
    known = ("path", "root", "height", "width")
    return {str(info["id"]): ({key: info.get(key) for key in known}, [_packed(a) for a in info["annotations"]])
            for info in dataset.image_info}  # fmt: skip


def _packed(annotation):
    segmentation = annotation["segmentation"]
    if not isinstance(segmentation, dict):
        segmentation = [array("d", polygon) for polygon in rings_of(segmentation)]
    return annotation.get("id"), segmentation, bool(annotation.get("iscrowd"))


def _digest(images):
    """Sum the annotations of images up, so that others are told from them: str."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr((image.name, image.size, len(image.lvis))).encode())
        for _, segmentation, is_crowd in image.lvis + image.coco:
            polygons = [] if isinstance(segmentation, dict) else segmentation
            plain = sorted(segmentation.items()) if isinstance(segmentation, dict) else [len(p) for p in polygons]
            digest.update(repr((is_crowd, plain)).encode())
            for polygon in polygons:
                digest.update(polygon)
    return digest.hexdigest()


def _claim(folder, settings):
    """Note how a folder is made; where that is noted already, see that it is the same."""
    path = folder / _RECORDS / _SETTINGS
    remedy = "give another output folder, or delete what is in this one"
    if not path.exists():
        there = [name for name in (HANNOTATION, "masks", "images") if (folder / name).exists()]
        if there:
            raise DataError(f"{folder} holds {there[0]}, and no note of how it was made: {remedy}")
        save_json(path, settings, indent=1)
        return
    noted = read_json(path)
    for name, value in settings.items():
        found = noted.get(name) if isinstance(noted, dict) else None
        if found != value:
            raise DataError(f"{folder} was made with another {name}, {shown(found)}, and it is now {shown(value)}: {remedy}")


def _finish(folder, batches, summary):
    """Write the hierarchy file out of the records, and sum them up."""
    hannotation = {}
    for batch in batches:
        record = read_json(batch.record)
        for image in record["images"]:
            hierarchy = {int(i): node for i, node in image["hierarchy"].items()}
            hannotation[image["name"]] = {"num_instance_masks": image["num_instance_masks"], "hierarchy": hierarchy}
            summary.instances += image["num_instance_masks"]
        summary.left_out += [tuple(pair) for pair in record["left_out"]]
        for name in COUNTS:
            summary.counts[name] += record["counts"][name]
    summary.images = len(hannotation)
    summary.per_class = {"object": summary.instances}
    if not hannotation:
        where, reason = summary.left_out[-1]
        raise DataError(f"{folder / HANNOTATION} is not written, for no image is left: {where}: {reason}")
    with atomic_open(folder / HANNOTATION) as file:
        pickle.dump(hannotation, file, protocol=PROTOCOL)
