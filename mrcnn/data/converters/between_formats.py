"""From any format that is read to any that is written, by parts or divided anew."""

import contextlib
import inspect
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mrcnn.data.catalog import format_module, open_dataset, recognise_format, subsets_of
from mrcnn.data.errors import DataError
from mrcnn.data.formats.yolo_layout import PARTS
from mrcnn.data.splits import split_images
from mrcnn.data.writers.coco import write_coco
from mrcnn.data.writers.images import images_folder
from mrcnn.data.writers.labelme import write_labelme
from mrcnn.data.writers.summary import Summary
from mrcnn.data.writers.yolo import write_yolo

TARGETS = ("coco", "yolo", "labelme")


@dataclass
class Conversion:
    """What was converted.

    Attributes:
        parts: dict name of the part, None for the whole -> (Path of what was written, Summary of it).
        summary: Summary of all parts together.
        images: Path of the folder that the file names of a COCO JSON are relative to, where images were not copied;
            else None.
    """

    parts: dict
    summary: Summary
    images: Path | None = None


def convert(path, output, *, format=None, to="coco", subsets=None, split=None, group=None, seed=0, copy_images=None,
            workers=None, progress=None, **options):  # fmt: skip
    """Convert a data set.

    Args:
        path: path of its folder or file.
        output: path. A .json file for COCO, a folder for the others. Several parts become <output>_<part>.json, or
            images/<part> and labels/<part> (YOLO), or folders (labelme).
        format: str, a key of `mrcnn.data.catalog.FORMATS`; None finds out.
        to: str, one of TARGETS.
        subsets: list of str. The parts to convert, where the data are divided; None for all of them.
        split: float between 0 and 1. The share of images that become the part train, the others val; None does not
            divide. See `mrcnn.data.splits.split_images`.
        group: str. With `split`: a regular expression; images whose ids agree in what it matches (in its first group,
            if it has one) stay in one part. None takes each image by itself.
        seed: int. Of the split.
        copy_images: path of a folder for copies of the images, True for one beside or in the output, None for none.
            YOLO's are always copied, into the output.
        workers: int. Processes; None for one a processor core where there are many images.
        progress: function (what) -> context manager that gives a callable (done, total), or None.
        **options: of the reader; see `mrcnn.data.open`.

    Returns:
        Conversion.

    Raises:
        DataError: the data cannot be read, no image of a part is usable, or with `split` a part's folder holds files.
        ValueError: an argument is unknown, or contradicts another, or the output is the data set itself.
    """
    output, format = Path(output), format or recognise_format(path)
    there = subsets_of(path, format)
    subsets = list(there) if subsets is None else list(subsets)
    _check(path, output, to, subsets, split, copy_images)
    if split is not None:
        _check_new(output, to, copy_images)
    progress = progress or (lambda what: contextlib.nullcontext())
    results, images = {}, None
    for subset in subsets or [None]:
        with progress("reading") as show:
            dataset = _open(path, format, subset, workers, show, options)
        shares = {None if len(subsets) < 2 else subset: None}
        if split is not None:
            with progress("dividing") as show:
                shares = split_images(dataset, {"train": split, "val": 1 - split}, group=group and _grouping(group),
                                      seed=seed, progress=show)  # fmt: skip
        for part, ids in shares.items():
            with progress(f"writing {part or ''}".strip()) as show:
                results[part] = _write(dataset, output, to, part, ids, copy_images, workers, show)
        if to == "coco" and not copy_images:
            images = images_folder(dataset)
    summaries = [summary for _, summary in results.values()]
    return Conversion(results, _together(summaries, once=split is not None), images)


