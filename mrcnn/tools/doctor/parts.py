"""The parts of a data set to check (its subsets, or the whole data set) with their images and annotations.

A part comes from a `Dataset`, whose reader has already checked the category ids, or from a raw COCO JSON. COCO's reader stops
at the first error or skips an annotation; here, every error in a JSON becomes a finding.

Shape letters: H W C image, N instances.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.annotation_mending import mended_fields
from mrcnn.datasets.catalog import FORMATS, open_dataset, recognise_format, subsets_of
from mrcnn.datasets.class_names import text_names
from mrcnn.datasets.dataset import Dataset, instances_of, overrides_later
from mrcnn.datasets.formats.coco import dataset as coco
from mrcnn.datasets.formats.coco.layout import LISTS, CocoFile
from mrcnn.datasets.ids import ById, is_id, unify_numbers
from mrcnn.geometry.rle import encode_mask
from mrcnn.io import images as image_files
from mrcnn.io.file_finder import FileFinder
from mrcnn.io.images import read_image
from mrcnn.io.json_fields import NULLED, is_kind, read_json, shown
from mrcnn.io.orientation import read_orientation, turn_upright
from mrcnn.io.paths import OutsideError
from mrcnn.tools.doctor.findings import INFO, Findings, Place

# implementations of load_image that only read the file
_PLAIN = (Dataset.load_image, AnnotatedDataset.load_image)

# (id, or place in the file if there is no id; annotation in COCO's form, without any guarantee of validity)
Labelled = tuple[Any, dict[str, Any]]


@dataclass
class CheckedImage:
    """An image of a part.

    Attributes:
        id: the id in the data set.
        file: the file name in the data set, for messages.
        path: path of the file; None if there is none, or if its name is not usable.
        size: (height, width) according to the data set, or None.
        root: the folder that must contain the file once links are resolved, or None.
        upright: whether size and annotations refer to the image rotated by its EXIF orientation.
        load: reads the pixels [H, W, C]; None if reading the file is enough.
        entry: the image's entry in the JSON, or None.
        depth: number of bits that the values of a 16-bit file use, or None.
    """

    id: int | str
    file: str
    path: Path | None
    size: tuple[int, int] | None
    root: Path | None = None
    upright: bool = False
    load: Callable[[], np.ndarray] | None = None
    entry: dict[str, Any] | None = None
    depth: int | None = None

    def read(self) -> np.ndarray:
        """Read the pixels [H, W, C] in the orientation to which the annotations refer.

        Raises:
            DataError: the image has no file, or it cannot be read. `load` may raise any exception.
        """
        if self.load is not None:
            return self.load()
        if self.path is None:
            raise DataError(f"image {self.id} has no file")
        image = read_image(self.path, self.depth)
        is_swapped = self.size is not None and self.size != image.shape[:2] and self.size == image.shape[1::-1]
        if self.upright or (is_swapped and read_orientation(self.path) >= 5):
            image = np.ascontiguousarray(turn_upright(image, read_orientation(self.path)))
        return image


@dataclass
class Part:
    """A subset of a data set, or a whole one.

    Attributes:
        name: the subset; "" if the data set is not divided.
        path: the file or folder, for messages.
        categories: names by id.
        annotations: returns the annotations of the image at an index in `images`. May raise DataError.
        skipped: returns (where, reason) of each entry that the reader skipped.
        notes: returns (where, note) of each entry that it mended.
        content: the whole JSON for COCO; None for other formats.
        rewritten: for COCO, what `unify_numbers` changed in `content`.
        mended: for COCO, (place, message) of each value that is read as something else than is written.
    """

    name: str
    path: str
    categories: dict[int | str, str]
    images: list[CheckedImage]
    annotations: Callable[[int], list[Labelled]]
    skipped: Callable[[], list[tuple[Any, str]]] = field(default=list)
    notes: Callable[[], list[tuple[Any, str]]] = field(default=list)
    content: dict[str, Any] | None = None
    rewritten: list[str] = field(default_factory=list)
    mended: list[tuple[Place, str]] = field(default_factory=list)


def open_parts(data: Any, format: str | None, subset: str | Sequence[str] | None, options: dict[str, Any],
               findings: Findings, progress: Stages) -> list[Part]:  # fmt: skip
    """Open the parts to check. The arguments are those of `check_dataset`.

    A subset that cannot be read becomes a finding, unless no subset can be read.
    """
    if isinstance(data, Dataset):
        return [dataset_part(data)]
    if isinstance(data, Mapping):
        return [dataset_part(dataset, str(name)) for name, dataset in data.items()]
    if isinstance(data, list | tuple):
        return [dataset_part(dataset, str(number)) for number, dataset in enumerate(data)]
    format = format or recognise_format(data)
    options = {name: value for name, value in options.items() if value is not None}
    names = None if subset is None else [subset] if isinstance(subset, str) else list(subset)
    if format == "coco" and data is not None and Path(data).exists():
        openers = _coco_parts(Path(data), names, options, findings, progress)
    else:
        openers = _reader_parts(data, format, names, options, progress)
    parts, errors = [], []
    for name, open_part in openers:
        try:
            parts.append(open_part())
            for image in parts[-1].images:
                image.depth = options.get("depth")
        except DataError as error:
            errors.append(error)
            findings.add("part_unreadable", Place(name), str(error))
    if not parts:
        raise errors[0]
    return parts


Openers = list[tuple[str, Callable[[], Part]]]


def _reader_parts(path: Any, format: str, wanted: list[str] | None, options: dict[str, Any], progress: Stages) -> Openers:
    """List the parts that a reader can open: the name of each, and a function that opens it."""
    if format not in FORMATS:
        raise ValueError(f"unknown data format {format!r}: choose {', '.join(FORMATS)}")

    def open_part(name: str | None) -> Part:
        return dataset_part(open_dataset(path, format, name, progress, **options), name or "", path or "")

    names: list[str | None] = [*(wanted or subsets_of(path, format))] or [None]
    return [(name or "", partial(open_part, name)) for name in names]


def _coco_parts(path: Path, wanted: list[str] | None, options: dict[str, Any], findings: Findings,
                progress: Stages) -> Openers:  # fmt: skip
    """List the raw COCO JSONs of a data set: a single file, or those in a folder with COCO's layout."""
    unknown = sorted(set(options) - {"images", "year", "labels", "allow_outside", "encoding", "depth"})
    if unknown:
        raise ValueError(f"the format coco has no option {unknown[0]!r}; it has year, images, labels, encoding, depth, "
                         "allow_outside")  # fmt: skip
    allow_outside, (encoding, labels) = bool(options.get("allow_outside")), map(options.get, ("encoding", "labels"))

    def openers(files: dict[str, CocoFile]) -> Openers:
        return [(name, partial(read_part, file.path, file.finder(allow_outside), name, findings, progress, encoding, labels))
                for name, file in files.items()]  # fmt: skip

    if path.is_file():
        if wanted:
            raise DataError(f"{path} is one file: it has no subset {wanted[0]!r}")
        return openers({"": coco.file_of(path, options.get("images"))})
    coco.refuse_images(path, options.get("images"))
    files = coco.files_of(path)
    if not files:
        raise DataError(f"{path} has no annotations/instances_*.json, and no other JSON file of instances")
    subsets = list(dict.fromkeys(file.subset for file in files if file.subset))
    for name in wanted or []:
        if name not in subsets:
            raise DataError(f"{path} has no subset {name!r}; it has {', '.join(subsets) or 'none'}.")
    year = str(options.get("year") or "")
    files = [file for file in files if (not wanted or file.subset in wanted) and (not year or file.year == year)]
    if not files:
        raise DataError(f"{path} has no annotations of the year {year}")
    counts = Counter(file.subset for file in files)
    return openers({(file.subset or "") + (file.year if counts[file.subset] > 1 else ""): file for file in files})


