"""Figures of a COCO+LVIS image: its layers of masks, and the tree of its objects.

An object has the same colour in both figures. Stuff is grey.

Shape letters: H W image, h w part of an image.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn.datasets.formats.cocolvis import CocoLvisDataset
from mrcnn.viz.colors import GREY, Color, instance_colors, text_color
from mrcnn.viz.draw import MaskPart, cut_mask, to_rgb
from mrcnn.viz.fonts import figure_text

# size in inches of a picture in the figure of layers, and of a cell in the tree
_PICTURE, _CELL = 4.2, 1.25
# distance between rows of the tree, in cells, which leaves room for a name and the lines to the children
_ROW = 1.4
# opacity of the colour of a mask, and brightness of the image outside the masks
_ALPHA, _DIM = 0.6, 0.3
# objects in a row of the tree
_MAX_COLUMNS = 10


def layers_figure(dataset: CocoLvisDataset, image_id: int | np.integer, columns: int = 3) -> Figure:
    """Draw an image and each of its layers: masks in colour, with the id of the object and, in brackets, its mask id.

    The mask id is the value of the object's pixels in the layer.

    All objects are drawn, even if the data set returns only some levels of the hierarchy.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        columns: pictures per row.

    Raises:
        DataError: the image or its masks cannot be read.
    """
    info, image, masks = dataset.image_info[image_id], to_rgb(dataset.load_image(image_id)), dataset.load_masks_file(image_id)
    columns = min(max(1, columns), len(masks.layers) + 1)
    rows = -(-(len(masks.layers) + 1) // columns)
    height = _PICTURE * min(max(image.shape[0] / image.shape[1], 0.3), 3)
    figure, axes = plt.subplots(rows, columns, figsize=(_PICTURE * columns, (height + 0.4) * rows + 0.4), squeeze=False,
                                layout="constrained")  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    count = info["num_instance_masks"]
    axes.flat[0].imshow(image)
    axes.flat[0].set_title(f"image {figure_text(info['id'])}: {count} objects, {len(masks.mapping) - count} stuff", fontsize=9)
    colors = _colors(len(masks.mapping), count)
    # a grey background does not tint the colours of the masks
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    for layer, ax in enumerate(axes.flat[1 : len(masks.layers) + 1]):
        numbers, canvas = masks.layer(layer, image.shape[:2]), (grey * _DIM).astype(np.uint8)
        members = [(i, number) for i, (of_layer, number) in enumerate(masks.mapping) if of_layer == layer]
        for i, number in members:
            inside = numbers == number
            canvas[inside] = np.rint((1 - _ALPHA) * grey[inside] + _ALPHA * 255 * np.array(colors[i])).astype(np.uint8)
        ax.imshow(canvas, interpolation="nearest")
        for i, number in members:
            _add_name(ax, numbers == number, f"{i} ({number})", colors[i])
        objects = sum(i < count for i, _ in members)
        ax.set_title(f"layer {layer}: {objects} objects, {len(members) - objects} stuff", fontsize=9)
    figure.suptitle("object (mask id)", fontsize=8)
    return figure


def tree_figure(dataset: CocoLvisDataset, image_id: int | np.integer, limit: int = 60) -> Figure:
    """Draw the hierarchy of an image as a tree: a cutout of each object below its parent, with its id and percentage of pixels.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        limit: maximum number of objects; the title gives the number left out. Objects with children come first.

    Raises:
        DataError: the image or its masks cannot be read.
    """
    info, image, masks = dataset.image_info[image_id], to_rgb(dataset.load_image(image_id)), dataset.load_masks_file(image_id)
    cells, links, rows = tree_layout(info["hierarchy"], info["num_instance_masks"], limit)
    positions = {i: (x, y * _ROW) for i, (x, y) in cells.items()}
    width, height = max([x for x, _ in positions.values()], default=0) + 1, max(rows, 1) * _ROW
    figure, ax = plt.subplots(figsize=(max(_CELL * width, 4), _CELL * height + 0.5), layout="constrained")
    colors = _colors(len(masks.mapping), info["num_instance_masks"])
    for parent, child in links:
        (x1, y1), (x2, y2) = positions[parent], positions[child]
        middle = y2 - 0.55
        ax.plot([x1, x1, x2, x2], [y1 + 0.4, middle, middle, y2 - 0.4], color="0.4", linewidth=1, zorder=1)
    for i, part in _cut_objects(masks, positions, image.shape[:2]).items():
        _add_cutout(ax, image, part, positions[i], colors[i])
        percentage = f"{100 * np.count_nonzero(part[0]) / (image.shape[0] * image.shape[1]):.2g} %"
        ax.text(positions[i][0], positions[i][1] + 0.42, f"{i}: {percentage}", ha="center", va="top", fontsize=8,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}, zorder=3)  # fmt: skip
    ax.set_xlim(-0.6, width - 0.4)
    ax.set_ylim(height - 0.7, -0.5)
    ax.set_aspect("equal")
    ax.axis("off")
    left = info["num_instance_masks"] - len(positions)
    ax.set_title(f"image {figure_text(info['id'])}: {info['num_instance_masks']} objects"
                 + (f", {left} of them not drawn" if left else ""), fontsize=9)  # fmt: skip
    return figure


def tree_layout(
    hierarchy: Mapping[int, Mapping[str, Any] | None], count: int, limit: int = 60
) -> tuple[dict[int, tuple[float | int, int]], list[tuple[int, int]], int]:
    """Assign a cell to each object: children below their parent, the parent centred above its children.

    Args:
        hierarchy: None or {"parent": id or None, ...} by id; without cycles.
        count: number of objects; their ids are 0 to count - 1.
        limit: maximum number of objects.

    Returns:
        The (column, row) of each object by id; all (parent, child) pairs; the number of rows.
    """
    children = defaultdict(list)
    for i in range(count):
        node = hierarchy.get(i)
        children[node["parent"] if node else None].append(i)
    # objects with children first: most objects have none, and would push the trees far apart
    roots = sorted(children[None], key=lambda i: (not children[i], i))
    cells: dict[int, tuple[float | int, int]] = {}
    links: list[tuple[int, int]] = []
    first_row = column = deepest = 0
    for root in roots:
        order = _walk(root, children)
        if len(cells) + len(order) > limit:
            if cells:
                break
            order = order[:limit]  # the first tree alone exceeds the limit: keep its upper left part
        below: dict[int, list[int]] = {i: [] for i, _ in order}
        for i, _ in order:
            below[i] = [child for child in children[i] if child in below]
        leaves = sum(not below[i] for i in below)
        if column and column + leaves > _MAX_COLUMNS:
            first_row, column, deepest = first_row + deepest + 1, 0, 0
        left = column + leaves
        for i, depth in reversed(order):  # children before their parents, leaves from right to left
            left -= not below[i]
            x = (cells[below[i][0]][0] + cells[below[i][-1]][0]) / 2 if below[i] else left
            cells[i] = (x, first_row + depth)
            links += [(i, child) for child in below[i]]
        column += leaves
        deepest = max(deepest, *(depth for _, depth in order))
    return cells, links, first_row + deepest + 1 if cells else 0


def _walk(root: int, children: Mapping[int | None, list[int]]) -> list[tuple[int, int]]:
    """List the (id, depth) of a tree, parents before children, leaves from left to right."""
    order, waiting = [], [(root, 0)]
    while waiting:
        i, depth = waiting.pop()
        order.append((i, depth))
        waiting += [(child, depth + 1) for child in reversed(children[i])]
    return order


def _colors(total: int, count: int) -> list[Color]:
    """Return colours for `count` objects, then grey for stuff."""
    return instance_colors(count) + [GREY] * (total - count)


def _cut_objects(masks: Any, ids: Iterable[int], size: tuple[int, ...]) -> dict[int, MaskPart]:
    """Cut the masks of objects to their boxes, reading each layer once."""
    by_layer = defaultdict(list)
    for i in ids:
        by_layer[masks.mapping[i][0]].append(i)
    parts: dict[int, MaskPart] = {}
    for layer, members in by_layer.items():
        numbers = masks.layer(layer, size)
        parts |= {i: cut_mask(numbers == masks.mapping[i][1]) for i in members}
    return parts


def _add_cutout(
    ax: Axes, image: UInt8[np.ndarray, "H W 3"], part: MaskPart, middle: tuple[float | int, float | int], color: Color
) -> None:
    """Draw an object in a frame around a point (x, y), with its surroundings faded."""
    inside, top, left = part
    if not inside.size:
        ax.text(*middle, "no pixels", ha="center", va="center", fontsize=8)
        return
    cut = image[top : top + inside.shape[0], left : left + inside.shape[1]].copy()
    cut[~inside] = np.rint(cut[~inside] * _DIM + 255 * (1 - _DIM)).astype(np.uint8)
    height, width = (0.8 * side / max(inside.shape) for side in inside.shape)
    x1, y1 = middle[0] - width / 2, middle[1] - height / 2
    ax.imshow(cut, extent=(x1, x1 + width, y1 + height, y1), interpolation="bilinear", zorder=2)
    ax.add_patch(plt.Rectangle((x1, y1), width, height, fill=False, edgecolor=color, linewidth=2, zorder=2))


def _add_name(ax: Axes, mask: Bool[np.ndarray, "H W"], text: str, color: Color) -> None:
    """Write a name where the mask is thickest: its centre may belong to another object."""
    if not mask.any():
        return
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    box = {"boxstyle": "square,pad=0.1", "facecolor": color, "edgecolor": "none", "alpha": 0.85}
    ax.text(float(x), float(y), text, ha="center", va="center", fontsize=7, color=text_color(color), bbox=box)
