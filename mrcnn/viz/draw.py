"""Drawing into image arrays: masks, boxes and captions, without matplotlib. Fast on large images.

Shape letters: H W image, C channels, N instances, h w part of an image.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int, Num, Shaped, UInt8

from mrcnn.geometry.rle import decode_to_box
from mrcnn.io.images import to_8_bits
from mrcnn.viz.colors import pick_colors
from mrcnn.viz.labels import Label, draw_labels, font_size, instance_text

# one mask: [H, W], non-zero inside, or a COCO RLE
Mask = npt.ArrayLike | Mapping[str, Any]
# the masks of a result
Masks = Shaped[np.ndarray, "H W N"] | Sequence[Mask]
# a mask cropped to its box, and the upper left corner of that box
MaskPart = tuple[Bool[np.ndarray, "h w"], int, int]
# (y1, x1, y2, x2) in pixels
Box = Num[np.ndarray, " 4"] | Sequence[SupportsFloat]
# value of a pixel: one number per channel, or one for all channels
Pixel = npt.ArrayLike | Sequence[SupportsFloat]
_Image = TypeVar("_Image", bound=np.ndarray)


def to_rgb(image: npt.ArrayLike) -> UInt8[np.ndarray, "H W 3"]:
    """Convert an image of any dtype and number of channels to RGB, in a new array.

    Args:
        image: [H, W] or [H, W, C] with any C; bool, integer or float. uint16 is scaled from its full range, and floats from
            0..1 if none is above 1. All other values are assumed to be in 0..255. Grey is repeated; of more than three
            channels, the first three are used.

    Raises:
        ValueError: not an image.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"not an image: shape {image.shape}, expected [height, width] or [height, width, channels]")
    if image.ndim == 2:
        image = image[:, :, None]
    image = image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
    image = to_8_bits(image)
    if image.dtype == np.uint8:
        return np.array(image, order="C")
    image = np.nan_to_num(image.astype(np.float64))
    if 0 < image.max() <= 1:
        image = image * 255
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def cut_mask(mask: Mask) -> MaskPart:
    """Crop a mask to its box.

    Returns:
        The part inside the box, and y1 and x1 of its upper left corner. For an empty mask, the part is [0, 0].
    """
    if isinstance(mask, Mapping):
        part, (y1, x1, _, _) = decode_to_box(mask)
        return part, int(y1), int(x1)
    mask = np.asarray(mask)
    mask = mask if mask.dtype == bool else mask != 0
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.zeros((0, 0), bool), 0, 0
    y1, y2 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y1:y2].any(axis=0))
    x1, x2 = int(columns[0]), int(columns[-1]) + 1
    return mask[y1:y2, x1:x2], y1, x1


def list_masks(masks: Masks | None) -> list[Mask]:
    """Split masks into a list of single masks; None becomes an empty list."""
    if masks is None:
        return []
    return [masks[:, :, ix] for ix in range(masks.shape[-1])] if isinstance(masks, np.ndarray) else list(masks)


def _blend(image: Num[np.ndarray, "H W *C"], part: MaskPart, color: Sequence[SupportsFloat], alpha: float) -> None:
    """Blend a colour into the pixels of an image under a mask part, in place."""
    inside, y1, x1 = part
    height, width = inside.shape
    window = image[y1 : y1 + height, x1 : x1 + width]
    inside = inside[: window.shape[0], : window.shape[1]]
    value = 255 * np.asarray(color, np.float32)[:3]
    if window.dtype == np.uint8 and window.shape[2:] == (3,):
        # OpenCV blends the whole window faster than NumPy selects the pixels of the mask
        mixed = cv2.addWeighted(window, 1 - alpha, np.full_like(window, np.rint(value).astype(np.uint8)), alpha, 0)
        window[:] = cv2.copyTo(mixed, np.ascontiguousarray(inside, np.uint8), np.ascontiguousarray(window))
        return
    channels = 1 if window.ndim == 2 else window.shape[2]
    if channels == 4:
        value = np.append(value, 255)
    elif channels != 3:
        value = np.full(window.shape[2:], value.mean())
    mixed = window[inside] * np.float32(1 - alpha) + value * np.float32(alpha)
    window[inside] = np.rint(mixed) if np.issubdtype(image.dtype, np.integer) else mixed


def apply_mask(image: _Image, mask: Mask, color: Sequence[SupportsFloat], alpha: float = 0.5) -> _Image:
    """Blend a colour into the pixels of an image under a mask, in place. Only the mask's box is processed.

    Args:
        image: [H, W] or [H, W, C], values 0..255.
        alpha: opacity of the colour, 0..1.

    Returns:
        The same image.
    """
    part = cut_mask(mask)
    if part[0].size:
        _blend(image, part, color, alpha)
    return image


def draw_box(image: _Image, box: Box, color: Pixel) -> _Image:
    """Draw a box with lines two pixels wide, in place.

    Args:
        image: [H, W, C].
        box: clipped to the image.
        color: in the range of the image, 0..255 for uint8.

    Returns:
        The same image.
    """
    _draw_frame(image, box, color, 2)
    return image


def _draw_frame(image: Num[np.ndarray, "H W *C"], box: Box, value: Pixel, thickness: int) -> None:
    """Draw lines along the inside of a box's edges, in place."""
    height, width = image.shape[:2]
    y1, x1, y2, x2 = (int(v) for v in np.clip(np.asarray(box), 0, [height, width, height, width]))
    if y2 > y1 and x2 > x1:
        inner_y1, inner_y2 = min(y1 + thickness, y2), max(y2 - thickness, y1)
        image[y1:inner_y1, x1:x2] = value
        image[inner_y2:y2, x1:x2] = value
        image[y1:y2, x1 : min(x1 + thickness, x2)] = value
        image[y1:y2, max(x2 - thickness, x1) : x2] = value


