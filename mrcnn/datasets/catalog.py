"""The data formats by name, and the one way to open any of them.

Each format is a module of `mrcnn.datasets.formats` with three functions:

    recognise(path) -> None when the file or folder looks like this format, or a short reason why it does not.
    subsets(path) -> list of the names of its parts, such as ["train", "val"]; [] when it is undivided.
    open_subset(path, subset=None, *, progress=None, **options) -> Dataset, not prepared. `subset` None takes what is
        undivided; `progress` is a maker of stages, as of `mrcnn.base.progress`, or None.
"""

import inspect
from importlib import import_module
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.io.json_fields import forget_outlined

# name on the command line: (module, what it is)
FORMATS = {
    "shapes": ("shapes", "synthetic images, nothing to download"),
    "coco": ("coco", "COCO instances: annotations/instances_*.json, or one such JSON file"),
    "lvis": ("lvis", "LVIS instances: lvis_v1_*.json, or one such JSON file"),
    "yolo": ("yolo", "YOLO segmentation labels: images/ and labels/*.txt, data.yaml or classes.txt"),
    "voc": ("voc", "Pascal VOC: JPEGImages/, SegmentationObject/, SegmentationClass/"),
    "panoptic": ("panoptic", "COCO panoptic: annotations/panoptic_*.json with PNGs, or shards *-of-*.tfrecord"),
    "masks": ("mask_folder", "a PNG an instance: <id>/images/ and <id>/masks/*.png, or images/ and masks/<name>/*.png"),
    "labelme": ("labelme", "labelme: a JSON file beside each image"),
    "via": ("via", "VGG Image Annotator 1 and 2: via_region_data.json, or a saved project"),
    "semantic": ("semantic", "semantic maps: images/ and masks/*.png of the same names, classes.txt"),
    "cocolvis": ("cocolvis", "COCO+LVIS: images/, masks/*.pickle and hannotation.pickle, in train/ and val/"),
}
# made as they are asked for: no path
MADE = ("shapes",)
# what `mrcnn.tools.convert.between_formats` writes
TARGETS = ("coco", "yolo", "labelme")


def open_dataset(path=None, format=None, subset=None, progress=None, **options):
    """Open a data set of any format and prepare it. This is `mrcnn.datasets.open`.

    Args:
        path: path of its folder or file; None for shapes, which are made.
        format: str, a key of FORMATS. None finds out.
        subset: str. Which part: train, val, ... None takes the only part, or what is not divided into parts.
        progress: maker of stages (`mrcnn.base.progress`), or None. The stages are the reader's.
        **options: of the format's `open_subset`, such as year (coco), count (shapes), allow_outside (all that read
            file names from data files). None leaves an option at its default.

    Returns:
        mrcnn.datasets.dataset.Dataset, prepared.

    Raises:
        DataError: nothing is there, the format is not recognised, the subset is unknown, or no image is in it.
        ValueError: `format` or an option is unknown.
    """
    if format is None:
        format = recognise_format(path)
    reader = format_module(format)
    _check_path(path, format)
    options = {name: value for name, value in options.items() if value is not None}
    known = [name for name in inspect.signature(reader.open_subset).parameters if name not in ("path", "subset", "progress")]
    for name in options:
        if name not in known:
            raise ValueError(f"the format {format} has no option {name!r}; it has {', '.join(known) or 'none'}")
    dataset = reader.open_subset(path, _checked_subset(reader, path, format, subset), progress=progress, **options)
    dataset.prepare()
    if not dataset.num_images:
        raise DataError(f"{format}: {path} holds no images" + (f" in the subset {subset!r}." if subset else "."))
    return dataset


def _checked_subset(reader, path, format, subset):
    """The subset to open: the one that was asked for, or the only one; None for what is undivided."""
    there = reader.subsets(path)
    if subset is None and len(there) == 1:
        return there[0]
    if subset is None and there:
        raise DataError(f"{format}: {path or format} has the subsets {', '.join(there)}: say which one to open.")
    if subset is not None and subset not in there:
        raise DataError(f"{format}: {path or format} has no subset {subset!r}; "
                        + (f"it has {', '.join(there)}." if there else "it is not divided into subsets."))
    return subset


def subsets_of(path, format):
    """Name the parts of a data set. Args: path: path or None; format: str, a key of FORMATS. Returns: list of str."""
    reader = format_module(format)
    _check_path(path, format)
    return reader.subsets(path)


def _check_path(path, format):
    if path is not None and format in MADE:
        raise DataError(f"{format} are made, and take no --dataset: did you mean another format for {path}? "
                        f"There are {', '.join(name for name in FORMATS if name not in MADE)}.")
    if path is None and format not in MADE:
        raise DataError(f"{format}: say where the data are: the path of a folder or file (--dataset PATH).")
    if path is not None and not Path(path).exists():
        raise DataError(f"{path} does not exist: give the folder or file of the data set")


def recognise_format(path):
    """Find out the format of a file or folder. Args: path: path. Returns: str, a key of FORMATS.

    Raises:
        DataError: no format fits, with the reason of each, or more than one does.
    """
    if path is None:
        raise DataError("say which data to open: the path of a folder or file, or a format such as shapes.")
    if not Path(path).exists():
        raise DataError(f"{path} does not exist: give the folder or file of the data set")
    reasons = {name: format_module(name).recognise(Path(path)) for name in FORMATS if name not in MADE}
    fitting = [name for name, reason in reasons.items() if reason is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(f"{path} can be read as {' or '.join(fitting)}: say which with format=... (--format)")
    forget_outlined()
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise DataError(f"{path} is of no format that is known. {told}")


def format_module(name):
    """Import the module that reads a format. Args: name: str, a key of FORMATS. Raises: ValueError: it is unknown."""
    if name not in FORMATS:
        raise ValueError(f"{name!r} is no data format: choose {', '.join(FORMATS)}.")
    return import_module(f"mrcnn.datasets.formats.{FORMATS[name][0]}")
