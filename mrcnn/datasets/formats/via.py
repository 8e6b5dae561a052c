"""The VGG Image Annotator, versions 1 and 2: one JSON file for the images of a folder.

Version 1 writes the regions of an image as an object, version 2 as a list; a saved project of version 2 holds the same
below `_via_img_metadata`. Outlines are polygon, polyline, rect, circle and ellipse; the class of a region stands in one of
its attributes. A polyline that ends where it began is a polygon, any other a line of some width.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/. Shape letters: H W image.

The regions of the VGG Image Annotator: outlines, and what they are called.
"""

import math
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PureWindowsPath

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import natural_key, read_class_names
from mrcnn.datasets.folders import mentions, part_folders
from mrcnn.geometry.outlines import ellipse_ring, outline_fault, rectangle_ring, stroke_rings
from mrcnn.geometry.polygons import polygon_bounds
from mrcnn.io.json_fields import field, is_kind, read_json, shown
from mrcnn.io.orientation import read_header, turned_size
from mrcnn.io.paths import inside, refuse_link


@dataclass
class Region:
    """One region. Attributes: where: str, its place in the file; rings: list of rings, whose union it is; attributes: dict."""

    where: str
    rings: list
    attributes: dict


def parse_region(record, where, line_width):
    """Check one region.

    Args:
        record: what stands among the regions.
        where: str. Its place in the file.
        line_width: float, pixels. Of polylines that are not closed.

    Returns:
        Region.

    Raises:
        DataError: it is not usable, or has no area; the message does not name the place.
    """
    shape = field(record, "shape_attributes", dict, "it")
    kind = field(shape, "name", str, "it: shape_attributes")
    if kind not in _SHAPES:
        raise DataError(f"its shape {kind!r} " + ("has no area" if kind == "point" else "is not known"))
    rings = _SHAPES[kind](shape, line_width)
    return Region(where, rings, field(record, "region_attributes", dict, "it", default={}))


def _numbers(shape, *names):
    return [float(field(shape, name, float, "it: shape_attributes")) for name in names]


def _points(shape, least):
    xs, ys = (field(shape, name, list, "it: shape_attributes") for name in ("all_points_x", "all_points_y"))
    if len(xs) != len(ys) or len(xs) < least:
        raise DataError(f"it has {len(xs)} all_points_x and {len(ys)} all_points_y, expected as many, and at least {least}")
    for name, values in (("all_points_x", xs), ("all_points_y", ys)):
        bad = [value for value in values if not is_kind(value, float)]
        if bad:
            raise DataError(f"it: {name} holds {shown(bad[0])}, expected finite numbers")
    return [(float(x), float(y)) for x, y in zip(xs, ys)]


def _polygon(shape, line_width):
    return [[v for point in _points(shape, 3) for v in point]]


def _polyline(shape, line_width):
    points = _points(shape, 2)
    if len(points) > 3 and points[0] == points[-1]:
        return [[v for point in points[:-1] for v in point]]  # drawn all around
    return stroke_rings(points, line_width)


def _rectangle(shape, line_width):
    x, y, width, height = _numbers(shape, "x", "y", "width", "height")
    return [rectangle_ring((x, y), (x + width, y + height))]


def _circle(shape, line_width):
    x, y, r = _numbers(shape, "cx", "cy", "r")
    return [ellipse_ring((x, y), (r, r))] if r > 0 else []


def _ellipse(shape, line_width):
    x, y, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
    angle = float(field(shape, "theta", float, "it: shape_attributes", default=0.0))
    return [ellipse_ring((x, y), (rx, ry), angle)] if rx > 0 and ry > 0 else []


_SHAPES = {"polygon": _polygon, "polyline": _polyline, "rect": _rectangle, "circle": _circle, "ellipse": _ellipse}


