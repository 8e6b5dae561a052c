"""Resizing images for the network: scale, then pad or crop.

`plan_resize` computes the plan from the size of an image alone; `apply_plan` applies it to pixels; `resize_image` does both,
as in the classic code. `mrcnn.geometry.rasterize.Frame` applies it to annotations.

Shape letters: H W C image before, h w after.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import skimage.transform
from jaxtyping import Float, Num, Shaped
from PIL import Image

from mrcnn.geometry.boxes import Integer, Number, PixelBox, Size

RESIZE_MODES = ("none", "square", "pad64", "crop")
# the backbone and the pyramid halve the image six times, so its sides must be multiples of 2^6
SIDE_MULTIPLE = 64
# dtypes that OpenCV interpolates without conversion
_CV_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)


def resize(
    image: Shaped[np.ndarray, "H W ..."],
    output_shape: Sequence[Integer],
    order: int = 1,
    mode: str = "constant",
    cval: Number = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool = False,
    anti_aliasing_sigma: Any = None,
) -> Float[np.ndarray, "h w ..."]:
    """Resize with scikit-image: exact and slow; training and detection use `resize_pixels`.

    Args:
        image: pixels; bool counts as 0 and 1.
        output_shape: this and the following arguments: see `skimage.transform.resize`; anti-aliasing is off by default.

    Returns:
        Values in [0, 1] for integer images, unless `preserve_range`.
    """
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


def resize_pixels(image: Shaped[np.ndarray, "H W *C"], size: Sequence[Integer]) -> Shaped[np.ndarray, "h w *C"]:
    """Resize an image bilinearly without anti-aliasing, keeping its dtype; the values match the classic code's.

    The classic code used scikit-image; this uses OpenCV, and reproduces two effects that the classic weights and recorded
    results depend on: everything outside the image is black, so that an enlarged image fades to black over half a source
    pixel; and integers are truncated.

    Args:
        image: numbers or bool, with any number of channels or without a channel axis.
        size: (h, w).
    """
    dtype = image.dtype
    # float32 represents all 8-bit and 16-bit values exactly, and OpenCV is twice as fast with it
    wide = np.float64 if dtype.itemsize > 2 and dtype != np.float32 else np.float32
    height, width = (int(v) for v in size)
    resized = cv2.resize(np.ascontiguousarray(image, wide), (width, height), interpolation=cv2.INTER_LINEAR)
    resized = resized.reshape(resized.shape[:2] + image.shape[2:])  # OpenCV drops a channel axis of 1
    for axis in (0, 1):
        _fade_borders(np.moveaxis(resized, axis, 0), image.shape[axis])
    return resized >= 0.5 if dtype.kind == "b" else resized.astype(dtype)


def resize_pixels_fast(image: Shaped[np.ndarray, "H W *C"], out: Shaped[np.ndarray, "h w *C"]) -> None:
    """Resize an image bilinearly in its own dtype, for training, in half the time of `resize_pixels`.

    Args:
        image: see `resize_pixels`.
        out: receives the pixels, in the dtype of the image; it may be a view into a larger array.

    Differs: unlike `resize_pixels`, integers are rounded, and edges are replicated instead of faded to black.
    """
    size = (out.shape[1], out.shape[0])
    if image.dtype not in _CV_DTYPES or image.ndim != 3 or image.shape[2] == 1:
        out[...] = resize_pixels(image, size[::-1])
        return
    resized = cv2.resize(np.ascontiguousarray(image), size, dst=out, interpolation=cv2.INTER_LINEAR)
    if not np.shares_memory(resized, out):  # OpenCV ignores `dst` if it cannot write to its memory layout
        out[...] = resized


def resize_pixels_exactly(image: Shaped[np.ndarray, "H W *C"], out: Shaped[np.ndarray, "h w *C"]) -> None:
    """Resize an image with `resize_pixels`; arguments as for `resize_pixels_fast`."""
    out[...] = resize_pixels(image, out.shape[:2])


def resize_pixels_smoothly(image: Shaped[np.ndarray, "H W *C"], out: Shaped[np.ndarray, "h w *C"]) -> None:
    """Resize an image with Pillow, as detectron2 does. Its bilinear filter averages over all pixels that a smaller one covers.

    Pillow takes uint8 with one or three channels; others are resized by `resize_pixels_fast`. Arguments as there.

    Source: detectron2, `ResizeTransform.apply_image`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        resize_pixels_fast(image, out)
        return
    picture = Image.fromarray(np.ascontiguousarray(image if image.shape[2] == 3 else image[..., 0]))
    resized = np.asarray(picture.resize((out.shape[1], out.shape[0]), Image.Resampling.BILINEAR))
    out[...] = resized.reshape(out.shape)


