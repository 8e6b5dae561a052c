"""The examples that the help texts give are commands that exist. Those of the README are run: see tests/docs."""
import shlex

import pytest

from mrcnn.cli.main import COMMANDS, build_parser
from mrcnn.cli.main import EPILOG as OVERVIEW

TEXTS = [OVERVIEW, *(module.EPILOG for module in COMMANDS.values())]
EXAMPLES = sorted({line.strip() for text in TEXTS for line in text.splitlines() if line.strip().startswith("mrcnn ")})


def test_there_are_examples_of_every_command():
    assert {example.split()[1] for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_that_exists(example):
    command, _, _ = example.partition(" > ")  # what is behind it is the shell's
    args = build_parser().parse_args(shlex.split(command, comments=True)[1:])
    assert args.command in COMMANDS
