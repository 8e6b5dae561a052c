"""Classic facade: the names that projects import from `mrcnn.utils`, and five small functions that nothing else uses.

Shape letters: B images, N instances, H W image, h w mini-mask.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Num

from mrcnn.config import Config
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
from mrcnn.weights.catalogue import COCO_MODEL_URL, coco_weights

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


def box_refinement_graph(box: Any, gt_box: Any) -> Any:
    """Return the deltas, float32 [N, 4], from boxes [N, 4] to ground-truth boxes [N, 4]; see `box_refinement`."""
    from keras import ops

    from mrcnn.network.ops.boxes import box_refinement as refine

    return refine(ops.cast(box, "float32"), ops.cast(gt_box, "float32"))


def batch_slice(inputs: Any, graph_fn: Callable[..., Any], batch_size: int, names: Sequence[str] | None = None) -> Any:
    """Apply a function without a batch axis to each image of a batch. The network itself does not use it.

    Args:
        inputs: tensor or list of tensors [B, ...].
        graph_fn: function of one slice of each input that returns a tensor or a list of tensors.
        names: not used; tensors no longer have names.

    Returns:
        A tensor [B, ...], or a list of tensors if graph_fn returns several.
    """
    from keras import ops

    inputs = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    slices = [graph_fn(*[x[i] for x in inputs]) for i in range(batch_size)]
    slices = [list(part) if isinstance(part, list | tuple) else [part] for part in slices]
    outputs = [ops.stack(parts, axis=0) for parts in zip(*slices, strict=True)]
    return outputs[0] if len(outputs) == 1 else outputs


def trim_zeros(x: npt.ArrayLike) -> Num[np.ndarray, "kept C"]:
    """Drop the rows of an array [N, C] that are all zero, such as the padding after boxes."""
    rows = np.asarray(x)
    return rows[~np.all(rows == 0, axis=1)]


def mold_mask(mask: npt.ArrayLike, config: Config) -> Bool[np.ndarray, "h w N"]:
    """Convert masks [H, W, N] to training masks: mini-masks with USE_MINI_MASK, otherwise the masks themselves."""
    masks = np.asarray(mask).astype(bool)
    if not config.USE_MINI_MASK:
        return masks
    boxes = extract_bboxes(masks)
    not_empty = boxes[:, 2] > boxes[:, 0]
    mini = np.zeros((*config.MINI_MASK_SHAPE, masks.shape[-1]), bool)
    mini[:, :, not_empty] = minimize_mask(boxes[not_empty], masks[:, :, not_empty], config.MINI_MASK_SHAPE)
    return mini


def download_trained_weights(coco_model_path: Path | str, verbose: int = 1) -> None:
    """Download the COCO weights of the classic release to a file; `verbose` 0 prints nothing.

    Raises:
        mrcnn.io.download.DownloadError: the download failed, or its digest is wrong.
    """
    coco_weights(coco_model_path, verbose)
