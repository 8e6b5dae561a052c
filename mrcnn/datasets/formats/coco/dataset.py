"""COCO's instance annotations.

Layout: `annotations/instances_{subset}{year}.json` and the images in `{subset}{year}/`. Segmentations are polygons,
uncompressed or compressed RLE; crowds get negative class ids. A data set keeps its annotations as JSON text, which takes a
quarter of the memory of Python objects, and decodes the annotations of an image when they are needed.

Source: https://cocodataset.org/#format-data.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.annotation_checks import check_annotations
from mrcnn.datasets.class_names import read_class_names, text_names
from mrcnn.datasets.formats.coco.layout import (
    LISTS,
    CocoFile,
    coco_file,
    coco_files,
    file_layout,
    has_lvis_fields,
    no_instances,
    other_coco_files,
)
from mrcnn.datasets.ids import ById, Id, is_id, read_id, reread_fields
from mrcnn.geometry.boxes import Integer
from mrcnn.io.download import download_coco
from mrcnn.io.file_finder import FileFinder, Found
from mrcnn.io.images import read_image_size, refuse_too_large
from mrcnn.io.json_fields import NULLED, JsonList, field, read_json, shown

DEFAULT_YEAR = "2014"
# about an image that `lacks_size`
SIZE_READ = "it has no height or no width, and those of its file are used"
# entries of a list between two reports of progress
_REPORT_EVERY = 1000


def recognise(path: Path) -> str | None:
    """Return None for a folder in one of the layouts of COCO files or a JSON file of instances, else why it is neither."""
    if path.is_dir():
        return None if coco_files(path) else "no annotations/instances_*.json, _annotations.coco.json or labels.json with data/"
    reason = no_instances(path)
    if reason is None and has_lvis_fields(path):
        return "its images have the fields of LVIS"
    return reason


def recognise_by_content(path: Path) -> bool:
    """Return whether a folder holds JSON files of instances under other names, for a folder that no format recognises."""
    return path.is_dir() and bool(other_coco_files(path))


def files_of(folder: Path) -> list[CocoFile]:
    """Return the annotation files of a folder."""
    return coco_files(folder) or other_coco_files(folder)


def file_of(path: Path, images: Path | str | None = None) -> CocoFile:
    """Return an annotation file with the folder of its images; None takes that of the layout that the file is part of."""
    return file_layout(path) if images is None else CocoFile(path, None, "", (Path(images),), Path(images))


def subsets(path: Path | str) -> list[str]:
    """Return the subsets of a folder; [] for a file, or if it is undivided."""
    path = Path(path)
    names = (file.subset for file in (() if path.is_file() else files_of(path)))
    return list(dict.fromkeys(name for name in names if name is not None))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    year: str | int | None = None,
    images: Path | str | None = None,
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    encoding: str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "CocoDataset":
    """Open a subset of a folder in one of the layouts of `layout`, or a JSON file.

    Args:
        path: the folder, or a JSON file of instances.
        subset: one of `subsets`.
        year: for a folder: the year in the file names, needed if there are several.
        images: for a JSON file: the folder of its images; None for the folder of the file, or for those of its layout.
        encoding: of a JSON file that is not UTF-8.
        labels: the names of the categories to read, in the order of the classes, or a file with one per line. None reads all,
            in the order of their ids.
        allow_outside: whether file names may point outside the folder of the images.
        progress: reports the stages of `read_annotations` and `CocoDataset.add_annotations`.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: `images` is given for a folder; also see `CocoDataset.load_coco`.
    """
    path = Path(path)
    if path.is_file():
        layout = file_of(path, images)
    else:
        refuse_images(path, images)
        layout = _the_file(path, subset, None if year is None else str(year))
    dataset = CocoDataset(allow_outside=allow_outside)
    content = read_annotations(layout.path, progress, dataset.notes, encoding)
    class_ids = None if labels is None else ids_of_labels(content["categories"], labels, layout.path)
    dataset.add_annotations(content, layout.finder(allow_outside), layout.path, class_ids, all_images=True, progress=progress)
    return dataset


def ids_of_labels(
    categories: Sequence[Any], labels: Iterable[object] | os.PathLike[str] | str, path: Path | str
) -> list[Id]:
    """Return the ids of the categories with the names that a user gives, in the order of the names.

    Args:
        categories: the list of a file.
        labels: see `open_subset`.
        path: the file, for messages.

    Raises:
        DataError: no category has one of the names, or the labels cannot be read.
    """
    by_name: dict[object, list[Id]] = {}
    for category in categories:
        number = read_id(category.get("id")) if isinstance(category, dict) else None
        if number is not None:
            by_name.setdefault(str(category.get("name")), []).append(number)
    names = read_class_names(labels)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise DataError(f"{path} has no category {unknown[0]!r} (labels, --labels); it has {', '.join(map(str, by_name)):.200}")
    return [number for name in names for number in by_name[name]]


def _the_file(path: Path, subset: str | None, year: str | None) -> CocoFile:
    """Return the annotation file of a subset and year of a folder."""
    files = files_of(path)
    if not files:
        raise DataError(f"{path}: no annotations/instances_*.json and no other JSON file of instances in it")
    of_subset = {file.year: file for file in files if file.subset == subset}
    if year is None and len(of_subset) > 1:
        raise DataError(f"{path} has the subset {subset!r} for the years {', '.join(of_subset)}: say which "
                        "with year=YEAR (--year YEAR)")
    chosen = next(iter(of_subset)) if year is None and of_subset else year or ""
    if chosen not in of_subset:
        years = ", ".join(of_subset) or "none"
        raise DataError(f"{path} has no subset {subset!r} of the year {chosen or 'none'}; its years are {years}")
    return of_subset[chosen]


def refuse_images(path: Path, images: Path | str | None) -> None:
    """Refuse a folder of images for a folder in COCO's layout, which contains its images.

    Args:
        path: the folder in COCO's layout.
        images: the folder of images, or None.

    Raises:
        DataError: `images` is not None.
    """
    if images is not None:
        raise DataError(f"{path} is a folder, and a folder in COCO's layout has its images inside: omit the folder of "
                        f"images, {images} (--images), or give the path of the JSON file")


class CocoDataset(AnnotatedDataset):
    """A data set in COCO's format."""

    source = "coco"
    states_orientation = False

    def load_coco(
        self,
        dataset_dir: Path | str,
        subset: str,
        year: str | int = DEFAULT_YEAR,
        class_ids: Iterable[Id] | None = None,
        class_map: Mapping[Id, Id] | None = None,
        return_coco: bool = False,
        auto_download: bool = False,
        all_images: bool = False,
        progress: Stages | None = None,
    ) -> Any:
        """Load a subset of COCO, or of a data set in its layout.

        Args:
            dataset_dir: the folder that has annotations/ in it.
            subset: train, val, minival, valminusminival, or another subset in the file names.
            year: 2014, 2017, or another year in the file names.
            class_ids: ids of the categories to load, with only the images that contain one of them. None loads all
                categories.
            class_map: category id -> id of the category that it is merged into.
            return_coco: True returns the annotations as a pycocotools COCO object.
            auto_download: True first downloads missing files from cocodataset.org.
            all_images: True also loads the images without instances of these categories, as `mrcnn.datasets.open` does.
            progress: reports the stages of `read_annotations` and `add_annotations`.

        Returns:
            pycocotools.coco.COCO, or None.

        Raises:
            DataError: a file is missing or not in COCO's format, or lacks a category of `class_ids`.
        """
        if auto_download:
            download_coco(dataset_dir, subset, str(year))
        file = coco_file(Path(dataset_dir), subset, year)
        content = read_annotations(file.path, progress, self.notes)
        self.add_annotations(content, file.finder(self.allow_outside), file.path, class_ids, all_images=all_images,
                             progress=progress)  # fmt: skip
        if class_map:
            merged = {f"{self.source}.{a}": f"{self.source}.{b}" for a, b in class_map.items()}
            self._class_map = {**(self._class_map or {}), **merged}
        return _pycocotools_object(content, file.path) if return_coco else None

    def add_annotations(
        self,
        content: Mapping[str, Any],
        images: FileFinder | Path | str,
        path: Path | str = "annotations",
        class_ids: Iterable[Id] | None = None,
        *,
        all_images: bool = False,
        progress: Stages | None = None,
    ) -> None:
        """Add the classes and images of a COCO file that has been read.

        Annotations that cannot be used, and images whose files cannot be found, are recorded in `skipped` and logged.

        Args:
            content: "images", "annotations" and "categories", from `read_annotations`.
            images: finder of the images, or the folder that their names are relative to.
            path: the file, for messages.
            class_ids: see `load_coco`.
            all_images: see `load_coco`.
            progress: reports the stages "checking annotations" and "listing images".

        Raises:
            DataError: the file lacks a category of `class_ids`, or an image or a category is malformed: its id, name or
                size is missing or of the wrong type.
        """
        progress = progress or unseen
        finder = images if isinstance(images, FileFinder) else FileFinder([images], images, allow_outside=self.allow_outside)
        with paused_collector():
            annotations = content["annotations"]
            named, notes = text_names(content["categories"])
            self.notes += notes
            categories = self._index(named, {"name": str}, f"{path}: categories")
            self._read_missing_sizes(content["images"], finder)
            listed = self._index(content["images"], {"height": int, "width": int}, f"{path}: images")
            wanted = sorted(categories, key=lambda i: (isinstance(i, str), i)) if class_ids is None else list(class_ids)
            unknown = [i for i in wanted if i not in categories]
            if unknown:
                raise DataError(f"{path}: no category has the id {unknown[0]!r}; the ids are {list(categories)}")
            for class_id in wanted:
                self.add_category(categories[class_id], f"{path}: category {class_id!r}")
            with progress("checking annotations") as show:
                by_image = self._usable_positions(annotations, listed, categories, set(wanted), show)
            with progress("listing images") as show:
                for image_id, image in tracked(listed.items(), show, every=_REPORT_EVERY):
                    positions = by_image.get(image_id, [])
                    if all_images or positions:
                        self.add_listed_image(image, _select(annotations, positions), finder, f"{path}: image {image_id!r}")
        self.log_skipped(path)

    def _index(self, entries: Sequence[Any], kinds: Mapping[str, type], where: str) -> ById[dict[str, Any]]:
        """Index a list of the file; note whether its numbers are written with a decimal point. See `index_entries`."""
        index = index_entries(entries, kinds, where)
        count = sum(read is not written for written, read in zip(entries, index.values(), strict=True))
        if count:
            self.notes.append((where, f"{count} entries have whole numbers with a decimal point, such as 1.0, read as 1"))
        return index

    def _read_missing_sizes(self, entries: list[Any], finder: FileFinder) -> None:
        """Replace entries of images without height and width by entries with those of their files."""
        for position, entry in enumerate(entries):
            if not lacks_size(entry):
                continue
            try:
                height, width = read_image_size(finder.find(field(entry, "file_name", str, "it")).path)
            except DataError:  # an entry without a size is refused
                continue
            entries[position] = {**entry, "height": height, "width": width}
            self.notes.append((f"images[{position}]", SIZE_READ))

    def _usable_positions(
        self,
        annotations: JsonList | list[Any],
        images: ById[Any],
        categories: ById[Any],
        wanted: set[Id],
        show: Show | None,
    ) -> dict[Id, list[int]]:
        """Group the indices of usable annotations of the wanted categories by image id; skip unusable ones.

        Annotations that are read as something else than is written are replaced in the list.
        """
        by_image: dict[Id, list[int]] = {}
        checked = tracked(check_annotations(annotations, images, categories), show, len(annotations), every=_REPORT_EVERY)
        for position, (image_id, category_id, fault, mended, notes) in enumerate(checked):
            if image_id is None or category_id is None:
                self.skip(_annotation_place(annotations, position), fault or "")
                continue
            if mended is not None:
                self.notes += [(_annotation_place(annotations, position), note) for note in notes]
                annotations[position] = mended
            if category_id in wanted:
                by_image.setdefault(image_id, []).append(position)
        return by_image

    def add_category(self, category: Mapping[str, Any], where: str) -> None:
        """Add a class that the file lists.

        Args:
            category: its entry.
            where: file and category, for messages.

        Raises:
            DataError: its name is empty.
        """
        if not category["name"]:
            raise DataError(f"{where}: 'name' is empty: name the category")
        self.add_class(self.source, category["id"], category["name"])

    def add_listed_image(
        self, image: Mapping[str, Any], annotations: Sequence[dict[str, Any]], finder: FileFinder, where: str
    ) -> None:
        """Add an image that the file lists, or skip it if its file cannot be found.

        Args:
            image: its entry, with "id", "height" and "width".
            annotations: its usable annotations.
            finder: finds its file.
            where: file and image, for messages.

        Raises:
            DataError: a field is missing or of the wrong type, or the size is invalid.
        """
        check_size(image, where)
        found = self.found(image["id"], finder, field(image, "file_name", str, where))
        # not a COCO field: our writer records in it that annotations refer to the image as viewers rotate it
        turned = {"exif_applied": True} if image.get("exif_applied") is True else {}
        if found is not None:
            size = image["height"], image["width"]
            self.add_annotated_image(image["id"], found.path, size, annotations, found.root, **turned)

    def found(
        self, image_id: Id, finder: FileFinder, name: str, *other_names: str, name_field: str = "file_name"
    ) -> Found | None:
        """Find the file of an image; record how it was found, or why it is not.

        Args:
            image_id: its id at the source.
            finder: finds it.
            name: in the data file.
            *other_names: see `FileFinder.find`.
            name_field: the field that holds the name.
        """
        where = f"image {image_id}, {shown(name)}"
        try:
            found = finder.find(name, *other_names, field=name_field)
        except DataError as error:
            self.skip(where, f"the image is skipped: {error}")
            return None
        if found.note:
            self.notes.append((where, found.note))
        return found

    def image_reference(self, image_id: Integer) -> str:
        """Return the URL of a COCO image in COCO's explorer, or the file name of any other image."""
        info = self.image_info[image_id]
        # COCO's files are named by their ids in twelve digits; other images in this format are not in the explorer
        if not self.reads(image_id) or not Path(info["path"]).stem.endswith(f"{info['id']:0>12}"):
            return super().image_reference(image_id)
        return f"https://cocodataset.org/#explore?id={info['id']}"


