"""A mended copy of what was checked, as COCO JSON: what can be put right without a guess is, and the rest is left out.

Nothing is written beside the given place: the data that were checked stay as they are.

A mended copy of one annotation: put right by its mask, or turned to the stored pixels of its image.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.base.text import printable
from mrcnn.datasets.annotation_checks import is_id
from mrcnn.datasets.formats.coco import LISTS
from mrcnn.geometry.rle import decode_rle, encode_mask, rle_to_json
from mrcnn.io.json_fields import is_kind
from mrcnn.io.orientation import turn_back, turn_points, turned_size
from mrcnn.tools.doctor.annotations import is_double, read_annotations, same_objects, working_size
from mrcnn.tools.doctor.finding import Place
from mrcnn.tools.doctor.outlines import box_fault, look_at, ring_fault, xywh

# findings of boxes and areas that are put right by computing them from the mask
_COMPUTED = {"box_malformed": "bbox", "box_outside": "bbox", "box_mismatch": "bbox", "area_mismatch": "area"}
# the orientation that takes another back: turned by a quarter to the right, to the left
_INVERSE = {6: 8, 8: 6}


def mend_annotations(part, image, found, size, categories, mended):
    """Mend the annotations of an image.

    Args:
        part: Part that it is in.
        image: CheckedImage.
        found: list of (label, annotation), as of `read_annotations`.
        size: (height, width) that the annotations are of.
        categories: container of the ids of the categories that are kept.
        mended: Mended, which what is done is noted in.

    Returns:
        list of (annotation, Drawn), without those that are left out.
    """
    kept = []
    for label, annotation in found:
        place = Place(part.name, image.file, image.id, label)
        category = annotation.get("category_id")
        if not is_id(category) or category not in categories:
            mended.note("annotation left out", place, "its category is not listed, or not the only one of its id")
            continue
        notes = []
        drawn = look_at(annotation, size, lambda kind, found, *_, notes=notes: notes.append((kind, found)))
        if drawn is None:
            mended.note("annotation left out", place, notes[-1][1])
            continue
        kept.append((place, _mended_annotation(annotation, drawn, notes, place, part.content is not None, mended), drawn))
    doubles = _doubles(kept)
    for j in sorted(doubles):
        mended.note("annotation left out", kept[j][0], f"its mask is that of annotation {doubles[j]}")
    return [(annotation, drawn) for j, (_, annotation, drawn) in enumerate(kept) if j not in doubles]


def _doubles(kept):
    """Find annotations of an object that one before stands for: dict position -> label of that one."""
    found = {}
    for i, j, _ in same_objects([drawn for _, _, drawn in kept]):
        if i not in found and is_double(kept[i][1], kept[j][1]):
            found.setdefault(j, kept[i][0].annotation_id)
    return found


def _mended_annotation(annotation, drawn, notes, place, is_raw, mended):
    """Put an annotation right by its mask: a new dict. Args: is_raw: bool. Whether a field that it lacks is a fault."""
    entry = finite(dict(annotation))
    if drawn.is_cut:
        entry["segmentation"] = [np.round(ring, 2).tolist() for ring in drawn.polygons]
        mended.note("polygon cut off at the border, or a part of it left out", place)
    elif isinstance(annotation["segmentation"], dict):
        entry["segmentation"] = rle_to_json(drawn.rle) if isinstance(annotation["segmentation"]["counts"], bytes) \
            else annotation["segmentation"]  # fmt: skip
    wrong = {_COMPUTED[kind] for kind, _ in notes if kind in _COMPUTED}
    if drawn.is_cut:
        wrong |= {"bbox", "area"}
    if not is_kind(entry.get("area"), float) or entry["area"] < 0:
        wrong.add("area")
    if box_fault(entry.get("bbox")):
        wrong.add("bbox")
    told = sorted(name for name in wrong if is_raw or annotation.get(name) is not None)
    if told:
        mended.note(f"{' and '.join(told)} computed", place)
    if "bbox" in wrong:
        entry["bbox"] = [float(v) for v in xywh(drawn.box)]
    if "area" in wrong:
        entry["area"] = float(drawn.area)
    entry["iscrowd"] = int(entry.get("iscrowd") in (1, True))
    return entry


def turn_annotation(annotation, drawn, size, orientation):
    """Turn an annotation of the upright image to the stored pixels. Args: size: (H, W) as stored."""
    upright, back = turned_size(size, orientation), _INVERSE.get(orientation, orientation)
    if isinstance(annotation["segmentation"], dict):
        annotation["segmentation"] = encode_mask(turn_back(decode_rle(drawn.rle), orientation))
    else:
        rings = [ring for ring in annotation["segmentation"] if ring_fault(ring) is None]
        annotation["segmentation"] = [turn_points(ring, upright, back).ravel().tolist() for ring in rings]
    x, y, w, h = annotation["bbox"]
    corners = turn_points([(x, y), (x + w, y + h)], upright, back)
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    annotation["bbox"] = [x1, y1, x2 - x1, y2 - y1]


def finite(value):
    """Copy a value of a JSON; numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not is_kind(value, float) else value


