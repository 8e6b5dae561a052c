"""Drawing on arrays: masks, boxes and labels on an image, without a figure. Fast on large images.

Legend: H W image, C channels, N instances, h w part of an image.
"""

import cv2
import numpy as np

from mrcnn.geometry.rle import decode_to_box
from mrcnn.viz.colors import pick_colors
from mrcnn.viz.labels import Label, draw_labels, font_size, instance_text


def to_rgb(image):
    """Bring an image of any kind to something that can be drawn on.

    Args:
        image: [H, W], or [H, W, C] with any C; bool, integer or float. uint16 is scaled by its whole range, floats up
            to 1 are taken as 0..1, all else as 0..255. Grey is repeated, of more channels the first three show.

    Returns:
        uint8 [H, W, 3], a new array.

    Raises:
        ValueError: not an image.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"not an image: shape {image.shape}, expected [height, width] or [height, width, channels]")
    if image.ndim == 2:
        image = image[:, :, None]
    image = image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
    if image.dtype == np.uint8:
        return np.array(image, order="C")
    if image.dtype == bool:
        return image.astype(np.uint8) * 255
    if image.dtype == np.uint16 and image.max() > 255:
        return np.rint(image / 257.0).astype(np.uint8)
    image = np.nan_to_num(image.astype(np.float64))
    if 0 < image.max() <= 1:
        image = image * 255
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def cut_mask(mask):
    """The part of a mask inside its own box.

    Args:
        mask: [H, W], non-zero inside; or a COCO RLE dict.

    Returns:
        part: bool [h, w].
        y1, x1: ints, its upper left corner. An empty mask gives a part of [0, 0].
    """
    if isinstance(mask, dict):
        part, (y1, x1, _, _) = decode_to_box(mask)
        return part, y1, x1
    mask = np.asarray(mask)
    mask = mask if mask.dtype == bool else mask != 0
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.zeros((0, 0), bool), 0, 0
    y1, y2 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y1:y2].any(axis=0))
    x1, x2 = int(columns[0]), int(columns[-1]) + 1
    return mask[y1:y2, x1:x2], y1, x1


def list_masks(masks):
    """The masks of a result one by one: [H, W, N] or a list, each [H, W] or RLE; None gives an empty list."""
    if masks is None:
        return []
    return list(masks) if isinstance(masks, (list, tuple)) else [masks[:, :, ix] for ix in range(masks.shape[-1])]


def _blend(image, part, y1, x1, color, alpha):
    """Mix a colour into the pixels of `image` under a mask part, in place."""
    height, width = part.shape
    window = image[y1 : y1 + height, x1 : x1 + width]
    part = part[: window.shape[0], : window.shape[1]]
    color = 255 * np.asarray(color, np.float32)[:3]
    if window.dtype == np.uint8 and window.shape[2:] == (3,):
        # OpenCV mixes the whole window in less time than NumPy needs to pick the mask's pixels
        mixed = cv2.addWeighted(window, 1 - alpha, np.full_like(window, np.rint(color).astype(np.uint8)), alpha, 0)
        pixels = np.ascontiguousarray(window)
        window[:] = cv2.copyTo(mixed, np.ascontiguousarray(part, np.uint8), pixels)
        return
    channels = 1 if window.ndim == 2 else window.shape[2]
    if channels == 4:
        color = np.append(color, 255)
    elif channels != 3:
        color = np.full(channels, color.mean()) if window.ndim == 3 else color.mean()
    mixed = window[part] * np.float32(1 - alpha) + color * np.float32(alpha)
    window[part] = np.rint(mixed) if np.issubdtype(image.dtype, np.integer) else mixed


def apply_mask(image, mask, color, alpha=0.5):
    """Lay a colour over the pixels of a mask. Only the part of the image inside the mask's box is touched.

    Args:
        image: [H, W, C] or [H, W], range 0..255. Changed in place.
        mask: [H, W], non-zero inside; or a COCO RLE dict.
        color: (red, green, blue) floats in 0..1.
        alpha: float in 0..1. How much of the colour, 1 hides the image.

    Returns:
        The image given.
    """
    part, y1, x1 = cut_mask(mask)
    if part.size:
        _blend(image, part, y1, x1, color, alpha)
    return image


def draw_box(image, box, color):
    """Draw a box with lines two pixels wide.

    Args:
        image: [H, W, C]. Changed in place.
        box: (y1, x1, y2, x2) pixels; what lies outside the image is not drawn.
        color: the pixel's value, C numbers in the range of the image (0..255 for uint8).

    Returns:
        The image given.
    """
    return _frame(image, box, color, 2)


def _frame(image, box, value, thickness):
    """Lines along the inner side of the box's edges, in place."""
    height, width = image.shape[:2]
    y1, x1, y2, x2 = (int(v) for v in np.clip(box, 0, [height, width, height, width]))
    if y2 > y1 and x2 > x1:
        inner_y1, inner_y2 = min(y1 + thickness, y2), max(y2 - thickness, y1)
        image[y1:inner_y1, x1:x2] = value
        image[inner_y2:y2, x1:x2] = value
        image[y1:y2, x1 : min(x1 + thickness, x2)] = value
        image[y1:y2, max(x2 - thickness, x1) : x2] = value
    return image


