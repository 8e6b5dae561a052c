"""Pictures of a data set's images with what is annotated on them, one by one and side by side, and its counts as bars.

Behind `mrcnn view` and the notebook of the viewer.

Legend: H W image, h w picture, N instances.
"""

import difflib
import textwrap
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked
from mrcnn.datasets.dataset import instances_of
from mrcnn.geometry.rle import decode_rle
from mrcnn.viz.colors import PALETTE
from mrcnn.viz.draw import draw_detections, to_rgb

# Pixels of the figure of pictures: around each, for the two lines over it, and of a letter's width.
_GAP, _LINES, _LETTER = 12, 34, 6
_DPI = 100
# A picture is never higher than this many times its width in a figure; what is taller is shown smaller.
_TALLEST = 1.5


def find_images(dataset, wanted):
    """Find images by what a user calls them.

    Args:
        dataset: Dataset, prepared.
        wanted: list of str. Each is an image's id at its source, the name of its file, or that name without its ending.

    Returns:
        list of int positions in the data set, in the order of `wanted`, each once. A name that several images have
        gives all of them.

    Raises:
        DataError: an image that is not there, with the nearest names.
    """
    places = {}
    for position, info in enumerate(dataset.image_info):
        path = Path(str(info["path"] or info["id"]))
        for name in {str(info["id"]), path.name, path.stem}:
            places.setdefault(name, []).append(position)
    found = []
    for name in map(str, wanted):
        if name not in places:
            near = difflib.get_close_matches(name, places, n=3) or list(places)[:3]
            raise DataError(f"no image is called {name!r} among {len(dataset.image_info)}, by its id or its file name; "
                            f"there are {', '.join(near)}.")
        found += places[name]
    return list(dict.fromkeys(found))


def images_with(dataset, class_names, progress=None):
    """Find the images that hold an instance, or a crowd, of at least one of some classes.

    Args:
        dataset: Dataset, prepared.
        class_names: list of str.
        progress: function (done, total), called after each image, or None.

    Returns:
        list of int positions in the data set, in its order.

    Raises:
        ValueError: a class that is not there, with the nearest names.
    """
    wanted = set()
    for name in class_names:
        if name not in dataset.class_names[1:]:
            near = difflib.get_close_matches(name, dataset.class_names[1:], n=3) or dataset.class_names[1:6]
            raise ValueError(f"no class is called {name!r}; there are {', '.join(near)}.")
        wanted.add(dataset.class_names.index(name))
    return [int(i) for i in tracked(dataset.image_ids, progress)
            if wanted & {abs(int(c)) for c in instances_of(dataset, i)[1]}]


def choose_images(datasets, names=None, class_names=None, progress=None):
    """Choose images of the parts of a data set.

    Args:
        datasets: list of Dataset, prepared.
        names: list of str as of `find_images`, or None. Each must be found in one of the parts at least.
        class_names: list of str as of `images_with`, or None.
        progress: as of `images_with`, of each data set anew.

    Returns:
        list of lists of int positions, one a data set: all images where nothing is asked for.

    Raises:
        DataError: an image that is in no part. ValueError: an unknown class, or no image holds what was asked for.
    """
    chosen = [[int(i) for i in dataset.image_ids] for dataset in datasets]
    if names:
        chosen, faults = [[] for _ in datasets], {}
        for name in names:
            for positions, dataset in zip(chosen, datasets, strict=True):
                try:
                    positions += [i for i in find_images(dataset, [name]) if i not in positions]
                except DataError as error:
                    faults.setdefault(name, []).append(error)
        lost = [errors[0] for errors in faults.values() if len(errors) == len(datasets)]
        if lost:
            raise lost[0]
    if class_names:
        held = [set(images_with(dataset, class_names, progress)) for dataset in datasets]
        chosen = [[i for i in positions if i in with_class] for positions, with_class in zip(chosen, held, strict=True)]
        if not any(chosen):
            raise ValueError(f"no image that was asked for holds {' or '.join(class_names)}.")
    return chosen


def annotations_of(dataset, image_id):
    """Give the annotations of an image in the form of detections, to be drawn as these are.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position in the data set.

    Returns:
        dict: "rois" float [N, 4] (y1, x1, y2, x2) pixels; "class_ids" int [N], negative for crowds; "masks" list of N
        RLE dicts. The largest comes first.
    """
    truth = sorted(dataset.ground_truth(image_id), key=lambda one: -one["area"])
    x, y, w, h = np.array([one["bbox"] for one in truth], np.float64).reshape(-1, 4).T
    ids = [-one["class_id"] if one["iscrowd"] else one["class_id"] for one in truth]
    return {"rois": np.stack([y, x, y + h, x + w], axis=1), "class_ids": np.array(ids, np.int32),
            "masks": [one["segmentation"] for one in truth]}


def draw_annotations(dataset, image_id, *, side=None, color_by="class", **drawing):
    """Draw an image with what is annotated on it: masks, boxes and names; crowds are named so.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position in the data set.
        side: int pixels, or None. The longer side of the picture; None keeps the image's size (a small one is enlarged
            by a whole factor, so that names can be read).
        color_by: "class" gives a class one colour in all pictures; "instance" tells neighbours of a class apart.
        **drawing: as of `draw.draw_detections`.

    Returns:
        uint8 [h, w, 3].

    Raises:
        DataError: the image, or its annotations, cannot be read.
    """
    image, found = to_rgb(dataset.load_image(image_id)), annotations_of(dataset, image_id)
    if side is not None:
        image, found = scaled(image, found, side)
        drawing.setdefault("min_side", 0)
    return draw_detections(image, found, dataset.class_names, color_by=color_by, **drawing)


