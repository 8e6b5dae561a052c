"""Masks traced as polygons and drawn again."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.geometry.outlines import draw_with_holes, find_holes, signed_area, trace_mask


def drawn(parts, size):
    rings = [ring for part in parts for ring in part.rings]
    holes = [i > 0 for part in parts for i in range(len(part.rings))]
    return draw_with_holes(rings, holes, size)


def test_a_rectangle_is_traced_by_its_four_corners():
    mask = np.zeros((10, 16), bool)
    mask[2:5, 3:9] = True
    (part,) = trace_mask(mask)
    assert set(zip(part.outline[::2], part.outline[1::2])) == {(3, 2), (9, 2), (9, 5), (3, 5)}
    assert len(part.outline) == 8 and part.holes == [] and signed_area(part.outline) == -18


def test_frame_has_a_hole_in_the_opposite_direction():
    mask = np.zeros((10, 16), bool)
    mask[1:8, 2:12] = True
    mask[3:5, 4:9] = False
    (part,) = trace_mask(mask)
    (hole,) = part.holes
    assert set(zip(hole[::2], hole[1::2])) == {(4, 3), (9, 3), (9, 5), (4, 5)}
    assert signed_area(part.outline) == -70 and signed_area(hole) == 10


def test_an_island_in_a_hole_is_a_separate_part():
    mask = np.zeros((12, 20), bool)
    mask[1:11, 1:15] = True
    mask[3:9, 3:13] = False
    mask[5:7, 6:9] = True
    parts = trace_mask(mask)
    assert [signed_area(part.outline) for part in parts] == [-140, -6]
    rings = [ring for part in parts for ring in part.rings]
    assert find_holes(rings) == [False, True, False]


def test_empty_mask_and_single_pixel():
    assert trace_mask(np.zeros((4, 6), bool)) == []
    (part,) = trace_mask(np.eye(1, dtype=bool), tolerance=2)
    assert sorted(zip(part.outline[::2], part.outline[1::2])) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 12))))
def test_drawing_the_traced_rings_restores_the_mask_exactly(mask):
    parts = trace_mask(mask)
    np.testing.assert_array_equal(drawn(parts, mask.shape), mask)
    areas = sum(-signed_area(part.outline) - sum(signed_area(hole) for hole in part.holes) for part in parts)
    assert areas == mask.sum()
    # only the directions tell which rings are holes, because files store nothing else
    rings = [ring for part in parts for ring in part.rings]
    np.testing.assert_array_equal(draw_with_holes(rings, find_holes(rings), mask.shape), mask)


@pytest.mark.parametrize("radius, points", [(8, 30), (20, 60), (90, 70)])
def test_tolerance_saves_points_and_nearly_preserves_the_mask(radius, points):
    y, x = np.mgrid[:200, :240]
    mask = (y - 100) ** 2 + (x - 120) ** 2 < radius**2
    mask[90:95, 117:122] = False
    simple, exact = trace_mask(mask, tolerance=1.0), trace_mask(mask)
    assert len(simple[0].outline) // 2 <= points < len(exact[0].outline) // 2 + 1
    again = drawn(simple, mask.shape)
    assert (again & mask).sum() / (again | mask).sum() >= 0.99
