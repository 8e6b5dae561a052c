import numpy as np
import pytest

from mrcnn.viz.activations import activations_figure


def test_the_channels_that_vary_most_come_first():
    activation = np.zeros((4, 6, 3), np.float32)
    activation[0, 0, 2], activation[0, 0, 1] = 5, -2
    figure, axes = activations_figure(activation, "fpn_p2", limit=2)
    assert [ax.get_title() for ax in axes] == ["2: 0 to 5", "1: -2 to 0"]
    assert axes[0].images[0].get_array().shape == (4, 6)
    assert figure.get_suptitle() == "fpn_p2 4 x 6 x 3, 1 channels the same throughout"
    figure.canvas.draw()


def test_one_channel_and_no_picture_at_all():
    _, axes = activations_figure(np.eye(3))
    assert len(axes) == 1
    with pytest.raises(ValueError, match=r"dense has the shape \(8,\): expected \[height, width, channels\]"):
        activations_figure(np.zeros(8), "dense")
