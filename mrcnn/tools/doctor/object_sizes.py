"""Sizes of the objects in the network's input: how well the anchors fit them, and which settings would fit better.

Shape letters: N objects, L pyramid levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from mrcnn.config import Config
from mrcnn.geometry.anchors import best_anchor_overlaps
from mrcnn.geometry.rasterize import Frame
from mrcnn.geometry.resize import plan_resize
from mrcnn.loading.targets.rpn import POSITIVE_IOU
from mrcnn.tools.doctor.annotations import Objects
from mrcnn.tools.doctor.findings import Findings, Place

# an anchor with a lower IoU is of little use to the box head, whose positive ROIs have an IoU of at least 0.5
FAIR_IOU = 0.5
# fraction of objects below FAIR_IOU above which there is a finding
MISSED_SHARE = 0.25
# bins of the size histogram: sides (square root of the box's area) in pixels of the network's input
SIDES = (8, 16, 32, 64, 128, 256, 512)
# upper limits of COCO's small and medium areas, in image pixels. Source: cocodataset.org/#detection-eval
COCO_AREAS = (32**2, 96**2)

# (fraction of objects, minimum side in the suggested image size): nearly all objects span four cells of the finest level, and
# half are at least as large as their mini-masks.
_COVERAGE = ((0.95, 16), (0.5, 56))
# image sizes are multiples of the step (the network halves an image six times) within these limits
_STEP, _MIN_SIDE, _MAX_SIDE = 64, 128, 2048
# number of objects on which candidates are tried; candidates for the first scale (from 4 pixels) and for the factor between
# levels, both in quarters of an octave
_TRIED = 4000
_FIRSTS, _FACTORS = 21, (2, 3, 4, 5)
# scales are suggested if their `_fit_score` exceeds that of the configured scales by this much
_WORTH = 0.02


@dataclass(frozen=True)
class InputSettings:
    """The attributes of a Config that determine the network's input and anchors, with the defaults of `Config`."""

    IMAGE_RESIZE_MODE: str = "square"
    IMAGE_MIN_DIM: int = 800
    IMAGE_MAX_DIM: int = 1024
    IMAGE_MIN_SCALE: int | float = 0
    RPN_ANCHOR_SCALES: tuple = (32, 64, 128, 256, 512)
    RPN_ANCHOR_RATIOS: tuple = (0.5, 1, 2)
    RPN_ANCHOR_STRIDE: int = 1
    BACKBONE_STRIDES: tuple = (4, 8, 16, 32, 64)

    @classmethod
    def of(cls, config: Config | None) -> "InputSettings":
        """Return the settings of a Config; None uses the defaults."""
        if config is None:
            return cls()
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            value = getattr(config, name)
            values[name] = tuple(value) if isinstance(value, list | tuple | np.ndarray) else value
        return cls(**values)


def place_objects(objects: Sequence[Objects], settings: InputSettings,
                  ) -> tuple[Float64[np.ndarray, "N 4"], Int64[np.ndarray, "N 2"]]:  # fmt: skip
    """Transform boxes to the network's input.

    Args:
        objects: of each part.
        settings: in mode "crop", the whole resized image is used instead of a random crop.

    Returns:
        boxes: in input pixels.
        shapes: (height, width) of the input of each box.
    """
    boxes: list[np.ndarray] = [np.zeros((0, 4))]
    shapes: list[np.ndarray] = [np.zeros((0, 2), np.int64)]
    for part in objects:
        for of_image, size in zip(part.boxes, part.sizes, strict=True):
            plan = plan_resize(size, settings.IMAGE_MIN_DIM, settings.IMAGE_MAX_DIM, settings.IMAGE_MIN_SCALE,
                               settings.IMAGE_RESIZE_MODE, np.random.default_rng(0))  # fmt: skip
            frame = Frame.of_plan(plan)
            offset, shape = (frame.offset, plan.size) if plan.crop is None else ((0, 0), plan.resized)
            boxes.append(of_image * np.tile(np.array(frame.scale, float), 2) + np.tile(np.array(offset, float), 2))
            shapes.append(np.tile(np.array(shape, np.int64), (len(of_image), 1)))
    return np.concatenate(boxes), np.concatenate(shapes)


