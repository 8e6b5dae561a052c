"""Photographs of any size and kind to network input.

Legend: B images, H W C image, h w photograph before resizing, K classes with background.
"""

import numpy as np

from mrcnn.base.pixels import mold_image
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.resize import resize_image
from mrcnn.io.images import to_8_bits

# Grey from red, green, blue. Source: ITU-R BT.709 luma for linear light, as scikit-image's rgb2gray.
_LUMA = np.array([0.2125, 0.7154, 0.0721], np.float32)


def _to_8_bit_range(image):
    """Give the pixels the range 0..255: bool and uint16 are rescaled, other integers checked, floats kept."""
    image = to_8_bits(image)
    if image.dtype == np.uint8:
        return image
    if np.issubdtype(image.dtype, np.integer):
        low, high = int(image.min()), int(image.max())
        if low < 0 or high > 255:
            raise ValueError(
                f"image of dtype {image.dtype} holds values {low}..{high}, outside 0..255: "
                "convert it to uint8, uint16 or float (0..255) so that its range is certain"
            )
        return image.astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32)
    raise ValueError(f"image of dtype {image.dtype}: expected bool, integer or float pixels")


def to_channels(image, channels=3):
    """Bring an image of any usual kind to [h, w, channels] with pixels of range 0..255.

    Grey becomes colour by repetition, an alpha channel is dropped, colour becomes grey by luma. With a channel count
    other than 1 and 3 (depth, infra-red, ...) the channels are the user's own: they must be there, and their
    values are left alone (uint8 stays, all else becomes float32).

    Args:
        image: bool, integer or float array [h, w], [h, w, 1], [h, w, 2] (grey and alpha), [h, w, 3] or [h, w, 4]
            (colour and alpha). uint16 is scaled to 0..255 by its whole range; floats are taken as 0..255 already.
        channels: int. The number that the network was built for (IMAGE_CHANNEL_COUNT).

    Returns:
        uint8 [h, w, channels], or float32 where the input is of a float type.

    Raises:
        ValueError: not an image, no pixels, or channels that cannot be had from this image.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"not an image: shape {image.shape}, expected [h, w] or [h, w, channels]")
    if image.size == 0:
        raise ValueError(f"image without pixels: shape {image.shape}")
    if image.ndim == 2:
        image = image[:, :, None]  # [h, w, 1]
    found = image.shape[2]
    if channels not in (1, 3):
        if found != channels:
            raise ValueError(f"image has {found} channels (shape {image.shape}), expected {channels}")
        return image if image.dtype == np.uint8 else image.astype(np.float32)
    if found in (2, 4):
        image = image[:, :, :-1]  # the last one is alpha
    elif found not in (1, 3):
        raise ValueError(f"image has {found} channels (shape {image.shape}); {channels} can be had from 1, 2, 3 or 4")
    image = _to_8_bit_range(image)
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    grey = (image.astype(np.float32) @ _LUMA)[:, :, None]
    return np.rint(grey).astype(np.uint8) if image.dtype == np.uint8 else grey


def fit_input(image, *, mean_pixel, resize_mode, min_dim, max_dim, min_scale, num_classes, image_id=0):
    """Give one photograph the channels and the size of the network, and tell what was done in the meta vector.

    Args:
        image: [h, w] or [h, w, channels], as `to_channels` takes it.
        mean_pixel: [C] floats; their number is the number of channels of the network.
        resize_mode: "none", "square", "pad64" or "crop". A random crop shows a part of the photograph only, so "crop"
            takes the whole of it at the scale of training, padded to multiples of 64.
        min_dim: int, pixels. Shorter side after resizing.
        max_dim: int, pixels. Longest side allowed; the size of the square.
        min_scale: float. Least factor of enlargement, 0 for none.
        num_classes: int, with background. All are active in the meta vector.
        image_id: int. Written to the meta vector.

    Returns:
        fitted: uint8 [H, W, C], or float32 where `to_channels` gives that. The mean is not subtracted.
        meta: float [12 + K], see `geometry.meta`.
        window: (y1, x1, y2, x2) pixels. The photograph inside the padded image.

    Raises:
        ValueError: as `to_channels` and `resize_image`.

    Differs: the classic code took a random crop in detection too, and mapped its detections onto the whole photograph.
    """
    mean_pixel = np.asarray(mean_pixel, np.float32).reshape(-1)
    image = to_channels(image, len(mean_pixel))
    mode = "pad64" if resize_mode == "crop" else resize_mode
    resized, window, scale, _, _ = resize_image(
        image, min_dim=min_dim, max_dim=max_dim, min_scale=min_scale, mode=mode
    )
    active_class_ids = np.ones(num_classes, np.int32)
    meta = compose_image_meta(image_id, image.shape, resized.shape, window, scale, active_class_ids)
    return resized, meta, window


def mold_inputs(images, *, mean_pixel, **settings):
    """Make a list of photographs ready for the network: `fit_inputs`, and the mean subtracted.

    Args:
        images, mean_pixel, **settings: as of `fit_inputs`.

    Returns:
        molded: list of float32 [H, W, C].
        metas and windows: as of `fit_inputs`.
    """
    fitted, metas, windows = fit_inputs(images, mean_pixel=mean_pixel, **settings)
    return [mold_image(image, mean_pixel) for image in fitted], metas, windows


def fit_inputs(images, **settings):
    """Fit a list of photographs to the network, each by itself: their sizes may differ, before and after.

    Args:
        images: list of images, as `fit_input` takes them.
        **settings: the keyword arguments of `fit_input`, but for image_id.

    Returns:
        fitted: list of uint8 or float32 [H, W, C]. Of one size under resize mode "square".
        metas: float [B, 12 + K].
        windows: int [B, 4], (y1, x1, y2, x2) pixels.

    Raises:
        ValueError: naming the position in the list of the image at fault.
    """
    fitted, metas, windows = [], [], []
    for ix, image in enumerate(images):
        try:
            one = fit_input(image, **settings)
        except ValueError as error:
            raise ValueError(f"images[{ix}]: {error}") from error
        for store, value in zip((fitted, metas, windows), one, strict=True):
            store.append(value)
    if not fitted:
        return [], np.zeros((0, 12 + settings["num_classes"])), np.zeros((0, 4), np.int32)
    return fitted, np.stack(metas), np.asarray(windows)