# A function (image, out) that resizes pixels, by Config.RESIZE_METHOD: in detection and in training.
Resize = Callable[[np.ndarray, np.ndarray], None]
DETECTION_RESIZE: dict[str, Resize] = {
    "classic": resize_pixels_exactly, "opencv": resize_pixels_fast, "torchvision": resize_pixels_fast,
    "detectron2": resize_pixels_smoothly}  # fmt: skip
TRAINING_RESIZE: dict[str, Resize] = {**DETECTION_RESIZE, "classic": resize_pixels_fast}


def _fade_borders(rows: Float[np.ndarray, "n ..."], source_length: int) -> None:
    """Blend rows that lie beyond the centres of the source's first and last row with black, in place.

    Args:
        rows: the result of resizing `source_length` rows with replicated edges.
    """
    length = len(rows)
    reach = min(int(np.ceil(length / source_length)), length)  # rows further inside are not affected
    for positions in (np.arange(reach), np.arange(length - reach, length)):
        centres = (positions + 0.5) * source_length / length - 0.5
        beyond = np.maximum(np.maximum(-centres, centres - (source_length - 1)), 0.0)
        for position, weight in zip(positions[beyond > 0], 1.0 - beyond[beyond > 0], strict=True):
            rows[position] *= rows.dtype.type(weight)


@dataclass(frozen=True)
class ResizePlan:
    """How to resize an image; sizes and positions are in pixels.

    Attributes:
        original: (height, width) before scaling.
        resized: (height, width) after scaling, before padding or cropping.
        size: (height, width) of the result.
        scale: resized / original size.
        window: (y1, x1, y2, x2) of the image in the result.
        padding: [(top, bottom), (left, right), (0, 0)].
        crop: (y, x, height, width) of what is kept of the scaled image, or None for all of it.
    """

    original: Size
    resized: Size
    size: Size
    scale: float
    window: PixelBox
    padding: list[tuple[int, int]]
    crop: tuple[int, int, int, int] | None


