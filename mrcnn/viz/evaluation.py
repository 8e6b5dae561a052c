"""Figures of evaluation results: precision-recall curves, the confusion matrix, and the IoUs of one image.

Shape letters: T IoU thresholds, R recall points, K classes, N predictions, G ground-truth objects.
"""

from collections.abc import Sequence
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Num
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn.evaluation.coco import CocoResult
from mrcnn.evaluation.mistakes import Confusion, most_confused
from mrcnn.evaluation.table import format_metric
from mrcnn.viz.colors import PALETTE
from mrcnn.viz.fonts import figure_text
from mrcnn.viz.labels import instance_text

# number of cells above which a matrix of IoUs shows no zeros, and size in inches of a row or column
_MAX_CELLS, _CELL = 400, 0.35
# indices of IoU 0.50 and 0.75 among COCO's thresholds
_IOU_50, _IOU_75 = 0, 5
# the palette's yellow is too light for a line on white, and its blue and sky blue are too similar for crossing lines
_LINES = [PALETTE[ix] for ix in (5, 0, 3, 4, 6, 1)] + [(0.2, 0.2, 0.2)]
_STYLES = ("-", "--", "-.", ":")
_MAX_NAME = 24


def precision_recall_figure(result: CocoResult, kind: str = "mask", limit: int = 7) -> tuple[Figure, np.ndarray]:
    """Plot precision-recall curves: the mean over classes at IoU 0.50, 0.75 and 0.50 to 0.95, and each class at IoU 0.50.

    Args:
        kind: "mask" or "box".
        limit: maximum number of classes; those with the most objects are drawn.

    Returns:
        The figure, and an array of its two axes.

    Raises:
        ValueError: the result has no curves of this kind. Results loaded from a file have none.
    """
    if kind not in result.curves:
        raise ValueError(f"the result has no curves of kind={kind!r}; it has {', '.join(result.curves) or 'none'}")
    precision = result.curves[kind]  # [T, R, K]
    recall = np.linspace(0, 1, precision.shape[1])
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.9), layout="constrained")
    present = [ix for ix, figures in enumerate(result.per_class.values()) if figures["instances"]]
    names = list(result.per_class)
    for ax, title in zip(axes, ("mean over the classes", "classes at IoU 0.50")):
        ax.set(title=f"{kind}: {title}", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
        ax.grid(alpha=0.3)
        if not present:
            ax.text(0.5, 0.5, "no objects in these images", ha="center", va="center")
    if not present:
        return figure, axes
    mean = precision[:, :, present].mean(axis=2)  # [T, R]
    figures = result.metrics
    for ix, (label, line, name) in enumerate((("IoU 0.50", mean[_IOU_50], "AP50"), ("IoU 0.75", mean[_IOU_75], "AP75"),
                                              ("IoU 0.50 to 0.95", mean.mean(axis=0), "AP"))):  # fmt: skip
        _plot_curve(axes[0], recall, line, f"{label}: {name} {format_metric(figures[f'{kind}_{name}'])}", ix)
    chosen = sorted(present, key=lambda ix: -result.per_class[names[ix]]["instances"])[:limit]
    for rank, ix in enumerate(chosen):
        ap = format_metric(result.per_class[names[ix]][f"{kind}_AP50"])
        _plot_curve(axes[1], recall, precision[_IOU_50, :, ix], f"{_short(names[ix])}: {ap}", rank)
    if len(chosen) < len(present):
        axes[1].set_title(f"{kind}: the {len(chosen)} most frequent of {len(present)} classes, IoU 0.50")
    for ax in axes:  # below the axes, because a curve may pass anywhere inside
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return figure, axes


def _plot_curve(
    ax: Axes, recall: Float[np.ndarray, " R"], precision: Float[np.ndarray, " R"], label: str, rank: int
) -> None:
    color, style = _LINES[rank % len(_LINES)], _STYLES[rank % len(_STYLES)]
    ax.plot(recall, precision, style, color=color, label=label, linewidth=1.6, clip_on=False)


def confusion_figure(confusion: Confusion, limit: int = 20) -> tuple[Figure, Axes]:
    """Draw a confusion matrix: true classes in rows, predicted classes in columns, the background last.

    A cell shows the number of objects; its shade is their fraction of the row.

    Args:
        limit: maximum number of classes, see `evaluation.mistakes.most_confused`.
    """
    shown = most_confused(confusion, limit)
    order = [*range(1, len(shown.names)), 0]
    counts = shown.counts[np.ix_(order, order)]
    names = [*(_short(name) for name in shown.names[1:]), "background"]
    side = 0.36 * len(names)
    figure, ax = plt.subplots(figsize=(side + 2.4, side + 1.9), layout="constrained")
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            ax.text(column, row, str(count), ha="center", va="center", fontsize=8,
                    color="white" if fractions[row, column] > 0.5 else "black")  # fmt: skip
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    for line in (ax.axhline, ax.axvline):  # separates the background from the classes
        line(len(names) - 1.5, color="0.4", linewidth=1)
    ax.set(xlabel="predicted", ylabel="true")
    return figure, ax


def _short(name: str) -> str:
    """Truncate a long name, and prepare it for matplotlib."""
    return figure_text(name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…")


def plot_precision_recall(
    AP: SupportsFloat | None,
    precisions: Sequence[float] | Num[np.ndarray, " N"],
    recalls: Sequence[float] | Num[np.ndarray, " N"],
) -> tuple[Figure, Axes]:
    """Plot a precision-recall curve in a new figure.

    Args:
        AP: average precision at IoU 0.50, for the title; nan or None for undefined.
        precisions, recalls: from `compute_ap`. nan leaves a gap in the curve.
    """
    figure, ax = plt.subplots(1)
    text = "none" if AP is None or np.isnan(float(AP)) else f"{float(AP):.3f}"
    ax.set_title(f"Precision-Recall Curve. AP@50 = {text}")
    ax.set_ylim(0, 1.1)
    ax.set_xlim(0, 1.1)
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    ax.plot(recalls, precisions, clip_on=False)  # a curve at 0 runs along the edge
    return figure, ax


def plot_overlaps(
    gt_class_ids: npt.ArrayLike,
    pred_class_ids: npt.ArrayLike,
    pred_scores: Sequence[float] | Num[np.ndarray, "..."] | None,
    overlaps: npt.ArrayLike,
    class_names: Sequence[str] | None,
    threshold: float = 0.5,
) -> tuple[Figure, Axes]:
    """Draw the matrix of IoUs between the predictions and the ground truth of an image.

    A large matrix shows numbers only where boxes or masks overlap.

    Args:
        gt_class_ids: [G]; 0 is padding.
        pred_class_ids: [N]; 0 is padding.
        pred_scores: [N].
        overlaps: IoU [N, G], without padding.
        class_names: by class id.
        threshold: a prediction with a larger IoU is marked as a match, or as wrong if the classes differ.
    """
    gt_ids, pred_ids = (ids[ids != 0] for ids in (np.asarray(gt_class_ids), np.asarray(pred_class_ids)))
    rows, columns = len(pred_ids), len(gt_ids)
    overlaps = np.asarray(overlaps, np.float64).reshape(rows, columns)
    figure, ax = plt.subplots(figsize=(max(12, _CELL * columns), max(10, _CELL * rows)))
    names = [figure_text(instance_text(c, class_names)) for c in pred_ids]
    if pred_scores is not None:
        names = [f"{name} ({score:.2f})" for name, score in zip(names, pred_scores)]
    ax.set_yticks(np.arange(rows), names)
    ax.set_xticks(np.arange(columns), [figure_text(instance_text(c, class_names)) for c in gt_ids], rotation=90)
    ax.set_xlabel("Ground Truth")
    ax.set_ylabel("Predictions")
    if overlaps.size:
        ax.imshow(overlaps, interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
    crowded = overlaps.size > _MAX_CELLS
    for (row, column), iou in np.ndenumerate(overlaps):
        if crowded and iou < 0.005:
            continue
        text = f"{iou:.2f}"
        if iou > threshold:
            text += "\nmatch" if gt_ids[column] == pred_ids[row] else "\nwrong"
        color = "white" if iou > 0.5 else "black"  # white on the dark half of the colour map
        ax.text(column, row, text, ha="center", va="center", fontsize=6 if crowded else 9, color=color)
    figure.tight_layout()
    return figure, ax
