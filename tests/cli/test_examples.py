"""The examples in the help texts are valid commands. tests/docs runs those of the README."""
import shlex

import pytest

from mrcnn.cli.main import COMMANDS, build_parser
from mrcnn.cli.main import EPILOG as OVERVIEW

TEXTS = [OVERVIEW, *(module.EPILOG for module in COMMANDS.values())]
EXAMPLES = sorted({line.strip() for text in TEXTS for line in text.splitlines() if line.strip().startswith("mrcnn ")})


def test_every_command_has_examples():
    assert {example.split()[1] for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_a_valid_command(example):
    command, _, _ = example.partition(" > ")  # the rest belongs to the shell
    args = build_parser().parse_args(shlex.split(command, comments=True)[1:])
    assert args.command in COMMANDS
