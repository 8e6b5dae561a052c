"""Conversion of images of any size and type to network input.

Shape letters: B images, H W C network input, h w image before resizing, K classes with background.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64, Int, Shaped

from mrcnn.base.pixels import mold_image
from mrcnn.base.types import Numbers
from mrcnn.geometry.boxes import PixelBox
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.resize import DETECTION_RESIZE, SIDE_MULTIPLE, ResizePlan, apply_plan, plan_resize
from mrcnn.io.images import as_image, to_channels


@dataclass(frozen=True, eq=False)
class MoldSettings:
    """How images are converted to network input. `training.settings.mold_settings` makes it from a Config.

    Attributes:
        mean_pixel: mean of each channel. Its length is the number of channels of the network.
        resize_mode: "none", "square", "pad64" or "crop". Because a random crop shows only a part of the image, "crop" takes
            the whole image at the scale of training, padded to multiples of 64.
        min_dim: shorter side after resizing, in pixels.
        max_dim: maximum length of the longer side; the side of the square.
        min_scale: minimum scale factor, 0 for none.
        num_classes: K. All classes are active in the meta vector.
        std_pixel: standard deviation of each channel, or one for all.
        bgr: whether the network takes BGR.
        in_corner: whether the image is in the upper left corner and padded with the mean pixel; see `plan_resize`.
        resize_method: see Config.RESIZE_METHOD.
        continuous: whether boxes are in continuous coordinates; see `geometry.boxes`.
        paste: how masks are pasted; see Config.MASK_PASTE.

    Differs: the classic code also took a random crop in detection, and mapped its detections onto the whole image.
    """

    mean_pixel: Float32[np.ndarray, " C"]
    resize_mode: str
    min_dim: int | None
    max_dim: int | None
    min_scale: float | int | None
    num_classes: int
    std_pixel: Numbers = 1.0
    bgr: bool = False
    in_corner: bool = False
    resize_method: str = "classic"
    continuous: bool = False
    paste: str = "classic"

    def plan(self, image: npt.ArrayLike) -> ResizePlan:
        """Plan how to resize an image, from its shape alone.

        Raises:
            ValueError: `image` is not an image.
        """
        mode = "pad64" if self.resize_mode == "crop" else self.resize_mode
        size = as_image(image).shape[:2]
        return plan_resize(size, min_dim=self.min_dim, max_dim=self.max_dim, min_scale=self.min_scale, mode=mode,
                           in_corner=self.in_corner, method=self.resize_method)  # fmt: skip

    def padded_plan(self, image: npt.ArrayLike) -> ResizePlan:
        """Plan how to resize an image, with further padding at the bottom and right up to one of few sizes.

        JAX, and TensorFlow on a GPU, compile the network for each size of its input, which takes longer than many detections.
        The window in the plan keeps detections inside the image; features near the padding may differ slightly.

        Raises:
            ValueError: `image` is not an image.
        """
        plan = self.plan(image)
        if self.resize_mode == "square":
            return plan
        size = padded_side(plan.size[0]), padded_side(plan.size[1])
        (top, _), (left, _), channels = plan.padding
        padding = [(top, size[0] - plan.window[2]), (left, size[1] - plan.window[3]), channels]
        return replace(plan, size=size, padding=padding)


def padded_side(side: int) -> int:
    """Round a side of the network's input up to a multiple of 64 up to 512, of 128 up to 1024, of 256 up to 2048, and so on.

    A side that is not a multiple of 64 is returned unchanged; the network refuses it.
    """
    step = SIDE_MULTIPLE << max((side - 1).bit_length() - 9, 0)  # 512 = 2^9
    return side if side % SIDE_MULTIPLE else -(-side // step) * step


def images_out_of_range(images: Sequence[npt.ArrayLike | os.PathLike[str]], settings: MoldSettings) -> list[int]:
    """Find float images that cannot have values in 0..255: with none above 1, or with negative ones.

    Only images that are converted to grey or colour have this range, and only if the mean does not say otherwise.

    Returns:
        Indices of these images.

    Raises:
        ValueError: one of `images` is not an image. The message gives its index.
    """
    found = []
    for position, image in enumerate(images):
        with _naming(position):
            pixels = as_image(image)
        if (pixels.dtype.kind == "f" and len(settings.mean_pixel) in (1, 3) and settings.mean_pixel.max() > 1
                and (pixels.min() < 0 or 0 < pixels.max() <= 1)):  # fmt: skip
            found.append(position)
    return found


@contextlib.contextmanager
def _naming(position: int) -> Iterator[None]:
    """Put the index of the image before the message of an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"images[{position}]: {error}") from error


