"""Outlines of the shapes that annotation tools draw."""
import math

import numpy as np
import pytest

from mrcnn.geometry.outlines import (
    draw_with_holes,
    ellipse_ring,
    find_holes,
    outline_fault,
    rectangle_ring,
    signed_area,
    stroke_rings,
)
from mrcnn.geometry.polygons import polygon_area, polygon_bounds, rasterize_polygons

SIZE = (40, 60)


def square(left, top, side, clockwise=True):
    ring = rectangle_ring((left, top), (left + side, top + side))
    return ring if clockwise else [v for x, y in list(zip(ring[::2], ring[1::2]))[::-1] for v in (x, y)]


def test_rectangle_from_any_two_opposite_corners():
    assert rectangle_ring((9, 2), (3, 5)) == rectangle_ring((3, 5), (9, 2)) == [3, 2, 9, 2, 9, 5, 3, 5]


def test_signed_area_is_positive_clockwise_on_the_screen():
    assert signed_area([0, 0, 4, 0, 4, 3, 0, 3]) == 12  # right, down, left: clockwise
    assert signed_area([0, 0, 0, 3, 4, 3, 4, 0]) == -12


@pytest.mark.parametrize("radius", [3, 40, 1000])
def test_circle_is_accurate_to_a_tenth_of_a_pixel(radius):
    ring = ellipse_ring((50, 20), (radius, radius))
    points = np.reshape(ring, (-1, 2)) - (50, 20)
    np.testing.assert_allclose(np.hypot(*points.T), radius)
    middles = (points + np.roll(points, 1, axis=0)) / 2
    assert np.hypot(*middles.T).min() >= radius - 0.1001
    assert abs(polygon_area(ring) / (math.pi * radius**2) - 1) < 0.01


def test_rotated_ellipse():
    np.testing.assert_allclose(polygon_bounds([ellipse_ring((30, 20), (10, 4))]), (16, 20, 24, 40), atol=0.1)
    np.testing.assert_allclose(polygon_bounds([ellipse_ring((30, 20), (10, 4), math.pi / 2)]), (10, 26, 30, 34), atol=0.1)
    # an eighth of a turn, from the x axis towards the y axis: the tip is at the lower right
    tip = np.reshape(ellipse_ring((30, 20), (10, 4), math.pi / 4), (-1, 2))[0]
    np.testing.assert_allclose(tip, (30 + 10 / math.sqrt(2), 20 + 10 / math.sqrt(2)))


def test_stroke_has_its_width_and_a_filled_corner():
    rings = stroke_rings([(10, 10), (30, 10), (30, 10), (30, 25)], 4)
    mask = rasterize_polygons(rings, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[8:12, 10:30] = True
    expected[10:25, 28:32] = True
    assert not (expected & ~mask).any()
    corner = mask & ~expected  # the upper right quarter of the disc of radius 2 around the joint: about pi pixels
    assert 2 <= corner.sum() <= 4 and corner[8:10, 30:32].sum() == corner.sum()
    assert stroke_rings([(5, 5), (5, 5)], 4) == []


@pytest.mark.parametrize("outer, inner, is_hole", [
    (False, True, True), (True, False, True), (True, True, False), (False, False, False)])  # fmt: skip
def test_inner_ring_is_a_hole_if_it_has_the_opposite_direction(outer, inner, is_hole):
    assert find_holes([square(2, 2, 20, outer), square(8, 8, 5, inner)]) == [False, is_hole]
    assert find_holes([square(8, 8, 5, inner), square(2, 2, 20, outer)]) == [is_hole, False]


@pytest.mark.parametrize("rings", [
    [square(2, 2, 20)],
    [square(2, 2, 20, clockwise=False)],
    [square(2, 2, 10, clockwise=False), square(30, 2, 10)],  # side by side
    [square(2, 2, 10, clockwise=False), square(8, 8, 10)],  # overlapping
    [square(2, 2, 10, clockwise=False), square(2, 2, 10)],  # identical
])  # fmt: skip
def test_ring_outside_all_others_is_solid(rings):
    assert not any(find_holes(rings))


def test_hole_may_touch_the_outline_and_contain_an_island():
    rings = [square(2, 2, 30, False), square(2, 2, 20), square(8, 8, 6, False), square(9, 9, 2)]
    holes = find_holes(rings)
    assert holes == [False, True, False, True]
    mask = draw_with_holes(rings, holes, SIZE)
    assert mask.sum() == 900 - 400 + 36 - 4 and not mask[10, 10] and mask[12, 12] and not mask[4, 4] and mask[25, 25]


def test_ring_in_the_bay_of_another_is_not_inside_it():
    bay = [0, 0, 30, 0, 30, 5, 5, 5, 5, 25, 30, 25, 30, 30, 0, 30]
    assert find_holes([bay, square(10, 10, 6, clockwise=False)]) == [False, False]


@pytest.mark.parametrize("rings, fault", [
    ([square(2, 2, 20)], None),
    ([square(-15, -15, 20)], None),  # a corner is inside
    ([square(-20, 2, 20)], "lies outside"),
    ([square(60, 2, 20)], "lies outside"),  # the image is 60 wide, so column 60 is the first outside
    ([square(2, 40, 20)], "lies outside"),
    ([square(59, 39, 20)], None),
    ([[1, 1, 5, 1, 9, 1]], "no area"),
    ([], "no area"),
    ([[1, 1, math.inf, 1, 9, 5]], "not finite numbers"),
])  # fmt: skip
def test_outline_fault(rings, fault):
    found = outline_fault(rings, SIZE)
    assert (found is None) if fault is None else fault in found
