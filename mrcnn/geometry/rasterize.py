"""Rasterising instances in the network's input: from polygons, RLE or dense masks to boxes and mini-masks.

`as_instance` accepts an annotation in any form: a list of polygons, an RLE, or a bool [H, W]. A `Frame` maps the pixels of
the image file to the network's input: resizing, padding, cropping, flipping. `box_in_frame` computes the instance's box there,
and `draw_instance` draws it directly into its mini-mask, without an intermediate full-size mask. `move_instance` applies an
affine augmentation before the instance is drawn, so that outlines stay sharp.

Shape letters: H W image file, h w network's input, N instances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped

from mrcnn.geometry.boxes import Integer, Number, PixelBox, Size, extract_bboxes
from mrcnn.geometry.polygons import check_polygons, clip_polygon, polygon_bounds, rasterize_polygons, transform_polygons
from mrcnn.geometry.resize import ResizePlan
from mrcnn.geometry.rle import decode_to_box


@dataclass(frozen=True)
class Frame:
    """The map from an image file to the network's input: y' = y * scale y + offset y, and the same for x.

    Attributes:
        original: (H, W) of the image file.
        size: (h, w) of the network's input.
        scale: (scale y, scale x); negative after a flip.
        offset: (offset y, offset x) in pixels of the network's input.
    """

    original: Size
    size: Size
    scale: tuple[Number, Number]
    offset: tuple[Number, Number]

    @classmethod
    def of_plan(cls, plan: ResizePlan) -> "Frame":
        """Make the frame of a resize plan."""
        scale = (plan.resized[0] / plan.original[0], plan.resized[1] / plan.original[1])
        top, left = plan.crop[:2] if plan.crop else (0, 0)
        offset = (plan.window[0] - top, plan.window[1] - left)
        return cls(plan.original, plan.size, scale, offset)

    @classmethod
    def of_input(cls, size: Size) -> "Frame":
        """Make the identity frame, for instances that are already in pixels of the network's input (h, w)."""
        return cls(size, size, (1.0, 1.0), (0.0, 0.0))

    def flipped(self, vertical: bool, horizontal: bool) -> "Frame":
        """Return this frame with the network's input flipped up-down, left-right or both."""
        (scale_y, scale_x), (offset_y, offset_x) = self.scale, self.offset
        if vertical:
            scale_y, offset_y = -scale_y, self.size[0] - offset_y
        if horizontal:
            scale_x, offset_x = -scale_x, self.size[1] - offset_x
        return Frame(self.original, self.size, (scale_y, scale_x), (offset_y, offset_x))

    def place(self, box: Sequence[Number]) -> tuple[Number, Number, Number, Number]:
        """Map a box of the image file to the network's input."""
        y1, y2 = sorted(v * self.scale[0] + self.offset[0] for v in (box[0], box[2]))
        x1, x2 = sorted(v * self.scale[1] + self.offset[1] for v in (box[1], box[3]))
        return y1, x1, y2, x2


@dataclass(frozen=True, eq=False)
class PolygonInstance:
    """An instance whose annotation is a list of polygons.

    Attributes:
        polygons: flat arrays [x1, y1, x2, y2, ...] in pixels of the image file.
        bounds: the box (y1, x1, y2, x2) around them.
    """

    polygons: list[Float64[np.ndarray, " _"]]
    bounds: tuple[float, float, float, float]

    @classmethod
    def of(cls, polygons: Sequence[Any]) -> "PolygonInstance":
        """Make an instance of flat lists [x1, y1, x2, y2, ...].

        Raises:
            ValueError: a polygon has fewer than three points, or coordinates that are not finite numbers.
        """
        check_polygons(polygons)
        arrays = [np.asarray(polygon, np.float64) for polygon in polygons]
        bounds = polygon_bounds(arrays)
        if not np.isfinite(bounds).all():
            raise ValueError(f"a polygon has coordinates that are not finite numbers: its box is {bounds}")
        return cls(arrays, bounds)

    def draw(self, frame: Frame, box: Sequence[Number], shape: Sequence[Integer]) -> Bool[np.ndarray, "height width"]:
        """Draw the instance; see `draw_instance`. The result may be empty."""
        zoom = (shape[0] / (box[2] - box[0]), shape[1] / (box[3] - box[1]))
        scale = (frame.scale[0] * zoom[0], frame.scale[1] * zoom[1])
        offset = ((frame.offset[0] - box[0]) * zoom[0], (frame.offset[1] - box[1]) * zoom[1])
        return rasterize_polygons(transform_polygons(self.polygons, scale, offset), shape)

    def moved(self, frame: Frame, matrix: Float[np.ndarray, "2 3"]) -> "PolygonInstance | None":
        """Apply an affine map; see `move_instance`."""
        placed = transform_polygons(self.polygons, frame.scale, frame.offset)
        visible = [points for polygon in placed if len(points := clip_polygon(polygon, frame.size))]
        moved = [(points.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]).ravel() for points in visible]
        return PolygonInstance.of(moved) if moved else None


