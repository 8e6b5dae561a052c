"""Reading the files of VIA: JSON of versions 1 and 2, saved projects, CSV of versions 1 and 2, projects of version 3.

All are read into the entries of version 2: an object for each image, with its "filename", "size" in bytes and "regions".
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.folders import mentions
from mrcnn.datasets.formats.via.regions import Region, parse_region
from mrcnn.geometry.boxes import Number
from mrcnn.io.encoding import EncodingError
from mrcnn.io.file_finder import FileFinder
from mrcnn.io.json_fields import NULLED, field, is_kind, read_json, shown
from mrcnn.io.paths import inside, refuse_link

# the name of the file that version 1 saves
DEFAULT_NAME = "via_region_data.json"
_PROJECT = "_via_img_metadata"
_VERSION_3 = ("project", "file", "view", "metadata")
_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
# number of entries examined to recognise a file
_LOOKED_AT = 5
# The types of files and attributes of version 3, and its shapes, whose numbers come first in their coordinates.
_IMAGE, _CHECK_BOXES = 2, 2
_SHAPES = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "polyline", 6: "polyline", 7: "polygon"}
_FIELDS = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}


@dataclass
class ViaImage:
    """An image of the file.

    Attributes:
        where: its place in the file.
        path: the image file.
        size: the size of the file in bytes that VIA recorded; None if it did not.
        regions: its usable regions.
    """

    name: str
    where: str
    path: Path
    size: int | None
    regions: list[Region]


def is_via(path: Path) -> bool:
    """Return whether a file is from VIA."""
    try:
        if path.suffix.lower() == ".csv":
            return mentions(path, (b"region_shape_attributes",)) and bool(_csv_entries(path))
        if path.suffix.lower() != ".json" or not mentions(path, (b'"regions"', b'"_via_img_metadata"', b'"fid_list"')):
            return False
        content = read_json(path, nonfinite=[])
        if _is_version_3(content):
            return True
        entries = _entries(content, path)
    except EncodingError:  # the encoding may be given when the file is read
        return mentions(path, (b'"shape_attributes"', b'"_via_img_metadata"', b'"fid_list"'))
    except DataError:
        return False
    looked_at = list(islice(entries.values(), _LOOKED_AT))
    return all(isinstance(e, dict) and {"filename", "regions"} <= set(e) for e in looked_at) and bool(looked_at)


def annotation_files(folder: Path) -> list[Path]:
    """Return the VIA files of a folder: the one that version 1 saves, or all JSON files from VIA, or else all CSV files."""
    if is_via(folder / DEFAULT_NAME):
        return [folder / DEFAULT_NAME]
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    for suffix in (".json", ".csv"):
        files = [path for path in paths if path.suffix.lower() == suffix and is_via(path)]
        if files:
            return files
    return []


def the_file(folder: Path) -> Path:
    """Return the VIA file of a folder.

    Raises:
        DataError: there is none, or there are several.
    """
    files = annotation_files(folder)
    if not files:
        raise DataError(f"{folder}: no JSON or CSV file with VIA regions in it, such as {DEFAULT_NAME}")
    if len(files) > 1:
        raise DataError(f"{folder}: {' and '.join(path.name for path in files)} are all from VIA: give the path of one")
    return files[0]


def read_images(
    path: Path, line_width: Number, dataset: AnnotatedDataset, encoding: str | None, progress: Stages | None
) -> list[ViaImage]:
    """Read the images of a file, recording what cannot be used, and what was mended, in the data set.

    Args:
        path: the file.
        line_width: width in pixels of polylines that are not closed.
        dataset: gets the records, and says whether names may lead out of the folder.
        encoding: of a JSON file that is not UTF-8.
        progress: reports the stages of `read_json` and "checking regions".
    """
    if path.suffix.lower() == ".csv":
        entries, base = _csv_entries(path), ""
    else:
        nonfinite: list[str] = []
        content = read_json(path, nonfinite=nonfinite, encoding=encoding, progress=progress)
        dataset.notes += [(f"{path.name}: {place}", NULLED) for place in nonfinite]
        entries, base = _entries(content, path), _default_folder(content)
    finder = _finder(path, base, dataset.allow_outside)
    images: dict[Path, ViaImage] = {}
    with (progress or unseen)("checking regions") as show:
        for key, entry in tracked(entries.items(), show):
            where = f"{path.name}: {key}"
            try:
                image, records = _image(entry, where, finder, dataset)
            except DataError as error:
                dataset.skip(where, str(error))
                continue
            for place, record in records.items() if isinstance(records, dict) else enumerate(records):
                region_where = f"{where}: regions[{place}]"
                try:
                    image.regions.append(parse_region(record, region_where, line_width))
                except DataError as error:
                    dataset.skip(region_where, str(error))
            first = images.setdefault(image.path, image)
            if first is not image:
                images[image.path] = _merged(first, image, dataset)
    return list(images.values())


def _image(entry: Any, where: str, finder: FileFinder, dataset: AnnotatedDataset) -> tuple[ViaImage, Any]:
    """Find the image of an entry; return it without its regions, and the records of those."""
    name = field(entry, "filename", str, "it")
    records = field(entry, "regions", (dict, list), "it", default=[])
    size = entry.get("size")
    found = finder.find(name, field="filename")
    if not dataset.allow_outside:
        refuse_link(found.path, found.root, "filename")
    if found.note:
        dataset.notes.append((where, found.note))
    return ViaImage(name, where, found.path, size if is_kind(size, int) and size > 0 else None, []), records


def _merged(first: ViaImage, second: ViaImage, dataset: AnnotatedDataset) -> ViaImage:
    """Return the image of two entries of the same name: their sizes in bytes tell whether they are of one file."""
    if first.size != second.size and None not in (first.size, second.size):
        size = os.path.getsize(first.path) if first.path.is_file() else first.size
        kept, other = (second, first) if size == second.size else (first, second)
        dataset.skip(other.where, "it is of another file of the same name, whose size in bytes is not that of the image")
        return kept
    known = [(region.rings, region.attributes) for region in first.regions]
    first.regions += [region for region in second.regions if (region.rings, region.attributes) not in known]
    first.size = first.size or second.size
    dataset.notes.append((second.where, "its image was listed before: the regions of both entries are used"))
    return first


def _finder(path: Path, base: str, allow_outside: bool) -> FileFinder:
    """Return a finder of images next to a file, or in the folder that its project names."""
    folders = [path.parent]
    # it is often a path on the computer on which the images were annotated; both kinds of paths are recognised
    if base and (allow_outside or not PureWindowsPath(base).anchor):
        try:
            folders.append(inside(path.parent, base, f"{path.name}: default_filepath", allow_outside=allow_outside))
        except DataError:
            pass  # it leads out of the folder
    return FileFinder(folders, path.parent, allow_outside=allow_outside)


def _entries(content: Any, path: Path) -> dict[str, Any]:
    """Return the object that holds the images, in an export or in a project."""
    if _is_version_3(content):
        return dict(_version_3_entries(content))
    if isinstance(content, dict) and _PROJECT in content:
        return field(content, _PROJECT, dict, str(path))
    if not isinstance(content, dict):
        raise DataError(f"{path} does not hold an object of images")
    return content


def _default_folder(content: Any) -> str:
    """Return the folder of images that a project of version 2 names; "" if there is none."""
    core = content.get("_via_settings") if isinstance(content, dict) else None
    core = core.get("core") if isinstance(core, dict) else None
    folder = core.get("default_filepath") if isinstance(core, dict) else None
    return folder if isinstance(folder, str) else ""


# --- CSV


def _csv_entries(path: Path) -> dict[str, Any]:
    """Read a CSV file, a line per region; an image without regions has a line too.

    Raises:
        DataError: it is not text, or lacks the columns of VIA.
    """
    limit = csv.field_size_limit(2**31 - 1)  # of the whole process; outlines are longer
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        # spreadsheet programs write semicolons where the comma is the decimal sign
        delimiter = ";" if head.count(";") > head.count(",") else ","
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)
    entries: dict[str, Any] = {}
    for row in rows:
        values = {str(name).strip().lstrip("#"): value for name, value in row.items()}
        if any(values.get(name) is None for name in _COLUMNS):
            raise DataError(f"{path} is not from VIA: it has no column {next(n for n in _COLUMNS if values.get(n) is None)!r}")
        size = values.get("file_size") or ""
        key = values["filename"] + size
        entry = entries.setdefault(key, {"filename": values["filename"], "size": _json(size), "regions": []})
        shape, attributes = (_json(values[name]) for name in _COLUMNS[1:])
        if shape != {}:
            entry["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    return entries


def _json(text: str) -> Any:
    """Decode a cell; text that is not JSON is returned as it is, and reported where it is used."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# --- version 3


