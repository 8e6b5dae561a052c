import numpy as np
import pytest

from mrcnn.viz.weights import weight_statistics, weights_figure
from tests.viz.layers import Layer, model_of


def test_figures_of_a_weight():
    (row,) = weight_statistics(model_of(Layer("conv1", kernel=np.array([[-1.0, 3.0]]))))
    assert (row.layer, row.weight, row.shape, row.verdict) == ("conv1", "kernel", (1, 2), "")
    assert (row.min, row.max, row.mean, row.std) == (-1, 3, 1, 2)


@pytest.mark.parametrize("weight, values, verdict", [
    ("kernel", np.ones((3, 3)), "dead?"), ("kernel", np.zeros((3, 3)), "dead?"), ("kernel", np.array([[0.5]]), ""),
    ("gamma", np.zeros(4), "dead?"), ("gamma", np.ones(4), "as initialised"), ("gamma", np.array([1, 0.9]), ""),
    ("moving_variance", np.zeros(4), "dead?"), ("moving_variance", np.array([1e5, 2.0]), ""),
    ("bias", np.zeros(4), "as initialised"), ("bias", np.full(4, 2.0), ""), ("bias", np.array([0, -2000.0]), "overflow?"),
    ("kernel", np.array([[1, np.inf]]), "not finite"), ("kernel", np.zeros((0, 3)), "")])  # fmt: skip
def test_verdicts(weight, values, verdict):
    (row,) = weight_statistics(model_of(Layer("layer", **{weight: values})))
    assert row.verdict == verdict


def test_fresh_batch_normalisation_is_not_dead():
    layer = Layer("bn", gamma=np.ones(8), beta=np.zeros(8), moving_mean=np.zeros(8), moving_variance=np.ones(8))
    assert {row.verdict for row in weight_statistics(model_of(layer))} == {"as initialised"}


def test_histograms():
    rng = np.random.default_rng(0)
    layers = [Layer(f"conv{i}", kernel=rng.normal(size=(3, 3)), bias=np.zeros(3)) for i in range(9)]
    layers[8].values[0][0, 0] = np.nan
    figure, axes = weights_figure(model_of(*layers), limit=3, columns=2)
    assert [ax.get_title() for ax in axes] == ["conv0/kernel", "conv4/kernel", "conv8/kernel: not finite"]
    assert sum(bar.get_height() for bar in axes[0].patches) == 9 and sum(bar.get_height() for bar in axes[2].patches) == 8
    _, axes = weights_figure(model_of(*layers), weights=("kernel", "bias"), layers="conv[01]")
    assert len(axes) == 4
    figure.canvas.draw()
    with pytest.raises(ValueError, match="no layer that matches 'fpn.*' has a weight named kernel"):
        weights_figure(model_of(*layers), layers="fpn.*")


def test_values_that_are_nearly_equal_make_a_bar_that_is_seen():
    _, (ax,) = weights_figure(model_of(Layer("bn", gamma=np.array([0.999, 1.0, 1.001]))), weights=("gamma",))
    (bar,) = [bar for bar in ax.patches if bar.get_height()]
    assert bar.get_height() == 3 and bar.get_width() == pytest.approx(1.001 / 60)
    assert ax.patches[0].get_x() == pytest.approx(0)
