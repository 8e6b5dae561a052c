import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.geometry.boxes import (
    apply_box_deltas,
    box_areas,
    box_refinement,
    boxes_from_profiles,
    compute_iou,
    compute_overlaps,
    denorm_boxes,
    extract_bboxes,
    non_max_suppression,
    norm_boxes,
)

coordinate = st.integers(0, 200)
side = st.integers(1, 150)
box = st.tuples(coordinate, coordinate, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


def test_overlaps_by_hand():
    # 10 x 20 = 200 pixels and 10 x 10 = 100 pixels share 5 x 10 = 50: 50 / (200 + 100 - 50)
    first = np.array([[0, 0, 10, 20]])
    second = np.array([[5, 10, 15, 20], [0, 0, 10, 20], [10, 0, 20, 20], [0, 0, 0, 0]])
    overlaps = compute_overlaps(first, second)
    assert overlaps.dtype == np.float64
    np.testing.assert_allclose(overlaps, [[50 / 250, 1.0, 0.0, 0.0]])


def test_overlaps_of_no_boxes():
    assert compute_overlaps(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)
    assert compute_overlaps(np.ones((3, 4)), np.zeros((0, 4))).shape == (3, 0)


@given(st.lists(box, min_size=1, max_size=6), st.lists(box, min_size=1, max_size=6))
def test_overlaps_are_symmetric_and_agree_with_compute_iou(first, second):
    first, second = np.array(first), np.array(second)
    overlaps = compute_overlaps(first, second)
    np.testing.assert_array_equal(overlaps, compute_overlaps(second, first).T)
    areas = (second[:, 2] - second[:, 0]) * (second[:, 3] - second[:, 1])
    area = (first[0, 2] - first[0, 0]) * (first[0, 3] - first[0, 1])
    np.testing.assert_array_equal(overlaps[0], compute_iou(first[0], second, area, areas))
    assert (overlaps >= 0).all() and (overlaps <= 1).all()


def test_overlaps_do_not_depend_on_the_number_of_boxes_compared_at_once():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (60_000, 2))
    many = np.concatenate([corners, corners + rng.uniform(1, 100, (60_000, 2))], axis=1)
    few = many[:3]
    np.testing.assert_array_equal(compute_overlaps(many, few)[59_000:], compute_overlaps(many[59_000:], few))


def test_refinement_by_hand():
    # from 10 x 20 at centre (5, 10) to 20 x 20 at centre (15, 20): half heights and widths as units
    deltas = box_refinement(np.array([[0, 0, 10, 20]]), np.array([[5, 10, 25, 30]]))
    assert deltas.dtype == np.float32
    np.testing.assert_allclose(deltas, [[1.0, 0.5, np.log(2), 0.0]], rtol=1e-6)


@given(st.lists(st.tuples(box, box), min_size=1, max_size=5))
def test_refinement_and_deltas_are_inverse(pairs):
    boxes, targets = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    np.testing.assert_allclose(apply_box_deltas(boxes, box_refinement(boxes, targets)), targets, atol=2e-3)


def test_normalised_boxes_by_hand():
    # on 101 x 201 the last pixel's centre is 1: the whole image is 0, 0, 1, 1
    boxes = np.array([[0, 0, 101, 201], [50, 50, 51, 51]])
    normalised = norm_boxes(boxes, (101, 201, 3))
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, [[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.25]])


@given(st.lists(box, min_size=1, max_size=5), st.integers(2, 3000), st.integers(2, 3000))
def test_norm_and_denorm_are_inverse_on_whole_pixels(boxes, height, width):
    back = denorm_boxes(norm_boxes(np.array(boxes), (height, width)), (height, width))
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, boxes)


def test_bboxes_of_masks():
    masks = np.zeros((5, 9, 4), bool)
    masks[1:3, 4:8, 0] = True
    masks[4, 8, 1] = True  # one pixel in the corner
    masks[0, 0, 3] = masks[2, 6, 3] = True  # two pixels apart; mask 2 is empty
    boxes = extract_bboxes(masks)
    assert boxes.dtype == np.int32
    np.testing.assert_array_equal(boxes, [[1, 4, 3, 8], [4, 8, 5, 9], [0, 0, 0, 0], [0, 0, 3, 7]])


def test_bboxes_of_no_masks():
    assert extract_bboxes(np.empty((0, 0, 0))).shape == (0, 4)
    assert extract_bboxes(np.empty((5, 9, 0), bool)).shape == (0, 4)


def test_nms_keeps_the_best_first():
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [20, 0, 30, 10]])
    kept = non_max_suppression(boxes, np.array([0.5, 0.9, 0.7]), 0.5)
    assert kept.dtype == np.int32
    assert kept.tolist() == [1, 2]  # box 0 overlaps box 1 by 90 / 110


def test_nms_keeps_boxes_at_exactly_the_threshold():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], float)  # IoU is exactly one half
    assert non_max_suppression(boxes, np.array([2.0, 1.0]), 0.5).tolist() == [0, 1]
    assert non_max_suppression(boxes, np.array([2.0, 1.0]), 0.499).tolist() == [0]


def test_nms_without_boxes_is_an_error():
    with pytest.raises(ValueError, match="at least one box"):
        non_max_suppression(np.zeros((0, 4)), np.zeros(0), 0.5)


def test_areas_and_the_overlap_of_one_box_with_many_by_hand():
    boxes = np.array([[0, 0, 10, 20], [5, 10, 15, 20], [3, 3, 3, 9]])
    assert box_areas(boxes).tolist() == [200, 100, 0]
    # 5 x 10 pixels shared: 50 / (200 + 100 - 50)
    np.testing.assert_allclose(compute_iou(boxes[0], boxes, 200, box_areas(boxes)), [1, 0.2, 0])


def test_boxes_from_the_rows_and_columns_that_masks_occupy():
    rows = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool).T  # 4 rows, 3 masks
    cols = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], bool).T
    assert boxes_from_profiles(rows, cols).tolist() == [[1, 1, 3, 4], [0, 0, 0, 0], [0, 4, 1, 5]]


def test_apply_box_deltas_by_hand():
    # height 10 and width 20 around (15, 30), moved by 1 down and 10 left, twice as high and half as wide
    moved = apply_box_deltas(np.array([[10, 20, 20, 40]]), np.array([[0.1, -0.5, np.log(2), np.log(0.5)]]))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, [[6, 15, 26, 25]], atol=1e-5)


def test_denormalised_boxes_by_hand():
    # 0.254 * 200 is 50.8, plus 0 and 1, rounded to whole pixels
    assert denorm_boxes(np.array([[0, 0, 1, 1], [0.5, 0.254, 0.5, 0.254]]), (101, 201)).tolist() == [
        [0, 0, 101, 201], [50, 51, 51, 52]]  # fmt: skip
