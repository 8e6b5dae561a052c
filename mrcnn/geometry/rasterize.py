"""Instances in their compact forms, drawn at whatever place and size is asked for.

An instance is a list of polygons [x1, y1, x2, y2, ...], an RLE dict, or a bool [H, W]. A `Frame` says where the
pixels of the image file come to lie in the network's input; an instance is then drawn straight into its mini-mask,
and no full mask is made.

Shape letters: H W image file, h w network input, N instances.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.polygons import clip_polygon, polygon_bounds, rasterize_polygons, transform_polygons
from mrcnn.geometry.rle import as_rle, decode_rle, rle_bbox


@dataclass(frozen=True)
class Frame:
    """The place of an image file in the network's input: y' = y * scale_y + offset_y, and the same for x.

    Attributes:
        original: (H, W) of the image file.
        size: (h, w) of the network's input.
        scale: (scale y, scale x); negative after a flip.
        offset: (offset y, offset x) in pixels of the network's input.
    """

    original: tuple
    size: tuple
    scale: tuple
    offset: tuple

    @classmethod
    def of_plan(cls, plan):
        """Make the frame of a ResizePlan."""
        scale = tuple(new / old for new, old in zip(plan.resized, plan.original, strict=True))
        offset = (-plan.crop[0], -plan.crop[1]) if plan.crop else plan.window[:2]
        return cls(plan.original, plan.size, scale, offset)

    @classmethod
    def of_input(cls, size):
        """Make the frame of what is in pixels of the network's input already. Args: size: (h, w) of the input."""
        return cls(size, size, (1.0, 1.0), (0.0, 0.0))

    def flipped(self, vertical, horizontal):
        """Make the frame of the same image after it was flipped up-down or left-right."""
        flips = (vertical, horizontal)
        scale = tuple(-s if flip else s for s, flip in zip(self.scale, flips, strict=True))
        offset = tuple(n - o if flip else o for n, o, flip in zip(self.size, self.offset, flips, strict=True))
        return Frame(self.original, self.size, scale, offset)

    def place(self, box):
        """Move a box (y1, x1, y2, x2) of the image file into the network's input: 4 floats."""
        y = sorted(v * self.scale[0] + self.offset[0] for v in (box[0], box[2]))
        x = sorted(v * self.scale[1] + self.offset[1] for v in (box[1], box[3]))
        return y[0], x[0], y[1], x[1]


def split_masks(masks):
    """Cut dense masks to their boxes. Args: masks: any dtype [H, W, N]. Returns: list of N MaskInstance."""
    masks = masks if masks.dtype == bool else masks.astype(bool)
    return [
        MaskInstance(masks[y1:y2, x1:x2, i], (y1, x1)) for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(masks).tolist())
    ]


