import numpy as np
import pytest

from mrcnn.viz.losses import loss_figure


def test_each_loss_has_its_own_axes_with_both_curves():
    history = {"loss": [3.0, 2.0], "val_loss": [3.5, 2.5], "mrcnn_mask_loss": [1.0, 0.5], "learning_rate": [0.1, 0.1]}
    _, axes = loss_figure(history)
    assert [ax.get_title() for ax in axes] == ["total", "mrcnn_mask"]
    training, validation = axes[0].lines
    assert list(training.get_xdata()) == [1, 2] and list(training.get_ydata()) == [3.0, 2.0]
    assert list(validation.get_ydata()) == [3.5, 2.5] and validation.get_linestyle() == "--"
    assert len(axes[1].lines) == 1


def test_stages_are_concatenated_and_a_missing_loss_is_a_gap():
    _, axes = loss_figure([{"loss": [3.0], "val_loss": [4.0]}, {"loss": [2.0, 1.0]}])
    assert list(axes[0].lines[0].get_ydata()) == [3.0, 2.0, 1.0]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), [4.0, np.nan, np.nan])


def test_single_epoch_and_nan_losses_are_drawn():
    figure, axes = loss_figure({"loss": [float("nan")], "rpn_class_loss": [0.5]})
    figure.canvas.draw()
    assert len(axes) == 2


def test_history_without_losses_is_rejected():
    with pytest.raises(ValueError, match="accuracy"):
        loss_figure({"accuracy": [1.0]})


def test_the_first_epochs_do_not_flatten_the_curve():
    """Ten epochs, of which the first two are 40 and 9: the others, up to 2, determine the axis."""
    figure, (ax,) = loss_figure({"loss": [40.0, 9.0, 2.0, *[1.0] * 7], "val_loss": [float("nan"), 3.0, *[1.5] * 8]})
    assert ax.get_ylim() == (0, pytest.approx(2.2)) and ax.get_title() == "total (at first up to 40)"
    figure, (ax,) = loss_figure({"loss": [3.0, 2.5, 2.0, *[1.6] * 7]})
    assert ax.get_ylim()[1] > 3 and ax.get_title() == "total"
    figure, (ax,) = loss_figure({"loss": [40.0, 1.0]})
    assert ax.get_ylim()[1] > 40, "with few epochs every one counts"
