"""TFRecord files, written and read without TensorFlow.

A file is one record after another, with nothing around them: the length of the data as 8 bytes, a checksum of those 8
bytes, the data, a checksum of the data. Numbers are little-endian. A checksum is a CRC-32C, rotated and shifted by a
constant ("masked"), since the checksum of data that holds checksums is a weak one.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import os
import struct
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.io.tfrecord.crc32c import crc32c

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


def write_record(file, data):
    """Write one record. Args: file: open binary file; data: bytes."""
    length = struct.pack("<Q", len(data))
    file.write(length + _FOOT.pack(masked_crc32c(length)))
    file.write(data)
    file.write(_FOOT.pack(masked_crc32c(data)))


def masked_crc32c(data):
    """Compute the checksum that stands in the file. Args: data: bytes. Returns: int, 32 bits."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def scan_records(path):
    """Find the records of a file by their lengths alone; the data between them are not read.

    Args:
        path: path.

    Returns:
        list of (offset, length) in bytes: where the data of each record lie.

    Raises:
        DataError: the file is missing, ends inside a record, or a length is damaged.
    """
    found, at = [], 0
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            length = _length_at(file, path, at, len(found), size)
            found.append((at + _HEAD.size, length))
            at += _HEAD.size + length + _FOOT.size
    return found


def _length_at(file, path, at, number, size):
    """Read the length of the record that starts at a byte of the file."""
    file.seek(at)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise _cut_off(path, number)
    length, crc = _HEAD.unpack(head)
    if crc != masked_crc32c(head[:8]):
        raise DataError(f"{path}: the length of record {number} is damaged (its checksum is wrong): {_HINT}")
    if at + _HEAD.size + length + _FOOT.size > size:
        raise _cut_off(path, number)
    return length


def read_record(path, offset, length):
    """Read one record.

    Args:
        path: path.
        offset, length: int bytes, as `scan_records` gave them.

    Returns:
        bytes. The data.

    Raises:
        DataError: the file is missing, cut off, or the data are damaged.
    """
    with _opened(path) as file:
        file.seek(offset)
        data, foot = file.read(length), file.read(_FOOT.size)
    if len(data) < length or len(foot) < _FOOT.size:
        raise DataError(f"{path}: it ends inside the record at byte {offset}: {_HINT}")
    if _FOOT.unpack(foot)[0] != masked_crc32c(data):
        raise DataError(f"{path}: the record at byte {offset} is damaged (its checksum is wrong): {_HINT}")
    return data


def _opened(path):
    try:
        # unbuffered: what is skipped is not read
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _cut_off(path, number):
    return DataError(f"{path}: it ends inside record {number}: {_HINT}")


_HINT = "delete the file and write it again, or fetch it again"