def scaled(image, found, side):
    """Bring an image, and the instances on it, to a longer side of `side` pixels.

    Args:
        image: uint8 [H, W, 3].
        found: dict with "rois" float or int [N, 4] pixels and "masks", list of N RLE.
        side: int.

    Returns:
        image: uint8 [h, w, 3].
        found: the same dict with boxes and masks (bool [h, w]) of that size.
    """
    scale = side / max(image.shape[:2])
    size = tuple(max(round(v * scale), 1) for v in image.shape[1::-1])  # (width, height)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    masks = [cv2.resize(decode_rle(mask).view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 127
             for mask in found["masks"]]
    return image, {**found, "rois": found["rois"] * scale, "masks": masks}


def told(dataset, image_id):
    """Say in two lines which image it is and what it holds. Returns: (str, str)."""
    ids = instances_of(dataset, image_id)[1]
    names = Counter(dataset.class_names[abs(int(c))] + (" (crowd)" if c < 0 else "") for c in ids)
    held = ", ".join(f"{count} {name}" for name, count in names.most_common())
    return str(dataset.image_info[image_id]["id"]), held or "no objects"


def view_figure(dataset, image_ids, *, columns=4, side=320, color_by="class"):
    """Show images with what is annotated on them side by side; over each stand its id and what it holds.

    Args:
        dataset: Dataset, prepared.
        image_ids: iterable of positions in it.
        columns: int. Pictures in a row.
        side: int pixels. The width of a picture.
        color_by: as of `draw_annotations`.

    Returns:
        (figure, axes): matplotlib Figure, and a list of its Axes, one an image. An image that cannot be read is a grey
        field with the reason.
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
            # a pixel of the picture is one of the figure: names stay sharp
            ax = figure.add_axes((left / width, 1 - (top + _LINES + h) / height, w / width, h / height))
            ax.imshow(picture, interpolation="nearest", aspect="auto")
            ax.axis("off")
            for line, text in enumerate(lines):
                figure.text(left / width, 1 - (top + 14 * line) / height, _cut(text, side // _LETTER), fontsize=8, va="top",
                            fontweight="bold" if line == 0 else "normal", parse_math=False)
            if fault:
                ax.text(w / 2, h / 2, fault, fontsize=8, ha="center", va="center", parse_math=False)
            axes.append(ax)
        top += _LINES + row_height + _GAP
    return figure, axes


def _tile(dataset, image_id, side, color_by):
    """Draw one picture of `view_figure`: (uint8 [h, w, 3], two lines, reason that it cannot be shown or "")."""
    try:
        lines = told(dataset, image_id)
        size = dataset.image_size(image_id)
        longer = round(side * min(max(size[0] / size[1], 1), _TALLEST))
        return draw_annotations(dataset, image_id, side=longer, color_by=color_by), lines, ""
    except DataError as error:
        reason = "\n".join(textwrap.wrap(str(error), side // _LETTER)[:8])
        return np.full((side * 3 // 4, side, 3), 224, np.uint8), (str(dataset.image_info[image_id]["id"]), ""), reason


def _cut(text, letters):
    return text if len(text) <= letters else text[: letters - 1] + "…"


def statistics_figure(statistics, *, classes=20):
    """Draw what a data set holds: instances by class, instances an image, sizes of images and of instances.

    Args:
        statistics: mrcnn.tools.view.statistics.DatasetStatistics.
        classes: int. Classes shown, the most frequent.

    Returns:
        (figure, axes): matplotlib Figure, and an array of four Axes.
    """
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    blue, orange = PALETTE[5], PALETTE[6]
    counts = sorted((c for c in statistics.classes if c.instances), key=lambda c: -c.instances)[:classes][::-1]
    axes[0, 0].barh([_cut(c.name, 24) for c in counts], [c.instances for c in counts], color=blue)
    shown = f", the {classes} most frequent" if len([c for c in statistics.classes if c.instances]) > classes else ""
    axes[0, 0].set_title(f"instances by class{shown}")
    most = int(statistics.per_image.max(initial=0))
    bins = np.arange(most + 2) - 0.5 if most < 40 else 40
    axes[0, 1].hist(statistics.per_image, bins=bins, color=blue)
    axes[0, 1].set(title="instances an image", xlabel="instances", ylabel="images")
    axes[0, 1].yaxis.set_major_locator(MaxNLocator(integer=True))
    heights, widths = statistics.image_sizes.T
    axes[1, 0].scatter(widths, heights, s=14, alpha=0.5, color=orange)
    limits = {f"{axis}lim": (0, 1.05 * max(values.max(initial=0), 1)) for axis, values in (("x", widths), ("y", heights))}
    axes[1, 0].set(title="sizes of images", xlabel="width, pixels", ylabel="height, pixels", **limits)
    axes[1, 1].bar(list(statistics.areas), list(statistics.areas.values()), color=orange)
    axes[1, 1].set(title="sizes of instances, by COCO's areas", ylabel="instances")
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1, 1].yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes.ravel()
