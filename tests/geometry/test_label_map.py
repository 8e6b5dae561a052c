"""Label maps: a hand-computed case, and comparison with plain NumPy."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.geometry.label_map import LabelMap
from mrcnn.geometry.rle import decode_rle, encode_mask

# 5 ends a row and begins the next: two runs
MAP = np.array([[7, 7, 0, 5],
                [5, 0, 0, 9],
                [5, 7, 0, 9]], np.int32)  # fmt: skip

MAPS = arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 7)), elements=st.sampled_from([0, 1, 3, 256, 2**24 - 1]))


def test_labels_areas_boxes_and_masks():
    labels = LabelMap(MAP)
    assert labels.values.tolist() == [0, 5, 7, 9]
    assert labels.areas.tolist() == [4, 3, 3, 2]
    assert labels.boxes().tolist() == [[0, 1, 3, 3], [0, 0, 3, 4], [0, 0, 3, 2], [1, 3, 3, 4]]
    (rle, box), (other, _) = labels.encode([3, 1])
    assert box == (1, 3, 3, 4)
    np.testing.assert_array_equal(decode_rle(rle), [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    np.testing.assert_array_equal(decode_rle(other), [[0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]])


def test_labels_are_replaced():
    replaced = LabelMap(MAP).replaced(np.array([1, 2, 3, 4], np.uint8))
    assert replaced.dtype == np.uint8
    np.testing.assert_array_equal(replaced, [[3, 3, 1, 2], [2, 1, 1, 4], [2, 3, 1, 4]])


@given(MAPS)
def test_label_map_agrees_with_plain_numpy(image):
    labels = LabelMap(image)
    values, counts = np.unique(image, return_counts=True)
    np.testing.assert_array_equal(labels.values, values)
    np.testing.assert_array_equal(labels.areas, counts)
    np.testing.assert_array_equal(labels.replaced(labels.values), image)
    for i, (rle, (y1, x1, y2, x2)) in enumerate(labels.encode(range(len(values)))):
        mask = image == values[i]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (y1, x1, y2, x2) == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        assert rle == encode_mask(mask)
