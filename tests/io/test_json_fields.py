"""JSON of somebody else's making: every fault is told by file and field."""
import gc
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.io.json_fields import field, is_kind, json_outline, points_field, read_json


@pytest.mark.parametrize("text, said", [
    ("{", "no valid JSON"), ('{"a": NaN}', "NaN is no number"), ("[Infinity]", "Infinity is no number"),
    ("[" * 100_000, "nested too deeply"), ("\xff", "no valid JSON"), ("", "no valid JSON"),
])  # fmt: skip
def test_a_file_that_is_no_json(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"a.json .*{said}"):
        read_json(path)


def test_whoever_looks_for_nan_may_have_it(tmp_path):
    (tmp_path / "a.json").write_text("[NaN, Infinity, 1e999]")
    assert str(read_json(tmp_path / "a.json", constants=True)) == "[nan, inf, inf]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -(10**400), True, "1", None])
def test_what_is_no_finite_number(value):
    assert not is_kind(value, float)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="gone.json does not exist"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


@pytest.mark.parametrize("record, name, kind, said", [
    ([], "a", int, r"f: x\[0\] is \[\], expected an object with the field 'a'"),
    ({}, "a", int, r"f: x\[0\] has no field 'a', expected a whole number"),
    ({"a": None}, "a", str, "has no field 'a', expected text"),
    ({"a": True}, "a", int, "'a' is True, expected a whole number"),
    ({"a": 1.5}, "a", int, "'a' is 1.5, expected a whole number"),
    ({"a": float("inf")}, "a", float, "'a' is inf, expected a number"),
    ({"a": 1}, "a", (str, list), "'a' is 1, expected text or a list"),
])  # fmt: skip
def test_a_field_that_is_not_there_or_of_another_kind(record, name, kind, said):
    with pytest.raises(DataError, match=said):
        field(record, name, kind, "f: x[0]")


def test_a_field_that_is_there():
    assert field({"a": 3}, "a", float, "f") == 3 and field({"a": None}, "a", int, "f", default=7) == 7
    assert field({"a": "s"}, "a", (int, str), "f") == "s"
    with pytest.raises(DataError):
        field({"a": "s"}, "a", int, "f", default=7)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_points_are_pairs_of_finite_numbers_or_told(value):
    try:
        points = points_field({"p": value}, "p", "f", least=2)
    except DataError as error:
        assert "'p'" in str(error) or "p[" in str(error)
    else:
        assert len(points) >= 2 and all(is_kind(v, float) for point in points for v in point)


def test_the_outline_of_a_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 1, "n": 2}], "m": {"x": {"y": 1}}, "k": 3, "e": []}')
    assert json_outline(path) == {"images": {"id", "n"}, "m": {"y"}, "k": set(), "e": set()}
    path.write_text("[1, 2]")
    assert json_outline(path) == {}


def test_a_file_that_was_recognised_is_not_parsed_again(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"images": [{"id": 1}]}')
    json_outline(path)
    monkeypatch.setattr(json, "loads", lambda *args, **kwargs: pytest.fail("parsed twice"))
    assert read_json(path) == {"images": [{"id": 1}]}
    monkeypatch.undo()
    # it is handed over once, so that nobody else changes what one has; and never for another state of the file
    assert read_json(path) is not read_json(path)
    json_outline(path)
    path.write_text("[1, 2, 3]")
    assert read_json(path) == [1, 2, 3]


def test_reading_leaves_the_garbage_collector_as_it_was(tmp_path):
    (tmp_path / "a.json").write_text("[")
    for ran in (True, False):
        (gc.enable if ran else gc.disable)()
        try:
            with pytest.raises(DataError):
                read_json(tmp_path / "a.json")
            assert gc.isenabled() == ran
        finally:
            gc.enable()
