"""The figures and pictures of a run's page: curves over the epochs, and images with their mistakes.

Truth and detections are scaled to one size before anything is drawn, so that names stay sharp.
"""

import io

import numpy as np
from markupsafe import Markup
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from mrcnn.tools.html import picture
from mrcnn.tools.view.figures import scaled
from mrcnn.tools.view.files import jpeg
from mrcnn.viz.colors import GREY, PALETTE
from mrcnn.viz.draw import draw_detections, to_rgb

# The longer side of a picture in pixels, and the quality of its JPEG.
SIDE, _QUALITY = 480, 82
# Blue for what is right, vermilion for what is wrong, orange between: told apart with any colour vision.
RIGHT, WRONG, CONFUSED = PALETTE[5], PALETTE[0], PALETTE[6]
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
        history: list of {column: float}, see `training.runs.read_history`.
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


def draw_mistakes(image, mistakes, crowds, names):
    """Draw both sides of an image.

    Args:
        image: as `viz.draw.to_rgb` takes it.
        mistakes: ImageMistakes.
        crowds: list of truth rows that count neither way; grey.
        names: sequence of str by class id.

    Returns:
        truth, found: bytes, a JPEG each. Right is blue, missed and false vermilion, another class orange.
    """
    truth = [*((row, names[row["category_id"]], RIGHT) for row, _ in mistakes.found),
             *((row, names[row["category_id"]], CONFUSED) for row, _ in mistakes.confused),
             *((row, f"missed: {names[row['category_id']]}", WRONG) for row in mistakes.missed),
             *((row, f"crowd: {names[row['category_id']]}", GREY) for row in crowds)]  # fmt: skip
    found = [*((row, _scored(names, row), RIGHT) for _, row in mistakes.found),
             *((row, _scored(names, row), CONFUSED) for _, row in mistakes.confused),
             *((row, f"false: {_scored(names, row)}", WRONG) for row in mistakes.false)]  # fmt: skip
    return _draw(to_rgb(image), truth), _draw(to_rgb(image), found)


def _scored(names, row):
    return f"{names[row['category_id']]} {row['score']:.2f}"


def _draw(image, instances):
    """Draw rows with their captions and colours: bytes of a JPEG."""
    rows = [row for row, _, _ in instances]
    boxes = [(y, x, y + h, x + w) for x, y, w, h in (row["bbox"] for row in rows)]
    result = {"rois": np.array(boxes, float).reshape(-1, 4), "class_ids": np.array([row["category_id"] for row in rows], int),
              "masks": [row["segmentation"] for row in rows]}  # fmt: skip
    image, result = scaled(image, result, SIDE)
    return jpeg(draw_detections(image, result, captions=[caption for _, caption, _ in instances],
                                colors=[color for _, _, color in instances], min_side=0), _QUALITY)  # fmt: skip
