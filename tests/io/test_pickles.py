"""Pickles: plain values are read, and everything else is rejected before anything runs."""
import contextlib
import copyreg
import os
import pickle
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.io import pickles
from mrcnn.io.pickles import describe, parse_pickle, read_pickle
from tests.io.harmful_pickles import harmful

PROTOCOLS = range(6)
ARRAYS = [
    np.arange(6, dtype=np.uint8), np.zeros((2, 3), ">f4"), np.array(["one", "three"]), np.array([b"x", b"yz"]),
    np.array(True), np.array([[True, False]]), np.zeros((0, 3)), np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(12).reshape(3, 4)[::2, ::2], np.array([1 + 2j]), np.array([{"a": [1, np.int8(4)]}, None, (2, "b")], object),
    np.float16(3.5), np.int64(-3), np.bool_(True), np.str_("text"), np.dtype("<i4"), np.dtype(">u2"), np.dtype(object),
]  # fmt: skip


def equal(a, b):
    """Compare values that may contain arrays, including types and dtypes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and all(equal(x, y) for x, y in zip(a.flat, b.flat, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dump", [pickle.dumps, pickle._dumps])
def test_arrays_scalars_and_dtypes_are_read(protocol, dump):
    for value in (*ARRAYS, ARRAYS, (ARRAYS[0], ARRAYS[0])):
        assert equal(parse_pickle(dump(value, protocol), "f"), value), value
    first, again = parse_pickle(dump((ARRAYS[0], ARRAYS[0]), protocol), "f")
    assert first is again and first.flags.writeable and type(first) is np.ndarray
    assert parse_pickle(dump(ARRAYS[7], protocol), "f").flags.f_contiguous


keys = st.text() | st.integers(-(2**63), 2**64 - 1) | st.none() | st.booleans() | st.binary()
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**120), 2**120) | st.floats() | st.text(st.characters()) | st.binary()
    | st.sets(keys) | st.frozensets(keys) | st.sampled_from(ARRAYS),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
)  # fmt: skip


@given(plain, st.sampled_from(PROTOCOLS), st.booleans())
def test_plain_values_are_read_as_written(value, protocol, pure):
    try:
        data = (pickle._dumps if pure else pickle.dumps)(value, protocol)
    except AssertionError:  # with protocol 5, CPython's pure-Python pickler cannot write b"" and an empty array together
        reject()
    assert equal(parse_pickle(data, "f"), value)


def test_pickles_of_numpy_1_are_read(tmp_path):
    path = tmp_path / "a.pickle"
    data = pickle.dumps(ARRAYS, 3).replace(b"numpy._core", b"numpy.core")
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in data
    path.write_bytes(data)
    assert equal(read_pickle(path), ARRAYS)


def test_harmful_pickles_are_reported_and_not_run(tmp_path):
    trap = tmp_path / "trap"
    pairs = harmful(trap)
    assert len(pairs) > 80
    for data, message in pairs:
        with pytest.raises(DataError, match=f"^set/masks.pickle is a pickle with .*({message}).* are read"):
            parse_pickle(data, "set/masks.pickle")
    assert not trap.exists()


def test_standard_reader_runs_harmful_pickles(tmp_path):
    """Without this, the test above would prove nothing."""
    trap = tmp_path / "trap"
    pickle.loads(harmful(trap)[0][0])
    assert trap.exists()


def test_extension_code_known_to_python_is_rejected():
    copyreg.add_extension("os", "system", 7)
    try:
        copyreg._extension_cache[7] = os.system  # as after a first use, when the standard reader uses the cache
        assert pickle.loads(b"\x82\x07.") is os.system
        with pytest.raises(DataError, match="an extension code"):
            parse_pickle(b"\x82\x07.", "f")
    finally:
        copyreg.remove_extension("os", "system", 7)
        copyreg._extension_cache.pop(7, None)


def _array(dtype, state, shape, data):
    """Return the pickle of an array with the given dtype and content."""
    parts = pickle.dumps((dtype, False, True), 2)[2:-1], pickle.dumps(state, 2)[2:-1], pickle.dumps(shape, 2)[2:-1]
    head = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
    return b"\x80\x03" + head + parts[2] + b"cnumpy\ndtype\n" + parts[0] + b"R" + parts[1] + b"b\x89" + data + b"tb."


BYTES = (3, "|", None, None, None, -1, -1, 0)


@pytest.mark.parametrize("dtype, state, shape, data, message", [
    ("O8", BYTES, (1,), b"C\x08AAAAAAAA", "object array whose number of items"),  # bytes that would be interpreted as a pointer
    ("V8", (3, "|", None, None, None, 8, 1, 63), (1,), b"C\x08AAAAAAAA", "the dtype 'V8'"),
    ("u1", (3, "|", None, ("a",), {"a": 1}, 8, 1, 63), (1,), b"C\x08AAAAAAAA", "fields"),
    ("u1", (3, "x", None, None, None, -1, -1, 0), (1,), b"C\x01A", "fields, metadata or an unknown version"),
    ("u1", BYTES, (2**40,), b"C\x01A", "an impossible shape"),
    ("u1", BYTES, (-1,), b"C\x01A", "an impossible shape"),
    ("u1", BYTES, (True,), b"C\x01A", "an impossible shape"),
    ("u1", BYTES, (1,) * 40, b"C\x01A", "an impossible shape"),
    ("u1", BYTES, (2,), b"C\x01A", "number of bytes does not match"),
    ("u1", BYTES, (1,), b"]", "number of bytes does not match"),
    ("S0", BYTES, (9,), b"C\x00", "the dtype 'S0'"),
    ("U1", (3, "<", None, None, None, 4, 4, 8), (1,), b"C\x04\xff\xff\xff\xff", "invalid characters"),
    ("M8", (3, "<", None, None, None, -1, -1, 0), (1,), b"C\x08AAAAAAAA", "the dtype 'M8'"),
    ("u1,O", BYTES, (1,), b"C\x09AAAAAAAAA", "the dtype 'u1,O'"),
])  # fmt: skip
def test_array_states_that_numpy_would_trust_are_checked(dtype, state, shape, data, message):
    with pytest.raises(DataError, match=message):
        parse_pickle(_array(dtype, state, shape, data), "f")


def test_flags_of_a_dtype_are_ignored():
    value = parse_pickle(_array("u1", (3, "|", None, None, None, -1, -1, 63), (3,), b"C\x03abc"), "f")
    assert value.tolist() == [97, 98, 99] and not value.dtype.hasobject
    assert parse_pickle(_array("b1", BYTES, (2,), b"C\x02\x07\x00"), "f").view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize("data", [
    b"K\x01r\xff\xff\xff\xff.",  # a memo of 2^32 entries
    b"K\x01p99999999999\n.",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.", b"\x96\x00\x00\x00\x00\xff\x00\x00\x00.",  # bytes that are missing
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", b"X\xff\xff\xff\x7f.", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
    b"\x8b\xff\xff\xff\x7f.", b"I" + b"9" * 10_000 + b"\n.", b"L" + b"9" * 10_000 + b"L\n.",
    b"(" * 1_000_000,
    b"]q\x00" + b"(h\x00" * 5_000 + b"t" * 5_000 + b"." * 2,
])  # fmt: skip
def test_declared_sizes_reserve_no_memory(data):
    tracemalloc.start()
    try:
        parse_pickle(data, "f")
    except DataError as error:
        assert len(str(error)) < 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(data) + 2_000_000


@pytest.mark.parametrize("call", [
    b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86",
    b"cnumpy.core.numeric\n_frombuffer\n(h\x01h\x02J\xa0\x86\x01\x00\x85X\x01\x00\x00\x00Ct",
])  # fmt: skip
def test_repeated_content_is_limited(call):
    text, size = b"a" * 100_000, (100_000).to_bytes(4, "little")
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = b"X" + size + text + b"q\x000B" + size + text + b"q\x010" + dtype + b"q\x020(" + (call + b"R") * 3_000 + b"t."
    with pytest.raises(DataError, match="content that expands to many times its size"):
        parse_pickle(data, "f")


def test_too_many_containers_are_an_error(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_CONTAINERS", 10)
    assert parse_pickle(b"(" + b"\x8f" * 9 + b"t.", "f") == (set(),) * 9
    # an entry of the memo takes as much memory as a container
    for data in (b"(" + b"\x8f" * 11 + b"t.", b"N" + b"\x94" * 11 + b".", b"N" + b"r\x00\x00\x00\x00" * 11 + b"."):
        with pytest.raises(DataError, match="more than 10 containers"):
            parse_pickle(data, "f")


@pytest.mark.parametrize("empty_set", [b"\x8f", b"(\x91"], ids=["set", "frozenset"])
def test_too_many_sets_are_an_error(monkeypatch, empty_set):
    monkeypatch.setattr(pickles, "MAX_SETS", 10)
    assert len(parse_pickle(b"(" + empty_set * 10 + b"t.", "f")) == 10
    with pytest.raises(DataError, match="f is a pickle with more than 10 sets"):
        parse_pickle(b"(" + empty_set * 11 + b"t.", "f")


@pytest.mark.parametrize("opcodes", [b"\x8f", b"(\x91", b"}", b"]", b"N\x85", b"}\x94", b"N\x94", b"}NNs"], ids=[
    "set", "frozenset", "dict", "list", "tuple", "dict and memo", "memo", "dict of one"])  # fmt: skip
def test_memory_is_bounded_by_the_size_of_the_file(monkeypatch, opcodes):
    monkeypatch.setattr(pickles, "MAX_SETS", 1000)
    data = b"(" + opcodes * (200_000 // len(opcodes)) + b"l."
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            parse_pickle(data, "f")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 90 * len(data) + 1000 * 230  # tracemalloc itself counts a little more than the system


@pytest.mark.parametrize("value, message", [
    ({(1, 2): 3}, "a key that is a tuple"), ({1.5: 3}, "a key that is a float"), ({2**80}, "a key of more than 64 bits"),
    (frozenset([(1,)]), "a key that is a tuple"),
])  # fmt: skip
def test_keys_are_text_or_numbers_of_64_bits(value, message):
    for protocol in PROTOCOLS:
        with pytest.raises(DataError, match=message):
            parse_pickle(pickle.dumps(value, protocol), "f")


def test_deep_nesting_is_read_without_recursion():
    deep = b")" + b"\x85" * 200_000
    assert describe(parse_pickle(deep + b".", "f")) == "a tuple of 1"
    # next to an array, all of it is searched for names
    array = pickle.dumps(ARRAYS[0], 2)[2:-1]
    assert describe(parse_pickle(array + deep + b"\x86.", "f")) == "a tuple of 2"
    with pytest.raises(DataError, match="the name numpy.ndarray as a value"):
        parse_pickle(b"cnumpy\nndarray\n" + b"\x85" * 200_000 + b".", "f")


def test_list_may_contain_itself_and_an_array_may_not():
    loop = [ARRAYS[0]]
    loop.append(loop)
    value = parse_pickle(pickle.dumps(loop), "f")
    assert value[1] is value and len(value) == 2
    # an array is created only after all of its content
    array = np.empty(1, object)
    array[0] = array
    for protocol in PROTOCOLS:
        with pytest.raises(DataError, match="an array that contains itself"):
            parse_pickle(pickle.dumps(array, protocol), "f")


def test_list_that_appends_itself_does_not_grow():
    data = b"]q\x00" + b"(h\x00h\x00h\x00e" * 1_000 + b"."
    value = parse_pickle(data, "f")
    assert len(value) == 3_000 and all(item is value for item in value)
    value = parse_pickle(b"]q\x00" + b"h\x00a" * 1_000 + b".", "f")
    assert len(value) == 1_000


@pytest.mark.parametrize("key", [
    b")" + b"\x85" * 200_000,  # its hash overflows the C stack
    b")" + b"q\x00h\x00\x86" * 60,  # its hash takes 2^60 steps
    b")" + b"2\x86" * 60,
])  # fmt: skip
@pytest.mark.parametrize("use", [b"}%sNs.", b"}(%sNu.", b"(%sNd.", b"\x8f(%s\x90.", b"(%s\x91.", b"cbuiltins\nset\n](%se\x85R.",
                                 b"ccollections\nOrderedDict\n](%sN\x86e\x85R."])
def test_keys_are_checked_before_they_are_hashed(use, key):
    with pytest.raises(DataError, match="a key that is a tuple"):
        parse_pickle(use % key, "f")


def test_unknown_protocol_is_an_error():
    with pytest.raises(DataError, match="not a complete pickle: ValueError: unsupported pickle protocol: 9"):
        parse_pickle(b"\x80\x09K\x01.", "f")


def test_byte_that_is_not_an_opcode_is_an_error():
    with pytest.raises(DataError, match="a byte that is not an opcode"):
        parse_pickle(b"\xff.", "f")


def test_repeated_references_are_fast():
    nested = [ARRAYS[0]]
    for _ in range(40):
        nested = [nested] * 10
    start = time.perf_counter()
    assert describe(parse_pickle(pickle.dumps(nested), "f")) == "a list of 10"
    assert time.perf_counter() - start < 2


def test_file_truncated_anywhere_is_an_error():
    for protocol in PROTOCOLS:
        data = pickle.dumps([ARRAYS[:3], {"a": {1, 2}, "b": -(2**70)}], protocol)
        for end in range(len(data)):
            with pytest.raises(DataError, match="^f is (not a complete pickle|a pickle with)"):
                parse_pickle(data[:end], "f")


@given(st.data(), st.sampled_from(PROTOCOLS))
def test_damaged_bytes_are_read_or_reported(data, protocol):
    content = bytearray(pickle.dumps([ARRAYS[:4], ARRAYS[10], {"a": {1, 2}, "b": (2.5, b"x", None)}], protocol))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_pickle(bytes(content), "f")
    except DataError as error:
        assert str(error).startswith("f is ")


@given(st.lists(st.sampled_from(sorted(pickles._OPCODES.values())) | st.binary(max_size=3), max_size=60))
def test_any_bytes_are_read_or_reported(parts):
    with contextlib.suppress(DataError):
        parse_pickle(b"".join(parts) + b".", "f")


def test_missing_file_folder_pipe_and_large_file_are_errors(tmp_path):
    for path, message in [(tmp_path / "gone", "does not exist"), (tmp_path, "is not a file")]:
        with pytest.raises(DataError, match=message):
            read_pickle(path)
    os.mkfifo(tmp_path / "pipe")  # reading it would block forever
    with pytest.raises(DataError, match="is not a file"):
        read_pickle(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(pickle.dumps(b"x" * 100))
    with pytest.raises(DataError, match="more than 50 bytes"):
        read_pickle(tmp_path / "large", largest=50)


@pytest.mark.parametrize("value, message", [
    ("a" * 100, "'" + "a" * 37 + "'..."), (2**5000, "a number of more than 64 bits"), ([1] * 9, "a list of 9"), (1.5, "1.5"),
    (np.zeros((2, 3), np.uint8), r"an array of shape (2, 3) and dtype uint8"), (np.int8(3), "a int8"), (None, "None"),
])  # fmt: skip
def test_values_are_described_in_messages(value, message):
    assert describe(value) == message
