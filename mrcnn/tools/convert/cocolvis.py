"""Building COCO+LVIS from COCO's and LVIS's annotations of the same images.

An image gets its LVIS instances, the COCO instances that none of them covers, and a tree of which object is part of which.
`mrcnn.datasets.formats.cocolvis.dataset` describes the files.

Each batch of images is written by one process and then recorded in `.build/`, so that an interrupted run resumes when it is
started again. The hierarchy file is written last: a folder without it is incomplete.

Masks are RLEs of the image's size. Shape letters: H W image, N objects, C COCO instances, L LVIS instances, P bytes.
"""

import hashlib
import os
import pickle
import re
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as coco_mask

from mrcnn.base.atomic_write import atomic_open, atomic_path, remove_leftovers, save_json
from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, run_tasks
from mrcnn.base.progress import Stages, counted_from, tracked, unseen
from mrcnn.datasets.annotated_dataset import rings_of
from mrcnn.datasets.formats import coco, lvis
from mrcnn.datasets.formats.cocolvis.files import HANNOTATION, whole_number
from mrcnn.geometry.rle import as_rle, decode_to_box, rle_area
from mrcnn.io.images import read_image_size
from mrcnn.io.json_fields import read_json, shown
from mrcnn.io.paths import OutsideError, refuse_link
from mrcnn.tools.write.summary import Summary

if TYPE_CHECKING:
    from rich.table import Table

# version of the build's settings and records
VERSION = 2
# images per batch: after an interruption, each process repeats at most this many
BATCH = 100
_RECORDS, _SETTINGS = ".build", "settings.json"
# pickle protocol, which every supported Python version reads
PROTOCOL = 4
# maximum number of objects in a layer: it is uint8, and 0 is the background
MAX_PER_LAYER = 255
# counts of a batch
COUNTS = ("lvis", "coco", "covered", "crowds", "parts", "layers")
# rows of the summary
_ROWS = {
    "lvis": "instances of LVIS",
    "coco": "instances of COCO that no LVIS instance covers",
    "covered": "instances of COCO omitted: covered by an LVIS instance",
    "crowds": "crowds of COCO omitted",
    "parts": "objects that are part of another",
    "layers": "layers",
    "only_coco": "images omitted: not in the file of LVIS",
    "only_lvis": "images omitted: not in the file of COCO",
}

RLE = dict[str, Any]
# (annotation id, an RLE or polygons as flat arrays of floats, whether it is a crowd)
_Packed = tuple[Any, Any, bool]