def fit(boxes: Float[np.ndarray, "N 4"], shapes: Int64[np.ndarray, "N 2"], settings: InputSettings,
        scales: Sequence[int | float] | None = None) -> Float[np.ndarray, " N"]:  # fmt: skip
    """Compute the IoU of each object with its best anchor. `scales` None uses those of the settings."""
    scales = settings.RPN_ANCHOR_SCALES if scales is None else scales
    return best_anchor_overlaps(boxes, shapes, scales, settings.RPN_ANCHOR_RATIOS, settings.BACKBONE_STRIDES,
                                settings.RPN_ANCHOR_STRIDE)  # fmt: skip


def measure(objects: Sequence[Objects], settings: InputSettings, findings: Findings) -> dict[str, Any]:
    """Measure the objects of all parts in the network's input.

    Args:
        objects: of each part.
        findings: receives a finding if a large fraction of the objects has no fitting anchor.

    Returns:
        "objects": their number. If it is above 0, also "areas" {"small", "medium", "large"}: number of objects by mask area
        in the image; "sides": number of objects by range of their side in the input; "configured" and "suggested": the
        settings, with the fractions of objects whose best anchor has an IoU of at least FAIR_IOU and POSITIVE_IOU.
    """
    boxes, shapes = place_objects(objects, settings)
    if not len(boxes):
        return {"objects": 0}
    overlaps = fit(boxes, shapes, settings)
    missed = float((overlaps < FAIR_IOU).mean())
    if missed > MISSED_SHARE:
        message = (f"no anchor has an IoU of {FAIR_IOU} or more with {missed:.1%} of {len(boxes)} objects, with "
                   f"RPN_ANCHOR_SCALES {_plain(settings.RPN_ANCHOR_SCALES)} and images of {settings.IMAGE_MAX_DIM} pixels")
        findings.add("anchors_miss", Place(), message, weight=missed)
    areas = np.concatenate([area for part in objects for area in part.areas])
    small, medium = (int((areas < limit).sum()) for limit in COCO_AREAS)
    return {
        "objects": len(boxes),
        "areas": {"small": small, "medium": medium - small, "large": len(areas) - medium},
        "sides": _histogram(_sides(boxes)),
        "configured": _with_fractions(settings, overlaps),
        "suggested": suggest(objects, settings),
    }


def size_lines(sizes: dict[str, Any]) -> list[str]:
    """Describe the result of `measure` in a few lines."""
    if not sizes["objects"]:
        return []
    areas = sizes["areas"]
    return [
        f"objects by COCO area: {areas['small']} small, {areas['medium']} medium, {areas['large']} large",
        "side in the network's input, in pixels: " + ", ".join(f"{name}: {n}" for name, n in sizes["sides"].items() if n),
        "configured: " + _settings_line(sizes["configured"]),
        "suggested:  " + _settings_line(sizes["suggested"]),
    ]


def _settings_line(row: dict[str, Any]) -> str:
    fractions = ", ".join(f"{key.removeprefix('share_')} with {row[key]:.1%}" for key in row if key.startswith("share_"))
    return (f"IMAGE_MIN_DIM={row['IMAGE_MIN_DIM']} IMAGE_MAX_DIM={row['IMAGE_MAX_DIM']} "
            f"RPN_ANCHOR_SCALES={tuple(row['RPN_ANCHOR_SCALES'])}: an anchor has an IoU of at least {fractions} of the objects")


