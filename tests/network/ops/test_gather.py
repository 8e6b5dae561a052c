"""Rows gathered per image, and the first true entries of a mask."""
import keras
import numpy as np
import pytest

from mrcnn.network.ops.gather import first_true, gather_rows, mask_rows


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_rows_are_gathered_from_their_own_image():
    rows = np.array([[[1.0], [2], [3]], [[10], [20], [30]]], np.float32)
    np.testing.assert_array_equal(_numpy(gather_rows(rows, np.array([[2, 0], [1, 1]], np.int32))),
                                  [[[3], [1]], [[20], [20]]])


def test_rows_of_any_rank_keep_their_dtype():
    ids = keras.ops.convert_to_tensor(np.array([[7, 8, 9]], np.int32))
    picked = gather_rows(ids, np.array([[1]], np.int32))
    assert keras.backend.standardize_dtype(picked.dtype) == "int32" and _numpy(picked).tolist() == [[8]]
    maps = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(_numpy(gather_rows(maps, np.array([[2], [0]], np.int32)))[:, 0],
                                  [maps[0, 2], maps[1, 0]])


@pytest.mark.parametrize("count, indices, valid", [
    (1, [[1], [0]], [[1], [0]]),
    (2, [[1, 3], [0, 0]], [[1, 1], [0, 0]]),
    (3, [[1, 3, 0], [0, 0, 0]], [[1, 1, 0], [0, 0, 0]]),
    (6, [[1, 3, 0, 0, 0, 0], [0] * 6], [[1, 1, 0, 0, 0, 0], [0] * 6]),  # more requested than there are columns
])  # fmt: skip
def test_first_true_entries_in_order(count, indices, valid):
    mask = np.array([[False, True, False, True], [False] * 4])
    positions, valid_slots = first_true(keras.ops.convert_to_tensor(mask), count)
    assert _numpy(positions).tolist() == indices
    assert _numpy(valid_slots).astype(int).tolist() == valid


def test_first_true_of_a_long_mask_keeps_its_order():
    mask = np.random.default_rng(0).random((2, 5000)) < 0.3
    positions, valid_slots = first_true(keras.ops.convert_to_tensor(mask), 2000)
    for row in range(2):
        expected = np.flatnonzero(mask[row])[:2000]
        np.testing.assert_array_equal(_numpy(positions)[row][_numpy(valid_slots)[row]], expected)
        assert _numpy(valid_slots)[row].sum() == len(expected) < 2000


def test_invalid_rows_become_zero():
    rows = keras.ops.convert_to_tensor(np.array([[[1, 2], [3, 4]]], np.int32))
    masked = mask_rows(rows, keras.ops.convert_to_tensor(np.array([[True, False]])))
    assert _numpy(masked).tolist() == [[[1, 2], [0, 0]]]
    assert keras.backend.standardize_dtype(masked.dtype) == "int32"


def test_nan_in_invalid_rows_becomes_zero():
    rows = np.array([[[np.nan], [1.0]]], np.float32)
    assert _numpy(mask_rows(rows, np.array([[False, True]]))).tolist() == [[[0.0], [1.0]]]
