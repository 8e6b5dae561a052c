"""Colours that stay the same from run to run and that the colour-blind can tell apart.

A colour is a tuple (red, green, blue) of floats in 0..1.
"""

# Source: Okabe and Ito, Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/): eight colours that people with
# any kind of colour vision tell apart. Black is left out: it is not seen on dark photographs. In an order where
# neighbours differ in hue and in lightness.
_OKABE_ITO = (
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
)
# How far the second and the third round of the palette are mixed with white and with black.
_LIGHTER, _DARKER = 0.5, 0.4

GREY = (0.6, 0.6, 0.6)
# Ground truth and predictions in one picture: blue and orange, never green and red.
GROUND_TRUTH = (0.0, 114 / 255, 178 / 255)
PREDICTION = (230 / 255, 159 / 255, 0.0)


def _mix(color, other, share):
    return tuple((1 - share) * a + share * b for a, b in zip(color, other, strict=True))


def _make_palette():
    base = [tuple(v / 255 for v in color) for color in _OKABE_ITO]
    lighter = [_mix(color, (1, 1, 1), _LIGHTER) for color in base]
    darker = [_mix(color, (0, 0, 0), _DARKER) for color in base]
    return tuple(base + lighter + darker)


PALETTE = _make_palette()


def class_color(class_id):
    """The colour of a class: always the same. A crowd (negative id) has that of its class, the background is grey."""
    return PALETTE[(abs(int(class_id)) - 1) % len(PALETTE)] if class_id else GREY


def instance_colors(count):
    """Colours of `count` instances by their position; they begin anew after the 21 of the palette."""
    return [PALETTE[ix % len(PALETTE)] for ix in range(count)]


def pick_colors(class_ids, color_by="instance"):
    """One colour for each instance.

    Args:
        class_ids: int [N].
        color_by: "instance" tells neighbours of one class apart; "class" gives a class the same colour in all pictures.

    Returns:
        list of N colours.

    Raises:
        ValueError: color_by is neither.
    """
    if color_by == "class":
        return [class_color(class_id) for class_id in class_ids]
    if color_by != "instance":
        raise ValueError(f'color_by="{color_by}": expected "instance" or "class"')
    return instance_colors(len(class_ids))


def random_colors(N, bright=True):
    """N colours, as unlike as can be. The classic name; the colours are those of `instance_colors`.

    Args:
        N: int.
        bright: bool. False makes them darker, by the classic factor of 0.7.

    Returns:
        list of N colours.

    Differs: the classic code drew hues at random, new ones on each call.
    """
    colors = instance_colors(N)
    return colors if bright else [tuple(0.7 * v for v in color) for color in colors]


def _luminance(color):
    """Relative luminance. Source: WCAG 2.1, definition of relative luminance."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(color1, color2):
    """Contrast of two colours, 1 (none) to 21 (black on white). Source: WCAG 2.1, definition of contrast ratio."""
    light, dark = sorted((_luminance(color1), _luminance(color2)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def text_color(background):
    """Black or white, whichever reads better on this colour."""
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return max(black, white, key=lambda color: contrast(color, background))
