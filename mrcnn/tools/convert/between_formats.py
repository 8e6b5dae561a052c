"""From any format that is read to any that is written, by parts or divided anew."""

import contextlib
import inspect
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mrcnn.base.progress import unseen
from mrcnn.datasets.catalog import TARGETS, format_module, open_dataset, recognise_format, subsets_of
from mrcnn.datasets.folders import PARTS
from mrcnn.tools.convert.division import division_of, part_file, part_folders, parts_from_before, refuse_leftovers
from mrcnn.tools.write.coco import write_coco
from mrcnn.tools.write.images import images_folder
from mrcnn.tools.write.labelme import write_labelme
from mrcnn.tools.write.summary import Summary
from mrcnn.tools.write.yolo import write_yolo


@dataclass
class Conversion:
    """What was converted.

    Attributes:
        parts: dict name of the part, None for the whole -> (Path of what was written, Summary of it).
        summary: Summary of all parts together; of folds, which have the same images again and again, of these once.
        images: dict name of the part -> Path of the folder that the file names in its COCO JSON are relative to; empty
            where images were copied, or for other formats.
    """

    parts: dict
    summary: Summary
    images: dict


def convert(path, output, *, format=None, to="coco", subsets=None, split=None, folds=None, group=None, seed=0,
            copy_images=None, workers=None, progress=None, **options):  # fmt: skip
    """Convert a data set.

    Args:
        path: path of its folder or file.
        output: path. A .json file for COCO, a folder for the others. Several parts become <output>_<part>.json, or
            images/<part> and labels/<part> (YOLO), or folders (labelme); folds <output>_fold1_train.json and so on, or
            folders fold1 and so on, each with a train and a val.
        format: str, a key of `mrcnn.datasets.catalog.FORMATS`; None finds out.
        to: str, one of TARGETS.
        subsets: list of str. The parts to convert, where the data are divided; None for all of them.
        split: float between 0 and 1, the share of images that become the part train, the others val; or the three
            shares of train, val and test; None does not divide. See `mrcnn.datasets.splits.split_images`.
        folds: int. Divides for cross-validation, in place of `split`: each image is in the val of one fold.
        group: str. With `split` or `folds`: a regular expression; images whose ids agree in what it matches stay in one
            part (`mrcnn.datasets.splits.group_by_id`). None takes each image by itself.
        seed: int. Of the division.
        copy_images: path of a folder for copies of the images, True for one beside or in the output, None for none.
            YOLO's are always copied, into the output.
        workers: int. Processes; None for one a processor core where there are many images.
        progress: maker of stages (`mrcnn.base.progress`), or None.
        **options: of the reader; see `mrcnn.datasets.open`.

    Returns:
        Conversion.

    Raises:
        DataError: the data cannot be read, no image of a part is usable, or of data divided anew a part's folder holds
            files.
        ValueError: an argument is unknown, or contradicts another, or the output is the data set itself.
    """
    output, format = Path(output), format or recognise_format(path)
    there = subsets_of(path, format)
    subsets = list(there) if subsets is None else list(subsets)
    division = division_of(split, folds, group, seed)
    _check(path, output, to, subsets, division, copy_images)
    copies = _copies_folder(output, copy_images) if to == "coco" and copy_images else None
    if division is not None:
        refuse_leftovers(division, output, to, copies)
    progress = progress or unseen
    results, images = {}, {}
    for subset in subsets or [None]:
        dataset = _open(path, format, subset, workers, progress, options)
        parts = {None if len(subsets) < 2 else subset: None}
        if division is not None:
            with progress("dividing") as show:
                parts = division.divide(dataset, show)
        with _parts_at_once(output) if to == "coco" and division else contextlib.nullcontext(output.parent) as place:
            for part, ids in parts.items():
                with progress(f"writing {part or ''}".strip()) as show:
                    common = {"image_ids": ids, "workers": workers, "progress": show}
                    results[part] = _write(dataset, output, to, part, place, bool(copy_images), copies, common)
        if to == "coco" and not copy_images:
            images |= dict.fromkeys(parts, images_folder(dataset))
    if division is None:
        return Conversion(results, _together([summary for _, summary in results.values()]), images)
    total = _together([results[part][1] for part in division.once()], once=True)
    total.notes += parts_from_before(division, output, to)
    return Conversion(results, total, images)


