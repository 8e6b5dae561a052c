"""Box arithmetic: the same hand-computed cases for the NumPy functions and the tensor versions."""
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.geometry import boxes as array_boxes
from mrcnn.network.ops import boxes as tensor_boxes


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _tensor_twin(name):
    """Return a function of `ops.boxes` that takes and returns arrays, like the NumPy version."""
    def call(*arguments):
        tensors = [keras.ops.convert_to_tensor(np.asarray(a, np.float32)) for a in arguments]
        return _numpy(getattr(tensor_boxes, name)(*tensors))

    return call


def _twins(name):
    return pytest.mark.parametrize("function", [getattr(array_boxes, name), _tensor_twin(name)], ids=["numpy", "tensor"])


@_twins("apply_box_deltas")
def test_apply_box_deltas_by_hand(function):
    # height 10, width 20, centre (15, 30). dy 0.1 -> 1 pixel down, dx -0.5 -> 10 left, height x 2, width x 0.5
    boxes = np.array([[10, 20, 20, 40]], np.float32)
    deltas = np.array([[0.1, -0.5, np.log(2), np.log(0.5)]], np.float32)
    # centre (16, 20), size (20, 10)
    np.testing.assert_allclose(function(boxes, deltas), [[6, 15, 26, 25]], atol=1e-4)


@_twins("box_refinement")
def test_box_refinement_by_hand(function):
    boxes, gt_boxes = np.array([[10, 20, 20, 40]], np.float32), np.array([[6, 15, 26, 25]], np.float32)
    np.testing.assert_allclose(function(boxes, gt_boxes), [[0.1, -0.5, np.log(2), np.log(0.5)]], atol=1e-6)
    np.testing.assert_allclose(function(boxes, boxes), [[0, 0, 0, 0]], atol=1e-7)


@_twins("compute_overlaps")
def test_compute_overlaps_by_hand(function):
    boxes = np.array([[0, 0, 10, 20], [0, 0, 0, 0]])
    others = np.array([[0, 0, 10, 20], [0, 10, 10, 30], [5, 0, 10, 20], [10, 0, 20, 20], [0, 0, 0, 0]])
    # identical: 1; half of each: 100 / 300; the lower half: 100 / 200; adjacent: 0; no area: 0
    expected = [[1, 1 / 3, 0.5, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(function(boxes, others), expected, atol=1e-7)
    assert function(boxes, others)[0, 2] == 0.5


@pytest.mark.parametrize("name, boxes, expected", [
    # An image of 101 rows and 201 columns: scale (100, 200)
    ("norm_boxes", [[0, 0, 101, 201], [50, 50, 51, 151]], [[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.75]]),
    ("denorm_boxes", [[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.75]], [[0, 0, 101, 201], [50, 50, 51, 151]]),
])  # fmt: skip
def test_normalised_boxes_of_a_non_square_image(name, boxes, expected):
    for function in (getattr(array_boxes, name), _tensor_twin(name)):
        np.testing.assert_allclose(function(np.array(boxes, np.float32), (101, 201)), expected, atol=1e-6)


def test_denormalised_boxes_are_whole_numbers():
    assert keras.backend.standardize_dtype(tensor_boxes.denorm_boxes(np.zeros((1, 4), np.float32), (9, 9)).dtype) == "int32"
    assert array_boxes.denorm_boxes(np.zeros((1, 4)), (9, 9)).dtype == np.int32


def test_each_image_of_a_batch_has_its_own_size():
    boxes = np.array([[[0, 0, 11, 21]], [[0, 0, 21, 11]]], np.int32)
    sizes = np.array([[[11, 21]], [[21, 11]]], np.float32)
    np.testing.assert_allclose(_numpy(tensor_boxes.norm_boxes(boxes, sizes)), [[[0, 0, 1, 1]]] * 2, atol=1e-7)


def test_boxes_are_clipped_to_the_window():
    boxes = np.array([[-1, 2, 30, 8], [0, 0, 5, 5], [20, 20, 30, 30]], np.float32)
    window = np.array([1, 0, 11, 6], np.float32)
    expected = [[1, 2, 11, 6], [1, 0, 5, 5], [11, 6, 11, 6]]  # the last box is outside: no area
    np.testing.assert_allclose(_numpy(tensor_boxes.clip_boxes(boxes, window)), expected)
    windows = np.array([[1, 0, 11, 6], [0, 0, 100, 100]], np.float32)[:, None]
    both = _numpy(tensor_boxes.clip_boxes(np.stack([boxes, boxes]), windows))
    np.testing.assert_allclose(both[0], expected)
    np.testing.assert_allclose(both[1], [[0, 2, 30, 8], [0, 0, 5, 5], [20, 20, 30, 30]])


_BOX = st.tuples(*[st.floats(0, 50, width=32)] * 2, *[st.floats(1, 80, width=32)] * 2).map(
    lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3]))
_BOXES = st.lists(st.tuples(_BOX, _BOX), min_size=5, max_size=5)


@given(_BOXES)
def test_twins_agree_and_deltas_invert_refinement(pairs):
    pairs = np.array(pairs, np.float32)
    boxes, others = pairs[:, 0], pairs[:, 1]
    np.testing.assert_allclose(_tensor_twin("compute_overlaps")(boxes, others),
                               array_boxes.compute_overlaps(boxes, others), atol=1e-5)
    deltas = _tensor_twin("box_refinement")(boxes, others)
    np.testing.assert_allclose(deltas, array_boxes.box_refinement(boxes, others), atol=1e-4, rtol=1e-4)
    back = _tensor_twin("apply_box_deltas")(boxes, deltas)
    np.testing.assert_allclose(back, others, atol=1e-2)
    np.testing.assert_allclose(back, array_boxes.apply_box_deltas(boxes, deltas), atol=1e-3)
    size = np.array([150, 200], np.float32)
    np.testing.assert_allclose(_tensor_twin("norm_boxes")(boxes, size), array_boxes.norm_boxes(boxes, size), atol=1e-6)


@given(_BOXES)
def test_overlaps_do_not_depend_on_unit_or_order(pairs):
    pairs = np.array(pairs, np.float32)
    boxes, others = pairs[:, 0], pairs[:, 1]
    overlaps = _tensor_twin("compute_overlaps")(boxes, others)
    np.testing.assert_allclose(_tensor_twin("compute_overlaps")(boxes / 64, others / 64), overlaps, atol=1e-5)
    np.testing.assert_allclose(_tensor_twin("compute_overlaps")(others, boxes).T, overlaps, atol=1e-6)
    assert (overlaps >= 0).all() and (overlaps <= 1 + 1e-6).all()


def test_extreme_scales_give_huge_but_finite_boxes():
    box = np.array([[0.2, 0.2, 0.4, 0.4]], np.float32)
    moved = _tensor_twin("apply_box_deltas")(box, np.array([[0.0, 0.0, 500.0, 1e30]], np.float32))
    assert np.isfinite(moved).all() and (moved[0, :2] < -1e6).all() and (moved[0, 2:] > 1e6).all()
