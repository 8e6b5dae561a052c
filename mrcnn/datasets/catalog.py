"""The data formats by name, and a function that opens any of them. `mrcnn.datasets.formats` describes what a format needs."""

import contextlib
import inspect
import logging
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages
from mrcnn.datasets.class_names import same_but_for_spelling
from mrcnn.io.json_fields import forget_outlined

if TYPE_CHECKING:
    from mrcnn.datasets.dataset import Dataset
    from mrcnn.datasets.formats import Format
else:
    # The command line needs FORMATS for its help, and must not wait for NumPy.
    Dataset = Format = object

logger = logging.getLogger(__name__)

# name on the command line: (module, description)
FORMATS = {
    "shapes": ("shapes", "synthetic images, nothing to download"),
    "coco": ("coco", "COCO instances: annotations/instances_*.json, or one such JSON file"),
    "lvis": ("lvis", "LVIS instances: lvis_v1_*.json, or one such JSON file"),
    "yolo": ("yolo", "YOLO segmentation labels: images/ and labels/*.txt, data.yaml or classes.txt"),
    "voc": ("voc", "Pascal VOC: JPEGImages/, SegmentationObject/, SegmentationClass/"),
    "panoptic": ("panoptic", "COCO panoptic: annotations/panoptic_*.json with PNGs, or shards *-of-*.tfrecord"),
    "masks": ("mask_folder", "a PNG per instance: <id>/images/ and <id>/masks/*.png, or images/ and masks/<name>/*.png"),
    "labelme": ("labelme", "labelme: a JSON file next to each image"),
    "via": ("via", "VGG Image Annotator: via_region_data.json, another JSON or CSV export, or a saved project"),
    "semantic": ("semantic", "semantic maps: images/ and masks/*.png of the same names, classes.txt"),
    "cocolvis": ("cocolvis", "COCO+LVIS: images/, masks/*.pickle and hannotation.pickle, in train/ and val/"),
}
# generated on demand: they take no path
GENERATED = ("shapes",)
# formats that `mrcnn.tools.convert.between_formats` writes
TARGETS = ("coco", "yolo", "labelme")
# subfolders examined for a hint
_LOOKED_AT = 10


def open_dataset(
    path: os.PathLike[str] | str | None = None,
    format: str | None = None,
    subset: str | None = None,
    progress: Stages | None = None,
    depth: int | None = None,
    **options: Any,
) -> Dataset:
    """Open a data set of any format and prepare it. This is `mrcnn.datasets.open`.

    Args:
        path: its folder or file; None for shapes, which are generated.
        format: a key of FORMATS. None detects it.
        subset: train, val, ... None opens the only subset, or an undivided data set.
        progress: reports the stages of the reader.
        depth: number of bits that the values of 16-bit images use, such as 12; None for 16.
        **options: options of the format's `open_subset`, such as year (coco), count (shapes), allow_outside (formats that
            read file names from data files). None leaves an option at its default.

    Returns:
        A prepared data set.

    Raises:
        DataError: the path does not exist, the format is not recognised, the subset is unknown, or it holds no images.
        ValueError: `format` or an option is unknown, or `depth` is not from 1 to 16.
    """
    if depth is not None and not 1 <= depth <= 16:
        raise ValueError(f"depth is {depth}: expected a number of bits from 1 to 16")
    if format is None:
        format = recognise_format(path)
    reader = format_module(format)
    _check_path(path, format)
    options = {name: value for name, value in options.items() if value is not None}
    known = [name for name in inspect.signature(reader.open_subset).parameters if name not in ("path", "subset", "progress")]
    for name in options:
        if name not in known:
            raise ValueError(f"the format {format} has no option {name!r}; it has {', '.join(known) or 'none'}")
    with _naming_other_format(path, format):
        dataset = reader.open_subset(path, _checked_subset(reader, path, format, subset), progress=progress, **options)
    dataset.depth = depth
    dataset.prepare()
    if not dataset.num_images:
        raise DataError(f"{format}: {path} holds no images" + (f" in the subset {subset!r}." if subset else ".")
                        + _skipped(dataset))  # fmt: skip
    for names in same_but_for_spelling(dataset.class_names[1:]):
        logger.warning("%s: the classes %s differ only in case, spaces or punctuation: give them the same name if they are one "
                       "class", path, ", ".join(map(repr, names)))  # fmt: skip
    return dataset


