"""Repairing a checked data set in a copy, as COCO JSON: what can be corrected without guessing is; the rest is dropped.

The data set itself is never modified. Everything corrected or dropped is recorded.

Shape letters: H W image.
"""

import os
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.base.text import printable
from mrcnn.datasets.formats.coco.layout import LISTS
from mrcnn.datasets.ids import is_id
from mrcnn.geometry.rle import decode_rle, encode_mask, rle_to_json
from mrcnn.io.json_fields import is_kind, shown
from mrcnn.io.orientation import turn_back, turn_points, turned_size
from mrcnn.tools.doctor.annotations import (
    CheckedMask,
    Size,
    box_fault,
    check_annotation,
    is_double,
    read_annotations,
    ring_fault,
    same_objects,
    working_size,
    xywh,
)
from mrcnn.tools.doctor.findings import Place
from mrcnn.tools.doctor.images import ImageScan
from mrcnn.tools.doctor.parts import CheckedImage, Labelled, Part
from mrcnn.tools.doctor.report import Report

# kinds of findings that only a person can resolve
LEFT = (
    "part_unreadable", "list_missing", "file_listed_twice", "left_out", "noted", "exif_orientation", "values_dark",
    "image_leak", "image_near_leak", "image_duplicate", "image_near_duplicate", "image_without_objects",
    "polygon_crosses_itself", "mask_one_pixel", "annotation_conflict", "too_many_objects", "only_crowds",
    "category_names_similar", "category_differs", "category_not_trained", "category_unused", "category_ids_gaps",
    "anchors_miss",
)  # fmt: skip
# what was done to an entry that is left out
_NO_IMAGE, _NO_ANNOTATION = "image dropped", "annotation dropped"
# the field that is computed from the mask to correct a finding
_COMPUTED = {"box_malformed": "bbox", "box_outside": "bbox", "box_mismatch": "bbox", "area_mismatch": "area"}
# the EXIF orientations that are not their own inverse: rotations by a quarter turn to the right and to the left
_INVERSE = {6: 8, 8: 6}

# (what, place, detail)
Change = tuple[str, Place, str]


class Repairs:
    """The result of repairing a data set.

    Attributes:
        files: the COCO JSONs written.
        folders: for each file, the folder to which its image names are relative; None if there is none.
        changes: (what, place, detail) of everything corrected or dropped.
    """

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.folders: list[str | None] = []
        self.changes: list[Change] = []

    def note(self, what: str, place: Place, detail: str = "") -> None:
        """Record a change; `what` is the same text for all changes of a kind."""
        self.changes.append((what, place, printable(detail)))

    def counts(self) -> dict[str, int]:
        """Count the changes of each kind, most frequent first."""
        return dict(Counter(what for what, _, _ in self.changes).most_common())

    def to_dict(self) -> dict[str, Any]:
        """Return the changes as plain values for JSON."""
        files = [str(path) for path in self.files]
        changes = [{"done": what, "at": str(place), "detail": detail} for what, place, detail in self.changes]
        return {"files": files, "image_folders": self.folders, "counts": self.counts(), "done": changes}


def repair(report: Report, output: Path | str, progress: Stages | None = None) -> Repairs:
    """Write a repaired copy of the data set of a report.

    Polygons are clipped to the image; wrong areas and boxes are recomputed from the masks; if an EXIF orientation swaps width
    and height, annotations are rotated to the stored pixels; annotations with duplicate ids are renumbered.

    Values that are not in COCO's form but have one reading are written as they are read. Categories of one name are merged.

    The following are dropped: images that cannot be read, whose annotations cannot be read, or whose size differs from the
    file's; annotations without a mask, a listed image or a listed category; duplicate annotations of an object; images and
    categories that share an id, with their annotations, because the references to them are ambiguous.

    Args:
        report: of `check_dataset`.
        output: a .json file for one subset; otherwise a folder, for annotations/instances_<subset>.json.
        progress: the stages "repairing" and "writing" of each subset.

    Raises:
        DataError: the output would overwrite the data set, or is a file although there are several subsets; a category has no
            name, or nothing would be left of a subset. Nothing is written then.
    """
    parts, output, repairs, progress = [part for part, _ in report.checked], Path(output), Repairs(), progress or unseen
    is_file = output.suffix.lower() == ".json"
    if is_file and len(parts) > 1:
        raise DataError(f"{output} is one file, but {len(parts)} subsets were checked: give a folder, or one --subset")
    targets = [output if is_file else output / "annotations" / f"instances_{_file_word(part.name) or 'all'}.json"
               for part in parts]  # fmt: skip
    for part, target in zip(parts, targets, strict=True):
        if os.path.realpath(part.path) in map(os.path.realpath, (target, output)):
            raise DataError(f"{target} would overwrite the data set that was checked: choose another output")
    contents = []
    for part, scans in report.checked:
        repairs.folders.append(_image_folder(part))
        with progress(f"repairing {part.name}".strip()) as show:
            contents.append(_repaired_part(part, scans, repairs.folders[-1], repairs, show))
    for content, target in zip(contents, targets, strict=True):
        with progress("writing"):
            save_json(target, content)
        repairs.files.append(target)
    return repairs


