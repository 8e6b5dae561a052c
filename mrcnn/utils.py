"""Classic facade: the names that projects import from `mrcnn.utils`. The work is in the packages that they come from.

Shape letters: B images, N instances, H W image.
"""

import numpy as np

from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation.per_image import compute_ap, compute_ap_range, compute_matches, compute_recall
from mrcnn.geometry.anchors import generate_anchors, generate_pyramid_anchors
from mrcnn.geometry.boxes import (
    apply_box_deltas,
    box_refinement,
    compute_iou,
    compute_overlaps,
    denorm_boxes,
    extract_bboxes,
    non_max_suppression,
    norm_boxes,
)
from mrcnn.geometry.masks import compute_overlaps_masks, expand_mask, minimize_mask, resize_mask, unmold_mask
from mrcnn.geometry.resize import resize, resize_image
from mrcnn.weights.pretrained import COCO_MODEL_URL, coco_weights

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "apply_box_deltas",
    "batch_slice",
    "box_refinement",
    "box_refinement_graph",
    "compute_ap",
    "compute_ap_range",
    "compute_iou",
    "compute_matches",
    "compute_overlaps",
    "compute_overlaps_masks",
    "compute_recall",
    "denorm_boxes",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "generate_anchors",
    "generate_pyramid_anchors",
    "minimize_mask",
    "mold_mask",
    "non_max_suppression",
    "norm_boxes",
    "resize",
    "resize_image",
    "resize_mask",
    "trim_zeros",
    "unmold_mask",
]


def box_refinement_graph(box, gt_box):
    """Compute deltas on tensors; see `box_refinement`.

    Args:
        box: tensor [N, 4].
        gt_box: tensor [N, 4].

    Returns:
        float32 tensor [N, 4] of the Keras backend.
    """
    from keras import ops

    from mrcnn.network.ops.boxes import box_refinement as refine

    return refine(ops.cast(box, "float32"), ops.cast(gt_box, "float32"))


def batch_slice(inputs, graph_fn, batch_size, names=None):
    """Apply a function that knows no batch axis to each image of a batch. The network itself has no need of it.

    Args:
        inputs: tensor or list of tensors [B, ...].
        graph_fn: function of one slice of each input; returns a tensor or a list of them.
        batch_size: int. B.
        names: list of names of the outputs; kept for the classic signature, tensors have no names now.

    Returns:
        A tensor [B, ...], or a list of them where graph_fn gives several.
    """
    from keras import ops

    inputs = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    slices = [graph_fn(*[x[i] for x in inputs]) for i in range(batch_size)]
    slices = [list(part) if isinstance(part, list | tuple) else [part] for part in slices]
    outputs = [ops.stack(parts, axis=0) for parts in zip(*slices, strict=True)]
    return outputs[0] if len(outputs) == 1 else outputs


def trim_zeros(x):
    """Drop the rows that are all zero, which is how padding is told from boxes. Args: x: [N, C]. Returns: [kept, C]."""
    x = np.asarray(x)
    return x[~np.all(x == 0, axis=1)]


def mold_mask(mask, config):
    """Give masks the form that the network trains on.

    Args:
        mask: bool [H, W, N].
        config: Config.

    Returns:
        bool [h, w, N]: mini-masks of MINI_MASK_SHAPE with USE_MINI_MASK, else the masks as they are.
    """
    mask = np.asarray(mask).astype(bool)
    if not config.USE_MINI_MASK:
        return mask
    boxes = extract_bboxes(mask)
    seen = boxes[:, 2] > boxes[:, 0]
    mini = np.zeros((*config.MINI_MASK_SHAPE, mask.shape[-1]), bool)
    mini[:, :, seen] = minimize_mask(boxes[seen], mask[:, :, seen], config.MINI_MASK_SHAPE)
    return mini


def download_trained_weights(coco_model_path, verbose=1):
    """Download the COCO weights of the classic release.

    Args:
        coco_model_path: path. Where the file goes.
        verbose: int. 0 prints nothing.

    Raises:
        mrcnn.io.download.DownloadError: the file cannot be fetched, or is not what was published.
    """
    coco_weights(coco_model_path, verbose)