def find_attribute(regions, wanted, where):
    """Find out which attribute of the regions holds their class.

    Args:
        regions: list of Region.
        wanted: str, the attribute that the user names, or None.
        where: str. The file, for the message.

    Returns:
        str, or None where no region has any attribute that says something.

    Raises:
        DataError: the wanted one is nowhere, or there are several to choose from.
    """
    there = dict.fromkeys(name for region in regions for name, value in region.attributes.items() if not is_empty(value))
    if wanted is not None:
        if wanted not in there:
            raise DataError(f"{where}: no region has the attribute {wanted!r}; they have {', '.join(there) or 'none'}")
        return wanted
    if len(there) > 1:
        raise DataError(f"{where}: the regions have the attributes {', '.join(there)}: say which one holds the class "
                        "(attribute, --attribute)")  # fmt: skip
    return next(iter(there), None)


def is_empty(value):
    """Tell whether the value of an attribute says nothing: bool."""
    return value is None or isinstance(value, str) and not value.strip() or value in ({}, [])


def class_of(region, attribute):
    """Read the class of a region.

    Args:
        region: Region.
        attribute: str.

    Returns:
        str. Of check boxes the one that is checked.

    Raises:
        DataError: it has none, or several; the message does not name the place.
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
    except UnicodeEncodeError as error:  # half of a character, as \ud800 in JSON
        raise DataError(f"its {attribute!r} is {shown(value)}, expected the name of a class") from error
    return name


# what version 1 calls the file that it saves
DEFAULT_NAME = "via_region_data.json"
# of a line that is not closed, in pixels
LINE_WIDTH = 10
_PROJECT = "_via_img_metadata"
# entries looked at to recognise a file
_LOOKED_AT = 5
# pixels that regions may lie outside of the image that they were drawn on
_SLACK = 2


def recognise(path):
    """Say why a path holds nothing of VIA's, or None. Args: path: Path, a folder or a JSON file. Returns: str or None."""
    if path.is_dir():
        found = _annotation_files(path) or part_folders(path, _annotation_files)
        return None if found else "no JSON file of regions in it, nor in a train or val folder"
    if path.suffix.lower() != ".json":
        return "no folder and no .json file"
    return None if _is_via(path) else "the JSON has no images with filename and regions"


def _is_via(path):
    if not mentions(path, (b'"regions"', b'"_via_img_metadata"')):
        return False
    try:
        entries = _entries(read_json(path), path)
    except DataError:
        return False
    looked_at = list(islice(entries.values(), _LOOKED_AT))
    return all(isinstance(e, dict) and {"filename", "regions"} <= set(e) for e in looked_at) and bool(looked_at)


def _annotation_files(folder):
    """Give the files of a folder: the one that version 1 would write, or all that look like VIA's."""
    if _is_via(folder / DEFAULT_NAME):
        return [folder / DEFAULT_NAME]
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.suffix.lower() == ".json" and path.is_file() and _is_via(path)]


def _the_file(folder):
    found = _annotation_files(folder)
    if not found:
        raise DataError(f"{folder}: no JSON file of VIA's regions in it, such as {DEFAULT_NAME}")
    if len(found) > 1:
        raise DataError(f"{folder}: {' and '.join(path.name for path in found)} are all of VIA: give the path of one")
    return found[0]


def _entries(content, path):
    """The object of the images, in an export or in a project."""
    if isinstance(content, dict) and _PROJECT in content:
        return field(content, _PROJECT, dict, str(path))
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no object of images")
    return content


def subsets(path):
    """Name the parts of a folder: its sub-folders train, val and test, where it has them and no file of its own."""
    path = Path(path)
    if path.is_file() or _annotation_files(path):
        return []
    return list(part_folders(path, _annotation_files))