def _is_version_3(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(name), dict) for name in _VERSION_3)


def _version_3_entries(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (key, entry) of each image of a project of version 3. The entry of a video is text that says so."""
    attributes = content.get("attribute")
    regions: dict[str, list[Any]] = {}
    for record in content["metadata"].values():
        if isinstance(record, dict) and record.get("xy"):  # without it, it is about the whole image
            regions.setdefault(str(record.get("vid")), []).append(_version_3_region(record, attributes))
    for view_id, view in content["view"].items():
        file_ids = view.get("fid_list") if isinstance(view, dict) else None
        files = [content["file"].get(str(file_id)) for file_id in file_ids] if isinstance(file_ids, list) else []
        if len(files) != 1 or not isinstance(files[0], dict) or files[0].get("type", _IMAGE) != _IMAGE:
            yield view_id, "a view of a video, of sound or of several images"
            continue
        source, name = files[0].get("src"), files[0].get("fname")
        is_path = isinstance(source, str) and source and not source.startswith("data:")
        yield view_id, {"filename": source if is_path else name, "regions": regions.get(view_id, [])}


def _version_3_region(record: Mapping[str, Any], attributes: Any) -> dict[str, Any]:
    """Return a region of version 3 in the form of version 2."""
    numbers = record["xy"] if isinstance(record["xy"], list) else [record["xy"]]
    kind = numbers[0]
    name = _SHAPES.get(kind, f"number {kind}") if isinstance(kind, int) else shown(kind)
    shape: dict[str, Any] = {"name": name}
    if name in _FIELDS:
        shape |= dict(zip(_FIELDS[name], numbers[1:]))
    elif name.startswith("poly"):
        shape |= {"all_points_x": numbers[1::2], "all_points_y": numbers[2::2]}
    values = record.get("av")
    named = [_version_3_attribute(key, value, attributes) for key, value in values.items()] if isinstance(values, dict) else []
    return {"shape_attributes": shape, "region_attributes": dict(named)}


def _version_3_attribute(key: str, value: Any, attributes: Any) -> tuple[str, Any]:
    """Return the name of an attribute and its value: the name of the option that is chosen, or those that are checked."""
    attribute = attributes.get(key) if isinstance(attributes, dict) else None
    if not isinstance(attribute, dict):
        return key, value
    name = attribute.get("aname")
    options = attribute.get("options")
    if isinstance(options, dict) and isinstance(value, str):
        chosen: Sequence[str] = value.split(",") if attribute.get("type") == _CHECK_BOXES else [value]
        names = [options.get(one, one) for one in chosen if one]
        value = names[0] if len(names) == 1 else {str(one): True for one in names}
    return name if isinstance(name, str) else key, value
