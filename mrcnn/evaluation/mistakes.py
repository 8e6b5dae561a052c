"""A detector's mistakes: objects detected as another class, missed objects and false detections; the confusion matrix.

Shape letters: D detections and G objects of one image, K classes with background.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from pycocotools import mask as coco_mask

from mrcnn.base.progress import Show, tracked
from mrcnn.evaluation.lvis import Coverage
from mrcnn.evaluation.per_image import NO_MATCH, match_by_overlaps
from mrcnn.evaluation.results import Row


@dataclass
class ImageMistakes:
    """The detections in an image, matched with its ground-truth objects.

    Attributes:
        image_id: as in the rows.
        correct: (truth row, detection row) of each object detected as its own class.
        confused: (truth row, detection row) of each object detected as another class.
        missed: truth rows without a matching detection.
        false: detection rows without a matching object, including duplicate detections.
    """

    image_id: int
    correct: list[tuple[Row, Row]] = field(default_factory=list)
    confused: list[tuple[Row, Row]] = field(default_factory=list)
    missed: list[Row] = field(default_factory=list)
    false: list[Row] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of mistakes: missed objects, false detections, and objects detected as another class."""
        return len(self.confused) + len(self.missed) + len(self.false)


def find_mistakes(
    truth: Sequence[Row],
    rows: Sequence[Row],
    *,
    min_score: float | int = 0.0,
    iou_threshold: float = 0.5,
    coverage: Callable[[int], Coverage] | None = None,
    progress: Show | None = None,
) -> list[ImageMistakes]:
    """Match detections with ground-truth objects by the IoU of their masks.

    In descending order of score, each detection is matched with the unmatched object of its class that it overlaps most, as
    in COCO's evaluation; the remaining detections and objects are then matched in the same way regardless of class. An
    unmatched detection inside a crowd of its class is ignored.

    Args:
        truth: COCO annotations with RLE masks, such as `CocoResult.truth`.
        rows: COCO results with RLE masks, such as `CocoResult.rows`.
        min_score: detections with a lower score are ignored.
        iou_threshold: minimum IoU of a match; also the minimum fraction of a detection that must lie inside a crowd for the
            detection to belong to it.
        coverage: `Dataset.coverage` of a federated data set. Ignored are detections of classes that are not annotated in an
            image, and unmatched detections of classes whose annotation is not exhaustive.
        progress: counts images.

    Returns:
        The images with an object or a detection, in the order of their ids.

    Raises:
        ValueError: a detection has no mask.
    """
    images: dict[int, tuple[list[Row], list[Row]]] = {}
    for row in truth:
        images.setdefault(row["image_id"], ([], []))[0].append(row)
    for row in rows:
        if "segmentation" not in row:
            raise ValueError(f"image {row['image_id']}: a detection has no segmentation, which is needed to match it")
        if row["score"] >= min_score:
            images.setdefault(row["image_id"], ([], []))[1].append(row)
    mistakes = []
    for image_id in tracked(sorted(images), progress):
        known = coverage(image_id) if coverage else None
        mistakes.append(_image_mistakes(image_id, *images[image_id], iou_threshold, known))
    return mistakes


def worst_images(mistakes: Sequence[ImageMistakes], count: int = 20) -> list[ImageMistakes]:
    """Return up to `count` images with the most mistakes, worst first; ties are broken by fewer correct detections."""
    wrong = [image for image in mistakes if image.count]
    return sorted(wrong, key=lambda image: (-image.count, len(image.correct), image.image_id))[:count]


