"""One labelme JSON file: its image, which way up that is, and its instances.

Shape letters: H W image.
"""

import base64
import binascii
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.labelme.shapes import LINE_WIDTH, parse_shape, to_instances
from mrcnn.io import images
from mrcnn.io.json_fields import field as take
from mrcnn.io.json_fields import is_kind, read_json, shown
from mrcnn.io.orientation import read_header, turned_size
from mrcnn.io.paths import inside, refuse_link

# pixels that points may lie outside of the image that they were drawn on
_SLACK = 2
# a file with none of these fields was not written by labelme
_OWN_FIELDS = ("shapes", "imagePath", "imageData")


class OtherJsonError(DataError):
    """A JSON file is whole, and not of labelme: what else lies in a folder, such as annotations converted to COCO."""


@dataclass(frozen=True)
class ReadSettings:
    """How files are read. Attributes: root: str, folder of the data set; the others are of `labelme.open_subset`."""

    root: str
    line_width: float = LINE_WIDTH
    hole_label: str | None = None
    allow_outside: bool = False


@dataclass
class LabelmeFile:
    """What a file says.

    Attributes:
        name: str. Of the JSON, relative to the root.
        image: str. Path of the image file, which need not be there.
        embedded: bool. The file is missing, and the JSON holds the image itself.
        size: (height, width) that the instances refer to.
        exif_applied: bool. That is the size of the image turned as its EXIF orientation says, and differs from it as
            stored.
        instances: list of (label, segmentation, iscrowd).
        skipped, notes: lists of (where, reason): left out, and mended.
    """

    name: str
    image: str = ""
    embedded: bool = False
    size: tuple = ()
    exif_applied: bool = False
    instances: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def skip(self, where, reason):
        """Note what is left out."""
        self.skipped.append((where, reason))


def read_labelme(name, settings):
    """Read a file.

    Args:
        name: str. Relative to the root.
        settings: ReadSettings.

    Returns:
        LabelmeFile. Shapes that cannot be used are in its `skipped`.

    Raises:
        OutsideError: its imagePath leaves the folder of the data set.
        OtherJsonError: it is not of labelme.
        DataError: any other fault of the file as a whole.
    """
    path = Path(settings.root, name)
    content = read_json(path)
    if not isinstance(content, dict) or not any(own in content for own in _OWN_FIELDS):
        raise OtherJsonError(f"{path} is no file of labelme: it has none of the fields {', '.join(_OWN_FIELDS)}")
    records = take(content, "shapes", list, str(path))
    found = LabelmeFile(name)
    shapes = []
    for i, record in enumerate(records):
        where = f"{name}: shapes[{i}]"
        try:
            shapes.append(parse_shape(record, where, settings.line_width))
        except DataError as error:
            found.skip(where, str(error))
    found.image = str(_image_path(content, name, settings))
    _find_size(found, content, path, shapes)
    found.instances = to_instances(shapes, found.size, settings.hole_label, found.skip)
    return found


def _image_path(content, name, settings):
    """Find the image's file: imagePath is relative to the JSON, and may climb, but not out of the root."""
    where = f"{name}: imagePath"
    given = take(content, "imagePath", str, name)
    path = inside(Path(settings.root, name).parent, given, where, allow_outside=True)
    if settings.allow_outside:
        return path
    # an absolute name stays one, and is refused
    joined = os.path.normpath(os.path.join(os.path.dirname(name), given.replace("\\", "/")))
    path = inside(settings.root, joined, where)
    refuse_link(path, settings.root, where)
    return path


def embedded_image(content):
    """Decode the base64 of an image that a file holds. Args: content: dict. Returns: bytes, or None where there is none."""
    data = content.get("imageData")
    if not isinstance(data, str) or not data:
        return None
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError):
        return None


def _find_size(found, content, path, shapes):
    """Set size, exif_applied and embedded of a LabelmeFile."""
    listed = _listed_size(content, found)
    try:
        if os.path.isfile(found.image):
            head = read_header(found.image)
        else:
            data = embedded_image(content)
            head = None if data is None else read_header(io.BytesIO(data))
            found.embedded = head is not None
    except DataError:
        head = None  # to be told when the image is loaded
    if head is None:
        if listed is None:
            raise DataError(f"{path}: its image {found.image} cannot be read, and it has no imageHeight and imageWidth")
        found.size = listed
        return
    bounds = [shape.bounds for shape in shapes if shape.rings or shape.mask is not None]
    reach = (max((b[2] for b in bounds), default=0), max((b[3] for b in bounds), default=0))
    found.size, found.exif_applied, note = match_sizes(*head, listed, reach)
    if found.size is None:
        raise DataError(f"{path}: {note}")
    if note:
        found.notes.append((found.name, note))


def _listed_size(content, found):
    """The size that the file tells: (height, width), or None. A value that is none is told."""
    size = []
    for key in ("imageHeight", "imageWidth"):
        value = content.get(key)
        if is_kind(value, float) and value >= 1 and value == int(value):
            size.append(int(value))
        elif value is not None:
            found.notes.append((found.name, f"its {key} is {shown(value)}: the size of the image itself is taken"))
    if len(size) == 2 and size[0] * size[1] > images.MAX_PIXELS:
        raise DataError(f"{found.name}: imageHeight x imageWidth is {shown(size[0])} x {shown(size[1])}, more than the "
                        f"{images.MAX_PIXELS} pixels that are read (mrcnn.io.images.MAX_PIXELS)")  # fmt: skip
    return tuple(size) if len(size) == 2 else None


def match_sizes(stored, orientation, listed, reach):
    """Find out on which picture annotations were made: the image as stored, or turned as its EXIF orientation says.

    labelme shows and annotates the turned one, and notes its size. Other programs, and old versions, do otherwise.

    Args:
        stored: (height, width) of the image file.
        orientation: int. Its EXIF orientation, 1 to 8.
        listed: (height, width) that the annotations tell, or None.
        reach: (y, x) largest coordinates of the annotations.

    Returns:
        (size, exif_applied, note): (height, width) that the annotations refer to, None when they belong to another
            image; whether that is the turned one; what is to be told, or None.
    """
    turned = turned_size(stored, orientation)
    swapped = stored[::-1]
    if listed not in (None, stored, swapped):
        return None, False, (f"its image is of {stored[0]} x {stored[1]} pixels (height x width), and was annotated at "
                             f"{listed[0]} x {listed[1]}: annotate it again, or put the right image there")  # fmt: skip
    if orientation == 1:
        if listed in (None, stored):
            return stored, False, None
        if _fits(reach, swapped) and not _fits(reach, stored):
            return None, False, "its image was turned by a quarter after it was annotated: turn it back"
        return stored, False, "its imageHeight and imageWidth are swapped: those of the image are taken"
    if listed in (None, turned):
        return turned, True, None
    if _fits(reach, stored) and not _fits(reach, turned):
        return stored, False, "its shapes lie on the image as stored: its EXIF orientation is not applied"
    return turned, True, "its imageHeight and imageWidth are from before its EXIF orientation: they are swapped"


def _fits(reach, size):
    return reach[0] <= size[0] + _SLACK and reach[1] <= size[1] + _SLACK
