"""The objects of an image of COCO+LVIS, out of its COCO and LVIS instances: which ones, the tree, and the layers.

Masks are RLEs of one size throughout. Shape letters: H W image, N objects, C COCO instances, L LVIS instances.
"""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.geometry.rle_box import decode_to_box

# numbers of masks in a layer of uint8, of which 0 is none
MOST_IN_A_LAYER = 255


def uncovered(coco, lvis, overlap):
    """Find the COCO instances that no LVIS instance covers.

    Args:
        coco: list of C compressed RLEs.
        lvis: list of L compressed RLEs.
        overlap: float. An instance is covered by one whose IoU with it is at least this.

    Returns:
        list of int, positions in `coco`.
    """
    if not coco or not lvis:
        return list(range(len(coco)))
    ious = coco_mask.iou(coco, lvis, [0] * len(lvis))  # [C, L]
    return np.flatnonzero(ious.max(axis=1) < overlap).tolist()


def containment_tree(rles, part_share):
    """Find what each object is a part of: the smallest other object that most of it lies in.

    Args:
        rles: list of N compressed RLEs, none empty.
        part_share: float. Share of an object's pixels that must lie in another for it to be a part of it.

    Returns:
        dict id -> None for an object by itself, or {"children": ascending ids, "parent": id or None, "node_level": depth, 0 for
        what is part of nothing}. Of objects that have as many pixels, the earlier one may contain the later one.
    """
    if not rles:
        return {}
    # what COCO's evaluation computes with crowds is the share of the first that lies in the second
    shares = coco_mask.iou(rles, rles, [1] * len(rles))  # [N, N]
    areas = coco_mask.area(rles).tolist()
    ranks = [(area, -i) for i, area in enumerate(areas)]
    parents = []
    for i in range(len(rles)):
        around = [j for j in np.flatnonzero(shares[i] >= part_share).tolist() if ranks[j] > ranks[i]]
        parents.append(min(around, key=ranks.__getitem__, default=None))
    levels = {}
    for i in sorted(range(len(rles)), key=ranks.__getitem__, reverse=True):  # larger ones, and so parents, first
        levels[i] = 0 if parents[i] is None else levels[parents[i]] + 1
    children = [[] for _ in rles]
    for i, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(i)
    return {i: None if parents[i] is None and not children[i] else
            {"children": children[i], "parent": parents[i], "node_level": levels[i]} for i in range(len(rles))}  # fmt: skip


def pack_layers(rles, size):
    """Lay objects into as few layers as the first free place for each gives, so that none overlap in a layer.

    Args:
        rles: list of N RLEs.
        size: (height, width).

    Returns:
        layers: list of uint8 [H, W]. 0 where there is nothing, else the number of an object in this layer, from 1.
        mapping: list of N (layer, number).
    """
    layers, counts, mapping = [], [], []
    for rle in rles:
        part, (y1, x1, y2, x2) = decode_to_box(rle)
        for index, layer in enumerate(layers):
            if counts[index] < MOST_IN_A_LAYER and not layer[y1:y2, x1:x2][part].any():
                break
        else:
            index = len(layers)
            layers.append(np.zeros(size, np.uint8))
            counts.append(0)
        counts[index] += 1
        layers[index][y1:y2, x1:x2][part] = counts[index]
        mapping.append((index, counts[index]))
    return layers, mapping


def encode_layers(layers):
    """Encode layers as PNGs. Args: layers: list of uint8 [H, W]. Returns: list of uint8 [bytes]."""
    return [cv2.imencode(".png", layer)[1].reshape(-1) for layer in layers]
