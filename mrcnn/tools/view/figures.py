"""Annotated images of a data set, individually and side by side, and charts of its counts.

Used by `mrcnn view`, the report of a run and the notebooks.

Shape letters: H W image, h w picture, N instances.
"""

import difflib
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, tracked
from mrcnn.datasets.class_names import natural_key
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.rle import decode_rle
from mrcnn.tools.view.statistics import DatasetStatistics
from mrcnn.viz.colors import PALETTE
from mrcnn.viz.draw import draw_detections, to_rgb
from mrcnn.viz.fonts import drawable, figure_text

# layout of a figure of pictures, in pixels: gap around a picture, height of the two lines above it, width of a letter
_GAP, _LINES, _LETTER = 12, 34, 6
_DPI = 100
# maximum height of a picture in a figure, relative to its width; taller images are reduced
_TALLEST = 1.5


# --- choosing images


def find_images(dataset: Dataset, names: Iterable[object]) -> list[int]:
    """Find images by id or file name.

    Args:
        dataset: prepared.
        names: each an image id, with or without its leading zeros, a file name, or a file name without suffix.

    Returns:
        Indices in the data set, without repetitions, in the order of `names`. A name shared by several images selects them
        all.

    Raises:
        DataError: there is no such image; the message lists the most similar names.
    """
    indices_by_name: dict[str, list[int]] = {}
    for index, info in enumerate(dataset.image_info):
        path = Path(str(info["path"] or info["id"]))
        number = str(info["id"])
        for name in {number, number.lstrip("0") or number, path.name, path.stem}:
            indices_by_name.setdefault(name, []).append(index)
    indices = []
    for name in map(str, names):
        if name not in indices_by_name:
            near = difflib.get_close_matches(name, indices_by_name, n=3) or list(indices_by_name)[:3]
            raise DataError(f"none of the {len(dataset.image_info)} images has the id or the file name {name!r}; "
                            f"there are {', '.join(near)}.")
        indices += indices_by_name[name]
    return list(dict.fromkeys(indices))


def images_with(dataset: Dataset, class_names: Iterable[str], progress: Show | None = None) -> list[int]:
    """Find the images with an instance, or a crowd, of at least one of the classes.

    Args:
        dataset: prepared.
        progress: called after each image.

    Returns:
        Indices in the data set, ascending.

    Raises:
        ValueError: there is no such class; the message lists the most similar names.
    """
    wanted = set()
    for name in class_names:
        if name not in dataset.class_names[1:]:
            near = difflib.get_close_matches(name, dataset.class_names[1:], n=3) or dataset.class_names[1:6]
            raise ValueError(f"there is no class {name!r}; there are {', '.join(near)}.")
        wanted.add(dataset.class_names.index(name))
    return [int(i) for i in tracked(dataset.image_ids, progress)
            if wanted & {abs(int(c)) for c in instances_of(dataset, i)[1]}]


def choose_images(datasets: Sequence[Dataset], names: Sequence[object] | None = None,
                  class_names: Sequence[str] | None = None, progress: Show | None = None) -> list[list[int]]:  # fmt: skip
    """Choose images from the parts of a data set.

    Args:
        datasets: prepared.
        names: see `find_images`; each must occur in at least one of the parts. None for all images.
        class_names: see `images_with`. None for all images.
        progress: called after each image, for each data set.

    Returns:
        Indices of the images, for each data set: in the order of `names`, or in natural order of the ids, 2 before 10.

    Raises:
        DataError: an image is in no part.
        ValueError: there is no such class, or no chosen image has one.
    """
    chosen = [_in_natural_order(dataset) for dataset in datasets]
    if names:
        chosen = [[] for _ in datasets]
        errors: dict[object, list[DataError]] = {}
        for name in names:
            for indices, dataset in zip(chosen, datasets, strict=True):
                try:
                    indices += [i for i in find_images(dataset, [name]) if i not in indices]
                except DataError as error:
                    errors.setdefault(name, []).append(error)
        missing = [of_name[0] for of_name in errors.values() if len(of_name) == len(datasets)]
        if missing:
            raise missing[0]
    if class_names:
        with_class = [set(images_with(dataset, class_names, progress)) for dataset in datasets]
        chosen = [[i for i in indices if i in allowed] for indices, allowed in zip(chosen, with_class, strict=True)]
        if not any(chosen):
            raise ValueError(f"none of the chosen images contains {' or '.join(class_names)}.")
    return chosen


