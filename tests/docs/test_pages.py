"""The pages of docs/: links lead somewhere, commands exist with the options they name, code runs."""
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
PYTHON = [(name, text) for name, language, text in BLOCKS if language == "python"]


def test_there_is_a_page_of_each_subject():
    assert set(TEXTS) == {"architecture.md", "configuration.md", "data.md", "evaluation.md", "migration.md", "training.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_files_exist(path):
    links = re.findall(r"\]\(([^)#:]+)\)", TEXTS[path.name])
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
    named = re.findall(r"`((?:samples|tests|mrcnn)/[\w./]+)`", TEXTS[path.name])
    assert not [name for name in named if not (REPOSITORY / name).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_modules_that_are_named_exist(path):
    for name in set(re.findall(r"`(?:from )?(mrcnn(?:\.\w+)+)`", TEXTS[path.name])):
        parts = name.split(".")
        found = any((REPOSITORY / "/".join(parts[:n])).is_dir() or (REPOSITORY / ("/".join(parts[:n]) + ".py")).is_file()
                    for n in range(2, len(parts) + 1))  # fmt: skip
        assert found or name == "mrcnn.datasets.open", name


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_exists(line):
    assert line.startswith("mrcnn "), "a block without a language holds commands"
    args = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert args.command


def _options(parser):
    """The options of a parser and of those of its commands: set of str."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*map(_options, set(action.choices.values())))
    return found


def test_options_that_are_named_exist():
    named = {option for text in TEXTS.values() for option in re.findall(r"`(--[a-z-]+)", text)}
    assert len(named) > 20 and not named - _options(build_parser())


@pytest.mark.parametrize("name, code", PYTHON, ids=[f"{name} {number}" for number, (name, _) in enumerate(PYTHON)])
def test_python_runs_but_for_what_needs_data(name, code):
    compile(code, name, "exec")
    lines = [line for line in code.splitlines() if "mrcnn.datasets.open(" not in line]
    if "imgaug" not in code and "keras" not in code:  # seconds to import; they are run elsewhere
        exec("\n".join(lines), {})
