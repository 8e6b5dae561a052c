"""The regions of a file: their outlines, and the attribute that holds their class."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import Number
from mrcnn.geometry.outlines import Ring, ellipse_ring, rectangle_ring, stroke_rings
from mrcnn.io.json_fields import field, is_kind, shown


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


def class_of(region: Region, attribute: str, default: str | None = None) -> str:
    """Return the class of a region: the value of its attribute, or the name of the check box that is checked.

    Args:
        region: the region.
        attribute: the attribute that holds the class.
        default: the class of a region without a value; None if that is an error.

    Raises:
        DataError: the region has no class, or several; the message does not name the place.
    """
    value = region.attributes.get(attribute)
    if isinstance(value, dict):
        checked = [name for name, is_checked in value.items() if is_checked is True]
        if len(checked) > 1:
            raise DataError(f"its {attribute!r} has {len(checked)} classes checked ({', '.join(checked)}), expected one")
        value = checked[0] if checked else None
    if is_empty(value):
        if default is None:
            raise DataError(f"it has no {attribute!r}: give it one, or a class to all such regions (class_name, --class-name)")
        return default
    if not isinstance(value, str) and not is_kind(value, float):
        raise DataError(f"its {attribute!r} is {shown(value)}, expected the name of a class")
    name = str(value).strip()
    try:
        name.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, as \ud800 in JSON
        raise DataError(f"its {attribute!r} is {shown(value)}, expected the name of a class") from error
    return name


def class_or_none(region: Region, attribute: str, default: str | None) -> str | None:
    """Return the class of a region, None if it has none or several; see `class_of`."""
    try:
        return class_of(region, attribute, default)
    except DataError:
        return None  # reported when its image is added
