"""Conversion from any readable to any writable format, keeping the subsets or splitting the images."""

import contextlib
import inspect
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.base.atomic_write import remove_leftovers, scratch_folder
from mrcnn.base.progress import Stages, unseen
from mrcnn.datasets.catalog import TARGETS, format_module, open_dataset, recognise_format, subsets_of
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.folders import PARTS
from mrcnn.tools.convert.division import Division, division_of, note_other_parts, part_file, part_folders, refuse_leftovers
from mrcnn.tools.write.coco import write_coco
from mrcnn.tools.write.images import images_folder
from mrcnn.tools.write.labelme import write_labelme
from mrcnn.tools.write.summary import Summary
from mrcnn.tools.write.yolo import write_yolo


@dataclass
class Conversion:
    """The result of a conversion.

    Attributes:
        parts: for each part by name, the path written and its summary. The name of an undivided data set is None.
        summary: of all parts together; the images of folds are counted once.
        images: for each part, the folder to which file names in its COCO JSON are relative. Empty if images were copied, and
            for other formats.
    """

    parts: dict[str | None, tuple[Path, Summary]]
    summary: Summary
    images: dict[str | None, Path]


def convert(path: Path | str, output: Path | str, *, format: str | None = None, to: str = "coco",
            subsets: Sequence[str] | None = None, split: int | float | Sequence[int | float] | None = None, folds: Any = None,
            group: str | None = None, seed: int = 0, copy_images: Path | str | bool | None = None, workers: int | None = None,
            progress: Stages | None = None, **options: Any) -> Conversion:  # fmt: skip
    """Convert a data set.

    Args:
        path: its folder or file.
        output: a .json file for COCO, a folder for other formats. Several subsets become <output>_<subset>.json, or
            images/<subset> and labels/<subset> (YOLO), or folders (labelme). Folds become <output>_fold1_train.json and so on,
            or folders fold1 and so on, each with a train and a val.
        format: a key of `mrcnn.datasets.catalog.FORMATS`; None detects it.
        to: one of TARGETS.
        subsets: those to convert; None for all.
        split: the fraction of images for train, with the rest in val; or the fractions of train, val and test; None does not
            split. See `mrcnn.datasets.splits.split_images`.
        folds: number of folds for cross-validation, instead of `split`: each image is in the val part of exactly one fold.
        group: with `split` or `folds`, a regular expression: images for which it matches the same part of the id stay in one
            subset (`mrcnn.datasets.splits.group_by_id`). None splits images individually.
        seed: of the split.
        copy_images: a folder for copies of the images; True for a folder next to or in the output; None for no copies. For
            YOLO, images are always copied to the output.
        workers: number of processes; None uses one per core when there are many images.
        progress: the stages of the reader, "dividing", and "writing" of each subset.
        **options: of the reader; see `mrcnn.datasets.open`.

    Raises:
        DataError: the data set cannot be read, a subset has no usable image, or the output contains files of an earlier split.
        ValueError: an argument is invalid or contradicts another, or the output would overwrite the data set.
    """
    output, format = Path(output), format or recognise_format(path)
    subsets = list(subsets_of(path, format) if subsets is None else subsets)
    division = division_of(split, folds, group, seed)
    _check(path, output, to, subsets, division, copy_images)
    copies = _copies_folder(output, copy_images) if to == "coco" and copy_images else None
    if to == "coco":
        remove_leftovers(output.parent)
    remove_leftovers(copies or output, subfolders=True)
    if division is not None:
        refuse_leftovers(division, output, to, copies)
    progress = progress or unseen
    results: dict[str | None, tuple[Path, Summary]] = {}
    images: dict[str | None, Path] = {}
    names: list[str | None] = [*subsets] or [None]
    for subset in names:
        dataset = _open(path, format, subset, workers, progress, options)
        parts: dict[str | None, list[int] | None] = {None if len(subsets) < 2 else subset: None}
        if division is not None:
            with progress("dividing") as show:
                parts = {name: ids for name, ids in division.divide(dataset, show).items()}
        with _parts_at_once(output) if to == "coco" and division else contextlib.nullcontext(output.parent) as folder:
            for part, ids in parts.items():
                with progress(f"writing {part or ''}".strip()) as show:
                    common = {"image_ids": ids, "workers": workers, "progress": show}
                    results[part] = _write(dataset, output, to, part, folder, bool(copy_images), copies, common)
        if to == "coco" and not copy_images:
            images |= dict.fromkeys(parts, images_folder(dataset))
    if division is None:
        return Conversion(results, _sum(summary for _, summary in results.values()), images)
    total = _sum((results[part][1] for part in division.once()), same_dataset=True)
    total.notes += note_other_parts(division, output, to)
    return Conversion(results, total, images)


