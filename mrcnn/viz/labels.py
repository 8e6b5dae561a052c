"""Names and scores on a picture: legible, inside it, and not on top of one another.

Captions in a figure: placed as those of `viz.labels` are, so that they do not cover one another.
"""

import functools
import os
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from mrcnn.viz.colors import text_color

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


# Height of the letters: a share of the picture's longer side, between what can be read and what covers too much.
_FONT_SHARE, _FONT_LEAST, _FONT_MOST = 0.021, 11, 48


@dataclass(frozen=True)
class Label:
    """A text for an instance.

    Attributes:
        text: str.
        box: (y1, x1, y2, x2) pixels of the instance.
        color: (red, green, blue) floats in 0..1, of the ground under the text.
    """

    text: str
    box: tuple
    color: tuple


def font_size(shape):
    """Size of letters, in pixels, for a picture of this shape."""
    return int(np.clip(round(max(shape[:2]) * _FONT_SHARE), _FONT_LEAST, _FONT_MOST))


@functools.lru_cache(maxsize=32)
def _font(size):
    """The font that comes with matplotlib: the same on every machine, with Greek and Cyrillic letters."""
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def text_size(text, size):
    """Height and width of a text, in pixels, for letters of this size. Returns: (float, float)."""
    font = _font(size)
    return float(sum(font.getmetrics())), float(font.getlength(text))


def instance_text(class_id, class_names=None, score=None):
    """Name and score of an instance.

    Args:
        class_id: int. Negative for a crowd.
        class_names: sequence by class id, or None.
        score: float in 0..1, or None.

    Returns:
        str, such as "cat 0.93". An id without a name gives "class 7".
    """
    class_id = int(class_id)
    known = class_names is not None and abs(class_id) < len(class_names)
    name = str(class_names[abs(class_id)]) if known else f"class {abs(class_id)}"
    name += " (crowd)" if class_id < 0 else ""
    return name if score is None else f"{name} {score:.2f}"


def _overlap(a, b):
    """Pixels that two boxes share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _candidates(box, height, width):
    """Places for a label of this size, best first: on the box, in its corners, below it, inside it, further off."""
    y1, x1, y2, x2 = box
    yield y1 - height, x1
    yield y1, x1
    yield y2, x1
    yield y1 - height, x2 - width
    yield y2 - height, x2 - width
    yield y2 - height, x1
    middle = (y1 + y2 - height) // 2
    yield middle, x1
    yield middle, (x1 + x2 - width) // 2
    yield middle, x2 - width
    for step in (2, 3, 4):
        yield y1 - step * height, x1
        yield y2 + (step - 1) * height, x1


def place(box, size, taken, shape):
    """Choose where a label goes.

    Args:
        box: (y1, x1, y2, x2) int pixels of the instance.
        size: (height, width) int pixels of the label.
        taken: list of boxes of the labels placed before.
        shape: (height, width) of the picture.

    Returns:
        (y1, x1, y2, x2) inside the picture (as far as it fits): the first place that is free, or the least covered one.
    """
    height, width = size
    best, least = None, None
    for y, x in _candidates(box, height, width):
        y = int(np.clip(y, 0, max(shape[0] - height, 0)))
        x = int(np.clip(x, 0, max(shape[1] - width, 0)))
        spot = (y, x, y + height, x + width)
        covered = sum(_overlap(spot, other) for other in taken)
        if least is None or covered < least:
            best, least = spot, covered
        if not covered:
            break
    return best


def draw_labels(image, labels, size=None):
    """Write labels on a picture; the first ones have the choice of place.

    Args:
        image: uint8 [H, W, 3].
        labels: list of Label. Those without text are left out.
        size: int. Height of the letters in pixels; default by the size of the picture.

    Returns:
        uint8 [H, W, 3], a new array.
    """
    labels = [label for label in labels if label.text]
    if not labels:
        return image.copy()
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    size = size or font_size(image.shape)
    font, margin = _font(size), max(1, size // 7)
    ascent, descent = font.getmetrics()
    placed = []
    for label in labels:
        # the longest text is cut to the width of the picture
        text = label.text
        while len(text) > 1 and pen.textlength(text, font=font) + 2 * margin > image.shape[1]:
            text = text[:-2] + "…"
        area = (ascent + descent + margin, int(np.ceil(pen.textlength(text, font=font))) + 2 * margin)
        spot = place(tuple(int(v) for v in label.box), area, [box for _, box, _ in placed], image.shape)
        placed.append((text, spot, label.color))
    for text, (y1, x1, y2, x2), color in reversed(placed):  # the first ones lie on top
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=_to_bytes(color))
        pen.text((x1 + margin, y1 + margin // 2), text, font=font, fill=_to_bytes(text_color(color)))
    return np.array(picture)


def _to_bytes(color):
    return tuple(int(round(255 * v)) for v in color)