def _skipped(dataset: Dataset) -> str:
    """Return the first entry that a reader skipped, as the end of a message."""
    skipped = getattr(dataset, "skipped", ())
    if not skipped:
        return ""
    (where, reason), count = skipped[0], len(skipped)
    return f" {'1 was skipped:' if count == 1 else f'{count} were skipped, such as'} {where}: {reason}"


def _checked_subset(reader: Format, path: os.PathLike[str] | str | None, format: str, subset: str | None) -> str | None:
    """Return the subset to open: the requested one, or the only one; None for an undivided data set."""
    names = reader.subsets(cast(Path, path))
    if subset is None and len(names) == 1:
        return names[0]
    if subset is None and names:
        raise DataError(f"{format}: {path or format} has the subsets {', '.join(names)}: say which one to open with "
                        "subset=NAME (--subset NAME).")
    if subset is not None and subset not in names:
        raise DataError(f"{format}: {path or format} has no subset {subset!r}; "
                        + (f"it has {', '.join(names)}." if names else "it is not divided into subsets."))
    return subset


def subsets_of(path: os.PathLike[str] | str | None, format: str) -> list[str]:
    """Return the subsets of a data set.

    Args:
        path: its folder or file; None for generated data.
        format: a key of FORMATS.
    """
    reader = format_module(format)
    _check_path(path, format)
    with _naming_other_format(path, format):
        return reader.subsets(cast(Path, path))


@contextlib.contextmanager
def _naming_other_format(path: os.PathLike[str] | str | None, format: str) -> Iterator[None]:
    """Add to a DataError which format the data are in, if it is not the given one."""
    try:
        yield
    except DataError as error:
        if path is None or format_module(format).recognise(Path(path)) is None:
            raise
        try:
            other = recognise_format(path)
        except DataError:
            raise error from None
        if other == format:
            raise
        raise DataError(f"{path} is not {format} but {other} data: use the format {other}. {error}") from error


def _check_path(path: os.PathLike[str] | str | None, format: str) -> None:
    if path is not None and format in GENERATED:
        raise DataError(f"{format} are generated, and take no --dataset: did you mean another format for {path}? "
                        f"There are {', '.join(name for name in FORMATS if name not in GENERATED)}.")
    if path is None and format not in GENERATED:
        raise DataError(f"{format}: say where the data are: the path of a folder or file (--dataset PATH).")
    if path is not None and not Path(path).exists():
        raise DataError(f"{path} does not exist: give the folder or file of the data set")


def recognise_format(path: os.PathLike[str] | str | None) -> str:
    """Detect the format of a file or folder.

    Returns:
        A key of FORMATS.

    Raises:
        DataError: no format matches (the message gives the reason for each), or more than one does.
    """
    if path is None:
        raise DataError("say which data to open: the path of a folder or file, or a format such as shapes.")
    if not Path(path).exists():
        raise DataError(f"{path} does not exist: give the folder or file of the data set")
    reasons = {name: format_module(name).recognise(Path(path)) for name in FORMATS if name not in GENERATED}
    fitting = [name for name, reason in reasons.items() if reason is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(f"{path} can be read as {' or '.join(fitting)}: say which with format=NAME (--format NAME)")
    if coco_by_content(Path(path)):
        return "coco"
    forget_outlined()
    text = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
    raise DataError(f"{path}: unknown data set format; looked for {text}{_hint(Path(path))}")


def coco_by_content(path: Path) -> bool:
    """Return whether a folder that no format recognises holds COCO files under names of their own."""
    return import_module("mrcnn.datasets.formats.coco.dataset").recognise_by_content(path)


def _hint(path: Path) -> str:
    """Return where in a folder a data set is, as the end of a message."""
    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    for folder in folders[:_LOOKED_AT]:
        for name in FORMATS:
            if name not in GENERATED and format_module(name).recognise(folder) is None:
                return f"; its folder {folder.name}/ is in the format {name}: give that"
    return ""


def format_module(name: str) -> Format:
    """Import the module that reads a format.

    Args:
        name: a key of FORMATS.

    Raises:
        ValueError: the format is unknown.
    """
    if name not in FORMATS:
        raise ValueError(f"{name!r} is not a data format: choose {', '.join(FORMATS)}.")
    return cast(Format, import_module(f"mrcnn.datasets.formats.{FORMATS[name][0]}"))