def _check(path: Path | str, output: Path, to: str, subsets: Sequence[str], division: Division | None,
           copy_images: Path | str | bool | None) -> None:  # fmt: skip
    """Refuse invalid arguments before anything is read."""
    if to not in TARGETS:
        raise ValueError(f"{to!r} cannot be written: choose {', '.join(TARGETS)}")
    if division is not None and len(subsets) > 1:
        raise ValueError(f"the data set is already divided into {', '.join(subsets)}: choose the subset to split (--subset)")
    if (to == "coco") != (output.suffix.lower() == ".json"):
        raise ValueError(f"{output}: {to} is written to {'a .json file' if to == 'coco' else 'a folder'}: change the output")
    unknown = [part for part in subsets if part not in PARTS] if to == "yolo" and division is None else []
    if unknown and len(subsets) > 1:
        raise ValueError(f"YOLO has no subset {unknown[0]!r}: choose the subsets to convert (--subset) from "
                         f"{', '.join(part for part in subsets if part in PARTS) or 'none: the data set has no such subset'}")
    if to != "coco" and copy_images not in (None, True):
        raise ValueError(f"images for {to} are copied to the output: omit the folder {copy_images}")
    source, parts = Path(os.path.realpath(path)), [None] if division is None else [None, *division.parts]
    for written in (part_file(output, part) for part in parts) if to == "coco" else [output]:
        target = Path(os.path.realpath(written))
        if target == source or to != "coco" and target.is_relative_to(source):
            raise ValueError(f"{written} would overwrite the data set, or is in it: choose another output")


def _copies_folder(output: Path, copy_images: Path | str | bool) -> Path:
    return output.parent / "images" if isinstance(copy_images, bool) else Path(copy_images)


@contextlib.contextmanager
def _parts_at_once(output: Path) -> Iterator[Path]:
    """Yield a temporary folder for the JSON files of a split, which are all moved into place when the block ends.

    Otherwise, an interrupted run could leave a new part next to an old one, with images in both.
    """
    with scratch_folder(output.parent, f".{output.name}") as folder:
        yield folder
        for path in sorted(folder.iterdir()):
            os.replace(path, output.parent / path.name)


def _open(path: Path | str, format: str, subset: str | None, workers: int | None, progress: Stages,
          options: dict[str, Any]) -> Dataset:  # fmt: skip
    if "workers" in inspect.signature(format_module(format).open_subset).parameters:
        options = {**options, "workers": workers}
    return open_dataset(path, format, subset, progress, **options)


def _write(dataset: Dataset, output: Path, to: str, part: str | None, folder: Path, with_images: bool, copies: Path | None,
           common: dict[str, Any]) -> tuple[Path, Summary]:  # fmt: skip
    """Write one part; a JSON file goes to `folder` for now. `common` contains arguments that all writers take."""
    fold, _, name = (part or "").rpartition("/")
    if to == "yolo":
        return output / fold, write_yolo(dataset, output / fold, subset=name or "train", **common)
    if to == "labelme":
        target = output / part if part else output
        return target, write_labelme(dataset, target, copy_images=with_images, **common)
    path = part_file(output, part)
    if copies is None:
        return path, write_coco(dataset, folder / path.name, images=images_folder(dataset), **common)
    # one folder per part, because images of different parts may have the same name
    folders = part_folders(output, to, part, copies) if part else [copies]
    return path, write_coco(dataset, folder / path.name, copy_images=folders[0], **common)


def _sum(summaries: Iterable[Summary], same_dataset: bool = False) -> Summary:
    """Add up summaries. With `same_dataset`, all of them repeat what the reader skipped and noted."""
    total = Summary()
    for summary in summaries:
        total.images += summary.images
        total.instances += summary.instances
        for name, count in summary.per_class.items():
            total.per_class[name] = total.per_class.get(name, 0) + count
        total.skipped += summary.skipped
        total.notes += summary.notes
    if same_dataset:
        total.skipped, total.notes = list(dict.fromkeys(total.skipped)), list(dict.fromkeys(total.notes))
    return total
