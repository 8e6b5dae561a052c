"""One labelme JSON file: its image, the orientation of the image, and its instances."""

import base64
import binascii
import io
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.labelme.shapes import LINE_WIDTH, Instance, Shape, parse_shape, to_instances
from mrcnn.geometry.boxes import Number
from mrcnn.io import images
from mrcnn.io.file_finder import FileFinder, Found
from mrcnn.io.json_fields import NULLED, is_kind, read_json, shown
from mrcnn.io.json_fields import field as take
from mrcnn.io.orientation import read_header, turned_size
from mrcnn.io.paths import refuse_link

# maximum distance in pixels of a point outside the image that it was drawn on
_SLACK = 2
# a file with none of these fields was not written by labelme
_LABELME_FIELDS = ("shapes", "imagePath", "imageData")


class OtherJsonError(DataError):
    """A valid JSON file that labelme did not write, such as annotations converted to COCO."""


@dataclass(frozen=True)
class ReadSettings:
    """How files are read.

    Attributes:
        root: folder of the data set.
        line_width: see `labelme.open_subset`.
        hole_label: see `labelme.open_subset`.
        allow_outside: see `labelme.open_subset`.
        encoding: see `labelme.open_subset`.
        opened: differs each time that the data set is opened.
    """

    root: str
    line_width: Number = LINE_WIDTH
    hole_label: str | None = None
    allow_outside: bool = False
    encoding: str | None = None
    opened: int = field(default_factory=time.monotonic_ns)


@dataclass
class LabelmeFile:
    """The content of a file.

    Attributes:
        name: path of the JSON, relative to the root.
        image: path of the image file, which may be missing.
        embedded: whether the image file is missing and the JSON contains the image.
        size: (height, width) that the instances refer to.
        exif_applied: whether that is the size of the image after rotation by its EXIF orientation.
        skipped: (where, reason) of each thing that cannot be used.
        notes: (where, note) of each repair.
    """

    name: str
    image: str = ""
    embedded: bool = False
    size: tuple[int, int] = (0, 0)
    exif_applied: bool = False
    instances: list[Instance] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, where: str, reason: str) -> None:
        """Record what is skipped."""
        self.skipped.append((where, reason))


def read_labelme(name: str, settings: ReadSettings) -> LabelmeFile:
    """Read a file. Shapes that cannot be used are listed in its `skipped`.

    Args:
        name: relative to the root.
        settings: how to read it.

    Raises:
        OutsideError: its imagePath leads out of the folder of the data set, which has no image of that name.
        OtherJsonError: it is not a labelme file.
        DataError: the file cannot be used for another reason.
    """
    path = Path(settings.root, name)
    nonfinite: list[str] = []
    content = read_json(path, nonfinite=nonfinite, encoding=settings.encoding)
    if not isinstance(content, dict) or not any(name in content for name in _LABELME_FIELDS):
        raise OtherJsonError(f"{path} is not a labelme file: it has none of the fields {', '.join(_LABELME_FIELDS)}")
    records = take(content, "shapes", list, str(path))
    file = LabelmeFile(name, notes=[(f"{name}: {place}", NULLED) for place in nonfinite])
    shapes = []
    for i, record in enumerate(records):
        where = f"{name}: shapes[{i}]"
        try:
            shapes.append(parse_shape(record, where, settings.line_width))
            if not isinstance(record["label"], str):
                file.notes.append((where, "its label is a number, and is read as text"))
        except DataError as error:
            file.skip(where, str(error))
    _find_image(file, content, settings)
    _find_size(file, content, path, shapes)
    file.instances = to_instances(shapes, file.size, settings.hole_label, file.skip)
    return file


def _find_image(file: LabelmeFile, content: Mapping[str, Any], settings: ReadSettings) -> None:
    """Set the image file: imagePath is relative to the JSON, and may lead upwards, but not out of the root.

    If there is no such file, as when the annotations come from another computer, it is the file of that name or else of the
    name of the JSON beside it, or that of the name of imagePath elsewhere in the root. An image in the JSON comes before the
    last two.
    """
    given = take(content, "imagePath", str, file.name)
    finder, folder = _finder(settings.root, settings.allow_outside, settings.opened), os.path.dirname(file.name)
    # an absolute name stays absolute
    joined = os.path.normpath(os.path.join(folder, given.replace("\\", "/"))) if given else given
    beside = os.path.join(folder, re.split(r"[\\/]", given)[-1] or file.name)
    found = finder.at_place(joined, field="imagePath")
    if found is None:
        found = finder.at_place(beside, field="imagePath")
        if found is not None:
            file.notes.append((file.name, "its imagePath does not exist: the image of that name beside it is used"))
        elif embedded_image(content) is not None:
            found = Found(Path(settings.root, beside), finder.root)
        else:
            found = _of_same_name(file, finder) or finder.find(joined, field="imagePath")
            file.notes += [(file.name, found.note)] if found.note else []
    if not settings.allow_outside:
        refuse_link(found.path, settings.root, f"{file.name}: imagePath")
    file.image = str(found.path)


