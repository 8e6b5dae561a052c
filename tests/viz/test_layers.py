import numpy as np
import pytest

from mrcnn.viz.layers import activations_figure, display_weight_stats, weight_statistics, weights_figure
from tests.viz.fake_layers import Layer, model_of


def test_statistics_of_a_weight():
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


def test_initial_batch_norm_is_not_dead():
    layer = Layer("bn", gamma=np.ones(8), beta=np.zeros(8), moving_mean=np.zeros(8), moving_variance=np.ones(8))
    assert {row.verdict for row in weight_statistics(model_of(layer))} == {"as initialised"}


def test_weights_figure_shows_histograms():
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


def test_nearly_equal_values_have_a_visible_bar():
    _, (ax,) = weights_figure(model_of(Layer("bn", gamma=np.array([0.999, 1.0, 1.001]))), weights=("gamma",))
    (bar,) = [bar for bar in ax.patches if bar.get_height()]
    assert bar.get_height() == 3 and bar.get_width() == pytest.approx(1.001 / 60)
    assert ax.patches[0].get_x() == pytest.approx(0)


def test_weight_stats_mark_suspicious_weights(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    layers = [
        Layer("conv1", kernel=np.array([[-1.0, 3.0]]), bias=np.zeros(2)),
        Layer("dead", kernel=np.ones((2, 2))),
        Layer("wild", kernel=np.array([0.0, 2000.0]), bias=np.array([np.nan, 1.0])),
    ]
    display_weight_stats(model_of(*layers))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "WEIGHT NAME SHAPE MIN MAX STD"
    assert lines[1] == "conv1/kernel (1, 2) -1.0000 +3.0000 +2.0000"
    assert lines[2].startswith("conv1/bias (as initialised) (2,)")
    assert lines[3].startswith("dead/kernel *** dead?")
    assert lines[4].startswith("wild/kernel *** overflow?")
    assert lines[5].startswith("wild/bias *** not finite")


def test_channels_that_vary_most_come_first():
    activation = np.zeros((4, 6, 3), np.float32)
    activation[0, 0, 2], activation[0, 0, 1] = 5, -2
    figure, axes = activations_figure(activation, "fpn_p2", limit=2)
    assert [ax.get_title() for ax in axes] == ["2: 0 to 5", "1: -2 to 0"]
    assert axes[0].images[0].get_array().shape == (4, 6)
    assert figure.get_suptitle() == "fpn_p2 4 x 6 x 3, 1 constant channels"
    figure.canvas.draw()


def test_activations_with_one_channel_and_without_height_and_width():
    _, axes = activations_figure(np.eye(3))
    assert len(axes) == 1
    with pytest.raises(ValueError, match=r"dense has the shape \(8,\): expected \[height, width, channels\]"):
        activations_figure(np.zeros(8), "dense")