def _check(path, output, to, subsets, division, copy_images):
    """Refuse what cannot be meant, before anything is read."""
    if to not in TARGETS:
        raise ValueError(f"{to!r} is no format that is written: choose {', '.join(TARGETS)}")
    if division is not None and len(subsets) > 1:
        raise ValueError(f"the data are divided into {', '.join(subsets)} already: say which part to divide anew (--subset)")
    if (to == "coco") != (output.suffix.lower() == ".json"):
        raise ValueError(f"{output}: {to} is written to {'a .json file' if to == 'coco' else 'a folder'}: change the output")
    unknown = [part for part in subsets if part not in PARTS] if to == "yolo" and division is None else []
    if unknown and len(subsets) > 1:
        raise ValueError(f"YOLO has no part {unknown[0]!r}: say which of the parts to convert (--subset), out of "
                         f"{', '.join(part for part in subsets if part in PARTS) or 'none here'}")
    if to != "coco" and copy_images not in (None, True):
        raise ValueError(f"images for {to} are copied into the output: leave out their folder, {copy_images}")
    source, parts = Path(os.path.realpath(path)), [None] if division is None else [None, *division.parts]
    for written in (part_file(output, part) for part in parts) if to == "coco" else [output]:
        target = Path(os.path.realpath(written))
        if target == source or to != "coco" and target.is_relative_to(source):
            raise ValueError(f"{written} is the data set itself, or in it: choose another output")


def _copies_folder(output, copy_images):
    return output.parent / "images" if copy_images is True else Path(copy_images)


@contextlib.contextmanager
def _parts_at_once(output):
    """Give a new folder for the JSON files of a division, which come in place together when the block ends.

    A run that is broken off would else leave a new part beside an old one, and images in both.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        yield Path(folder)
        for path in sorted(Path(folder).iterdir()):
            os.replace(path, output.parent / path.name)


def _open(path, format, subset, workers, progress, options):
    if "workers" in inspect.signature(format_module(format).open_subset).parameters:
        options = {**options, "workers": workers}
    return open_dataset(path, format, subset, progress, **options)


def _write(dataset, output, to, part, place, with_images, copies, common):
    """Write one part: (path, Summary). Args: place: folder that a JSON file is written to; common: arguments of all writers."""
    fold, _, name = (part or "").rpartition("/")
    if to == "yolo":
        return output / fold, write_yolo(dataset, output / fold, subset=name or "train", **common)
    if to == "labelme":
        folder = output / part if part else output
        return folder, write_labelme(dataset, folder, copy_images=with_images, **common)
    path = part_file(output, part)
    if copies is None:
        return path, write_coco(dataset, place / path.name, images=images_folder(dataset), **common)
    # a folder a part: images of several parts may have the same names
    folders = part_folders(output, to, part, copies) if part else [copies]
    return path, write_coco(dataset, place / path.name, copy_images=folders[0], **common)


def _together(summaries, once=False):
    """Add summaries up. With `once` they are of one data set, and what its reader left out stands in each of them."""
    total = Summary()
    for summary in summaries:
        total.images += summary.images
        total.instances += summary.instances
        for name, count in summary.per_class.items():
            total.per_class[name] = total.per_class.get(name, 0) + count
        total.left_out += summary.left_out
        total.notes += summary.notes
    if once:
        total.left_out, total.notes = list(dict.fromkeys(total.left_out)), list(dict.fromkeys(total.notes))
    return total
