"""Figures of an evaluation: precision over recall, and which class was taken for which.

Legend: T IoU thresholds, R recall points, K classes.
"""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.evaluation.mistakes import most_confused
from mrcnn.evaluation.table import format_figure
from mrcnn.viz.colors import PALETTE
from mrcnn.viz.labels import instance_text

# a matrix of more cells than this shows no figure where nothing overlaps; inches of a row or column
_MOST_CELLS, _CELL = 400, 0.35
# Positions of IoU 0.50 and 0.75 among COCO's thresholds.
_IOU_50, _IOU_75 = 0, 5
# The palette's yellow is too light for a line on white, its blue and sky blue too alike for lines that cross.
_LINES = [PALETTE[ix] for ix in (5, 0, 3, 4, 6, 1)] + [(0.2, 0.2, 0.2)]
_STYLES = ("-", "--", "-.", ":")
_LONGEST_NAME = 24


def precision_recall_figure(result, kind="mask", most=7):
    """Draw precision over recall: the mean of the classes at three IoUs, and the classes at IoU 0.50.

    Args:
        result: CocoResult with curves.
        kind: "mask" or "box".
        most: int. Of more classes only so many are drawn, those with the most objects.

    Returns:
        figure: matplotlib Figure.
        axes: array of two Axes.

    Raises:
        ValueError: the result has no curves of this kind: it was read from a file, which does not keep them.
    """
    if kind not in result.curves:
        raise ValueError(f"the result has no curves of kind={kind!r}; it has {', '.join(result.curves) or 'none'}")
    precision = result.curves[kind]  # [T, R, K]
    recall = np.linspace(0, 1, precision.shape[1])
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.9), layout="constrained")
    known = [ix for ix, figures in enumerate(result.per_class.values()) if figures["instances"]]
    names = list(result.per_class)
    for ax, title in zip(axes, ("mean over the classes", "classes at IoU 0.50")):
        ax.set(title=f"{kind}: {title}", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
        ax.grid(alpha=0.3)
        if not known:
            ax.text(0.5, 0.5, "no object in these images", ha="center", va="center")
    if not known:
        return figure, axes
    mean = precision[:, :, known].mean(axis=2)  # [T, R]
    figures = result.metrics
    for ix, (label, line, name) in enumerate((("IoU 0.50", mean[_IOU_50], "AP50"), ("IoU 0.75", mean[_IOU_75], "AP75"),
                                              ("IoU 0.50 to 0.95", mean.mean(axis=0), "AP"))):  # fmt: skip
        _line(axes[0], recall, line, f"{label}: {name} {format_figure(figures[f'{kind}_{name}'])}", ix)
    chosen = sorted(known, key=lambda ix: -result.per_class[names[ix]]["instances"])[:most]
    for place, ix in enumerate(chosen):
        ap = format_figure(result.per_class[names[ix]][f"{kind}_AP50"])
        _line(axes[1], recall, precision[_IOU_50, :, ix], f"{_short(names[ix])}: {ap}", place)
    if len(chosen) < len(known):
        axes[1].set_title(f"{kind}: the {len(chosen)} most frequent of {len(known)} classes, IoU 0.50")
    for ax in axes:  # below the axes: curves may go anywhere inside
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return figure, axes


def _line(ax, recall, precision, label, place):
    color, style = _LINES[place % len(_LINES)], _STYLES[place % len(_STYLES)]
    ax.plot(recall, precision, style, color=color, label=label, linewidth=1.6, clip_on=False)


def confusion_figure(confusion, most=20):
    """Draw a confusion matrix: a row for what is there, a column for what was found, the background last.

    A field is as dark as its share of the row, and holds the number of objects.

    Args:
        confusion: Confusion.
        most: int. Of more classes only so many are drawn, see `confusion.most_confused`.

    Returns:
        figure: matplotlib Figure.
        ax: matplotlib Axes.
    """
    shown = most_confused(confusion, most)
    order = [*range(1, len(shown.names)), 0]
    counts = shown.counts[np.ix_(order, order)]
    names = [*(_short(name) for name in shown.names[1:]), "background"]
    side = 0.36 * len(names)
    figure, ax = plt.subplots(figsize=(side + 2.4, side + 1.9), layout="constrained")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            ax.text(column, row, str(count), ha="center", va="center", fontsize=8,
                    color="white" if shares[row, column] > 0.5 else "black")  # fmt: skip
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    for line in (ax.axhline, ax.axvline):  # apart from the classes
        line(len(names) - 1.5, color="0.4", linewidth=1)
    ax.set(xlabel="found", ylabel="is there")
    return figure, ax


def _short(name):
    """Cut a long name, and keep matplotlib from reading its dollar signs as mathematics: str."""
    name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")


def plot_precision_recall(AP, precisions, recalls):
    """Plot a precision-recall curve in a new figure.

    Args:
        AP: float. Average precision at IoU 0.50, for the title; nan or None where there is none.
        precisions: float [N]. From `compute_ap`. Where it is nan the curve has a gap.
        recalls: float [N].

    Returns:
        (figure, ax): matplotlib Figure and Axes.
    """
    figure, ax = plt.subplots(1)
    told = "none" if AP is None or np.isnan(AP) else f"{AP:.3f}"
    ax.set_title(f"Precision-Recall Curve. AP@50 = {told}")
    ax.set_ylim(0, 1.1)
    ax.set_xlim(0, 1.1)
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    ax.plot(recalls, precisions, clip_on=False)  # a curve at 0 lies on the edge
    return figure, ax


def plot_overlaps(gt_class_ids, pred_class_ids, pred_scores, overlaps, class_names, threshold=0.5):
    """Draw the matrix of IoU between predictions and ground truth, with which are right.

    Args:
        gt_class_ids: int [G].
        pred_class_ids: int [N].
        pred_scores: float [N], or None.
        overlaps: float [N, G]. IoU.
        class_names: sequence of names by class id.
        threshold: float. IoU above which a prediction is told to match, or to be of the wrong class.

    Returns:
        (figure, ax): matplotlib Figure and Axes. Of a large matrix only the cells that overlap have their figure.
    """
    gt_class_ids = np.asarray(gt_class_ids)[np.asarray(gt_class_ids) != 0]
    pred_class_ids = np.asarray(pred_class_ids)[np.asarray(pred_class_ids) != 0]
    overlaps = np.asarray(overlaps, np.float64).reshape(len(pred_class_ids), len(gt_class_ids))
    rows, columns = overlaps.shape
    figure, ax = plt.subplots(figsize=(max(12, _CELL * columns), max(10, _CELL * rows)))
    names = [instance_text(c, class_names) for c in pred_class_ids]
    if pred_scores is not None:
        names = [f"{name} ({score:.2f})" for name, score in zip(names, pred_scores)]
    ax.set_yticks(np.arange(len(pred_class_ids)), names)
    ax.set_xticks(np.arange(len(gt_class_ids)), [instance_text(c, class_names) for c in gt_class_ids], rotation=90)
    ax.set_xlabel("Ground Truth")
    ax.set_ylabel("Predictions")
    if overlaps.size:
        ax.imshow(overlaps, interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
    crowded = overlaps.size > _MOST_CELLS
    for (row, column), iou in np.ndenumerate(overlaps):
        if crowded and iou < 0.005:
            continue
        text = f"{iou:.2f}"
        if iou > threshold:
            text += "\nmatch" if gt_class_ids[column] == pred_class_ids[row] else "\nwrong"
        # white on the dark half of the colour map
        color = "white" if iou > 0.5 else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=6 if crowded else 9, color=color)
    figure.tight_layout()
    return figure, ax