def _in_natural_order(dataset: Dataset) -> list[int]:
    """Return the indices of all images ordered by id: 2 before 10."""
    return sorted(map(int, dataset.image_ids), key=lambda i: natural_key(str(dataset.image_info[i]["id"])))


# --- annotated images


def annotations_of(dataset: Dataset, image_id: Integer) -> dict[str, Any]:
    """Return the annotations of an image in the form of detections, so that they can be drawn in the same way.

    Args:
        dataset: prepared.
        image_id: index in the data set.

    Returns:
        "rois" float [N, 4] (y1, x1, y2, x2) in pixels; "class_ids" int [N], negative for crowds; "masks", N RLE dicts. Sorted
        by area, largest first.
    """
    truth = sorted(dataset.ground_truth(image_id), key=lambda row: -row["area"])
    x, y, w, h = np.array([row["bbox"] for row in truth], np.float64).reshape(-1, 4).T
    ids = [-row["class_id"] if row["iscrowd"] else row["class_id"] for row in truth]
    return {"rois": np.stack([y, x, y + h, x + w], axis=1), "class_ids": np.array(ids, np.int32),
            "masks": [row["segmentation"] for row in truth]}  # fmt: skip


def draw_annotations(dataset: Dataset, image_id: Integer, *, side: int | None = None, color_by: str = "class",
                     **drawing: Any) -> UInt8[np.ndarray, "h w 3"]:  # fmt: skip
    """Draw an image with its annotations: masks, boxes and names, with crowds marked.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        side: longer side of the picture in pixels. None keeps the size of the image, but enlarges small images by an integer
            factor so that names are legible.
        color_by: "class" gives each class the same colour in all pictures; "instance" gives the instances of an image
            different colours.
        **drawing: see `mrcnn.viz.draw.draw_detections`.

    Raises:
        DataError: the image or its annotations cannot be read.
    """
    image, annotations = to_rgb(dataset.load_image(image_id)), annotations_of(dataset, image_id)
    size = dataset.image_size(image_id)
    if image.shape[:2] != size:
        raise DataError(f"its file has {image.shape[0]} x {image.shape[1]} pixels (height x width), its annotations refer to "
                        f"{size[0]} x {size[1]}: correct the size, or restore the annotated image")  # fmt: skip
    if side is not None:
        image, annotations = scaled(image, annotations, side)
        drawing.setdefault("min_side", 0)
    return draw_detections(image, annotations, dataset.class_names, color_by=color_by, **drawing)


def scaled(image: UInt8[np.ndarray, "H W 3"], instances: dict[str, Any],
           side: int) -> tuple[UInt8[np.ndarray, "h w 3"], dict[str, Any]]:  # fmt: skip
    """Resize an image, with its instances, so that its longer side is `side` pixels.

    Args:
        instances: "rois" [N, 4] in pixels and "masks", N RLEs.

    Returns:
        The resized image, and the instances with resized boxes and masks, bool [h, w].
    """
    scale = side / max(image.shape[:2])
    size = tuple(max(round(v * scale), 1) for v in image.shape[1::-1])  # (width, height)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    masks = [cv2.resize(decode_rle(mask).view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 127
             for mask in instances["masks"]]
    return image, {**instances, "rois": instances["rois"] * scale, "masks": masks}


def describe(dataset: Dataset, image_id: Integer) -> tuple[str, str]:
    """Describe an image in two lines: its id, and the number of objects of each class."""
    ids = instances_of(dataset, image_id)[1]
    names = Counter(dataset.class_names[abs(int(c))] + (" (crowd)" if c < 0 else "") for c in ids)
    counts = ", ".join(f"{count} {name}" for name, count in names.most_common())
    return str(dataset.image_info[image_id]["id"]), counts or "no objects"