# --- a Dataset


def dataset_part(dataset: Dataset, name: str = "", path: Path | str = "") -> Part:
    """Make a part from a data set.

    Args:
        dataset: prepared here if it is not yet.
        name: name of the part.
        path: folder or file of the data set; messages give file names relative to it.

    Returns:
        Part. Its category ids are the class ids of the data set.
    """
    if not hasattr(dataset, "num_images"):
        dataset.prepare()
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    images = [_image(dataset, i, folder if path else None) for i in range(len(dataset.image_info))]
    categories: dict[int | str, str] = dict(enumerate(dataset.class_names[1:], start=1))
    return Part(name, str(path), categories, images, partial(_annotations, dataset),
                lambda: list(getattr(dataset, "skipped", ())), lambda: list(getattr(dataset, "notes", ())))


def _image(dataset: Dataset, image_id: int, folder: Path | None) -> CheckedImage:
    info = dataset.image_info[image_id]
    size = (int(info["height"]), int(info["width"])) if info.get("height") and info.get("width") else None
    path = info["path"]
    is_file = path is not None and "://" not in str(path) and type(dataset).load_image in _PLAIN
    file = str(path or info["id"])
    if path and folder and Path(path).is_relative_to(folder):
        file = Path(path).relative_to(folder).as_posix()
    return CheckedImage(
        info["id"],
        file,
        Path(path) if is_file else None,
        size,
        Path(info["root"]) if info.get("root") else None,
        bool(info.get("exif_applied")),
        None if is_file else partial(dataset.load_image, image_id),
    )


