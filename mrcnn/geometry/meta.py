"""The image meta vector: what the network and its callers know of each image of a batch, beside the pixels.

Layout: image id 1, original shape 3 (height, width, channels), shape 3 after resizing, window 4 (y1, x1, y2, x2: the
part that is image and not padding, in pixels), scale 1, active classes K (1 where the image's data set knows the
class).
"""

import numpy as np

# where each field lies in the last axis; the active classes are the rest
META_FIELDS = {
    "image_id": slice(0, 1),
    "original_image_shape": slice(1, 4),
    "image_shape": slice(4, 7),
    "window": slice(7, 11),
    "scale": slice(11, 12),
    "active_class_ids": slice(12, None),
}


def compose_image_meta(image_id, original_image_shape, image_shape, window, scale, active_class_ids):
    """Pack what is known of an image into one vector.

    Args:
        image_id: int. Position of the image in its data set.
        original_image_shape: (height, width, channels) before resizing.
        image_shape: (height, width, channels) after resizing and padding.
        window: (y1, x1, y2, x2) in pixels. The part of the image that is not padding.
        scale: float. Resized size over original size.
        active_class_ids: [K]. 1 for the classes that the image's data set annotates, else 0.

    Returns:
        float64 [12 + K].
    """
    return np.concatenate(
        [[image_id], original_image_shape, image_shape, window, [scale], active_class_ids], dtype=np.float64
    )


def parse_image_meta(meta):
    """Unpack the vectors of a batch.

    Args:
        meta: [B, 12 + K].

    Returns:
        dict of arrays: image_id int32 [B], original_image_shape int32 [B, 3], image_shape int32 [B, 3], window int32
            [B, 4], scale float32 [B], active_class_ids int32 [B, K].
    """
    meta = np.asarray(meta)
    parts = {name: meta[:, where].astype(np.int32) for name, where in META_FIELDS.items()}
    parts["image_id"] = parts["image_id"][:, 0]
    parts["scale"] = meta[:, META_FIELDS["scale"]].astype(np.float32)[:, 0]
    return parts