def _file_word(name: str) -> str:
    """Make a file name from a part's name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".")


def _image_folder(part: Part) -> str | None:
    """Find the folder that contains all images of a part, which may be in several subfolders, as in LVIS."""
    roots = {os.path.abspath(image.root) for image in part.images if image.root is not None}
    return os.path.commonpath(roots) if roots else None


def _repaired_part(part: Part, scans: Sequence[ImageScan], folder: str | None, repairs: Repairs,
                   show: Show | None) -> dict[str, Any]:  # fmt: skip
    """Make the COCO content of a part."""
    categories = _categories(part, repairs)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers = _ImageNumbers()
    before, given_count = len(repairs.changes), 0
    ids = Counter(str(image.id) for image in part.images)
    for i, (image, scan) in enumerate(tracked(zip(part.images, scans, strict=True), show, len(scans))):
        place = Place(part.name, image.file, image.id)
        given = read_annotations(part, i)
        given_count += len(given or ())
        reason = "its annotations cannot be read" if given is None else _image_fault(image, scan, ids[str(image.id)])
        size = working_size(image, scan)
        if reason or given is None or size is None:
            repairs.note(_NO_IMAGE, place, (reason or "its size is unknown")
                        + (f"; it had {len(given)} annotations" if given else ""))  # fmt: skip
            continue
        entry = _image_entry(image, size, folder, numbers)
        if image.entry is not None and image.entry.get("file_name") != entry["file_name"]:
            repairs.note("file_name corrected", place, f"the file is {entry['file_name']}")
        if image.entry is not None and image.size is None:
            repairs.note("size of the image taken from its file", place, f"{size[0]} x {size[1]} (height x width)")
        if image.path is None and image.file == str(image.id):
            repairs.note("image without a file named by its id", place)
        orientation = _swapping(image, scan)
        if orientation and scan.size:
            entry["height"], entry["width"] = scan.size
            repairs.note("annotations rotated to the stored pixels", place, f"the EXIF orientation is {orientation}")
        images.append(entry)
        for annotation, mask in repair_annotations(part, image, given, size, categories, repairs):
            annotation["image_id"] = entry["id"]
            if orientation and scan.size:
                rotate_annotation(annotation, mask, scan.size, orientation)
            annotations.append(annotation)
    _number_annotations(part.name, annotations, part.content is not None, repairs)
    for message in part.rewritten:
        repairs.note("ids or sizes written in one way", Place(part.name), message)
    for place, message in part.mended:
        repairs.note("value written as it is read", place, message)
    _note_unattached(part, repairs)
    count = given_count if part.content is None else len(part.content["annotations"])
    _require_rest(part, images, annotations, count, repairs.changes[before:])
    other = {key: value for key, value in (part.content or {}).items() if key not in LISTS}
    return {**other, "images": images, "annotations": annotations, "categories": list(categories.values())}


def _require_rest(part: Part, images: Sequence[Any], annotations: Sequence[Any], count: int,
                  changes: Sequence[Change]) -> None:  # fmt: skip
    """Refuse a repair that would leave nothing of a part: an empty file only hides what must be corrected by hand.

    Args:
        count: number of annotations that the part has.
        changes: those made in the part.
    """
    if (part.images and not images) or (count and not annotations):
        example = next(f"{place}: {detail}" for what, place, detail in reversed(changes) if what in (_NO_IMAGE, _NO_ANNOTATION))
        lost = "annotation" if images else "image"
        raise DataError(f"{part.path}: a repair would keep no {lost}, so nothing was written: correct this by hand, or pass "
                        f"the folder of the images (--images); for example, {example}")  # fmt: skip


def _categories(part: Part, repairs: Repairs) -> dict[int | str, dict[str, Any]]:
    """Return the entries of the categories with an unambiguous id, by id.

    Raises:
        DataError: a category has no name, which no repair should invent.
    """
    if part.content is None:
        return {i: {"id": i, "name": name} for i, name in part.categories.items()}
    by_id: dict[str, list[dict[str, Any]]] = {}
    for i, entry in enumerate(part.content["categories"]):
        if isinstance(entry, dict) and is_id(entry.get("id")):
            if not isinstance(entry.get("name"), str) or not entry["name"]:
                raise DataError(f"{part.path}: the name of categories[{i}] is {shown(entry.get('name'))}, and a repair invents "
                                "none: name the category in the file. Nothing was written")  # fmt: skip
            by_id.setdefault(str(entry["id"]), []).append(entry)
    kept = {}
    for entries in by_id.values():
        category = entries[0]["id"]
        if len({str(entry.get("name")) for entry in entries}) > 1:
            repairs.note("category dropped", Place(part.name), f"{len(entries)} categories share the id {category!r}")
            continue
        if category not in part.categories:
            detail = f"the name of the id {category!r} is that of another category, {entries[0]['name']!r}"
            repairs.note("category merged into the one of its name", Place(part.name), detail)
            continue
        if len(entries) > 1:
            repairs.note("repeated category merged", Place(part.name), f"the id {category!r} occurred {len(entries)} times")
        kept[category] = {**entries[0], "name": part.categories[category]}
    return kept


def _image_fault(image: CheckedImage, scan: ImageScan, count: int) -> str | None:
    """Return the reason why an image is dropped, or None. `count` is the number of images with its id."""
    if count > 1:
        return f"{count} images share its id"
    if scan.fault:
        return scan.fault[1]
    if image.path is None and image.load is None:
        return "its file_name is not usable"
    seen = scan.size_seen(image.upright)
    if seen and image.size and image.size != seen and not _swapping(image, scan):
        return f"its size differs from the file's, {seen[0]} x {seen[1]}"
    return None


def _swapping(image: CheckedImage, scan: ImageScan) -> int | None:
    """Return the EXIF orientation if it swaps the sides and the data set's size is that of the rotated image; else None."""
    if image.upright or image.size is None or scan.orientation < 5 or image.size == scan.size:
        return None
    return scan.orientation if image.size == scan.size_seen(True) else None


