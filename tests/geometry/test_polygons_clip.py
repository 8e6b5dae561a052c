import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.geometry.polygons import clip_polygon, near_canvas, polygon_area, rasterize_polygons
from mrcnn.geometry.rle import as_rle, rle_area


def test_a_corner_outside_is_clipped_by_hand():
    # a square from (2, 1) to (8, 5) on an image of 4 rows and 6 columns keeps x up to 6 and y up to 4
    cut = clip_polygon([2, 1, 8, 1, 8, 5, 2, 5], (4, 6))
    assert {tuple(p) for p in cut.reshape(-1, 2).tolist()} == {(2, 1), (6, 1), (6, 4), (2, 4)}


def test_a_slanted_edge_is_clipped_where_it_crosses_the_border():
    # the edge from (0, 0) to (12, 3) meets x = 6 at y = 1.5; the edge back from (12, 3) to (0, 3) at y = 3
    cut = clip_polygon([0, 0, 12, 3, 0, 3], (10, 6))
    assert {tuple(p) for p in cut.reshape(-1, 2).tolist()} == {(0, 0), (6, 1.5), (6, 3), (0, 3)}


def test_polygons_entirely_outside_and_entirely_inside():
    assert clip_polygon([7, 1, 9, 1, 9, 3], (4, 6)).size == 0
    np.testing.assert_array_equal(clip_polygon([1, 1, 5, 1, 5, 3], (4, 6)), [1, 1, 5, 1, 5, 3])


def test_a_comb_that_leaves_and_returns_keeps_its_area():
    # two teeth of 2 x 4, joined above the image; rows from 0 on remain
    comb = [1, -3, 7, -3, 7, 4, 5, 4, 5, -1, 3, -1, 3, 4, 1, 4]
    assert polygon_area(clip_polygon(comb, (10, 10))) == 16


def test_huge_coordinates_do_not_overflow():
    with np.errstate(all="raise"):
        cut = clip_polygon([-1e300, 0, 1e300, 0, 1e300, 1e300, -1e300, 1e300], (4, 6))
    assert polygon_area(cut) == pytest.approx(24)


@given(st.lists(st.tuples(st.integers(-300, 400), st.integers(-300, 400)), min_size=3, max_size=8))
def test_clipping_does_not_change_the_raster(points):
    polygon = [float(v) for point in points for v in point]
    cut = clip_polygon(polygon, (90, 120), margin=30)
    drawn = rasterize_polygons([polygon], (90, 120))
    again = rasterize_polygons([cut], (90, 120)) if cut.size else np.zeros((90, 120), bool)
    # clipped points are rounded again: pixels on the outline may change, but none inside or outside
    kernel = np.ones((3, 3), np.uint8)
    thick, thin = (change(drawn.astype(np.uint8), kernel).astype(bool) for change in (cv2.dilate, cv2.erode))
    assert (again <= thick).all() and (again >= thin).all() and np.count_nonzero(drawn != again) <= 30


def test_rasterising_is_fast_for_parts_far_away():
    start = time.perf_counter()
    assert rle_area(as_rle([[0, 0, 1e15, 0, 1e15, 1e15]], (100, 200))) == 14_950  # columns 0..99 below the diagonal, and 100
    assert rasterize_polygons([np.array([-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9])], (10, 20)).all()
    assert not rasterize_polygons([[1e9, 1e9, 2e9, 1e9, 2e9, 2e9]], (10, 20)).any()
    assert time.perf_counter() - start < 2


def test_ordinary_polygons_are_not_copied():
    polygons = [[1, 2, 3, 4, 5, 6], np.array([-5.0, 0, 70, 0, 70, 70])]
    assert all(a is b for a, b in zip(near_canvas(polygons, (10, 20)), polygons, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_coordinates_that_are_not_finite_are_errors(value):
    for polygon in ([1, 2, value, 4, 5, 6], [value, 2, 3, 4, 5, 6]):
        with pytest.raises(ValueError, match="not finite numbers"):
            as_rle([polygon], (10, 20))
        with pytest.raises(ValueError, match="not finite numbers"):
            rasterize_polygons([polygon], (10, 20))
