"""COCO's images and panoptic annotations as sharded TFRecord files.

The source has COCO's layout: `{train,val,test}2017/*.jpg`, `annotations/panoptic_{train,val}2017.json`, and the PNGs in a
folder named after the JSON. The test split has no annotations.

`mrcnn.datasets.panoptic.shards` describes the records and the names of the files. Each file is written atomically by one
process, so that an interrupted run resumes when it is started again.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn.base.atomic_write import atomic_open, remove_leftovers, save_json
from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, run_tasks
from mrcnn.base.progress import Show, Stages, counted_from, tracked, unseen
from mrcnn.datasets.panoptic.annotations import (
    CATEGORY_ID,
    Category,
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
    rgb_jpeg,
    shard_path,
    splits_in,
)
from mrcnn.io.images import image_names
from mrcnn.io.json_fields import read_json, shown
from mrcnn.io.paths import refuse_link
from mrcnn.io.tfrecord import read_record, scan_records, write_record
from mrcnn.tools.write.summary import Summary

if TYPE_CHECKING:
    from rich.table import Table

SPLITS = ("train", "val", "test")
# splits without annotations
BARE_SPLITS = ("test",)
YEAR = "2017"
_JPEG_SUFFIXES = (".jpg", ".jpeg")


@dataclass
class ShardSummary(Summary):
    """The summary of a conversion to shards. Its instances are segments, including stuff and crowds.

    Attributes:
        splits: the counts "images", "shards", "written" and "kept" of each split; the last two count files.
    """

    splits: dict[str, dict[str, int]] = field(default_factory=dict)

    def first_table(self, table: "Table") -> "Table":
        """Fill an empty table with the splits."""
        for name in ("split", "images", "shards", "written", "already complete"):
            table.add_column(name, justify="left" if name == "split" else "right")
        for split, counts in self.splits.items():
            table.add_row(split, *(str(counts[key]) for key in ("images", "shards", "written", "kept")))
        return table


def convert_panoptic(coco_root: Path | str, output_dir: Path | str, *, shards: int = 1000,
                     splits: Sequence[str] | None = None, treat_crowd_as_ignore: bool = True, workers: int | None = None,
                     progress: Stages | None = None, allow_outside: bool = False) -> ShardSummary:  # fmt: skip
    """Write COCO's images and panoptic annotations as TFRecord files.

    Complete files from an earlier run are kept; the run must have had the same settings and data.

    Args:
        coco_root: folder that contains train2017/ and annotations/.
        output_dir: folder of the shards; created if necessary.
        shards: number of files per split, with ceil(images / shards) images each, sorted by name. The last may be empty.
        splits: of train, val and test. A split that does not exist is skipped and listed in the summary. None converts the
            splits that exist.
        treat_crowd_as_ignore: whether crowd pixels are set to 0; otherwise to their category with instance 0.
        workers: number of processes; None uses one per core.
        progress: the stages of `read_panoptic` and "looking for complete shards" of each split, and "converting", which counts
            images.
        allow_outside: whether file names may point outside the folders of images and PNGs.

    Raises:
        DataError: there is nothing to convert; an image, a PNG or a segment is faulty (the message names it); or the folder
            contains shards written with different settings.
        ValueError: an argument is out of its range.
    """
    summary, progress = ShardSummary(), progress or unseen
    sources = _sources(coco_root, _checked(shards, splits, workers), splits is not None, allow_outside, summary, progress)
    remove_leftovers(output_dir)
    tasks: list[_Task] = []
    total, kept = 0, 0
    for source in sources:
        manifest = _check_manifest(source, output_dir, shards, treat_crowd_as_ignore)
        with progress("looking for complete shards") as show:
            todo, complete = _missing_shards(source, output_dir, shards, summary.notes, show)
        tasks += [_Task(path, images, source.image_dir, source.png_dir, source.categories, treat_crowd_as_ignore,
                        allow_outside) for path, images in todo]  # fmt: skip
        total, kept = total + manifest["images"], kept + complete["images"]
        summary.splits[source.split] = {"images": manifest["images"], "shards": shards, "written": len(todo),
                                        "kept": complete["shards"]}  # fmt: skip
        _count(source, summary)
    with progress("converting") as show:
        run_tasks(_write_shard, tasks, workers or available_cores(), counted_from(kept, total, show))
    return summary


def _checked(shards: int, splits: Sequence[str] | None, workers: int | None) -> list[str]:
    """Refuse arguments that are out of range, and return the splits without repetitions."""
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


def _count(source: "Source", summary: ShardSummary) -> None:
    """Count the images and segments of a split."""
    summary.images += len(source.images)
    counts: Counter[int] = Counter()
    for image in source.images:
        if image.segments is not None:
            counts.update(image.segments[:, CATEGORY_ID].tolist())
    for category in source.categories.values():
        summary.per_class[category.name] = summary.per_class.get(category.name, 0) + counts[category.id]
    summary.instances += sum(counts.values())


# --- the source of a split


@dataclass
class Source:
    """The images of a split.

    Attributes:
        images: sorted by name. Images of a split without annotations have no size, PNG or segments.
        image_dir, png_dir: folders that must contain the files once links are resolved; png_dir is None without annotations.
        categories: by id; empty without annotations.
        skipped: (where, reason) of each image that is not converted.
        digest: changes if file names, file sizes or annotations change.
    """

    split: str
    images: list[PanopticImage]
    image_dir: Path
    png_dir: Path | None = None
    categories: dict[int, Any] = field(default_factory=dict)
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    digest: str = ""


def _sources(root: Path | str, splits: Sequence[str], required: bool, allow_outside: bool, summary: ShardSummary,
             progress: Stages) -> list[Source]:  # fmt: skip
    """Find the splits that exist. With `required`, the user named the splits, and missing ones are reported."""
    sources: list[Source] = []
    missing: list[tuple[str, str]] = []
    for split in splits:
        source = find_source(root, split, allow_outside=allow_outside, progress=progress)
        if isinstance(source, Source):
            sources.append(source)
            summary.skipped += source.skipped
        else:
            missing.append((split, source))
    if not sources:
        raise DataError(f"{root} contains nothing to convert: " + "; ".join(reason for _, reason in missing))
    if required:
        summary.skipped += missing
    annotated = [source for source in sources if source.categories]
    for source in annotated[1:]:
        if not _agree(source.categories, annotated[0].categories):
            raise DataError(f"{source.split} and {annotated[0].split} have different categories, so their numbers would have "
                            "different meanings: convert the splits to separate folders")
    return sources


def _agree(categories: Mapping[int, Category], others: Mapping[int, Category]) -> bool:
    """Return whether ids and semantic ids mean the same in two splits, which may list different parts of COCO's categories."""
    by_number = {other.semantic_id: other for other in others.values()}
    return all(others.get(c.id, c) == c == by_number.get(c.semantic_id, c) for c in categories.values())