# kinds of findings that stay as they are: what is right there, only people can say
LEFT = (
    "part_unreadable", "list_missing", "file_listed_twice", "left_out", "exif_orientation", "image_leak", "image_near_leak",
    "image_duplicate", "image_near_duplicate", "image_without_objects", "polygon_crosses_itself", "mask_one_pixel",
    "annotation_conflict", "category_name_collision", "category_differs", "category_not_trained", "category_unused",
    "category_ids_gaps", "anchors_miss",
)  # fmt: skip


class Mended:
    """What was done to mend a data set.

    Attributes:
        files: list of Path, the COCO JSONs written.
        folders: list of str, one a file: what the names of images in it are relative to; None where the data say no folder.
        done: list of (what, Place, detail): each thing that was changed or left out.
    """

    def __init__(self):
        """Start with nothing done."""
        self.files, self.folders, self.done = [], [], []

    def note(self, what, place, detail=""):
        """Note a change. Args: what: str, equal for what is of one kind; place: Place; detail: str."""
        self.done.append((what, place, printable(detail)))

    def counts(self):
        """Count the changes. Returns: dict what -> int, the most frequent first."""
        return dict(Counter(what for what, _, _ in self.done).most_common())

    def to_dict(self):
        """The changes as JSON can hold them: a dict."""
        files = [str(path) for path in self.files]
        done = [{"done": what, "at": str(place), "detail": detail} for what, place, detail in self.done]
        return {"files": files, "image_folders": self.folders, "counts": self.counts(), "done": done}


def mend(report, output, progress=None):
    """Write a mended copy of what a report is about.

    Polygons and boxes are cut off at the border, areas and boxes computed where they are wrong, annotations of images
    whose EXIF orientation swaps width and height turned to the stored pixels, and ids of annotations numbered anew where
    they collide. Left out are images that cannot be read, whose annotations cannot be read, or whose size nobody knows,
    annotations without a mask, image or category, those that stand for an object twice, and images and categories that
    share an id with others, with their annotations: nobody can tell whose those are.

    Args:
        report: Report, of `check_dataset`.
        output: path. A .json file for a data set of one part; else a folder, which gets annotations/instances_<part>.json.
        progress: maker of stages (`mrcnn.base.progress`), or None: "mending" and "writing", of each part.

    Returns:
        Mended.

    Raises:
        DataError: the place is that of the data, or no folder though there are several parts.
    """
    parts, output, mended, progress = [part for part, _ in report.checked], Path(output), Mended(), progress or unseen
    is_file = output.suffix.lower() == ".json"
    if is_file and len(parts) > 1:
        raise DataError(f"{output} is one file, and {len(parts)} parts were checked: give a folder, or one --subset")
    targets = [output if is_file else output / "annotations" / f"instances_{_file_word(part.name) or 'all'}.json"
               for part in parts]  # fmt: skip
    for part, target in zip(parts, targets, strict=True):
        if os.path.realpath(part.path) in map(os.path.realpath, (target, output)):
            raise DataError(f"{target} is where the data that were checked lie: they are not written over")
    for (part, scans), target in zip(report.checked, targets, strict=True):
        folder = _image_folder(part)
        with progress(f"mending {part.name}".strip()) as show:
            content = _mended_part(part, scans, folder, mended, show)
        with progress("writing"):
            save_json(target, content)
        mended.files.append(target)
        mended.folders.append(folder)
    return mended


