"""TFRecord files and the `tf.train.Example` messages in them, written and read without TensorFlow.

A file is a sequence of records: the length of the data in 8 bytes, a checksum of those 8 bytes, the data, a checksum of the
data. Numbers are little-endian. A checksum is a "masked" CRC-32C, rotated and with a constant added, because a CRC of data
that contains CRCs is weak.

An Example maps names to features, and a feature is a list of bytes, of floats, or of integers. A field of a protocol buffer is
a tag (field number and wire type) followed by its content; a nested message is stored as bytes preceded by their length.
Floats are skipped, because nothing in this package stores them.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details,
https://protobuf.dev/programming-guides/encoding/ and tensorflow/core/example/{example,feature}.proto.
"""

import os
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO

import google_crc32c

from mrcnn.base.errors import DataError

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_HINT = "delete the file, and write or download it again"

# Wire types: the low three bits of a tag.
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# Field numbers. In Example, Features and the lists, only field 1 is used.
_ONLY = 1
_KEY, _VALUE = 1, 2
_BYTES_LIST, _INT64_LIST = 1, 3
_MAX_VARINT = 10


def write_record(file: IO[bytes], data: bytes) -> None:
    """Write one record to an open file."""
    length = struct.pack("<Q", len(data))
    file.write(length + _FOOT.pack(masked_crc32c(length)))
    file.write(data)
    file.write(_FOOT.pack(masked_crc32c(data)))


def masked_crc32c(data: bytes) -> int:
    """Compute the 32-bit checksum that the file stores for some bytes."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def scan_records(path: Path | str) -> list[tuple[int, int]]:
    """Find the records of a file from their lengths, without reading their data.

    Returns:
        The offset and the length of the data of each record, in bytes.

    Raises:
        DataError: the file is missing, ends inside a record, or a length is damaged.
    """
    records: list[tuple[int, int]] = []
    at = 0
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            length = _length_at(file, path, at, len(records), size)
            records.append((at + _HEAD.size, length))
            at += _HEAD.size + length + _FOOT.size
    return records


def _length_at(file: BinaryIO, path: Path | str, at: int, number: int, size: int) -> int:
    """Read the length of the record that starts at byte `at`."""
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


def read_record(path: Path | str, offset: int, length: int) -> bytes:
    """Read the data of one record, at an offset and of a length that `scan_records` returned.

    Raises:
        DataError: the file is missing or truncated, or the data are damaged.
    """
    with _opened(path) as file:
        file.seek(offset)
        data, foot = file.read(length), file.read(_FOOT.size)
    if len(data) < length or len(foot) < _FOOT.size:
        raise DataError(f"{path}: it ends inside the record at byte {offset}: {_HINT}")
    if _FOOT.unpack(foot)[0] != masked_crc32c(data):
        raise DataError(f"{path}: the record at byte {offset} is damaged (its checksum is wrong): {_HINT}")
    return data


def _opened(path: Path | str) -> BinaryIO:
    try:
        # unbuffered, so that skipped data are not read
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _cut_off(path: Path | str, number: int) -> DataError:
    return DataError(f"{path}: it ends inside record {number}: {_HINT}")


def encode_example(features: Mapping[str, bytes | int]) -> bytes:
    """Encode an Example.

    Args:
        features: bytes or 64-bit integers by name, stored in this order: put what readers need first, such as names and
            sizes, before large bytes.
    """
    entries = []
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(_BYTES_LIST, _field(_ONLY, value))
        else:
            feature = _field(_INT64_LIST, _field(_ONLY, _varint(value)))
        entries.append(_field(_ONLY, _field(_KEY, name.encode()) + _field(_VALUE, feature)))
    return _field(_ONLY, b"".join(entries))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Encode an integer in groups of 7 bits, lowest first; a negative one in 64-bit two's complement."""
    value = int(value) & 0xFFFFFFFFFFFFFFFF
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def decode_example(data: bytes, where: str) -> dict[str, list]:
    """Decode an Example.

    Args:
        where: file and record, for messages.

    Returns:
        Lists of bytes or int by name. Lists of floats are skipped.

    Raises:
        DataError: the bytes are not an Example.
    """
    return read_features(lambda start, stop: data[start:stop], len(data), where)


