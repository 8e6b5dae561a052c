"""Class maps by hand: what lies under the centre of each pixel."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.geometry.rasterize import as_instance
from mrcnn.geometry.rle import encode_mask
from mrcnn.semantic.class_map import nearest_positions, paint_classes


def parts_of(segmentations, size):
    return [as_instance(segmentation, size) for segmentation in segmentations]


@pytest.mark.parametrize("length, count, expected", [
    (4, 4, [0, 1, 2, 3]),
    (3, 6, [0, 0, 1, 1, 2, 2]),
    (6, 3, [1, 3, 5]),  # centres at 1, 3, 5: the pixel that begins there
    (5, 2, [1, 3]),  # centres at 1.25 and 3.75
    (1, 3, [0, 0, 0]),
    (7, 1, [3]),
])  # fmt: skip
def test_nearest_positions(length, count, expected):
    assert nearest_positions(length, count).tolist() == expected


def test_the_higher_number_lies_on_top_whatever_the_order():
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, :3] = right[:, 1:] = True
    expected = [[2, 2, 2, 1]] * 2
    for order in ((0, 1), (1, 0)):
        masks = [(left, right)[i] for i in order]
        painted = paint_classes(parts_of(masks, (2, 4)), [(2, 1)[i] for i in order], (2, 4), (2, 4))
        assert painted.dtype == np.uint16
        np.testing.assert_array_equal(painted, expected)


def test_polygons_are_drawn_at_the_size_of_the_map():
    # an image of 4 x 8 halved: the square from (x 2, y 0) to (6, 4) becomes (1, 0) to (3, 2)
    (part,) = parts_of([[[2, 0, 6, 0, 6, 4, 2, 4]]], (4, 8))
    np.testing.assert_array_equal(paint_classes([part], [7], (4, 8), (2, 4)), [[0, 7, 7, 0]] * 2)
    # enlarged to 8 x 24, three times as wide and twice as high
    large = np.zeros((8, 24), int)
    large[:, 6:18] = 7
    np.testing.assert_array_equal(paint_classes([part], [7], (4, 8), (8, 24)), large)


def test_polygons_rle_and_masks_of_one_square_are_one():
    mask = np.zeros((6, 9), bool)
    mask[1:5, 2:7] = True
    forms = [[[2, 1, 7, 1, 7, 5, 2, 5]], encode_mask(mask), mask]
    for size in ((6, 9), (12, 27), (2, 3)):
        first, *others = [paint_classes(parts_of([form], (6, 9)), [3], (6, 9), size) for form in forms]
        for other in others:
            np.testing.assert_array_equal(first, other)
        assert first.any()


def test_number_0_and_no_instances_leave_background():
    parts = parts_of([np.ones((2, 3), bool)], (2, 3))
    assert not paint_classes(parts, [0], (2, 3), (2, 3)).any()
    assert paint_classes([], [], (2, 3), (5, 4)).shape == (5, 4)


@pytest.mark.parametrize("number", [-1, 65536])
def test_numbers_that_do_not_fit(number):
    with pytest.raises(ValueError, match="from 0 to 65535"):
        paint_classes(parts_of([np.ones((2, 3), bool)], (2, 3)), [number], (2, 3), (2, 3))


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)),
       st.integers(1, 20), st.integers(1, 20))
def test_a_map_cut_into_classes_is_the_map_sampled(class_map, height, width):
    """Masks that share the image out, each resized by itself, give what the map resized as a whole gives: no seam."""
    numbers = [int(v) for v in np.unique(class_map)]
    parts = parts_of([class_map == v for v in numbers], class_map.shape)
    painted = paint_classes(parts, numbers, class_map.shape, (height, width))
    rows = [int((i + 0.5) * class_map.shape[0] / height) for i in range(height)]
    cols = [int((i + 0.5) * class_map.shape[1] / width) for i in range(width)]
    np.testing.assert_array_equal(painted, class_map[rows][:, cols])
