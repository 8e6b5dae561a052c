"""The command line responds quickly, and reports errors in one line."""
import argparse
import os
import re
import subprocess
import sys
import time

import pytest

from mrcnn.cli import main as cli
from tests.shared_data import REPOSITORY

HEAVY = {"numpy", "keras", "tensorflow", "jax", "torch", "skimage", "cv2", "matplotlib", "pycocotools", "h5py", "rich"}
COMMANDS = tuple(cli.COMMANDS)

SCRIPT = """
import sys
from mrcnn.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("exit", end.code)
print("loaded", *{name.split(".")[0] for name in sys.modules})
"""


def _run(*arguments):
    """Run SCRIPT in a new interpreter, and return its output and the set of loaded top-level packages."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], cwd=REPOSITORY, capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    text, _, loaded = done.stdout.rpartition("loaded ")
    return text, set(loaded.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_no_heavy_package(arguments):
    """All commands add their arguments before one is chosen, so the help of a single command imports no more than this."""
    text, loaded = _run(*arguments)
    assert "exit 0" in text
    assert not loaded & HEAVY


def test_invalid_argument_imports_no_heavy_package():
    text, loaded = _run("train", "shapes", "--epochs", "many")
    assert "exit 2" in text
    assert not loaded & HEAVY


def test_help_is_quick():
    _run("--help")  # compiles the modules once
    start = time.perf_counter()
    _run("train", "--help")
    # An unloaded machine takes under 0.1 s; importing any of HEAVY's frameworks takes seconds.
    assert time.perf_counter() - start < 2


def test_help_lists_all_commands_and_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    for option in ("--dataset", "--year", "--subset", "--val-subset", "--weights", "--layers", "--epochs", "--set",
                   "--learning-rate", "--model-dir", "--backbone", "--debug"):  # fmt: skip
        assert option in text


def test_help_is_printed_without_arguments(capsys, monkeypatch):
    monkeypatch.setattr(cli.sys, "argv", ["mrcnn"])
    assert cli.main() == 0
    bare = capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert bare == capsys.readouterr() and bare.err == "" and bare.out.startswith("usage: mrcnn ")


@pytest.mark.parametrize("arguments, expected", [
    (["trian"], "choose from 'train', 'evaluate', 'predict'"),
    (["train", "cocoa"], "choose from"),
    (["train", "shapes", "--epochs", "0"], "'0' is not a number of at least 1"),
    (["train", "shapes", "--learning-rate", "fast"], "'fast' is not a number"),
    (["train", "shapes", "--set", "IMAGES_PER_GPU"], "not KEY=VALUE"),
    (["train", "shapes", "--epoch", "3"], "unrecognized argument --epoch: did you mean --epochs?"),
    (["evaluate", "shapes", "--weights"], "--weights: expected one argument"),
    (["predict", "x.jpg", "--weights", "w.h5", "--min-score", "1.5"], "'1.5' is above 1"),
])  # fmt: skip
def test_invalid_argument_prints_one_line_and_exits_with_2(arguments, expected, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("mrcnn")
    assert expected in message and "--help" in message


def _make_train_raise(error, monkeypatch):
    def run(args):
        raise error

    monkeypatch.setattr(cli.train, "run", run)


@pytest.mark.parametrize("message, expected", [
    ("the weights are for resnet101: set BACKBONE=resnet101, or start again.",
     "the weights are for resnet101: give --set BACKBONE=resnet101, or start again."),
    ("or set USE_MINI_MASK to False.", "or give --set USE_MINI_MASK=False."),
    ("allow it (allow_outside=True, --allow-outside) if you trust it", "allow it (--allow-outside) if you trust it"),
    ("say which holds the class (attribute, --attribute)", "say which holds the class (--attribute)"),
    ("say which with format=NAME (--format NAME)", "say which with --format NAME"),
    ("to keep them, load with exclude=['a', 'b'] (--exclude a b)", "to keep them, load with --exclude a b"),
    ("choose the subset to split (--subset)", "choose the subset to split (--subset)"),
    ("give --set X=1 (the size is 3)", "give --set X=1 (the size is 3)"),
    ("a.json: x=3 (height x width)", "a.json: x=3 (height x width)"),
])  # fmt: skip
def test_advice_names_the_options_of_the_command_line(message, expected):
    assert cli.describe(ValueError(message)) == expected


def _parsers(parser):
    """Yield a parser and, recursively, those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _parsers(inner)


@pytest.mark.parametrize("parser", list(_parsers(cli.build_parser())), ids=lambda parser: parser.prog)
def test_each_help_is_a_short_manual(parser):
    text = parser.format_help()
    assert text.startswith("usage: " + parser.prog) and parser.description[0].isupper()
    assert re.search(rf"^examples?:\n  {re.escape(parser.prog)} \S", text, re.M), "no example of the command itself"
    undocumented = [action.option_strings or action.dest for action in parser._actions if not action.help
              and not isinstance(action, argparse._SubParsersAction)]  # fmt: skip
    assert not undocumented, f"arguments without help: {undocumented}"
    assert max(map(len, text.splitlines())) <= 140
    assert text.splitlines()[1] == "", "the usage is more than one line"


@pytest.mark.parametrize("text, line", [
    ("two things:\n- the first\n- the second", "two things: the first; the second"),
    ("ToysConfig cannot be used:\n- SEED is -1: raise it.\n- NAME is not set.",
     "ToysConfig cannot be used: SEED is -1: raise it. NAME is not set."),
    ("one line.", "one line."),
    ("a list of\n  many,\n\n  things;\n", "a list of; many, things"),
])  # fmt: skip
def test_several_lines_become_one_readable_line(text, line):
    assert cli.describe(ValueError(text)) == line


def test_control_characters_of_names_do_not_reach_the_terminal():
    assert cli.describe(ValueError("image \x1b[2Ja.jpg\nis \x07bad")) == r"image \x1b[2Ja.jpg; is \x07bad"


def test_error_in_a_command_prints_one_line_and_exits_with_2(monkeypatch, capsys):
    _make_train_raise(ValueError("two things:\n- the first\n- the second"), monkeypatch)
    assert cli.main(["train", "shapes"]) == 2
    assert capsys.readouterr().err == "mrcnn train: error: two things: the first; the second\n"


def test_internal_error_names_its_type_and_suggests_debug(monkeypatch, capsys):
    _make_train_raise(KeyError("boxes"), monkeypatch)
    assert cli.main(["train", "shapes"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("mrcnn train: error: KeyError: 'boxes'") and "--debug" in message


def test_debug_shows_the_traceback(monkeypatch):
    _make_train_raise(ValueError("deep inside"), monkeypatch)
    with pytest.raises(ValueError, match="deep inside"):
        cli.main(["train", "shapes", "--debug"])


def test_keyboard_interrupt_exits_with_130_without_traceback(monkeypatch, capsys):
    _make_train_raise(KeyboardInterrupt(), monkeypatch)
    assert cli.main(["train", "shapes"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_exit_code_of_a_command_is_returned(monkeypatch):
    monkeypatch.setattr(cli.predict, "run", lambda args: 1)
    assert cli.main(["predict", "x.jpg", "--weights", "w.h5"]) == 1
