"""The sizes of a data set's objects in the network's input, and anchors that fit them.

Shape letters: N objects, L pyramid levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.anchors import best_anchor_overlaps
from mrcnn.geometry.boxes import Size
from mrcnn.geometry.rasterize import Frame, box_in_frame
from mrcnn.geometry.resize import plan_resize
from mrcnn.loading.sample import load_checked_instances
from mrcnn.loading.targets.rpn import POSITIVE_IOU

# an anchor with a lower IoU is of little use to the box head, whose positive ROIs have an IoU of at least 0.5
FAIR_IOU = 0.5
# candidates for the first scale (from 4 pixels) and for the factor between levels, both in quarters of an octave
_FIRSTS, _FACTORS = 21, (2, 3, 4, 5)


@dataclass(frozen=True)
class InputSettings:
    """The attributes of a Config that determine the network's input and anchors, with the defaults of `Config`."""

    IMAGE_RESIZE_MODE: str = "square"
    IMAGE_MIN_DIM: int | None = 800
    IMAGE_MAX_DIM: int = 1024
    IMAGE_MIN_SCALE: int | float = 0
    RESIZE_METHOD: str = "classic"
    RPN_ANCHOR_SCALES: tuple = (32, 64, 128, 256, 512)
    RPN_ANCHOR_RATIOS: tuple = (0.5, 1, 2)
    RPN_ANCHOR_STRIDE: int = 1
    BACKBONE_STRIDES: tuple = (4, 8, 16, 32, 64)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "InputSettings":
        """Return the settings among the attributes of a Config."""
        chosen: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        for name, value in chosen.items():
            if isinstance(value, list | np.ndarray):
                chosen[name] = tuple(value)
        return cls(**chosen)


class MeasuredObjects(NamedTuple):
    """The objects of some images of a data set, crowds excluded. Images without objects are left out.

    Attributes:
        boxes: (y1, x1, y2, x2) in pixels of the image, one array per image.
        sizes: (height, width) of those images.
    """

    boxes: list[Float64[np.ndarray, "_ 4"]]
    sizes: list[Size]


