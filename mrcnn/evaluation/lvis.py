"""LVIS's figures: average precision of a data set whose images were each searched for some of its categories only.

A category counts on an image where it is annotated, or verified to be absent. Where it is annotated in part, a detection
that meets no object is not held against the detector. All other detections of an image are passed over.

Legend: D detections and G objects of one category in one image, N detections of one category in all images, A area
ranges, T IoU thresholds, R recall points, K categories.

Source: Gupta, Dollar and Girshick, LVIS: A Dataset for Large Vocabulary Instance Segmentation, 2019, section 3; the figures
are those of the lvis package.
"""

from functools import partial

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.base.progress import tracked
from mrcnn.datasets.formats.lvis import FREQUENCIES
from mrcnn.evaluation.scoring import KINDS
from mrcnn.geometry.rle import rle_area

# The most detections of an image that count, by score.
MAX_DETECTIONS = 300
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_IOU_50, _IOU_75 = 0, 5
# smallest and largest area in pixels, both counted in
_AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
_RANGES = np.array(list(_AREAS.values()), float)


def federated_scorer(dataset, image_ids):
    """Make the scorer of a data set that does not annotate every class in every image.

    Args:
        dataset: prepared Dataset; see its `coverage`.
        image_ids: list of ints. Images to be evaluated, by position.

    Returns:
        callable with the arguments and the answer of `scoring.score_rows`; None where all classes are annotated in
        all images.
    """
    coverage_of = getattr(dataset, "coverage", lambda image_id: None)
    # equal scores are ranked by the images' own ids, as the lvis package does
    order = sorted(image_ids, key=lambda i: (isinstance(dataset.image_info[i]["id"], str), dataset.image_info[i]["id"]))
    coverage = {image_id: coverage_of(image_id) for image_id in order}
    if all(known is None for known in coverage.values()):
        return None
    frequencies = {class_id: info.get("frequency") for class_id, info in enumerate(dataset.class_info)}
    return partial(score_rows, coverage=coverage, frequencies=frequencies)


def score_rows(truth, detections, image_ids, category_ids, kind, curves=None, progress=None, *, coverage, frequencies):
    """LVIS's figures over a set of images.

    Args:
        truth: list of COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd. LVIS has no
            crowds; one that is there is neither found nor missed.
        detections: list of dicts in COCO's results format. Their area, which sorts false ones into sizes, is that of the
            box where they have one.
        image_ids: list of ints; rows of other images are passed over.
        category_ids: list of ints.
        kind: "mask" or "box".
        curves: dict, optional. Gets under `kind` the precision at each recall: float [T, R, K], -1 for a category without
            ground truth.
        progress: function (done, total), called after each category, or None.
        coverage: dict image id -> (absent, partial), collections of category ids, or None where all categories are
            annotated; see `Dataset.coverage`. Of equal scores the image that comes first in it is ranked first.
        frequencies: dict category id -> "r", "c", "f", or None.

    Returns:
        overall: dict of AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR, ARs, ARm, ARl, in 0..1, nan where there is
            no ground truth.
        per_category: dict category id -> the same figures of this category alone, without APr, APc, APf.

    Raises:
        ValueError: a detection lacks what is compared.
    """
    wanted, pairs = set(image_ids), {}
    for row in truth:
        # what has no area is no object to the lvis package
        if row["image_id"] in wanted and row["area"] > 0:
            pairs.setdefault((row["category_id"], row["image_id"]), ([], []))[0].append(row)
    for row in _most_certain(detections):
        pair = row["category_id"], row["image_id"]
        if row["image_id"] not in wanted or _area(row, kind) <= 0:
            continue
        known = coverage[row["image_id"]]
        if pair in pairs or known is None or row["category_id"] in known[0]:
            pairs.setdefault(pair, ([], []))[1].append(row)
    images_of = {}
    for category_id, image_id in pairs:
        images_of.setdefault(category_id, set()).add(image_id)
    places = {image_id: place for place, image_id in enumerate(coverage)}
    precision = np.full((len(_THRESHOLDS), len(_RECALLS), len(category_ids), len(_RANGES)), -1.0)
    recall = np.full((len(_THRESHOLDS), len(category_ids), len(_RANGES)), -1.0)
    for ix, category_id in enumerate(tracked(category_ids, progress)):
        found = []
        for image_id in sorted(images_of.get(category_id, ()), key=places.__getitem__):
            known = coverage[image_id]
            is_partial = known is not None and category_id in known[1]
            found.append(_compare(*pairs[category_id, image_id], kind, is_partial))
        if found:
            _accumulate(found, precision[:, :, ix], recall[:, ix])
    if curves is not None:
        curves[kind] = precision[..., 0]
    overall = _figures(precision, recall)
    for name in FREQUENCIES:
        group = [frequencies.get(category_id) == name for category_id in category_ids]
        overall[f"AP{name}"] = _mean(precision[:, :, group, 0])
    return overall, {category_id: _figures(precision[:, :, [ix]], recall[:, [ix]])
                     for ix, category_id in enumerate(category_ids)}  # fmt: skip


