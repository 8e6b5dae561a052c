"""Non-maximum suppression with static shapes and the same result on every backend.

Shape letters: B images, N boxes in descending order of score, K maximum number of kept boxes, b boxes of a block.
"""

from keras import KerasTensor, ops

from mrcnn.network.ops.boxes import compute_overlaps
from mrcnn.network.ops.device import on_tensorflow_cpu
from mrcnn.network.ops.gather import first_true, gather_rows

# Number of boxes compared with all later ones at once; it limits the overlap matrix to BLOCK x N.
BLOCK = 512
# How fast soft suppression lowers scores with the IoU: a score is halved at an IoU of 0.59.
SOFT_SIGMA = 0.5


def non_max_suppression(
    boxes: KerasTensor, valid: KerasTensor, *, iou_threshold: float, max_output: int, class_ids: KerasTensor | None = None
) -> tuple[KerasTensor, KerasTensor]:
    """Keep each box unless a kept box with a higher score overlaps it by more than `iou_threshold`.

    The result is exactly that of the greedy algorithm, without its sequential loop. Boxes are processed in blocks. Within a
    block, the rule "kept unless a higher-scoring kept box suppresses it" is applied until nothing changes: after t rounds the
    first t boxes are final, and in practice a few rounds suffice. The kept boxes of a block then suppress all later boxes at
    once.

    On a CPU, TensorFlow's own operator is used unless classes are given.

    Args:
        boxes: float32 [B, N, 4], in descending order of score. N must be static.
        valid: bool [B, N]. Invalid rows (padding, low scores) are neither kept nor suppress others.
        iou_threshold: a box with exactly this IoU is kept, as in TensorFlow's operator.
        max_output: K.
        class_ids: int32 [B, N]. If given, a box suppresses only boxes of its own class.

    Returns:
        indices: int32 [B, K]. Positions of the kept boxes, in order; 0 in unused slots.
        kept: bool [B, K]. False in unused slots.

    Source: the fixed point follows from the definition of greedy NMS; `tests/network/ops/test_nms.py` checks the equivalence.
    """
    if class_ids is None and on_tensorflow_cpu():
        return _tensorflow_cpu_nms(boxes, valid, iou_threshold, max_output)
    size = boxes.shape[1]
    suppressed = ops.logical_not(valid)  # [B, N]
    kept_blocks = []
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        suppresses = compute_overlaps(boxes[:, start:stop], boxes[:, start:]) > iou_threshold  # [B, b, N - start]
        if class_ids is not None:
            same = ops.expand_dims(class_ids[:, start:stop], 2) == ops.expand_dims(class_ids[:, start:], 1)
            suppresses = ops.logical_and(suppresses, same)
        suppresses = ops.cast(suppresses, "float32")
        candidates = ops.cast(ops.logical_not(suppressed[:, :stop - start]), "float32")
        kept = _greedy_in_block(suppresses[:, :, :stop - start], candidates)
        kept_blocks.append(kept)
        if stop < size:
            hits = ops.matmul(ops.expand_dims(kept, 1), suppresses[:, :, stop - start:])[:, 0]  # [B, N - stop]
            suppressed = ops.logical_or(suppressed[:, stop - start:], hits > 0.5)
    kept = ops.concatenate(kept_blocks, axis=1) > 0.5
    return first_true(kept, max_output)