def open_subset(path, subset=None, *, attribute=None, class_name="object", labels=None, line_width=LINE_WIDTH,
                allow_outside=False, progress=None):  # fmt: skip
    """Open a folder with a file of VIA's and its images, or one such file.

    Args:
        path: path.
        subset: str. One of `subsets`. The classes are those of all parts, so that their numbers agree.
        attribute: str. The attribute of the regions that holds their class; needed where they have several.
        class_name: str. The class of all regions where none has an attribute.
        labels: list of str, or path of a file with one on a line: the classes in their order; regions of others are left
            out. None takes those that occur, sorted by name.
        line_width: float, pixels. How wide lines are taken to be that are not closed.
        allow_outside: bool. Whether file names may lead out of the folder.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of `read_json` and "checking regions", for each file,
            and "looking at images".

    Returns:
        ViaDataset, not prepared. What is left out of it is in its `skipped`, what is mended in its `told`.

    Raises:
        DataError: the file is not usable, a name leads out of the folder, or the attribute is not to be found.
        ValueError: line_width is no number above 0.
    """
    if not 0 < line_width < math.inf:
        raise ValueError(f"line_width is {line_width}: expected pixels above 0")
    path = Path(path)
    if path.is_file():
        files = {None: path}
    elif subset is None:
        files = {None: _the_file(path)}
    else:
        files = {part: _the_file(folder) for part, folder in part_folders(path, _annotation_files).items()}
    dataset = ViaDataset(allow_outside=allow_outside)
    # what a part that was not asked for leaves out is not told
    images = {
        part: _read_file(file, line_width, dataset if part == subset else ViaDataset(allow_outside=allow_outside), progress)
        for part, file in files.items()
    }
    everything = [region for found in images.values() for image in found for region in image.regions]
    attribute = find_attribute(everything, attribute, str(path))
    if labels is not None:
        classes = read_class_names(labels)
    elif attribute is None:
        classes = [class_name]
    else:
        classes = sorted({name for region in everything if (name := _class_or_none(region, attribute))}, key=natural_key)
    # of a divided set the whole folder, so that names written from it tell the parts apart
    root = path.parent if path.is_file() else path
    with (progress or unseen)("looking at images") as show:
        dataset.add_images(images[subset], classes, attribute, class_name, root, show)
    dataset.log_skipped(files[subset], "images or regions")
    return dataset


def _class_or_none(region, attribute):
    try:
        return class_of(region, attribute)
    except DataError:
        return None  # told when it is added


@dataclass
class _Image:
    """An image of the file: its name, the path of its file, and its usable regions."""

    name: str
    path: Path
    regions: list


def _read_file(path, line_width, dataset, progress):
    """Read a file. What is not usable is left out of the data set. Returns: list of _Image."""
    content = read_json(path, progress=progress)
    entries = _entries(content, path)
    with (progress or unseen)("checking regions") as show:
        return _checked(tracked(entries.items(), show), path, _default_folder(content), line_width, dataset)


def _checked(entries, path, base, line_width, dataset):
    """Check the (key, entry) of images: list of _Image. `base` is the folder of images that the project names, or ""."""
    found, names = [], set()
    for key, entry in entries:
        where = f"{path.name}: {key}"
        try:
            name = field(entry, "filename", str, "it")
            records = field(entry, "regions", (dict, list), "it", default=[])
            inside(path.parent, name, "its filename", allow_outside=True)
            if "://" in name or name in names:
                raise DataError("its image is an address" if "://" in name else "its image was listed before")
        except DataError as error:
            dataset.skip(where, str(error))
            continue
        names.add(name)
        image = _Image(name, _image_path(path, base, name, f"{where}: filename", dataset.allow_outside), [])
        for place, record in records.items() if isinstance(records, dict) else enumerate(records):
            region_where = f"{where}: regions[{place}]"
            try:
                image.regions.append(parse_region(record, region_where, line_width))
            except DataError as error:
                dataset.skip(region_where, str(error))
        found.append(image)
    return found