def _file_word(name):
    """A name of a part as a file name can hold it."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".")


def _image_folder(part):
    """Find the folder around all images of a part, which may lie in several, as those of LVIS do: str, or None."""
    roots = {os.path.abspath(image.root) for image in part.images if image.root is not None}
    return os.path.commonpath(roots) if roots else None


def _mended_part(part, scans, folder, mended, show):
    """Make the COCO content of a part."""
    categories = _categories(part, mended)
    images, annotations, numbers = [], [], _Numbers()
    taken = Counter(str(image.id) for image in part.images)
    for i, (image, scan) in enumerate(tracked(zip(part.images, scans, strict=True), show, len(scans))):
        place = Place(part.name, image.file, image.id)
        found = read_annotations(part, i)
        reason = "its annotations cannot be read" if found is None else _unusable(image, scan, taken[str(image.id)])
        if reason:
            mended.note("image left out", place, reason + (f"; it had {len(found)} annotations" if found else ""))
            continue
        size = working_size(image, scan)
        entry = _image_entry(image, size, folder, numbers)
        if image.entry is not None and image.size is None:
            mended.note("size of the image taken from its file", place, f"{size[0]} x {size[1]} (height x width)")
        if image.path is None and image.file == str(image.id):
            mended.note("image named by its id, as it is no file of its own", place)
        orientation = _swapping(image, scan)
        if orientation:
            entry["height"], entry["width"] = scan.size
            mended.note("annotations turned to the stored pixels", place, f"the EXIF orientation is {orientation}")
        images.append(entry)
        kept = mend_annotations(part, image, found, size, categories, mended)
        for annotation, drawn in kept:
            annotation["image_id"] = entry["id"]
            if orientation:
                turn_annotation(annotation, drawn, scan.size, orientation)
            annotations.append(annotation)
    _number_annotations(part.name, annotations, part.content is not None, mended)
    _note_lost(part, mended)
    other = {key: value for key, value in (part.content or {}).items()
             if key not in LISTS}  # fmt: skip
    return {**finite(other), "images": images, "annotations": annotations, "categories": list(categories.values())}


def _categories(part, mended):
    """Choose the categories that are clear: dict id -> entry."""
    if part.content is None:
        return {i: {"id": i, "name": name} for i, name in part.categories.items()}
    entries = {}
    for entry in part.content["categories"]:
        if isinstance(entry, dict) and is_id(entry.get("id")):
            entries.setdefault(str(entry["id"]), []).append(entry)
    kept = {}
    for found in entries.values():
        category = found[0]["id"]
        if len({str(entry.get("name")) for entry in found}) > 1:
            mended.note("category left out", Place(part.name), f"{len(found)} categories share the id {category!r}")
            continue
        if len(found) > 1:
            mended.note("category joined with its double", Place(part.name), f"the id {category!r} was there twice")
        kept[category] = finite({**found[0], "name": part.categories[category]})
    return kept


def _unusable(image, scan, count):
    """Say why an image is left out, or None."""
    if count > 1:
        return f"{count} images share its id"
    if scan.fault:
        return scan.fault[1]
    if image.path is None and image.load is None:
        return "its file_name cannot be used"
    seen = turned_size(scan.size, scan.orientation) if image.upright else scan.size
    if image.size and tuple(image.size) != tuple(seen) and not _swapping(image, scan):
        return f"its size is not the file's, {seen[0]} x {seen[1]}"
    return None


def _swapping(image, scan):
    """The EXIF orientation that swaps the sides of an image whose data mean the turned one; else None."""
    if image.upright or image.size is None or scan.orientation < 5 or tuple(image.size) == tuple(scan.size):
        return None
    return scan.orientation if tuple(image.size) == turned_size(scan.size, scan.orientation) else None


class _Numbers:
    """Ids of images: whole numbers stay, text gets a number of its own."""

    def __init__(self):
        self.taken, self.last = set(), 0

    def of(self, given):
        if is_kind(given, int) and given not in self.taken:
            self.taken.add(given)
            return given
        while self.last in self.taken or not self.last:
            self.last += 1
        self.taken.add(self.last)
        return self.last


def _image_entry(image, size, folder, numbers):
    entry = finite(dict(image.entry or {}))
    name = image.file if image.root is None or image.path is None else os.path.relpath(image.path, folder)
    entry.update(file_name=entry.get("file_name") or name.replace(os.sep, "/"), height=int(size[0]), width=int(size[1]))
    if image.upright:
        entry["exif_applied"] = True
    entry["id"] = image.id if image.entry is not None else numbers.of(image.id)
    return entry


def _number_annotations(name, annotations, has_ids, mended):
    """Give each annotation an id of its own; those that have one keep it. Args: has_ids: bool. Whether the format has some."""
    taken = set()
    numbers = [a.get("id") for a in annotations if is_kind(a.get("id"), int)]
    free = max(numbers, default=0)
    for annotation in annotations:
        given = annotation.get("id")
        if not is_kind(given, int) or given in taken:
            free += 1
            annotation["id"] = free
            if has_ids:
                mended.note("annotation numbered anew", Place(name, "", annotation["image_id"], given), f"it is {free} now")
        taken.add(annotation["id"])


def _note_lost(part, mended):
    """Note what belongs to no image that was read."""
    if part.content is None:
        return
    ids = {image.id for image in part.images}
    for position, entry in enumerate(part.content["annotations"]):
        if not isinstance(entry, dict):
            mended.note("annotation left out", Place(part.name), f"annotations[{position}] is no object")
        elif not is_id(entry.get("image_id")) or entry["image_id"] not in ids:
            label = entry.get("id", f"annotations[{position}]")
            mended.note("annotation left out", Place(part.name, "", None, label), "its image is not listed")
    for position, entry in enumerate(part.content["images"]):
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            mended.note("image left out", Place(part.name), f"images[{position}] has no usable id")