def _draw_outline(image: UInt8[np.ndarray, "H W 3"], part: MaskPart, color: Sequence[SupportsFloat], thickness: int) -> None:
    """Draw the outline of a mask part, in place."""
    inside, y1, x1 = part
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x1, y1))
    cv2.drawContours(image, contours, -1, [255 * float(v) for v in color], thickness)


def _enlarge(
    image: UInt8[np.ndarray, "H W 3"], boxes: Num[np.ndarray, "N 4"], masks: Sequence[Mask], min_side: int
) -> tuple[UInt8[np.ndarray, "height width 3"], Num[np.ndarray, "N 4"], list[MaskPart]]:
    """Enlarge a small image by an integer factor, together with its boxes and masks.

    Returns:
        The image, the boxes, and the masks cropped to their boxes.
    """
    factor = max(1, -(-min_side // max(image.shape[:2]))) if min_side else 1
    parts = [cut_mask(mask) for mask in masks]
    if factor == 1:
        return image, boxes, parts
    height, width = image.shape[:2]
    image = cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
    parts = [(p.repeat(factor, 0).repeat(factor, 1), y1 * factor, x1 * factor) for p, y1, x1 in parts]
    return image, boxes * factor, parts


def _select(
    result: Mapping[str, Any], min_score: float
) -> tuple[
    Int[np.ndarray, " n"], Num[np.ndarray, "n 4"], Num[np.ndarray, " n"], Float[np.ndarray, " n"] | None, list[Mask]
]:
    """Select the instances to draw, in descending order of score, without padding rows.

    Returns:
        Their indices in the result; their boxes, class ids, scores (or None), and masks (or an empty list).
    """
    boxes = np.asarray(result["rois"]).reshape(-1, 4)
    class_ids = np.asarray(result["class_ids"]).reshape(-1)
    scores = result.get("scores")
    masks = list_masks(result.get("masks"))
    if len(class_ids) != len(boxes) or (masks and len(masks) != len(boxes)):
        raise ValueError(f"{len(boxes)} boxes, {len(class_ids)} class ids, {len(masks)} masks: expected equal numbers")
    if scores is not None:
        scores = np.asarray(scores, np.float64).reshape(-1)
    keep = np.asarray(boxes.any(axis=1))
    if scores is not None:
        keep &= scores >= min_score
    order = np.arange(len(boxes)) if scores is None else np.argsort(-scores, kind="stable")
    order = order[keep[order]]
    return (
        order,
        boxes[order],
        class_ids[order],
        None if scores is None else scores[order],
        [masks[ix] for ix in order] if masks else [],
    )


def draw_detections(
    image: npt.ArrayLike,
    result: Mapping[str, Any],
    class_names: Sequence[str] | None = None,
    *,
    captions: Callable[[int, float | None], str] | Sequence[str] | None = None,
    color_by: str = "instance",
    colors: Sequence[Sequence[SupportsFloat]] | None = None,
    alpha: float = 0.4,
    min_score: float = 0.0,
    show_masks: bool = True,
    show_boxes: bool = True,
    show_labels: bool = True,
    min_side: int = 384,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw detections or annotations on a copy of an image: masks with outlines, boxes, names and scores.

    Args:
        image: any image that `to_rgb` accepts.
        result: as returned by `MaskRCNN.detect`: "rois" [N, 4] in pixels and "class_ids" [N], optionally "scores" [N] and
            "masks" (bool [H, W, N] or a list of RLE).
        class_names: by class id.
        captions: N texts, or a function of class id and score (None without scores); replaces name and score.
        color_by: "instance" or "class", see `colors.pick_colors`.
        colors: colour of each instance; overrides `color_by`.
        alpha: opacity of the masks, 0..1.
        min_score: instances with a lower score are not drawn.
        min_side: in pixels. An image whose longer side is shorter is enlarged by an integer factor to keep names legible;
            0 keeps its size.

    Returns:
        The picture, with the size of the image or a multiple of it.

    Raises:
        ValueError: it is not an image, or the numbers of boxes, class ids and masks differ.
    """
    order, boxes, class_ids, scores, masks = _select(result, min_score)
    canvas, boxes, parts = _enlarge(to_rgb(image), boxes, masks if show_masks else [], min_side)
    shades = pick_colors(class_ids, color_by) if colors is None else [colors[ix] for ix in order]
    thickness = max(1, round(font_size(canvas.shape) / 8))
    # large masks first, so that a small instance on a large one stays visible
    for ix in sorted(range(len(parts)), key=lambda ix: -parts[ix][0].size):
        if parts[ix][0].size:
            _blend(canvas, parts[ix], shades[ix], alpha)
            _draw_outline(canvas, parts[ix], shades[ix], thickness)
    if show_boxes:
        for box, color in reversed(list(zip(boxes, shades, strict=True))):
            _draw_frame(canvas, box, np.rint(255 * np.asarray(color)), thickness)
    if not show_labels:
        return canvas
    if captions is None or callable(captions):
        caption = captions or (lambda class_id, score: instance_text(class_id, class_names, score))
        texts = [caption(c, None if scores is None else scores[ix]) for ix, c in enumerate(class_ids)]
    else:
        texts = [captions[ix] for ix in order]
    return draw_labels(canvas, [Label(*row) for row in zip(texts, map(tuple, boxes), shades, strict=True)])
