"""`tf.train.Example`, the message in most TFRecord files, written and read without TensorFlow.

An Example is a map from names to features, and a feature a list of bytes, of floats, or of whole numbers. In protocol
buffers each field is a tag (its number and how it is stored) and its content; a message inside a message is stored as
bytes with their length in front. Floats are skipped here: nothing in this package stores them so.

Source: https://protobuf.dev/programming-guides/encoding/ and tensorflow/core/example/{example,feature}.proto.
"""

from mrcnn.base.errors import DataError

# How a field is stored: the low three bits of its tag.
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# Fields by number. Example and Features have one field that matters, 1; so have the lists.
_ONLY = 1
_KEY, _VALUE = 1, 2
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_LONGEST_VARINT = 10


def encode_example(features):
    """Write an Example.

    Args:
        features: dict name -> bytes, or int (64 bits). They are stored in this order: what a reader wants to see
            first, such as names and sizes, is best put in front of large bytes.

    Returns:
        bytes.
    """
    entries = []
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(_BYTES_LIST, _field(_ONLY, value))
        else:
            feature = _field(_INT64_LIST, _field(_ONLY, _varint(value)))
        entries.append(_field(_ONLY, _field(_KEY, name.encode()) + _field(_VALUE, feature)))
    return _field(_ONLY, b"".join(entries))


def _field(number, content):
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value):
    """Store a whole number in groups of 7 bits, the lowest first; a negative one as its 64 bits."""
    value = int(value) & 0xFFFFFFFFFFFFFFFF
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def decode_example(data, where):
    """Read an Example.

    Args:
        data: bytes.
        where: str. File and record, for the message.

    Returns:
        dict name -> list of bytes or of int. A list of floats is left out.

    Raises:
        DataError: the bytes are no Example.
    """
    return read_features(lambda start, stop: data[start:stop], len(data), where)


def read_features(take, length, where, names=None):
    """Read some features of an Example that lies in a file, and skip over the others.

    Args:
        take: function (start, stop) -> bytes of the Example from start to stop.
        length: int. Bytes of the Example.
        where: str. File and record, for the message.
        names: collection of str. Reading stops once these were seen. None reads all features.

    Returns:
        dict name -> list of bytes or of int.

    Raises:
        DataError: the bytes are no Example.
    """
    found = {}
    try:
        for _, start, stop in _parts(take, 0, length, _ONLY):
            for _, entry, end in _parts(take, start, stop, _ONLY):
                name, value = _entry(take, entry, end, names)
                if value is not None:
                    found[name] = value
                if names is not None and len(found) == len(names):
                    return found
    except ValueError as error:
        raise DataError(f"{where} is no tf.train.Example: {error}") from error
    return found


def _entry(take, start, stop, names):
    """Read one entry of the map: (name, value); the value is None where it is not wanted."""
    name, feature = "", None
    for number, begin, end in _parts(take, start, stop):
        if number == _KEY:
            name = take(begin, end).decode()
        elif number == _VALUE:
            feature = begin, end
    if feature is None or (names is not None and name not in names):
        return name, None
    value = None
    for kind, begin, end in _parts(take, *feature):
        if kind == _BYTES_LIST:
            value = [take(*part) for _, *part in _parts(take, begin, end, _ONLY)]
        elif kind == _INT64_LIST:
            value = _numbers(take(begin, end))
    return name, value


def _numbers(content):
    """Read an Int64List: one run of numbers, or each as a field of its own."""
    found, at = [], 0
    while at < len(content):
        tag, at = _read_varint(content, at)
        stored, stop = tag & 7, at
        if stored == _LENGTH:
            size, at = _read_varint(content, at)
            stop = at + size
        elif stored != _VARINT:
            raise ValueError(f"a whole number is stored as kind {stored}")
        else:
            _, stop = _read_varint(content, at)
        if stop > len(content):
            raise ValueError("a list reaches beyond its end")
        while at < stop:
            value, at = _read_varint(content, at)
            found.append(value - (1 << 64) if value >> 63 else value)
    return found


def _parts(take, start, stop, wanted=None):
    """Walk the fields of a message. Yields (number, start, stop) of those that are stored with a length.

    Args:
        take: see `read_features`.
        start, stop: int. Where the message lies.
        wanted: int. The only field to yield; None yields all.
    """
    at = start
    while at < stop:
        head = take(at, min(at + 2 * _LONGEST_VARINT, stop))
        tag, used = _read_varint(head, 0)
        number, stored = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field has the number 0")
        if stored == _LENGTH:
            size, used = _read_varint(head, used)
            begin, at = at + used, at + used + size
            if at > stop:
                raise ValueError(f"field {number} reaches beyond its end")
            if wanted is None or number == wanted:
                yield number, begin, at
            continue
        if stored == _VARINT:
            _, used = _read_varint(head, used)
        elif stored in (_EIGHT_BYTES, _FOUR_BYTES):
            used += 8 if stored == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {number} is stored as kind {stored}, which there is not")
        at += used


def _read_varint(data, at):
    """Read a number stored in groups of 7 bits: (value, where it ends)."""
    value = 0
    for i, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + i + 1
    raise ValueError("a number does not end")
