"""Untrusted text on a terminal."""
import logging

from mrcnn.base.errors import warn_of_one_more
from mrcnn.base.text import listed, printable, short


def test_control_characters_and_lone_surrogates_are_escaped():
    assert printable("caf\xe9 \x1b[2J\n\ud800") == "caf\xe9 \\x1b[2J\\n\\ud800"
    assert printable(3.5) == "3.5"


def test_long_text_is_shortened():
    assert short("a" * 150) == "a" * 150
    assert short("a" * 151) == "a" * 147 + "..."
    assert short("\n" * 6, max_length=8) == "\\n\\n\\..."


def test_warnings_about_files_escape_their_names(caplog):
    warn_of_one_more(logging.getLogger("test"), 1, "\x1b[31ma.jpg: broken")
    warn_of_one_more(logging.getLogger("test"), 20, "\x1b[31mb.jpg: broken")
    assert "\x1b" not in caplog.text and r"\x1b[31ma.jpg" in caplog.text and r"\x1b[31mb.jpg" in caplog.text


def test_of_many_names_the_first_are_listed():
    assert listed([]) == "" and listed(["a"]) == "a" and listed(["a", "b\n", "c"], limit=3) == "a, b\\n, c"
    assert listed(["a", "b", "c", "d"], limit=2) == "a, b and 2 more"
