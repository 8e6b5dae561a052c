"""Rings joined into one polygon cover the same pixels."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.geometry.outlines import join_rings, trace_mask
from mrcnn.geometry.polygons import polygon_area, rasterize_polygons


def square(y, x, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def test_one_ring_is_returned_unchanged():
    assert join_rings([[0, 0, 4, 0, 4, 3]]) == [0, 0, 4, 0, 4, 3]


def test_two_squares_are_joined_at_their_nearest_corners():
    # both clockwise on the screen; (4, 0) of the first and (6, 0) of the second are the first of two nearest pairs
    joined = join_rings([square(0, 0, 4), square(0, 6, 2)])
    assert np.reshape(joined, (-1, 2)).tolist() == [
        [0, 0], [4, 0], [6, 0], [8, 0], [8, 2], [6, 2], [6, 0], [4, 0], [4, 4], [0, 4]]  # fmt: skip
    assert polygon_area(joined) == 16 + 4


def test_ring_in_the_opposite_direction_is_reversed():
    backwards = np.reshape(square(0, 6, 2), (-1, 2))[::-1].ravel().tolist()
    assert polygon_area(join_rings([square(0, 0, 4), backwards])) == 16 + 4


def test_hole_stays_a_hole():
    hole = np.reshape(square(2, 2, 4), (-1, 2))[::-1].ravel().tolist()
    joined = join_rings([square(0, 0, 10), hole])
    assert polygon_area(joined) == 100 - 16
    drawn = rasterize_polygons([joined], (12, 15))
    expected = np.zeros((12, 15), bool)
    expected[:10, :10] = True
    expected[2:6, 2:6] = False
    np.testing.assert_array_equal(drawn, expected)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 29), st.integers(1, 12), st.integers(1, 12), st.booleans()),
                min_size=1, max_size=6))  # fmt: skip
def test_parts_and_holes_of_any_mask_are_joined_into_one_polygon(rectangles):
    mask = np.zeros((20, 30), bool)
    for y, x, height, width, inside in rectangles:
        mask[y : y + height, x : x + width] = inside
    rings = [ring for part in trace_mask(mask) for ring in part.rings]
    if rings:
        np.testing.assert_array_equal(rasterize_polygons([join_rings(rings)], mask.shape), mask)
