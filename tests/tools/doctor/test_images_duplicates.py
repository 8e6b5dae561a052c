import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.tools.doctor import images
from mrcnn.tools.doctor.images import first_similar, near_pairs

BITS = st.integers(0, 2**64 - 1)


def pairs(hashes, distance):
    return {(int(i), int(j)) for some in near_pairs(np.array(hashes, np.uint64), distance) for i, j in zip(*some)}


def test_pairs_by_hand():
    hashes = [0b0000, 0b0001, 0b0111, 2**63, 2**63 + 1]
    assert pairs(hashes, 0) == set()
    assert pairs(hashes, 1) == {(0, 1), (0, 3), (1, 4), (3, 4)}
    assert pairs(hashes, 2) == {(0, 1), (0, 3), (1, 4), (3, 4), (1, 2), (0, 4), (1, 3)}
    assert pairs([], 4) == set() and pairs([7], 4) == set()


@given(st.lists(st.tuples(BITS, st.lists(st.integers(0, 63), max_size=6)), min_size=1, max_size=12))
def test_no_near_pair_is_missed(seeds):
    """The hashes are random numbers, and the same numbers with some bits flipped."""
    hashes = [n for number, flips in seeds for n in (number, number ^ sum(1 << b for b in set(flips)))]
    expected = {(i, j) for j in range(len(hashes)) for i in range(j) if (hashes[i] ^ hashes[j]).bit_count() <= 4}
    assert pairs(hashes, 4) == expected


def test_pairs_are_independent_of_block_size(monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 40, 300)
    expected = pairs(hashes, 2)
    monkeypatch.setattr(images, "_BLOCK", 500)
    monkeypatch.setattr(images, "_PAIRS", 7)
    assert len(expected) > 1000 and pairs(hashes, 2) == expected


@pytest.mark.parametrize("parts, same, others", [
    ([0, 0, 0, 0], [4, 0, 4, 0], [4, 4, 4, 4]),
    ([0, 1, 1, 1], [4, 4, 4, 1], [4, 0, 4, 0]),
    ([0, 1, 0, 0], [4, 4, 4, 0], [4, 0, 4, 1]),
])  # fmt: skip
def test_first_similar_image_in_the_same_subset_and_in_another(parts, same, others):
    # 0, 1 and 3 are similar; 2 has the same hash but a different thumbnail
    hashes = np.array([5, 5, 5, 4], np.uint64)
    thumbnails = np.array([[0, 9], [1, 9], [99, -99], [0, 8]], np.int16)
    first = first_similar(hashes, thumbnails, np.array(parts))
    assert first[0].tolist() == same and first[1].tolist() == others


def test_many_similar_images_are_fast():
    hashes = np.full(3000, 77, np.uint64)
    same, _ = first_similar(hashes, np.zeros((3000, 256), np.int16), np.zeros(3000, int))
    assert same[0] == 3000 and (same[1:] == 0).all()