def _annotations(dataset: Dataset, image_id: int) -> list[Labelled]:
    """Return the annotations of an image, with class ids as category ids."""
    if isinstance(dataset, AnnotatedDataset) and _has_annotations(dataset, image_id):
        classes, source = dataset.class_from_source_map, dataset.source
        return [
            (
                a.get("id", f"object {index} of the image"),
                {**a, "category_id": classes.get(f"{source}.{a.get('category_id')}", a.get("category_id"))},
            )
            for index, a in enumerate(dataset.annotations_of(image_id))
        ]
    masks, class_ids = instances_of(dataset, image_id)
    if isinstance(masks, np.ndarray):
        # [H, W, N]; without instances the classic form lacks height and width
        masks = [masks[:, :, i] for i in range(masks.shape[-1] if masks.ndim == 3 else 0)]
    return [
        (f"object {i} of the image", {"category_id": abs(int(c)), "iscrowd": int(c < 0),
                                      "segmentation": encode_mask(mask) if isinstance(mask, np.ndarray) else mask})
        for i, (mask, c) in enumerate(zip(masks, class_ids))
    ]  # fmt: skip


def _has_annotations(dataset: AnnotatedDataset, image_id: int) -> bool:
    """Return whether an image's instances come from its annotations: no subclass overrides how they are loaded."""
    overridden = any(overrides_later(dataset, name, "annotations_of") for name in ("load_mask", "load_instances"))
    return dataset.reads(image_id) and not overridden


# --- a raw COCO JSON


def read_part(path: Path, finder: FileFinder, name: str, findings: Findings, progress: Stages | None = None,
              encoding: str | None = None, labels: Any = None) -> Part:  # fmt: skip
    """Read a COCO JSON, and add the problems in its entries to the findings.

    Args:
        path: the JSON.
        finder: finds its images.
        name: name of the part.
        progress: the stages of `read_json`, and "checking entries".
        encoding: of a file that is not UTF-8.
        labels: see `coco.open_subset`. Other categories are left out, with their annotations.

    Raises:
        DataError: the file is missing, or is not JSON with a top-level object, or lacks a category of the labels.
    """
    nonfinite: list[str] = []
    content = read_json(path, nonfinite=nonfinite, encoding=encoding, progress=progress)
    if not isinstance(content, dict):
        raise DataError(f"{path} contains {shown(content)}, expected an object with the lists {', '.join(LISTS)}")
    for key in LISTS:
        if not isinstance(content.get(key), list):
            message = f"{path} has no list {key!r}" + (f", but {shown(content[key])}" if key in content else "")
            findings.add("list_missing", Place(name), message)
            content = {**content, key: []}
    content, rewritten = unify_numbers(content)
    for message in rewritten:
        findings.add("number_reread", Place(name), message)
    content["categories"], named = text_names(content["categories"])
    if labels is not None:
        content = _of_labels(content, coco.ids_of_labels(content["categories"], labels, path))
    check = _EntryCheck(name, findings)
    for where, note in [*((place, NULLED) for place in nonfinite), *named]:
        check.mend(Place(name), f"{where}: {note}")
    categories = check.categories(content["categories"])
    images = check.images(content["images"], finder)
    with (progress or unseen)("checking entries") as show:
        by_image = check.annotations(content["annotations"], images, categories, show)
    return Part(name, str(path), categories, images, lambda i: by_image.get(i, []), content=content, rewritten=rewritten,
                mended=check.mended)  # fmt: skip


def _of_labels(content: dict[str, Any], ids: list[int | str]) -> dict[str, Any]:
    """Leave out the categories with other ids, and their annotations."""
    by_id = {entry["id"]: entry for entry in content["categories"] if isinstance(entry, dict) and is_id(entry.get("id"))}
    others = by_id.keys() - set(ids)

    def is_left_out(entry: Any) -> bool:
        return isinstance(entry, dict) and is_id(entry.get("category_id")) and entry["category_id"] in others

    annotations = [entry for entry in content["annotations"] if not is_left_out(entry)]
    return {**content, "categories": [by_id[number] for number in ids], "annotations": annotations}


