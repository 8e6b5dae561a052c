"""Network output back to the photograph: boxes in its pixels, masks pasted at its size.

Legend: D detections (padded), N kept, H W the photograph, M side of the mask head, K classes with background.
"""

import numpy as np

from mrcnn.geometry.boxes import norm_boxes
from mrcnn.geometry.masks import paste_mask
from mrcnn.geometry.rle import encode_in_box

MASK_FORMS = ("dense", "rle")


def boxes_on_original(boxes, original_shape, image_shape, window):
    """Map normalised boxes of the network's image onto the photograph inside it, exactly: not rounded, not clipped.

    Args:
        boxes: float [N, 4], normalised by the network's image.
        original_shape: (H, W) or (H, W, C) of the photograph.
        image_shape: (height, width) or more, of the network's image.
        window: (y1, x1, y2, x2) pixels of the network's image: where the photograph lies.

    Returns:
        float64 [N, 4] pixels of the photograph; what lies outside of it has coordinates outside of it.
    """
    wy1, wx1, wy2, wx2 = norm_boxes(np.asarray(window, np.float64), tuple(image_shape[:2]))
    shift = np.array([wy1, wx1, wy1, wx1])
    scale = np.array([wy2 - wy1, wx2 - wx1, wy2 - wy1, wx2 - wx1])
    height, width = (int(v) for v in original_shape[:2])
    side = np.array([height - 1, width - 1, height - 1, width - 1])
    return (np.asarray(boxes, np.float64) - shift) / scale * side + np.array([0, 0, 1, 1])


def boxes_to_original(boxes, original_shape, image_shape, window):
    """Map normalised boxes of the network's image onto whole pixels of the photograph.

    Args:
        boxes, original_shape, image_shape, window: as of `boxes_on_original`.

    Returns:
        int32 [N, 4] pixels of the photograph, within it.
    """
    height, width = (int(v) for v in original_shape[:2])
    pixels = np.around(boxes_on_original(boxes, original_shape, image_shape, window))
    return np.clip(pixels, 0, [height, width, height, width]).astype(np.int32)


def _paste_and_encode(mask, box, size):
    """The mask of the mask head at the size of its box, as RLE of the photograph."""
    height, width = int(box[2] - box[0]), int(box[3] - box[1])
    crop = np.zeros((height, width), bool)
    paste_mask(mask, (0, 0, height, width), crop)
    return encode_in_box(crop, box, size)


def visible_rows(detections, original_shape, image_shape, window):
    """Find the detections that have an area in the photograph.

    Args:
        detections, original_shape, image_shape, window: as of `paste_detections`.

    Returns:
        rows: int [N]. Their positions; padding rows are not among them.
        boxes: int32 [N, 4] pixels of the photograph.
    """
    rows = np.nonzero((detections[:, 4] > 0) & np.isfinite(detections).all(axis=1))[0]
    boxes = boxes_to_original(detections[rows, :4], original_shape, image_shape, window)  # [N, 4]
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return rows[has_area], boxes[has_area]


def own_masks(detections, mrcnn_mask):
    """Pick the mask of each detection's own class.

    Args:
        detections: float [..., D, 6].
        mrcnn_mask: float [..., D, M, M, K]. Mask probability for each class.

    Returns:
        float [..., D, M, M]. Of padding rows and of rows that are no numbers, the background's.
    """
    class_ids = np.nan_to_num(detections[..., 4], posinf=0, neginf=0).astype(np.int64)
    return np.take_along_axis(mrcnn_mask, class_ids[..., None, None, None], axis=-1)[..., 0]


def unmold_detections(detections, mrcnn_mask, original_shape, image_shape, window, masks="dense"):
    """Turn the classic model's detections for one image into boxes, classes, scores and masks of the photograph.

    Args:
        mrcnn_mask: float [D, M, M, K]. Mask probability for each class.
        The rest, what is returned and what is raised: as of `paste_detections`.
    """
    detections, mrcnn_mask = np.asarray(detections), np.asarray(mrcnn_mask)
    small = own_masks(detections, mrcnn_mask)
    return paste_detections(detections, small, original_shape, image_shape, window, masks=masks)


def paste_detections(detections, small_masks, original_shape, image_shape, window, masks="dense"):
    """Turn the network's detections for one image into boxes, classes, scores and masks of the photograph.

    Args:
        detections: float [D, 6], (y1, x1, y2, x2, class id, score), boxes normalised; padding rows are all zero.
        small_masks: float [D, M, M]. Mask probability for the class of each.
        original_shape: (H, W) or (H, W, C) of the photograph.
        image_shape: (height, width) or more, of the network's image.
        window: (y1, x1, y2, x2) pixels of the network's image: where the photograph lies.
        masks: "dense", or "rle" which needs a hundredth of the memory.

    Returns:
        boxes: int32 [N, 4] pixels of the photograph.
        class_ids: int32 [N].
        scores: float32 [N].
        masks: bool [H, W, N], or a list of N COCO RLE dicts {"size": [H, W], "counts": str}.
        Detections whose box has no area left in the photograph are dropped.

    Raises:
        ValueError: masks is neither "dense" nor "rle".

    Differs: each mask is resized and pasted inside its own box only. Masks lie one after another in memory, so
    `masks[:, :, i]` is contiguous.
    """
    if masks not in MASK_FORMS:
        raise ValueError(f'masks="{masks}": expected one of {", ".join(MASK_FORMS)}')
    height, width = (int(v) for v in original_shape[:2])
    rows, boxes = visible_rows(detections, original_shape, image_shape, window)
    class_ids = detections[rows, 4].astype(np.int32)
    scores = detections[rows, 5].astype(np.float32)
    small = small_masks[rows]  # [N, M, M]
    if masks == "rle":
        full = [_paste_and_encode(m, box, (height, width)) for m, box in zip(small, boxes)]
        return boxes, class_ids, scores, full
    full = np.zeros((len(rows), height, width), bool)
    for ix in range(len(rows)):
        paste_mask(small[ix], boxes[ix], full[ix])
    return boxes, class_ids, scores, full.transpose(1, 2, 0)  # [H, W, N]
