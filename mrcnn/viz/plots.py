"""Curves, matrices and tables.

Legend: N predictions, G ground-truth objects.
"""

import html
import sys

import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from mrcnn.viz.labels import instance_text

# Weights larger than this have most likely run away in training.
_OVERFLOW = 1000


def plot_precision_recall(AP, precisions, recalls):
    """Plot a precision-recall curve in a new figure.

    Args:
        AP: float. Average precision at IoU 0.50, for the title.
        precisions: float [N]. From `compute_ap`.
        recalls: float [N].
    """
    _, ax = plt.subplots(1)
    ax.set_title(f"Precision-Recall Curve. AP@50 = {AP:.3f}")
    ax.set_ylim(0, 1.1)
    ax.set_xlim(0, 1.1)
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    ax.plot(recalls, precisions)


def plot_overlaps(gt_class_ids, pred_class_ids, pred_scores, overlaps, class_names, threshold=0.5):
    """Draw the matrix of IoU between predictions and ground truth, with which are right.

    Args:
        gt_class_ids: int [G].
        pred_class_ids: int [N].
        pred_scores: float [N].
        overlaps: float [N, G]. IoU.
        class_names: sequence of names by class id.
        threshold: float. IoU above which a prediction is told to match, or to be of the wrong class.
    """
    gt_class_ids = np.asarray(gt_class_ids)[np.asarray(gt_class_ids) != 0]
    pred_class_ids = np.asarray(pred_class_ids)[np.asarray(pred_class_ids) != 0]
    overlaps = np.asarray(overlaps, np.float64).reshape(len(pred_class_ids), len(gt_class_ids))
    _, ax = plt.subplots(figsize=(12, 10))
    names = [f"{instance_text(c, class_names)} ({s:.2f})" for c, s in zip(pred_class_ids, pred_scores)]
    ax.set_yticks(np.arange(len(pred_class_ids)), names)
    ax.set_xticks(np.arange(len(gt_class_ids)), [instance_text(c, class_names) for c in gt_class_ids], rotation=90)
    ax.set_xlabel("Ground Truth")
    ax.set_ylabel("Predictions")
    if overlaps.size:
        ax.imshow(overlaps, interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
    for (row, column), iou in np.ndenumerate(overlaps):
        text = f"{iou:.2f}"
        if iou > threshold:
            text += "\nmatch" if gt_class_ids[column] == pred_class_ids[row] else "\nwrong"
        # white on the dark half of the colour map
        color = "white" if iou > 0.5 else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    plt.tight_layout()


def _in_notebook():
    """Whether the program runs inside a notebook's kernel."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules


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


def _alert(values, name):
    """What is suspicious about a weight: all its values equal, or some too large; None if nothing is."""
    if not np.isfinite(values).all():
        return "*** not finite"
    if values.min() == values.max() and "bias" not in name and "beta" not in name:
        return "*** dead?"
    return "*** Overflow?" if np.abs(values).max() > _OVERFLOW else None


def display_weight_stats(model):
    """Show least, greatest and spread of each weight of the layers that train, with what looks wrong.

    Args:
        model: object with `get_trainable_layers()`, such as `MaskRCNN`: layers with name, weights and get_weights().
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for layer in model.get_trainable_layers():
        for variable, values in zip(layer.weights, layer.get_weights()):
            name = f"{layer.name}/{variable.name}"
            alert = _alert(values, name) if values.size > 1 else None
            figures = [f"{v:+9.4f}" for v in (values.min(), values.max(), values.std())] if values.size else [""] * 3
            table.append([name + (f" {alert}" if alert else ""), str(values.shape), *figures])
    display_table(table)