@dataclass(frozen=True, eq=False)
class MaskInstance:
    """An instance whose annotation is a mask, cropped to its box.

    Attributes:
        mask: the part of the mask inside its box.
        corner: (y1, x1) of the box in the image file.
    """

    mask: Bool[np.ndarray, "rows cols"]
    corner: tuple[int, int]

    @property
    def bounds(self) -> PixelBox:
        """The box (y1, x1, y2, x2) in the image file."""
        return (*self.corner, self.corner[0] + self.mask.shape[0], self.corner[1] + self.mask.shape[1])

    def draw(self, frame: Frame, box: Sequence[Number], shape: Sequence[Integer]) -> Bool[np.ndarray, "height width"]:
        """Draw the instance; see `draw_instance`. The result may be empty."""
        # the map from a pixel of the drawing back to a pixel of the mask; pixel centres are at i + 1/2
        step_y = (box[2] - box[0]) / shape[0] / frame.scale[0]
        step_x = (box[3] - box[1]) / shape[1] / frame.scale[1]
        start_y = (box[0] - frame.offset[0]) / frame.scale[0] - self.corner[0] + 0.5 * step_y - 0.5
        start_x = (box[1] - frame.offset[1]) / frame.scale[1] - self.corner[1] + 0.5 * step_x - 0.5
        drawn = _warp(self.mask, np.array([[step_x, 0.0, start_x], [0.0, step_y, start_y]]), shape, cv2.BORDER_REPLICATE)
        # the border is replicated only for interpolation: nothing beyond it belongs to the instance
        drawn[_outside(start_y, step_y, shape[0], self.mask.shape[0])] = False
        drawn[:, _outside(start_x, step_x, shape[1], self.mask.shape[1])] = False
        return drawn

    def moved(self, frame: Frame, matrix: Float[np.ndarray, "2 3"]) -> "MaskInstance | None":
        """Apply an affine map; see `move_instance`."""
        box = box_in_frame(self, frame)
        if box is None:
            return None
        y1, x1, y2, x2 = box
        corners = np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]]) @ matrix[:, :2].T + matrix[:, 2]
        left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(corners.max(axis=0)), frame.size[::-1]).astype(int).tolist()
        if right <= left or bottom <= top:
            return None
        # the map from a pixel of the window around the moved corners back to a pixel of the drawing
        back: np.ndarray = cv2.invertAffineTransform(matrix)
        back[:, 2] += back[:, :2] @ (left + 0.5, top + 0.5) - (x1 + 0.5, y1 + 0.5)
        drawn = draw_instance(self, frame, box, (y2 - y1, x2 - x1))
        (moved,) = split_masks(_warp(drawn, back, (bottom - top, right - left), cv2.BORDER_CONSTANT)[:, :, None])
        return MaskInstance(moved.mask, (top + moved.corner[0], left + moved.corner[1])) if moved.mask.size else None


def _warp(
    mask: Bool[np.ndarray, "rows cols"], back: Float[np.ndarray, "2 3"], shape: Sequence[Integer], border: int
) -> Bool[np.ndarray, "height width"]:
    """Sample a mask bilinearly and threshold it at 0.5. `back` maps (x, y) of the result to (x, y) of the mask."""
    source = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, back, (int(shape[1]), int(shape[0])), flags=flags, borderMode=border) > 127