def measure_objects(dataset: Dataset, limit: int) -> MeasuredObjects:
    """Measure the objects of a data set. Images that cannot be used are left out; the loader reports them.

    Args:
        dataset: prepared.
        limit: maximum number of images to read, evenly spaced over the data set.
    """
    ids = list(dataset.image_ids)
    measured = MeasuredObjects([], [])
    for image_id in ids[:: -(-len(ids) // limit) or 1]:
        try:
            size = dataset.image_size(image_id)
            instances, class_ids = load_checked_instances(dataset, image_id, size, dataset.num_classes)
        except (DataError, OSError):
            continue
        frame = Frame.of_input(size)
        boxes = [box for instance, class_id in zip(instances, class_ids, strict=True)
                 if class_id > 0 and (box := box_in_frame(instance, frame)) is not None]  # fmt: skip
        if boxes:
            measured.boxes.append(np.array(boxes, np.float64))
            measured.sizes.append(size)
    return measured


def box_sides(boxes: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, " N"]:
    """Return the square root of the area of each box."""
    return np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def relative_sides(boxes: Sequence[Float[np.ndarray, "_ 4"]], sizes: Sequence[Size]) -> Float[np.ndarray, " N"]:
    """Return the side of each object as a fraction of the longer side of its image, ascending.

    Args:
        boxes: in pixels, one array per image; at least one object in all.
        sizes: (height, width) of those images.
    """
    longest = np.array(sizes, float).max(axis=1)
    sides = np.concatenate([box_sides(of_image) for of_image in boxes])
    return np.sort(sides / np.repeat(longest, [len(of_image) for of_image in boxes]))


def place_objects(boxes: Sequence[Float[np.ndarray, "_ 4"]], sizes: Sequence[Size], settings: InputSettings,
                  ) -> tuple[Float64[np.ndarray, "N 4"], Int64[np.ndarray, "N 2"]]:  # fmt: skip
    """Transform the boxes of all images to the network's input.

    Args:
        boxes: in pixels, one array per image.
        sizes: (height, width) of those images.
        settings: in mode "crop", the whole resized image is used instead of a random crop.

    Returns:
        boxes: in input pixels.
        shapes: (height, width) of the input of each box.
    """
    placed: list[np.ndarray] = [np.zeros((0, 4))]
    shapes: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    for of_image, size in zip(boxes, sizes, strict=True):
        plan = plan_resize(size, settings.IMAGE_MIN_DIM, settings.IMAGE_MAX_DIM, settings.IMAGE_MIN_SCALE,
                           settings.IMAGE_RESIZE_MODE, np.random.default_rng(0), method=settings.RESIZE_METHOD)  # fmt: skip
        frame = Frame.of_plan(plan)
        offset, shape = (frame.offset, plan.size) if plan.crop is None else ((0, 0), plan.resized)
        placed.append(of_image * np.tile(np.array(frame.scale, float), 2) + np.tile(np.array(offset, float), 2))
        shapes.append(np.tile(np.array(shape, np.int64), (len(of_image), 1)))
    return np.concatenate(placed), np.concatenate(shapes)


def fit(boxes: Float[np.ndarray, "N 4"], shapes: Int64[np.ndarray, "N 2"], settings: InputSettings,
        scales: Sequence[int | float] | None = None) -> Float[np.ndarray, " N"]:  # fmt: skip
    """Compute the IoU of each object with its best anchor. `scales` None uses those of the settings."""
    scales = settings.RPN_ANCHOR_SCALES if scales is None else scales
    return best_anchor_overlaps(boxes, shapes, scales, settings.RPN_ANCHOR_RATIOS, settings.BACKBONE_STRIDES[: len(scales)],
                                settings.RPN_ANCHOR_STRIDE)  # fmt: skip


def fit_score(overlaps: Float[np.ndarray, " N"]) -> float:
    """Rate how well anchors fit: twice the fraction of objects at FAIR_IOU or above, plus that at POSITIVE_IOU or above."""
    return float(2 * (overlaps >= FAIR_IOU).mean() + (overlaps >= POSITIVE_IOU).mean())


def best_scales(boxes: Float[np.ndarray, "N 4"], shapes: Int64[np.ndarray, "N 2"], settings: InputSettings,
                ) -> tuple[float, tuple[int, ...]]:  # fmt: skip
    """Search anchor scales that grow by a constant factor from level to level.

    Args:
        boxes: at least one, in input pixels.
        shapes: (height, width) of the input of each box.
        settings: of the anchors.

    Returns:
        The best `fit_score`, and its L scales.
    """
    strides, ratios, step = settings.BACKBONE_STRIDES, settings.RPN_ANCHOR_RATIOS, settings.RPN_ANCHOR_STRIDE
    sides = [round(4 * 2 ** (k / 4)) for k in range(_FIRSTS + max(_FACTORS) * len(strides))]

    @lru_cache(None)  # many candidates share a scale on a level
    def overlaps_of(k: int, level: int) -> np.ndarray:
        return best_anchor_overlaps(boxes, shapes, [sides[k]], ratios, [strides[level]], step)

    longest = shapes.max()
    tried: list[tuple[float, float, tuple[int, ...]]] = []
    for first in range(_FIRSTS):
        for factor in _FACTORS:
            places = [(first + factor * level, level) for level in range(len(strides))]
            scales = tuple(sides[k] for k, _ in places)
            if scales[-1] > longest and tried:  # anchors larger than the image match nothing
                continue
            overlaps = np.max([overlaps_of(*place) for place in places], axis=0)
            # among equally good scales, prefer those closest to eight strides, as in the classic configuration
            distance = float(np.abs(np.log2(np.array(scales) / (8.0 * np.array(strides)))).sum())
            tried.append((fit_score(overlaps), -distance, scales))
    best, _, scales = max(tried)
    return best, scales