def view_figure(dataset: Dataset, image_ids: Iterable[Integer], *, columns: int = 4, side: int = 320,
                color_by: str = "class") -> tuple[Figure, list[Axes]]:  # fmt: skip
    """Draw annotated images side by side, each below its id and the number of objects of each class.

    Args:
        dataset: prepared.
        image_ids: indices in it.
        columns: pictures per row.
        side: width of a picture in pixels.
        color_by: see `draw_annotations`.

    Returns:
        The figure, and an array with the axes of each image. For an image that cannot be read, the reason is shown on grey.
    """
    tiles = [_tile(dataset, int(i), side, color_by) for i in image_ids]
    columns = max(1, min(columns, len(tiles)))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(picture.shape[0] for picture, *_ in row) for row in rows]
    width = columns * (side + _GAP) + _GAP
    height = max(sum(heights) + len(rows) * (_LINES + _GAP) + _GAP, 2 * _GAP)
    figure, axes, top = plt.figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI), [], _GAP
    for row, row_height in zip(rows, heights, strict=True):
        for column, (picture, lines, fault) in enumerate(row):
            h, w = picture.shape[:2]
            left = _GAP + column * (side + _GAP)
            # a pixel of the picture is a pixel of the figure, so that names stay sharp
            ax = figure.add_axes((left / width, 1 - (top + _LINES + h) / height, w / width, h / height))
            ax.imshow(picture, interpolation="nearest", aspect="auto")
            ax.axis("off")
            for line, text in enumerate(lines):
                figure.text(left / width, 1 - (top + 14 * line) / height, drawable(_cut(text, side // _LETTER)), fontsize=8,
                            va="top", fontweight="bold" if line == 0 else "normal", parse_math=False)
            if fault:
                ax.text(w / 2, h / 2, drawable(fault), fontsize=8, ha="center", va="center", parse_math=False)
            axes.append(ax)
        top += _LINES + row_height + _GAP
    return figure, axes


def _tile(dataset: Dataset, image_id: Integer, side: int, color_by: str) -> tuple[np.ndarray, tuple[str, str], str]:
    """Make a picture of `view_figure`: the picture, its two lines of text, and why it cannot be shown, or ""."""
    try:
        lines = describe(dataset, image_id)
        size = dataset.image_size(image_id)
        longer = round(side * min(max(size[0] / size[1], 1), _TALLEST))
        return draw_annotations(dataset, image_id, side=longer, color_by=color_by), lines, ""
    except DataError as error:
        reason = "\n".join(textwrap.wrap(str(error), side // _LETTER)[:8])
        return np.full((side * 3 // 4, side, 3), 224, np.uint8), (str(dataset.image_info[image_id]["id"]), ""), reason


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


# --- charts


def statistics_figure(statistics: DatasetStatistics, *, classes: int = 20) -> tuple[Figure, np.ndarray]:
    """Plot statistics: instances by class, instances per image, sizes of images and of instances.

    Args:
        classes: maximum number of classes shown, most frequent first.

    Returns:
        The figure, and an array with its four axes.
    """
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    blue, orange = PALETTE[5], PALETTE[6]
    present = sorted((c for c in statistics.classes if c.instances), key=lambda c: -c.instances)
    counts = present[:classes][::-1]
    axes[0, 0].barh([figure_text(_cut(c.name, 24)) for c in counts], [c.instances for c in counts], color=blue)
    shown = f", the {classes} most frequent" if len(present) > classes else ""
    axes[0, 0].set_title(f"instances by class{shown}")
    most = int(statistics.per_image.max(initial=0))
    bins = np.arange(most + 2) - 0.5 if most < 40 else 40
    axes[0, 1].hist(statistics.per_image, bins=bins, color=blue)
    axes[0, 1].set(title="instances per image", xlabel="instances", ylabel="images")
    axes[0, 1].yaxis.set_major_locator(MaxNLocator(integer=True))
    heights, widths = statistics.image_sizes.T
    axes[1, 0].scatter(widths, heights, s=14, alpha=0.5, color=orange)
    limits = {f"{axis}lim": (0, 1.05 * max(values.max(initial=0), 1)) for axis, values in (("x", widths), ("y", heights))}
    axes[1, 0].set(title="sizes of images", xlabel="width, pixels", ylabel="height, pixels", **limits)
    axes[1, 1].bar(list(statistics.areas), list(statistics.areas.values()), color=orange)
    axes[1, 1].set(title="sizes of instances, by COCO area", ylabel="instances")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1, 1].yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes.ravel()
