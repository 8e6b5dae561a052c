"""Figures of batches for semantic segmentation: images next to their class maps.

Shape letters: B images, h w image.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, Num, Shaped, UInt8
from matplotlib import patches
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mrcnn.viz.colors import class_color
from mrcnn.viz.draw import to_rgb
from mrcnn.viz.fonts import figure_text

# width of a picture in inches
_PICTURE = 3.0
# opacity of the class map over the image
_ALPHA = 0.55


def color_map(class_map: npt.ArrayLike) -> UInt8[np.ndarray, "h w 3"]:
    """Colour a class map, [h, w] or [h, w, 1]; the background is black."""
    class_map = np.asarray(class_map)
    class_map = class_map[:, :, 0] if class_map.ndim == 3 else class_map
    values, positions = np.unique(class_map, return_inverse=True)
    colors = np.array([class_color(v) if v else (0, 0, 0) for v in values])
    return np.rint(255 * colors).astype(np.uint8)[positions.reshape(class_map.shape)]


def overlay(image: Num[np.ndarray, "h w *C"], class_map: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Blend the colours of a class map into a copy of an image."""
    canvas, colors, covered = to_rgb(image), color_map(class_map), np.asarray(class_map) != 0
    canvas[covered] = np.rint((1 - _ALPHA) * canvas[covered] + _ALPHA * colors[covered]).astype(np.uint8)
    return canvas


def batch_figure(
    images: Shaped[np.ndarray, "B h w 3"],
    masks: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    predictions: npt.ArrayLike | None = None,
    limit: int = 8,
) -> Figure:
    """Draw a batch, one image per row: the image, its mask, the mask over the image, and the prediction if given.

    The titles of the maps give the classes with their percentage of pixels.

    Args:
        images: floats in 0..1, or uint8.
        masks, predictions: integers [B, h, w] or [B, h, w, 1]; 0 is background.
        class_names: names by class number, for the legend; larger numbers are shown as ignored. None shows the numbers.
        limit: maximum number of rows.

    Raises:
        ValueError: images, masks and predictions differ in size or number.
    """
    maps = {"mask": np.asarray(masks), **({} if predictions is None else {"prediction": np.asarray(predictions)})}
    maps = {name: values[..., 0] if values.ndim == 4 else values for name, values in maps.items()}
    for name, values in maps.items():
        if values.shape != np.shape(images)[:3]:
            raise ValueError(f"images of shape {np.shape(images)} do not match the {name} of shape {values.shape}")
    rows = min(len(images), limit)
    if not rows:
        raise ValueError("the batch has no images")
    columns = ["image", "mask", "mask on image", *list(maps)[1:]]
    height, width = np.shape(images)[1:3]
    size = (_PICTURE * len(columns), max(_PICTURE * height / width, 1) * rows + 0.6)
    figure, axes = plt.subplots(rows, len(columns), figsize=size, squeeze=False, layout="constrained")
    for row in range(rows):
        pictures = [to_rgb(images[row]), color_map(maps["mask"][row]), overlay(images[row], maps["mask"][row])]
        titles = ["", class_percentages(maps["mask"][row], class_names), ""]
        if predictions is not None:
            pictures.append(color_map(maps["prediction"][row]))
            titles.append(class_percentages(maps["prediction"][row], class_names))
        for ax, picture, title, column in zip(axes[row], pictures, titles, columns, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set_title("\n".join(filter(None, [column if row == 0 else "", title])), fontsize=8)
            ax.set_xticks([])
            ax.set_yticks([])
    _add_legend(figure, [values[:rows] for values in maps.values()], class_names)
    return figure


def class_percentages(class_map: Integer[np.ndarray, "h w *one"], class_names: Sequence[str] | None = None) -> str:
    """List the classes of a map with their percentage of pixels, such as "cat 12 %, dog 3 %"."""
    values, counts = np.unique(class_map, return_counts=True)
    parts = [(int(v), 100 * n / np.size(class_map)) for v, n in zip(values, counts, strict=True) if v]
    texts = [f"{figure_text(_name(v, class_names))} {'<1' if part < 1 else f'{part:.0f}'} %" for v, part in parts]
    return ", ".join(texts) or "background only"


def _name(value: int, class_names: Sequence[str] | None) -> str:
    if class_names is None:
        return f"class {value}"
    return class_names[value] if value < len(class_names) else "ignored"


def _add_legend(figure: Figure, maps: Sequence[Integer[np.ndarray, "..."]], class_names: Sequence[str] | None) -> None:
    values = [int(v) for v in np.unique(np.concatenate([values.ravel() for values in maps])) if v]
    handles = [patches.Patch(color=class_color(v), label=figure_text(_name(v, class_names))) for v in values]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), fontsize=8)
