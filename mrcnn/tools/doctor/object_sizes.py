"""The sizes of the objects as the network gets them: which the anchors fit, and which settings would fit better.

Shape letters: N objects, A anchors, L pyramid levels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mrcnn.geometry.anchors import best_anchor_overlaps
from mrcnn.geometry.rasterize import Frame
from mrcnn.geometry.resize import plan_resize
from mrcnn.loading.targets.rpn import POSITIVE_IOU
from mrcnn.tools.doctor.finding import Place

# an anchor that overlaps an object less is of little use to the box head, whose ROIs are positive from 0.5 on
FAIR_IOU = 0.5
# the share of objects below FAIR_IOU from which it is told
MISSED_SHARE = 0.25
# sides of the size histogram in pixels of the network's input (square root of a box's area)
SIDES = (8, 16, 32, 64, 128, 256, 512)
# COCO's small, medium and large, in pixels of a mask in the image. Source: cocodataset.org/#detection-eval
COCO_AREAS = (32**2, 96**2)

# The suggested image size shows these shares of the objects with these sides or more: nearly all cover four cells of the
# finest level, and half are as large as the mini-masks that they are learnt from.
_SEEN = ((0.95, 16), (0.5, 56))
# sizes are multiples of this (the pyramid halves an image six times), from the least to the most suggested
_STEP, _LEAST, _MOST = 64, 128, 2048
# objects that suggestions are tried on; first scales (4 pixels and up) and factors, both in quarters of an octave
_TRIED = 4000
_FIRSTS, _FACTORS = 21, (2, 3, 4, 5)
# scales are suggested in place of the configured ones when they fit by this much better: see `_goodness`
_WORTH = 0.02


@dataclass(frozen=True)
class InputSettings:
    """What a configuration says of the network's input and its anchors; the defaults are those of `Config`.

    Attributes: as the attributes of Config of the same names say.
    """

    IMAGE_RESIZE_MODE: str = "square"
    IMAGE_MIN_DIM: int = 800
    IMAGE_MAX_DIM: int = 1024
    IMAGE_MIN_SCALE: float = 0
    RPN_ANCHOR_SCALES: tuple = (32, 64, 128, 256, 512)
    RPN_ANCHOR_RATIOS: tuple = (0.5, 1, 2)
    RPN_ANCHOR_STRIDE: int = 1
    BACKBONE_STRIDES: tuple = (4, 8, 16, 32, 64)

    @classmethod
    def of(cls, config):
        """Take the settings of a Config, or the defaults of None."""
        if config is None:
            return cls()
        values = {name: getattr(config, name) for name in cls.__dataclass_fields__}
        return cls(**{name: tuple(v) if isinstance(v, list | tuple | np.ndarray) else v for name, v in values.items()})


def place_objects(objects, settings):
    """Move boxes to where they lie in the network's input.

    Args:
        objects: list of Objects, one a part.
        settings: InputSettings. In mode "crop", the whole scaled image stands for its random part.

    Returns:
        (boxes, shapes): float64 [N, 4] pixels of the input; int64 [N, 2] (height, width) of the input of each.
    """
    boxes, shapes = [np.zeros((0, 4))], [np.zeros((0, 2), np.int64)]
    for some in objects:
        for own, size in zip(some.boxes, some.sizes, strict=True):
            plan = plan_resize(size, settings.IMAGE_MIN_DIM, settings.IMAGE_MAX_DIM, settings.IMAGE_MIN_SCALE,
                               settings.IMAGE_RESIZE_MODE, np.random.default_rng(0))  # fmt: skip
            frame = Frame.of_plan(plan)
            offset, shape = (frame.offset, plan.size) if plan.crop is None else ((0, 0), plan.resized)
            boxes.append(own * np.tile(frame.scale, 2) + np.tile(offset, 2))
            shapes.append(np.tile(np.array(shape, np.int64), (len(own), 1)))
    return np.concatenate(boxes), np.concatenate(shapes)


def fit(boxes, shapes, settings, scales=None):
    """Compute how well the best anchor fits each object. Args: as of `place_objects`. Returns: float64 [N]."""
    scales = settings.RPN_ANCHOR_SCALES if scales is None else scales
    return best_anchor_overlaps(boxes, shapes, scales, settings.RPN_ANCHOR_RATIOS, settings.BACKBONE_STRIDES,
                                settings.RPN_ANCHOR_STRIDE)  # fmt: skip


def measure(objects, settings, findings):
    """Measure the objects of all parts for a configuration.

    Args:
        objects: list of Objects, one a part.
        settings: InputSettings.
        findings: Findings; a large share of objects that no anchor fits is added.

    Returns:
        dict: "objects" int; "areas" {"small", "medium", "large": int}, of masks in their images; "sides" {range: int},
        of boxes in the network's input; "configured" and "suggested", dicts of the settings and of the shares of objects
        that the best anchor overlaps by FAIR_IOU and by POSITIVE_IOU. Without objects, only "objects".
    """
    boxes, shapes = place_objects(objects, settings)
    if not len(boxes):
        return {"objects": 0}
    overlaps = fit(boxes, shapes, settings)
    missed = float((overlaps < FAIR_IOU).mean())
    if missed > MISSED_SHARE:
        told = (f"{missed:.1%} of {len(boxes)} objects overlap no anchor by {FAIR_IOU}, with RPN_ANCHOR_SCALES "
                f"{_plain(settings.RPN_ANCHOR_SCALES)} and images of {settings.IMAGE_MAX_DIM} pixels")  # fmt: skip
        findings.add("anchors_miss", Place(), told, weight=missed)
    areas = np.concatenate([area for some in objects for area in some.areas])
    small, medium = (int((areas < limit).sum()) for limit in COCO_AREAS)
    return {
        "objects": len(boxes),
        "areas": {"small": small, "medium": medium - small, "large": len(areas) - medium},
        "sides": _histogram(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))),
        "configured": _told(settings, overlaps),
        "suggested": suggest(objects, settings),
    }


def _told(settings, overlaps):
    names = ("IMAGE_RESIZE_MODE", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM", "RPN_ANCHOR_SCALES")
    return {
        **{name: getattr(settings, name) for name in names},
        "RPN_ANCHOR_SCALES": _plain(settings.RPN_ANCHOR_SCALES),
        f"share_{FAIR_IOU}": round(float((overlaps >= FAIR_IOU).mean()), 4),
        f"share_{POSITIVE_IOU}": round(float((overlaps >= POSITIVE_IOU).mean()), 4),
    }


def _plain(scales):
    return [int(v) if v == int(v) else float(v) for v in scales]


def _histogram(sides):
    edges = (0, *SIDES, np.inf)
    counts = np.histogram(sides, edges)[0].tolist()
    names = [f"< {SIDES[0]}", *(f"{a} to {b}" for a, b in zip(SIDES, SIDES[1:])), f">= {SIDES[-1]}"]
    return dict(zip(names, counts, strict=True))


def suggest(objects, settings):
    """Suggest an image size, and anchor scales for it.

    The size is the least that shows 95 % of the objects with a side of 16 pixels or more and half of them with 56, at
    most twice the images' own; modes other than "square" keep theirs. The scales are those, growing by one factor from
    level to level, that fit the objects best; the configured ones where they are about as good.

    Args:
        objects: list of Objects, one a part, not all empty.
        settings: InputSettings.

    Returns:
        dict, as "suggested" of `measure`.
    """
    settings = _with_size(objects, settings)
    boxes, shapes = place_objects(objects, settings)
    chosen = np.random.default_rng(0).permutation(len(boxes))[:_TRIED]
    now = _goodness(fit(boxes[chosen], shapes[chosen], settings))
    best, scales = _best_scales(boxes[chosen], shapes[chosen], settings)
    if best > now + _WORTH:
        settings = replace(settings, RPN_ANCHOR_SCALES=scales)
    return _told(settings, fit(boxes, shapes, settings))


def _best_scales(boxes, shapes, settings):
    """Try scales that grow by one factor from level to level: (goodness, tuple of L) of the best."""
    strides, ratios, step = settings.BACKBONE_STRIDES, settings.RPN_ANCHOR_RATIOS, settings.RPN_ANCHOR_STRIDE
    sides = [round(4 * 2 ** (k / 4)) for k in range(_FIRSTS + max(_FACTORS) * len(strides))]
    one = lru_cache(None)(  # how well one scale fits on one level; many of the tried share it
        lambda k, level: best_anchor_overlaps(boxes, shapes, [sides[k]], ratios, [strides[level]], step)
    )
    most = shapes.max()
    tried = []
    for first in range(_FIRSTS):
        for factor in _FACTORS:
            places = [(first + factor * level, level) for level in range(len(strides))]
            scales = tuple(sides[k] for k, _ in places)
            if scales[-1] > most and tried:  # anchors larger than the image match nothing
                continue
            overlaps = np.max([one(*place) for place in places], axis=0)
            # of those that are equally good, the nearest to eight strides, as in the classic configuration
            unlike = float(np.abs(np.log2(np.array(scales) / (8.0 * np.array(strides)))).sum())
            tried.append((_goodness(overlaps), -unlike, scales))
    best, _, scales = max(tried)
    return best, scales


def _goodness(overlaps):
    """How well anchors fit: the share of objects that they overlap fairly counts twice, that which they fit once."""
    return float(2 * (overlaps >= FAIR_IOU).mean() + (overlaps >= POSITIVE_IOU).mean())


def _with_size(objects, settings):
    """Put the suggested image size into the settings."""
    if settings.IMAGE_RESIZE_MODE != "square":
        return settings
    sizes = np.array([size for some in objects for size in some.sizes], float)  # [images, 2]
    counts = [len(own) for some in objects for own in some.boxes]
    longest = sizes.max(axis=1)
    # sides as shares of the longer side of their image: that side becomes IMAGE_MAX_DIM
    sides = np.concatenate([np.sqrt(np.prod(own[:, 2:] - own[:, :2], axis=1)) for some in objects for own in some.boxes])
    shares = np.sort(sides / np.repeat(longest, counts))
    wanted = max(side / max(shares[int((1 - share) * len(shares))], 1e-6) for share, side in _SEEN)
    most = min(2 * np.quantile(longest, 0.95), _MOST)
    side = int(np.ceil(np.clip(wanted, _LEAST, max(most, _LEAST)) / _STEP) * _STEP)
    ratio = float(np.median(sizes.min(axis=1) / longest))
    if side == settings.IMAGE_MAX_DIM and abs(ratio * side - settings.IMAGE_MIN_DIM) < _STEP:
        return settings  # a step more or less on the short side gains nothing
    return replace(settings, IMAGE_MAX_DIM=side, IMAGE_MIN_DIM=max(int(round(ratio * side / _STEP)), 1) * _STEP)
