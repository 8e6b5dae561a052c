"""A figure of what a layer gives: its channels as pictures.

Shape letters: h w feature map, C channels.
"""

import numpy as np

from mrcnn.viz.figure import picture_grid


def activations_figure(activation, title="", limit=16, columns=4):
    """Draw the channels of a layer's output that vary most, each scaled by itself.

    Args:
        activation: float [h, w, C], or [h, w]. One of `engine.inspection.layer_activations`.
        title: str, such as the layer's name.
        limit: int. Most channels.
        columns: int. Channels in a row.

    Returns:
        (figure, axes): a picture a channel; its title has the channel's number and range. Channels that are the same
        throughout are counted in the title of the figure.

    Raises:
        ValueError: the output has no height and width.
    """
    activation = np.asarray(activation, np.float32)
    activation = activation[:, :, None] if activation.ndim == 2 else activation
    if activation.ndim != 3 or not activation.size:
        raise ValueError(f"{title or 'the activation'} has the shape {activation.shape}: expected [height, width, channels]")
    spreads = activation.std(axis=(0, 1))
    chosen = np.argsort(-np.nan_to_num(spreads), kind="stable")[:limit]
    titles = [f"{c}: {activation[:, :, c].min():.3g} to {activation[:, :, c].max():.3g}" for c in chosen]
    figure, axes = picture_grid([activation[:, :, c] for c in chosen], titles, columns=columns, width=2.6,
                                cmap="viridis", interpolation="nearest")  # fmt: skip
    height, width, channels = activation.shape
    flat = np.count_nonzero(spreads == 0)
    figure.suptitle(f"{title} {height} x {width} x {channels}, {flat} channels the same throughout".strip(), fontsize=10)
    return figure, axes
