"""What the figures share: axes for pictures, boxes and outlines on them, and showing figures and tables.

Shape letters: H W image, N boxes.
"""

import html
import sys

import matplotlib
import numpy as np
from matplotlib import patches, patheffects
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from rich.console import Console
from rich.table import Table

from mrcnn.geometry.outlines import trace_mask
from mrcnn.viz.draw import cut_mask, to_rgb

# Backends that write files. They show nothing, and matplotlib warns when asked to.
_FILE_BACKENDS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def can_show():
    """Tell whether figures can be shown here, in a notebook or a window: bool."""
    return matplotlib.get_backend().lower() not in _FILE_BACKENDS


def show():
    """Show the open figures, in a notebook or a window; with a backend that only writes files, leave them open."""
    if can_show():
        plt.show()


def get_axis(ax, figsize):
    """The axis given, or that of a new figure.

    Args:
        ax: matplotlib Axes or None.
        figsize: (width, height) in inches of a new figure.

    Returns:
        ax: matplotlib Axes.
        is_new: bool. Whether the figure is new, and so to be shown at the end.
    """
    return (ax, False) if ax is not None else (plt.subplots(1, figsize=figsize)[1], True)


def frame_image(ax, shape, title=""):
    """Axes for an image of this shape, with a margin of ten pixels, without ticks."""
    height, width = shape[:2]
    ax.set_ylim(height + 10, -10)
    ax.set_xlim(-10, width + 10)
    ax.axis("off")
    ax.set_title(title)


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


# inches of a picture's width, and of what stands above it
_PICTURE, _TITLE = 4.2, 0.4
# a light rim around lines, in points: dark ones are seen on a dark photograph too
_RIM = 1.0


def picture_grid(pictures, titles, columns=3, width=_PICTURE, **shown):
    """Make a figure of pictures in rows, without ticks.

    Args:
        pictures: list of arrays as `draw.to_rgb` takes them, or float [H, W] for a colour map.
        titles: list of str, one a picture.
        columns: int. Most pictures in a row.
        width: float, inches of a picture.
        **shown: of `Axes.imshow`, such as cmap; pictures are then not turned to RGB.

    Returns:
        (figure, axes): matplotlib Figure; array of Axes, one a picture.
    """
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    ratio = max((picture.shape[0] / picture.shape[1] for picture in pictures), default=1)
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    height = width * min(max(ratio, 0.3), 3) + _TITLE * (1 + lines) / 2
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes.flat, pictures, titles, strict=False):
        ax.imshow(picture if shown else to_rgb(picture), **shown)
        ax.set_title(title, fontsize=9)
    return figure, axes.flat[: len(pictures)]


def add_boxes(ax, boxes, colors, linewidth=1.2, alpha=0.9, dashed=False):
    """Draw many boxes at once, and leave the limits of the picture as they are.

    Args:
        ax: matplotlib Axes with a picture in it.
        boxes: [N, 4] (y1, x1, y2, x2) pixels.
        colors: one colour, or N.
        linewidth: float, points.
        alpha: float in 0..1.
        dashed: bool.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    y1, x1, y2, x2 = boxes.T - 0.5  # the edges of the first pixel lie at -0.5
    corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2, x1, y1], axis=1).reshape(-1, 5, 2)
    rim = [] if dashed else [patheffects.withStroke(linewidth=linewidth + _RIM, foreground="white", alpha=0.55)]
    ax.add_collection(LineCollection(corners, colors=colors, linewidths=linewidth, alpha=alpha, path_effects=rim,
                                     linestyles="dashed" if dashed else "solid"), autolim=False)  # fmt: skip


def show_around(ax, middle, side):
    """Show a square window of the picture, of `side` pixels, around a point (y, x)."""
    y, x = middle
    ax.set_xlim(x - side / 2, x + side / 2)
    ax.set_ylim(y + side / 2, y - side / 2)


def spread(count, limit):
    """Positions of at most `limit` of `count` things, evenly spread: int [n]."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int)) if count else np.zeros(0, int)


def add_mask_outline(ax, mask, color, linewidth=1.0):
    """Draw the outline of a mask on an axis.

    Args:
        ax: matplotlib Axes in pixel coordinates.
        mask: [H, W], non-zero inside; or a COCO RLE dict.
        color: a colour of matplotlib's.
        linewidth: float, points.
    """
    part, y1, x1 = cut_mask(mask)
    for ring in (ring for traced in trace_mask(part) for ring in traced.rings):
        # the edges of the first pixel lie at -0.5
        outline = np.reshape(ring, (-1, 2)) + (x1 - 0.5, y1 - 0.5)
        # add_patch would look for the limits of the data at each step of the outline: most of the time of a figure
        ax.add_artist(patches.Polygon(outline, facecolor="none", edgecolor=color, linewidth=linewidth))


def add_box(ax, box, color, **style):
    """Draw the box (y1, x1, y2, x2) on an axis; `style` goes to matplotlib's Rectangle."""
    y1, x1, y2, x2 = (float(v) for v in box[:4])
    style = {"linewidth": 2, "alpha": 0.7, "linestyle": "dashed"} | style
    ax.add_patch(patches.Rectangle((x1, y1), x2 - x1, y2 - y1, edgecolor=color, facecolor="none", **style))
