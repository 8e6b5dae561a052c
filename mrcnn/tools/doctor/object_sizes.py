"""Sizes of the objects in the network's input: how well the anchors fit them, and which settings would fit better.

Shape letters: N objects, L pyramid levels.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from mrcnn.config import Config
from mrcnn.loading.object_sizes import (
    FAIR_IOU,
    InputSettings,
    best_scales,
    box_sides,
    fit,
    fit_score,
    place_objects,
    relative_sides,
)
from mrcnn.loading.targets.rpn import POSITIVE_IOU
from mrcnn.tools.doctor.annotations import Objects
from mrcnn.tools.doctor.findings import Findings, Place

# fraction of objects below FAIR_IOU above which there is a finding
MISSED_SHARE = 0.25
# bins of the size histogram: sides (square root of the box's area) in pixels of the network's input
SIDES = (8, 16, 32, 64, 128, 256, 512)
# upper limits of COCO's small and medium areas, in image pixels. Source: cocodataset.org/#detection-eval
COCO_AREAS = (32**2, 96**2)

# (fraction of objects, minimum side in the smallest image size): nearly all objects span four cells of the finest level, and
# half are at least as large as their mini-masks.
_COVERAGE = ((0.95, 16), (0.5, 56))
# image sizes are multiples of the step (the network halves an image six times) within these limits
_STEP, _MIN_SIDE, _MAX_SIDE = 64, 128, 2048
# side up to which images keep their own size: that of COCO's configurations, beyond which masks gain little and steps are slow
_USUAL_SIDE = 1024
# number of objects on which candidates are tried
_TRIED = 4000
# scales are suggested if their `fit_score` exceeds that of the configured scales by this much
_WORTH = 0.02


def input_settings(config: Config | None) -> InputSettings:
    """Return the settings of a Config; None uses the defaults."""
    return InputSettings() if config is None else InputSettings.of(config.to_dict())


def measure(objects: Sequence[Objects], settings: InputSettings, findings: Findings) -> dict[str, Any]:
    """Measure the objects of all parts in the network's input.

    Args:
        objects: of each part.
        findings: receives a finding if a large fraction of the objects has no fitting anchor.

    Returns:
        "objects": their number. If it is above 0, also "areas" {"small", "medium", "large"}: number of objects by mask area
        in the image; "sides": number of objects by range of their side in the input; "configured" and "suggested": the
        settings, with the fractions of objects whose best anchor has an IoU of at least FAIR_IOU and POSITIVE_IOU; and
        "smallest_side", in pixels.
    """
    boxes, shapes = _placed(objects, settings)
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
        "sides": _histogram(box_sides(boxes)),
        "configured": _with_fractions(settings, overlaps),
        "suggested": suggest(objects, settings),
        "smallest_side": smallest_side(objects),
    }


def size_lines(sizes: dict[str, Any]) -> list[str]:
    """Describe the result of `measure` in a few lines."""
    if not sizes["objects"]:
        return []
    areas, smallest = sizes["areas"], sizes["smallest_side"]
    saving = sizes["suggested"]["IMAGE_RESIZE_MODE"] == "square" and smallest < sizes["suggested"]["IMAGE_MAX_DIM"]
    return [
        f"objects by COCO area: {areas['small']} small, {areas['medium']} medium, {areas['large']} large",
        "side in the network's input, in pixels: " + ", ".join(f"{name}: {n}" for name, n in sizes["sides"].items() if n),
        "configured: " + _settings_line(sizes["configured"]),
        "suggested:  " + _settings_line(sizes["suggested"]),
        *([f"to save time: IMAGE_MAX_DIM={smallest} is the smallest size at which these objects are large enough to learn"]
          if saving else []),
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


def _placed(objects: Sequence[Objects], settings: InputSettings) -> tuple[np.ndarray, np.ndarray]:
    """Call `place_objects` for the objects of all parts."""
    boxes = [of_image for part in objects for of_image in part.boxes]
    return place_objects(boxes, [size for part in objects for size in part.sizes], settings)


def _plain(scales: Sequence[Any]) -> list[int | float]:
    return [int(v) if v == int(v) else float(v) for v in scales]


def _histogram(sides: Float[np.ndarray, " N"]) -> dict[str, int]:
    counts = np.histogram(sides, (0, *SIDES, np.inf))[0].tolist()
    names = [f"< {SIDES[0]}", *(f"{a} to {b}" for a, b in zip(SIDES, SIDES[1:])), f">= {SIDES[-1]}"]
    return dict(zip(names, counts, strict=True))


def suggest(objects: Sequence[Objects], settings: InputSettings) -> dict[str, Any]:
    """Suggest an image size, and anchor scales for it.

    The size is that of the images, up to 1024 pixels, or `smallest_side` if the objects need more; it is kept in modes other
    than "square". The scales grow by a constant factor from level to level and fit the objects best; the configured scales are
    kept if they fit about as well.

    Args:
        objects: of each part, not all empty.

    Returns:
        The entry "suggested" of `measure`.
    """
    settings = _with_size(objects, settings)
    boxes, shapes = _placed(objects, settings)
    sample = np.random.default_rng(0).permutation(len(boxes))[:_TRIED]
    current = fit_score(fit(boxes[sample], shapes[sample], settings))
    best, scales = best_scales(boxes[sample], shapes[sample], settings)
    if best > current + _WORTH:
        settings = replace(settings, RPN_ANCHOR_SCALES=scales)
    return _with_fractions(settings, fit(boxes, shapes, settings))


def smallest_side(objects: Sequence[Objects]) -> int:
    """Return the smallest image size at which the objects are large enough to learn.

    Args:
        objects: of each part, not all empty.

    Returns:
        Pixels of the longer side: 95 % of the objects then have a side of at least 16 pixels, and half of them of at least 56.
        At most twice the size of the images.
    """
    # relative to the longer side of the image, which becomes IMAGE_MAX_DIM
    boxes, sizes = ([value for part in objects for value in getattr(part, name)] for name in ("boxes", "sizes"))
    fractions = relative_sides(boxes, sizes)
    wanted = max(side / max(fractions[int((1 - fraction) * len(fractions))], 1e-6) for fraction, side in _COVERAGE)
    max_side = min(2 * np.quantile(np.max(sizes, axis=1), 0.95), _MAX_SIDE)
    return _stepped(np.clip(wanted, _MIN_SIDE, max(max_side, _MIN_SIDE)))


def _with_size(objects: Sequence[Objects], settings: InputSettings) -> InputSettings:
    """Return settings with the suggested image size."""
    if settings.IMAGE_RESIZE_MODE != "square":
        return settings
    shorter, longest = np.sort([size for part in objects for size in part.sizes], axis=1).T
    side = max(smallest_side(objects), min(_stepped(np.quantile(longest, 0.95)), _USUAL_SIDE))
    ratio = float(np.median(shorter / longest))
    if side == settings.IMAGE_MAX_DIM and abs(ratio * side - (settings.IMAGE_MIN_DIM or 0)) < _STEP:
        return settings  # rounding the short side to the step changes nothing
    return replace(settings, IMAGE_MAX_DIM=side, IMAGE_MIN_DIM=max(int(round(ratio * side / _STEP)), 1) * _STEP)


def _stepped(side: float) -> int:
    """Round a side up to a multiple of the step."""
    return int(np.ceil(side / _STEP) * _STEP)
