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
from mrcnn.io.images import as_image, to_channels


@dataclass(frozen=True, eq=False)
class MoldSettings:
    """How images become network input. `training.settings.mold_settings` makes it from a Config.

    Attributes:
        mean_pixel: mean of each channel. Its length is the number of channels of the network.
        resize_mode: "none", "square", "pad64" or "crop". A random crop shows only a part of the image, so "crop" takes the
            whole image at the scale of training, padded to multiples of 64.
        min_dim: shorter side after resizing, in pixels.
        max_dim: longest side allowed; the side of the square.
        min_scale: least factor of enlargement, 0 for none.
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
            ValueError: it is not an image.
        """
        mode = "pad64" if self.resize_mode == "crop" else self.resize_mode
        size = as_image(image).shape[:2]
        return plan_resize(size, min_dim=self.min_dim, max_dim=self.max_dim, min_scale=self.min_scale, mode=mode)


def fit_input(
    image: npt.ArrayLike, settings: MoldSettings, image_id: int = 0
) -> tuple[Shaped[np.ndarray, "H W C"], Float64[np.ndarray, " meta"], PixelBox]:
    """Convert an image to the channels and the size of the network.

    Args:
        image: as `io.images.to_channels` takes it.
        image_id: written to the meta vector.

    Returns:
        fitted: uint8 or float32, as `to_channels` gives it. The mean is not subtracted.
        meta: See `geometry.meta`.
        window: Where the image is in `fitted`.

    Raises:
        ValueError: it is not an image, or it has no such channels.
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
        images: as `io.images.to_channels` takes them.
        positions: which of the images to take; None takes all.

    Returns:
        fitted: As of `fit_input`; of one size in resize mode "square".
        metas: See `geometry.meta`.
        windows: Where each image is in its `fitted`.

    Raises:
        ValueError: one of them is not an image, or has no such channels. The message names its position in the list.
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
        ValueError: one of them is not an image. The message names its position in the list.
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
