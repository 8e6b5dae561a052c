"""Captions in a figure: placed as those of `viz.labels` are, so that they do not cover one another."""

import numpy as np
from matplotlib.figure import Figure

from mrcnn.viz.colors import text_color
from mrcnn.viz.labels import place, text_size

# points: the height of the letters, and the ground around them
_SIZE, _PAD = 11, 1.5
_POINTS_AN_INCH = 72


def add_captions(ax, labels, shape, size=_SIZE):
    """Write captions on the picture of an axis; the first ones have the choice of place, and lie on top.

    Args:
        ax: matplotlib Axes with the picture in it: where there is room depends on the scale at which it is shown.
        labels: list of `labels.Label`, boxes in pixels of the picture. Those without text are left out.
        shape: (height, width) of the picture.
        size: float, points. Height of the letters.
    """
    layout = ax.figure.get_layout_engine()
    if layout is not None and isinstance(ax.figure, Figure):
        layout.execute(ax.figure)
    ax.apply_aspect()  # with that, the axis has the place that its picture will have
    scale = _dots_a_pixel(ax)
    dots = ax.get_figure().dpi / _POINTS_AN_INCH
    pad = _PAD * dots
    taken = []
    for rank, label in enumerate(label for label in labels if label.text):
        height, width = (int(np.ceil(side + 2 * pad)) for side in text_size(label.text, max(round(size * dots), 1)))
        box = tuple(round(float(v) * scale) for v in label.box[:4])
        spot = place(box, (height, width), taken, [int(side * scale) for side in shape[:2]])
        taken.append(spot)
        ground = {"facecolor": label.color, "alpha": 0.75, "pad": _PAD, "edgecolor": "none"}
        ax.text((spot[1] + pad) / scale, (spot[0] + pad) / scale, label.text, size=size, verticalalignment="top",
                color=text_color(label.color[:3]), bbox=ground, zorder=4 - rank / (1 + len(labels)))  # fmt: skip


def _dots_a_pixel(ax):
    """Dots of the figure on a pixel of the picture: float, 1 where the axis has no size yet."""
    (x1, _), (x2, _) = ax.transData.transform([(0, 0), (1, 0)])
    return float(x2 - x1) if np.isfinite(x2 - x1) and x2 > x1 else 1.0
