import numpy as np
import pytest

from mrcnn.geometry.polygons import check_polygons, polygon_area, polygon_bounds, rasterize_polygons, transform_polygons


def test_bounds_are_rows_first():
    assert polygon_bounds([[1, 2, 5, 3, 4, 9], [0.5, 4, 2, 4, 2, 5]]) == (2, 0.5, 9, 5)


def test_area_by_hand_in_either_direction():
    assert polygon_area([0, 0, 4, 0, 4, 3]) == 6
    assert polygon_area([4, 3, 4, 0, 0, 0]) == 6


def test_transform_keeps_x_and_y_apart():
    (moved,) = transform_polygons([[1, 10, 2, 20, 3, 30]], scale=(2, 3), offset=(100, 1000))
    np.testing.assert_array_equal(moved, [1003, 120, 1006, 140, 1009, 160])


def test_pixels_are_inside_if_their_centre_is():
    # from 0.6 to 2.4: the centre 0.5 is outside, 1.5 inside, 2.5 outside
    mask = rasterize_polygons([[0.6, 0.6, 2.4, 0.6, 2.4, 2.4, 0.6, 2.4]], (3, 5))
    assert mask.dtype == bool and np.argwhere(mask).tolist() == [[1, 1]]


def test_polygons_may_extend_beyond_the_canvas():
    mask = rasterize_polygons([[-5, -5, 3, -5, 3, 2, -5, 2], np.array([4.0, 3, 99, 3, 99, 99, 4, 99])], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[:2, :3] = expected[3, 4:] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("zoom", [1, 3, 7])
def test_rasterised_area_approaches_the_polygon_area(zoom):
    triangle = [2, 1, 30, 5, 11, 22]
    drawn = rasterize_polygons(transform_polygons([triangle], (zoom, zoom), (0, 0)), (25 * zoom, 33 * zoom))
    assert drawn.sum() / zoom**2 == pytest.approx(polygon_area(triangle), rel=0.03 / zoom)


@pytest.mark.parametrize("polygon", [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], []])
def test_a_polygon_needs_three_points(polygon):
    with pytest.raises(ValueError, match=f"at least three x, y pairs, but has {len(polygon)} numbers"):
        check_polygons([[1, 2, 3, 4, 5, 6], polygon])
    assert check_polygons([[1, 2, 3, 4, 5, 6]]) is None
