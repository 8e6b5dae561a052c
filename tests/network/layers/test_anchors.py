"""The same anchors for every image of a batch."""
import numpy as np

from mrcnn.network.layers.anchors import AnchorsLayer
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model

ANCHORS = np.array([[0, 0, 0.5, 0.25], [-0.125, 0.5, 1, 1]], np.float32)


def test_every_image_gets_the_anchors():
    found = assert_same_in_a_model(AnchorsLayer(ANCHORS), [np.zeros((3, 8, 6, 1), np.float32)])
    np.testing.assert_array_equal(found, [ANCHORS] * 3)


def test_arguments_come_back():
    assert_round_trip(AnchorsLayer(ANCHORS, name="mine"), anchors=ANCHORS)
    assert_round_trip(AnchorsLayer(ANCHORS.tolist()), anchors=ANCHORS)
