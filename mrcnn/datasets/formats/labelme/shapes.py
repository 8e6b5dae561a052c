"""The shapes in a labelme file, and the instances that they form.

A shape is an object with label, points, shape_type, group_id and flags:

    polygon     three points or more; the type in files older than the field shape_type
    rotation    the corners of a rotated rectangle, from X-AnyLabeling; the same as a polygon
    rectangle   two opposite corners, or all four
    circle      its centre and a point on it
    linestrip   a line through the points, drawn with a given width
    mask        the first and the last pixel of a box, and a PNG of the box in base64 under "mask"

Points and lines have no area and are skipped. Shapes with the same group_id and label form one instance. Within such a
group, a ring inside another ring with the opposite orientation is a hole; see `mrcnn.geometry.outlines.find_holes`.

Shape letters: H W image, h w mask of a shape.
"""

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import Number
from mrcnn.geometry.outlines import Ring, draw_with_holes, ellipse_ring, find_holes, outline_fault, rectangle_ring, stroke_rings
from mrcnn.geometry.polygons import polygon_bounds, rasterize_polygons
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_stored
from mrcnn.io.json_fields import field as take
from mrcnn.io.json_fields import points_field, shown

# width in pixels of the lines that labelme draws
LINE_WIDTH = 10
_WITHOUT_AREA = ("point", "points", "line")
# the flag with which our writer marks a crowd
CROWD_FLAG = "crowd"
# minimum fraction of a hole without a group that must lie on an instance
_HOLE_SHARE = 0.5
_MIN_POINTS = {"polygon": 3, "rotation": 3, "rectangle": 2, "circle": 2, "linestrip": 2}
# larger than any image
_FAR = 1 << 40

# (label, list of polygons or RLE dict, whether it is a crowd)
Instance = tuple[str, Any, bool]


@dataclass
class Shape:
    """A shape: a ring, a stroke made of several rings, or a mask.

    Attributes:
        where: its place in the file.
        points: (x, y), unchanged from the file.
        rings: empty for a mask.
        is_stroke: whether the rings overlap and have no holes.
        mask: pixels of the box whose upper left pixel is `corner`, or None.
        corner: (x, y) in pixels.
    """

    where: str
    label: str
    group: int | str | None
    iscrowd: bool
    points: list[tuple[float, float]]
    rings: list[Ring] = field(default_factory=list)
    is_stroke: bool = False
    mask: Bool[np.ndarray, "h w"] | None = None
    corner: tuple[int, int] = (0, 0)

    def fault(self, size: tuple[int, int]) -> str | None:
        """Return why the shape covers nothing of an image, None if it does.

        Args:
            size: (height, width).
        """
        if self.mask is None:
            return outline_fault(self.rings, size)
        return None if self.draw(size).any() else "its mask covers nothing of the image"

    @property
    def bounds(self) -> tuple[Number, Number, Number, Number]:
        """Bounding box (y1, x1, y2, x2) in pixels."""
        if self.mask is None:
            return polygon_bounds(self.rings)
        (x, y), (h, w) = self.corner, self.mask.shape
        return y, x, y + h, x + w

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """Draw the shape in an image of a given size."""
        if self.mask is None:
            return rasterize_polygons(self.rings, size)
        canvas = np.zeros(size, bool)
        x, y = self.corner
        top, left = max(y, 0), max(x, 0)
        part = self.mask[top - y : max(size[0] - y, 0), left - x : max(size[1] - x, 0)]
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
        return canvas


def parse_shape(record: Any, where: str, line_width: Number) -> Shape:
    """Check one shape of a file.

    Args:
        record: an entry of the list of shapes.
        where: its place in the file.
        line_width: width of linestrips in pixels.

    Raises:
        DataError: the shape cannot be used, or has no area; the message does not name the place.
    """
    label = str(take(record, "label", (str, float), "it")).strip()
    if not label or not _is_text(label):
        raise DataError(f"it: 'label' is {shown(label)}, expected the name of a class")
    group = take(record, "group_id", (int, str), "it", default=None)
    flags = take(record, "flags", dict, "it", default={})
    kind = take(record, "shape_type", str, "it", default="polygon")
    if kind in _WITHOUT_AREA:
        raise DataError(f"its shape_type {kind!r} has no area")
    points = points_field(record, "points", "it", min_points=_MIN_POINTS.get(kind, 1))
    shape = Shape(where, label, group, flags.get(CROWD_FLAG) is True, points)
    if kind in ("polygon", "rotation"):
        shape.rings = [_flat(points)]
    elif kind == "rectangle":
        shape.rings = [rectangle_ring(*points) if len(points) == 2 else _flat(points)]
        if len(points) == 3:
            raise DataError("it: 'points' of a rectangle are 3, expected two corners or four")
    elif kind == "circle":
        (x, y), rim = points[0], points[1]
        radius = math.hypot(rim[0] - x, rim[1] - y)
        shape.rings = [ellipse_ring((x, y), (radius, radius))] if radius > 0 else []
    elif kind == "linestrip":
        shape.rings, shape.is_stroke = stroke_rings(points, line_width), True
    elif kind == "mask":
        shape.mask = _decode_mask(take(record, "mask", str, "it"))
        x, y = (int(min(max(math.floor(v), -_FAR), _FAR)) for v in points[0])
        shape.corner = x, y
    else:
        raise DataError(f"its shape_type {kind!r} is unknown")
    return shape