def fit_input(
    image: npt.ArrayLike, settings: MoldSettings, image_id: int = 0, padded: bool = False
) -> tuple[Shaped[np.ndarray, "H W C"], Float64[np.ndarray, " meta"], PixelBox]:
    """Convert an image to the channels and the size of the network.

    Args:
        image: see `io.images.to_channels`.
        image_id: written to the meta vector.
        padded: whether to pad to one of few sizes; see `MoldSettings.padded_plan`.

    Returns:
        fitted: uint8 or float32, from `to_channels`. The pixels are not normalised.
        meta: see `geometry.meta`.
        window: the image's window in `fitted`.

    Raises:
        ValueError: `image` is not an image, or cannot be converted to the network's channels.
    """
    pixels = to_channels(image, len(settings.mean_pixel))
    plan = settings.padded_plan(pixels) if padded else settings.plan(pixels)
    if settings.resize_method == "torchvision":
        pixels = pixels.astype(np.float32)  # is interpolated without rounding
    fitted = apply_plan(pixels, plan, DETECTION_RESIZE[settings.resize_method])
    active_class_ids = np.ones(settings.num_classes, np.int32)
    meta = compose_image_meta(image_id, pixels.shape, fitted.shape, plan.window, plan.scale, active_class_ids)
    return fitted, meta, plan.window


def fit_inputs(
    images: Sequence[npt.ArrayLike], settings: MoldSettings, positions: Iterable[int] | None = None, padded: bool = False
) -> tuple[list[Shaped[np.ndarray, "_ _ C"]], Float64[np.ndarray, "B meta"], Int[np.ndarray, "B 4"]]:
    """Convert images to the channels and the size of the network. Their sizes may differ, before and after.

    Args:
        images: see `io.images.to_channels`.
        positions: indices of the images to convert; None converts all.
        padded: see `fit_input`.

    Returns:
        fitted: see `fit_input`; all have the same size in resize mode "square".
        metas: see `geometry.meta`.
        windows: each image's window in its `fitted`.

    Raises:
        ValueError: an image is invalid, or cannot be converted to the network's channels. The message gives its index.
    """
    fitted, metas, windows = [], [], []
    for position in range(len(images)) if positions is None else positions:
        with _naming(position):
            image, meta, window = fit_input(images[position], settings, padded=padded)
        fitted.append(image)
        metas.append(meta)
        windows.append(window)
    if not fitted:
        return [], np.zeros((0, 12 + settings.num_classes)), np.zeros((0, 4), np.int32)
    return fitted, np.stack(metas), np.asarray(windows)


def mold_inputs(
    images: Sequence[npt.ArrayLike], settings: MoldSettings
) -> tuple[list[Float32[np.ndarray, "_ _ C"]], Float64[np.ndarray, "B meta"], Int[np.ndarray, "B 4"]]:
    """Convert images to the input of the classic inference model: like `fit_inputs`, with normalised pixels."""
    fitted, metas, windows = fit_inputs(images, settings)
    molded = [mold_image(image, settings.mean_pixel, settings.std_pixel, settings.bgr) for image in fitted]
    if settings.in_corner:
        for image, (_, _, bottom, right) in zip(molded, windows):
            image[bottom:], image[:, right:] = 0, 0
    return molded, metas, windows


def batches_of_one_size(images: Sequence[npt.ArrayLike], settings: MoldSettings, batch_size: int) -> list[list[int]]:
    """Group images that `fit_input`, with padding, converts to the same size and dtype, using only their shapes and dtypes.

    Returns:
        Indices of the images of each batch, at most `batch_size` of them.

    Raises:
        ValueError: an image is invalid. The message gives its index.
    """
    groups: dict[tuple, list[int]] = {}
    for position, image in enumerate(images):
        with _naming(position):
            size = settings.padded_plan(image).size
        dtype = np.asarray(image).dtype
        is_bytes = dtype == np.uint8 or (len(settings.mean_pixel) in (1, 3) and not np.issubdtype(dtype, np.floating))
        groups.setdefault((size, is_bytes), []).append(position)
    return [members[start : start + batch_size]
            for _, members in sorted(groups.items()) for start in range(0, len(members), batch_size)]