def soft_non_max_suppression(
    boxes: KerasTensor, scores: KerasTensor, class_ids: KerasTensor, *, min_score: KerasTensor | float, max_output: int
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """Keep the highest-scoring box, lower the scores of boxes of its class by how much they overlap it, and repeat.

    Args:
        boxes: float32 [B, N, 4].
        scores: float32 [B, N]. Negative for invalid rows.
        class_ids: int32 [B, N].
        min_score: float, or float32 [B, 1]. Boxes whose score falls below are dropped.
        max_output: K.

    Returns:
        indices: int32 [B, K]. Positions of the kept boxes, in descending order of their lowered scores; 0 in unused slots.
        kept_scores: float32 [B, K]. The lowered scores; 0 in unused slots.
        kept: bool [B, K]. False in unused slots.

    Source: Soft-NMS (Bodla et al. 2017), equation 4, with the authors' sigma of 0.5.
    """
    batch, positions = ops.shape(boxes)[0], ops.arange(boxes.shape[1], dtype="int32")[None]  # [1, N]
    slots = ops.arange(max_output, dtype="int32")[None]  # [1, K]

    def keep_best(number, state):
        scores, indices, kept_scores = state
        best = ops.cast(ops.argmax(scores, axis=1), "int32")[:, None]  # [B, 1]
        score = ops.max(scores, axis=1, keepdims=True)
        overlaps = compute_overlaps(gather_rows(boxes, best), boxes)[:, 0]  # [B, N]
        same = class_ids == gather_rows(class_ids, best)
        lowered = scores * ops.where(same, ops.exp(-ops.square(overlaps) / SOFT_SIGMA), 1.0)
        scores = ops.where(ops.logical_or(positions == best, scores < 0.0), -1.0, lowered)
        return scores, ops.where(slots == number, best, indices), ops.where(slots == number, score, kept_scores)

    start = scores, ops.zeros((batch, max_output), "int32"), ops.zeros((batch, max_output), "float32") - 1.0
    _, indices, kept_scores = ops.fori_loop(0, max_output, keep_best, start)
    kept = kept_scores >= ops.maximum(min_score, 0.0)
    return ops.where(kept, indices, 0), ops.where(kept, kept_scores, 0.0), kept


def _greedy_in_block(suppresses: KerasTensor, candidates: KerasTensor) -> KerasTensor:
    """Return float32 [B, b]: 1 for the boxes of a block that the greedy algorithm keeps.

    Args:
        suppresses: float32 [B, b, b]. 1 if the IoU of boxes i and j exceeds the threshold.
        candidates: float32 [B, b]. 0 for boxes that an earlier block suppressed.
    """
    above = ops.triu(suppresses, k=1)  # only a higher-scoring box suppresses

    def changed(kept, previous):
        return ops.any(kept != previous)

    def refine(kept, previous):
        hits = ops.matmul(ops.expand_dims(kept, 1), above)[:, 0]  # [B, b]
        return ops.where(hits > 0.5, 0.0, candidates), kept

    kept, _ = refine(candidates, candidates)
    kept, _ = ops.while_loop(changed, refine, (kept, candidates))
    return kept


def _tensorflow_cpu_nms(
    boxes: KerasTensor, valid: KerasTensor, iou_threshold: float, max_output: int
) -> tuple[KerasTensor, KerasTensor]:
    """Run TensorFlow's own operator, which stops once enough boxes are kept.

    On a CPU, it takes 10 to 40 ms to keep 1000 of 6000 boxes, where the blocks take 200 ms. On a GPU, the blocks are faster.
    """
    import tensorflow as tf

    boxes = tf.cast(boxes, "float32")
    # Descending scores keep the order of the rows; invalid rows score below the threshold.
    order = tf.range(boxes.shape[1], 0, -1, dtype="float32")
    scores = tf.where(valid, order, -1.0)

    def nms_of_image(image):
        return tuple(tf.raw_ops.NonMaxSuppressionV4(
            boxes=image[0], scores=image[1], max_output_size=max_output, iou_threshold=iou_threshold, score_threshold=0.0,
            pad_to_max_output_size=True))

    signature = (tf.TensorSpec((max_output,), "int32"), tf.TensorSpec((), "int32"))
    indices, counts = tf.map_fn(nms_of_image, (boxes, scores), fn_output_signature=signature)
    kept = tf.range(max_output) < counts[:, None]  # [B, K]
    return tf.where(kept, indices, 0), kept
