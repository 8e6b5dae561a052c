"""Mean intersection over union of class maps.

Shape letters: K classes with background. A confusion matrix counts pixels: rows are the truth, columns the prediction.
"""

import numpy as np


def confusion_matrix(truth, predicted, num_classes, ignore=None):
    """Count the pixels of each pair of true and predicted class.

    Matrices of several images add up to the matrix of all of them.

    Args:
        truth: whole numbers, any shape.
        predicted: whole numbers, the same shape.
        num_classes: int. K; the classes are 0 to K - 1.
        ignore: int. Pixels that are this in the truth are not counted; None counts all.

    Returns:
        int64 [K, K].

    Raises:
        ValueError: the shapes differ, or a value is no class.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"the truth is of shape {truth.shape}, the prediction of shape {predicted.shape}")
    counted = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    truth, predicted = truth[counted], predicted[counted]
    for name, values in (("truth", truth), ("prediction", predicted)):
        if values.size and (values.dtype.kind not in "bui" or values.min() < 0 or values.max() >= num_classes):
            raise ValueError(f"the {name} holds {values.dtype} from {values.min()} to {values.max()}, "
                             f"expected whole numbers from 0 to {num_classes - 1}")  # fmt: skip
    pairs = truth.astype(np.int64) * num_classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_ious(confusion):
    """Compute the intersection over union of each class.

    Args:
        confusion: int [K, K], as of `confusion_matrix`.

    Returns:
        float64 [K]. Pixels that are of the class in both, by pixels that are of it in either. nan for a class that is
        absent from both.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 2015, section 3.3.
    """
    confusion = np.asarray(confusion, np.int64)
    both = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)


def mean_iou(confusion):
    """Average the IoU over the classes that the truth or the prediction holds.

    Args:
        confusion: int [K, K], as of `confusion_matrix`.

    Returns:
        float. In [0, 1]; nan when no pixel was counted.
    """
    ious = class_ious(confusion)
    present = ious[~np.isnan(ious)]
    return float(present.mean()) if len(present) else float("nan")
