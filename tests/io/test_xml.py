"""Untrusted XML is read without entities."""
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.xml import read_xml

BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><a>&y;</a>"""
OUTSIDE = """<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>"""


def test_elements_and_text(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0"?><a><b>one &amp; two</b><b/></a>')
    assert [b.text for b in read_xml(tmp_path / "a.xml").findall("b")] == ["one & two", None]


@pytest.mark.parametrize(("text", "message"), [
    (BOMB, "declares a document type"),
    (OUTSIDE, "declares a document type"),
    ("<a><b></a>", "cannot be parsed as XML"),
    ("", "cannot be parsed as XML"),
    ("\0\1", "cannot be parsed as XML"),
    ("<a>&x;</a>", "cannot be parsed as XML"),
    ('<?xml version="1.0" encoding="klingon"?><a/>', "cannot be parsed as XML"),
    ("<a>" * 100_000, "cannot be parsed as XML"),
])  # fmt: skip
def test_everything_but_plain_xml_is_rejected(tmp_path, text, message):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=f"a.xml {message}"):
        read_xml(tmp_path / "a.xml")


def test_missing_or_too_large_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="a.xml does not exist"):
        read_xml(tmp_path / "a.xml")
    with open(tmp_path / "a.xml", "wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(DataError, match="has 30000000 bytes"):
        read_xml(tmp_path / "a.xml")
