"""COCO's panoptic annotations as sharded TFRecord files.

What goes in is said in `panoptic_sources`, what a record holds in `mrcnn.datasets.panoptic.shards`, and how the files are
called in `mrcnn.datasets.panoptic.shards`. Each file is written by one process and gets its name once it is whole, so a run
that was interrupted is gone on with by running it again.

What a conversion of COCO's panoptic annotations starts from: the images of a split, checked and in order.

Layout: `{train,val,test}2017/*.jpg`, `annotations/panoptic_{train,val}2017.json` and the PNGs in a folder of the same
name. The test split has images alone.
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.base.atomic_write import atomic_open, save_json
from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, run_tasks
from mrcnn.base.progress import counted_from, tracked, unseen
from mrcnn.datasets.panoptic.annotations import (
    CATEGORY_ID,
    PanopticImage,
    decode_segments,
    panoptic_map,
    read_panoptic,
    without_suffix,
)
from mrcnn.datasets.panoptic.shards import (
    MANIFEST_VERSION,
    MAX_SHARDS,
    Record,
    categories_to_json,
    check_jpeg,
    cut,
    encode_record,
    jpeg_size,
    manifest_path,
    shard_path,
    splits_in,
)
from mrcnn.io.images import image_names
from mrcnn.io.json_fields import read_json, shown
from mrcnn.io.paths import refuse_link
from mrcnn.io.tfrecord import read_record, scan_records, write_record
from mrcnn.tools.write.summary import Summary

SPLITS = ("train", "val", "test")
# splits without annotations
BARE_SPLITS = ("test",)
YEAR = "2017"
_JPEG_SUFFIXES = (".jpg", ".jpeg")


@dataclass
class Source:
    """The images of a split.

    Attributes:
        split: str.
        images: list of PanopticImage, sorted by name. Those of a test set have no size, PNG or segments.
        image_dir, png_dir: Path of the folders that the files must really lie in; png_dir is None for a test set.
        categories: dict id -> Category; empty for a test set.
        left_out: list of (where, reason).
        digest: str. Changes with the names, the sizes of the files and the annotations.
    """

    split: str
    images: list
    image_dir: Path
    png_dir: Path | None = None
    categories: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)
    digest: str = ""


def find_source(root, split, *, allow_outside=False, progress=None):
    """Read what there is of a split.

    Args:
        root: path of the folder with train2017/ and annotations/ in it.
        split: str, one of SPLITS.
        allow_outside: bool. Whether file names may lead out of their folders.
        progress: maker of stages, or None; see `read_panoptic`.

    Returns:
        Source, or a str that says why there is none: nothing of the split is there.

    Raises:
        DataError: only half of it is there, or the JSON is not usable.
    """
    image_dir = Path(root) / f"{split}{YEAR}"
    if split in BARE_SPLITS:
        source = _bare_source(split, image_dir)
    else:
        source = _annotated_source(split, image_dir, Path(root) / "annotations", allow_outside, progress)
    if isinstance(source, Source):
        source.images.sort(key=lambda image: image.name)
        source.digest = _digest(source)
    return source


def _bare_source(split, image_dir):
    if not image_dir.is_dir():
        return f"there is no folder {image_dir}"
    names = _jpegs(image_dir)
    if not names:
        return f"there are no .jpg files in {image_dir}"
    images = [PanopticImage(name, without_suffix(name), image_dir / name, None) for name in names]
    return Source(split, images, image_dir)


def _annotated_source(split, image_dir, annotations, allow_outside, progress):
    path = annotations / f"panoptic_{split}{YEAR}.json"
    if not path.is_file():
        if not image_dir.is_dir():
            return f"there is neither {image_dir} nor {path}"
        instances = annotations / f"instances_{split}{YEAR}.json"
        beside = f" ({instances.name} is there, but holds instances, not panoptic segments)" if instances.is_file() else ""
        raise DataError(f"{path} does not exist{beside}: it comes, with its folder of PNGs, in "
                        "panoptic_annotations_trainval2017.zip from cocodataset.org; or leave this split out")  # fmt: skip
    png_dir = path.with_suffix("")
    index = read_panoptic(path, image_dir, png_dir, allow_outside=allow_outside, progress=progress)
    for folder, what in ((image_dir, "images"), (png_dir, "PNGs")):
        if not folder.is_dir() and index.images:
            raise DataError(f"{folder} does not exist: it is to hold the {what} of {path.name}")
    source = Source(split, index.images, image_dir, png_dir, index.categories, index.left_out)
    known = {image.name for image in index.images}
    unlisted = [name for name in _jpegs(image_dir) if without_suffix(name) not in known] if image_dir.is_dir() else []
    source.left_out += [(f"{split}{YEAR}/{name}", f"{path.name} has no segments of it") for name in unlisted]
    return source


def _jpegs(folder):
    return [name for name in image_names(folder) if name.lower().endswith(_JPEG_SUFFIXES)]


def _digest(source):
    """Sum the source up, and see on the way that every file is there."""
    digest, missing = hashlib.sha256(), []
    for image in source.images:
        digest.update(f"{image.name}\0{image.size}\0".encode(errors="replace"))
        for path in (image.path, image.png):
            if path is not None:
                try:
                    digest.update(f"{os.stat(path).st_size}\0".encode())
                except (OSError, ValueError):
                    missing.append(path)
        if image.segments is not None:
            digest.update(image.segments.tobytes())
    if missing:
        raise DataError(f"{len(missing)} files of the {len(source.images)} images of {source.split} are missing, such as "
                        f"{missing[0]}: fetch them, or take their images out of the JSON")  # fmt: skip
    return digest.hexdigest()


@dataclass
class ShardSummary(Summary):
    """What a conversion into shards did. Its instances are segments, stuff and crowds among them.

    Attributes:
        splits: dict split -> {"images", "shards", "written", "kept"}: int each, the last two of files.
    """

    splits: dict = field(default_factory=dict)

    def first_table(self, table):
        """Lay the splits out. Args: table: rich Table without columns. Returns: it."""
        for name in ("split", "images", "shards", "written now", "whole before"):
            table.add_column(name, justify="left" if name == "split" else "right")
        for split, counts in self.splits.items():
            table.add_row(split, *(str(counts[key]) for key in ("images", "shards", "written", "kept")))
        return table


@dataclass(frozen=True)
class _Task:
    """One file to write: its path, its images, and what holds for all of a split."""

    path: object
    images: list
    image_dir: object
    png_dir: object
    categories: dict
    treat_crowd_as_ignore: bool
    allow_outside: bool


def convert_panoptic(coco_root, output_dir, *, shards=1000, splits=None, treat_crowd_as_ignore=True, workers=None,
                     progress=None, allow_outside=False):
    """Write COCO's images and panoptic annotations as TFRecord files.

    Files that are whole already are left as they are, where they were made with the same settings out of the same data.

    Args:
        coco_root: path of the folder with train2017/ and annotations/ in it; see `panoptic_sources`.
        output_dir: path of the folder of the shards; made if it is missing.
        shards: int. Files of a split: ceil(images / shards) images to each, sorted by name. The last may be empty.
        splits: list of train, val and test. One of which nothing is there is left out, and noted in the summary. None
            takes what there is.
        treat_crowd_as_ignore: bool. True gives the pixels of crowds the number 0, False those of their category with
            instance 0.
        workers: int. Processes. None takes one a core.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of `read_panoptic` and "looking for whole shards",
            for each split, and "converting", of images.
        allow_outside: bool. Whether file names may lead out of the folders of images and PNGs.

    Returns:
        ShardSummary.

    Raises:
        DataError: there is nothing to convert; an image, a PNG or a segment is faulty, which the message names; or the
            folder holds shards of other settings.
        ValueError: an argument is out of its range.
    """
    summary, progress = ShardSummary(), progress or unseen
    sources = _sources(coco_root, _checked(shards, splits, workers), splits is not None, allow_outside, summary, progress)
    tasks, total, kept = [], 0, 0
    for source in sources:
        manifest = _claim(source, output_dir, shards, treat_crowd_as_ignore)
        with progress("looking for whole shards") as show:
            todo, whole = _tasks(source, output_dir, shards, summary.notes, show)
        tasks += [_Task(path, images, source.image_dir, source.png_dir, source.categories, treat_crowd_as_ignore,
                        allow_outside) for path, images in todo]  # fmt: skip
        total, kept = total + manifest["images"], kept + whole["images"]
        summary.splits[source.split] = {"images": manifest["images"], "shards": shards, "written": len(todo),
                                        "kept": whole["shards"]}  # fmt: skip
        _count(source, summary)
    with progress("converting") as show:
        run_tasks(_write_shard, tasks, workers or available_cores(), counted_from(kept, total, show))
    return summary


def _checked(shards, splits, workers):
    """Refuse arguments out of their range; the splits, each once."""
    if splits is None:
        splits = SPLITS
    splits = list(dict.fromkeys([splits] if isinstance(splits, str) else splits))
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"splits is {splits}: choose from {', '.join(SPLITS)}")
    if not 1 <= shards <= MAX_SHARDS:
        raise ValueError(f"shards is {shards}, expected 1 to {MAX_SHARDS}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    return splits


def _sources(root, splits, asked_for, allow_outside, summary, progress):
    """Find the splits that are there: list of Source. The absent ones are noted where they were asked for by name."""
    sources, absent = [], []
    for split in splits:
        source = find_source(root, split, allow_outside=allow_outside, progress=progress)
        if isinstance(source, Source):
            sources.append(source)
            summary.left_out += source.left_out
        else:
            absent.append((split, source))
    if not sources:
        raise DataError(f"{root} holds nothing to convert: " + "; ".join(reason for _, reason in absent))
    if asked_for:
        summary.left_out += absent
    _check_agreement(sources)
    return sources


def _check_agreement(sources):
    """A semantic id must mean the same in all splits."""
    named = [source for source in sources if source.categories]
    for source in named[1:]:
        if source.categories != named[0].categories:
            raise DataError(f"the categories of {source.split} are not those of {named[0].split}, and their numbers would "
                            "mean different things: convert the splits into folders of their own")  # fmt: skip


def _claim(source, folder, shards, treat_crowd_as_ignore):
    """Write the manifest of a split; where there is one, see that it is the same. Returns: dict, the manifest."""
    path = manifest_path(folder, source.split)
    manifest = {
        "version": MANIFEST_VERSION,
        "split": source.split,
        "shards": shards,
        "images": len(source.images),
        "treat_crowd_as_ignore": bool(treat_crowd_as_ignore),
        "source": source.digest,
        "categories": categories_to_json(source.categories),
    }
    if path.parent.is_dir() and source.split in splits_in(folder):
        remedy = f"give another output folder, or delete {source.split}-*.tfrecord and {path.name} in this one"
        if not path.exists():
            raise DataError(f"{folder} holds shards of {source.split}, and no {path.name} that says how they were made: "
                            f"{remedy}")  # fmt: skip
        there = read_json(path)
        for key, value in manifest.items():
            found = there.get(key) if isinstance(there, dict) else None
            if found != value:
                told = f"with {key} {shown(found)}, and now {key} is {shown(value)}"
                if key == "source":
                    told = "of other files or annotations than there are now"
                raise DataError(f"{path}: the shards beside it were made {told}: {remedy}")
    else:
        save_json(path, manifest, indent=1)
    return manifest


def _tasks(source, folder, shards, told, progress):
    """List the files to write, as (path, images), and count those that are whole: dict of images and shards."""
    todo, whole = [], {"images": 0, "shards": 0}
    for number, positions in enumerate(tracked(cut(len(source.images), shards), progress)):
        path = shard_path(folder, source.split, number, shards)
        if path.exists():
            if _is_whole(path, len(positions)):
                whole["images"] += len(positions)
                whole["shards"] += 1
                continue
            told.append((path.name, "a damaged file is written again"))
        todo.append((path, [source.images[i] for i in positions]))
    return todo, whole


def _is_whole(path, count):
    """Tell whether a file holds so many records, ends with the last, and that one's data are sound: bool."""
    try:
        places = scan_records(path)
        if places:
            read_record(path, *places[-1])
    except DataError:
        return False
    return len(places) == count


