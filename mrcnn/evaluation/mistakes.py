"""What a detector found, took for something else, missed and made up, image by image.

Legend: D detections and G objects of one image.
"""

from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.base.progress import tracked
from mrcnn.evaluation.per_image import NO_MATCH, match_by_overlaps


@dataclass
class ImageMistakes:
    """The detections of an image held against its objects.

    Attributes:
        image_id: int.
        found: list of (truth row, detection row): objects found under their class.
        confused: list of (truth row, detection row): objects found under another class.
        missed: list of truth rows that no detection covers.
        false: list of detection rows that cover no object, or one that another detection has found.
    """

    image_id: int
    found: list = field(default_factory=list)
    confused: list = field(default_factory=list)
    missed: list = field(default_factory=list)
    false: list = field(default_factory=list)

    @property
    def count(self):
        """Mistakes of the image: objects missed, detections that are false, and objects under another class, each one."""
        return len(self.confused) + len(self.missed) + len(self.false)


def find_mistakes(truth, rows, *, min_score=0.0, iou_threshold=0.5, coverage=None, progress=None):
    """Hold detections against objects by the IoU of their masks.

    Each detection, best score first, takes the object of its own class that it covers best of those that are free, as in
    COCO's evaluation; what is left over is then matched in the same way whatever the classes. A detection that is left
    over and lies in a crowd of its class is passed over.

    Args:
        truth: list of COCO annotations with RLE masks, as of `CocoResult.truth`.
        rows: list of COCO results with RLE masks, as of `CocoResult.rows`.
        min_score: float in 0..1. Detections of a lower score are passed over.
        iou_threshold: float. IoU of two masks from which on they are of the same thing; share of a detection inside a
            crowd from which on it belongs to the crowd.
        coverage: function of an image id, such as `dataset.coverage`; None where every class is annotated in every
            image. Detections of classes that an image was not searched for are passed over, and those that meet no
            object of a class annotated in part.
        progress: function (done, total), called after each image, or None.

    Returns:
        list of ImageMistakes, of the images that have an object or a detection, in the order of their ids.

    Raises:
        ValueError: a detection without a mask.
    """
    images = {}
    for row in truth:
        images.setdefault(row["image_id"], ([], []))[0].append(row)
    for row in rows:
        if "segmentation" not in row:
            raise ValueError(f"image {row['image_id']}: a detection has no segmentation, by which it is compared")
        if row["score"] >= min_score:
            images.setdefault(row["image_id"], ([], []))[1].append(row)
    return [_compare(image_id, *images[image_id], iou_threshold, coverage(image_id) if coverage else None)
            for image_id in tracked(sorted(images), progress)]  # fmt: skip


def worst_images(mistakes, count=20):
    """Choose the images with the most mistakes.

    Args:
        mistakes: list of ImageMistakes.
        count: int. So many at most; images without a mistake are never among them.

    Returns:
        list of ImageMistakes, most mistakes first; of equal ones the image with fewer objects found comes first.
    """
    wrong = [image for image in mistakes if image.count]
    return sorted(wrong, key=lambda image: (-image.count, len(image.found), image.image_id))[:count]


def _compare(image_id, truth, rows, iou_threshold, known):
    """Match the rows of one image: ImageMistakes."""
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
    # what is left over, whatever its class
    free = np.setdiff1d(np.arange(len(objects)), match)
    left = np.flatnonzero(match == NO_MATCH)
    other_gt, other = match_by_overlaps(overlaps[np.ix_(left, free)], np.zeros(len(left)), np.zeros(len(free)), iou_threshold)
    result.confused = [(objects[free[other[ix]]], rows[left[ix]]) for ix in np.flatnonzero(other != NO_MATCH)]
    result.missed = [objects[ix] for ix in free[other_gt == NO_MATCH]]
    partial = known[1] if known is not None else ()
    result.false = [row for row in (rows[ix] for ix in left[other == NO_MATCH])
                    if row["category_id"] not in partial and not _in_crowd(row, crowds, iou_threshold)]  # fmt: skip
    return result


def _overlaps(rows, objects):
    """IoU of masks: float [D, G]."""
    if not rows or not objects:
        return np.zeros((len(rows), len(objects)))
    masks = [row["segmentation"] for row in rows], [row["segmentation"] for row in objects]
    return np.asarray(coco_mask.iou(*masks, [0] * len(objects)))


def _in_crowd(row, crowds, least):
    """Whether a detection lies in a crowd of its class with at least this share of its area."""
    same = [crowd["segmentation"] for crowd in crowds if crowd["category_id"] == row["category_id"]]
    return bool(same) and np.max(coco_mask.iou([row["segmentation"]], same, [1] * len(same))) >= least


@dataclass
class Confusion:
    """A confusion matrix.

    Attributes:
        counts: int [K, K]. [t, p] objects of class t that were found as class p; [t, 0] were missed, [0, p] are
            detections of class p where there is no object (or one that is found already). [0, 0] is 0.
        names: list of K str, the background first.
    """

    counts: np.ndarray
    names: list

    @property
    def between_classes(self):
        """Objects that were found as another class: int."""
        classes = self.counts[1:, 1:]
        return int(classes.sum() - np.trace(classes))


def confusion_matrix(mistakes, class_names):
    """Count which class was taken for which.

    Args:
        mistakes: list of ImageMistakes, see `mistakes.find_mistakes`.
        class_names: sequence of str by class id, the background first.

    Returns:
        Confusion. Crowds are no objects in it.
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


def most_confused(confusion, most=20):
    """Choose what of a large matrix can be read.

    Args:
        confusion: Confusion.
        most: int. Classes to keep beside the background.

    Returns:
        Confusion of the classes that are taken for others, or others for them, most often; of equal ones those that are
        there or found more often. They stay in their order. Classes without an object or a detection go first. The same
        Confusion where it has no more classes than that.
    """
    if len(confusion.names) <= most + 1:
        return confusion
    classes = confusion.counts[1:, 1:]
    wrong = classes.sum(axis=0) + classes.sum(axis=1) - 2 * np.diag(classes)
    seen = confusion.counts[1:].sum(axis=1) + confusion.counts[:, 1:].sum(axis=0)
    chosen = sorted(np.lexsort((-seen, -wrong))[:most] + 1)
    keep = [0, *(int(ix) for ix in chosen if seen[ix - 1])]
    return Confusion(confusion.counts[np.ix_(keep, keep)], [confusion.names[ix] for ix in keep])
