"""Picking rows of batched tensors with indices of fixed number.

Shapes: B images, N rows, K picked rows.
"""

from keras import ops


def gather_rows(rows, indices):
    """Pick rows of each image.

    One flat gather: every backend runs it as a copy of whole rows, and its gradient is one scatter.

    Args:
        rows: [B, N, ...].
        indices: int32 [B, K]. Positions in 0 to N - 1.

    Returns:
        [B, K, ...], of the dtype of `rows`.
    """
    batch, count = ops.shape(rows)[0], ops.shape(rows)[1]
    flat = ops.reshape(rows, (-1, *rows.shape[2:]))
    offsets = ops.expand_dims(ops.arange(batch, dtype="int32") * count, -1)
    return ops.take(flat, ops.cast(indices, "int32") + offsets, axis=0)


def first_true(mask, count):
    """Return the positions of the first `count` true entries of each row, in order.

    Args:
        mask: bool [B, N].
        count: int. K.

    Returns:
        indices: int32 [B, K]. Positions; 0 where there are fewer than K true entries.
        valid: bool [B, K]. Which of them are there.
    """
    size = ops.shape(mask)[1]
    # Distinct keys: not every backend's top_k keeps the order of equal ones. float32 holds whole numbers to 2^24.
    order = ops.cast(size - ops.arange(size, dtype="int32"), "float32")
    keys = ops.where(mask, order, 0.0)
    static = mask.shape[1]
    if static is None or static < count:
        keys = ops.pad(keys, ((0, 0), (0, count)))
    top, indices = ops.top_k(keys, count)
    valid = top > 0.0
    return ops.where(valid, ops.cast(indices, "int32"), 0), valid


def mask_rows(rows, valid):
    """Set the rows that are not valid to zero.

    Args:
        rows: [B, K, ...].
        valid: bool [B, K].

    Returns:
        [B, K, ...], of the dtype of `rows`.
    """
    shape = tuple(ops.shape(valid)) + (1,) * (len(rows.shape) - 2)
    return ops.where(ops.reshape(valid, shape), rows, ops.zeros_like(rows))
