"""The shapes of a labelme file, put together to instances.

A shape is an object with label, points, shape_type, group_id and flags:

    polygon     three points or more; what a file of before shape_type has
    rectangle   two corners across, or all four
    circle      its centre and a point of it
    linestrip   a line through the points, given a width
    mask        the first and the last pixel of a box, and a PNG of the box in base64 under "mask"

Points and lines cover nothing and are left out. Shapes of one group_id and label are one instance. Within such a group a
ring that lies in another and runs the other way round is a hole; `mrcnn.geometry.outlines.find_holes` says exactly when.

Shape letters: H W image, h w mask of a shape.
"""

import base64
import io
import math
from dataclasses import dataclass, field

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.geometry.outlines import draw_with_holes, ellipse_ring, find_holes, outline_fault, rectangle_ring, stroke_rings
from mrcnn.geometry.polygons import polygon_bounds, rasterize_polygons
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_stored
from mrcnn.io.json_fields import field as take
from mrcnn.io.json_fields import points_field, shown

# what labelme itself draws lines with
LINE_WIDTH = 10
_WITHOUT_AREA = ("point", "points", "line")
# the flag that our writer gives to a crowd
CROWD_FLAG = "crowd"
# of a hole without a group, the share that must lie on an instance
_HOLE_SHARE = 0.5


@dataclass
class Shape:
    """One shape: a ring, or a stroke of several, or a mask with the pixel (x, y) that its corner lies at.

    Attributes:
        where: str. Its place in the file.
        label, group: str; int, str or None.
        iscrowd: bool.
        points: list of (x, y), as in the file.
        rings: list of rings, empty for a mask.
        is_stroke: bool. Whether the rings overlap and have no holes.
        mask, corner: bool [h, w] and (x, y), or None.
    """

    where: str
    label: str
    group: int | str | None
    iscrowd: bool
    points: list
    rings: list = field(default_factory=list)
    is_stroke: bool = False
    mask: np.ndarray | None = None
    corner: tuple | None = None

    def fault(self, size):
        """Say why nothing of it lies in an image, or None. Args: size: (height, width). Returns: str or None."""
        if self.mask is None:
            return outline_fault(self.rings, size)
        return None if self.draw(size).any() else "its mask covers nothing of the image"

    @property
    def bounds(self):
        """Box around it: (y1, x1, y2, x2) in pixels."""
        if self.mask is None:
            return polygon_bounds(self.rings)
        (x, y), (h, w) = self.corner, self.mask.shape
        return y, x, y + h, x + w

    def draw(self, size):
        """Draw it. Args: size: (H, W). Returns: bool [H, W]."""
        if self.mask is None:
            return rasterize_polygons(self.rings, size)
        canvas = np.zeros(size, bool)
        x, y = self.corner
        top, left = max(y, 0), max(x, 0)
        part = self.mask[top - y : max(size[0] - y, 0), left - x : max(size[1] - x, 0)]
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
        return canvas


def parse_shape(record, where, line_width):
    """Check one shape of a file.

    Args:
        record: what stands in the list of shapes.
        where: str. Its place in the file.
        line_width: float, pixels. Of linestrips.

    Returns:
        Shape.

    Raises:
        DataError: it is not usable, or has no area; the message does not name the place.
    """
    label = take(record, "label", str, "it").strip()
    if not label or not _is_text(label):
        raise DataError(f"it: 'label' is {shown(label)}, expected the name of a class")
    group = take(record, "group_id", (int, str), "it", default=None)
    flags = take(record, "flags", dict, "it", default={})
    kind = take(record, "shape_type", str, "it", default="polygon")
    if kind in _WITHOUT_AREA:
        raise DataError(f"its shape_type {kind!r} has no area")
    points = points_field(record, "points", "it", least=_LEAST_POINTS.get(kind, 1))
    shape = Shape(where, label, group, flags.get(CROWD_FLAG) is True, points)
    if kind == "polygon":
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
        shape.corner = tuple(int(min(max(math.floor(v), -_FAR), _FAR)) for v in points[0])
    else:
        raise DataError(f"its shape_type {kind!r} is not known")
    return shape


_LEAST_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "linestrip": 2}
# further than any image is large
_FAR = 1 << 40


def _is_text(label):
    try:
        label.encode()
    except UnicodeEncodeError:  # half of a character, as \\ud800 in JSON
        return False
    return True


def _flat(points):
    return [v for point in points for v in point]


def _decode_mask(text):
    """Decode a PNG in base64. Returns: bool [h, w]."""
    try:
        stored = read_stored(io.BytesIO(base64.b64decode(text)))
    except (ValueError, DataError) as error:
        raise DataError("it: 'mask' is no PNG in base64") from error
    return (stored if stored.ndim == 2 else stored.any(axis=2)).astype(bool)


@dataclass
class _Group:
    """The shapes of one instance, and the holes that were drawn as shapes of their own."""

    shapes: list
    holes: list = field(default_factory=list)

    def draw_solid(self, size):
        """Draw the shapes, with the holes that rings make in each other. Returns: bool [H, W]."""
        rings = [ring for shape in self.shapes if not shape.is_stroke for ring in shape.rings]
        canvas = draw_with_holes(rings, find_holes(rings), size)
        for shape in self.shapes:
            if shape.is_stroke or shape.mask is not None:
                canvas |= shape.draw(size)
        return canvas

    def segmentation(self, size):
        """Give the polygons as they are where there is nothing else, or an RLE; None when nothing is left."""
        rings = [ring for shape in self.shapes for ring in shape.rings]
        plain = not self.holes and not any(shape.is_stroke or shape.mask is not None for shape in self.shapes)
        if plain and not (len(rings) > 1 and any(find_holes(rings))):
            return rings
        canvas = self.draw_solid(size)
        for hole in self.holes:
            canvas &= ~hole.draw(size)
        return encode_mask(canvas) if canvas.any() else None


def to_instances(shapes, size, hole_label, leave_out):
    """Put shapes together to instances.

    Args:
        shapes: list of Shape.
        size: (height, width) of the image.
        hole_label: str or None. Shapes of this label are holes: in all instances of their group where they are in one,
            else in the smallest instance that at least half of them lies on.
        leave_out: callable (where, reason).

    Returns:
        list of (label, segmentation, iscrowd): a list of polygons, or an RLE dict.
    """
    groups = {}
    holes = []
    for place, shape in enumerate(shapes):
        reason = shape.fault(size)
        if reason:
            leave_out(shape.where, reason)
        elif shape.label == hole_label:
            holes.append(shape)
        else:
            # a shape without a group is one by itself
            key = (shape.label, shape.group, None if shape.group is not None else place)
            groups.setdefault(key, _Group([])).shapes.append(shape)
    for hole in holes:
        fitting = _groups_around(hole, groups, size)
        if not fitting:
            leave_out(hole.where, f"it is a {hole_label!r}, and lies in no instance")
        for group in fitting:
            group.holes.append(hole)
    found = []
    for group in groups.values():
        segmentation = group.segmentation(size)
        if segmentation is None:
            leave_out(group.shapes[0].where, "nothing of it is left beside its holes, or it meets no pixel")
        else:
            found.append((group.shapes[0].label, segmentation, any(shape.iscrowd for shape in group.shapes)))
    return found


def _groups_around(hole, groups, size):
    """The groups that a hole belongs to; see `to_instances`."""
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


def _meet(box, other):
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
