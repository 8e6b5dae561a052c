"""Figures inside the page, and those of a run alone."""

import io

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from mrcnn.viz.colors import PALETTE
from mrcnn.viz.html import Markup, picture

_LINES = tuple(PALETTE[ix] for ix in (5, 0, 3, 4))


def embed(figure, alt):
    """Put a figure into the page, and close it. It scrolls inside its own box where the page is narrow.

    Args:
        figure: matplotlib Figure.
        alt: str. What it shows.

    Returns:
        Markup.
    """
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    plt.close(figure)
    return Markup(f'<div class="scroll chart">{picture(content.getvalue(), "svg+xml", alt)}</div>\n')


def epochs_figure(history, columns, label):
    """Draw columns of a history over the epochs.

    Args:
        history: list of {column: float}, see `engine.history.read_history`.
        columns: {column: name in the legend}.
        label: str. Of the vertical axis.

    Returns:
        matplotlib Figure.
    """
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    for (column, name), color in zip(columns.items(), _LINES):
        ax.plot([row["epoch"] for row in history], [row.get(column, np.nan) for row in history], "o-", markersize=3,
                color=color, label=name)  # fmt: skip
    ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure
