import numpy as np
import pytest

from mrcnn.geometry import polygons as polygon_crossings
from mrcnn.geometry.polygons import MAX_POINTS, count_crossings

BOW_TIE = [0, 0, 4, 3, 4, 0, 0, 3]


@pytest.mark.parametrize("polygon, expected", [
    ([0, 0, 4, 0, 4, 3], 0),
    ([0, 0, 4, 0, 4, 3, 0, 3], 0),
    (BOW_TIE, 1),
    ([0, 0, 4, 3, 4, 3, 4, 0, 0, 3, 0, 0], 1),  # the same, with a repeated point and a closing point
    ([0, 0, 6, 0, 6, 4, 3, 0, 0, 4], 0),  # a corner that touches an edge
    ([0, 0, 4, 0, 8, 0, 4, 0, 4, 4], 0),  # a spike without width
    ([5, 0, 8, 9, 0, 3, 10, 3, 2, 9], 5),  # a star of five points
    ([1, 1, 1, 1, 1, 1], 0),
    ([], 0),
])  # fmt: skip
def test_crossings_by_hand(polygon, expected):
    assert count_crossings(polygon) == expected
    assert count_crossings(np.asarray(polygon, float)[::-1]) == expected


def test_crossings_do_not_depend_on_position_and_size():
    for scale, shift in ((1e-3, 0), (1e6, 0), (1, 1e6), (0.1, 0.3)):
        assert count_crossings(np.array(BOW_TIE) * scale + shift) == 1


def test_crossings_do_not_depend_on_the_block_size(monkeypatch):
    rng = np.random.default_rng(3)
    outlines = [rng.random(2 * n) for n in (5, 30, 61)]
    counts = [count_crossings(outline) for outline in outlines]
    assert counts[2] > counts[1] > 10
    monkeypatch.setattr(polygon_crossings, "_BLOCK", 200)
    assert [count_crossings(outline) for outline in outlines] == counts


def test_huge_coordinates_are_not_an_error():
    with np.errstate(all="raise"):
        assert isinstance(count_crossings(np.array(BOW_TIE) * 1e300), int)


def test_outline_with_too_many_points_is_not_searched():
    angles = np.linspace(0, 6, MAX_POINTS + 1)
    assert count_crossings(np.stack([np.cos(angles), np.sin(angles)], axis=1).ravel()) is None
