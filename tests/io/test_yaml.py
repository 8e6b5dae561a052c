"""Untrusted YAML is read as text, lists and mappings."""
import time

import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.yaml import read_yaml


def test_values_stay_text(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1\nb: [no, 1e3]\nc:\nd: {x: 2020-01-01}\ne: !!python/name:os.system x\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": "1", "b": ["no", "1e3"], "c": "", "d": {"x": "2020-01-01"}, "e": "x"}
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml") == {}


@pytest.mark.parametrize(("text", "message"), [
    (b"a: &x [1, 1]\nb: [*x, *x]", "an alias"),
    (b"a: [1", "cannot be parsed as YAML"),
    (b"a: \xff", "cannot be parsed as YAML"),
    (b"{" * 10_000, ".*nest"), (b"- " * 10_000, "is nested too deeply"), (b"[" * 200 + b"]" * 200, "is nested too deeply"),
    (b"[1, 2]", "contains a list"),
    (b"word", "contains text"),
    (b"? [a]\n: b", "cannot be parsed as YAML"),
    (b"a: 1\n--- \nb: 2", "cannot be parsed as YAML: it has several documents"),
])  # fmt: skip
def test_everything_but_plain_yaml_is_rejected(tmp_path, text, message):
    (tmp_path / "a.yaml").write_bytes(text)
    with pytest.raises(DataError, match=f"a.yaml.* {message}"):
        read_yaml(tmp_path / "a.yaml")


def test_lists_and_mappings_in_each_other(tmp_path):
    (tmp_path / "a.yaml").write_text("a:\n- [x, {b: [], c: {d: y}}]\n- ''\ne: {}\na: last\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": "last", "e": {}}
    (tmp_path / "a.yaml").write_text("a:\n- [x, {b: [], c: {d: y}}]\n- ''\ne: {}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [["x", {"b": [], "c": {"d": "y"}}], ""], "e": {}}


def test_large_list_is_read_in_seconds(tmp_path):
    """The largest file accepted: 405,000 names."""
    (tmp_path / "a.yaml").write_text("names:\n" + "".join(f"- n{i}\n" for i in range(405_000)))
    start = time.process_time()
    assert read_yaml(tmp_path / "a.yaml")["names"][-1] == "n404999"
    assert time.process_time() - start < 5


def test_missing_or_too_large_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="a.yaml does not exist"):
        read_yaml(tmp_path / "a.yaml")
    with open(tmp_path / "a.yaml", "wb") as file:
        file.truncate(5_000_000)
    with pytest.raises(DataError, match="has 5000000 bytes"):
        read_yaml(tmp_path / "a.yaml")
