"""Random choices of the training targets."""

import numpy as np


def as_rng(rng=None):
    """Return the generator given, or a fresh one seeded from NumPy's global state."""
    return np.random.default_rng(np.random.randint(2**31, size=4)) if rng is None else rng


def choose(rng, items, count):
    """Choose some of the items, each at most once.

    Args:
        rng: numpy Generator.
        items: array [N].
        count: int. How many to keep; all when there are not more.

    Returns:
        array [min(N, count)].
    """
    if len(items) <= count:
        return items
    return items[rng.choice(len(items), count, replace=False, shuffle=False)]
