"""The layer that returns the same anchors for every image of a batch."""
import numpy as np

from mrcnn.network.layers.proposal import AnchorsLayer
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model

# One anchor per cell: of side 4 on a map of 2 x 1 cells with stride 8, and of side 6 on a map of one cell.
SETTINGS = {"image_size": (16, 8), "scales": (4, 6), "ratios": [1], "level_shapes": [[2, 1], [1, 1]], "strides": (8, 16),
            "anchor_stride": 1}  # fmt: skip
# Anchors are centred on cell corners: (-2, -2, 2, 2), (6, -2, 10, 2), (-3, -3, 3, 3) in pixels of an image of 16 x 8.
ANCHORS = [[-2 / 15, -2 / 7, 1 / 15, 1 / 7], [6 / 15, -2 / 7, 9 / 15, 1 / 7], [-3 / 15, -3 / 7, 2 / 15, 2 / 7]]


def test_every_image_has_the_anchors():
    anchors = assert_same_in_a_model(AnchorsLayer(**SETTINGS), [np.zeros((3, 16, 8, 1), np.float32)])
    np.testing.assert_allclose(anchors, [ANCHORS] * 3, atol=1e-6)


def test_arguments_survive_the_configuration():
    assert_round_trip(AnchorsLayer(**SETTINGS, name="mine"), anchors=np.array(ANCHORS, np.float32), scales=[4, 6],
                      ratios=[1], level_shapes=[[2, 1], [1, 1]], strides=[8, 16], image_size=[16, 8], anchor_stride=1)