def plan_resize(
    size: Sequence[Integer],
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: Number | None = None,
    mode: str = "square",
    rng: np.random.Generator | None = None,
    in_corner: bool = False,
    method: str = "classic",
) -> ResizePlan:
    """Plan how to resize an image.

    Args:
        size: (height, width) of the image.
        min_dim: this and the following arguments: see `resize_image`.
        rng: chooses the crop; None uses NumPy's global state.
        in_corner: whether padding goes to the bottom and the right only; otherwise it surrounds the image.
        method: see Config.RESIZE_METHOD. All but "classic" also scale images down until their shorter side is min_dim, and
            "torchvision" rounds the scaled sides down to whole pixels.

    Raises:
        ValueError: the mode is unknown, or a dimension it needs is missing.
    """
    h, w = (int(v) for v in size)
    if mode not in RESIZE_MODES:
        raise ValueError(f"resize mode {mode!r} is unknown: use one of {', '.join(RESIZE_MODES)}")
    no_padding = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return ResizePlan((h, w), (h, w), (h, w), 1.0, (0, 0, h, w), no_padding, None)
    scale = min_dim / min(h, w) if min_dim else 1.0
    if method == "classic":
        scale = max(scale, 1.0)  # up, never down
    if min_scale:
        scale = max(scale, float(min_scale))
    if max_dim and mode == "square" and round(max(h, w) * scale) > max_dim:
        scale = max_dim / max(h, w)
    # The margin lets a side that is a whole number but for the error of the product keep it.
    new_h, new_w = (max(math.floor(s * scale + 1e-6) if method == "torchvision" else round(s * scale), 1) for s in (h, w))
    if mode == "crop":
        if not min_dim:
            raise ValueError("resize mode 'crop' needs min_dim, the side of the crop in pixels")
        side = (min_dim, min_dim)
        y, x = _random_corner(new_h - min_dim, new_w - min_dim, rng)
        return ResizePlan((h, w), (new_h, new_w), side, scale, (0, 0, *side), no_padding, (y, x, *side))
    if mode == "square":
        if not max_dim:
            raise ValueError("resize mode 'square' needs max_dim, the side of the square in pixels")
        size_h = size_w = max_dim
    else:
        if min_dim and min_dim % SIDE_MULTIPLE:
            raise ValueError(f"resize mode 'pad64' needs min_dim to be a multiple of {SIDE_MULTIPLE}, but it is {min_dim}")
        size_h, size_w = (-(-v // SIDE_MULTIPLE) * SIDE_MULTIPLE for v in (new_h, new_w))
    top, left = (0, 0) if in_corner else ((size_h - new_h) // 2, (size_w - new_w) // 2)
    padding = [(top, size_h - new_h - top), (left, size_w - new_w - left), (0, 0)]
    window = (top, left, top + new_h, left + new_w)
    return ResizePlan((h, w), (new_h, new_w), (size_h, size_w), scale, window, padding, None)


def plan_square(
    size: Sequence[Integer], scale: Number, side: int, rng: np.random.Generator | None = None, in_corner: bool = False
) -> ResizePlan:
    """Plan to scale an image by any factor and fit it into a square: what is longer is cropped, what is shorter padded.

    Args:
        size: (height, width) of the image.
        scale: resized / original size.
        side: of the square, in pixels.
        rng: chooses the crop; None uses NumPy's global state.
        in_corner: see `plan_resize`.
    """
    h, w = (int(v) for v in size)
    resized = max(round(h * scale), 1), max(round(w * scale), 1)
    shown_h, shown_w = min(resized[0], side), min(resized[1], side)
    y, x = _random_corner(resized[0] - shown_h, resized[1] - shown_w, rng)
    top, left = (0, 0) if in_corner else ((side - shown_h) // 2, (side - shown_w) // 2)
    padding = [(top, side - shown_h - top), (left, side - shown_w - left), (0, 0)]
    crop = None if resized == (shown_h, shown_w) else (y, x, shown_h, shown_w)
    window = (top, left, top + shown_h, left + shown_w)
    return ResizePlan((h, w), resized, (side, side), float(scale), window, padding, crop)


def _random_corner(spare_h: int, spare_w: int, rng: np.random.Generator | None) -> tuple[int, int]:
    """Choose the upper left corner of a crop at random, up to and including (spare_h, spare_w)."""
    draw = np.random.randint if rng is None else rng.integers
    return int(draw(0, spare_h + 1)), int(draw(0, spare_w + 1))


def apply_plan(
    image: Shaped[np.ndarray, "H W *C"],
    plan: ResizePlan,
    resize: Resize = resize_pixels_exactly,
    out: Shaped[np.ndarray, "h w *C"] | None = None,
) -> Shaped[np.ndarray, "h w *C"]:
    """Resize an image, then crop it, then pad it with zeros, as planned.

    Args:
        image: numbers or bool, of the size for which the plan was made.
        resize: of DETECTION_RESIZE or TRAINING_RESIZE.
        out: receives the pixels, in the dtype of the image; None allocates an array if one is needed.

    Returns:
        `out`, or an array of the image's dtype, which is a view of the image if it is neither resized nor padded.
    """
    if plan.crop:
        if plan.resized != plan.original:
            source, image = image, np.empty(plan.resized + image.shape[2:], image.dtype)
            resize(source, image)
        y, x, h, w = plan.crop
        image = image[y : y + h, x : x + w]
    is_resized = plan.crop is not None or plan.resized == plan.original
    if is_resized and image.shape[:2] == plan.size:
        if out is None:
            return image
        out[...] = image
        return out
    # each pixel is written once: only the padding is set to zero
    padded = np.empty(plan.size + image.shape[2:], image.dtype) if out is None else out
    y1, x1, y2, x2 = plan.window
    padded[:y1], padded[y2:] = 0, 0
    padded[y1:y2, :x1], padded[y1:y2, x2:] = 0, 0
    if is_resized:
        padded[y1:y2, x1:x2] = image
    else:
        resize(image, padded[y1:y2, x1:x2])
    return padded


def resize_image(
    image: Num[np.ndarray, "H W *C"],
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: Number | None = None,
    mode: str = "square",
) -> tuple[
    Num[np.ndarray, "h w *C"], PixelBox, float, list[tuple[int, int]], tuple[int, int, int, int] | None
]:
    """Resize an image for the network, keeping its aspect ratio.

    Args:
        min_dim: a shorter side below this is scaled up to it; images are not scaled down to it.
        max_dim: side of the square in mode 'square'; the longer side never exceeds it.
        min_scale: minimum scale, even if min_dim needs less.
        mode: 'none' changes nothing; 'square' pads with zeros to [max_dim, max_dim]; 'pad64' pads each side to a
            multiple of 64; 'crop' scales by min_dim and min_scale and takes a random [min_dim, min_dim] crop, for
            training.

    Returns:
        image: of the same dtype.
        window: (y1, x1, y2, x2) of the image in the padded image.
        scale: resized / original size.
        padding: [(top, bottom), (left, right), (0, 0)].
        crop: (y, x, height, width) in the scaled image, or None.

    Raises:
        ValueError: the mode is unknown, or a dimension it needs is missing.

    Differs: uses OpenCV instead of scikit-image, with the same values up to rounding; see `resize_pixels`.
    """
    plan = plan_resize(image.shape[:2], min_dim, max_dim, min_scale, mode)
    return apply_plan(image, plan), plan.window, plan.scale, plan.padding, plan.crop