def _count(source, summary):
    """Count the images and segments of a split."""
    summary.images += len(source.images)
    found = Counter()
    for image in source.images:
        if image.segments is not None:
            found.update(image.segments[:, CATEGORY_ID].tolist())
    for category in source.categories.values():
        summary.per_class[category.name] = summary.per_class.get(category.name, 0) + found[category.id]
    summary.instances += sum(found.values())


def _write_shard(task, tick):
    """Write one file. Args: task: _Task; tick: callable, after each image."""
    with atomic_open(task.path) as file:
        for image in task.images:
            write_record(file, encode_record(_record(image, task)))
            tick()


def _record(image, task):
    """Read and check an image and its segments: Record."""
    jpeg = _read(image.path, task.image_dir, image, task)
    where = f"image {image.name}, file {image.path}"
    size = image.size or jpeg_size(jpeg, where)
    check_jpeg(jpeg, size, where)
    if image.png is None:
        return Record(image.name, size, jpeg)
    ids = decode_segments(_read(image.png, task.png_dir, image, task), size, f"image {image.name}, file {image.png}")
    where = f"image {image.name}"
    return Record(image.name, size, jpeg, panoptic_map(ids, image.segments, task.categories, where, task.treat_crowd_as_ignore))


def _read(path, folder, image, task):
    where = f"image {image.name}"
    if not task.allow_outside:
        refuse_link(path, folder, where)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: {path} cannot be read: {error}") from error
