"""COCO+LVIS built out of COCO's instances and LVIS's annotations of the same images.

An image gets its LVIS instances, then the COCO instances that none of these covers, and the tree of what is a part of what
(`cocolvis_objects`). The layout is that of `mrcnn.data.formats.cocolvis`.

Batches of images are written each by one process, and then noted in `.build/` (`cocolvis_batch`), so an interrupted run is
gone on with by running it again. The hierarchy file comes last: a folder without it is not finished.
"""

import hashlib
import os
import pickle
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.data.annotated import rings_of
from mrcnn.data.converters.cocolvis_batch import COUNTS, PROTOCOL, Batch, ImageTask, is_whole, write_batch
from mrcnn.data.errors import DataError
from mrcnn.data.fields import read_json, shown
from mrcnn.data.files import save_json, whole_file
from mrcnn.data.formats import coco, lvis
from mrcnn.data.formats.cocolvis_files import HANNOTATION, whole_number
from mrcnn.data.parallel import available_cores, run_tasks
from mrcnn.data.stages import counted_from, tracked, unseen
from mrcnn.data.writers.summary import Summary

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
        progress: maker of stages (`mrcnn.data.stages`), or None: those of the readers of both files, "summing up"
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
    with whole_file(folder / HANNOTATION) as file:
        pickle.dump(hannotation, file, protocol=PROTOCOL)