def read_features(
    take: Callable[[int, int], bytes], length: int, where: str, names: Collection[str] | None = None
) -> dict[str, list]:
    """Read selected features of an Example in a file, and skip the others.

    Args:
        take: function (start, stop) that reads bytes of the Example.
        length: size of the Example in bytes.
        where: file and record, for messages.
        names: features to read; reading stops once all are found. None reads every feature.

    Returns:
        Lists of bytes or int by name.

    Raises:
        DataError: the bytes are not an Example.
    """
    features: dict[str, list] = {}
    try:
        for _, start, stop in _fields(take, 0, length, _ONLY):
            for _, entry, end in _fields(take, start, stop, _ONLY):
                name, value = _entry(take, entry, end, names)
                if value is not None:
                    features[name] = value
                if names is not None and len(features) == len(names):
                    return features
    except ValueError as error:
        raise DataError(f"{where} is not a tf.train.Example: {error}") from error
    return features


def _entry(
    take: Callable[[int, int], bytes], start: int, stop: int, names: Collection[str] | None
) -> tuple[str, list | None]:
    """Read the name and value of one map entry. The value is None unless it is wanted and of a known kind."""
    name, feature = "", None
    for number, begin, end in _fields(take, start, stop):
        if number == _KEY:
            name = take(begin, end).decode()
        elif number == _VALUE:
            feature = begin, end
    if feature is None or (names is not None and name not in names):
        return name, None
    value: list | None = None
    for kind, begin, end in _fields(take, *feature):
        if kind == _BYTES_LIST:
            value = [take(*field) for _, *field in _fields(take, begin, end, _ONLY)]
        elif kind == _INT64_LIST:
            value = _integers(take(begin, end))
    return name, value


def _integers(content: bytes) -> list[int]:
    """Read an Int64List, packed into one field or with one field per value."""
    found: list[int] = []
    at = 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        stored, stop = tag & 7, at
        if stored == _LENGTH:
            size, at = _read_varint(content, at)
            stop = at + size
        elif stored != _VARINT:
            raise ValueError(f"an integer has wire type {stored}")
        else:
            _, stop = _read_varint(content, at)
        if stop > len(content):
            raise ValueError("a list extends beyond its end")
        while at < stop:
            value, at = _read_varint(content, at)
            found.append(value - (1 << 64) if value >> 63 else value)
    return found


def _fields(
    take: Callable[[int, int], bytes], start: int, stop: int, wanted: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """Yield the number, start and stop of each length-delimited field of a message.

    Args:
        take: see `read_features`.
        start, stop: position of the message.
        wanted: number of the only field to yield; None yields all.
    """
    at = start
    while at < stop:
        head = take(at, min(at + 2 * _MAX_VARINT, stop))
        tag, used = _read_varint(head, 0)
        number, stored = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field has the number 0")
        if stored == _LENGTH:
            size, used = _read_varint(head, used)
            begin, at = at + used, at + used + size
            if at > stop:
                raise ValueError(f"field {number} extends beyond the end of its message")
            if wanted is None or number == wanted:
                yield number, begin, at
            continue
        if stored == _VARINT:
            _, used = _read_varint(head, used)
        elif stored in (_EIGHT_BYTES, _FOUR_BYTES):
            used += 8 if stored == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {number} has wire type {stored}, which does not exist")
        at += used


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode an integer stored in groups of 7 bits. Returns the integer and the position after it."""
    value = 0
    for i, byte in enumerate(data[at : at + _MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + i + 1
    raise ValueError("an integer is not terminated")
