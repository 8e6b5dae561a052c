"""The counts of an RLE: faults that would crash pycocotools are reported."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mrcnn.geometry.rle import counts_fault, encode_mask, run_lengths, sum_faults, text_fault


def packed(runs):
    """Encode runs as text: five bits per character from "0" on, lowest first; the sixth bit says that more follow."""
    text = ""
    for i, run in enumerate(runs):
        number = run - runs[i - 2] if i > 2 else run
        while True:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + 32 * more)
            if not more:
                break
    return text


def test_encoding_by_hand_equals_pycocotools():
    # 3 x 4: runs 2, 3, 7 are below 16, one character each; 40 is 8 + 32 * 1: "8" with the sixth bit set, which is "X", then "1"
    assert packed([2, 3, 7]) == "237" and packed([40]) == "X1"
    rle = coco_mask.frPyObjects({"size": [50, 40], "counts": [40, 900, 60, 1000]}, 50, 40)
    assert packed([40, 900, 60, 1000]).encode() == rle["counts"]
    assert run_lengths(rle).tolist() == [40, 900, 60, 1000]


@pytest.mark.parametrize("counts, pixels, message", [
    ([2, 3, 7], 12, None), ("237", 12, None), (b"237", 12, None), ([], 0, None),
    ([2, 3, 6], 12, "do not add up"), ("236", 12, "do not add up"), ("237", 11, "do not add up"), ([], 12, "do not add up"),
    ([2, -3, 13], 12, "negative length"), (packed([2, -3, 13]), 12, "negative length"),
    (packed([2, 3, 7, -20, 20]), 12, "negative length"),
    ([2.0, 3, 7], 12, "not all whole numbers"), ([True, 4, 7], 12, "not all whole numbers"),
    ([2, "3", 7], 12, "not all whole numbers"), ([[2], 3], 12, "not all whole numbers"),
    ("", 12, "are empty"), ("23X", 12, "are truncated inside"), ("X", 12, "are truncated inside"),
    ("2 37", 12, "characters"), ("23\x007", 12, "characters"), ("23~", 12, "characters"), ("23é", 12, "characters"),
    (b"23\xff", 12, "characters"), ("P" * 7 + "0", 12, "more digits"), ("23" + "P" * 100 + "0", 12, "more digits"),
    (None, 12, "neither a list of whole numbers nor text"), (12, 12, "neither a list"), ({}, 12, "neither a list"),
    ([10**30], 12, "do not add up"),
])  # fmt: skip
def test_counts_fault(counts, pixels, message):
    fault = counts_fault(counts, pixels)
    assert fault is None if message is None else message in fault


@given(st.data())
def test_counts_of_a_mask_are_valid_for_its_size_only(data):
    h, w = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random((h, w)) < data.draw(st.sampled_from([0, 0.1, 0.9, 1]))
    text = encode_mask(mask)["counts"]
    assert counts_fault(text, h * w) is None and "add up" in counts_fault(text, h * w + 1)
    runs = run_lengths({"counts": text})
    assert packed(runs.tolist()) == text
    drawn = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(w, h).T
    np.testing.assert_array_equal(drawn, mask)


@given(st.lists(st.lists(st.integers(-40, 40), min_size=1, max_size=7), min_size=1, max_size=8))
def test_texts_checked_together_are_independent(many):
    """The runs of each text start from zero, regardless of the texts next to it."""
    expected = ["negative" if min(runs) < 0 else None if sum(runs) == 60 else "add up" for runs in many]
    faults = sum_faults([packed(runs) for runs in many], [60] * len(many))
    assert [fault and next(word for word in ("negative", "add up") if word in fault) for fault in faults] == expected


@given(st.text(alphabet=st.characters(min_codepoint=40, max_codepoint=120), max_size=30))
def test_any_text_is_safe_to_decode_or_has_a_fault(text):
    pixels = 24
    if text_fault(text) is None and sum_faults([text], [pixels]) == [None]:
        decoded = coco_mask.decode({"size": [6, 4], "counts": text.encode()})
        assert int(decoded.sum()) == int(run_lengths({"counts": text})[1::2].sum())
    else:
        assert counts_fault(text, pixels)