def _outside(start: Number, step: Number, count: Integer, length: int) -> Bool[np.ndarray, " count"]:
    """Return which of the samples start, start + step, ... lie beyond a line of `length` pixels with centres 0, 1, ..."""
    positions = start + 0.5 + step * np.arange(count)
    return (positions < 0) | (positions > length)


def split_masks(masks: Shaped[np.ndarray, "H W N"]) -> list[MaskInstance]:
    """Crop each mask, non-zero inside the object, to its box."""
    masks = masks if masks.dtype == bool else masks.astype(bool)
    return [
        MaskInstance(masks[y1:y2, x1:x2, i], (y1, x1))
        for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(masks).tolist())
    ]


def as_instance(segmentation: object, size: Sequence[Integer]) -> PolygonInstance | MaskInstance:
    """Convert a segmentation to an instance that can be drawn.

    Args:
        segmentation: a list of polygons, an RLE dict, or a bool [H, W].
        size: (H, W) of the image file.

    Raises:
        ValueError: it is not a segmentation, or its size differs from the image's.
    """
    if isinstance(segmentation, dict):
        _check_size([int(v) for v in segmentation["size"]], size)
        mask, box = decode_to_box(segmentation)
        return MaskInstance(mask, box[:2])
    if isinstance(segmentation, np.ndarray):
        _check_size(segmentation.shape, size)
        return split_masks(segmentation[:, :, None])[0]
    if not isinstance(segmentation, list | tuple) or not segmentation:
        raise ValueError(f"expected a list of polygons, an RLE dict or a bool array as segmentation, got {segmentation!r:.80}")
    return PolygonInstance.of(segmentation)


def _check_size(mask_size: Sequence[int], size: Sequence[Integer]) -> None:
    if tuple(mask_size) != tuple(size):
        raise ValueError(f"its mask is of size {tuple(mask_size)}, but its image is of size {tuple(size)} (height, width)")


def box_in_frame(instance: PolygonInstance | MaskInstance, frame: Frame) -> PixelBox | None:
    """Compute the pixel box of an instance in the network's input; None if it covers no pixel centre there."""
    y1, x1, y2, x2 = frame.place(instance.bounds)
    # a pixel is covered if its centre is: from ceil(a - 1/2) up to ceil(b - 1/2)
    whole = tuple(int(np.ceil(v - 0.5)) for v in (y1, x1, y2, x2))
    box = (max(whole[0], 0), max(whole[1], 0), min(whole[2], frame.size[0]), min(whole[3], frame.size[1]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return None
    if box == whole:
        return box
    # the border cuts the instance: the remaining part may have a smaller box than the clipped one
    drawn = instance.draw(frame, box, (box[2] - box[0], box[3] - box[1]))
    top, left, bottom, right = extract_bboxes(drawn[:, :, None])[0].tolist()
    return (box[0] + top, box[1] + left, box[0] + bottom, box[1] + right) if bottom > top else None


def draw_instance(
    instance: PolygonInstance | MaskInstance, frame: Frame, box: Sequence[Number], shape: Sequence[Integer]
) -> Bool[np.ndarray, "height width"]:
    """Draw the part of an instance inside a box; with the instance's own box, this is its mini-mask.

    Args:
        frame: the map from the image file to the network's input.
        box: (y1, x1, y2, x2) in pixels of the network's input.
        shape: (height, width) to which the box is resized.

    Returns:
        True at pixels whose centre is inside; True everywhere if the instance is too thin to cover any pixel centre.
    """
    drawn = instance.draw(frame, box, shape)
    return drawn if drawn.any() else np.ones(tuple(shape), bool)


def move_instance(
    instance: PolygonInstance | MaskInstance, frame: Frame, matrix: Float[np.ndarray, "2 3"]
) -> PolygonInstance | MaskInstance | None:
    """Apply an affine map to the part of an instance that is visible in the network's input.

    The instance is first clipped to the input, because the pixels beyond its border do not exist: where the map moves the
    border inwards, the image is empty.

    Args:
        frame: the map from the image file to the network's input.
        matrix: maps (x, y, 1) to (x, y), both in pixels of the input; it must be invertible.

    Returns:
        The instance in pixels of the input (see `Frame.of_input`), or None if no part of it is left.
    """
    return instance.moved(frame, matrix)
