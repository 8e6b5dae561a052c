"""docs/configuration.md matches the comments of Config."""
import importlib.util

import pytest

from mrcnn.config import Config
from mrcnn.config_rules import COMPUTED
from tests.shared_data import REPOSITORY

_SPEC = importlib.util.spec_from_file_location("generate_configuration", REPOSITORY / "docs" / "generate_configuration.py")
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)


def test_page_is_up_to_date():
    hint = "docs/configuration.md is out of date: run python docs/generate_configuration.py"
    assert script.PAGE.read_text(encoding="utf-8") == script.make_page(), hint


def test_every_attribute_has_a_row_with_default_and_description():
    rows = [line.split(" | ") for line in script.make_page().splitlines() if line.startswith("| `")]
    named = {name.strip("`| ") for first, *_ in rows for name in first.split("<br>")}
    assert named == {name for name in vars(Config) if name.isupper()} | set(COMPUTED)
    for row in rows:
        assert len(row[-1]) > 10, row
    (seed,) = [row for row in rows if row[0] == "| `SEED`"]
    assert seed[1] == "`0`" and seed[2].startswith("Seed of every random choice of a run")


SOURCE = '''
class Config:
    """Words."""

    COMPUTED: int

    # --- First -----
    # Of one
    # and two.
    ONE = 1
    TWO = 2
    # Of three.
    THREE: list[int] = [
        3,
    ]
    # --- Second ----
    # Of four.
    FOUR = 4
'''


def test_attributes_that_share_a_comment_are_grouped():
    assert script.read_sections(SOURCE) == [
        ("First", [(["ONE", "TWO"], ["Of one", "and two."]), (["THREE"], ["Of three."])]),
        ("Second", [(["FOUR"], ["Of four."])])]  # fmt: skip


def test_attribute_without_a_comment_is_an_error():
    with pytest.raises(ValueError, match="FIVE in mrcnn/config.py has no comment"):
        script.read_sections(SOURCE + "\n    FIVE = 5\n")
