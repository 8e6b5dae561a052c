"""Masks of instances in NumPy and OpenCV: small ones, full ones, and their overlaps.

A mini-mask is a mask cut to its box and resized to a small fixed size: what a training batch carries instead of full
masks.

Shape letters: H W image, h w mini-mask, N M instances.

Many masks of one image in few maps: each mask is a bit of an int32 map.

Whatever moves the pixels of a map without mixing them, a nearest-neighbour warp say, moves all of its masks at once.

Shape letters: H W image, N masks, M maps.
"""

import cv2
import numpy as np

from mrcnn.geometry.boxes import boxes_from_profiles, extract_bboxes

# whole numbers of 24 bits are exact in float32 too, should the maps pass through it on their way
BITS = 24


class BitMasks:
    """Masks of one image.

    Attributes:
        maps: int32 [H, W, M], M = ceil(N / 24).
        count: int. N.
    """

    def __init__(self, maps, count):
        self.maps, self.count = maps, count

    @classmethod
    def empty(cls, size, count):
        """Make masks without a pixel. Args: size: (H, W); count: int."""
        return cls(np.zeros((*size, -(-count // BITS)), np.int32), count)

    def put(self, i, box, mask):
        """Add the pixels of a mask.

        Args:
            i: int. Its number.
            box: (y1, x1, y2, x2) where it lies, in pixels.
            mask: bool [y2 - y1, x2 - x1].
        """
        y1, x1, y2, x2 = box
        self.maps[y1:y2, x1:x2, i // BITS] |= mask.astype(np.int32) << (i % BITS)

    def boxes(self):
        """Find the tight boxes: int32 [N, 4] pixels, zero for masks without a pixel."""
        of_mask, bit = np.divmod(np.arange(self.count), BITS)
        rows, cols = (np.bitwise_or.reduce(self.maps, axis=axis) for axis in (1, 0))  # [H, M], [W, M]
        return boxes_from_profiles(*((profile[:, of_mask] >> bit) & 1 != 0 for profile in (rows, cols)))

    def cut(self, i, box):
        """Cut a mask to a box. Args: i: int. Its number; box: (y1, x1, y2, x2) pixels. Returns: bool."""
        y1, x1, y2, x2 = box
        return (self.maps[y1:y2, x1:x2, i // BITS] & (1 << (i % BITS))) != 0


def resize_mask(mask, scale, padding, crop=None):
    """Resize, pad or crop masks as `resize_image` did their image.

    Args:
        mask: any dtype [H, W, N].
        scale: float, or (height, width) of the masks after scaling.
        padding: [(top, bottom), (left, right), (0, 0)] in pixels.
        crop: (y, x, height, width) in pixels, or None.

    Returns:
        The same dtype [h, w, N]. Nearest neighbour: no value that was not there.

    Differs: pixels are sampled at their centres, as those of the image are; the classic code sampled masks corner to
    corner.
    """
    mask = np.asarray(mask)
    h, w = mask.shape[:2]
    new_h, new_w = scale if np.ndim(scale) else (max(round(h * scale), 1), max(round(w * scale), 1))
    if (new_h, new_w) != (h, w):
        mask = mask[_nearest(h, new_h)][:, _nearest(w, new_w)]
    if crop is not None:
        y, x, h, w = crop
        return mask[y : y + h, x : x + w]
    return np.pad(mask, padding[:2] + [(0, 0)] * (mask.ndim - 2), mode="constant")


def _nearest(length, new_length):
    """Positions in a line of `length` pixels that lie nearest to the pixel centres of a resized line."""
    centres = (np.arange(new_length) + 0.5) * (length / new_length)
    return np.minimum(centres.astype(np.int64), length - 1)


def _resize_bool(mask, size):
    """Resize one bool mask [h, w] to (height, width): bilinear, above one half is inside."""
    resized = cv2.resize(np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255), (int(size[1]), int(size[0])))
    return resized > 127


def minimize_mask(bbox, mask, mini_shape):
    """Cut masks to their boxes and resize them to a small fixed size.

    Args:
        bbox: int [N, 4]. Pixel boxes; columns after the fourth are left unread.
        mask: any dtype [H, W, N]. Non-zero is inside.
        mini_shape: (h, w) of the mini-masks.

    Returns:
        bool [h, w, N]. Bilinear, above one half is inside.

    Raises:
        ValueError: a box has no pixel of the mask in it.
    """
    mini_mask = np.zeros((*mini_shape, mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = (int(v) for v in bbox[i][:4])
        part = mask[y1:y2, x1:x2, i].astype(bool)
        if part.size == 0:
            raise ValueError(f"box {i} is {(y1, x1, y2, x2)}, which has no area in a mask of {mask.shape[:2]}")
        mini_mask[:, :, i] = _resize_bool(part, mini_shape)
    return mini_mask


def expand_mask(bbox, mini_mask, image_shape):
    """Put mini-masks back to the size of their image; the inverse of `minimize_mask`, but for what the small size lost.

    Args:
        bbox: int [N, 4]. Pixel boxes inside the image.
        mini_mask: bool [h, w, N].
        image_shape: (height, width, ...) of the image.

    Returns:
        bool [H, W, N].
    """
    mask = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for i in range(mask.shape[-1]):
        y1, x1, y2, x2 = (int(v) for v in bbox[i][:4])
        if y2 > y1 and x2 > x1:
            mask[y1:y2, x1:x2, i] = _resize_bool(mini_mask[:, :, i].astype(bool), (y2 - y1, x2 - x1))
    return mask


def paste_mask(mask, bbox, canvas, threshold=0.5):
    """Resize a predicted mask to its box and write it into a canvas; the work is of the box's size, not of the image's.

    Args:
        mask: float [h, w]. Probabilities in [0, 1] over the box.
        bbox: (y1, x1, y2, x2) in pixels; it may reach out of the canvas.
        canvas: bool or uint8 [H, W], changed in place: the box's pixels become 0 or 1.
        threshold: float. At or above it is inside.

    Raises:
        ValueError: the box has no area.
    """
    y1, x1, y2, x2 = (int(v) for v in bbox[:4])
    if y2 <= y1 or x2 <= x1:
        raise ValueError(f"a mask cannot be pasted into a box without area: {(y1, x1, y2, x2)}")
    top, left = max(y1, 0), max(x1, 0)
    bottom, right = min(y2, canvas.shape[0]), min(x2, canvas.shape[1])
    if bottom <= top or right <= left:
        return
    resized = cv2.resize(np.asarray(mask, np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    canvas[top:bottom, left:right] = resized[top - y1 : bottom - y1, left - x1 : right - x1] >= threshold


def unmold_mask(mask, bbox, image_shape):
    """Turn a mask of the network into a mask of the image.

    Args:
        mask: float [h, w]. Probabilities in [0, 1], as the mask head gives them.
        bbox: (y1, x1, y2, x2) in pixels of the image.
        image_shape: (height, width, ...) of the image.

    Returns:
        bool [H, W]. At or above one half is inside.
    """
    full = np.zeros(tuple(int(v) for v in image_shape[:2]), bool)
    paste_mask(mask, bbox, full)
    return full


def compute_overlaps_masks(masks1, masks2):
    """Compute the intersection over union of each mask with each other.

    Only the pixels that a mask of each side covers are counted, pair by pair inside the boxes that meet.

    Args:
        masks1: any dtype [H, W, N]. Above one half is inside.
        masks2: any dtype [H, W, M].

    Returns:
        float64 [N, M]. 0 where both masks are empty.

    Raises:
        ValueError: the masks are not of one size.
    """
    masks1, masks2 = np.asarray(masks1), np.asarray(masks2)
    overlaps = np.zeros((masks1.shape[-1], masks2.shape[-1]))
    if not overlaps.size:
        return overlaps
    if masks1.shape[:2] != masks2.shape[:2]:
        raise ValueError(f"masks of different sizes cannot be compared: {masks1.shape[:2]} and {masks2.shape[:2]}")
    packed1, boxes1, areas1 = _cut_to_boxes(masks1)
    packed2, boxes2, areas2 = _cut_to_boxes(masks2)
    for i, a in enumerate(boxes1):
        for j, b in enumerate(boxes2):
            y1, x1, y2, x2 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
            if y2 <= y1 or x2 <= x1:
                continue
            part1 = packed1[i][y1 - a[0] : y2 - a[0], x1 - a[1] : x2 - a[1]]
            part2 = packed2[j][y1 - b[0] : y2 - b[0], x1 - b[1] : x2 - b[1]]
            intersection = np.count_nonzero(part1 & part2)
            overlaps[i, j] = intersection / (areas1[i] + areas2[j] - intersection)
    return overlaps


def _cut_to_boxes(masks):
    """Cut masks [H, W, N] to their boxes: a list of bool arrays, their int boxes and their areas in pixels."""
    inside = masks if masks.dtype == bool else masks > 0.5
    boxes = [tuple(int(v) for v in box) for box in extract_bboxes(inside)]
    parts = [np.ascontiguousarray(inside[b[0] : b[2], b[1] : b[3], i]) for i, b in enumerate(boxes)]
    return parts, boxes, [np.count_nonzero(part) for part in parts]