def find_source(root: Path | str, split: str, *, allow_outside: bool = False,
                progress: Stages | None = None) -> Source | str:  # fmt: skip
    """Read the source of a split.

    Args:
        root: folder that contains train2017/ and annotations/.
        split: one of SPLITS.
        allow_outside: whether file names may point outside their folders.
        progress: see `read_panoptic`.

    Returns:
        The source; or, if the split does not exist at all, the reason why there is none.

    Raises:
        DataError: only a part of the split exists, or the JSON is not usable.
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


def _bare_source(split: str, image_dir: Path) -> Source | str:
    if not image_dir.is_dir():
        return f"there is no folder {image_dir}"
    names = _jpegs(image_dir)
    if not names:
        return f"there are no .jpg files in {image_dir}"
    images = [PanopticImage(name, without_suffix(name), image_dir / name, None) for name in names]
    return Source(split, images, image_dir)


def _annotated_source(split: str, image_dir: Path, annotations: Path, allow_outside: bool,
                      progress: Stages | None) -> Source | str:  # fmt: skip
    path = annotations / f"panoptic_{split}{YEAR}.json"
    if not path.is_file():
        if not image_dir.is_dir():
            return f"neither {image_dir} nor {path} exists"
        instances = annotations / f"instances_{split}{YEAR}.json"
        other = f" ({instances.name} exists, but contains instances, not panoptic segments)" if instances.is_file() else ""
        raise DataError(f"{path} does not exist{other}: get it, with its folder of PNGs, from "
                        "panoptic_annotations_trainval2017.zip of cocodataset.org; or omit this split")
    png_dir = path.with_suffix("")
    index = read_panoptic(path, image_dir, png_dir, allow_outside=allow_outside, progress=progress)
    for folder, what in ((image_dir, "images"), (png_dir, "PNGs")):
        if not folder.is_dir() and index.images:
            raise DataError(f"{folder}, the folder of the {what} of {path.name}, does not exist")
    source = Source(split, index.images, image_dir, png_dir, index.categories, index.skipped)
    known = {image.name for image in index.images}
    unlisted = [name for name in _jpegs(image_dir) if without_suffix(name) not in known] if image_dir.is_dir() else []
    source.skipped += [(f"{split}{YEAR}/{name}", f"{path.name} has no segments for it") for name in unlisted]
    return source


def _jpegs(folder: Path) -> list[str]:
    return [name for name in image_names(folder) if name.lower().endswith(_JPEG_SUFFIXES)]


def _digest(source: Source) -> str:
    """Hash the source, and check that every file exists."""
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
                        f"{missing[0]}: restore them, or remove their images from the JSON")
    return digest.hexdigest()


# --- shards


@dataclass(frozen=True)
class _Task:
    """A file to write: its path and images, and the settings of the conversion."""

    path: Path
    images: list[PanopticImage]
    image_dir: Path
    png_dir: Path | None
    categories: dict[int, Any]
    treat_crowd_as_ignore: bool
    allow_outside: bool


def _check_manifest(source: Source, folder: Path | str, shards: int, treat_crowd_as_ignore: bool) -> dict[str, Any]:
    """Write the manifest of a split; if shards already exist, their manifest must be the same."""
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
    if not path.parent.is_dir() or source.split not in splits_in(folder):
        save_json(path, manifest, indent=1)
        return manifest
    remedy = f"choose another output folder, or delete {source.split}-*.tfrecord and {path.name} in this one"
    if not path.exists():
        raise DataError(f"{folder} contains shards of {source.split}, but no {path.name} with their settings: {remedy}")
    recorded = read_json(path)
    for key, value in manifest.items():
        old = recorded.get(key) if isinstance(recorded, dict) else None
        if old != value:
            change = f"with {key} {shown(old)}, and now {key} is {shown(value)}"
            if key == "source":
                change = "from files or annotations that have changed since"
            raise DataError(f"{path}: the shards of this manifest were written {change}: {remedy}")
    return manifest


def _missing_shards(source: Source, folder: Path | str, shards: int, notes: list[tuple[Any, str]], progress: Show | None,
                    ) -> tuple[list[tuple[Path, list[PanopticImage]]], dict[str, int]]:  # fmt: skip
    """List the files to write, with their images, and count the images and shards of complete files."""
    todo, complete = [], {"images": 0, "shards": 0}
    for number, indices in enumerate(tracked(cut(len(source.images), shards), progress)):
        path = shard_path(folder, source.split, number, shards)
        if path.exists():
            if _is_complete(path, len(indices)):
                complete["images"] += len(indices)
                complete["shards"] += 1
                continue
            notes.append((path.name, "the file was damaged, and is written again"))
        todo.append((path, [source.images[i] for i in indices]))
    return todo, complete


def _is_complete(path: Path, count: int) -> bool:
    """Return whether a file contains exactly `count` records, and the data of the last one are intact."""
    try:
        places = scan_records(path)
        if places:
            read_record(path, *places[-1])
    except DataError:
        return False
    return len(places) == count


def _write_shard(task: _Task, tick: Callable[[], object]) -> None:
    """Write one file; `tick` is called after each image."""
    with atomic_open(task.path) as file:
        for image in task.images:
            write_record(file, encode_record(_record(image, task)))
            tick()


def _record(image: PanopticImage, task: _Task) -> Record:
    """Read and check an image and its segments."""
    jpeg = _read(image.path, task.image_dir, image, task)
    where = f"image {image.name}, file {image.path}"
    jpeg = rgb_jpeg(jpeg, image.size, where)
    size = image.size or jpeg_size(jpeg, where)
    check_jpeg(jpeg, size, where)
    if image.png is None or task.png_dir is None or image.segments is None:
        return Record(image.name, size, jpeg)
    ids = decode_segments(_read(image.png, task.png_dir, image, task), size, f"image {image.name}, file {image.png}")
    where = f"image {image.name}"
    return Record(image.name, size, jpeg, panoptic_map(ids, image.segments, task.categories, where, task.treat_crowd_as_ignore))


def _read(path: Path, folder: Path, image: PanopticImage, task: _Task) -> bytes:
    where = f"image {image.name}"
    if not task.allow_outside:
        refuse_link(path, folder, where)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: {path} cannot be read: {error}") from error
