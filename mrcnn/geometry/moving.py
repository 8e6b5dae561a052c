"""Instances moved by an affine map, outlines as outlines, so that they can still be drawn at any size.

Shape letters: H W network input.
"""

import cv2
import numpy as np

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.instances import DensePart, PolygonPart, box_in_frame, draw_instance
from mrcnn.geometry.polygons import clip_polygon, transform_polygons


def move_part(part, frame, matrix):
    """Move what the network's input shows of an instance.

    What lies beyond the border of the input is cut off first: the pixels there are not in the image, and whatever turns
    the border inwards shows nothing there.

    Args:
        part: PolygonPart or DensePart.
        frame: Frame of it.
        matrix: float [2, 3]. (x, y, 1) in pixels of the input to (x, y) there; it must have an inverse.

    Returns:
        PolygonPart or DensePart in pixels of the input; None when nothing of the instance is left.
    """
    if isinstance(part, PolygonPart):
        placed = transform_polygons(part.polygons, frame.scale, frame.offset)
        visible = [points for polygon in placed if len(points := _cut(polygon, frame.size))]
        moved = [(points.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]).ravel() for points in visible]
        return PolygonPart.of(moved) if moved else None
    box = box_in_frame(part, frame)
    return None if box is None else _move_mask(draw_instance(part, frame, box, _size(box)), box, frame.size, matrix)


def _cut(polygon, size):
    points = polygon.reshape(-1, 2)
    inside = (points.min(axis=0) >= 0).all() and (points.max(axis=0) <= (size[1], size[0])).all()
    return polygon if inside else clip_polygon(polygon, size)


def _size(box):
    return box[2] - box[0], box[3] - box[1]


def _move_mask(mask, box, size, matrix):
    """Move a mask that lies at a box of the input: DensePart, or None when it leaves the input [H, W]."""
    y1, x1, y2, x2 = box
    corners = np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]]) @ matrix[:, :2].T + matrix[:, 2]
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    left, top, right, bottom = (int(v) for v in (max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])))
    if right <= left or bottom <= top:
        return None
    # from a pixel of the window around the moved corners back to a pixel of the mask; pixel centres lie at halves
    back = cv2.invertAffineTransform(matrix)
    back[:, 2] += back[:, :2] @ (left + 0.5, top + 0.5) - (x1 + 0.5, y1 + 0.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(mask.view(np.uint8) * np.uint8(255), back, (right - left, bottom - top), flags=flags) > 127
    y1, x1, y2, x2 = extract_bboxes(drawn[:, :, None])[0].tolist()
    return DensePart(drawn[y1:y2, x1:x2], (top + y1, left + x1)) if y2 > y1 else None
