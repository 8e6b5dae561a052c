"""TFRecord files are exchangeable with TensorFlow, and damage is reported."""
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.io.tfrecord import masked_crc32c, read_record, scan_records, write_record

RECORDS = [b"", b"a", b"123456789", bytes(range(256)) * 9]


@pytest.fixture
def path(tmp_path):
    """A file with RECORDS."""
    with open(tmp_path / "a.tfrecord", "wb") as file:
        for data in RECORDS:
            write_record(file, data)
    return tmp_path / "a.tfrecord"


def read_all(path):
    return [read_record(path, offset, length) for offset, length in scan_records(path)]


def test_bytes_of_a_record(tmp_path):
    # the CRC of "123456789" is E3069283; it is rotated right by 15, and A282EAD8 is added, in 32 bits
    rotated = (0xE3069283 >> 15) | (0xE3069283 << 17) & 0xFFFFFFFF
    assert rotated == 0x2507C60D and masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) & 0xFFFFFFFF == 0xC78AB0E5
    with open(tmp_path / "a", "wb") as file:
        write_record(file, b"123456789")
    data = (tmp_path / "a").read_bytes()
    assert len(data) == 8 + 4 + 9 + 4
    assert data[:8] == b"\x09" + bytes(7) and data[12:21] == b"123456789" and data[21:] == struct.pack("<I", 0xC78AB0E5)


@pytest.mark.parametrize("data, crc", [
    (b"", 0), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
])  # fmt: skip
def test_checksums_of_rfc_3720(data, crc):
    """The values of the CRC are in appendix B.4 of the RFC; the checksum is the CRC rotated, plus a constant."""
    unmasked = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((unmasked >> 17) | (unmasked << 15)) & 0xFFFFFFFF == crc


def test_records_are_read_as_written(path):
    # 8 + 4 bytes before and 4 bytes after each
    assert scan_records(path) == [(12, 0), (28, 1), (45, 9), (70, 2304)]
    assert read_all(path) == RECORDS


def test_tensorflow_reads_our_files(path):
    tf = pytest.importorskip("tensorflow")
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == RECORDS


def test_we_read_the_files_of_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(tmp_path / "b")) as writer:
        for data in RECORDS:
            writer.write(data)
    assert read_all(tmp_path / "b") == RECORDS


def test_file_without_records(tmp_path):
    (tmp_path / "a").touch()
    assert scan_records(tmp_path / "a") == []


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="gone cannot be read"):
        scan_records(tmp_path / "gone")
    with pytest.raises(DataError, match="gone cannot be read"):
        read_record(tmp_path / "gone", 12, 3)


def test_damaged_data_are_reported_with_their_position(path):
    data = bytearray(path.read_bytes())
    data[47] ^= 1  # inside the third record
    path.write_bytes(data)
    positions = scan_records(path)
    with pytest.raises(DataError, match="a.tfrecord: the record at byte 45 is damaged"):
        read_record(path, *positions[2])
    assert read_record(path, *positions[3]) == RECORDS[3]


def test_a_damaged_length_is_reported(path):
    data = bytearray(path.read_bytes())
    data[38] ^= 0x80  # the length of the third record, now beyond the file
    path.write_bytes(data)
    with pytest.raises(DataError, match="a.tfrecord: the length of record 2 is damaged"):
        scan_records(path)


@given(data=st.data())
def test_file_truncated_anywhere_gives_complete_records_or_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "a"
    with open(path, "wb") as file:
        for record in RECORDS:
            write_record(file, record)
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:length])
    ends = [0, 16, 33, 58, len(content)]
    if length in ends:
        assert read_all(path) == RECORDS[: ends.index(length)]
    else:
        with pytest.raises(DataError, match="ends inside record"):
            scan_records(path)


def test_record_truncated_after_the_scan_is_an_error(path):
    positions = scan_records(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="ends inside the record at byte 70"):
        read_record(path, *positions[3])