def _outline(image, part, y1, x1, color, thickness):
    """The contour of a mask part, in place."""
    contours, _ = cv2.findContours(
        part.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(int(x1), int(y1))
    )
    cv2.drawContours(image, contours, -1, tuple(255 * v for v in color), thickness)


def _enlarge(image, boxes, masks, min_side):
    """Enlarge a small picture by a whole factor, with its boxes and masks.

    Returns:
        image: uint8 [f * H, f * W, 3].
        boxes: int [N, 4].
        parts: list of N (bool [h, w], y1, x1).
    """
    factor = max(1, -(-min_side // max(image.shape[:2]))) if min_side else 1
    parts = [cut_mask(mask) for mask in masks]
    if factor == 1:
        return image, boxes, parts
    height, width = image.shape[:2]
    image = cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
    parts = [(p.repeat(factor, 0).repeat(factor, 1), y1 * factor, x1 * factor) for p, y1, x1 in parts]
    return image, boxes * factor, parts


def _select(result, min_score):
    """The instances to draw, of the highest score first, each with a box; padding rows are left out.

    Returns:
        order: int [n]. Their positions in the result.
        boxes, class_ids, scores, masks: of these; scores None and masks [] where there are none.
    """
    boxes = np.asarray(result["rois"]).reshape(-1, 4)
    class_ids = np.asarray(result["class_ids"]).reshape(-1)
    scores = result.get("scores")
    masks = list_masks(result.get("masks"))
    if len(class_ids) != len(boxes) or (masks and len(masks) != len(boxes)):
        raise ValueError(f"{len(boxes)} boxes, {len(class_ids)} class ids, {len(masks)} masks: expected equal numbers")
    keep = boxes.any(axis=1)
    order = np.arange(len(boxes))
    if scores is not None:
        scores = np.asarray(scores, np.float64).reshape(-1)
        keep &= scores >= min_score
        order = np.argsort(-scores, kind="stable")
    order = order[keep[order]]
    return (
        order,
        boxes[order],
        class_ids[order],
        None if scores is None else scores[order],
        [masks[ix] for ix in order] if masks else [],
    )


def draw_detections(
    image,
    result,
    class_names=None,
    *,
    captions=None,
    color_by="instance",
    colors=None,
    alpha=0.4,
    min_score=0.0,
    show_masks=True,
    show_boxes=True,
    show_labels=True,
    min_side=384,
):
    """Draw what was found (or annotated) on an image: masks, their outlines, boxes, names and scores.

    Args:
        image: as `to_rgb` takes it. It is not changed.
        result: dict with "rois" [N, 4] pixels, "class_ids" [N], and where there are any "scores" [N] and "masks" (bool
            [H, W, N] or a list of RLE), as `MaskRCNN.detect` gives.
        class_names: sequence by class id, or None.
        captions: function (class id, score or None) -> str, or list of N str, in place of name and score.
        color_by: "instance" or "class", see `colors.pick_colors`.
        colors: list of N colours, in place of those of `color_by`.
        alpha: float in 0..1, how much the masks cover.
        min_score: float. Instances with a lower score are not drawn.
        show_masks, show_boxes, show_labels: bools.
        min_side: int, pixels. A picture whose longer side is shorter is enlarged by a whole factor, so that names can
            be read on it; 0 keeps the size.

    Returns:
        uint8 [H, W, 3], or a multiple of it where the image is small.

    Raises:
        ValueError: not an image, or boxes, class ids and masks that differ in number.
    """
    order, boxes, class_ids, scores, masks = _select(result, min_score)
    canvas, boxes, parts = _enlarge(to_rgb(image), boxes, masks if show_masks else [], min_side)
    colors = pick_colors(class_ids, color_by) if colors is None else [colors[ix] for ix in order]
    thickness = max(1, round(font_size(canvas.shape) / 8))
    # large masks first: a small thing on a large one stays in sight
    for ix in sorted(range(len(parts)), key=lambda ix: -parts[ix][0].size):
        if parts[ix][0].size:
            _blend(canvas, *parts[ix], colors[ix], alpha)
            _outline(canvas, *parts[ix], colors[ix], thickness)
    if show_boxes:
        for box, color in reversed(list(zip(boxes, colors, strict=True))):
            _frame(canvas, box, np.rint(255 * np.asarray(color)), thickness)
    if not show_labels:
        return canvas
    if captions is None or callable(captions):
        caption = captions or (lambda class_id, score: instance_text(class_id, class_names, score))
        texts = [caption(c, None if scores is None else scores[ix]) for ix, c in enumerate(class_ids)]
    else:
        texts = [captions[ix] for ix in order]
    return draw_labels(canvas, [Label(*row) for row in zip(texts, map(tuple, boxes), colors, strict=True)])