@dataclass
class BuildSummary(Summary):
    """The summary of a build. `images` and `instances` are those of the result.

    Attributes:
        counts: by the keys of _ROWS.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))

    def first_table(self, table: "Table") -> "Table":
        """Fill an empty table with the counts."""
        table.add_column("COCO+LVIS")
        table.add_column("number", justify="right")
        for what, count in (("images", self.images), ("objects", self.instances)):
            table.add_row(what, str(count))
        for name, what in _ROWS.items():
            table.add_row(what, str(self.counts[name]))
        return table


@dataclass(frozen=True)
class ImageTask:
    """An image to write.

    Attributes:
        name: the image id with the leading zeros of COCO's file names, which is also the name of its files.
        root: the folder that must contain the file once links are resolved; None for no restriction.
        size: (height, width) to which its annotations refer.
    """

    name: str
    path: str
    root: str | None
    size: tuple[int, int]
    lvis: list[_Packed]
    coco: list[_Packed]


@dataclass(frozen=True)
class Batch:
    """A batch of images to write, with the settings of the build.

    Attributes:
        record: JSON that is written last: "images", a list of {"name", "num_instance_masks", "hierarchy", "files": sizes in
            bytes by path}; "left_out", a list of [where, reason]; "counts", by the names in COUNTS.
        folder: of the part.
        overlap, part_share, link: see `build_cocolvis`.
    """

    record: Path
    images: list[ImageTask]
    folder: Path
    overlap: float
    part_share: float
    link: bool


def build_cocolvis(coco_json: Path | str, lvis_json: Path | str, images_dir: Path | str, out_dir: Path | str, *,
                   overlap: int | float = 0.5, part_share: int | float = 0.8, link: bool = False,
                   workers: int | None = None, progress: Stages | None = None,
                   allow_outside: bool = False) -> BuildSummary:  # fmt: skip
    """Build a part of COCO+LVIS, such as train or val, from the images that both files list.

    Complete batches from an earlier run are kept; the run must have had the same settings and annotations.

    Args:
        coco_json: COCO's instances.
        lvis_json: LVIS's annotations.
        images_dir: folder of the images, or of COCO's train2017 and val2017.
        out_dir: folder of the part, such as cocolvis/train; created if necessary.
        overlap: in (0, 1]. COCO instances with at least this IoU with an LVIS instance are omitted.
        part_share: in (0, 1]. Minimum fraction of an object's pixels inside another object for it to be part of that object.
        link: whether to hard-link images where possible, instead of copying them.
        workers: number of processes; None uses one per core.
        progress: the stages of the readers of both files, "hashing annotations", and "building", which counts images.
        allow_outside: whether file names may point outside `images_dir`.

    Returns:
        BuildSummary, which lists unusable image files and annotations.

    Raises:
        DataError: a JSON file is not usable, the files have no usable image in common, or the folder contains other files or
            a build with different settings.
        ValueError: an argument is out of its range.
    """
    for name, value in (("overlap", overlap), ("part_share", part_share)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} is {value}, expected a fraction above 0 and up to 1")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    out_dir, summary, progress = Path(out_dir), BuildSummary(), progress or unseen
    images = _pairs(coco_json, lvis_json, images_dir, allow_outside, summary, progress)
    with progress("hashing annotations") as show:
        source = _digest(tracked(images, show, every=1000))
    _check_settings(out_dir, {"version": VERSION, "overlap": overlap, "part_share": part_share, "source": source})
    remove_leftovers(out_dir, subfolders=True)
    batches = [Batch(out_dir / _RECORDS / f"{start // BATCH:05d}.json", images[start : start + BATCH], out_dir, float(overlap),
                     float(part_share), link) for start in range(0, len(images), BATCH)]  # fmt: skip
    todo = [batch for batch in batches if not is_complete(batch)]
    kept = len(images) - sum(len(batch.images) for batch in todo)
    with progress("building") as show:
        run_tasks(write_batch, todo, workers or available_cores(), counted_from(kept, len(images), show))
    _finish(out_dir, batches, summary)
    return summary


# --- reading


def _pairs(coco_json: Path | str, lvis_json: Path | str, images_dir: Path | str, allow_outside: bool, summary: BuildSummary,
           progress: Stages) -> list[ImageTask]:  # fmt: skip
    """Read both files: the images that they have in common, by ascending id."""
    of_coco = _side(coco, coco_json, "COCO", images_dir, allow_outside, summary, progress)
    of_lvis = _side(lvis, lvis_json, "LVIS", images_dir, allow_outside, summary, progress)
    summary.counts["only_coco"] = len(of_coco.keys() - of_lvis.keys())
    summary.counts["only_lvis"] = len(of_lvis.keys() - of_coco.keys())
    images: dict[int, ImageTask] = {}
    for name in of_coco.keys() & of_lvis.keys():
        (info, coco_instances), (other, lvis_instances) = of_coco[name], of_lvis[name]
        size, number = (info["height"], info["width"]), whole_number(name)
        if number is None or number in images:
            summary.skipped.append((f"image {name}", "its id is not a whole number, or another image has it"))
        elif size != (other["height"], other["width"]):
            summary.skipped.append((f"image {name}", "COCO and LVIS give it different sizes"))
        else:
            # COCO gives the file name, LVIS also which of COCO's folders contains the file
            place = info if os.path.exists(info["path"]) else other
            images[number] = ImageTask(_file_id(place["path"], name), place["path"], place["root"], size, lvis_instances,
                                       coco_instances)  # fmt: skip
    if not images:
        raise DataError(f"{coco_json} and {lvis_json} have no image in common: give the annotations of the same images")
    return [images[number] for number in sorted(images)]


def _file_id(path: str, name: str) -> str:
    """Return an image id as its file writes it: 000000000036 for COCO_train2014_000000000036.jpg and id 36."""
    digits = re.search(r"\d+$", Path(path).stem, re.ASCII)
    return digits[0] if digits and digits[0].lstrip("0") == name.lstrip("0") else name


def _side(reader: ModuleType, path: Path | str, name: str, images_dir: Path | str, allow_outside: bool, summary: BuildSummary,
          progress: Stages) -> dict[str, tuple[dict[str, Any], list[_Packed]]]:  # fmt: skip
    """Read one of the files: the entry and the instances of each image, by image id.

    Only the necessary data are kept, in packed form, so that the other file, of a gigabyte, fits into memory.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} is not a file: give the JSON of {name}'s annotations")
    dataset = reader.open_subset(path, images=images_dir, allow_outside=allow_outside, progress=progress)
    summary.skipped += [(f"{name} annotation {where}", reason) for where, reason in dataset.skipped]
    return {str(info["id"]): ({key: info.get(key) for key in ("path", "root", "height", "width")},
                              [_packed(a) for a in info["annotations"]])
            for info in dataset.image_info}  # fmt: skip


def _packed(annotation: dict[str, Any]) -> _Packed:
    segmentation = annotation["segmentation"]
    if not isinstance(segmentation, dict):
        segmentation = [array("d", polygon) for polygon in rings_of(segmentation)]
    return annotation.get("id"), segmentation, bool(annotation.get("iscrowd"))