def read_annotations(
    path: Path | str,
    progress: Stages | None = None,
    notes: list[tuple[Any, str]] | None = None,
    encoding: str | None = None,
) -> dict[str, Any]:
    """Read a COCO instances file.

    Args:
        path: the JSON.
        progress: reports the stages of `read_json`.
        notes: receives (place, note) of each NaN and infinity, which are read as null; None refuses NaN and Infinity.
        encoding: of a file that is not UTF-8.

    Returns:
        The content, with the lists "images", "annotations" (a `JsonList`, if possible) and "categories".

    Raises:
        DataError: the file is missing, is not JSON, or lacks one of the three lists.
    """
    path = Path(path)
    if not path.is_file():
        names = sorted(p.name for p in path.parent.glob("*.json")) if path.parent.is_dir() else []
        hint = f"its folder has {', '.join(names)}" if names else f"{path.parent} has no annotation files"
        raise DataError(f"annotation file {path} does not exist; {hint}: check the data set's folder, subset and year")
    nonfinite: list[str] | None = None if notes is None else []
    content = read_json(path, nonfinite=nonfinite, encoding=encoding, lazy="annotations", progress=progress)
    if notes is not None:
        notes += [(place, NULLED) for place in nonfinite or ()]
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list | JsonList):
            raise DataError(f"annotation file {path} has no list {key!r}, which COCO's instance format needs")
    return content


