"""Options of several commands: KEY=VALUE is parsed as a literal and never executed."""
import argparse
import inspect

import pytest

from mrcnn.cli import options
from mrcnn.cli.main import build_parser
from mrcnn.datasets import catalog


@pytest.mark.parametrize("text, expected", [
    ("IMAGES_PER_GPU=1", ("IMAGES_PER_GPU", 1)),
    ("LEARNING_RATE=1e-3", ("LEARNING_RATE", 0.001)),
    ("TRAIN_BN=None", ("TRAIN_BN", None)),
    ("USE_MINI_MASK=False", ("USE_MINI_MASK", False)),
    ("RPN_ANCHOR_SCALES=(8, 16)", ("RPN_ANCHOR_SCALES", (8, 16))),
    ("MEAN_PIXEL=[1.5, 2]", ("MEAN_PIXEL", [1.5, 2])),
    ("BACKBONE=resnet50", ("BACKBONE", "resnet50")),
    ("BACKBONE='resnet50'", ("BACKBONE", "resnet50")),
    ("NAME=a=b", ("NAME", "a=b")),
    ("NAME=", ("NAME", "")),
    (" SEED = 7 ", ("SEED", 7)),
])  # fmt: skip
def test_setting_is_a_literal_or_text(text, expected):
    assert options.setting(text) == expected


def test_setting_is_never_executed(tmp_path):
    code = f"__import__('pathlib').Path({str(tmp_path / 'made')!r}).touch()"
    assert options.setting(f"NAME={code}") == ("NAME", code)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["IMAGES_PER_GPU", "=3", ""])
def test_setting_without_key_or_equals_sign_is_rejected(text):
    with pytest.raises(argparse.ArgumentTypeError, match="not KEY=VALUE"):
        options.setting(text)


def test_settings_accumulate_and_the_last_value_wins():
    args = build_parser().parse_args(["train", "shapes", "--set", "SEED=1", "NAME=a", "--set", "SEED=2"])
    assert options.overrides(args) == {"SEED": 2, "NAME": "a"}


@pytest.mark.parametrize("text", ["nan", "-1", "x"])
def test_fraction_must_be_between_0_and_1(text):
    with pytest.raises(argparse.ArgumentTypeError):
        options.fraction(text)
    assert options.fraction("0") == 0 and options.fraction("1") == 1 and options.fraction("0.25") == 0.25


def test_output_file_that_cannot_be_written_is_rejected(tmp_path):
    (tmp_path / "file").touch()
    for text, expected in ((tmp_path, "is a folder"), (tmp_path / "file" / "a" / "b.json", "file is not a folder that can be")):
        with pytest.raises(argparse.ArgumentTypeError, match=expected):
            options.new_file(str(text))
    for text in (str(tmp_path / "file"), str(tmp_path / "new" / "a.json"), "a.json"):
        assert options.new_file(text) == text


@pytest.mark.parametrize("command", [
    ["evaluate", "shapes", "--weights", "last", "--output"], ["report", "run", "--output"], ["check", "data", "--json"],
    ["check", "data", "--html"]], ids=lambda command: f"{command[0]} {command[-1]}")  # fmt: skip
def test_long_commands_check_their_output_path_first(command, tmp_path, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args([*command, str(tmp_path)])
    assert "is a folder: give the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("text, value", [("false", False), ("True", True), ("TRUE", True), ("none", None), ("None", None)])
def test_true_false_and_none_are_parsed_in_any_case(text, value):
    assert options.setting(f"A={text}") == ("A", value)


def test_every_option_of_a_reader_has_a_command_line_argument():
    """Except for generated data sets, and for options about how the data are read, which the commands choose."""
    flags = {settings.get("dest", flag.removeprefix("--").replace("-", "_")): formats
             for flag, (formats, settings) in options.READER_ARGUMENTS.items()}  # fmt: skip
    for name in catalog.FORMATS:
        known = set(inspect.signature(catalog.format_module(name).open_subset).parameters)
        known -= {"path", "subset", "workers", "progress"}
        if name not in catalog.GENERATED:
            assert known == {option for option, formats in flags.items() if name in formats or not formats and option in known}


def test_reader_arguments_become_reader_options():
    args = build_parser().parse_args(["check", "maps", "--ignore", "0", "--min-area", "5", "--per-class"])
    given = {name: value for name, value in options.reader_options(args).items() if value is not None}
    assert given == {"ignore": 0, "min_area": 5, "per_class": True}
    with pytest.raises(SystemExit):
        build_parser().parse_args(["check", "maps", "--min-area", "0"])


def test_output_is_a_page_or_a_folder(tmp_path):
    for text in ("pictures", "a/b.HTML", "v1.0", str(tmp_path)):
        assert options.page_or_folder(text) == text
    for text in ("counts.csv", "a.png"):
        with pytest.raises(argparse.ArgumentTypeError, match="neither a folder nor a page: give DIR or PAGE.html"):
            options.page_or_folder(text)
