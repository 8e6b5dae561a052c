"""Curves, matrices and tables.

Legend: N predictions, G ground-truth objects.

Curves of training: every loss over the epochs, of training and of validation.

Legend: E epochs.
"""

import html
import sys

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table

from mrcnn.viz.colors import GROUND_TRUTH, PREDICTION
from mrcnn.viz.labels import instance_text
from mrcnn.viz.weights import AS_INITIALISED, weight_statistics

# the sum first, then its parts in the order in which the network comes to them
LOSSES = ("loss", "rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss")
_PICTURE, _COLUMNS = (4.2, 2.9), 3


def loss_figure(history):
    """Draw the losses of a run, each in its own axes: training blue, validation orange and dashed.

    Args:
        history: {str: list of E floats}, as of `keras.callbacks.History.history` or the columns of history.csv; or a list
            of such dicts, stages of one run that follow each other. Validation's names begin with "val_". Values that
            are not finite are gaps.

    Returns:
        figure: matplotlib Figure.
        axes: array of matplotlib Axes, one a loss.

    Raises:
        ValueError: no loss is in it.
    """
    history = _joined([history] if isinstance(history, dict) else list(history))
    names = [name for name in LOSSES if name in history]
    if not names:
        raise ValueError(f"the history has {', '.join(history) or 'nothing'}: expected at least one of {', '.join(LOSSES)}")
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(_PICTURE[0] * columns, _PICTURE[1] * rows), squeeze=False,
                                layout="constrained")  # fmt: skip
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.flat, names):
        lines = (("training", name, GROUND_TRUTH, "-"), ("validation", f"val_{name}", PREDICTION, "--"))
        for label, key, color, style in lines:
            if key in history:
                epochs = np.arange(1, len(history[key]) + 1)
                ax.plot(epochs, history[key], style, color=color, label=label, marker="o", markersize=3)
        ax.set_title("total" if name == "loss" else name.removesuffix("_loss"), fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    for ax in axes.flat[max(0, len(names) - columns) : len(names)]:
        ax.set_xlabel("epoch")
    return figure, axes.ravel()[: len(names)]


def _joined(stages):
    """Put stages one behind the other; where one lacks a name, its epochs are gaps: {str: float [E]}."""
    names = list(dict.fromkeys(name for stage in stages for name in stage))
    joined = {name: [] for name in names}
    for stage in stages:
        epochs = max((len(values) for values in stage.values()), default=0)
        for name in names:
            joined[name] += list(stage.get(name, [np.nan] * epochs))
    return {name: np.asarray(values, float) for name, values in joined.items()}


# a matrix of more cells than this shows no figure where nothing overlaps; inches of a row or column
_MOST_CELLS, _CELL = 400, 0.35


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


def _in_notebook():
    """Whether the program runs inside a notebook's kernel: bool. Having the packages imported is not being in one."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def display_table(table):
    """Show rows of values: as HTML in a notebook, as text elsewhere.

    Args:
        table: list of rows, each a list of values.
    """
    if _in_notebook():
        from IPython.display import HTML, display

        rows = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in table]
        display(HTML("<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"))
        return
    grid = Table.grid(padding=(0, 2))
    for _ in range(max((len(row) for row in table), default=0)):
        grid.add_column(overflow="fold")
    for row in table:
        grid.add_row(*(str(cell) for cell in row))
    Console(markup=False, highlight=False).print(grid)


def display_weight_stats(model):
    """Show least, greatest and spread of each weight of the layers that train, with what looks wrong.

    Args:
        model: as of `weights.weight_statistics`, which says what the words mean.
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for row in weight_statistics(model):
        alert = {"": "", AS_INITIALISED: f" ({AS_INITIALISED})"}.get(row.verdict, f" *** {row.verdict}")
        figures = [f"{v:+9.4f}" if np.prod(row.shape) else "" for v in (row.min, row.max, row.std)]
        table.append([f"{row.layer}/{row.weight}{alert}", str(row.shape), *figures])
    display_table(table)
