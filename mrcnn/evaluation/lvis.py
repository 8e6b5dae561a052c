"""LVIS's metrics: average precision on a federated data set, in which each image is annotated for only some categories.

A category is evaluated in an image if it is annotated there or verified to be absent. If its annotation is not exhaustive, a
detection that matches no object is not a false positive. All other detections in an image are ignored.

This reimplements the metrics of the lvis package, whose last release does not run with current NumPy versions;
faster-coco-eval's LVIS metrics differ from that package's.

Shape letters: D detections and G objects of one category in one image, N detections of one category in all images, A area
ranges, T IoU thresholds, R recall points, K categories.

Source: Gupta, Dollar and Girshick, LVIS: A Dataset for Large Vocabulary Instance Segmentation, 2019, section 3.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco_mask

from mrcnn.base.progress import Show, tracked
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.lvis import FREQUENCIES
from mrcnn.evaluation.results import Row
from mrcnn.evaluation.scoring import IOU_50, IOU_75, KINDS, Metrics, Scorer, check_compared, mean
from mrcnn.geometry.rle import rle_area

# maximum number of detections per image, highest score first
MAX_DETECTIONS = 300
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
# minimum and maximum area in pixels, both inclusive
_AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
_RANGES = np.array(list(_AREAS.values()), float)

# (absent, partial) of an image, or None if all categories are annotated; see `Dataset.coverage`
Coverage = tuple[Collection[int], Collection[int]] | None


def federated_scorer(dataset: Dataset, image_ids: Sequence[int]) -> Scorer | None:
    """Make the scorer of a data set that does not annotate every class in every image.

    Args:
        dataset: prepared.
        image_ids: images to evaluate, by index in the data set.

    Returns:
        A function with the arguments and results of `scoring.score_rows`; None if all classes are annotated in all images.
    """
    # ties between scores are broken by the images' ids in the annotation file, as in the lvis package
    order = sorted(image_ids, key=lambda i: (isinstance(dataset.image_info[i]["id"], str), dataset.image_info[i]["id"]))
    coverage = {image_id: dataset.coverage(image_id) for image_id in order}
    if all(known is None for known in coverage.values()):
        return None
    frequencies = {class_id: info.get("frequency") for class_id, info in enumerate(dataset.class_info)}
    return partial(score_rows, coverage=coverage, frequencies=frequencies)


def score_rows(
    truth: Sequence[Row],
    detections: Sequence[Row],
    image_ids: Sequence[int],
    category_ids: Sequence[int],
    kind: str,
    curves: dict[str, np.ndarray] | None = None,
    progress: Show | None = None,
    *,
    coverage: Mapping[int, Coverage],
    frequencies: Mapping[int, object],
) -> tuple[Metrics, dict[int, Metrics]]:
    """Compute LVIS's metrics on a set of images.

    Args:
        truth: COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd. LVIS has no crowds; a crowd
            is ignored, whether detected or not.
        detections: rows in COCO's results format. False positives are assigned to area ranges by the area of their box, if
            they have one, else of their mask.
        image_ids: the images to evaluate; rows of other images are ignored.
        category_ids: the categories to evaluate.
        kind: "mask" or "box".
        curves: receives the precision at each recall under the key `kind`: float [T, R, K], -1 for a category without
            ground truth.
        progress: counts categories.
        coverage: what is annotated in each image. Ties between scores are broken by the order of the images here.
        frequencies: category id -> "r", "c", "f", or None.

    Returns:
        overall: AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR, ARs, ARm, ARl, in 0..1; nan without ground truth.
        per_category: the same metrics of each category, without APr, APc, APf.

    Raises:
        ValueError: a detection lacks the mask or box to evaluate.
    """
    pairs = _pairs(truth, detections, set(image_ids), kind, coverage)
    images_of: dict[int, list[int]] = {}
    for category_id, image_id in pairs:
        images_of.setdefault(category_id, []).append(image_id)
    rank = {image_id: rank for rank, image_id in enumerate(coverage)}
    precision = np.full((len(_THRESHOLDS), len(_RECALLS), len(category_ids), len(_RANGES)), -1.0)
    recall = np.full((len(_THRESHOLDS), len(category_ids), len(_RANGES)), -1.0)
    for ix, category_id in enumerate(tracked(category_ids, progress)):
        matches = []
        for image_id in sorted(images_of.get(category_id, ()), key=rank.__getitem__):
            known = coverage[image_id]
            is_partial = known is not None and category_id in known[1]
            matches.append(_compare(*pairs[category_id, image_id], kind, is_partial))
        if matches:
            _accumulate(matches, precision[:, :, ix], recall[:, ix])
    if curves is not None:
        curves[kind] = precision[..., 0]
    overall = _metrics(precision, recall)
    for name in FREQUENCIES:
        group = [frequencies.get(category_id) == name for category_id in category_ids]
        overall[f"AP{name}"] = mean(precision[:, :, group, 0])
    return overall, {category_id: _metrics(precision[:, :, [ix]], recall[:, [ix]])
                     for ix, category_id in enumerate(category_ids)}  # fmt: skip


def _pairs(
    truth: Sequence[Row], detections: Sequence[Row], image_ids: set[int], kind: str, coverage: Mapping[int, Coverage]
) -> dict[tuple[int, int], tuple[list[Row], list[Row]]]:
    """Collect the objects and the detections to evaluate for each (category id, image id)."""
    pairs: dict[tuple[int, int], tuple[list[Row], list[Row]]] = {}
    for row in truth:
        # the lvis package ignores objects of zero area
        if row["image_id"] in image_ids and row["area"] > 0:
            pairs.setdefault((row["category_id"], row["image_id"]), ([], []))[0].append(row)
    for row in _highest_scores(detections):
        pair = row["category_id"], row["image_id"]
        if row["image_id"] not in image_ids or _area(row, kind) <= 0:
            continue
        known = coverage[row["image_id"]]
        if pair in pairs or known is None or row["category_id"] in known[0]:
            pairs.setdefault(pair, ([], []))[1].append(row)
    return pairs


def _highest_scores(detections: Sequence[Row]) -> Iterator[Row]:
    """Yield the MAX_DETECTIONS highest-scoring detections of each image, across categories."""
    by_image: dict[int, list[Row]] = {}
    for row in detections:
        by_image.setdefault(row["image_id"], []).append(row)
    for rows in by_image.values():
        yield from rows if len(rows) <= MAX_DETECTIONS else sorted(rows, key=lambda row: -row["score"])[:MAX_DETECTIONS]


def _area(row: Row, kind: str) -> float | int:
    """Compute the area of a detection in pixels; like the lvis package, use its box even when masks are evaluated."""
    check_compared(row, kind)
    return row["bbox"][2] * row["bbox"][3] if "bbox" in row else rle_area(row["segmentation"])


# scores [D], right [A, T, D], wrong [A, T, D] and counts [A] of one image; see `_compare`
_Matches = tuple[
    Float[np.ndarray, " _"], Bool[np.ndarray, "A T _"], Bool[np.ndarray, "A T _"], Int[np.ndarray, " A"]
]


def _compare(objects: list[Row], detections: list[Row], kind: str, is_partial: bool) -> _Matches:
    """Match the detections of one category in one image with its objects.

    Args:
        is_partial: whether the image may contain unannotated objects of this category.

    Returns:
        scores: descending.
        right: true positives.
        wrong: false positives.
        counts: number of objects that are not ignored.
    """
    detections = sorted(detections, key=lambda row: -row["score"])
    low, high = _RANGES[:, :1], _RANGES[:, 1:]
    gt_areas = np.array([row["area"] for row in objects]).reshape(1, -1)
    crowds = np.array([bool(row["iscrowd"]) for row in objects], bool)
    gt_ignored = crowds | (gt_areas < low) | (gt_areas > high)  # [A, G]
    areas = np.array([_area(row, kind) for row in detections]).reshape(1, -1)
    out_of_range = (areas < low) | (areas > high)  # [A, D]
    if objects and detections:
        name = KINDS[kind][1]
        ious = coco_mask.iou([row[name] for row in detections], [row[name] for row in objects], [0] * len(objects))
        matched, right = _match(np.asarray(ious), gt_ignored)
    else:
        matched = right = np.zeros((len(_RANGES), len(_THRESHOLDS), len(detections)), bool)
    wrong = ~matched & ~(out_of_range | is_partial)[:, None, :]
    scores = np.array([row["score"] for row in detections], float)
    return scores, right, wrong, (~gt_ignored).sum(axis=1)


def _match(
    ious: Float[np.ndarray, "D G"], gt_ignored: Bool[np.ndarray, "A G"]
) -> tuple[Bool[np.ndarray, "A T D"], Bool[np.ndarray, "A T D"]]:
    """Match each detection with the unmatched object it overlaps most, preferring objects that are not ignored.

    Args:
        ious: rows by descending score.

    Returns:
        matched: detections matched with any object.
        right: detections matched with an object that is not ignored.
    """
    shape = len(_RANGES), len(_THRESHOLDS)
    matched, right = np.zeros((*shape, len(ious)), bool), np.zeros((*shape, len(ious)), bool)
    free, counted = np.ones((*shape, ious.shape[1]), bool), ~gt_ignored[:, None, :]
    for ix in np.flatnonzero(ious.max(axis=1) >= _THRESHOLDS[0]):
        candidates = free & (ious[ix] >= _THRESHOLDS[:, None])  # [A, T, G]
        better = candidates & counted
        right[:, :, ix] = better.any(axis=2)
        candidates = np.where(right[:, :, ix, None], better, candidates)
        matched[:, :, ix] = candidates.any(axis=2)
        # of equal IoUs, the last, as in the lvis package
        best = ious.shape[1] - 1 - np.argmax(np.where(candidates, ious[ix], -1)[:, :, ::-1], axis=2)
        area, threshold = np.nonzero(matched[:, :, ix])
        free[area, threshold, best[area, threshold]] = False
    return matched, right


def _accumulate(
    matches: Sequence[_Matches], precision: Float[np.ndarray, "T R A"], recall: Float[np.ndarray, "T A"]
) -> None:
    """Fill in the curves of one category from its matches in all images."""
    scores, right, wrong, counts = zip(*matches, strict=True)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right, wrong = (np.concatenate(parts, axis=2)[:, :, order].cumsum(axis=2) for parts in (right, wrong))  # [A, T, N]
    counts = np.sum(counts, axis=0)
    for area in np.flatnonzero(counts):
        for threshold in range(len(_THRESHOLDS)):
            hits = right[area, threshold]
            recalls = hits / counts[area]
            precisions = hits / (hits + wrong[area, threshold] + np.spacing(1))
            # the maximum precision at this recall or any higher one; 0 where the recall is not reached
            precisions = np.append(np.maximum.accumulate(precisions[::-1])[::-1], 0.0)
            precision[threshold, :, area] = precisions[np.searchsorted(recalls, _RECALLS)]
            recall[threshold, area] = recalls[-1] if len(recalls) else 0.0


def _metrics(precision: Float[np.ndarray, "T R K A"], recall: Float[np.ndarray, "T K A"]) -> Metrics:
    """Compute metrics from the curves of some categories, which are -1 for categories without ground truth."""
    metrics = {
        "AP": mean(precision[..., 0]),
        "AP50": mean(precision[IOU_50, ..., 0]),
        "AP75": mean(precision[IOU_75, ..., 0]),
    }
    for prefix, values in (("AP", precision), ("AR", recall)):
        metrics |= {f"{prefix}{size}": mean(values[..., ix]) for ix, size in enumerate(_AREAS) if f"{prefix}{size}" != "AP"}
    return metrics