def _default_folder(content):
    """The folder of the images that a project names; "" where there is none."""
    core = content.get("_via_settings") if isinstance(content, dict) else None
    core = core.get("core") if isinstance(core, dict) else None
    folder = core.get("default_filepath") if isinstance(core, dict) else None
    return folder if isinstance(folder, str) else ""


def _image_path(path, base, name, where, allow_outside):
    """Find an image: beside the file, or in the folder that the project names.

    Raises:
        DataError: the name leads out of the folder of the file.
    """
    found = inside(path.parent, name, where, allow_outside=allow_outside)
    # often the folder is one of the machine that the images were annotated on
    is_elsewhere = bool(PureWindowsPath(base).anchor)  # of other systems' paths too
    if base and not found.is_file() and (allow_outside or not is_elsewhere):
        other = inside(path.parent, f"{base}/{name}", where, allow_outside=allow_outside)
        found = other if other.is_file() else found
    if not allow_outside:
        refuse_link(found, path.parent, where)
    return found


class ViaDataset(AnnotatedDataset):
    """Images annotated with VIA."""

    source = "via"

    def add_images(self, images, classes, attribute, class_name, root, progress=None):
        """Add images with their regions.

        Args:
            images: list of images that were read.
            classes: list of str, in the order of their ids, which count from 1.
            attribute: str of the attribute that holds the class, or None: all regions are of class_name.
            class_name: str.
            root: path of the folder that the images must lie in.
            progress: function (done, total), called after each image, or None.
        """
        ids = {name: number for number, name in enumerate(classes, start=1)}
        for name, number in ids.items():
            self.add_class(self.source, number, name)
        heads = {image.name: _head(image) for image in tracked(images, progress)}
        turned_too = _shown_turned(images, heads)
        for image in images:
            stored, orientation = heads[image.name]
            turned = stored is not None and orientation != 1 and turned_too(image)
            size = turned_size(stored, orientation) if turned else stored
            if turned:
                self.notes.append((image.name, "its EXIF orientation is applied: regions fit images only as they are shown"))
            annotations = []
            for region in image.regions:
                try:
                    annotations.append(_annotation(region, ids, attribute, class_name, size))
                except DataError as error:
                    self.skip(region.where, str(error))
            info = {"exif_applied": True} if turned else {}
            self.add_annotated_image(image.name, image.path, size, annotations, root, **info)


def _annotation(region, ids, attribute, class_name, size):
    fault = outline_fault(region.rings, size or (math.inf, math.inf))
    if fault:
        raise DataError(fault)
    name = class_name if attribute is None else class_of(region, attribute)
    if name not in ids:
        raise DataError(f"its class {name!r} is not among the classes")
    return {"category_id": ids[name], "segmentation": region.rings, "iscrowd": 0}


def _head(image):
    """Size as stored and orientation of an image; (None, 1) where that cannot be read, which loading it tells."""
    try:
        return read_header(image.path) if os.path.isfile(image.path) else (None, 1)
    except DataError:
        return None, 1


def _shown_turned(images, heads):
    """Find out whether VIA showed images turned by their EXIF orientation: newer browsers do, older ones did not.

    VIA does not tell the sizes that it saw. Where regions of an image fit but one of the two ways, that is evidence for
    all images of the file; without any, or with evidence of both, an image is as it is stored unless its own regions say
    otherwise.

    Returns:
        function of an image -> bool.
    """

    def own(image):
        stored, orientation = heads[image.name]
        bounds = [polygon_bounds(region.rings) for region in image.regions if not outline_fault(region.rings, _ANY)]
        if stored is None or orientation < 5 or not bounds:
            return None
        turned = turned_size(stored, orientation)
        fits = [all(b[2] <= h + _SLACK and b[3] <= w + _SLACK for b in bounds) for h, w in (stored, turned)]
        return fits[1] if fits[0] != fits[1] else None

    votes = {own(image) for image in images} - {None}
    return lambda image: votes == {True} or own(image) is True


_ANY = (math.inf, math.inf)
