"""Captions of instances: legible, inside the picture, and not overlapping.

`draw_labels` writes them into an image array, `add_captions` on the axes of a figure; both use `place` to position them.

Shape letters: H W image.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat, SupportsInt

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from mrcnn.viz.colors import Color, text_color
from mrcnn.viz.fonts import DEFAULT_FONT, drawable, split_by_font

# in figures: text height and the margin around it, in points
_SIZE, _PAD = 11.0, 1.5
_POINTS_PER_INCH = 72
# in arrays: text height as a fraction of the picture's longer side, and its limits in pixels
_FONT_SHARE, _MIN_FONT, _MAX_FONT = 0.021, 11, 48

# (y1, x1, y2, x2) in integer pixels
_Spot = tuple[int, int, int, int]


@dataclass(frozen=True)
class Label:
    """The caption of an instance.

    Attributes:
        box: (y1, x1, y2, x2) of the instance, in pixels.
        color: (red, green, blue) in 0..1 of the background behind the text.
    """

    text: str
    box: Sequence[SupportsFloat]
    color: Sequence[SupportsFloat]

    @property
    def text_color(self) -> Color:
        """Black or white."""
        return text_color(self.color[:3])


def instance_text(
    class_id: SupportsInt, class_names: Sequence[str] | None = None, score: SupportsFloat | None = None
) -> str:
    """Format the name and score of an instance, such as "cat 0.931". A class without a name is "class 7".

    Args:
        class_id: negative for a crowd.
        class_names: names by class id.
    """
    class_id = int(class_id)
    if class_names is not None and abs(class_id) < len(class_names):
        name = str(class_names[abs(class_id)])
    else:
        name = f"class {abs(class_id)}"
    name += " (crowd)" if class_id < 0 else ""
    return name if score is None else f"{name} {float(score):.3f}"


def font_size(shape: Sequence[int]) -> int:
    """Choose the text height, in pixels, for a picture of this shape."""
    return int(np.clip(round(max(shape[:2]) * _FONT_SHARE), _MIN_FONT, _MAX_FONT))


@functools.lru_cache(maxsize=32)
def _font(size: int, file: str = DEFAULT_FONT) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def text_size(text: str, size: int) -> tuple[float, float]:
    """Measure the height and width of a text, in pixels, at this text height."""
    return float(sum(_font(size).getmetrics())), sum(_font(size, file).getlength(part) for file, part in split_by_font(text))


def _one_line(text: str) -> str:
    return drawable(text.replace("\n", " "))


def _write(pen: ImageDraw.ImageDraw, position: tuple[int, int], text: str, size: int, fill: tuple[int, ...]) -> None:
    """Write a text with its upper left corner at (x, y)."""
    x, baseline = float(position[0]), position[1] + _font(size).getmetrics()[0]
    for file, part in split_by_font(text):
        font = _font(size, file)
        pen.text((x, baseline), part, font=font, fill=fill, anchor="ls")
        x += font.getlength(part)


def _intersection(a: _Spot, b: _Spot) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _candidates(box: _Spot, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield positions for a label of this size, best first: above the box, in its corners, below, inside, further away."""
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


def place(box: _Spot, size: tuple[int, int], taken: Sequence[_Spot], shape: Sequence[int]) -> _Spot:
    """Choose the position of a label.

    Args:
        box: of the instance, in pixels.
        size: (height, width) of the label.
        taken: boxes of the labels placed so far.
        shape: (height, width) of the picture.

    Returns:
        The label's box, inside the picture if it fits: the first free position, or else the one that overlaps other labels
        least.
    """
    height, width = size
    best, min_covered = (0, 0, height, width), None
    for y, x in _candidates(box, height, width):
        y = int(np.clip(y, 0, max(shape[0] - height, 0)))
        x = int(np.clip(x, 0, max(shape[1] - width, 0)))
        spot = (y, x, y + height, x + width)
        covered = sum(_intersection(spot, other) for other in taken)
        if min_covered is None or covered < min_covered:
            best, min_covered = spot, covered
        if not covered:
            break
    return best


def draw_labels(
    image: UInt8[np.ndarray, "H W 3"], labels: Sequence[Label], size: int | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Write labels on a copy of a picture. Earlier labels are placed first, and drawn on top.

    Args:
        labels: labels without text are skipped.
        size: text height in pixels; None chooses it by the size of the picture.
    """
    labels = [replace(label, text=_one_line(label.text)) for label in labels if label.text]
    if not labels:
        return image.copy()
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    size = size or font_size(image.shape)
    margin = max(1, size // 7)
    ascent, descent = _font(size).getmetrics()
    spots: list[_Spot] = []
    texts: list[str] = []
    for label in labels:
        text = label.text
        # text wider than the picture is cut off
        while len(text) > 1 and text_size(text, size)[1] + 2 * margin > image.shape[1]:
            text = text[:-2] + "…"
        area = (ascent + descent + margin, int(np.ceil(text_size(text, size)[1])) + 2 * margin)
        y1, x1, y2, x2 = (int(float(v)) for v in label.box)
        spots.append(place((y1, x1, y2, x2), area, spots, image.shape))
        texts.append(text)
    for label, text, (y1, x1, y2, x2) in reversed(list(zip(labels, texts, spots, strict=True))):
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=_to_bytes(label.color))
        _write(pen, (x1 + margin, y1 + margin // 2), text, size, _to_bytes(label.text_color))
    return np.array(picture)


def _to_bytes(color: Sequence[SupportsFloat]) -> tuple[int, ...]:
    return tuple(round(255 * float(v)) for v in color)


def add_captions(ax: Axes, labels: Sequence[Label], shape: Sequence[int], size: float = _SIZE) -> None:
    """Write labels on a picture in axes. Earlier labels are placed first, and drawn on top.

    Args:
        ax: must already show the picture, because the available space depends on its scale.
        labels: with boxes in pixels of the picture. Labels without text are skipped.
        shape: (height, width) of the picture.
        size: text height in points.
    """
    layout = ax.figure.get_layout_engine()
    if layout is not None and isinstance(ax.figure, Figure):
        layout.execute(ax.figure)
    ax.apply_aspect()  # moves the axes to where they will be drawn
    scale = _dots_per_pixel(ax)
    dots = ax.figure.dpi / _POINTS_PER_INCH
    pad = _PAD * dots
    taken: list[_Spot] = []
    for rank, label in enumerate(label for label in labels if label.text):
        text = _one_line(label.text)
        height, width = (int(np.ceil(side + 2 * pad)) for side in text_size(text, max(round(size * dots), 1)))
        y1, x1, y2, x2 = (round(float(v) * scale) for v in label.box[:4])
        spot = place((y1, x1, y2, x2), (height, width), taken, [int(side * scale) for side in shape[:2]])
        taken.append(spot)
        background = {"facecolor": label.color, "alpha": 0.75, "pad": _PAD, "edgecolor": "none"}
        ax.text((spot[1] + pad) / scale, (spot[0] + pad) / scale, text, size=size, verticalalignment="top", parse_math=False,
                color=label.text_color, bbox=background, zorder=4 - rank / (1 + len(labels)))  # fmt: skip


def _dots_per_pixel(ax: Axes) -> float:
    """Return the number of figure dots per picture pixel; 1 if the axes have no size yet."""
    (x1, _), (x2, _) = ax.transData.transform([(0, 0), (1, 0)])
    return float(x2 - x1) if np.isfinite(x2 - x1) and x2 > x1 else 1.0
