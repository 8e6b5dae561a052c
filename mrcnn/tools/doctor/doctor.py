"""The checks one after another, over all parts of a data set."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.progress import unseen
from mrcnn.datasets.catalog import FORMATS, open_dataset, recognise_format, subsets_of
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats import coco
from mrcnn.tools.doctor.annotations import note_annotations
from mrcnn.tools.doctor.categories import class_counts, note_categories
from mrcnn.tools.doctor.coco_json import read_part
from mrcnn.tools.doctor.duplicates import note_duplicates
from mrcnn.tools.doctor.finding import Findings, Place
from mrcnn.tools.doctor.image_scan import note_scans, scan_images
from mrcnn.tools.doctor.object_sizes import InputSettings, measure
from mrcnn.tools.doctor.parts import dataset_part
from mrcnn.tools.doctor.report import Report


def check_dataset(data, *, format=None, subset=None, config=None, workers=2, progress=None, **options):
    """Look a data set over: its files, sizes, masks, boxes, duplicates, classes and object sizes.

    Args:
        data: path of a folder or file of any format; or a Dataset, a list of them, or a dict name -> Dataset. None for
            a format that is made as it is asked for. A COCO JSON is looked at raw, as its reader stops at what is wrong.
        format: str, a key of `mrcnn.datasets.catalog.FORMATS`. None finds out.
        subset: str or list of str. The parts to check, of a path. None checks all: duplicates across them are found.
        config: Config whose anchors and image size the objects are held against; None takes the default ones.
        workers: int. Threads that read images.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of the reader, then "checking images", "checking
            annotations" of each image, "looking for duplicates" and "measuring objects".
        **options: of the reader of the format, such as images, year, allow_outside.

    Returns:
        Report.

    Raises:
        DataError: nothing is there, or nothing of it can be read.
        ValueError: `format` or an option is unknown.
    """
    findings = Findings()
    progress = progress or unseen
    parts = _open_parts(data, format, subset, options, findings, progress)
    images = [image for part in parts for image in part.images]
    with progress("checking images") as show:
        scans = scan_images(images, workers, show)
        scans = [list(itertools.islice(scans, len(part.images))) for part in parts]
    objects = []
    for part, some in zip(parts, scans, strict=True):
        note_scans(part, some, findings)
        with progress(f"checking annotations {part.name}".strip()) as show:
            objects.append(note_annotations(part, some, findings, show))
    with progress("looking for duplicates"):
        note_duplicates(parts, scans, findings)
    note_categories(parts, objects, findings)
    with progress("measuring objects"):
        sizes = measure(objects, InputSettings.of(config), findings)
    statistics = {"parts": _part_statistics(parts, objects), "classes": _class_statistics(parts, objects), "sizes": sizes}
    source = str(data) if isinstance(data, str | Path) else format or type(data).__name__
    return Report(source, findings, statistics, list(zip(parts, scans, strict=True)))


def _open_parts(data, format, subset, options, findings, progress):
    """Open all that is to be checked: a list of Part, not empty."""
    if isinstance(data, Dataset):
        return [dataset_part(data)]
    if isinstance(data, Mapping):
        return [dataset_part(dataset, str(name)) for name, dataset in data.items()]
    if isinstance(data, list | tuple):
        return [dataset_part(dataset, str(position)) for position, dataset in enumerate(data)]
    format = format or recognise_format(data)
    options = {name: value for name, value in options.items() if value is not None}
    wanted = None if subset is None else [subset] if isinstance(subset, str) else list(subset)
    if format == "coco" and data is not None and Path(data).exists():
        named = _coco_parts(Path(data), wanted, options, findings, progress)
    else:
        named = _reader_parts(data, format, wanted, options, progress)
    parts, faults = [], []
    for name, open_part in named:
        try:
            parts.append(open_part())
        except DataError as error:
            faults.append(error)
            findings.add("part_unreadable", Place(name), str(error))
    if not parts:
        raise faults[0]
    return parts


def _reader_parts(path, format, wanted, options, progress):
    """List (name, function that opens it) of the parts that a reader knows."""
    if format not in FORMATS:
        raise ValueError(f"{format!r} is no data format: choose {', '.join(FORMATS)}.")
    names = wanted or subsets_of(path, format) or [None]

    def opener(name):
        return lambda: dataset_part(open_dataset(path, format, name, progress, **options), name or "", path or "")

    return [(name or "", opener(name)) for name in names]


def _coco_parts(path, wanted, options, findings, progress):
    """List (name, function that opens it) of raw COCO JSONs: one file, or those of a folder in COCO's layout."""
    unknown = sorted(set(options) - {"images", "year", "allow_outside"})
    if unknown:
        raise ValueError(f"the format coco has no option {unknown[0]!r}; it has year, images, allow_outside")
    allow_outside = bool(options.get("allow_outside"))
    if path.is_file():
        if wanted:
            raise DataError(f"{path} is one file: it has no subset {wanted[0]!r}")
        folder = Path(options.get("images") or path.parent)
        return [("", lambda: read_part(path, folder, "", findings, allow_outside=allow_outside, progress=progress))]
    coco.refuse_images(path, options.get("images"))
    files = coco.annotation_files(path)
    if not files:
        raise DataError(f"{path}: no annotations/instances_*.json in it, which COCO's layout has")
    there = sorted({subset for subset, _, _ in files})
    for name in wanted or []:
        if name not in there:
            raise DataError(f"{path} has no subset {name!r}; it has {', '.join(there)}.")
    year = str(options.get("year") or "")
    files = [f for f in files if (not wanted or f[0] in wanted) and (not year or f[1] == year)]
    if not files:
        raise DataError(f"{path} has no annotations of the year {year}")

    def opener(subset, year, file, name):
        folder = coco.image_folder(path, subset, year)
        return lambda: read_part(file, folder, name, findings, allow_outside=allow_outside, progress=progress)

    names = [subset if [f[0] for f in files].count(subset) == 1 else subset + year for subset, year, _ in files]
    return [(name, opener(*found, name)) for name, found in zip(names, files, strict=True)]


def _part_statistics(parts, objects):
    return [
        {"part": part.name, "path": part.path, "images": some.images, "without_objects": some.empty_images,
         "annotations": some.annotations, "crowds": some.crowds}
        for part, some in zip(parts, objects, strict=True)
    ]  # fmt: skip


def _class_statistics(parts, objects):
    """Objects and images of each class, most objects first."""
    rows = []
    for (category, name), of in class_counts(parts, objects).items():
        images = sum(some.image_counts.get(category, 0) for part, some in zip(parts, objects)
                     if part.categories.get(category) == name)  # fmt: skip
        rows.append({"id": category, "name": name, "objects": sum(of.values()), "images": images, "by_part": of})
    return sorted(rows, key=lambda row: -row["objects"])
