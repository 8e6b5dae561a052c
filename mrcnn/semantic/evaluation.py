"""Mean intersection over union (IoU) of class maps.

Shape letters: K classes with background. In a confusion matrix, rows are ground truth and columns are predictions.
"""

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64


def confusion_matrix(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, num_classes: int, ignore: int | None = None
) -> Int64[np.ndarray, "K K"]:
    """Count the pixels of each pair of true and predicted class.

    Matrices of several images can be summed.

    Args:
        truth, predicted: integers from 0 to num_classes - 1, of the same shape.
        ignore: pixels with this value in `truth` are not counted.

    Raises:
        ValueError: the shapes differ, or a value is not a class.
    """
    if np.shape(truth) != np.shape(predicted):
        raise ValueError(f"the truth has shape {np.shape(truth)}, the prediction {np.shape(predicted)}: expected equal shapes")
    rows, columns = np.asarray(truth).ravel(), np.asarray(predicted).ravel()
    if ignore is not None:
        rows, columns = rows[rows != ignore], columns[rows != ignore]
    for name, values in (("truth", rows), ("prediction", columns)):
        if values.size and (values.dtype.kind not in "bui" or values.min() < 0 or values.max() >= num_classes):
            raise ValueError(f"the {name} has {values.dtype} values from {values.min()} to {values.max()}, "
                             f"expected integers from 0 to {num_classes - 1}")  # fmt: skip
    pairs = rows.astype(np.int64) * num_classes + columns.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_ious(confusion: npt.ArrayLike) -> Float64[np.ndarray, " K"]:
    """Compute the IoU of each class from a confusion matrix [K, K].

    Returns:
        nan for a class that occurs in neither the ground truth nor the predictions.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV 2015, section 3.3.
    """
    confusion = np.asarray(confusion, np.int64)
    intersection = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_iou(confusion: npt.ArrayLike) -> float:
    """Average the IoU over the classes that occur in the ground truth or the predictions; nan if no pixel was counted."""
    ious = class_ious(confusion)
    present = ious[~np.isnan(ious)]
    return float(present.mean()) if len(present) else float("nan")