def _most_certain(detections):
    """Keep the MAX_DETECTIONS of highest score of each image, of all its categories together."""
    by_image = {}
    for row in detections:
        by_image.setdefault(row["image_id"], []).append(row)
    for rows in by_image.values():
        yield from rows if len(rows) <= MAX_DETECTIONS else sorted(rows, key=lambda row: -row["score"])[:MAX_DETECTIONS]


def _area(row, kind):
    """Area of a detection in pixels; the lvis package takes that of its box for masks too."""
    name = KINDS[kind][1]
    if name not in row:
        raise ValueError(f"image {row['image_id']}: a detection has no {name}, and the {kind} is to be evaluated")
    return row["bbox"][2] * row["bbox"][3] if "bbox" in row else rle_area(row["segmentation"])


def _compare(objects, detections, kind, is_partial):
    """Match the detections of one category in one image with its objects.

    Args:
        objects: list of G truth rows.
        detections: list of D rows.
        kind: "mask" or "box".
        is_partial: bool. Whether objects of this category may be unannotated.

    Returns:
        scores: float [D], falling.
        right: bool [A, T, D]. Detections that meet an object that counts.
        wrong: bool [A, T, D]. Detections that meet none, and are to be held against the detector.
        counts: int [A]. Objects that count.
    """
    detections = sorted(detections, key=lambda row: -row["score"])
    low, high = _RANGES[:, :1], _RANGES[:, 1:]
    gt_areas = np.array([row["area"] for row in objects]).reshape(1, -1)
    crowds = np.array([bool(row["iscrowd"]) for row in objects], bool)
    gt_ignored = crowds | (gt_areas < low) | (gt_areas > high)  # [A, G]
    areas = np.array([_area(row, kind) for row in detections]).reshape(1, -1)
    beyond = (areas < low) | (areas > high)  # [A, D]
    if objects and detections:
        name = KINDS[kind][1]
        ious = coco_mask.iou([row[name] for row in detections], [row[name] for row in objects], [0] * len(objects))
        matched, right = _match(np.asarray(ious), gt_ignored)
    else:
        matched = right = np.zeros((len(_RANGES), len(_THRESHOLDS), len(detections)), bool)
    wrong = ~matched & ~(beyond | is_partial)[:, None, :]
    return np.array([row["score"] for row in detections]), right, wrong, (~gt_ignored).sum(axis=1)


def _match(ious, gt_ignored):
    """Give each detection in turn the object that it covers best of those that are free, and count before ignored.

    Args:
        ious: float [D, G], detections by falling score.
        gt_ignored: bool [A, G].

    Returns:
        matched: bool [A, T, D]. With any object.
        right: bool [A, T, D]. With one that counts.
    """
    shape = len(_RANGES), len(_THRESHOLDS)
    matched, right = np.zeros((*shape, len(ious)), bool), np.zeros((*shape, len(ious)), bool)
    free, counted = np.ones((*shape, ious.shape[1]), bool), ~gt_ignored[:, None, :]
    for ix in np.flatnonzero(ious.max(axis=1) >= _THRESHOLDS[0]):
        within = free & (ious[ix] >= _THRESHOLDS[:, None])  # [A, T, G]
        better = within & counted
        right[:, :, ix] = better.any(axis=2)
        within = np.where(right[:, :, ix, None], better, within)
        matched[:, :, ix] = within.any(axis=2)
        # of equal ones the last, as the lvis package takes it
        best = ious.shape[1] - 1 - np.argmax(np.where(within, ious[ix], -1)[:, :, ::-1], axis=2)
        area, threshold = np.nonzero(matched[:, :, ix])
        free[area, threshold, best[area, threshold]] = False
    return matched, right


def _accumulate(found, precision, recall):
    """Fill in the curves of one category: precision [T, R, A], recall [T, A], from what `_compare` gave of each image."""
    scores, right, wrong, counts = zip(*found, strict=True)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right, wrong = (np.concatenate(parts, axis=2)[:, :, order].cumsum(axis=2) for parts in (right, wrong))  # [A, T, N]
    counts = np.sum(counts, axis=0)
    for area in np.flatnonzero(counts):
        for threshold in range(len(_THRESHOLDS)):
            hits = right[area, threshold]
            reached = hits / counts[area]
            exact = hits / (hits + wrong[area, threshold] + np.spacing(1))
            # the best precision at this recall or any higher one; 0 at a recall that is not reached
            exact = np.append(np.maximum.accumulate(exact[::-1])[::-1], 0.0)
            precision[threshold, :, area] = exact[np.searchsorted(reached, _RECALLS)]
            recall[threshold, area] = reached[-1] if len(reached) else 0.0


def _mean(values):
    """Mean of the entries that exist; those without ground truth are -1."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def _figures(precision, recall):
    """The figures of some categories: precision float [T, R, K, A], recall float [T, K, A]."""
    figures = {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[_IOU_50, ..., 0]),
        "AP75": _mean(precision[_IOU_75, ..., 0]),
    }
    for prefix, values in (("AP", precision), ("AR", recall)):
        figures |= {f"{prefix}{size}": _mean(values[..., ix]) for ix, size in enumerate(_AREAS) if f"{prefix}{size}" != "AP"}
    return figures
