"""Resizing of images: the frame that an image gets before it enters the network.

Shape letters: H W C image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import skimage.transform

RESIZE_MODES = ("none", "square", "pad64", "crop")
# the strides of the pyramid halve a side six times
SIDE_MULTIPLE = 64
# what OpenCV interpolates as it is
_CV_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)


def resize(
    image,
    output_shape,
    order=1,
    mode="constant",
    cval=0,
    clip=True,
    preserve_range=False,
    anti_aliasing=False,
    anti_aliasing_sigma=None,
):
    """Resize with scikit-image: exact and slow; the training path uses `resize_pixels`.

    Args: as those of `skimage.transform.resize`, but that anti-aliasing is off.

    Returns:
        float [h, w, ...]. In [0, 1] for integer images, unless `preserve_range`. A bool image is read as 0 and 1.
    """
    image = np.asarray(image)
    if image.dtype == bool:
        image = image.astype(np.float64)
    return skimage.transform.resize(
        image,
        output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
        anti_aliasing=anti_aliasing,
        anti_aliasing_sigma=anti_aliasing_sigma,
    )


def resize_pixels(image, size):
    """Resize an image bilinearly, without anti-aliasing, pixel centres at halves, with the classic code's numbers.

    OpenCV does the work. What the classic resize by scikit-image does beside it is kept, for its weights and its
    recorded results are made so: outside the image lies black, into which an enlarged image fades over half a source
    pixel; and integers are truncated.

    Args:
        image: any number dtype [H, W, C] or [H, W]. Any number of channels.
        size: (height, width).

    Returns:
        The same dtype and rank, of that size.
    """
    dtype = image.dtype
    # single precision holds every value of 8 and 16 bits, and OpenCV is twice as fast with it
    wide = np.float64 if dtype.itemsize > 2 and dtype != np.float32 else np.float32
    height, width = (int(v) for v in size)
    resized = cv2.resize(np.ascontiguousarray(image, wide), (width, height), interpolation=cv2.INTER_LINEAR)
    resized = resized.reshape(resized.shape[:2] + image.shape[2:])  # OpenCV drops a channel axis of 1
    for axis in (0, 1):
        _fade_borders(np.moveaxis(resized, axis, 0), image.shape[axis])
    return resized >= 0.5 if dtype.kind == "b" else resized.astype(dtype)


def resize_pixels_quickly(image, size, out):
    """Resize an image bilinearly in its own dtype, for training: half the time of `resize_pixels`.

    Args:
        image: any number dtype [H, W, C] or [H, W].
        size: (height, width).
        out: the same dtype and rank, of that size. Gets the pixels; may be a part of a larger array.

    Differs: integers are rounded and not truncated, a grey level at most, and edges are repeated, not faded into black.
    """
    fits = image.dtype in _CV_DTYPES and image.ndim == 3 and image.shape[2] > 1
    if not fits:
        out[...] = resize_pixels(image, size)
        return
    size = (int(size[1]), int(size[0]))
    resized = cv2.resize(np.ascontiguousarray(image), size, dst=out, interpolation=cv2.INTER_LINEAR)
    if not np.shares_memory(resized, out):  # OpenCV takes a memory layout that it does not know as a hint only
        out[...] = resized


def _fade_borders(rows, source_length):
    """Mix rows whose centre lies beyond the centres of the source's first and last row with black, in place.

    Args:
        rows: float [n, ...]. The axis resized from `source_length` to n, edges repeated.
        source_length: int.
    """
    length = len(rows)
    reach = min(int(np.ceil(length / source_length)), length)  # no row further in can lie beyond
    for positions in (np.arange(reach), np.arange(length - reach, length)):
        centres = (positions + 0.5) * source_length / length - 0.5
        beyond = np.maximum(np.maximum(-centres, centres - (source_length - 1)), 0.0)
        for position, share in zip(positions[beyond > 0], 1.0 - beyond[beyond > 0], strict=True):
            rows[position] *= rows.dtype.type(share)


@dataclass(frozen=True)
class ResizePlan:
    """How one image is to be resized: sizes and places, without pixels.

    Attributes:
        original: (height, width) before.
        resized: (height, width) after scaling, before padding or cropping.
        size: (height, width) of the result.
        scale: float. The factor that led to `resized`.
        window: (y1, x1, y2, x2) of the image in the result, in pixels.
        padding: [(top, bottom), (left, right), (0, 0)].
        crop: (y, x, height, width) in the scaled image, or None.
    """

    original: tuple
    resized: tuple
    size: tuple
    scale: float
    window: tuple
    padding: list
    crop: tuple | None


def plan_resize(size, min_dim=None, max_dim=None, min_scale=None, mode="square", rng=None):
    """Decide how an image of a size is resized; `resize_image` says what each argument means.

    Args:
        size: (height, width) of the image.
        min_dim, max_dim, min_scale, mode: see `resize_image`.
        rng: numpy Generator that places the crop; None draws from NumPy's global state.

    Returns:
        ResizePlan.

    Raises:
        ValueError: an unknown mode, or a mode without the dimension that it needs.
    """
    h, w = (int(v) for v in size)
    if mode not in RESIZE_MODES:
        raise ValueError(f"resize mode {mode!r} is unknown: take one of {', '.join(RESIZE_MODES)}")
    no_padding = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return ResizePlan((h, w), (h, w), (h, w), 1.0, (0, 0, h, w), no_padding, None)
    _check_dims(min_dim, max_dim, mode)
    scale = max(1.0, min_dim / min(h, w)) if min_dim else 1.0  # up, never down
    if min_scale and scale < min_scale:
        scale = float(min_scale)
    if max_dim and mode == "square" and round(max(h, w) * scale) > max_dim:
        scale = max_dim / max(h, w)
    new_h, new_w = max(round(h * scale), 1), max(round(w * scale), 1)
    if mode == "crop":
        y, x = _random_place(new_h - min_dim, new_w - min_dim, rng)
        side = (min_dim, min_dim)
        return ResizePlan((h, w), (new_h, new_w), side, scale, (0, 0, *side), no_padding, (y, x, *side))
    full = (
        (max_dim, max_dim)
        if mode == "square"
        else tuple(-(-v // SIDE_MULTIPLE) * SIDE_MULTIPLE for v in (new_h, new_w))
    )
    top, left = (full[0] - new_h) // 2, (full[1] - new_w) // 2
    padding = [(top, full[0] - new_h - top), (left, full[1] - new_w - left), (0, 0)]
    return ResizePlan((h, w), (new_h, new_w), full, scale, (top, left, top + new_h, left + new_w), padding, None)


def _check_dims(min_dim, max_dim, mode):
    if mode == "square" and not max_dim:
        raise ValueError("resize mode 'square' needs max_dim, the side of the square in pixels")
    if mode == "crop" and not min_dim:
        raise ValueError("resize mode 'crop' needs min_dim, the side of the crop in pixels")
    if mode == "pad64" and min_dim and min_dim % SIDE_MULTIPLE:
        raise ValueError(f"resize mode 'pad64' needs min_dim to be a multiple of {SIDE_MULTIPLE}, and it is {min_dim}")


def _random_place(spare_h, spare_w, rng):
    """Draw the upper left corner of a crop; the last place counts too."""
    draw = np.random.randint if rng is None else rng.integers
    return int(draw(0, spare_h + 1)), int(draw(0, spare_w + 1))


def apply_plan(image, plan, quickly=False, out=None):
    """Resize, then pad or crop an image as planned.

    Args:
        image: any number dtype [H, W, C] or [H, W].
        plan: ResizePlan made for its size.
        quickly: bool. True takes `resize_pixels_quickly`, as training does.
        out: memory of the dtype and shape of the result, which gets the pixels; None takes new memory where it is needed.

    Returns:
        `out`; without it the same dtype and rank, of `plan.size`, a view of the image where nothing is resized or padded.
        Padding is 0.
    """
    if plan.crop:
        if plan.resized != plan.original:
            source, image = image, np.empty(plan.resized + image.shape[2:], image.dtype)
            _resize_into(image, source, quickly)
        y, x, h, w = plan.crop
        image = image[y : y + h, x : x + w]
    if plan.crop or plan.size == plan.original:
        if out is None:
            return image
        out[...] = image
        return out
    # memory that is written once: only the padding is set to zero
    padded = np.empty(plan.size + image.shape[2:], image.dtype) if out is None else out
    y1, x1, y2, x2 = plan.window
    padded[:y1], padded[y2:] = 0, 0
    padded[y1:y2, :x1], padded[y1:y2, x2:] = 0, 0
    _resize_into(padded[y1:y2, x1:x2], image, quickly and plan.resized != plan.original)
    return padded


def _resize_into(out, image, quickly):
    size = out.shape[:2]
    if quickly:
        resize_pixels_quickly(image, size, out)
    else:
        out[...] = image if image.shape[:2] == size else resize_pixels(image, size)


def resize_image(image, min_dim=None, max_dim=None, min_scale=None, mode="square"):
    """Resize an image for the network, its aspect ratio kept.

    Args:
        image: any number dtype [H, W, C].
        min_dim: int. The smaller side is scaled up to it; an image is never made smaller for it.
        max_dim: int. Side of the square in mode 'square'; the longer side never exceeds it.
        min_scale: float. At least this factor, even where min_dim asks for less.
        mode: 'none' changes nothing; 'square' pads with zeros to [max_dim, max_dim]; 'pad64' pads each side to a
            multiple of 64; 'crop' scales by min_dim and min_scale and takes a random [min_dim, min_dim] part (for
            training).

    Returns:
        (image, window, scale, padding, crop): the image in its own dtype; window (y1, x1, y2, x2) of the image in the
        padded one; scale float; padding [(top, bottom), (left, right), (0, 0)]; crop (y, x, height, width) or None.

    Raises:
        ValueError: an unknown mode, or a mode without the dimension that it needs.

    Differs: pixels by OpenCV, not scikit-image, with the same numbers but for rounding; see `resize_pixels`.
    """
    image = np.asarray(image)
    plan = plan_resize(image.shape[:2], min_dim, max_dim, min_scale, mode)
    return apply_plan(image, plan), plan.window, plan.scale, plan.padding, plan.crop