def _digest(images: Iterable[ImageTask]) -> str:
    """Hash the annotations of images, to detect changes."""
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


# --- objects of an image


def uncovered(coco: Sequence[RLE], lvis: Sequence[RLE], overlap: float) -> list[int]:
    """Find the COCO instances that no LVIS instance covers.

    Args:
        coco: C compressed RLEs.
        lvis: L compressed RLEs.
        overlap: an LVIS instance with at least this IoU covers a COCO instance.

    Returns:
        Indices in `coco`.
    """
    if not coco or not lvis:
        return list(range(len(coco)))
    ious = coco_mask.iou(coco, lvis, [0] * len(lvis))  # [C, L]
    return np.flatnonzero(ious.max(axis=1) < overlap).tolist()


def containment_tree(rles: Sequence[RLE], part_share: float) -> dict[int, dict[str, Any] | None]:
    """Find the parent of each object: the smallest other object of which it is a part.

    Args:
        rles: N compressed RLEs, none empty.
        part_share: minimum fraction of an object's pixels inside another object for it to be part of that object.

    Returns:
        By index: None for an object without parent and children, or {"children": ascending indices, "parent": index or None,
        "node_level": depth, 0 without a parent}. Of objects with the same number of pixels, the earlier may contain the later.
    """
    if not rles:
        return {}
    # pycocotools' IoU with a crowd is the fraction of the first mask inside the second
    inside = coco_mask.iou(rles, rles, [1] * len(rles))  # [N, N]
    areas = coco_mask.area(rles).tolist()
    ranks = [(area, -i) for i, area in enumerate(areas)]
    parents: list[int | None] = []
    for i in range(len(rles)):
        containers = [j for j in np.flatnonzero(inside[i] >= part_share).tolist() if ranks[j] > ranks[i]]
        parents.append(min(containers, key=ranks.__getitem__, default=None))
    levels: dict[int, int] = {}
    children: list[list[int]] = [[] for _ in rles]
    for i in sorted(range(len(rles)), key=ranks.__getitem__, reverse=True):  # parents have a higher rank
        parent = parents[i]
        levels[i] = 0 if parent is None else levels[parent] + 1
        if parent is not None:
            children[parent].append(i)
    return {i: None if parents[i] is None and not children[i] else
            {"children": sorted(children[i]), "parent": parents[i], "node_level": levels[i]}
            for i in range(len(rles))}  # fmt: skip


def pack_layers(rles: Sequence[RLE], size: tuple[int, int],
                ) -> tuple[list[UInt8[np.ndarray, "H W"]], list[tuple[int, int]]]:  # fmt: skip
    """Put each object into the first layer in which it overlaps no other object.

    Args:
        rles: of N objects.
        size: (height, width).

    Returns:
        layers: each pixel holds the number of an object in this layer, from 1, or 0 for the background.
        mapping: (layer, number) of each object.
    """
    layers: list[np.ndarray] = []
    counts: list[int] = []
    mapping = []
    for rle in rles:
        part, (y1, x1, y2, x2) = decode_to_box(rle)
        for index, layer in enumerate(layers):
            if counts[index] < MAX_PER_LAYER and not layer[y1:y2, x1:x2][part].any():
                break
        else:
            index = len(layers)
            layers.append(np.zeros(size, np.uint8))
            counts.append(0)
        counts[index] += 1
        layers[index][y1:y2, x1:x2][part] = counts[index]
        mapping.append((index, counts[index]))
    return layers, mapping


def encode_layers(layers: Sequence[UInt8[np.ndarray, "H W"]]) -> list[UInt8[np.ndarray, " _"]]:
    """Encode layers as PNG files."""
    return [cv2.imencode(".png", layer)[1].reshape(-1) for layer in layers]


# --- writing


def is_complete(batch: Batch) -> bool:
    """Return whether the record of a batch lists its images, and their files exist with the recorded sizes."""
    try:
        images = read_json(batch.record)["images"]
        files = [(name, size) for image in images for name, size in image["files"].items()]
        return ([image["name"] for image in images] == [image.name for image in batch.images]
                and all((batch.folder / name).stat().st_size == size for name, size in files))  # fmt: skip
    except (DataError, OSError, LookupError, TypeError, AttributeError):  # no record, or a malformed one
        return False


def write_batch(batch: Batch, tick: Callable[[], object]) -> None:
    """Write the images of a batch, then its record; `tick` is called after each image."""
    images, skipped, counts = [], [], Counter(dict.fromkeys(COUNTS, 0))
    for image in batch.images:
        reason = _fault(image)
        if reason:
            skipped.append((f"image {image.name}", reason))
        else:
            images.append(_write_image(image, batch, skipped, counts))
        tick()
    save_json(batch.record, {"images": images, "left_out": skipped, "counts": counts})


