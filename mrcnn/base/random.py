"""Random choices that depend only on a given generator.

Shape letters: N items.
"""

import numpy as np
from jaxtyping import Shaped


def as_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """Return the given generator, or a new one seeded from NumPy's global state."""
    return np.random.default_rng(np.random.randint(2**31, size=4)) if rng is None else rng


def choose(rng: np.random.Generator, items: Shaped[np.ndarray, " N"], count: int) -> Shaped[np.ndarray, " n"]:
    """Choose `count` items without replacement; all of them if there are at most `count`."""
    if len(items) <= count:
        return items
    return items[rng.choice(len(items), count, replace=False, shuffle=False)]
