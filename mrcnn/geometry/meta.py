"""The image meta vector: what the network and its callers need to know about an image besides its pixels.

Layout: image id 1; original shape 3 (height, width, channels); shape 3 after resizing; window 4 (y1, x1, y2, x2), the part
that is image and not padding, in pixels; scale 1; active classes K (1 for each class that the image's data set annotates).

Shape letters: B images, K classes with background.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Num

from mrcnn.geometry.boxes import Integer, Number

# slice of each field along the last axis
META_FIELDS = {
    "image_id": slice(0, 1),
    "original_image_shape": slice(1, 4),
    "image_shape": slice(4, 7),
    "window": slice(7, 11),
    "scale": slice(11, 12),
    "active_class_ids": slice(12, None),
}


def compose_image_meta(
    image_id: Integer,
    original_image_shape: Sequence[Integer] | Num[np.ndarray, " 3"],
    image_shape: Sequence[Integer] | Num[np.ndarray, " 3"],
    window: Sequence[Integer] | Num[np.ndarray, " 4"],
    scale: Number,
    active_class_ids: Sequence[Integer] | Num[np.ndarray, " K"],
) -> Float64[np.ndarray, " fields"]:
    """Pack the attributes of an image into one vector [12 + K].

    Args:
        image_id: index of the image in its data set.
        original_image_shape: (height, width, channels) before resizing.
        image_shape: (height, width, channels) after resizing and padding.
        window: (y1, x1, y2, x2) in pixels, the part that is not padding.
        scale: resized size / original size.
        active_class_ids: 1 for each class that the image's data set annotates, else 0.
    """
    fields = [image_id, *original_image_shape, *image_shape, *window, scale, *active_class_ids]
    return np.array(fields, np.float64)


def split_image_meta(meta: Any) -> dict[str, Any]:
    """Split meta rows, an array or a tensor [B, 12 + K], into their fields, each of the dtype of `meta`.

    Returns:
        image_id [B], original_image_shape [B, 3], image_shape [B, 3], window [B, 4] in pixels, scale [B],
        active_class_ids [B, K].
    """
    fields = {name: meta[:, where] for name, where in META_FIELDS.items()}
    return fields | {name: fields[name][:, 0] for name in ("image_id", "scale")}


def parse_image_meta(meta: Num[np.ndarray, "B fields"]) -> dict[str, np.ndarray]:
    """Unpack the meta vectors of a batch.

    Returns:
        The fields by name: int32 [B] image_id, int32 [B, 3] original_image_shape and image_shape, int32 [B, 4] window,
        float32 [B] scale, int32 [B, K] active_class_ids.
    """
    return {name: field.astype(np.float32 if name == "scale" else np.int32) for name, field in split_image_meta(meta).items()}
