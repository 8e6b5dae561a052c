"""What the figures share: axes without ticks, and showing them where they can be seen."""

import matplotlib
from matplotlib import pyplot as plt

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