def index_entries(entries: Sequence[Any], kinds: Mapping[str, type], where: str) -> ById[dict[str, Any]]:
    """Map ids to the entries of a list, in its order. Whole numbers written as 1.0 become 1.

    Args:
        entries: list of a COCO file.
        kinds: type of each field that an entry must have besides its id; see `mrcnn.io.json_fields.field`.
        where: file and list, for messages.

    Raises:
        DataError: an entry is not an object, lacks a field, has one of another type, or has the id of another entry.
    """
    index: ById[dict[str, Any]] = ById()
    texts: dict[str, int] = {}
    for position, entry in enumerate(entries):
        place = f"{where}[{position}]"
        number: Id = field(entry, "id", (int, str), place)
        # other code compares ids as text, so 7 and "7" are the same
        text = str(number)
        if text in texts:
            raise DataError(f"{where}: entries {texts[text]} and {position} have the same id {number!r}: make them unique")
        read = {"id": number, **{name: field(entry, name, kind, place) for name, kind in kinds.items()}}
        texts[text] = position
        index[number] = {**entry, **read} if reread_fields(entry, read) else entry
    return index


def lacks_size(entry: Any) -> bool:
    """Return whether an entry of an image has no height or no width, as some programs write it."""
    return isinstance(entry, dict) and None in (entry.get("height"), entry.get("width"))


def check_size(image: Mapping[str, Any], where: str) -> None:
    """Refuse an image whose listed size is not above 0, or is too large.

    Args:
        image: its entry.
        where: file and image, for messages.

    Raises:
        DataError: the size is refused.
    """
    for name in ("height", "width"):
        if image[name] <= 0:
            raise DataError(f"{where}: {name!r} is {image[name]}, expected a number of pixels above 0")
    refuse_too_large((image["height"], image["width"]), where)


def _select(annotations: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    """Return the annotations with these indices; those of a `JsonList` stay text."""
    return annotations.select(positions) if isinstance(annotations, JsonList) else [annotations[i] for i in positions]


def _annotation_place(annotations: Sequence[Any], position: int) -> Id:
    """Return the id of an annotation, or its place in the list if it has no usable id."""
    try:
        number = annotations[position].get("id")
    except (AttributeError, DataError):
        number = None
    return number if is_id(number) else f"annotations[{position}]"


def _pycocotools_object(content: Mapping[str, Any], path: Path) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {**content, "annotations": list(content["annotations"])}
    try:
        coco.createIndex()
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: pycocotools cannot index it: {type(error).__name__} {error}") from error
    return coco
