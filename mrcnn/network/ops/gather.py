"""Gathering a fixed number of rows from batched tensors.

Shape letters: B images, N rows, K gathered rows.
"""

from keras import KerasTensor, ops


def gather_rows(rows: KerasTensor, indices: KerasTensor) -> KerasTensor:
    """Gather rows of each image with a single flat gather, which every backend runs as a row copy with one scatter as gradient.

    Args:
        rows: [B, N, ...].
        indices: int32 [B, K] in [0, N).

    Returns:
        [B, K, ...], of the dtype of `rows`.
    """
    batch, count = ops.shape(rows)[0], ops.shape(rows)[1]
    flat = ops.reshape(rows, (-1, *rows.shape[2:]))
    offsets = ops.expand_dims(ops.arange(batch, dtype="int32") * count, -1)
    return ops.take(flat, ops.cast(indices, "int32") + offsets, axis=0)


def first_true(mask: KerasTensor, count: int) -> tuple[KerasTensor, KerasTensor]:
    """Return the positions of the first `count` true entries of each row, in order.

    Args:
        mask: bool [B, N].
        count: K.

    Returns:
        indices: int32 [B, K]. 0 where a row has fewer than K true entries.
        valid: bool [B, K]. False for those zeros.
    """
    size = ops.shape(mask)[1]
    # The keys are distinct because top_k is not stable on every backend. float32 represents integers exactly up to 2^24.
    order = ops.cast(size - ops.arange(size, dtype="int32"), "float32")
    keys = ops.where(mask, order, 0.0)
    static = mask.shape[1]
    if static is None or static < count:
        keys = ops.pad(keys, ((0, 0), (0, count)))
    top, indices = ops.top_k(keys, count)
    valid = top > 0.0
    return ops.where(valid, ops.cast(indices, "int32"), 0), valid


def mask_rows(rows: KerasTensor, valid: KerasTensor) -> KerasTensor:
    """Set invalid rows to zero.

    Args:
        rows: [B, K, ...].
        valid: bool [B, K].

    Returns:
        [B, K, ...], of the dtype of `rows`.
    """
    shape = tuple(ops.shape(valid)) + (1,) * (len(rows.shape) - 2)
    return ops.where(ops.reshape(valid, shape), rows, ops.zeros_like(rows))
