"""Non-maximum suppression on fixed shapes, with the same result on every backend.

Shapes: B images, N boxes in descending order of score, K boxes kept at most.
"""

from keras import ops

from mrcnn.network.ops import nms_tensorflow
from mrcnn.network.ops.boxes import compute_overlaps
from mrcnn.network.ops.gather import first_true
from mrcnn.network.ops.placement import on_tensorflow_processor

# Boxes that are compared with one another at a time: bounds the memory of the overlap matrix to BLOCK x N.
BLOCK = 512


def non_max_suppression(boxes, valid, *, iou_threshold, max_output, class_ids=None):
    """Keep a box unless a kept box before it overlaps it by more than `iou_threshold`.

    Exactly the greedy algorithm. TensorFlow on a processor has an operator for it, see `nms_tensorflow`, which is taken where
    there are no classes. Elsewhere it goes without the sequential loop: boxes are taken in blocks; within a block the rule
    "kept unless a kept box above suppresses me" is repeated until nothing changes. After t rounds the first t boxes
    are right, and in practice a handful of rounds is enough. A block's kept boxes then strike out later boxes at once.

    Args:
        boxes: float32 [B, N, 4]. In descending order of score. N must be known when the graph is built.
        valid: bool [B, N]. False rows (padding, low scores) are neither kept nor suppress.
        iou_threshold: float. A box that overlaps by exactly this much stays, as in TensorFlow's operator.
        max_output: int. K.
        class_ids: int32 [B, N], optional. When given only boxes of one class suppress one another.

    Returns:
        indices: int32 [B, K]. Positions of the kept boxes, in order; 0 where fewer are kept.
        kept: bool [B, K]. Which of them are there.

    Source: the fixed-point form follows from the definition of greedy NMS; `tests/network/ops/test_nms.py` holds it against it.
    """
    if class_ids is None and on_tensorflow_processor():
        return nms_tensorflow.non_max_suppression(boxes, valid, iou_threshold=iou_threshold, max_output=max_output)
    size = boxes.shape[1]
    struck = ops.logical_not(valid)  # [B, N]
    kept_blocks = []
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        suppresses = compute_overlaps(boxes[:, start:stop], boxes[:, start:]) > iou_threshold  # [B, b, N - start]
        if class_ids is not None:
            same = ops.expand_dims(class_ids[:, start:stop], 2) == ops.expand_dims(class_ids[:, start:], 1)
            suppresses = ops.logical_and(suppresses, same)
        suppresses = ops.cast(suppresses, "float32")
        candidates = ops.cast(ops.logical_not(struck[:, :stop - start]), "float32")
        kept = _greedy_in_block(suppresses[:, :, :stop - start], candidates)
        kept_blocks.append(kept)
        if stop < size:
            hits = ops.matmul(ops.expand_dims(kept, 1), suppresses[:, :, stop - start:])[:, 0]  # [B, N - stop]
            struck = ops.logical_or(struck[:, stop - start:], hits > 0.5)
    kept = ops.concatenate(kept_blocks, axis=1) > 0.5
    return first_true(kept, max_output)


def _greedy_in_block(suppresses, candidates):
    """Return float32 [B, b] 1 for the boxes of a block that the greedy algorithm keeps.

    Args:
        suppresses: float32 [B, b, b]. 1 where box i would suppress box j.
        candidates: float32 [B, b]. 1 for the boxes that nothing earlier struck out.
    """
    above = ops.triu(suppresses, k=1)  # only a box of higher score suppresses

    def changed(kept, previous):
        return ops.any(kept != previous)

    def refine(kept, previous):
        hits = ops.matmul(ops.expand_dims(kept, 1), above)[:, 0]  # [B, b]
        return ops.where(hits > 0.5, 0.0, candidates), kept

    kept, _ = refine(candidates, candidates)
    kept, _ = ops.while_loop(changed, refine, (kept, candidates))
    return kept