@dataclass(frozen=True, eq=False)
class MaskInstance:
    """A mask cut to its box. Attributes: mask: bool [rows, cols]; corner: (y1, x1) of it in the image file."""

    mask: np.ndarray
    corner: tuple

    @property
    def bounds(self):
        """Box in the image file: (y1, x1, y2, x2)."""
        return (*self.corner, self.corner[0] + self.mask.shape[0], self.corner[1] + self.mask.shape[1])

    def draw(self, frame, box, shape):
        """See `draw_instance`."""
        source = np.ascontiguousarray(self.mask).view(np.uint8) * np.uint8(255)
        # from a pixel of the drawing back to a pixel of the source; pixel centres lie at halves
        step_y = (box[2] - box[0]) / shape[0] / frame.scale[0]
        step_x = (box[3] - box[1]) / shape[1] / frame.scale[1]
        start_y = (box[0] - frame.offset[0]) / frame.scale[0] - self.corner[0] + 0.5 * step_y - 0.5
        start_x = (box[1] - frame.offset[1]) / frame.scale[1] - self.corner[1] + 0.5 * step_x - 0.5
        back = np.array([[step_x, 0.0, start_x], [0.0, step_y, start_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(source, back, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE) > 127
        # the border is repeated for the sake of interpolation alone: beyond it there is nothing
        drawn[_outside(start_y, step_y, shape[0], source.shape[0])] = False
        drawn[:, _outside(start_x, step_x, shape[1], source.shape[1])] = False
        return drawn


def _outside(start, step, count, length):
    """Mark the samples start, start + step, ... beyond a line of `length` pixels whose centres are 0, 1, ..."""
    places = start + 0.5 + step * np.arange(count)
    return (places < 0) | (places > length)


@dataclass(frozen=True, eq=False)
class PolygonInstance:
    """An instance of polygons.

    Attributes:
        polygons: list of float64 arrays [2 * points], in pixels of the image file.
        bounds: (y1, x1, y2, x2) of the box around them.
    """

    polygons: list
    bounds: tuple

    @classmethod
    def of(cls, polygons):
        """Make one of flat lists [x1, y1, x2, y2, ...]; a ValueError says what is wrong with them."""
        for polygon in polygons:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon needs at least three x, y pairs, and has {len(polygon)} numbers")
        polygons = [np.asarray(polygon, np.float64) for polygon in polygons]
        bounds = polygon_bounds(polygons)
        if not np.isfinite(bounds).all():
            raise ValueError(f"a polygon has coordinates that are not finite numbers: its box is {bounds}")
        return cls(polygons, bounds)

    def draw(self, frame, box, shape):
        """See `draw_instance`."""
        zoom = (shape[0] / (box[2] - box[0]), shape[1] / (box[3] - box[1]))
        scale = (frame.scale[0] * zoom[0], frame.scale[1] * zoom[1])
        offset = ((frame.offset[0] - box[0]) * zoom[0], (frame.offset[1] - box[1]) * zoom[1])
        return rasterize_polygons(transform_polygons(self.polygons, scale, offset), shape)


def as_instance(segmentation, size):
    """Make an instance drawable.

    Args:
        segmentation: list of polygons, RLE dict, or bool [H, W].
        size: (H, W) of the image file.

    Returns:
        PolygonInstance or MaskInstance.

    Raises:
        ValueError: what was found is no segmentation, or is not of the image's size.
    """
    if isinstance(segmentation, dict):
        rle = as_rle(segmentation)
        if tuple(rle["size"]) != tuple(size):
            raise ValueError(
                f"a mask of size {tuple(rle['size'])} stands in an image of size {tuple(size)} (height, width)"
            )
        y1, x1, y2, x2 = rle_bbox(rle)
        return MaskInstance(decode_rle(rle)[y1:y2, x1:x2], (y1, x1))
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != tuple(size):
            raise ValueError(
                f"a mask of size {segmentation.shape} stands in an image of size {tuple(size)} (height, width)"
            )
        return split_masks(segmentation[:, :, None])[0]
    if not isinstance(segmentation, list | tuple) or not segmentation:
        raise ValueError(
            f"a segmentation is a list of polygons, an RLE dict or a bool array, and this is {segmentation!r:.80}"
        )
    return PolygonInstance.of(segmentation)


def box_in_frame(part, frame):
    """Find the pixel box of an instance in the network's input.

    Args:
        part: PolygonInstance or MaskInstance.
        frame: Frame.

    Returns:
        (y1, x1, y2, x2) int inside the frame, or None when no pixel centre of it is covered.
    """
    y1, x1, y2, x2 = frame.place(part.bounds)
    # a pixel is covered when its centre is: from ceil(a - 1/2) up to ceil(b - 1/2)
    whole = tuple(int(np.ceil(v - 0.5)) for v in (y1, x1, y2, x2))
    box = (max(whole[0], 0), max(whole[1], 0), min(whole[2], frame.size[0]), min(whole[3], frame.size[1]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return None
    if box == whole:
        return box
    # cut off by the border: what remains may be smaller than the cut box
    drawn = part.draw(frame, box, (box[2] - box[0], box[3] - box[1]))
    top, left, bottom, right = extract_bboxes(drawn[:, :, None])[0].tolist()
    return (box[0] + top, box[1] + left, box[0] + bottom, box[1] + right) if bottom > top else None


def draw_instance(part, frame, box, shape):
    """Draw the part of an instance that lies in a box of the network's input.

    Args:
        part: PolygonInstance or MaskInstance.
        frame: Frame.
        box: (y1, x1, y2, x2) in pixels of the network's input.
        shape: (height, width) of the drawing that the box is stretched to.

    Returns:
        bool [height, width]. Pixels whose centre is inside; all of them where the instance is too thin to meet any
        centre.
    """
    drawn = part.draw(frame, box, shape)
    return drawn if drawn.any() else np.ones(shape, bool)


def move_instance(part, frame, matrix):
    """Move what the network's input shows of an instance.

    What lies beyond the border of the input is cut off first: the pixels there are not in the image, and whatever turns
    the border inwards shows nothing there.

    Args:
        part: PolygonInstance or MaskInstance.
        frame: Frame of it.
        matrix: float [2, 3]. (x, y, 1) in pixels of the input to (x, y) there; it must have an inverse.

    Returns:
        PolygonInstance or MaskInstance in pixels of the input; None when nothing of the instance is left.
    """
    if isinstance(part, PolygonInstance):
        placed = transform_polygons(part.polygons, frame.scale, frame.offset)
        visible = [points for polygon in placed if len(points := _cut(polygon, frame.size))]
        moved = [(points.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]).ravel() for points in visible]
        return PolygonInstance.of(moved) if moved else None
    box = box_in_frame(part, frame)
    return None if box is None else _move_mask(draw_instance(part, frame, box, _size(box)), box, frame.size, matrix)


def _cut(polygon, size):
    points = polygon.reshape(-1, 2)
    inside = (points.min(axis=0) >= 0).all() and (points.max(axis=0) <= (size[1], size[0])).all()
    return polygon if inside else clip_polygon(polygon, size)


def _size(box):
    return box[2] - box[0], box[3] - box[1]


def _move_mask(mask, box, size, matrix):
    """Move a mask that lies at a box of the input: MaskInstance, or None when it leaves the input [H, W]."""
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
    return MaskInstance(drawn[y1:y2, x1:x2], (top + y1, left + x1)) if y2 > y1 else None