@lru_cache(maxsize=1)
def _finder(root: str, allow_outside: bool, opened: int) -> FileFinder:
    """Return the finder of a process for a data set, which lists its folder anew each time the data set is opened."""
    return FileFinder([root], root, allow_outside=allow_outside)


def _of_same_name(file: LabelmeFile, finder: FileFinder) -> Found | None:
    """Find the only image beside a file that has its name."""
    stem = os.path.splitext(file.name)[0]
    found = [finder.at_place(stem + ending) for suffix in images.IMAGE_SUFFIXES for ending in (suffix, suffix.upper())]
    same = [one for one in found if one is not None]
    note = "its imagePath does not exist: the image beside it with its own name is used"
    return same[0]._replace(note=note) if len(same) == 1 else None


def embedded_image(content: Mapping[str, Any]) -> bytes | None:
    """Decode the base64 image in the content of a file; None if there is no valid one."""
    data = content.get("imageData")
    if not isinstance(data, str) or not data:
        return None
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError):
        return None


def _find_size(file: LabelmeFile, content: Mapping[str, Any], path: Path, shapes: Iterable[Shape]) -> None:
    """Set size, exif_applied and embedded of a file."""
    listed = _listed_size(content, file)
    try:
        head: tuple[tuple[int, int], int] | None
        if os.path.isfile(file.image):
            head = read_header(file.image)
        else:
            data = embedded_image(content)
            head = None if data is None else read_header(io.BytesIO(data))
            file.embedded = head is not None
    except DataError:
        head = None  # reported when the image is loaded
    if head is None:
        if listed is None:
            raise DataError(f"{path}: its image {file.image} cannot be read, and it has no imageHeight and imageWidth")
        file.size = listed
        return
    bounds = [shape.bounds for shape in shapes if shape.rings or shape.mask is not None]
    reach = (max((b[2] for b in bounds), default=0), max((b[3] for b in bounds), default=0))
    size, file.exif_applied, note = match_sizes(*head, listed, reach)
    if size is None:
        raise DataError(f"{path}: {note}")
    file.size = size
    if note:
        file.notes.append((file.name, note))


def _listed_size(content: Mapping[str, Any], file: LabelmeFile) -> tuple[int, int] | None:
    """Return the (height, width) that the file states, or None. A malformed value is noted."""
    size = []
    for key in ("imageHeight", "imageWidth"):
        value: Any = content.get(key)
        if is_kind(value, float) and value >= 1 and value == int(value):
            size.append(int(value))
        elif value is not None:
            file.notes.append((file.name, f"its {key} is {shown(value)}: the size of the image itself is used"))
    if len(size) == 2 and size[0] * size[1] > images.MAX_PIXELS:
        raise DataError(f"{file.name}: imageHeight x imageWidth is {shown(size[0])} x {shown(size[1])}, more than the "
                        f"{images.MAX_PIXELS} pixels that are read (mrcnn.io.images.MAX_PIXELS)")  # fmt: skip
    return (size[0], size[1]) if len(size) == 2 else None


def match_sizes(
    stored: tuple[int, int], orientation: int, listed: tuple[int, int] | None, reach: tuple[Number, Number]
) -> tuple[tuple[int, int] | None, bool, str | None]:
    """Determine whether the annotations refer to the image as stored, or as rotated by its EXIF orientation.

    labelme displays and annotates the rotated image and records its size; other programs and old versions may not.

    Args:
        stored: (height, width) of the image file.
        orientation: its EXIF orientation, 1 to 8.
        listed: (height, width) stated by the annotation file, or None.
        reach: (y, x), the maximum coordinates of the annotations.

    Returns:
        (size, exif_applied, note): the (height, width) that the annotations refer to, None if they belong to another
            image; whether that is the rotated image; a note for the user, or None.
    """
    turned = turned_size(stored, orientation)
    swapped = stored[1], stored[0]
    if listed not in (None, stored, swapped):
        return None, False, (f"its image has {stored[0]} x {stored[1]} pixels (height x width), but was annotated at "
                             f"{listed[0]} x {listed[1]}: annotate it again, or restore the annotated image")  # fmt: skip
    if orientation == 1:
        if listed in (None, stored):
            return stored, False, None
        if _fits(reach, swapped) and not _fits(reach, stored):
            return None, False, "its image was rotated by a quarter turn after it was annotated: rotate it back"
        return stored, False, "its imageHeight and imageWidth are swapped: those of the image are used"
    if listed in (None, turned):
        return turned, True, None
    if _fits(reach, stored) and not _fits(reach, turned):
        return stored, False, "its shapes fit the image as stored: its EXIF orientation is not applied"
    return turned, True, "its imageHeight and imageWidth do not include its EXIF orientation: they are swapped"


def _fits(reach: tuple[Number, Number], size: tuple[int, int]) -> bool:
    return bool(reach[0] <= size[0] + _SLACK and reach[1] <= size[1] + _SLACK)