class _EntryCheck:
    """Checks the entries of a JSON on their own, before any image is read.

    Attributes:
        mended: see `Part`.
    """

    def __init__(self, part: str, findings: Findings) -> None:
        self.part, self.findings = part, findings
        self.mended: list[tuple[Place, str]] = []
        self._same_names: dict[int | str, int | str] = {}

    def mend(self, place: Place, message: str) -> None:
        """Report a value that is read as something else than is written."""
        self.findings.add("value_mended", place, message)
        self.mended.append((place, message))

    def _malformed(self, place: Place, where: str, field: str, value: object, expected: str) -> None:
        self.findings.add("entry_malformed", place, f"{where}: {field!r} is {shown(value)}, expected {expected}")

    def _is_entry(self, entry: object, where: str) -> bool:
        """Return whether an entry is an object with a usable id; if not, add a finding."""
        place = Place(self.part)
        if not isinstance(entry, dict):
            self.findings.add("entry_malformed", place, f"{where} is {shown(entry)}, expected an object")
            return False
        if not is_id(entry.get("id")):
            self._malformed(place, where, "id", entry.get("id"), "a whole number or text")
            return False
        return True

    def categories(self, entries: list[Any]) -> dict[int | str, str]:
        """Read the names of the categories, by id.

        Of categories that share an id, the first is used; those that share a name are one class, with the id of the first.
        """
        names: dict[int | str, str] = {}
        ids: dict[str, int | str] = {}  # by text: readers do not distinguish 7 from "7"
        shared = set()
        for index, entry in enumerate(entries):
            where = f"categories[{index}]"
            if not self._is_entry(entry, where):
                continue
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                self._malformed(Place(self.part), where, "name", name, "text")
                name = f"category {entry['id']}"
            first = ids.setdefault(str(entry["id"]), entry["id"])
            if first in names:
                message = f"{names[first]!r} and {name!r} share the id {_both(first, entry['id'])}"
                self.findings.add("category_id_collision", Place(self.part), message)
                shared.add(first)
                continue
            names[entry["id"]] = name
        by_name: dict[str, list[int | str]] = {}
        for category, name in names.items():
            if category not in shared:
                by_name.setdefault(name, []).append(category)
        for name, same in by_name.items():
            if len(same) > 1:
                message = f"the ids {', '.join(map(str, same))} are all named {name!r}"
                self.findings.add("category_name_collision", Place(self.part), message)
                self._same_names.update(dict.fromkeys(same[1:], same[0]))
        return {category: name for category, name in names.items() if category not in self._same_names}

    def images(self, entries: list[Any], finder: FileFinder) -> list[CheckedImage]:
        """Read the images, including those that share an id."""
        images: list[CheckedImage] = []
        ids: dict[str, tuple[int | str, str]] = {}
        files: dict[Path | None, str] = {}
        for index, entry in enumerate(entries):
            where = f"images[{index}]"
            if not self._is_entry(entry, where):
                continue
            image = self._image(entry, where, finder)
            place = Place(self.part, image.file, image.id)
            first_id, first = ids.setdefault(str(image.id), (image.id, where))
            if first != where:
                message = f"{where} and {first} share the id {_both(first_id, image.id)}"
                self.findings.add("image_id_collision", place, message)
            if image.path is not None and image.path in files:
                self.findings.add("file_listed_twice", place, f"{where} and {files[image.path]} are the same file")
            files.setdefault(image.path, where)
            images.append(image)
        return images

    def _image(self, entry: dict[str, Any], where: str, finder: FileFinder) -> CheckedImage:
        name, found = entry.get("file_name"), None
        size: tuple[Any, Any] | None = (entry.get("height"), entry.get("width"))
        place = Place(self.part, name if isinstance(name, str) else "", entry["id"])
        if isinstance(name, str) and name:
            try:
                found = finder.find(name)
            except DataError as error:
                self.findings.add("image_outside" if isinstance(error, OutsideError) else "image_missing", place, str(error))
            if found is not None and found.note:
                self.findings.add("image_elsewhere", place, found.note)
        else:
            self._malformed(place, where, "file_name", name, "the name of a file")
        if found is not None and coco.lacks_size(entry):
            try:
                size = image_files.read_image_size(found.path)
                entry = {**entry, "height": size[0], "width": size[1]}
                self.mend(place, f"{where}: {coco.SIZE_READ}")
            except DataError:  # reported when the pixels are read
                pass
        for field_name in ("height", "width"):
            if not is_kind(entry.get(field_name), int) or entry[field_name] <= 0:
                self._malformed(place, where, field_name, entry.get(field_name), "a whole number above 0")
                size = None
                break
        if size and size[0] * size[1] > image_files.MAX_PIXELS:
            self._malformed(place, where, "height", size[0], f"at most {image_files.MAX_PIXELS} pixels with 'width'")
            size = None
        path, root = (found.path, None if finder.allow_outside else found.root) if found else (None, finder.folders[0])
        return CheckedImage(entry["id"], place.file, path, size, root, entry.get("exif_applied") is True, entry=entry)

    def annotations(self, entries: list[Any], images: list[CheckedImage], categories: dict[int | str, str],
                    show: Show | None) -> dict[int, list[Labelled]]:  # fmt: skip
        """Group the annotations by the index of their image."""
        indices = ById[int]()
        for index, image in enumerate(images):
            indices.setdefault(image.id, index)
        listed = ById(categories)
        by_image: dict[int, list[Labelled]] = {}
        ids: set[int | str] = set()
        for index, entry in enumerate(tracked(entries, show, every=1000)):
            where = f"annotations[{index}]"
            if not isinstance(entry, dict):
                self.findings.add("entry_malformed", Place(self.part), f"{where} is {shown(entry)}, expected an object")
                continue
            label = entry["id"] if is_id(entry.get("id")) else where
            image_id: Any = entry.get("image_id")
            known = is_id(image_id) and image_id in indices
            file = images[indices[image_id]].file if known else ""
            place = Place(self.part, file, image_id if is_id(image_id) else None, label)
            self._missing_fields(entry, where, place)
            entry = self._read(entry, images[indices[image_id]].size if known else None, where, place)
            self._fields(entry, where, place, ids)
            if not is_id(entry.get("category_id")) or entry["category_id"] not in categories:
                fault = listed.fault(entry.get("category_id"), "category_id", "categories")
                message = f"{fault}: {shown(entry.get('category_id'))}"
                self.findings.add("category_missing", place, message)
            if not known:
                fault = indices.fault(image_id, "image_id", "images")
                self.findings.add("annotation_orphan", place, f"{fault}: {shown(image_id)}")
                continue
            by_image.setdefault(indices[image_id], []).append((label, entry))
        return by_image

    def _read(self, entry: dict[str, Any], size: tuple[int, int] | None, where: str, place: Place) -> dict[str, Any]:
        """Return an annotation as the readers read it, and report what is written in another way."""
        category = entry.get("category_id")
        if is_id(category) and category in self._same_names:
            entry = {**entry, "category_id": self._same_names[category]}
        readings = mended_fields(entry, size)
        for name, (_, how) in readings.items():
            self.mend(place, f"{where}: {name!r} {how}: {shown(entry[name])}")
        return {**entry, **{name: value for name, (value, _) in readings.items()}} if readings else entry

    def _missing_fields(self, entry: dict[str, Any], where: str, place: Place) -> None:
        missing = [name for name in ("id", "area", "bbox", "iscrowd") if entry.get(name) is None]
        if missing:
            self.findings.add("fields_missing", place, f"{where} has no {', '.join(missing)}", severity=INFO)

    def _fields(self, entry: dict[str, Any], where: str, place: Place, ids: set[int | str]) -> None:
        """Check the fields of an annotation that can be checked without the image."""
        if entry.get("id") is not None:
            if not is_id(entry["id"]):
                self._malformed(place, where, "id", entry["id"], "a whole number or text")
            elif entry["id"] in ids:
                self.findings.add("annotation_id_collision", place, f"{where} repeats the id {entry['id']!r}")
            else:
                ids.add(entry["id"])
        if entry.get("iscrowd") not in (None, 0, 1):
            self._malformed(place, where, "iscrowd", entry["iscrowd"], "0 or 1")


def _both(first: int | str, second: int | str) -> str:
    """Format an id that two entries share, which may be a number in one and text in the other."""
    same = type(first) is type(second)
    return shown(first) if same else f"{shown(first)}, which readers do not distinguish from {shown(second)}"
