"""Parsing image meta rows on tensors: the counterpart of `mrcnn.geometry.meta`.

A row holds the image id (1), original shape (3), shape (3), window (4), scale (1) and active classes (K).
"""

from keras import KerasTensor, ops


def parse_image_meta(meta: KerasTensor) -> dict[str, KerasTensor]:
    """Split meta rows into their fields.

    Args:
        meta: [B, 12 + K].

    Returns:
        image_id [B], original_image_shape [B, 3], image_shape [B, 3], window [B, 4] in pixels, scale [B],
        active_class_ids [B, K], each of the dtype of `meta`.
    """
    return {
        "image_id": meta[:, 0],
        "original_image_shape": meta[:, 1:4],
        "image_shape": meta[:, 4:7],
        "window": meta[:, 7:11],
        "scale": meta[:, 11],
        "active_class_ids": meta[:, 12:],
    }


def image_size(meta: KerasTensor) -> KerasTensor:
    """Return the (height, width) of each network input: float32 [B, 2]."""
    return ops.cast(meta[:, 4:6], "float32")
