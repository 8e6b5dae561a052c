import json

import numpy as np
import pytest

from mrcnn.geometry.rle import (
    as_rle,
    decode_rle,
    encode_mask,
    rle_area,
    rle_bbox,
    rle_to_json,
)


def test_uncompressed_runs_go_down_the_columns():
    # 3 high and 4 wide: two background pixels, three mask pixels (end of column 0, start of column 1), the rest background
    rle = {"size": [3, 4], "counts": [2, 3, 7]}
    expected = np.zeros((3, 4), bool)
    expected[2, 0] = expected[0, 1] = expected[1, 1] = True
    mask = decode_rle(rle)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)
    assert rle_area(rle) == 3
    assert rle_bbox(rle) == (0, 0, 3, 2)


def test_encoding_is_json_and_reversible():
    mask = np.random.default_rng(0).random((17, 31)) > 0.7
    rle = json.loads(json.dumps(encode_mask(mask)))
    assert rle["size"] == [17, 31]
    np.testing.assert_array_equal(decode_rle(rle), mask)
    np.testing.assert_array_equal(decode_rle({**rle, "counts": rle["counts"].encode()}), mask)


def test_an_empty_mask():
    rle = encode_mask(np.zeros((5, 8)))
    assert rle_area(rle) == 0 and rle_bbox(rle) == (0, 0, 0, 0) and not decode_rle(rle).any()


def test_polygons_are_merged():
    rle = as_rle([[0, 0, 4, 0, 4, 4, 0, 4], [6, 2, 9, 2, 9, 4, 6, 4]], (5, 10))
    expected = np.zeros((5, 10), bool)
    expected[:4, :4] = expected[2:4, 6:9] = True
    np.testing.assert_array_equal(decode_rle(rle), expected)
    assert isinstance(rle_to_json(rle)["counts"], str)


def test_runs_that_do_not_fill_the_size_are_an_error():
    with pytest.raises(ValueError, match="counts of an RLE of 3 x 4 pixels do not add up to its height x width"):
        as_rle({"size": [3, 4], "counts": [2, 3, 6]})


def test_a_polygon_of_two_points_is_an_error():
    with pytest.raises(ValueError, match="at least three x, y pairs, but has 4 numbers"):
        as_rle([[0, 0, 4, 4]], (5, 5))