class _ImageNumbers:
    """Assigns ids to images that have no entry in a JSON: unique whole numbers are kept, others get a free number."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.last = 0

    def of(self, given: int | str) -> int:
        if isinstance(given, int) and given not in self.taken:
            self.taken.add(given)
            return given
        while self.last in self.taken or not self.last:
            self.last += 1
        self.taken.add(self.last)
        return self.last


def _image_entry(image: CheckedImage, size: Size, folder: str | None, numbers: _ImageNumbers) -> dict[str, Any]:
    entry = dict(image.entry or {})
    name = entry.get("file_name") or image.file
    if folder is not None and image.root is not None and image.path is not None:
        name = os.path.relpath(image.path, folder)
    entry.update(file_name=name.replace(os.sep, "/"), height=int(size[0]), width=int(size[1]))
    if image.upright:
        entry["exif_applied"] = True
    entry["id"] = image.id if image.entry is not None else numbers.of(image.id)
    return entry


def _number_annotations(part: str, annotations: list[dict[str, Any]], has_ids: bool, repairs: Repairs) -> None:
    """Give each annotation a unique id, keeping ids that already are. `has_ids` is whether the format has ids."""
    taken: set[int] = set()
    free = max((a["id"] for a in annotations if is_kind(a.get("id"), int)), default=0)
    for annotation in annotations:
        given = annotation.get("id")
        if not is_kind(given, int) or given in taken:
            free += 1
            annotation["id"] = free
            if has_ids:
                repairs.note("annotation renumbered", Place(part, "", annotation["image_id"], given), f"its id is now {free}")
        taken.add(annotation["id"])


def _note_unattached(part: Part, repairs: Repairs) -> None:
    """Record the entries of a JSON that belong to no image."""
    if part.content is None:
        return
    ids = {image.id for image in part.images}
    for index, entry in enumerate(part.content["annotations"]):
        if not isinstance(entry, dict):
            repairs.note(_NO_ANNOTATION, Place(part.name), f"annotations[{index}] is not an object")
        elif not is_id(entry.get("image_id")) or entry["image_id"] not in ids:
            label = entry.get("id", f"annotations[{index}]")
            repairs.note(_NO_ANNOTATION, Place(part.name, "", None, label), "its image is not listed")
    for index, entry in enumerate(part.content["images"]):
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            repairs.note(_NO_IMAGE, Place(part.name), f"images[{index}] has no usable id")


# --- annotations


def repair_annotations(part: Part, image: CheckedImage, given: list[Labelled], size: Size, categories: Container[int | str],
                       repairs: Repairs) -> list[tuple[dict[str, Any], CheckedMask]]:  # fmt: skip
    """Repair the annotations of an image.

    Args:
        given: from `read_annotations`.
        size: (height, width) to which the annotations refer.
        categories: ids of the categories that are kept.
        repairs: records the changes.

    Returns:
        (annotation, mask) for each annotation that is kept.
    """
    kept = []
    for label, annotation in given:
        place = Place(part.name, image.file, image.id, label)
        category = annotation.get("category_id")
        if not is_id(category) or category not in categories:
            repairs.note(_NO_ANNOTATION, place, "its category is not listed, or shares its id with another")
            continue
        if annotation.get("iscrowd") not in (None, 0, 1):
            repairs.note(_NO_ANNOTATION, place, f"its iscrowd is {shown(annotation['iscrowd'])}, expected 0 or 1")
            continue
        notes: list[tuple[str, str]] = []
        mask = check_annotation(annotation, size, lambda kind, message, *_, notes=notes: notes.append((kind, message)))
        if mask is None:
            repairs.note(_NO_ANNOTATION, place, notes[-1][1])
            continue
        kept.append((place, _repaired_annotation(annotation, mask, notes, place, part.content is not None, repairs), mask))
    doubles: dict[int, Any] = {}  # label of the annotation that is kept, by index of the one that is dropped
    for i, j, _ in same_objects([mask for _, _, mask in kept]):
        if i not in doubles and is_double(kept[i][1], kept[j][1]):
            doubles.setdefault(j, kept[i][0].annotation_id)
    for j in sorted(doubles):
        repairs.note(_NO_ANNOTATION, kept[j][0], f"same mask as annotation {doubles[j]}")
    return [(annotation, mask) for j, (_, annotation, mask) in enumerate(kept) if j not in doubles]


def _repaired_annotation(annotation: dict[str, Any], mask: CheckedMask, notes: list[tuple[str, str]], place: Place,
                         is_raw: bool, repairs: Repairs) -> dict[str, Any]:  # fmt: skip
    """Correct a copy of an annotation, based on its mask.

    Args:
        notes: (kind, message) of the findings about it.
        is_raw: whether it is an entry of a JSON, in which missing fields must be added.
    """
    entry = dict(annotation)
    if mask.polygons is not None and mask.is_cut:
        entry["segmentation"] = [np.round(ring, 2).tolist() for ring in mask.polygons]
        repairs.note("polygon clipped to the image, or partly dropped", place)
    elif isinstance(annotation["segmentation"], dict):
        entry["segmentation"] = rle_to_json(mask.rle) if isinstance(annotation["segmentation"]["counts"], bytes) \
            else annotation["segmentation"]  # fmt: skip
    wrong = {_COMPUTED[kind] for kind, _ in notes if kind in _COMPUTED}
    if mask.is_cut:
        wrong |= {"bbox", "area"}
    if not is_kind(entry.get("area"), float) or entry["area"] < 0:
        wrong.add("area")
    if box_fault(entry.get("bbox")):
        wrong.add("bbox")
    changed = sorted(name for name in wrong if is_raw or annotation.get(name) is not None)
    if changed:
        repairs.note(f"{' and '.join(changed)} computed", place)
    if "bbox" in wrong:
        entry["bbox"] = [float(v) for v in xywh(mask.box)]
    if "area" in wrong:
        entry["area"] = float(mask.area)
    if is_raw and not is_kind(annotation.get("iscrowd"), int):
        repairs.note("iscrowd written as 0 or 1", place, f"it was {shown(annotation.get('iscrowd'))}")
    entry["iscrowd"] = int(annotation.get("iscrowd") or 0)
    return entry


def rotate_annotation(annotation: dict[str, Any], mask: CheckedMask, size: Size, orientation: int) -> None:
    """Rotate an annotation, in place, from the upright image to the stored pixels.

    Args:
        size: (height, width) as stored.
        orientation: EXIF orientation of the file.
    """
    upright, back = turned_size(size, orientation), _INVERSE.get(orientation, orientation)
    if isinstance(annotation["segmentation"], dict):
        annotation["segmentation"] = encode_mask(turn_back(decode_rle(mask.rle), orientation))
    else:
        rings = [ring for ring in annotation["segmentation"] if ring_fault(ring) is None]
        annotation["segmentation"] = [turn_points(ring, upright, back).ravel().tolist() for ring in rings]
    x, y, w, h = annotation["bbox"]
    corners = turn_points([(x, y), (x + w, y + h)], upright, back)
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    annotation["bbox"] = [x1, y1, x2 - x1, y2 - y1]

