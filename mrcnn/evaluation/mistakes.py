"""A detector's mistakes: objects found, confused with another class, missed, and false detections; the confusion matrix.

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
    """The detections of an image compared with its objects.

    Attributes:
        image_id: as in the rows.
        found: (truth row, detection row) of each object detected with its class.
        confused: (truth row, detection row) of each object detected with another class.
        missed: truth rows that no detection covers.
        false: detection rows that cover no object, or one that another detection has found.
    """

    image_id: int
    found: list[tuple[Row, Row]] = field(default_factory=list)
    confused: list[tuple[Row, Row]] = field(default_factory=list)
    missed: list[Row] = field(default_factory=list)
    false: list[Row] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of mistakes: objects missed, false detections, and objects detected with another class."""
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
    """Compare detections with objects by the IoU of their masks.

    Each detection, highest score first, is matched with the free object of its class that it overlaps most, as in COCO's
    evaluation; the detections and objects that remain are then matched in the same way whatever their classes. An unmatched
    detection inside a crowd of its class is ignored.

    Args:
        truth: COCO annotations with RLE masks, such as `CocoResult.truth`.
        rows: COCO results with RLE masks, such as `CocoResult.rows`.
        min_score: detections of a lower score are ignored.
        iou_threshold: least IoU of a match; also the least fraction of a detection inside a crowd for it to belong to the
            crowd.
        coverage: `Dataset.coverage` of a federated data set. Detections of classes that were not searched for in an image
            are ignored, and so are unmatched detections of a class annotated in part.
        progress: counts images.

    Returns:
        The images that have an object or a detection, in the order of their ids.

    Raises:
        ValueError: a detection has no mask.
    """
    images: dict[int, tuple[list[Row], list[Row]]] = {}
    for row in truth:
        images.setdefault(row["image_id"], ([], []))[0].append(row)
    for row in rows:
        if "segmentation" not in row:
            raise ValueError(f"image {row['image_id']}: a detection has no segmentation, which the comparison needs")
        if row["score"] >= min_score:
            images.setdefault(row["image_id"], ([], []))[1].append(row)
    mistakes = []
    for image_id in tracked(sorted(images), progress):
        known = coverage(image_id) if coverage else None
        mistakes.append(_image_mistakes(image_id, *images[image_id], iou_threshold, known))
    return mistakes


def worst_images(mistakes: Sequence[ImageMistakes], count: int = 20) -> list[ImageMistakes]:
    """Choose up to `count` images with the most mistakes, most first; of equal ones, those with fewer objects found first."""
    wrong = [image for image in mistakes if image.count]
    return sorted(wrong, key=lambda image: (-image.count, len(image.found), image.image_id))[:count]


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
    result.found = [(objects[match[ix]], rows[ix]) for ix in np.flatnonzero(match != NO_MATCH)]
    # what remains, whatever its class
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
    """Compute the IoU of the masks of detections and objects."""
    if not rows or not objects:
        return np.zeros((len(rows), len(objects)))
    masks = [row["segmentation"] for row in rows], [row["segmentation"] for row in objects]
    return np.asarray(coco_mask.iou(*masks, [0] * len(objects)))


def _in_crowd(row: Row, crowds: list[Row], least: float) -> bool:
    """Tell whether at least this fraction of a detection lies inside a crowd of its class."""
    same = [crowd["segmentation"] for crowd in crowds if crowd["category_id"] == row["category_id"]]
    return bool(same) and bool(np.max(coco_mask.iou([row["segmentation"]], same, [1] * len(same))) >= least)


@dataclass
class Confusion:
    """A confusion matrix.

    Attributes:
        counts: int [K, K]. [t, p] counts objects of class t detected as class p; [t, 0] those missed; [0, p] detections of
            class p without an object, or of one that another detection has found. [0, 0] is 0.
        names: K names of classes, the background first.
    """

    counts: Int[np.ndarray, "K K"]
    names: list[str]

    @property
    def between_classes(self) -> int:
        """Number of objects detected as another class."""
        classes = self.counts[1:, 1:]
        return int(classes.sum() - np.trace(classes))


def confusion_matrix(mistakes: Sequence[ImageMistakes], class_names: Sequence[str]) -> Confusion:
    """Count which class was detected as which; crowds do not count.

    Args:
        mistakes: see `find_mistakes`.
        class_names: by class id, the background first.
    """
    counts = np.zeros((len(class_names),) * 2, np.int64)
    for image in mistakes:
        for row, detection in (*image.found, *image.confused):
            counts[row["category_id"], detection["category_id"]] += 1
        for row in image.missed:
            counts[row["category_id"], 0] += 1
        for detection in image.false:
            counts[0, detection["category_id"]] += 1
    return Confusion(counts, list(class_names))


def most_confused(confusion: Confusion, most: int = 20) -> Confusion:
    """Reduce a large matrix to the classes that are confused most often, as many as can be read.

    Args:
        most: number of classes to keep beside the background.

    Returns:
        A matrix of the classes that are most often detected as others, or others as them; of equal ones those with more
        objects and detections. They keep their order. Classes without an object or a detection are dropped. A matrix that
        is small enough is returned as it is.
    """
    if len(confusion.names) <= most + 1:
        return confusion
    classes = confusion.counts[1:, 1:]
    wrong = classes.sum(axis=0) + classes.sum(axis=1) - 2 * np.diag(classes)
    seen = confusion.counts[1:].sum(axis=1) + confusion.counts[:, 1:].sum(axis=0)
    chosen = sorted(np.lexsort((-seen, -wrong))[:most] + 1)
    keep = [0, *(int(ix) for ix in chosen if seen[ix - 1])]
    return Confusion(confusion.counts[np.ix_(keep, keep)], [confusion.names[ix] for ix in keep])
