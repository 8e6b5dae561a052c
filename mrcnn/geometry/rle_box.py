"""RLE of a mask from its part inside a box, and back: the work is of the box's size, not of the image's.

pycocotools encodes and decodes whole images; for a hundred instances on a photograph of 12 megapixels that takes
seconds.

Shape letters: H W image, h w part inside the box.
"""

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.geometry.rle import as_rle, rle_bbox
from mrcnn.geometry.rle_counts import run_lengths


def encode_in_box(part, box, size):
    """Write a mask as RLE from its part inside a box.

    Args:
        part: bool [y2 - y1, x2 - x1]. The mask inside the box; all else is background.
        box: (y1, x1, y2, x2) int pixels, within the image.
        size: (H, W) of the image.

    Returns:
        dict {"size": [H, W], "counts": str}, the same as of the whole mask.
    """
    height, width = (int(v) for v in size)
    y1, x1 = int(box[0]), int(box[1])
    # RLE runs down the columns: on the transposed part, a blank row on either side shows each run as a +1 and a -1.
    columns = np.pad(np.asarray(part, bool).T.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(columns, axis=1)
    column, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    offset = (x1 + column) * height + y1
    edges = np.stack([offset + start, offset + stop], axis=1).reshape(-1)
    # A run that ends at the foot of a column and one that starts at the head of the next are one run.
    edges = np.concatenate([[0], edges, [height * width]])
    counts = np.diff(_merge_touching(edges))
    if len(counts) > 1 and counts[-1] == 0:  # the writer's canonical form has no empty run at the end
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def _merge_touching(edges):
    """Drop both edges of each empty gap between two runs; the gap before the first run may stay empty."""
    empty = np.nonzero(np.diff(edges)[2:-1:2] == 0)[0] * 2 + 2  # gaps have even positions
    return np.delete(edges, np.concatenate([empty, empty + 1])) if len(empty) else edges


def decode_to_box(rle):
    """The part of a mask inside its own tight box.

    Args:
        rle: dict {"size": [H, W], "counts": str, bytes or list of int}.

    Returns:
        part: bool [h, w]. [0, 0] for an empty mask.
        box: (y1, x1, y2, x2) int pixels.

    Raises:
        ValueError: a list of run lengths that does not fill the size.
    """
    rle = as_rle(rle)
    y1, x1, y2, x2 = box = rle_bbox(rle)
    if y2 <= y1 or x2 <= x1:
        return np.zeros((0, 0), bool), (0, 0, 0, 0)
    height = int(rle["size"][0])
    edges = np.cumsum(run_lengths(rle)) - x1 * height
    changes = np.zeros((x2 - x1) * height + 1, np.int8)
    # an edge between background and mask, then one back; the last edge ends the image and may lie beyond the box
    np.add.at(changes, edges[0::2][: len(edges) // 2], 1)
    np.add.at(changes, edges[1::2], -1)
    columns = np.cumsum(changes[:-1], dtype=np.int8).reshape(x2 - x1, height)
    return np.ascontiguousarray(columns[:, y1:y2].T.view(bool)), box