def _image_mistakes(
    image_id: int, truth: list[Row], rows: list[Row], iou_threshold: float, known: Coverage
) -> ImageMistakes:
    objects = [row for row in truth if not row["iscrowd"]]
    crowds = [row for row in truth if row["iscrowd"]]
    annotated = {row["category_id"] for row in truth}
    if known is not None:
        rows = [row for row in rows if row["category_id"] in annotated or row["category_id"] in known[0]]
    rows = sorted(rows, key=lambda row: -row["score"])
    overlaps = _overlaps(rows, objects)
    gt_ids = np.array([row["category_id"] for row in objects], int)
    ids = np.array([row["category_id"] for row in rows], int)
    _, match = match_by_overlaps(overlaps, ids, gt_ids, iou_threshold)
    result = ImageMistakes(image_id)
    result.correct = [(objects[match[ix]], rows[ix]) for ix in np.flatnonzero(match != NO_MATCH)]
    # the remaining detections and objects, regardless of class
    free = np.setdiff1d(np.arange(len(objects)), match)
    left = np.flatnonzero(match == NO_MATCH)
    other_gt, other = match_by_overlaps(
        overlaps[np.ix_(left, free)], np.zeros(len(left), int), np.zeros(len(free), int), iou_threshold
    )
    result.confused = [(objects[free[other[ix]]], rows[left[ix]]) for ix in np.flatnonzero(other != NO_MATCH)]
    result.missed = [objects[ix] for ix in free[other_gt == NO_MATCH]]
    partial = known[1] if known is not None else ()
    result.false = [row for row in (rows[ix] for ix in left[other == NO_MATCH])
                    if row["category_id"] not in partial and not _in_crowd(row, crowds, iou_threshold)]  # fmt: skip
    return result


def _overlaps(rows: list[Row], objects: list[Row]) -> Float[np.ndarray, "D G"]:
    """Compute the mask IoU of each detection with each object."""
    if not rows or not objects:
        return np.zeros((len(rows), len(objects)))
    masks = [row["segmentation"] for row in rows], [row["segmentation"] for row in objects]
    return np.asarray(coco_mask.iou(*masks, [0] * len(objects)))


def _in_crowd(row: Row, crowds: list[Row], min_overlap: float) -> bool:
    """Return whether at min_overlap the fraction `min_overlap` of a detection lies inside a crowd of its class."""
    same = [crowd["segmentation"] for crowd in crowds if crowd["category_id"] == row["category_id"]]
    return bool(same) and bool(np.max(coco_mask.iou([row["segmentation"]], same, [1] * len(same))) >= min_overlap)


@dataclass
class Confusion:
    """A confusion matrix.

    Attributes:
        counts: int [K, K]. [t, p] counts objects of class t detected as class p; [t, 0] missed objects; [0, p] detections of
            class p without a matching object, including duplicates. [0, 0] is 0.
        names: K class names, the background first.
    """

    counts: Int[np.ndarray, "K K"]
    names: list[str]

    @property
    def between_classes(self) -> int:
        """Number of objects detected as another class."""
        classes = self.counts[1:, 1:]
        return int(classes.sum() - np.trace(classes))


def confusion_matrix(mistakes: Sequence[ImageMistakes], class_names: Sequence[str]) -> Confusion:
    """Count how often each class was detected as each class, ignoring crowds.

    Args:
        mistakes: see `find_mistakes`.
        class_names: by class id, the background first.
    """
    counts = np.zeros((len(class_names),) * 2, np.int64)
    for image in mistakes:
        for row, detection in (*image.correct, *image.confused):
            counts[row["category_id"], detection["category_id"]] += 1
        for row in image.missed:
            counts[row["category_id"], 0] += 1
        for detection in image.false:
            counts[0, detection["category_id"]] += 1
    return Confusion(counts, list(class_names))


def most_confused(confusion: Confusion, limit: int = 20) -> Confusion:
    """Reduce a large matrix to the most often confused classes, so that it stays readable.

    Args:
        limit: maximum number of classes, without the background.

    Returns:
        The matrix of the classes most often confused with another class, in either direction; ties are broken by the number
        of objects and detections. Classes keep their order, and those without an object or a detection are dropped. A matrix
        that is small enough is returned unchanged.
    """
    if len(confusion.names) <= limit + 1:
        return confusion
    classes = confusion.counts[1:, 1:]
    wrong = classes.sum(axis=0) + classes.sum(axis=1) - 2 * np.diag(classes)
    seen = confusion.counts[1:].sum(axis=1) + confusion.counts[:, 1:].sum(axis=0)
    chosen = sorted(np.lexsort((-seen, -wrong))[:limit] + 1)
    keep = [0, *(int(ix) for ix in chosen if seen[ix - 1])]
    return Confusion(confusion.counts[np.ix_(keep, keep)], [confusion.names[ix] for ix in keep])
