import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mrcnn.geometry.rle import decode_to_box, encode_in_box, run_lengths


@st.composite
def parts(draw):
    """Draw an image size, a box inside it, and a mask of the box: sometimes full, so that runs cross columns."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    y1, x1 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y2, x2 = draw(st.integers(y1 + 1, height)), draw(st.integers(x1 + 1, width))
    area = (y2 - y1) * (x2 - x1)
    bits = draw(st.one_of(st.just([True] * area), st.lists(st.booleans(), min_size=area, max_size=area)))
    return (height, width), (y1, x1, y2, x2), np.array(bits, bool).reshape(y2 - y1, x2 - x1)


def full_mask(size, box, part):
    mask = np.zeros(size, np.uint8, order="F")
    mask[box[0] : box[2], box[1] : box[3]] = part
    return mask


@given(parts())
def test_encoding_in_a_box_equals_encoding_the_whole_mask(case):
    size, box, part = case
    expected = coco_mask.encode(full_mask(size, box, part))
    assert encode_in_box(part, box, size) == {"size": list(size), "counts": expected["counts"].decode()}


@given(parts())
def test_decoding_to_the_box_gives_the_mask_in_its_bounding_box(case):
    size, box, part = case
    mask = full_mask(size, box, part)
    decoded, tight = decode_to_box(coco_mask.encode(mask))
    if not mask.any():
        assert decoded.shape == (0, 0) and tight == (0, 0, 0, 0)
        return
    assert (full_mask(size, tight, decoded) == mask).all()
    assert decoded.any(axis=1)[[0, -1]].all() and decoded.any(axis=0)[[0, -1]].all()


def test_run_lengths_by_hand():
    mask = np.zeros((4, 3), np.uint8, order="F")
    mask[1:3, 0] = 1  # 1 background, 2 mask, then 5 background
    mask[0:4, 2] = 1  # and the last column
    rle = coco_mask.encode(mask)
    assert run_lengths(rle).tolist() == [1, 2, 5, 4]
    assert run_lengths({"size": [4, 3], "counts": rle["counts"].decode()}).tolist() == [1, 2, 5, 4]
    assert run_lengths({"size": [4, 3], "counts": [1, 2, 5, 4]}).tolist() == [1, 2, 5, 4]


def test_long_runs_and_short_ones_after_them():
    # lengths of several characters, and differences of either sign
    counts = [100000, 3, 70000, 1, 5, 40000, 2, 1200000 - 210011]
    rle = coco_mask.frPyObjects({"size": [1000, 1200], "counts": counts}, 1000, 1200)
    assert run_lengths(rle).tolist() == counts


def test_mask_inside_a_large_image():
    rng = np.random.default_rng(0)
    part = rng.random((40, 70)) > 0.5
    part[0, 0] = part[-1, -1] = part[0, -1] = part[-1, 0] = True
    rle = encode_in_box(part, (900, 30, 940, 100), (1500, 2000))
    decoded, box = decode_to_box(rle)
    assert box == (900, 30, 940, 100) and (decoded == part).all()


def test_empty_runs_are_harmless():
    part, box = decode_to_box({"size": [4, 3], "counts": [1, 0, 0, 2, 0, 0, 9]})
    assert box == (1, 0, 3, 1) and part.tolist() == [[True], [True]]


def test_runs_that_do_not_fill_the_image_are_an_error():
    with pytest.raises(ValueError, match="RLE of 4 x 3 pixels do not add up to its height x width"):
        decode_to_box({"size": [4, 3], "counts": [5]})
