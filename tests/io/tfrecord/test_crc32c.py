"""The checksum against published values, and against a plain loop over the bits."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.io.tfrecord.crc32c import crc32c


@pytest.mark.parametrize("data, expected", [
    (b"", 0),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
])  # fmt: skip
def test_published_values(data, expected):
    assert crc32c(data) == expected


def bit_by_bit(data):
    """The definition: division of polynomials over bits, the lowest bit first."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


# around the length where tables take over, powers of two of words and their neighbours
@pytest.mark.parametrize("length", [63, 64, 65, 66, 67, 68, 127, 128, 129, 255, 256, 260, 1023, 1024, 1028, 4099])
def test_lengths_of_all_remainders(length):
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == bit_by_bit(data)


@given(st.binary(max_size=600))
def test_any_bytes(data):
    assert crc32c(data) == bit_by_bit(data)


def test_a_changed_bit_far_in_front_changes_it():
    data = bytearray(1_000_001)
    before = crc32c(bytes(data))
    data[3] ^= 4
    assert crc32c(bytes(data)) != before
