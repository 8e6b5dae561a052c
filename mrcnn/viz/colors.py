"""Colours that are the same in every run and distinguishable with colour blindness.

A colour is (red, green, blue), each from 0 to 1.
"""

from collections.abc import Iterable, Sequence
from typing import SupportsFloat, SupportsIndex, SupportsInt

import numpy as np
from jaxtyping import Num

Color = tuple[float, float, float]

# Source: Okabe and Ito, Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/): colours that are distinguishable with
# any type of colour vision; without black, which is invisible on dark photographs, and ordered so that neighbours differ in
# both hue and lightness.
_OKABE_ITO = (
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
)
# The palette repeats the seven colours mixed with white, then with black, in these proportions.
_WHITE_SHARE, _BLACK_SHARE = 0.5, 0.4

GREY: Color = (0.6, 0.6, 0.6)
# Ground truth is blue and predictions are orange: red and green look alike to many people.
GROUND_TRUTH: Color = (0.0, 114 / 255, 178 / 255)
PREDICTION: Color = (230 / 255, 159 / 255, 0.0)


def _mix(color: Color, other: Color, fraction: float) -> Color:
    red, green, blue = ((1 - fraction) * a + fraction * b for a, b in zip(color, other, strict=True))
    return red, green, blue


def _make_palette() -> tuple[Color, ...]:
    base: list[Color] = [(red / 255, green / 255, blue / 255) for red, green, blue in _OKABE_ITO]
    lighter = [_mix(color, (1.0, 1.0, 1.0), _WHITE_SHARE) for color in base]
    darker = [_mix(color, (0.0, 0.0, 0.0), _BLACK_SHARE) for color in base]
    return tuple(base + lighter + darker)


PALETTE = _make_palette()


def class_color(class_id: SupportsInt) -> Color:
    """Return the colour of a class: the same in every picture. A crowd has the colour of its class; background is grey."""
    class_id = int(class_id)
    return PALETTE[(abs(class_id) - 1) % len(PALETTE)] if class_id else GREY


def instance_colors(count: SupportsIndex) -> list[Color]:
    """Return colours for `count` instances. They repeat after the 21 colours of the palette."""
    return [PALETTE[ix % len(PALETTE)] for ix in range(count)]


def pick_colors(class_ids: Num[np.ndarray, " N"] | Sequence[SupportsInt], color_by: str = "instance") -> list[Color]:
    """Choose a colour for each instance.

    Args:
        color_by: "instance" distinguishes instances of one class; "class" gives a class the same colour in all pictures.

    Raises:
        ValueError: `color_by` has another value.
    """
    if color_by == "class":
        return [class_color(class_id) for class_id in class_ids]
    if color_by != "instance":
        raise ValueError(f'color_by="{color_by}": expected "instance" or "class"')
    return instance_colors(len(class_ids))


def random_colors(N: SupportsIndex, bright: bool = True) -> list[Color]:
    """Return N distinct colours, those of `instance_colors`.

    Args:
        bright: False multiplies every colour by 0.7, as the classic code did.

    Differs: the classic code drew random hues on every call; these are the same each time.
    """
    colors = instance_colors(N)
    return colors if bright else [_mix(color, (0.0, 0.0, 0.0), 0.3) for color in colors]


def _luminance(color: Iterable[SupportsFloat]) -> float:
    """Compute the relative luminance. Source: WCAG 2.1, definition of relative luminance."""
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in map(float, color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(color1: Iterable[SupportsFloat], color2: Iterable[SupportsFloat]) -> float:
    """Compute the contrast ratio of two colours, from 1 (none) to 21 (black on white). Source: WCAG 2.1, contrast ratio."""
    light, dark = sorted((_luminance(color1), _luminance(color2)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def text_color(background: Sequence[SupportsFloat]) -> Color:
    """Return black or white, whichever contrasts more with the background."""
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return max(black, white, key=lambda color: contrast(color, background))
