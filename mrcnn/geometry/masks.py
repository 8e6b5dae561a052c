"""Dense masks: mini-masks, pasting of predicted masks, overlaps, and many masks packed into few maps.

A mini-mask is a mask cropped to its box and resized to a small fixed size; training batches contain mini-masks instead of
full-size masks. (The loader rasterises them directly from annotations; see `mrcnn.geometry.rasterize`.)

Shape letters: H W image, h w mini-mask, N M instances, F maps.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Num, Shaped
from pycocotools import mask as coco_mask

from mrcnn.geometry.boxes import ImageShape, Integer, Number, boxes_from_profiles

# bits used of each int32: 24-bit integers stay exact if an augmenter converts the maps to float32
BITS = 24


def resize_mask(
    mask: Shaped[np.ndarray, "H W N"],
    scale: Number | Sequence[Number],
    padding: Sequence[tuple[int, int]],
    crop: Sequence[Integer] | None = None,
) -> Shaped[np.ndarray, "h w N"]:
    """Resize, pad or crop masks in the same way as `resize_image` did their image.

    Args:
        scale: a factor, or (height, width) after scaling.
        padding: [(top, bottom), (left, right), (0, 0)] in pixels.
        crop: (y, x, height, width) in pixels, or None.

    Returns:
        Masks of the same dtype. Nearest-neighbour sampling introduces no new values.

    Differs: pixels are sampled at their centres, as in the image; the classic code aligned the corners of the masks.
    """
    h, w = mask.shape[:2]
    new_h, new_w = scale if isinstance(scale, Sequence) else (max(round(h * scale), 1), max(round(w * scale), 1))
    if (new_h, new_w) != (h, w):
        mask = mask[_nearest(h, int(new_h))][:, _nearest(w, int(new_w))]
    if crop is not None:
        y, x, h, w = crop
        return mask[y : y + h, x : x + w]
    return np.pad(mask, [*padding[:2], (0, 0)], mode="constant")


def _nearest(length: int, new_length: int) -> Shaped[np.ndarray, " new_length"]:
    """Find the pixel in a line of `length` pixels nearest to each pixel centre of the resized line."""
    centres = (np.arange(new_length) + 0.5) * (length / new_length)
    return np.minimum(centres.astype(np.int64), length - 1)


def minimize_mask(
    bbox: Num[np.ndarray, "N columns"] | Sequence[Sequence[Number]],
    mask: Shaped[np.ndarray, "H W N"],
    mini_shape: ImageShape,
) -> Bool[np.ndarray, "h w N"]:
    """Crop masks to their boxes, resize them bilinearly to a small fixed size, and threshold them at 0.5.

    Args:
        bbox: pixel boxes; columns after the fourth are ignored.
        mask: non-zero inside the object.
        mini_shape: (h, w).

    Raises:
        ValueError: a box covers no pixel of its mask.
    """
    mini_mask = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = (int(v) for v in bbox[i][:4])
        part = mask[y1:y2, x1:x2, i].astype(bool)
        if part.size == 0:
            raise ValueError(f"box {i} is {(y1, x1, y2, x2)}, which has no area in a mask of {mask.shape[:2]}")
        mini_mask[:, :, i] = _resize_bool(part, mini_shape)
    return mini_mask


def expand_mask(
    bbox: Num[np.ndarray, "N columns"], mini_mask: Shaped[np.ndarray, "h w N"], image_shape: ImageShape
) -> Bool[np.ndarray, "H W N"]:
    """Resize mini-masks to their boxes in the image: the inverse of `minimize_mask`, up to the lost detail.

    Args:
        bbox: pixel boxes inside the image; columns after the fourth are ignored.
        image_shape: (height, width, ...).
    """
    mask = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = (int(v) for v in bbox[i][:4])
        if y2 > y1 and x2 > x1:
            mask[y1:y2, x1:x2, i] = _resize_bool(mini_mask[:, :, i].astype(bool), (y2 - y1, x2 - x1))
    return mask


def _resize_bool(mask: Bool[np.ndarray, "rows cols"], size: ImageShape) -> Bool[np.ndarray, "height width"]:
    resized = cv2.resize(np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255), (int(size[1]), int(size[0])))
    return resized > 127


def paste_mask(
    mask: Num[np.ndarray, "h w"],
    bbox: Sequence[Number] | Num[np.ndarray, " _"],
    canvas: Shaped[np.ndarray, "H W"],
    threshold: Number = 0.5,
) -> None:
    """Resize a predicted mask to its box and paste it into a canvas; the cost depends on the size of the box, not of the image.

    Args:
        mask: probabilities over the box.
        bbox: (y1, x1, y2, x2) in pixels; it may extend beyond the canvas.
        canvas: bool or uint8, modified in place: pixels inside the box become 0 or 1.
        threshold: minimum probability of a pixel inside the mask.

    Raises:
        ValueError: the box has zero area.
    """
    y1, x1, y2, x2 = (int(v) for v in bbox[:4])
    if y2 <= y1 or x2 <= x1:
        raise ValueError(f"a mask cannot be pasted into a box of zero area: {(y1, x1, y2, x2)}")
    top, left = max(y1, 0), max(x1, 0)
    bottom, right = min(y2, canvas.shape[0]), min(x2, canvas.shape[1])
    if bottom <= top or right <= left:
        return
    resized = cv2.resize(np.asarray(mask, np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    canvas[top:bottom, left:right] = resized[top - y1 : bottom - y1, left - x1 : right - x1] >= threshold


def paste_mask_with_border(
    mask: Num[np.ndarray, "h w"],
    bbox: Sequence[Number] | Num[np.ndarray, " _"],
    canvas: Shaped[np.ndarray, "H W"],
    threshold: Number = 0.5,
) -> None:
    """Paste a predicted mask as torchvision does: a border of zeros around it is resized with it, to whole pixels.

    Args:
        mask: this and the other arguments: see `paste_mask`; `bbox` may have fractions.

    Source: torchvision, models/detection/roi_heads.py: expand_masks, expand_boxes, paste_mask_in_image.
    """
    padded = np.pad(np.asarray(mask, np.float32), 1)
    y1, x1, y2, x2 = (float(v) for v in bbox[:4])
    half_height = 0.5 * (y2 - y1) * padded.shape[0] / mask.shape[0]
    half_width = 0.5 * (x2 - x1) * padded.shape[1] / mask.shape[1]
    centre_y, centre_x = 0.5 * (y1 + y2), 0.5 * (x1 + x2)
    first_y, first_x = int(centre_y - half_height), int(centre_x - half_width)
    last_y, last_x = int(centre_y + half_height), int(centre_x + half_width)
    size = max(last_x - first_x + 1, 1), max(last_y - first_y + 1, 1)
    resized = cv2.resize(padded, size, interpolation=cv2.INTER_LINEAR)
    top, left = max(first_y, 0), max(first_x, 0)
    bottom, right = min(last_y + 1, canvas.shape[0]), min(last_x + 1, canvas.shape[1])
    if bottom > top and right > left:
        shown = resized[top - first_y : bottom - first_y, left - first_x : right - first_x]
        canvas[top:bottom, left:right] = shown >= threshold


def paste_mask_at_centres(
    mask: Num[np.ndarray, "h w"],
    bbox: Sequence[Number] | Num[np.ndarray, " _"],
    canvas: Shaped[np.ndarray, "H W"],
    threshold: Number = 0.5,
) -> None:
    """Paste a predicted mask as detectron2 does: the mask, zero outside its box, is sampled at the centres of the pixels.

    Args:
        mask: this and the other arguments: see `paste_mask`; `bbox` may have fractions.

    Source: detectron2, layers/mask_ops.py: _do_paste_mask.
    """
    y1, x1, y2, x2 = (float(v) for v in bbox[:4])
    top, bottom, rows = _cells_at_pixels(y1, y2, mask.shape[0], canvas.shape[0])
    left, right, columns = _cells_at_pixels(x1, x2, mask.shape[1], canvas.shape[1])
    canvas[top:bottom, left:right] = rows @ np.asarray(mask, np.float32) @ columns.T >= threshold


def _cells_at_pixels(start: float, stop: float, cells: int, pixels: int) -> tuple[int, int, Float32[np.ndarray, "n _"]]:
    """Return the pixels along an axis that a mask reaches, first and behind the last, and the weights of its cells in them."""
    reach = 0.5 * (stop - start) / cells  # beyond the box, where the interpolation falls to zero
    first, end = (int(np.clip(v, 0, pixels)) for v in (np.floor(start - reach), np.ceil(stop + reach)))
    positions = (np.arange(first, end) + 0.5 - start) / max(stop - start, 1e-6) * cells - 0.5
    weights = np.maximum(1 - np.abs(positions[:, None] - np.arange(cells)), 0)
    return first, max(end, first), weights.astype(np.float32)


# How to paste a mask, by name; see Config.MASK_PASTE.
PASTE = {"classic": paste_mask, "torchvision": paste_mask_with_border, "detectron2": paste_mask_at_centres}


def unmold_mask(
    mask: Num[np.ndarray, "h w"], bbox: Sequence[Number] | Num[np.ndarray, " _"], image_shape: ImageShape
) -> Bool[np.ndarray, "H W"]:
    """Convert a mask predicted by the mask head to a full-size mask; see `paste_mask`.

    Args:
        mask: probabilities over the box.
        bbox: (y1, x1, y2, x2) in pixels of the image.
        image_shape: (height, width, ...).
    """
    full = np.zeros(tuple(int(v) for v in image_shape[:2]), bool)
    paste_mask(mask, bbox, full)
    return full


def compute_overlaps_masks(
    masks1: Shaped[np.ndarray, "H1 W1 N"], masks2: Shaped[np.ndarray, "H2 W2 M"]
) -> Float64[np.ndarray, "N M"]:
    """Compute the intersection over union of every pair of masks from two sets, with pycocotools.

    Args:
        masks1: both sets are thresholded at 0.5.

    Returns:
        Values in [0, 1]; 0 where both masks are empty.

    Raises:
        ValueError: the masks of the two sets differ in size.
    """
    if not masks1.shape[-1] or not masks2.shape[-1]:
        return np.zeros((masks1.shape[-1], masks2.shape[-1]))
    if masks1.shape[:2] != masks2.shape[:2]:
        raise ValueError(f"masks of different sizes cannot be compared: {masks1.shape[:2]} and {masks2.shape[:2]}")
    rles = [coco_mask.encode(np.asfortranarray(masks > 0.5).view(np.uint8)) for masks in (masks1, masks2)]
    return np.asarray(coco_mask.iou(*rles, [0] * masks2.shape[-1]))


class BitMasks:
    """The masks of one image packed into a few maps: each mask is one bit of an int32 map.

    An augmentation that moves the pixels of a map without mixing them, such as a nearest-neighbour warp, moves all its masks
    at once.

    Attributes:
        maps: int32 [H, W, F], F = ceil(N / 24).
        count: N.
    """

    def __init__(self, maps: Int32[np.ndarray, "H W F"], count: int) -> None:
        self.maps, self.count = maps, count

    @classmethod
    def empty(cls, size: ImageShape, count: int) -> "BitMasks":
        """Make `count` empty masks of size (H, W)."""
        return cls(np.zeros((*size, -(-count // BITS)), np.int32), count)

    def put(self, i: int, box: Sequence[Integer] | Num[np.ndarray, " 4"], mask: Bool[np.ndarray, "rows cols"]) -> None:
        """Add a mask, cropped to a box (y1, x1, y2, x2), to mask `i`."""
        y1, x1, y2, x2 = box
        self.maps[y1:y2, x1:x2, i // BITS] |= mask.astype(np.int32) << (i % BITS)

    def boxes(self) -> Int32[np.ndarray, "N 4"]:
        """Compute the tight pixel box of each mask; (0, 0, 0, 0) for an empty one."""
        map_ix, bit = np.divmod(np.arange(self.count), BITS)
        rows, cols = (np.bitwise_or.reduce(self.maps, axis=axis) for axis in (1, 0))  # [H, F], [W, F]
        return boxes_from_profiles(*((profile[:, map_ix] >> bit) & 1 != 0 for profile in (rows, cols)))

    def cut(self, i: Integer, box: Sequence[Integer] | Num[np.ndarray, " 4"]) -> Bool[np.ndarray, "rows cols"]:
        """Crop mask `i` to a box (y1, x1, y2, x2)."""
        y1, x1, y2, x2 = box
        return (self.maps[y1:y2, x1:x2, i // BITS] & (1 << (i % BITS))) != 0
