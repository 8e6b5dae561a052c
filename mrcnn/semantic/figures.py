"""Figures of batches for semantic segmentation: images beside their class maps.

Legend: B images, h w image.
"""

import numpy as np
from matplotlib import patches
from matplotlib import pyplot as plt

from mrcnn.viz.colors import class_color
from mrcnn.viz.draw import to_rgb

# inches of one picture's width, and the share of the colour where the map lies over the image
_PICTURE, _COVER = 3.0, 0.55


def color_map(class_map):
    """Give each pixel the colour of its class; the background is black.

    Args:
        class_map: whole numbers [h, w] or [h, w, 1].

    Returns:
        uint8 [h, w, 3].
    """
    class_map = np.asarray(class_map)
    class_map = class_map[:, :, 0] if class_map.ndim == 3 else class_map
    values, places = np.unique(class_map, return_inverse=True)
    colors = np.array([class_color(v) if v else (0, 0, 0) for v in values])
    return np.rint(255 * colors).astype(np.uint8)[places.reshape(class_map.shape)]


def lay_over(image, class_map):
    """Lay the colours of a class map over an image. Args: image: [h, w, 3]; class_map: [h, w]. Returns: uint8 [h, w, 3]."""
    canvas, colors, covered = to_rgb(image), color_map(class_map), np.asarray(class_map) != 0
    canvas[covered] = np.rint((1 - _COVER) * canvas[covered] + _COVER * colors[covered]).astype(np.uint8)
    return canvas


def batch_figure(images, masks, class_names=None, predictions=None, limit=8):
    """Draw a batch: a row an image, with its mask, the two together, and a prediction where there is one.

    Args:
        images: float [B, h, w, 3] in [0, 1], or uint8.
        masks: whole numbers [B, h, w] or [B, h, w, 1]. 0 is background.
        class_names: list of str by number, for the legend; a number beyond them is told as ignored. None shows the numbers.
        predictions: whole numbers as `masks`, or None.
        limit: int. Most rows.

    Returns:
        matplotlib Figure. Each map's title says which classes it holds, and in what share of its pixels.

    Raises:
        ValueError: images, masks and predictions are not of one size and count.
    """
    maps = {"mask": np.asarray(masks), **({} if predictions is None else {"prediction": np.asarray(predictions)})}
    maps = {name: values[..., 0] if values.ndim == 4 else values for name, values in maps.items()}
    for name, values in maps.items():
        if values.shape != np.shape(images)[:3]:
            raise ValueError(f"images of shape {np.shape(images)} do not go with {name} of shape {values.shape}")
    rows = min(len(images), limit)
    if not rows:
        raise ValueError("the batch has no images")
    columns = ["image", "mask", "mask on image", *list(maps)[1:]]
    height, width = np.shape(images)[1:3]
    size = (_PICTURE * len(columns), max(_PICTURE * height / width, 1) * rows + 0.6)
    figure, axes = plt.subplots(rows, len(columns), figsize=size, squeeze=False, layout="constrained")
    for row in range(rows):
        pictures = [to_rgb(images[row]), color_map(maps["mask"][row]), lay_over(images[row], maps["mask"][row])]
        titles = ["", shares(maps["mask"][row], class_names), ""]
        if predictions is not None:
            pictures.append(color_map(maps["prediction"][row]))
            titles.append(shares(maps["prediction"][row], class_names))
        for ax, picture, title, column in zip(axes[row], pictures, titles, columns, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set_title("\n".join(filter(None, [column if row == 0 else "", title])), fontsize=8)
            ax.set_xticks([])
            ax.set_yticks([])
    _add_legend(figure, [values[:rows] for values in maps.values()], class_names)
    return figure


def shares(class_map, class_names=None):
    """Say which classes a map holds. Args: class_map: [h, w]; class_names: list. Returns: str, "cat 12 %, dog 3 %"."""
    values, counts = np.unique(class_map, return_counts=True)
    parts = [(v, 100 * n / np.size(class_map)) for v, n in zip(values, counts, strict=True) if v]
    told = [f"{_name(v, class_names)} {'<1' if part < 1 else f'{part:.0f}'} %" for v, part in parts]
    return ", ".join(told) or "background only"


def _name(value, class_names):
    if class_names is None:
        return f"class {value}"
    return class_names[value] if value < len(class_names) else "ignored"


def _add_legend(figure, maps, class_names):
    values = [int(v) for v in np.unique(np.concatenate([values.ravel() for values in maps])) if v]
    handles = [patches.Patch(color=class_color(v), label=_name(v, class_names)) for v in values]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), fontsize=8)
