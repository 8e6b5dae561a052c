"""Shared parts of the figures: axes for pictures, boxes and outlines on them, and displaying figures and tables.

Shape letters: H W image, N boxes.
"""

import html
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from jaxtyping import Int, Num
from matplotlib import patches, patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mrcnn.geometry.outlines import trace_mask
from mrcnn.viz.draw import Box, Mask, cut_mask, to_rgb

# a matplotlib colour: its name, or three or four numbers in 0..1
MatplotlibColor = Any
# (width, height) of a figure
Inches = tuple[float | int, float | int]

# backends that only write files; matplotlib warns when asked to show a figure with one of them
_FILE_BACKENDS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
# in inches: width of a picture, and height of a line of its title
_PICTURE, _TITLE = 4.2, 0.4
# in points: width of the light rim on both sides of a line, which keeps dark lines visible on dark photographs
_RIM = 1.0
# the edges of the first pixel are at -0.5
_EDGE = 0.5


def can_show() -> bool:
    """Return whether figures can be shown, in a notebook or a window."""
    return matplotlib.get_backend().lower() not in _FILE_BACKENDS


def show() -> None:
    """Show the open figures in a notebook or a window. With a backend that only writes files, leave them open."""
    if can_show():
        plt.show()


def get_axis(ax: Axes | None, figsize: Inches) -> tuple[Axes, bool]:
    """Return the axes, or those of a new figure if None.

    Returns:
        The axes, and whether their figure is new, in which case the caller should show it.
    """
    return (ax, False) if ax is not None else (plt.subplots(1, figsize=figsize)[1], True)


def frame_image(ax: Axes, shape: Sequence[int], title: str = "") -> None:
    """Prepare axes for an image of this shape: a margin of ten pixels, no ticks."""
    height, width = shape[:2]
    ax.set_ylim(height + 10, -10)
    ax.set_xlim(-10, width + 10)
    ax.axis("off")
    ax.set_title(title)


def picture_grid(
    pictures: Sequence[np.ndarray], titles: Sequence[str], columns: int = 3, width: float = _PICTURE, **imshow: Any
) -> tuple[Figure, np.ndarray]:
    """Make a figure with a grid of pictures, without ticks.

    Args:
        pictures: images that `draw.to_rgb` accepts; with options for `imshow`, arrays [H, W] to draw with a colour map.
        titles: one per picture.
        columns: maximum number of pictures per row.
        width: of a picture, in inches.
        **imshow: options of `Axes.imshow`, such as cmap.

    Returns:
        The figure, and an array with the axes of each picture.
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
        ax.imshow(picture if imshow else to_rgb(picture), **imshow)
        ax.set_title(title, fontsize=9)
    return figure, axes.flat[: len(pictures)]


def add_boxes(
    ax: Axes,
    boxes: npt.ArrayLike,
    colors: MatplotlibColor | Sequence[MatplotlibColor],
    linewidth: float = 1.2,
    alpha: float = 0.9,
    dashed: bool = False,
) -> None:
    """Draw many boxes at once, without changing the axes limits.

    Args:
        boxes: [N, 4] (y1, x1, y2, x2) in pixels.
        colors: one colour, or N.
        linewidth: points.
    """
    y1, x1, y2, x2 = np.asarray(boxes, np.float64).reshape(-1, 4).T - _EDGE
    corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2, x1, y1], axis=1).reshape(-1, 5, 2)
    rim = [] if dashed else [patheffects.withStroke(linewidth=linewidth + _RIM, foreground="white", alpha=0.55)]
    ax.add_collection(LineCollection(list(corners), colors=colors, linewidths=linewidth, alpha=alpha, path_effects=rim,
                                     linestyles="dashed" if dashed else "solid"), autolim=False)  # fmt: skip


def add_box(ax: Axes, box: Box, color: MatplotlibColor, **style: Any) -> None:
    """Draw one box, dashed by default. `style` contains options for matplotlib's Rectangle."""
    y1, x1, y2, x2 = (float(v) for v in box[:4])
    options: dict[str, Any] = {"linewidth": 2, "alpha": 0.7, "linestyle": "dashed"} | style
    ax.add_patch(patches.Rectangle((x1, y1), x2 - x1, y2 - y1, edgecolor=color, facecolor="none", **options))


def add_mask_outline(ax: Axes, mask: Mask, color: MatplotlibColor, linewidth: float = 1.0) -> None:
    """Draw the outline of a mask, `linewidth` points wide."""
    part, y1, x1 = cut_mask(mask)
    for ring in (ring for traced in trace_mask(part) for ring in traced.rings):
        outline = np.asarray(ring, np.float64).reshape(-1, 2) + (x1 - _EDGE, y1 - _EDGE)
        # add_patch would update the data limits point by point, which takes most of the time of a figure
        ax.add_artist(patches.Polygon(outline, facecolor="none", edgecolor=color, linewidth=linewidth))


def show_around(ax: Axes, middle: Num[np.ndarray, " 2"] | tuple[float | int, float | int], side: float | int) -> None:
    """Limit the axes to a square of `side` pixels around a point (y, x)."""
    y, x = middle
    ax.set_xlim(x - side / 2, x + side / 2)
    ax.set_ylim(y + side / 2, y - side / 2)


def spread(count: int, limit: int) -> Int[np.ndarray, " n"]:
    """Choose up to `limit` of `count` indices, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int)) if count else np.zeros(0, int)


def _in_notebook() -> bool:
    """Return whether the program runs in a notebook kernel; importing IPython is not enough, because scripts may do so."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def display_table(table: Iterable[Sequence[object]]) -> None:
    """Show rows of values: as HTML in a notebook, as text elsewhere."""
    rows = [[str(cell) for cell in row] for row in table]
    if _in_notebook():
        from IPython.display import HTML, display

        cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
        display(HTML("<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"))
        return
    grid = Table.grid(padding=(0, 2))
    for _ in range(max((len(row) for row in rows), default=0)):
        grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    Console(markup=False, highlight=False).print(grid)
