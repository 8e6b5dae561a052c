"""Conversion of network output to the original image: boxes in its pixels, masks pasted at its size.

Shape letters: D detections (padded), N detections that are kept, H W the original image, M side of the mask head, K classes
with background.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Num

from mrcnn.geometry.boxes import ImageShape, norm_boxes
from mrcnn.geometry.masks import PASTE
from mrcnn.geometry.rle import Rle, encode_in_box

MASK_FORMS = ("dense", "rle")

# (y1, x1, y2, x2) in pixels
Window = Sequence[int] | Num[np.ndarray, " 4"]
# boxes, class ids, scores and masks of one image; see `paste_detections`
Instances = tuple[Int32[np.ndarray, "N 4"], Int32[np.ndarray, " N"], Float32[np.ndarray, " N"],
                  Bool[np.ndarray, "H W N"] | list[Rle]]


def boxes_on_original(
    boxes: Num[np.ndarray, "N 4"], original_shape: ImageShape, image_shape: ImageShape, window: Window, continuous: bool = False
) -> Float64[np.ndarray, "N 4"]:
    """Map normalised boxes of the network's input onto the original image, without rounding or clipping.

    Args:
        boxes: normalised by the size of the network's input.
        original_shape: shape of the original image.
        image_shape: shape of the network's input.
        window: window of the original image in the network's input.
        continuous: whether boxes are normalised in continuous coordinates; see `geometry.boxes`.

    Returns:
        Boxes in pixels of the original image. A box that extends beyond the image has coordinates outside it.
    """
    wy1, wx1, wy2, wx2 = norm_boxes(np.asarray(window, np.float64), tuple(image_shape[:2]), continuous)
    shift = np.array([wy1, wx1, wy1, wx1])
    scale = np.array([wy2 - wy1, wx2 - wx1, wy2 - wy1, wx2 - wx1])
    height, width = (int(v) for v in original_shape[:2])
    fractions = (np.asarray(boxes, np.float64) - shift) / scale  # normalised by the original image
    if continuous:
        return fractions * np.array([height, width, height, width])
    return fractions * np.array([height - 1, width - 1, height - 1, width - 1]) + np.array([0, 0, 1, 1])


def boxes_to_original(
    boxes: Num[np.ndarray, "N 4"], original_shape: ImageShape, image_shape: ImageShape, window: Window, continuous: bool = False
) -> Int32[np.ndarray, "N 4"]:
    """Map normalised boxes of the network's input onto whole pixels of the original image, clipped to it.

    The arguments are those of `boxes_on_original`.
    """
    height, width = (int(v) for v in original_shape[:2])
    pixels = np.around(boxes_on_original(boxes, original_shape, image_shape, window, continuous))
    return np.clip(pixels, 0, [height, width, height, width]).astype(np.int32)


def visible_rows(
    detections: Float[np.ndarray, "D 6"], original_shape: ImageShape, image_shape: ImageShape, window: Window,
    continuous: bool = False,
) -> tuple[Num[np.ndarray, " N"], Int32[np.ndarray, "N 4"]]:
    """Find the detections whose box has an area in the original image. The arguments are those of `paste_detections`.

    Returns:
        Indices of these detections, padding excluded, and their boxes in pixels of the original image.
    """
    rows = np.nonzero((detections[:, 4] > 0) & np.isfinite(detections).all(axis=1))[0]
    boxes = boxes_to_original(detections[rows, :4], original_shape, image_shape, window, continuous)  # [N, 4]
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return rows[has_area], boxes[has_area]


def masks_of_class(
    detections: Float[np.ndarray, "*B D 6"], mrcnn_mask: Float[np.ndarray, "*B D M M K"]
) -> Float[np.ndarray, "*B D M M"]:
    """Select the mask of each detection's class from the masks of all classes.

    Args:
        detections: see `paste_detections`.
        mrcnn_mask: mask probability for each class.

    Returns:
        The selected masks; for padding rows and rows that are not finite, the mask of the background.
    """
    class_ids = np.nan_to_num(detections[..., 4], posinf=0, neginf=0).astype(np.int64)
    return np.take_along_axis(mrcnn_mask, class_ids[..., None, None, None], axis=-1)[..., 0]


def unmold_detections(
    detections: Float[np.ndarray, "D 6"], mrcnn_mask: Float[np.ndarray, "D M M K"], original_shape: ImageShape,
    image_shape: ImageShape, window: Window, continuous: bool = False, masks: str = "dense", paste: str = "classic",
) -> Instances:
    """Turn the output of the classic inference model for one image into instances of the original image.

    Args:
        mrcnn_mask: mask probability for each class. The other arguments, the result and the errors are those of
            `paste_detections`.
    """
    small_masks = masks_of_class(detections, mrcnn_mask)
    return paste_detections(detections, small_masks, original_shape, image_shape, window, continuous, masks, paste)


def paste_detections(
    detections: Float[np.ndarray, "D 6"], small_masks: Float[np.ndarray, "D M M"], original_shape: ImageShape,
    image_shape: ImageShape, window: Window, continuous: bool = False, masks: str = "dense", paste: str = "classic",
) -> Instances:
    """Turn the output of the network for one image into instances of the original image.

    Args:
        detections: (y1, x1, y2, x2, class id, score), with boxes normalised by the size of the network's input; padding
            rows are all zero.
        small_masks: mask probability for the class of each detection.
        original_shape: shape of the original image.
        image_shape: shape of the network's input.
        window: window of the original image in the network's input.
        continuous: see `boxes_on_original`.
        masks: "dense", or "rle", which needs a hundredth of the memory.
        paste: how masks are pasted; see Config.MASK_PASTE.

    Returns:
        boxes: in pixels of the original image.
        class_ids: from 1.
        scores: unchanged from `detections`.
        masks: a stack at the size of the original image, or COCO RLE of each mask.
        Detections whose box has no area in the original image are dropped.

    Raises:
        ValueError: `masks` is neither "dense" nor "rle".

    Differs: each mask is resized and pasted inside its box only. `masks[:, :, i]` is contiguous in memory.
    """
    if masks not in MASK_FORMS:
        raise ValueError(f'masks="{masks}": expected one of {", ".join(MASK_FORMS)}')
    height, width = (int(v) for v in original_shape[:2])
    rows, boxes = visible_rows(detections, original_shape, image_shape, window, continuous)
    class_ids = detections[rows, 4].astype(np.int32)
    scores = detections[rows, 5].astype(np.float32)
    small = small_masks[rows]  # [N, M, M]
    # Other frameworks paste at the fractions of pixels to which boxes are predicted; the classic code rounds boxes first.
    places = boxes if paste == "classic" else np.clip(
        boxes_on_original(detections[rows, :4], original_shape, image_shape, window, continuous), 0,
        [height, width, height, width])
    if masks == "rle":
        return boxes, class_ids, scores, [_encode(mask, box, (height, width), paste) for mask, box in zip(small, places)]
    full = np.zeros((len(rows), height, width), bool)
    for ix in range(len(rows)):
        PASTE[paste](small[ix], places[ix], full[ix])
    return boxes, class_ids, scores, full.transpose(1, 2, 0)  # [H, W, N]


def _encode(mask: Float[np.ndarray, "M M"], box: Num[np.ndarray, " 4"], size: tuple[int, int], paste: str) -> Rle:
    """Paste a mask of the mask head into the pixels that it can reach, and encode them as RLE of the original image."""
    reach = box
    if paste != "classic":  # up to a cell of the mask beyond the box
        margin = np.ceil(np.tile(box[2:] - box[:2], 2) / len(mask)) + 1
        reach = np.clip(np.floor(box + margin * [-1, -1, 1, 1]), 0, [*size, *size]).astype(int)
    crop = np.zeros(reach[2:] - reach[:2], bool)
    PASTE[paste](mask, box - np.tile(reach[:2], 2), crop)
    return encode_in_box(crop, reach, size)
