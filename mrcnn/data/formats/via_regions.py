"""The regions of the VGG Image Annotator: outlines, and what they are called."""

from dataclasses import dataclass

from mrcnn.data.errors import DataError
from mrcnn.data.fields import field, is_kind, shown
from mrcnn.geometry.outlines import ellipse_ring, rectangle_ring, stroke_rings


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
