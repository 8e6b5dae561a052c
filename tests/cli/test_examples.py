"""The examples that the README and the help texts give are commands that exist, and code that parses."""
import re
import shlex

import pytest

from mrcnn.cli.main import COMMANDS, build_parser
from tests.shared_data import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.S | re.M)
TEXTS = [text for _, text in BLOCKS] + [module.EPILOG for module in COMMANDS.values()]
EXAMPLES = [line.strip() for text in TEXTS for line in text.splitlines() if line.strip().startswith("mrcnn ")]


def test_there_are_examples_of_every_command():
    assert {example.split()[1] for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_that_exists(example):
    command, _, _ = example.partition(" > ")  # what is behind it is the shell's
    args = build_parser().parse_args(shlex.split(command, comments=True)[1:])
    assert args.command in COMMANDS


def test_python_in_the_readme_is_python():
    code = [text for language, text in BLOCKS if language == "python"]
    assert code
    for text in code:
        compile(text, "README.md", "exec")


def test_files_and_targets_that_the_readme_names_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`(samples/\w+)`", README):
        assert (REPOSITORY / path).exists(), path
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
