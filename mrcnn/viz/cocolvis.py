"""Figures of an image of COCO+LVIS: its layers with the masks in them, and the tree of its objects.

An object has the same colour in both. Stuff is grey.

Legend: H W image, h w part of an image, N objects.
"""

from collections import defaultdict

import cv2
import numpy as np
from matplotlib import pyplot as plt

from mrcnn.viz.colors import GREY, instance_colors, text_color
from mrcnn.viz.draw import cut_mask, to_rgb

# inches of a picture in the figure of layers, and of a place in that of the tree
_PICTURE, _PLACE = 4.2, 1.25
# how far apart the rows of the tree are, in places: a name and the lines to the parts lie between them
_ROW = 1.4
# how much of a mask's colour lies over the image, and how much of the image remains where there is none
_COVER, _DIM = 0.6, 0.3
_MOST_IN_A_ROW = 10


def layers_figure(dataset, image_id, columns=3):
    """Draw each layer of an image, its masks in colour, each with the id of its object and its number in the layer.

    Args:
        dataset: CocoLvisDataset, prepared.
        image_id: int. Position in the data set.
        columns: int. Pictures in a row.

    Returns:
        matplotlib Figure. The image itself comes first. All objects are drawn, whatever levels the data set gives.

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
    axes.flat[0].set_title(f"image {info['id']}: {count} objects, {len(masks.mapping) - count} stuff", fontsize=9)
    colors = _colors(len(masks.mapping), count)
    # on grey the colours are what they are, and alike in all layers
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    for layer, ax in enumerate(axes.flat[1 : len(masks.layers) + 1]):
        numbers, canvas = masks.layer(layer, image.shape[:2]), (grey * _DIM).astype(np.uint8)
        there = [(i, number) for i, (place, number) in enumerate(masks.mapping) if place == layer]
        for i, number in there:
            inside = numbers == number
            canvas[inside] = np.rint((1 - _COVER) * grey[inside] + _COVER * 255 * np.array(colors[i])).astype(np.uint8)
        ax.imshow(canvas, interpolation="nearest")
        for i, number in there:
            _name(ax, numbers == number, f"{i} ({number})", colors[i])
        things = sum(i < count for i, _ in there)
        ax.set_title(f"layer {layer}: {things} objects, {len(there) - things} stuff", fontsize=9)
    figure.suptitle("object (its number in the layer)", fontsize=8)
    return figure


def tree_figure(dataset, image_id, limit=60):
    """Draw the tree of an image: each object as it looks, under the one that it is a part of.

    Args:
        dataset: CocoLvisDataset, prepared.
        image_id: int. Position in the data set.
        limit: int. Most objects; what is beyond is left out, and the title says so. Trees with parts come first.

    Returns:
        matplotlib Figure. Under each object stand its id and its share of the image.

    Raises:
        DataError: the image or its masks cannot be read.
    """
    info, image, masks = dataset.image_info[image_id], to_rgb(dataset.load_image(image_id)), dataset.load_masks_file(image_id)
    places, links, rows = tree_layout(info["hierarchy"], info["num_instance_masks"], limit)
    places = {i: (x, y * _ROW) for i, (x, y) in places.items()}
    width, height = max([x for x, _ in places.values()], default=0) + 1, max(rows, 1) * _ROW
    figure, ax = plt.subplots(figsize=(max(_PLACE * width, 4), _PLACE * height + 0.5), layout="constrained")
    colors = _colors(len(masks.mapping), info["num_instance_masks"])
    for parent, child in links:
        (x1, y1), (x2, y2) = places[parent], places[child]
        middle = y2 - 0.55
        ax.plot([x1, x1, x2, x2], [y1 + 0.4, middle, middle, y2 - 0.4], color="0.4", linewidth=1, zorder=1)
    for i, (part, y, x) in _parts(masks, places, image.shape[:2]).items():
        _picture(ax, image, part, (y, x), places[i], colors[i])
        share = f"{100 * np.count_nonzero(part) / (image.shape[0] * image.shape[1]):.2g} %"
        ax.text(places[i][0], places[i][1] + 0.42, f"{i}: {share}", ha="center", va="top", fontsize=8,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}, zorder=3)  # fmt: skip
    ax.set_xlim(-0.6, width - 0.4)
    ax.set_ylim(height - 0.7, -0.5)
    ax.set_aspect("equal")
    ax.axis("off")
    left = info["num_instance_masks"] - len(places)
    ax.set_title(f"image {info['id']}: {info['num_instance_masks']} objects"
                 + (f", {left} of them not drawn" if left else ""), fontsize=9)  # fmt: skip
    return figure


def tree_layout(hierarchy, count, limit=60):
    """Find a place for each object: parts under what they are part of, in the middle over their parts.

    Args:
        hierarchy: dict id -> None or {"parent": id or None, ...}; without loops.
        count: int. Objects are 0 to count - 1.
        limit: int. Most objects.

    Returns:
        places: dict id -> (x, y). x counts columns from 0, y rows.
        links: list of (parent, child).
        rows: int.
    """
    children = defaultdict(list)
    for i in range(count):
        node = hierarchy.get(i)
        children[node["parent"] if node else None].append(i)
    # those with parts first: most objects have none, and would push the trees far apart
    roots = sorted(children[None], key=lambda i: (not children[i], i))
    places, links, first_row, column, deepest = {}, [], 0, 0, 0
    for root in roots:
        order = _walk(root, children)
        if len(places) + len(order) > limit:
            if places:
                break
            order = order[:limit]  # one tree alone is more: its upper left part
        below = {i: [] for i, _ in order}
        for i, _ in order:
            below[i] = [child for child in children[i] if child in below]
        leaves = sum(not below[i] for i in below)
        if column and column + leaves > _MOST_IN_A_ROW:
            first_row, column, deepest = first_row + deepest + 1, 0, 0
        left = column + leaves
        for i, depth in reversed(order):  # children before their parents, the leaves from right to left
            left -= not below[i]
            x = (places[below[i][0]][0] + places[below[i][-1]][0]) / 2 if below[i] else left
            places[i] = (x, first_row + depth)
            links += [(i, child) for child in below[i]]
        column += leaves
        deepest = max(deepest, *(depth for _, depth in order))
    return places, links, first_row + deepest + 1 if places else 0


def _walk(root, children):
    """List (id, depth) of a tree, each before its children, the leaves from left to right."""
    order, waiting = [], [(root, 0)]
    while waiting:
        i, depth = waiting.pop()
        order.append((i, depth))
        waiting += [(child, depth + 1) for child in reversed(children[i])]
    return order


def _colors(total, count):
    return instance_colors(count) + [GREY] * (total - count)


def _parts(masks, ids, size):
    """Cut objects to their boxes: dict id -> (bool [h, w], y1, x1)."""
    by_layer = defaultdict(list)
    for i in ids:
        by_layer[masks.mapping[i][0]].append(i)
    found = {}
    for layer, members in by_layer.items():
        numbers = masks.layer(layer, size)
        found |= {i: cut_mask(numbers == masks.mapping[i][1]) for i in members}
    return found


def _picture(ax, image, part, corner, place, color):
    """Draw an object in a square frame around a place; what is around it shows faintly."""
    if not part.size:
        ax.text(*place, "no pixels", ha="center", va="center", fontsize=8)
        return
    cut = image[corner[0] : corner[0] + part.shape[0], corner[1] : corner[1] + part.shape[1]].copy()
    cut[~part] = np.rint(cut[~part] * _DIM + 255 * (1 - _DIM)).astype(np.uint8)
    height, width = (0.8 * side / max(part.shape) for side in part.shape)
    x1, y1 = place[0] - width / 2, place[1] - height / 2
    ax.imshow(cut, extent=(x1, x1 + width, y1 + height, y1), interpolation="bilinear", zorder=2)
    ax.add_patch(plt.Rectangle((x1, y1), width, height, fill=False, edgecolor=color, linewidth=2, zorder=2))


def _name(ax, mask, text, color):
    """Write a name where a mask is thickest, so that it stands on it even where its middle is another's."""
    if not mask.any():
        return
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    box = {"boxstyle": "square,pad=0.1", "facecolor": color, "edgecolor": "none", "alpha": 0.85}
    ax.text(x, y, text, ha="center", va="center", fontsize=7, color=text_color(color), bbox=box)
