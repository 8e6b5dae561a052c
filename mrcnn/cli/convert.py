"""`mrcnn convert`: write a data set of one format as another, or build one out of others."""

import argparse

from mrcnn.cli import convert_panoptic

HELP = "convert annotations of one format into another"
EPILOG = """\
examples:
`mrcnn convert FORMAT --help` shows the arguments of each."""

# Conversions that are no plain reading and writing, by name: modules of this package, each with HELP, EPILOG,
# add_arguments(parser) and run(args), as a command has them.
BUILDERS = {"panoptic-tfrecord": convert_panoptic}


def add_arguments(parser):
    """Add a sub-parser for each format that can be read, and for each of BUILDERS."""
    kinds = parser.add_subparsers(dest="kind", metavar="FORMAT", required=True)
    for name, module in BUILDERS.items():
        module.add_arguments(_sub_parser(kinds, name, module.HELP, module.EPILOG))


def _sub_parser(kinds, name, what, epilog):
    """Make the parser of one conversion. `--debug` may stand behind it as behind the command."""
    parser = kinds.add_parser(name, help=what, description=what + ".", epilog=epilog,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return parser


def run(args):
    """Convert as the arguments say.

    Returns:
        int. 1 when something was left out, else 0.
    """
    return BUILDERS[args.kind].run(args)
