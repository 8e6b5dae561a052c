"""The VGG Image Annotator, versions 1 and 2: one JSON file for the images of a folder.

Version 1 writes the regions of an image as an object, version 2 as a list; a saved project of version 2 has the images under
`_via_img_metadata`. Outlines are polygon, polyline, rect, circle and ellipse; the class of a region is the value of one of
its attributes. A polyline that ends where it began is a polygon; any other is a line of a given width.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import natural_key, read_class_names
from mrcnn.datasets.folders import mentions, part_folders
from mrcnn.geometry.boxes import Number
from mrcnn.geometry.outlines import Ring, ellipse_ring, outline_fault, rectangle_ring, stroke_rings
from mrcnn.geometry.polygons import polygon_bounds
from mrcnn.io.json_fields import field, is_kind, read_json, shown
from mrcnn.io.orientation import read_header, turned_size
from mrcnn.io.paths import inside, refuse_link

# the name of the file that version 1 saves
DEFAULT_NAME = "via_region_data.json"
# width of a line that is not closed, in pixels
LINE_WIDTH = 10
_PROJECT = "_via_img_metadata"
# number of entries examined to recognise a file
_LOOKED_AT = 5
# distance in pixels that regions may extend beyond the image that they were drawn on
_SLACK = 2
_ANY_SIZE = (math.inf, math.inf)


def recognise(path: Path) -> str | None:
    """Return None for a VIA file, or a folder that holds one, else why it is neither."""
    if path.is_dir():
        files = _annotation_files(path) or part_folders(path, _annotation_files)
        return None if files else "no JSON file of regions in it, nor in a train or val folder"
    if path.suffix.lower() != ".json":
        return "not a folder or a .json file"
    return None if _is_via(path) else "the JSON has no images with filename and regions"


def subsets(path: Path | str) -> list[str]:
    """Return the subfolders train, val and test of a folder that has no VIA file itself."""
    path = Path(path)
    if path.is_file() or _annotation_files(path):
        return []
    return list(part_folders(path, _annotation_files))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    attribute: str | None = None,
    class_name: str = "object",
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    line_width: Number = LINE_WIDTH,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "ViaDataset":
    """Open a folder with a VIA file and its images, or a VIA file.

    Args:
        path: the folder or file.
        subset: one of `subsets`. The classes are those of all subsets, so that their numbers agree.
        attribute: the region attribute that holds the class; needed if regions have several.
        class_name: the class of all regions if none has an attribute.
        labels: the classes in their order, or a file with one per line; regions of other classes are skipped. None takes
            the classes that occur, sorted by name.
        line_width: width in pixels of lines that are not closed.
        allow_outside: whether file names may point outside the folder.
        progress: reports the stages of `read_json` and "checking regions", for each file, and "reading image sizes".

    Returns:
        The data set, not prepared. Its `skipped` lists what was skipped, its `notes` what was repaired.

    Raises:
        DataError: the file cannot be used, a name points outside the folder, or the attribute does not exist.
        ValueError: line_width is not above 0.
    """
    if not 0 < line_width < math.inf:
        raise ValueError(f"line_width is {line_width}: expected pixels above 0")
    path = Path(path)
    files: dict[str | None, Path]
    if path.is_file():
        files = {None: path}
    elif subset is None:
        files = {None: _the_file(path)}
    else:
        files = {part: _the_file(folder) for part, folder in part_folders(path, _annotation_files).items()}
    dataset = ViaDataset(allow_outside=allow_outside)
    # what is skipped in the other subsets is not reported
    images = {
        part: _read_file(file, line_width, dataset if part == subset else ViaDataset(allow_outside=allow_outside), progress)
        for part, file in files.items()
    }
    regions = [region for listed in images.values() for image in listed for region in image.regions]
    attribute = find_attribute(regions, attribute, str(path))
    if labels is not None:
        classes = read_class_names(labels)
    elif attribute is None:
        classes = [class_name]
    else:
        classes = sorted({name for region in regions if (name := _class_or_none(region, attribute))}, key=natural_key)
    # the whole folder of a divided data set, so that file names relative to it distinguish the subsets
    root = path.parent if path.is_file() else path
    with (progress or unseen)("reading image sizes") as show:
        dataset.add_images(images[subset], classes, attribute, class_name, root, show)
    dataset.log_skipped(files[subset], "images or regions")
    return dataset


@dataclass
class Region:
    """A region.

    Attributes:
        where: its place in the file.
        rings: outlines, whose union is the region.
        attributes: name -> value.
    """

    where: str
    rings: list[Ring]
    attributes: dict[str, Any]


@dataclass
class ViaImage:
    """An image of the file.

    Attributes:
        path: the image file.
        regions: its usable regions.
    """

    name: str
    path: Path
    regions: list[Region]


class ViaDataset(AnnotatedDataset):
    """Images annotated with VIA."""

    source = "via"

    def add_images(
        self,
        images: Sequence[ViaImage],
        classes: Iterable[str],
        attribute: str | None,
        class_name: str,
        root: Path,
        progress: Show | None = None,
    ) -> None:
        """Add images with their regions.

        Args:
            images: images of a file.
            classes: names in the order of their ids, which count from 1.
            attribute: the attribute that holds the class; None gives all regions the class `class_name`.
            class_name: see `attribute`.
            root: the folder that the images must be in.
            progress: called after each image.
        """
        ids = {name: number for number, name in enumerate(classes, start=1)}
        for name, number in ids.items():
            self.add_class(self.source, number, name)
        headers = {image.name: _header(image) for image in tracked(images, progress)}
        is_turned = _find_turned(images, headers)
        for image in images:
            stored, orientation = headers[image.name]
            size, info = stored, {}
            if stored is not None and orientation != 1 and is_turned(image):
                size, info = turned_size(stored, orientation), {"exif_applied": True}
                self.notes.append((image.name, "its EXIF orientation is applied: the regions fit only the image as displayed"))
            annotations = []
            for region in image.regions:
                try:
                    annotations.append(_annotation(region, ids, attribute, class_name, size))
                except DataError as error:
                    self.skip(region.where, str(error))
            self.add_annotated_image(image.name, image.path, size, annotations, root, **info)


def _annotation(
    region: Region, ids: Mapping[str, int], attribute: str | None, class_name: str, size: tuple[int, int] | None
) -> dict[str, Any]:
    fault = outline_fault(region.rings, size or _ANY_SIZE)
    if fault:
        raise DataError(fault)
    name = class_name if attribute is None else class_of(region, attribute)
    if name not in ids:
        raise DataError(f"its class {name!r} is not among the classes")
    return {"category_id": ids[name], "segmentation": region.rings, "iscrowd": 0}


def _header(image: ViaImage) -> tuple[tuple[int, int] | None, int]:
    """Return the stored size and the orientation, or (None, 1) if they cannot be read, which loading the image reports."""
    try:
        return read_header(image.path) if os.path.isfile(image.path) else (None, 1)
    except DataError:
        return None, 1


def _find_turned(
    images: Iterable[ViaImage], headers: Mapping[str, tuple[tuple[int, int] | None, int]]
) -> Callable[[ViaImage], bool]:
    """Return a function that says whether VIA displayed an image rotated by its EXIF orientation.

    Newer browsers rotate images, older ones did not, and VIA does not record the size that it displayed. If the regions of an
    image fit only one orientation, that is evidence for all images of the file. Without evidence, or with evidence for both,
    an image is taken as stored, unless its own regions fit only the rotated image.
    """

    def evidence(image: ViaImage) -> bool | None:
        stored, orientation = headers[image.name]
        bounds = [polygon_bounds(region.rings) for region in image.regions if not outline_fault(region.rings, _ANY_SIZE)]
        if stored is None or orientation < 5 or not bounds:
            return None
        turned = turned_size(stored, orientation)
        fits = [all(b[2] <= h + _SLACK and b[3] <= w + _SLACK for b in bounds) for h, w in (stored, turned)]
        return fits[1] if fits[0] != fits[1] else None

    votes = {evidence(image) for image in images} - {None}
    return lambda image: votes == {True} or evidence(image) is True


# --- the file


def _is_via(path: Path) -> bool:
    if not mentions(path, (b'"regions"', b'"_via_img_metadata"')):
        return False
    try:
        entries = _entries(read_json(path), path)
    except DataError:
        return False
    looked_at = list(islice(entries.values(), _LOOKED_AT))
    return all(isinstance(e, dict) and {"filename", "regions"} <= set(e) for e in looked_at) and bool(looked_at)


def _annotation_files(folder: Path) -> list[Path]:
    """Return the VIA files of a folder: the one that version 1 saves, or all that look like VIA files."""
    if _is_via(folder / DEFAULT_NAME):
        return [folder / DEFAULT_NAME]
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.suffix.lower() == ".json" and path.is_file() and _is_via(path)]


def _the_file(folder: Path) -> Path:
    files = _annotation_files(folder)
    if not files:
        raise DataError(f"{folder}: no JSON file with VIA regions in it, such as {DEFAULT_NAME}")
    if len(files) > 1:
        raise DataError(f"{folder}: {' and '.join(path.name for path in files)} are all from VIA: give the path of one")
    return files[0]


def _entries(content: Any, path: Path) -> dict[str, Any]:
    """Return the object that holds the images, in an export or in a project."""
    if isinstance(content, dict) and _PROJECT in content:
        return field(content, _PROJECT, dict, str(path))
    if not isinstance(content, dict):
        raise DataError(f"{path} does not hold an object of images")
    return content


def _read_file(path: Path, line_width: Number, dataset: ViaDataset, progress: Stages | None) -> list[ViaImage]:
    """Read the images of a file, recording what cannot be used in the `skipped` of the data set."""
    content = read_json(path, progress=progress)
    base, images, names = _default_folder(content), [], set()
    with (progress or unseen)("checking regions") as show:
        for key, entry in tracked(_entries(content, path).items(), show):
            where = f"{path.name}: {key}"
            try:
                name = field(entry, "filename", str, "it")
                records = field(entry, "regions", (dict, list), "it", default=[])
                inside(path.parent, name, "its filename", allow_outside=True)
                if "://" in name or name in names:
                    raise DataError("its image is a URL" if "://" in name else "its image was listed before")
            except DataError as error:
                dataset.skip(where, str(error))
                continue
            names.add(name)
            image = ViaImage(name, _image_path(path, base, name, f"{where}: filename", dataset.allow_outside), [])
            for place, record in records.items() if isinstance(records, dict) else enumerate(records):
                region_where = f"{where}: regions[{place}]"
                try:
                    image.regions.append(parse_region(record, region_where, line_width))
                except DataError as error:
                    dataset.skip(region_where, str(error))
            images.append(image)
    return images


def _default_folder(content: Any) -> str:
    """Return the folder of images that a project names; "" if there is none."""
    core = content.get("_via_settings") if isinstance(content, dict) else None
    core = core.get("core") if isinstance(core, dict) else None
    folder = core.get("default_filepath") if isinstance(core, dict) else None
    return folder if isinstance(folder, str) else ""


def _image_path(path: Path, base: str, name: str, where: str, allow_outside: bool) -> Path:
    """Find an image next to the file, or in the folder that the project names.

    Raises:
        DataError: the name points outside the folder of the file.
    """
    image = inside(path.parent, name, where, allow_outside=allow_outside)
    # the folder is often a path on the computer on which the images were annotated
    is_absolute = bool(PureWindowsPath(base).anchor)  # recognises paths of Windows and POSIX
    if base and not image.is_file() and (allow_outside or not is_absolute):
        other = inside(path.parent, f"{base}/{name}", where, allow_outside=allow_outside)
        image = other if other.is_file() else image
    if not allow_outside:
        refuse_link(image, path.parent, where)
    return image


# --- regions


def parse_region(record: Any, where: str, line_width: Number) -> Region:
    """Check one region.

    Args:
        record: an entry of the regions.
        where: its place in the file.
        line_width: width in pixels of polylines that are not closed.

    Raises:
        DataError: the region cannot be used, or has no area; the message does not name the place.
    """
    shape = field(record, "shape_attributes", dict, "it")
    kind = field(shape, "name", str, "it: shape_attributes")
    if kind not in _SHAPES:
        raise DataError(f"its shape {kind!r} " + ("has no area" if kind == "point" else "is unknown"))
    rings = _SHAPES[kind](shape, line_width)
    return Region(where, rings, field(record, "region_attributes", dict, "it", default={}))


def _numbers(shape: Any, *names: str) -> list[float]:
    return [float(field(shape, name, float, "it: shape_attributes")) for name in names]


def _points(shape: Any, min_points: int) -> list[tuple[float, float]]:
    xs, ys = (field(shape, name, list, "it: shape_attributes") for name in ("all_points_x", "all_points_y"))
    if len(xs) != len(ys) or len(xs) < min_points:
        raise DataError(f"it has {len(xs)} all_points_x and {len(ys)} all_points_y, expected as many, and at least "
                        f"{min_points}")  # fmt: skip
    for name, values in (("all_points_x", xs), ("all_points_y", ys)):
        bad = [value for value in values if not is_kind(value, float)]
        if bad:
            raise DataError(f"it: {name} holds {shown(bad[0])}, expected finite numbers")
    return [(float(x), float(y)) for x, y in zip(xs, ys)]


def _polygon(shape: Any, line_width: Number) -> list[Ring]:
    return [[v for point in _points(shape, 3) for v in point]]


def _polyline(shape: Any, line_width: Number) -> list[Ring]:
    points = _points(shape, 2)
    if len(points) > 3 and points[0] == points[-1]:
        return [[v for point in points[:-1] for v in point]]
    return stroke_rings(points, line_width)


def _rectangle(shape: Any, line_width: Number) -> list[Ring]:
    x, y, width, height = _numbers(shape, "x", "y", "width", "height")
    return [rectangle_ring((x, y), (x + width, y + height))]


def _circle(shape: Any, line_width: Number) -> list[Ring]:
    x, y, r = _numbers(shape, "cx", "cy", "r")
    return [ellipse_ring((x, y), (r, r))] if r > 0 else []


def _ellipse(shape: Any, line_width: Number) -> list[Ring]:
    x, y, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
    angle = float(field(shape, "theta", float, "it: shape_attributes", default=0.0))
    return [ellipse_ring((x, y), (rx, ry), angle)] if rx > 0 and ry > 0 else []


_SHAPES: dict[str, Callable[[Any, Number], list[Ring]]] = {
    "polygon": _polygon, "polyline": _polyline, "rect": _rectangle, "circle": _circle, "ellipse": _ellipse,
}  # fmt: skip


def find_attribute(regions: Iterable[Region], wanted: str | None, where: str) -> str | None:
    """Return the attribute of the regions that holds their class.

    Args:
        regions: all regions.
        wanted: the attribute that the user names, or None.
        where: the file, for messages.

    Returns:
        Its name; None if no region has an attribute with a value.

    Raises:
        DataError: no region has the wanted attribute, or there are several to choose from.
    """
    names = dict.fromkeys(name for region in regions for name, value in region.attributes.items() if not is_empty(value))
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{where}: no region has the attribute {wanted!r}; they have {', '.join(names) or 'none'}")
        return wanted
    if len(names) > 1:
        raise DataError(f"{where}: the regions have the attributes {', '.join(names)}: say which one holds the class "
                        "(attribute, --attribute)")  # fmt: skip
    return next(iter(names), None)


def is_empty(value: Any) -> bool:
    """Return whether an attribute has no value."""
    return value is None or isinstance(value, str) and not value.strip() or value in ({}, [])


def class_of(region: Region, attribute: str) -> str:
    """Return the class of a region: the value of its attribute, or the name of the check box that is checked.

    Raises:
        DataError: the region has no class, or several; the message does not name the place.
    """
    value = region.attributes.get(attribute)
    if isinstance(value, dict):
        checked = [name for name, is_checked in value.items() if is_checked is True]
        if len(checked) > 1:
            raise DataError(f"its {attribute!r} has {len(checked)} classes checked, expected one")
        value = checked[0] if checked else None
    if is_empty(value):
        raise DataError(f"it has no {attribute!r}")
    if not isinstance(value, str) and not is_kind(value, float):
        raise DataError(f"its {attribute!r} is {shown(value)}, expected the name of a class")
    name = str(value).strip()
    try:
        name.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, as \ud800 in JSON
        raise DataError(f"its {attribute!r} is {shown(value)}, expected the name of a class") from error
    return name


def _class_or_none(region: Region, attribute: str) -> str | None:
    try:
        return class_of(region, attribute)
    except DataError:
        return None  # reported when its image is added
