"""Copy-paste augmentation: objects of one training image are pasted on another.

Source: G. Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, 2021, section 3.

Shape letters: H W C network input.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from mrcnn.geometry.boxes import PixelBox
from mrcnn.geometry.rasterize import Frame, MaskInstance, PolygonInstance, draw_instance, split_masks

# Fraction of an object's pixels that must stay visible; an object with fewer is dropped. Not in the paper, which only drops
# objects that are hidden completely; a sliver teaches the box head nothing.
MIN_VISIBLE = 0.1


class Placed(NamedTuple):
    """An instance in the network's input.

    Attributes:
        instance: in pixels of its own image file.
        frame: the map from there to the network's input.
        box: (y1, x1, y2, x2) of what is visible, in pixels of the network's input.
    """

    instance: PolygonInstance | MaskInstance
    frame: Frame
    box: PixelBox


def choose_objects(
    class_ids: Int32[np.ndarray, " N"], active: Int32[np.ndarray, " K"], rng: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """Choose a random number of the objects to paste, at least one: no crowds, and only classes that are active."""
    usable = np.array([i for i, class_id in enumerate(class_ids) if class_id > 0 and active[class_id]], np.int64)
    if not len(usable):
        return usable
    return np.sort(rng.choice(usable, int(rng.integers(1, len(usable) + 1)), replace=False))


def paste_objects(
    image: Shaped[np.ndarray, "H W C"],
    placed: Sequence[Placed],
    source: Shaped[np.ndarray, "H W C"],
    pasted: Sequence[Placed],
) -> tuple[list[Placed], Int64[np.ndarray, " n"]]:
    """Paste objects on an image, and hide what is behind them.

    Args:
        image: receives the pixels of the objects.
        placed: the objects of the image.
        source: the image with the objects to paste, of the same size and dtype.
        pasted: these objects.

    Returns:
        The objects of the image that are still visible, with masks where they are partly hidden; and their indices.
    """
    covered = np.zeros(image.shape[:2], bool)
    for instance, frame, (y1, x1, y2, x2) in pasted:
        mask = draw_instance(instance, frame, (y1, x1, y2, x2), (y2 - y1, x2 - x1))
        covered[y1:y2, x1:x2] |= mask
        image[y1:y2, x1:x2][mask] = source[y1:y2, x1:x2][mask]
    remaining = [(i, rest) for i, each in enumerate(placed) if (rest := _uncovered(each, covered)) is not None]
    return [rest for _, rest in remaining], np.array([i for i, _ in remaining], np.int64)


def _uncovered(placed: Placed, covered: Shaped[np.ndarray, "H W"]) -> Placed | None:
    """Return what is visible of an instance, the instance itself if nothing of it is covered, None if too little is left."""
    y1, x1, y2, x2 = placed.box
    hidden = covered[y1:y2, x1:x2]
    if not hidden.any():
        return placed
    mask = draw_instance(placed.instance, placed.frame, placed.box, (y2 - y1, x2 - x1))
    visible = mask & ~hidden
    area, before = int(visible.sum()), int(mask.sum())
    if area == before:
        return placed
    if area == 0 or area < MIN_VISIBLE * before:
        return None
    (rest,) = split_masks(visible[:, :, None])
    moved = MaskInstance(rest.mask, (y1 + rest.corner[0], x1 + rest.corner[1]))
    return Placed(moved, Frame.of_input((covered.shape[0], covered.shape[1])), moved.bounds)
