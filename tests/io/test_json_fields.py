"""JSON files written by other programs: every fault is reported with its file and field."""
import gc
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.io import json_fields
from mrcnn.io.json_fields import JsonList, field, is_kind, json_outline, points_field, read_json
from tests.datasets.json_damage import damaged_json


@pytest.mark.parametrize("text, message", [
    ("{", "not valid JSON"), ('{"a": NaN}', "NaN is not a JSON number"), ("[Infinity]", "Infinity is not a JSON number"),
    ("[" * 100_000, "nested too deeply"), ("\xff", "not UTF-8 text"), ("", "not valid JSON"),
])  # fmt: skip
def test_file_that_is_not_json_is_an_error(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"a.json .*{message}"):
        read_json(path)


def test_nan_can_be_read_as_null_and_names_its_places(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, NaN, {"b": -Infinity, "c": 1e999, "d": [[NaN]]}], "e": 2.5}')
    places = []
    content = read_json(tmp_path / "a.json", nonfinite=places)
    assert content == {"a": [1, None, {"b": None, "c": None, "d": [[None]]}], "e": 2.5}
    assert places == ["a[1]", "a[2].b", "a[2].c", "a[2].d[0][0]"]
    assert json_outline(tmp_path / "a.json") == {"a": frozenset(), "e": frozenset()}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -(10**400), True, "1", None])
def test_is_kind_float_rejects_values_that_are_not_finite_numbers(value):
    assert not is_kind(value, float)


def test_missing_file_and_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match="gone.json does not exist"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


@pytest.mark.parametrize("record, name, kind, message", [
    ([], "a", int, r"f: x\[0\] is \[\], expected an object with the field 'a'"),
    ({}, "a", int, r"f: x\[0\] has no field 'a', expected a whole number"),
    ({"a": None}, "a", str, "has no field 'a', expected text"),
    ({"a": True}, "a", int, "'a' is True, expected a whole number"),
    ({"a": 1.5}, "a", int, "'a' is 1.5, expected a whole number"),
    ({"a": float("inf")}, "a", float, "'a' is inf, expected a number"),
    ({"a": 1}, "a", (str, list), "'a' is 1, expected text or a list"),
])  # fmt: skip
def test_missing_field_or_field_of_another_kind_is_an_error(record, name, kind, message):
    with pytest.raises(DataError, match=message):
        field(record, name, kind, "f: x[0]")


def test_valid_field_is_returned():
    assert field({"a": 3}, "a", float, "f") == 3 and field({"a": None}, "a", int, "f", default=7) == 7
    assert field({"a": "s"}, "a", (int, str), "f") == "s"
    with pytest.raises(DataError):
        field({"a": "s"}, "a", int, "f", default=7)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_points_field_returns_finite_pairs_or_raises(value):
    try:
        points = points_field({"p": value}, "p", "f", min_points=2)
    except DataError as error:
        assert "'p'" in str(error) or "p[" in str(error)
    else:
        assert len(points) >= 2 and all(is_kind(v, float) for point in points for v in point)


def test_json_outline(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 1, "n": 2}], "m": {"x": {"y": 1}}, "k": 3, "e": []}')
    assert json_outline(path) == {"images": {"id", "n"}, "m": {"y"}, "k": set(), "e": set()}
    path.write_text("[1, 2]")
    assert json_outline(path) == {}


def test_recognised_file_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 1}]}')
    json_outline(path)
    with monkeypatch.context() as patched:
        patched.setattr(json_fields, "_read", lambda *args: pytest.fail("read twice"))
        assert read_json(path) == {"images": [{"id": 1}]}
    # the text is reused only once, and only if the file has not changed
    assert read_json(path) == {"images": [{"id": 1}]}
    json_outline(path)
    path.write_text("[1, 2, 3]")
    assert read_json(path) == [1, 2, 3]


def expected_result(path):
    """Return the result of the standard library's parser, or the start of our error message if it fails."""
    try:
        return repr(json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=json_fields._refuse_constant))
    except RecursionError:
        return "is nested too deeply"
    except ValueError:
        return "is not valid JSON"