def _check(path, output, to, subsets, split, copy_images):
    """Refuse what cannot be meant, before anything is read."""
    if to not in TARGETS:
        raise ValueError(f"{to!r} is no format that is written: choose {', '.join(TARGETS)}")
    if split is not None and len(subsets) > 1:
        raise ValueError(f"the data are divided into {', '.join(subsets)} already: say which part to divide anew (--subset)")
    if split is not None and not 0 < split < 1:
        raise ValueError(f"split is {split}: expected the share of the images to train on, between 0 and 1")
    if (to == "coco") != (output.suffix.lower() == ".json"):
        raise ValueError(f"{output}: {to} is written to {'a .json file' if to == 'coco' else 'a folder'}: change the output")
    unknown = [part for part in subsets if part not in PARTS] if to == "yolo" and split is None else []
    if unknown and len(subsets) > 1:
        raise ValueError(f"YOLO has no part {unknown[0]!r}: say which of the parts to convert (--subset), out of "
                         f"{', '.join(part for part in subsets if part in PARTS) or 'none here'}")
    if to != "coco" and copy_images not in (None, True):
        raise ValueError(f"images for {to} are copied into the output: leave out their folder, {copy_images}")
    source, target = Path(os.path.realpath(path)), Path(os.path.realpath(output))
    if target == source or to != "coco" and target.is_relative_to(source):
        raise ValueError(f"{output} is the data set itself, or in it: choose another output")


def _check_new(output, to, copy_images):
    """Refuse folders with files in them for parts that are divided anew: an image of before might end in both."""
    for part in ("train", "val"):
        for folder in _part_folders(output, to, part, copy_images):
            if folder.is_dir() and any(folder.iterdir()):
                raise DataError(f"{folder} has files in it, and data that are divided anew beside them could have an image "
                                "in both parts: remove the folder, or give another output")


def _part_folders(output, to, part, copy_images):
    """List the folders that the files of one part go to, but for COCO's JSON."""
    if to == "yolo":
        return [output / "images" / part, output / "labels" / part]
    if to == "labelme":
        return [output / part]
    return [_copies_folder(output, part, copy_images)] if copy_images else []


def _copies_folder(output, part, copy_images):
    # a folder a part: images of several parts may have the same names
    return (output.parent / "images" if copy_images is True else Path(copy_images)) / (part or "")


def _open(path, format, subset, workers, show, options):
    known = inspect.signature(format_module(format).open_subset).parameters
    if "workers" in known:
        options = {**options, "workers": workers}
    if "progress" in known:
        options = {**options, "progress": show}
    return open_dataset(path, format, subset, **options)


def _grouping(pattern):
    """Make a function that tells the group of an image from its id."""
    try:
        pattern = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error

    def group_of(info):
        found = pattern.search(str(info["id"]))
        # what does not match is a group of its own
        if not found:
            return "alone", str(info["id"])
        return "matched", found[1] if pattern.groups and found[1] is not None else found[0]

    return group_of


def _write(dataset, output, to, part, ids, copy_images, workers, show):
    """Write one part: (path, Summary)."""
    common = {"image_ids": ids, "workers": workers, "progress": show}
    if to == "yolo":
        return output, write_yolo(dataset, output, subset=part or "train", **common)
    if to == "labelme":
        folder = output / part if part else output
        return folder, write_labelme(dataset, folder, copy_images=bool(copy_images), **common)
    path = output.with_name(f"{output.stem}_{part}{output.suffix}") if part else output
    if copy_images:
        return path, write_coco(dataset, path, copy_images=_copies_folder(output, part, copy_images), **common)
    return path, write_coco(dataset, path, images=images_folder(dataset), **common)


def _together(summaries, once):
    """Add summaries up. With `once` they are of one data set, and what its reader left out stands in each of them."""
    total = Summary()
    for summary in summaries:
        total.images += summary.images
        total.instances += summary.instances
        for name, count in summary.per_class.items():
            total.per_class[name] = total.per_class.get(name, 0) + count
        total.left_out += summary.left_out
        total.told += summary.told
    if once:
        total.left_out, total.told = list(dict.fromkeys(total.left_out)), list(dict.fromkeys(total.told))
    return total
