import numpy as np

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.masks import BITS, BitMasks


def test_masks_go_in_and_come_out():
    rng = np.random.default_rng(0)
    for count in (1, BITS, BITS + 1, 2 * BITS + 3):
        dense = rng.random((9, 14, count)) > 0.8
        masks = BitMasks.empty((9, 14), count)
        assert masks.maps.dtype == np.int32 and masks.maps.shape[2] == -(-count // BITS)
        for i in range(count):
            masks.put(i, (0, 0, 9, 14), dense[:, :, i])
        np.testing.assert_array_equal(masks.boxes(), extract_bboxes(dense))
        for i in range(count):
            np.testing.assert_array_equal(masks.cut(i, (2, 3, 8, 14)), dense[2:8, 3:14, i])


def test_overlapping_masks_do_not_mix():
    masks = BitMasks.empty((5, 8), 3)
    masks.put(0, (0, 0, 4, 4), np.ones((4, 4), bool))
    masks.put(1, (2, 2, 5, 8), np.eye(3, 6, dtype=bool))
    assert masks.boxes().tolist() == [[0, 0, 4, 4], [2, 2, 5, 5], [0, 0, 0, 0]]
    assert masks.cut(1, (2, 2, 5, 5)).tolist() == np.eye(3, dtype=bool).tolist()


def test_no_masks():
    assert BitMasks.empty((5, 8), 0).boxes().shape == (0, 4)
