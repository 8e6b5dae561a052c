"""Figures of the layers of a network: their weights, and whether those look sound, and their activations.

Shape letters: h w feature map, C channels.
"""

import re
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.viz.colors import GREY, PALETTE
from mrcnn.viz.figure import display_table, picture_grid

# Weights larger than this have most likely run away in training.
OVERFLOW = 1000
DEAD, RUN_AWAY, NOT_FINITE, AS_INITIALISED = "dead?", "overflow?", "not finite", "as initialised"
# What batch normalisation begins with. Its moving statistics tell of the layer's input, whose range is its own.
_INITIAL = {"gamma": 1.0, "beta": 0.0, "bias": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
_STATISTICS = ("moving_mean", "moving_variance")
_BINS = 60


@dataclass(frozen=True)
class WeightRow:
    """What a weight holds.

    Attributes:
        layer, weight: str. Such as "conv1" and "kernel".
        shape: tuple of ints.
        min, max, mean, std: floats; nan for a weight without values.
        verdict: str. "" where nothing is to be said; "not finite": nan or infinity among the values; "dead?": a kernel,
            gamma or moving variance that has one value throughout and so tells nothing apart (of gamma and the variance:
            zero); "overflow?": values beyond 1000; "as initialised": a weight that still has the one value that it
            begins with. That is no fault: biases and frozen batch normalisation of a new network are so.
    """

    layer: str
    weight: str
    shape: tuple
    min: float
    max: float
    mean: float
    std: float
    verdict: str


def weight_statistics(model):
    """Look at every weight of a model.

    Args:
        model: object with `get_trainable_layers()`, such as `MaskRCNN`: layers with name, weights and get_weights().

    Returns:
        list of WeightRow, in the order of the layers.
    """
    return [_row(layer.name, variable.name, np.asarray(values))
            for layer in model.get_trainable_layers()
            for variable, values in zip(layer.weights, layer.get_weights(), strict=True)]  # fmt: skip


def _row(layer, weight, values):
    if not values.size:
        return WeightRow(layer, weight, values.shape, *[float("nan")] * 4, "")
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        figures = [float(v) for v in (values.min(), values.max(), values.mean(), values.std())]
    return WeightRow(layer, weight, values.shape, *figures, _verdict(weight, values))


def _verdict(weight, values):
    """What is to be said of a weight by its name and values: one of the words of WeightRow."""
    if not np.isfinite(values).all():
        return NOT_FINITE
    if values.min() == values.max():
        value = float(values.flat[0])
        if value == _INITIAL.get(weight):
            return AS_INITIALISED
        if (weight in ("gamma", "moving_variance") and value == 0) or (weight not in _INITIAL and values.size > 1):
            return DEAD
    return RUN_AWAY if np.abs(values).max() > OVERFLOW and weight not in _STATISTICS else ""


def display_weight_stats(model):
    """Show least, greatest and spread of each weight of the layers that train, with what looks wrong.

    Args:
        model: as of `weight_statistics`, which says what the words mean.
    """
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for row in weight_statistics(model):
        alert = {"": "", AS_INITIALISED: f" ({AS_INITIALISED})"}.get(row.verdict, f" *** {row.verdict}")
        figures = [f"{v:+9.4f}" if np.prod(row.shape) else "" for v in (row.min, row.max, row.std)]
        table.append([f"{row.layer}/{row.weight}{alert}", str(row.shape), *figures])
    display_table(table)


def weights_figure(model, weights=("kernel",), layers=None, limit=24, columns=4):
    """Draw histograms of the values of weights, one a tensor; of what is not sound the title says so.

    Args:
        model: as of `weight_statistics`.
        weights: names of weights to draw, such as ("kernel", "bias").
        layers: regular expression over whole layer names; None for all.
        limit: int. Most histograms. Of more, those evenly spread over the depth of the network.
        columns: int. Histograms in a row.

    Returns:
        (figure, axes): matplotlib Figure; array of Axes, one a histogram.

    Raises:
        ValueError: no layer of that name has such a weight.
    """
    chosen = [(layer.name, variable.name, np.asarray(values))
              for layer in model.get_trainable_layers() if re.fullmatch(layers or ".*", layer.name)
              for variable, values in zip(layer.weights, layer.get_weights(), strict=True)
              if variable.name in weights and np.size(values)]  # fmt: skip
    if not chosen:
        raise ValueError(f"no layer that matches {layers!r} has a weight named {' or '.join(weights)}")
    if len(chosen) > limit:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    columns = max(1, min(columns, len(chosen)))
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.1 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(chosen) :]:
        ax.axis("off")
    for ax, (layer, weight, values) in zip(axes.flat, chosen):
        row, finite = _row(layer, weight, values), values[np.isfinite(values)]
        sound = row.verdict in ("", AS_INITIALISED)
        # bins over all that the axis shows: those of values that are nearly equal and far from 0 would be thinner than a line
        shown = (finite.min(initial=0), finite.max(initial=0))
        ax.hist(finite.ravel(), bins=_BINS, range=shown, color=PALETTE[5] if sound else PALETTE[0])
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.set_title(f"{layer}/{weight}" + (f": {row.verdict}" if row.verdict else ""), fontsize=8)
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
    return figure, axes.flat[: len(chosen)]


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
