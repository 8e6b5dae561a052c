"""Images of any size and kind to network input.

Shape letters: B images, H W C network input, h w image before resizing, K classes with background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64, Int, Shaped

from mrcnn.base.pixels import mold_image
from mrcnn.geometry.boxes import PixelBox
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.resize import ResizePlan, apply_plan, plan_resize
from mrcnn.io.images import to_8_bits

# Grey from red, green, blue. Source: ITU-R BT.709 luma for linear light, as scikit-image's rgb2gray.
_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)


@dataclass(frozen=True, eq=False)
class MoldSettings:
    """How images become network input. `training.settings.mold_settings` makes it from a Config.

    Attributes:
        mean_pixel: Mean of each channel. Its length is the number of channels of the network.
        resize_mode: "none", "square", "pad64" or "crop". A random crop shows only a part of the image, so "crop" takes the
            whole image at the scale of training, padded to multiples of 64.
        min_dim: Shorter side after resizing, in pixels.
        max_dim: Longest side allowed; the side of the square.
        min_scale: Least factor of enlargement, 0 for none.
        num_classes: K. All classes are active in the meta vector.

    Differs: the classic code took a random crop in detection too, and mapped its detections onto the whole image.
    """

    mean_pixel: Float32[np.ndarray, " C"]
    resize_mode: str
    min_dim: int | None
    max_dim: int | None
    min_scale: float | int | None
    num_classes: int

    def plan(self, image: npt.ArrayLike) -> ResizePlan:
        """Decide how an image is resized, from its shape alone.

        Raises:
            ValueError: It is not an image.
        """
        mode = "pad64" if self.resize_mode == "crop" else self.resize_mode
        size = _checked(image).shape[:2]
        return plan_resize(size, min_dim=self.min_dim, max_dim=self.max_dim, min_scale=self.min_scale, mode=mode)


def _checked(image: npt.ArrayLike) -> Shaped[np.ndarray, "..."]:
    """Return an image as an array; raise ValueError if it does not have the shape of one."""
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"not an image: shape {image.shape}, expected [h, w] or [h, w, channels]")
    if image.size == 0:
        raise ValueError(f"image without pixels: shape {image.shape}")
    return image


def _to_8_bit_range(image: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w c"]:
    """Bring pixels into the range 0..255: bool and uint16 are rescaled, other integers checked, floats kept."""
    image = to_8_bits(image)
    if image.dtype == np.uint8:
        return image
    if np.issubdtype(image.dtype, np.integer):
        low, high = int(image.min()), int(image.max())
        if low < 0 or high > 255:
            raise ValueError(f"image of dtype {image.dtype} holds values {low}..{high}, outside 0..255: convert it to "
                             "uint8, uint16 or float (0..255) so that its range is certain")
        return image.astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32)
    raise ValueError(f"image of dtype {image.dtype}: expected bool, integer or float pixels")


def to_channels(image: npt.ArrayLike, channels: int = 3) -> Shaped[np.ndarray, "h w c"]:
    """Convert an image of any usual kind to a number of channels, with pixels in the range 0..255.

    Grey becomes colour by repetition, an alpha channel is dropped, colour becomes grey by luma. Channels of another number
    than 1 and 3 (depth, infra-red, ...) must be in the image, and their values are kept.

    Args:
        image: [h, w], [h, w, 1], [h, w, 2] (grey and alpha), [h, w, 3] or [h, w, 4] (colour and alpha), of bool, integers or
            floats. The whole range of uint16 is scaled to 0..255; floats are in 0..255 already.
        channels: The number that the network was built for (IMAGE_CHANNEL_COUNT).

    Returns:
        uint8; float32 for floats, and for what is not uint8 with another number of channels than 1 and 3.

    Raises:
        ValueError: It is not an image, or it has no such channels.
    """
    image = _checked(image)
    if image.ndim == 2:
        image = image[:, :, None]  # [h, w, 1]
    count = image.shape[2]
    if channels not in (1, 3):
        if count != channels:
            raise ValueError(f"image has {count} channels (shape {image.shape}), expected {channels}")
        return image if image.dtype == np.uint8 else image.astype(np.float32)
    if count in (2, 4):
        image = image[:, :, :-1]  # the last channel is alpha
    elif count not in (1, 3):
        raise ValueError(f"image has {count} channels (shape {image.shape}); {channels} can be made from 1, 2, 3 or 4")
    image = _to_8_bit_range(image)
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    grey = (image.astype(np.float32) @ _LUMA)[:, :, None]
    return np.rint(grey).astype(np.uint8) if image.dtype == np.uint8 else grey


def fit_input(
    image: npt.ArrayLike, settings: MoldSettings, image_id: int = 0
) -> tuple[Shaped[np.ndarray, "H W C"], Float64[np.ndarray, " meta"], PixelBox]:
    """Convert an image to the channels and the size of the network.

    Args:
        image: As `to_channels` takes it.
        image_id: Written to the meta vector.

    Returns:
        fitted: uint8 or float32, as `to_channels` gives it. The mean is not subtracted.
        meta: See `geometry.meta`.
        window: Where the image is in `fitted`.

    Raises:
        ValueError: It is not an image, or it has no such channels.
    """
    pixels = to_channels(image, len(settings.mean_pixel))
    plan = settings.plan(pixels)
    fitted = apply_plan(pixels, plan)
    active_class_ids = np.ones(settings.num_classes, np.int32)
    meta = compose_image_meta(image_id, pixels.shape, fitted.shape, plan.window, plan.scale, active_class_ids)
    return fitted, meta, plan.window


def fit_inputs(
    images: Sequence[npt.ArrayLike], settings: MoldSettings, positions: Iterable[int] | None = None
) -> tuple[list[Shaped[np.ndarray, "_ _ C"]], Float64[np.ndarray, "B meta"], Int[np.ndarray, "B 4"]]:
    """Convert images to the channels and the size of the network. Their sizes may differ, before and after.

    Args:
        images: As `to_channels` takes them.
        positions: Which of the images to take; None takes all.

    Returns:
        fitted: As of `fit_input`; of one size in resize mode "square".
        metas: See `geometry.meta`.
        windows: Where each image is in its `fitted`.

    Raises:
        ValueError: One of them is not an image, or has no such channels. The message names its position in the list.
    """
    fitted, metas, windows = [], [], []
    for position in range(len(images)) if positions is None else positions:
        try:
            image, meta, window = fit_input(images[position], settings)
        except ValueError as error:
            raise ValueError(f"images[{position}]: {error}") from error
        fitted.append(image)
        metas.append(meta)
        windows.append(window)
    if not fitted:
        return [], np.zeros((0, 12 + settings.num_classes)), np.zeros((0, 4), np.int32)
    return fitted, np.stack(metas), np.asarray(windows)


def mold_inputs(
    images: Sequence[npt.ArrayLike], settings: MoldSettings
) -> tuple[list[Float32[np.ndarray, "_ _ C"]], Float64[np.ndarray, "B meta"], Int[np.ndarray, "B 4"]]:
    """Convert images to the input of the classic inference model: as `fit_inputs`, with the mean subtracted."""
    fitted, metas, windows = fit_inputs(images, settings)
    return [mold_image(image, settings.mean_pixel) for image in fitted], metas, windows


def batches_of_one_size(images: Sequence[npt.ArrayLike], settings: MoldSettings, batch_size: int) -> list[list[int]]:
    """Group images that `fit_input` gives the same size and dtype, looking at their shapes and dtypes only.

    Returns:
        Positions of the images of each batch, at most `batch_size` of them.

    Raises:
        ValueError: One of them is not an image. The message names its position in the list.
    """
    groups: dict[tuple, list[int]] = {}
    for position, image in enumerate(images):
        try:
            size = settings.plan(image).size
        except ValueError as error:
            raise ValueError(f"images[{position}]: {error}") from error
        dtype = np.asarray(image).dtype
        is_bytes = dtype == np.uint8 or (len(settings.mean_pixel) in (1, 3) and not np.issubdtype(dtype, np.floating))
        groups.setdefault((size, is_bytes), []).append(position)
    return [members[start : start + batch_size]
            for _, members in sorted(groups.items()) for start in range(0, len(members), batch_size)]