def _is_text(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as \\ud800 in JSON
        return False
    return True


def _flat(points: Iterable[tuple[float, float]]) -> Ring:
    return [v for point in points for v in point]


def _decode_mask(text: str) -> Bool[np.ndarray, "h w"]:
    """Decode a PNG in base64."""
    try:
        stored = read_stored(io.BytesIO(base64.b64decode(text)))
    except (ValueError, DataError) as error:
        raise DataError("it: 'mask' is not a PNG in base64") from error
    return (stored if stored.ndim == 2 else stored.any(axis=2)).astype(bool)


@dataclass
class _Group:
    """The shapes of one instance, and the holes that were drawn as separate shapes."""

    shapes: list[Shape] = field(default_factory=list)
    holes: list[Shape] = field(default_factory=list)

    def draw_solid(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """Draw the shapes, with the holes that their rings form."""
        rings = [ring for shape in self.shapes if not shape.is_stroke for ring in shape.rings]
        canvas = draw_with_holes(rings, find_holes(rings), size)
        for shape in self.shapes:
            if shape.is_stroke or shape.mask is not None:
                canvas |= shape.draw(size)
        return canvas

    def segmentation(self, size: tuple[int, int]) -> Any:
        """Return polygons if the instance consists only of polygons, else an RLE; None if no pixel is left."""
        rings = [ring for shape in self.shapes for ring in shape.rings]
        plain = not self.holes and not any(shape.is_stroke or shape.mask is not None for shape in self.shapes)
        if plain and not (len(rings) > 1 and any(find_holes(rings))):
            return rings
        canvas = self.draw_solid(size)
        for hole in self.holes:
            canvas &= ~hole.draw(size)
        return encode_mask(canvas) if canvas.any() else None


def to_instances(
    shapes: Sequence[Shape], size: tuple[int, int], hole_label: str | None, skip: Callable[[str, str], object]
) -> list[Instance]:
    """Combine shapes into instances.

    Args:
        shapes: the shapes of a file.
        size: (height, width) of the image.
        hole_label: shapes with this label are holes: in all instances of their group if they have one, else in the
            smallest instance that covers at least half of the hole.
        skip: called with (where, reason) for each shape that cannot be used.
    """
    groups: dict[tuple[Any, ...], _Group] = {}
    holes: list[Shape] = []
    for place, shape in enumerate(shapes):
        reason = shape.fault(size)
        if reason:
            skip(shape.where, reason)
        elif shape.label == hole_label:
            holes.append(shape)
        else:
            # a shape without a group is an instance of its own
            key = (shape.label, shape.group, None if shape.group is not None else place)
            groups.setdefault(key, _Group()).shapes.append(shape)
    for hole in holes:
        fitting = _groups_around(hole, groups, size)
        if not fitting:
            skip(hole.where, f"it is a {hole_label!r}, but lies in no instance")
        for group in fitting:
            group.holes.append(hole)
    instances = []
    for group in groups.values():
        segmentation = group.segmentation(size)
        if segmentation is None:
            skip(group.shapes[0].where, "its holes cover it, or it covers no pixel centre")
        else:
            instances.append((group.shapes[0].label, segmentation, any(shape.iscrowd for shape in group.shapes)))
    return instances


def _groups_around(hole: Shape, groups: Mapping[tuple[Any, ...], _Group], size: tuple[int, int]) -> list[_Group]:
    """Return the groups that a hole belongs to; see `to_instances`."""
    if hole.group is not None:
        return [group for (_, group_id, _), group in groups.items() if group_id == hole.group]
    drawn, fitting = hole.draw(size), []
    for group in groups.values():
        if not any(_meet(hole.bounds, shape.bounds) for shape in group.shapes):
            continue
        solid = group.draw_solid(size)
        if np.count_nonzero(solid & drawn) >= _HOLE_SHARE * max(np.count_nonzero(drawn), 1):
            fitting.append((np.count_nonzero(solid), group))
    return [min(fitting, key=lambda pair: pair[0])[1]] if fitting else []


def _meet(box: Sequence[Number], other: Sequence[Number]) -> bool:
    return bool(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3])