def _with_fractions(settings: InputSettings, overlaps: np.ndarray) -> dict[str, Any]:
    names = ("IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "RPN_ANCHOR_SCALES")
    return {
        **{name: getattr(settings, name) for name in names},
        "RPN_ANCHOR_SCALES": _plain(settings.RPN_ANCHOR_SCALES),
        f"share_{FAIR_IOU}": round(float((overlaps >= FAIR_IOU).mean()), 4),
        f"share_{POSITIVE_IOU}": round(float((overlaps >= POSITIVE_IOU).mean()), 4),
    }


def _plain(scales: Sequence[Any]) -> list[int | float]:
    return [int(v) if v == int(v) else float(v) for v in scales]


def _sides(boxes: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, " N"]:
    return np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def _histogram(sides: Float[np.ndarray, " N"]) -> dict[str, int]:
    counts = np.histogram(sides, (0, *SIDES, np.inf))[0].tolist()
    names = [f"< {SIDES[0]}", *(f"{a} to {b}" for a, b in zip(SIDES, SIDES[1:])), f">= {SIDES[-1]}"]
    return dict(zip(names, counts, strict=True))


def suggest(objects: Sequence[Objects], settings: InputSettings) -> dict[str, Any]:
    """Suggest an image size, and anchor scales for it.

    The size is the smallest at which 95 % of the objects have a side of at least 16 pixels and half of them at least 56, but
    at most twice the size of the images; it is kept in modes other than "square". The scales grow by a constant factor from
    level to level and fit the objects best; the configured scales are kept if they fit about as well.

    Args:
        objects: of each part, not all empty.

    Returns:
        The entry "suggested" of `measure`.
    """
    settings = _with_size(objects, settings)
    boxes, shapes = place_objects(objects, settings)
    sample = np.random.default_rng(0).permutation(len(boxes))[:_TRIED]
    current = _fit_score(fit(boxes[sample], shapes[sample], settings))
    best, scales = _best_scales(boxes[sample], shapes[sample], settings)
    if best > current + _WORTH:
        settings = replace(settings, RPN_ANCHOR_SCALES=scales)
    return _with_fractions(settings, fit(boxes, shapes, settings))


def _best_scales(boxes: np.ndarray, shapes: np.ndarray, settings: InputSettings) -> tuple[float, tuple[int, ...]]:
    """Search scales that grow by a constant factor from level to level; return the best goodness and its L scales."""
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
            tried.append((_fit_score(overlaps), -distance, scales))
    best, _, scales = max(tried)
    return best, scales


def _fit_score(overlaps: np.ndarray) -> float:
    """Rate how well anchors fit: twice the fraction of objects at FAIR_IOU or above, plus that at POSITIVE_IOU or above."""
    return float(2 * (overlaps >= FAIR_IOU).mean() + (overlaps >= POSITIVE_IOU).mean())


def _with_size(objects: Sequence[Objects], settings: InputSettings) -> InputSettings:
    """Return settings with the suggested image size."""
    if settings.IMAGE_RESIZE_MODE != "square":
        return settings
    sizes = np.array([size for part in objects for size in part.sizes], float)  # [images, 2]
    boxes = [of_image for part in objects for of_image in part.boxes]
    longest = sizes.max(axis=1)
    # relative to the longer side of the image, which becomes IMAGE_MAX_DIM
    sides = np.concatenate([_sides(of_image) for of_image in boxes])
    fractions = np.sort(sides / np.repeat(longest, [len(of_image) for of_image in boxes]))
    wanted = max(side / max(fractions[int((1 - fraction) * len(fractions))], 1e-6) for fraction, side in _COVERAGE)
    max_side = min(2 * np.quantile(longest, 0.95), _MAX_SIDE)
    side = int(np.ceil(np.clip(wanted, _MIN_SIDE, max(max_side, _MIN_SIDE)) / _STEP) * _STEP)
    ratio = float(np.median(sizes.min(axis=1) / longest))
    if side == settings.IMAGE_MAX_DIM and abs(ratio * side - settings.IMAGE_MIN_DIM) < _STEP:
        return settings  # rounding the short side to the step changes nothing
    return replace(settings, IMAGE_MAX_DIM=side, IMAGE_MIN_DIM=max(int(round(ratio * side / _STEP)), 1) * _STEP)
