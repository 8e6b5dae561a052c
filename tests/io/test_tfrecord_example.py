"""Examples compared with TensorFlow's protocol buffers, and damaged examples."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.io.tfrecord import decode_example, encode_example, read_features

NAMES = st.text(max_size=30)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def test_bytes_of_an_example():
    """Tags: field 1 with a length 0A, field 2 with a length 12, field 3 with a length 1A; 300 is AC 02."""
    text = b"\x0a\x01a" + b"\x12\x05" + b"\x0a\x03" + b"\x0a\x01x"
    number = b"\x0a\x01b" + b"\x12\x06" + b"\x1a\x04" + b"\x0a\x02\xac\x02"
    entries = b"\x0a" + bytes([len(text)]) + text + b"\x0a" + bytes([len(number)]) + number
    expected = b"\x0a" + bytes([len(entries)]) + entries
    assert encode_example({"a": b"x", "b": 300}) == expected
    assert decode_example(expected, "here") == {"a": [b"x"], "b": [300]}


@given(st.dictionaries(NAMES, st.one_of(st.binary(max_size=300), INTEGERS)))
def test_written_features_are_read_back(features):
    decoded = decode_example(encode_example(features), "here")
    assert decoded == {name: [value] for name, value in features.items()}


@given(st.dictionaries(NAMES, st.one_of(st.binary(max_size=300), INTEGERS)))
def test_protocol_buffers_read_our_examples(features):
    tf = pytest.importorskip("tensorflow")
    example = tf.train.Example.FromString(encode_example(features))
    decoded = {}
    for name, feature in example.features.feature.items():
        (decoded[name],) = getattr(feature, feature.WhichOneof("kind")).value
    assert decoded == features


@given(st.dictionaries(NAMES, st.one_of(
    st.lists(st.binary(max_size=200)), st.lists(INTEGERS, min_size=1), st.lists(st.just(0.5), min_size=1),
)))  # fmt: skip
def test_we_read_examples_of_protocol_buffers(features):
    tf = pytest.importorskip("tensorflow")
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = {int: feature.int64_list, float: feature.float_list}.get(type(values[0]) if values else bytes,
                                                                        feature.bytes_list)  # fmt: skip
        kind.SetInParent()
        kind.value.extend(values)
    expected = {name: values for name, values in features.items() if not values or not isinstance(values[0], float)}
    assert decode_example(example.SerializeToString(), "here") == expected


def test_numbers_that_are_not_packed_are_read():
    feature = b"\x1a\x04" + b"\x08\x05\x08\x07"  # field 1 twice, with one number each
    entry = b"\x0a\x01n\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert decode_example(b"\x0a" + bytes([len(features)]) + features, "here") == {"n": [5, 7]}


def test_values_that_are_not_requested_are_skipped():
    data = encode_example({"name": b"x", "large": bytes(10_000), "size": 7, "tail": bytes(10_000)})
    read_sizes = []

    def read(start, stop):
        read_sizes.append(stop - start)
        return data[start:stop]

    assert read_features(read, len(data), "here", ("name", "size")) == {"name": [b"x"], "size": [7]}
    assert sum(read_sizes) < 500


@given(data=st.data())
def test_damage_raises_no_other_error_than_data_error(data):
    valid = encode_example({"name": b"abc", "n": -5, "large": b"z" * 200})
    damaged = bytearray(valid[: data.draw(st.integers(0, len(valid)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_example(bytes(damaged), "a.tfrecord: record 3")
    except DataError as error:
        assert str(error).startswith("a.tfrecord: record 3 is not a tf.train.Example: ")
    else:
        assert all(isinstance(values, list) for values in decoded.values())


@given(st.binary(max_size=100))
def test_any_bytes_raise_no_other_error_than_data_error(data):
    try:
        decode_example(data, "here")
    except DataError as error:
        assert "not a tf.train.Example" in str(error)
