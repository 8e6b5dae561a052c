"""Which class is taken for which: the confusion matrix, with the background.

Legend: K classes, the background first.
"""

from dataclasses import dataclass

import numpy as np


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
