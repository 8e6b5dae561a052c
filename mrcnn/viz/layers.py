"""Figures of a network's layers: statistics and histograms of weights, and activations.

Shape letters: h w feature map, C channels.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mrcnn.viz.colors import GREY, PALETTE
from mrcnn.viz.figure import display_table, picture_grid

# weights above this have most likely diverged in training
OVERFLOW = 1000
DEAD, DIVERGED, NOT_FINITE, AS_INITIALISED = "dead?", "overflow?", "not finite", "as initialised"
# initial values of biases and batch normalisation
_INITIAL = {"gamma": 1.0, "beta": 0.0, "bias": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
# these have the range of the layer's input, so large values are normal
_STATISTICS = ("moving_mean", "moving_variance")
_BINS = 60


@runtime_checkable
class HasLayers(Protocol):
    """A model such as `MaskRCNN`."""

    def get_trainable_layers(self) -> list[Any]:
        """Layers with `name`, `weights` and `get_weights()`, as in Keras."""


@dataclass(frozen=True)
class WeightRow:
    """Statistics of one weight tensor.

    Attributes:
        layer, weight: names, such as "conv1" and "kernel".
        min, max, mean, std: nan for an empty tensor.
        verdict: "" if the weights look normal. "not finite": some values are nan or infinite. "dead?": all values of a kernel
            are equal, or all of a gamma or moving variance are 0. "overflow?": some magnitudes exceed 1000. "as initialised":
            all values are still the initial one, which is normal for biases and frozen batch normalisation of a new network.
    """

    layer: str
    weight: str
    shape: tuple[int, ...]
    min: float
    max: float
    mean: float
    std: float
    verdict: str


def weight_statistics(model: HasLayers) -> list[WeightRow]:
    """Compute the statistics of all weights of a model, in the order of its layers."""
    return [_row(*weight) for weight in _weights(model)]


def _weights(model: HasLayers) -> Iterator[tuple[str, str, Shaped[np.ndarray, "..."]]]:
    """Yield the layer name, name and values of each weight."""
    for layer in model.get_trainable_layers():
        for variable, values in zip(layer.weights, layer.get_weights(), strict=True):
            yield layer.name, variable.name, np.asarray(values)


def _row(layer: str, weight: str, values: Shaped[np.ndarray, "..."]) -> WeightRow:
    if not values.size:
        nan = float("nan")
        return WeightRow(layer, weight, values.shape, nan, nan, nan, nan, "")
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        low, high, mean, std = (float(v) for v in (values.min(), values.max(), values.mean(), values.std()))
    return WeightRow(layer, weight, values.shape, low, high, mean, std, _verdict(weight, values))


def _verdict(weight: str, values: Shaped[np.ndarray, "..."]) -> str:
    """Classify a weight by its name and values; see `WeightRow.verdict`."""
    if not np.isfinite(values).all():
        return NOT_FINITE
    if values.min() == values.max():
        value = float(values.flat[0])
        if value == _INITIAL.get(weight):
            return AS_INITIALISED
        if (weight in ("gamma", "moving_variance") and value == 0) or (weight not in _INITIAL and values.size > 1):
            return DEAD
    return DIVERGED if np.abs(values).max() > OVERFLOW and weight not in _STATISTICS else ""


def display_weight_stats(model: HasLayers) -> None:
    """Show the minimum, maximum and standard deviation of each weight, and flag suspicious ones."""
    table = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for row in weight_statistics(model):
        alert = {"": "", AS_INITIALISED: f" ({AS_INITIALISED})"}.get(row.verdict, f" *** {row.verdict}")
        figures = [f"{v:+9.4f}" if np.prod(row.shape) else "" for v in (row.min, row.max, row.std)]
        table.append([f"{row.layer}/{row.weight}{alert}", str(row.shape), *figures])
    display_table(table)


def weights_figure(
    model: HasLayers,
    weights: Collection[str] = ("kernel",),
    layers: str | None = None,
    limit: int = 24,
    columns: int = 4,
) -> tuple[Figure, np.ndarray]:
    """Draw a histogram of each weight. The titles of suspicious weights name the problem.

    Args:
        weights: names of the weights to draw, such as ("kernel", "bias").
        layers: regular expression that must match the whole layer name; None for all layers.
        limit: maximum number of histograms; of more weights, a selection evenly spaced over the network's depth is drawn.
        columns: histograms per row.

    Returns:
        The figure, and an array with the axes of each histogram.

    Raises:
        ValueError: no matching layer has such a weight.
    """
    chosen = [(layer, weight, values) for layer, weight, values in _weights(model)
              if weight in weights and values.size and re.fullmatch(layers or ".*", layer)]  # fmt: skip
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
        normal = row.verdict in ("", AS_INITIALISED)
        # let the bins start at 0: bins over nearly equal values far from 0 would be thinner than a line
        limits = (finite.min(initial=0), finite.max(initial=0))
        ax.hist(finite.ravel(), bins=_BINS, range=limits, color=PALETTE[5] if normal else PALETTE[0])
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.set_title(f"{layer}/{weight}" + (f": {row.verdict}" if row.verdict else ""), fontsize=8)
        ax.set_yticks([])
        ax.tick_params(labelsize=7)
    return figure, axes.flat[: len(chosen)]


def activations_figure(
    activation: Shaped[np.ndarray, "..."], title: str = "", limit: int = 16, columns: int = 4
) -> tuple[Figure, np.ndarray]:
    """Draw the channels of a layer's output with the highest variance, each with its own colour scale.

    Args:
        activation: [h, w, C] or [h, w], such as from `training.inspection.layer_activations`.
        title: for example the name of the layer.
        limit: maximum number of channels.
        columns: channels per row.

    Returns:
        The figure, whose title gives the number of constant channels, and an array with the axes of each channel, whose
        titles give the channel's index and range.

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
    figure.suptitle(f"{title} {height} x {width} x {channels}, {flat} constant channels".strip(), fontsize=10)
    return figure, axes
