"""The pages of docs/: links and files exist, commands and options are valid, code runs."""
import argparse
import re
import shlex

import pytest

from mrcnn.cli.main import build_parser
from tests.shared_data import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
BLOCKS = [(name, language, text) for name, page in TEXTS.items()
          for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page, re.S | re.M)]  # fmt: skip
COMMANDS = sorted({line for _, language, text in BLOCKS if not language for line in text.splitlines() if line.strip()})
# test_python_page.py runs python.md
PYTHON = [(name, text) for name, language, text in BLOCKS if language == "python" and name != "python.md"]


def test_every_subject_has_a_page():
    assert set(TEXTS) == {"architecture.md", "backbones.md", "configuration.md", "data.md", "evaluation.md", "migration.md",
                          "python.md", "results.md", "training.md", "weights.md"}  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_files_exist(path):
    links = re.findall(r"\]\(([^)#:]+)\)", TEXTS[path.name])
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
    named = re.findall(r"`((?:samples|tests|mrcnn)/[\w./]+)`", TEXTS[path.name])
    assert not [name for name in named if not (REPOSITORY / name).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_named_modules_exist(path):
    for name in set(re.findall(r"`(?:from )?(mrcnn(?:\.\w+)+)`", TEXTS[path.name])):
        parts = name.split(".")
        exists = any((REPOSITORY / "/".join(parts[:n])).is_dir() or (REPOSITORY / ("/".join(parts[:n]) + ".py")).is_file()
                    for n in range(2, len(parts) + 1))  # fmt: skip
        assert exists or name == "mrcnn.datasets.open", name


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_valid(line):
    assert line.startswith("mrcnn "), "a code block without a language must contain commands"
    args = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert args.command


def _options(parser):
    """Return the options of a parser and of its commands."""
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            options = options.union(*map(_options, set(action.choices.values())))
    return options


def test_named_options_exist():
    named = {option for text in TEXTS.values() for option in re.findall(r"`(--[a-z-]+)", text)}
    assert len(named) > 20 and not named - _options(build_parser())


@pytest.mark.parametrize("name, code", PYTHON, ids=[f"{name} {number}" for number, (name, _) in enumerate(PYTHON)])
def test_python_runs_except_lines_that_need_data(name, code):
    compile(code, name, "exec")
    lines = [line for line in code.splitlines() if "mrcnn.datasets.open(" not in line]
    if "imgaug" not in code and "keras" not in code:  # these take seconds to import and are tested elsewhere
        exec("\n".join(lines), {})