def _fault(image: ImageTask) -> str | None:
    """Return the reason why an image's file is not usable, or None."""
    if not os.path.isfile(image.path):
        return "its file does not exist"
    try:
        if image.root is not None:
            refuse_link(image.path, image.root, image.name)
        size = read_image_size(image.path)
    except OutsideError:
        return "its file is a link that points outside its folder"
    except DataError:
        return "its file cannot be read"
    return None if size == image.size else "the size of its file differs from that in the annotations"


def _write_image(image: ImageTask, batch: Batch, skipped: list[tuple[str, str]], counts: Counter) -> dict[str, Any]:
    """Write an image and its masks, and return its entry in the record."""
    lvis = [rle for rle, _ in _masks(image.lvis, "LVIS", image.size, skipped)]
    of_coco = _masks(image.coco, "COCO", image.size, skipped)
    coco = [rle for rle, is_crowd in of_coco if not is_crowd]
    kept = [coco[i] for i in uncovered(coco, lvis, batch.overlap)]
    rles = lvis + kept
    hierarchy = containment_tree(rles, batch.part_share)
    layers, mapping = pack_layers(rles, image.size)
    counts.update(lvis=len(lvis), coco=len(kept), covered=len(coco) - len(kept), crowds=len(of_coco) - len(coco),
                  parts=sum(node is not None and node["parent"] is not None for node in hierarchy.values()),
                  layers=len(layers))  # fmt: skip
    suffix = os.path.splitext(image.path)[1].lower().replace(".jpeg", ".jpg")
    names = f"masks/{image.name}.pickle", f"images/{image.name}{suffix}"
    with atomic_open(batch.folder / names[0]) as file:
        pickle.dump((encode_layers(layers), mapping), file, protocol=PROTOCOL)
    _place_image(image.path, batch.folder / names[1], batch.link)
    return {"name": image.name, "num_instance_masks": len(rles), "hierarchy": hierarchy,
            "files": {name: (batch.folder / name).stat().st_size for name in names}}  # fmt: skip


def _masks(instances: Iterable[_Packed], side: str, size: tuple[int, int],
           skipped: list[tuple[str, str]]) -> list[tuple[RLE, bool]]:  # fmt: skip
    """Rasterise instances: (compressed RLE, whether it is a crowd) of each one with at least one pixel."""
    masks = []
    for number, segmentation, is_crowd in instances:
        if not isinstance(segmentation, dict):
            segmentation = [polygon.tolist() for polygon in segmentation]
        rle = as_rle(segmentation, size)
        if rle_area(rle):
            masks.append((rle, is_crowd))
        else:
            skipped.append((f"{side} annotation {number}", "it has no pixels in its image"))
    return masks


def _place_image(source: str, target: Path, link: bool) -> None:
    """Copy an image, or link it if the file system supports links."""
    with atomic_path(target) as temporary:
        if not (link and _link(source, temporary)):
            shutil.copyfile(source, temporary)


def _link(source: str, target: Path) -> bool:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # a different disk, or a file system without links
        return False
    return True


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Record the settings of a build; if settings are already recorded, they must be the same."""
    path = folder / _RECORDS / _SETTINGS
    remedy = "choose another output folder, or delete what this one contains"
    if not path.exists():
        existing = [name for name in (HANNOTATION, "masks", "images") if (folder / name).exists()]
        if existing:
            raise DataError(f"{folder} contains {existing[0]}, but no record of how it was built: {remedy}")
        save_json(path, settings, indent=1)
        return
    recorded = read_json(path)
    for name, value in settings.items():
        old = recorded.get(name) if isinstance(recorded, dict) else None
        if old != value:
            raise DataError(f"{folder} was built with {name} {shown(old)}, but it is now {shown(value)}: {remedy}")


def _finish(folder: Path, batches: Sequence[Batch], summary: BuildSummary) -> None:
    """Write the hierarchy file from the records, and sum their counts."""
    hannotation = {}
    for batch in batches:
        record = read_json(batch.record)
        for image in record["images"]:
            hierarchy = {int(i): node for i, node in image["hierarchy"].items()}
            hannotation[image["name"]] = {"num_instance_masks": image["num_instance_masks"], "hierarchy": hierarchy}
            summary.instances += image["num_instance_masks"]
        summary.skipped += [(where, reason) for where, reason in record["left_out"]]
        for name in COUNTS:
            summary.counts[name] += record["counts"][name]
    summary.images = len(hannotation)
    summary.per_class = {"object": summary.instances}
    if not hannotation:
        where, reason = summary.skipped[-1]
        raise DataError(f"{folder / HANNOTATION} was not written because no image is usable; the last: {where}: {reason}")
    with atomic_open(folder / HANNOTATION) as file:
        pickle.dump(hannotation, file, protocol=PROTOCOL)
