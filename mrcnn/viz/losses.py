"""The losses of a training run over its epochs.

Shape letters: E epochs.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mrcnn.viz.colors import GROUND_TRUTH, PREDICTION

# the values of each loss, one per epoch
History = Mapping[str, Sequence[float] | Num[np.ndarray, " E"]]

# the total, then its parts in the order of the network
LOSSES = ("loss", "rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss")
_PICTURE, _COLUMNS = (4.2, 2.9), 3
# the first fifth of the epochs does not determine the axis if its losses are more than twice as high as the later ones
_FIRST, _MUCH_HIGHER = 5, 2


def loss_figure(history: History | Iterable[History]) -> tuple[Figure, np.ndarray]:
    """Plot the losses of a run, each on its own axes: training solid blue, validation dashed orange.

    Args:
        history: `keras.callbacks.History.history`, or the columns of history.csv; or several of these, for consecutive
            stages of one run. Names of validation losses start with "val_". Non-finite values leave gaps. If the losses of the
            first epochs are much higher than the later ones, the axis cuts them off, and the title gives the highest.

    Returns:
        The figure, and an array with the axes of each loss.

    Raises:
        ValueError: the history contains no loss.
    """
    values = _concatenated([history] if isinstance(history, Mapping) else list(history))
    names = [name for name in LOSSES if name in values]
    if not names:
        raise ValueError(f"the history has {', '.join(values) or 'no columns'}: expected at least one of {', '.join(LOSSES)}")
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(_PICTURE[0] * columns, _PICTURE[1] * rows), squeeze=False,
                                layout="constrained")  # fmt: skip
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.flat, names):
        lines = (("training", name, GROUND_TRUTH, "-"), ("validation", f"val_{name}", PREDICTION, "--"))
        for label, key, color, style in lines:
            if key in values:
                epochs = np.arange(1, len(values[key]) + 1)
                ax.plot(epochs, values[key], style, color=color, label=label, marker="o", markersize=3)
        title = "total" if name == "loss" else name.removesuffix("_loss")
        top, highest = _limit([values[key] for _, key, _, _ in lines if key in values])
        if top is not None:
            title += f" (at first up to {highest:.3g})"
        ax.set_title(title, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_ylim(0, top)
        ax.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    for ax in axes.flat[max(0, len(names) - columns) : len(names)]:
        ax.set_xlabel("epoch")
    return figure, axes.ravel()[: len(names)]


def _limit(curves: Sequence[Float[np.ndarray, " E"]]) -> tuple[float | None, float]:
    """Choose the upper limit of an axis, so that the high losses of the first epochs do not flatten the rest.

    Returns:
        The limit, or None if it need not be set, and the highest loss.
    """
    start = max(map(len, curves)) // _FIRST
    later, whole = (np.concatenate([values[first:] for values in curves]) for first in (start, 0))
    later, whole = later[np.isfinite(later)], whole[np.isfinite(whole)]
    if not start or not len(later) or whole.max() <= _MUCH_HIGHER * later.max():
        return None, whole.max(initial=0)
    return 1.1 * float(later.max()), float(whole.max())


def _concatenated(stages: Sequence[History]) -> dict[str, Float[np.ndarray, " E"]]:
    """Concatenate stages; a loss missing from a stage is nan for its epochs."""
    names = list(dict.fromkeys(name for stage in stages for name in stage))
    joined: dict[str, list[float]] = {name: [] for name in names}
    for stage in stages:
        epochs = max((len(values) for values in stage.values()), default=0)
        for name in names:
            joined[name] += list(stage.get(name, [np.nan] * epochs))
    return {name: np.asarray(values, float) for name, values in joined.items()}