def assert_same_as_standard_library(path):
    """Check that a file is read or rejected like by the standard library's parser, with and without lazy entries."""
    expected = expected_result(path)
    for lazy in (None, "x"):
        try:
            content = read_json(path, lazy=lazy)
        except DataError as error:
            assert expected in str(error) and path.name in str(error)
            continue
        if lazy and isinstance(content, dict) and isinstance(content.get("x"), JsonList):
            content["x"] = list(content["x"])
        assert repr(content) == expected


@pytest.mark.parametrize("text", [
    b'{"x": [{"id": 3.0, "id": 7}, {"id": "7"}, {}, null, 1], "y": 1}', b'{"x": 1, "x": 2}', b'{"x": {"a": 1}}',
    b'{"x": []}', b'{"x": null}', b"[1]", b"{}", b" {\t\"x\"\r\n: [ 1 ] } ", b'{"x": [1e999, -1e999, 1e5, -0, -0.0, 5e-400]}',
    b'{"x": [1' + b"0" * 400 + b"]}", b'{"x": ["\\ud800", "\\ud83d\\ude00", "\\u0041", "\x7f"]}', b'{"\\ud800": 1, "x": [1]}',
    b'\xef\xbb\xbf{"x": [1]}', '{"x": ["é"]}'.encode(), b'{"x": ["a\nb"]}', b'{"x": [01]}', b'{"x": [1,]}', b'{"x": [1]} x',
    b'{"x": [NaN]}', b'{"x": [1], "y": NaN}', b'{"x": ' + b"[" * 100_000, b"\0", b"'x'", b'{"x": [.5]}',
])  # fmt: skip
def test_file_is_read_like_by_the_standard_library(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    assert_same_as_standard_library(tmp_path / "a.json")


@pytest.mark.parametrize("lazy", [None, "annotations"])
def test_list_whose_key_occurs_twice_is_an_error(tmp_path, lazy):
    """JSON readers keep the last one, so that a set with a second, empty list would be a set without objects."""
    path = tmp_path / "a.json"
    path.write_text('{"annotations": [{"id": 1, "annotations": 3}], "images": [], "annotations": []}')
    with pytest.raises(DataError, match="a.json: the key 'annotations' occurs 2 times, and only the last list would be read"):
        read_json(path, lazy=lazy)
    path.write_text('{"annotations": [{"id": 1, "annotations": [], "x": "annotations"}], "images": [{"annotations": 1}]}')
    assert len(read_json(path, lazy=lazy)["annotations"]) == 1


@given(damaged_json({"x": [{"a": 1, "b": [1.5, 2]}, {"c": {"d": ["e", None]}}], "y": {"z": [True]}}))
def test_damaged_file_is_read_like_by_the_standard_library(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(text)
    assert_same_as_standard_library(path)


def test_undecodable_entry_does_not_affect_others(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"x": [1, ' + b"1" * 5000 + b", 3]}")
    entries = read_json(path, lazy="x")["x"]
    assert len(entries) == 3 and entries[0] == 1 and entries[-1] == 3
    with pytest.raises(DataError, match="not valid JSON: Exceeds the limit"):
        entries[1]


def test_lazy_entries_are_a_sequence(tmp_path):
    (tmp_path / "a.json").write_text('{"x": [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}]}')
    entries = read_json(tmp_path / "a.json", lazy="x")["x"]
    assert [entry["a"] for entry in entries] == [0, 1, 2, 3] and entries[0] is not entries[0]
    assert list(entries[1:3]) == [{"a": 1}, {"a": 2}] and list(entries.select([3, 0])) == [{"a": 3}, {"a": 0}]
    with pytest.raises(IndexError):
        entries[4]
    # it is sent to loader processes
    assert list(pickle.loads(pickle.dumps(entries))) == list(entries)


def test_reading_restores_the_garbage_collector(tmp_path):
    (tmp_path / "a.json").write_text("[")
    for was_enabled in (True, False):
        (gc.enable if was_enabled else gc.disable)()
        try:
            with pytest.raises(DataError):
                read_json(tmp_path / "a.json")
            assert gc.isenabled() == was_enabled
        finally:
            gc.enable()
