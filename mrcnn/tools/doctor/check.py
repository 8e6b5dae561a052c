"""Running all checks in order over the subsets of a data set, and checking its classes."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.progress import Stages, unseen
from mrcnn.config import Config
from mrcnn.datasets.class_names import likely_typos, same_but_for_spelling
from mrcnn.datasets.dataset import Dataset
from mrcnn.tools.doctor.annotations import Objects, check_annotations
from mrcnn.tools.doctor.findings import INFO, Findings, Place
from mrcnn.tools.doctor.images import check_images, find_duplicates, scan_images
from mrcnn.tools.doctor.object_sizes import input_settings, measure
from mrcnn.tools.doctor.parts import Part, open_parts
from mrcnn.tools.doctor.report import Report

# maximum number of classes named in a finding
_NAMED = 20


def check_dataset(data: Path | str | Dataset | Sequence[Dataset] | Mapping[str, Dataset] | None, *, format: str | None = None,
                  subset: str | Sequence[str] | None = None, config: Config | None = None, workers: int = 2,
                  progress: Stages | None = None, **options: Any) -> Report:  # fmt: skip
    """Check a data set: its files, sizes, masks, boxes, duplicates, classes and object sizes.

    Args:
        data: folder or file in any format, a data set, or several data sets, optionally by name. None for a generated format.
            A COCO JSON is checked entry by entry, because its reader stops at the first error.
        format: a key of `mrcnn.datasets.catalog.FORMATS`. None detects it.
        subset: subsets to check at a path. None checks all; duplicates across subsets are found only then.
        config: its anchors and image size are compared with the objects; None uses the defaults.
        workers: number of threads that read images.
        progress: the stages of the reader, then "checking images", "checking annotations" of each subset, "looking for
            duplicates" and "measuring objects".
        **options: of the reader of the format, such as images, year, allow_outside.

    Raises:
        DataError: there are no data, or none can be read.
        ValueError: `format` or an option is unknown.
    """
    findings = Findings()
    progress = progress or unseen
    parts = open_parts(data, format, subset, options, findings, progress)
    images = [image for part in parts for image in part.images]
    with progress("checking images") as show:
        all_scans = scan_images(images, workers, show)
        scans = [list(itertools.islice(all_scans, len(part.images))) for part in parts]
    objects = []
    for part, of_part in zip(parts, scans, strict=True):
        check_images(part, of_part, findings)
        with progress(f"checking annotations {part.name}".strip()) as show:
            objects.append(check_annotations(part, of_part, findings, show, (config or Config).MAX_GT_INSTANCES))
    with progress("looking for duplicates"):
        find_duplicates(parts, scans, findings)
    check_categories(parts, objects, findings)
    with progress("measuring objects"):
        sizes = measure(objects, input_settings(config), findings)
    statistics = {"parts": _part_statistics(parts, objects), "classes": _class_statistics(parts, objects), "sizes": sizes}
    source = str(data) if isinstance(data, str | Path) else format or type(data).__name__
    return Report(source, findings, statistics, list(zip(parts, scans, strict=True)))


def _part_statistics(parts: Sequence[Part], objects: Sequence[Objects]) -> list[dict[str, Any]]:
    return [
        {"part": part.name, "path": part.path, "images": of_part.images, "without_objects": of_part.empty_images,
         "annotations": of_part.annotations, "crowds": of_part.crowds}
        for part, of_part in zip(parts, objects, strict=True)
    ]  # fmt: skip


def _class_statistics(parts: Sequence[Part], objects: Sequence[Objects]) -> list[dict[str, Any]]:
    """Count the objects and images of each class, most frequent first."""
    rows = []
    for (category, name), by_part in class_counts(parts, objects).items():
        images = sum(of_part.image_counts[category] for part, of_part in zip(parts, objects)
                     if part.categories.get(category) == name)  # fmt: skip
        rows.append({"id": category, "name": name, "objects": sum(by_part.values()), "images": images, "by_part": by_part})
    return sorted(rows, key=lambda row: -row["objects"])


# --- classes

_Class = tuple[int | str, str]  # (category id, name)


def class_counts(parts: Sequence[Part], objects: Sequence[Objects]) -> dict[_Class, dict[str, int]]:
    """Count the objects of each class by subset, in the order of the categories."""
    counts: dict[_Class, dict[str, int]] = {}
    for part, of_part in zip(parts, objects, strict=True):
        for category, name in part.categories.items():
            by_part = counts.setdefault((category, name), {})
            by_part[part.name] = by_part.get(part.name, 0) + of_part.class_counts[category]
    return counts


def check_categories(parts: Sequence[Part], objects: Sequence[Objects], findings: Findings) -> None:
    """Find classes that differ between subsets, or are missing from a subset."""
    _find_differing(parts, findings)
    _find_gaps(parts, findings)
    counts = class_counts(parts, objects)
    _find_similar_names(counts, findings)
    crowds = set().union(*(of_part.crowd_categories for of_part in objects))
    unused = [key for key, by_part in counts.items() if not sum(by_part.values()) and key[0] not in crowds]
    if unused:
        message = f"{len(unused)} of {len(counts)} classes have no annotation: {_names(unused)}"
        findings.add("category_unused", Place(), message)
    trained = [part.name for part in parts if part.name.startswith("train")]
    if not trained or len(parts) < 2:
        return
    for part in parts:
        for key, by_part in counts.items():
            count = by_part.get(part.name, 0)
            if count and not any(by_part.get(name) for name in trained):
                message = f"{count} object{'s' if count > 1 else ''} of {_names([key])}, but none in {' and '.join(trained)}"
                findings.add("category_not_trained", Place(part.name), message)


def _find_differing(parts: Sequence[Part], findings: Findings) -> None:
    first: dict[int | str, tuple[str, str]] = {}
    for part in parts:
        for category, name in part.categories.items():
            other, other_part = first.setdefault(category, (name, part.name))
            if other != name:
                message = f"the id {category!r} is {name!r}, and {other!r} in {other_part or 'the first one'}"
                findings.add("category_differs", Place(part.name), message)


def _find_similar_names(counts: dict[_Class, dict[str, int]], findings: Findings) -> None:
    """Find classes that are probably one class, in the whole data set."""
    by_name: Counter[str] = Counter()
    for (_, name), by_part in counts.items():
        by_name[name] += sum(by_part.values())
    for group in same_but_for_spelling(by_name):
        message = f"{', '.join(_counted(name, by_name) for name in group)} differ only in case, spaces or punctuation"
        findings.add("category_names_similar", Place(), message)
    for rare, frequent in likely_typos(by_name):
        message = f"{_counted(rare, by_name)} may be a misspelling of {_counted(frequent, by_name)}"
        findings.add("category_names_similar", Place(), message, severity=INFO)


def _counted(name: str, counts: Counter[str]) -> str:
    return f"{name!r} ({counts[name]} object{'' if counts[name] == 1 else 's'})"


def _find_gaps(parts: Sequence[Part], findings: Findings) -> None:
    """Find category ids other than 1, 2, 3, ...: one finding for all subsets with the same ids."""
    for ids in dict.fromkeys(tuple(part.categories) for part in parts):
        if ids and set(ids) != set(range(1, len(ids) + 1)):
            numbers = [i for i in ids if isinstance(i, int)]
            shown = f"{min(numbers)} to {max(numbers)}" if len(numbers) == len(ids) else ", ".join(map(str, ids[:_NAMED]))
            findings.add("category_ids_gaps", Place(), f"{len(ids)} categories have the ids {shown}")


def _names(classes: Sequence[_Class]) -> str:
    """List classes: "cat (3), dog (4)"."""
    names = ", ".join(f"{name} ({category})" for category, name in classes[:_NAMED])
    return names + (", ..." if len(classes) > _NAMED else "")
