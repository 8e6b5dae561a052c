"""Figures of the losses of a training run.

Legend: E epochs.
"""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from mrcnn.viz.colors import GROUND_TRUTH, PREDICTION

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
