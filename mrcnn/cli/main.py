"""Entry point of the command `mrcnn`: reads the arguments, runs the command, turns an error into one line.

Exit codes: 0 done; 1 done, but some inputs were left out (they are named); 2 an error, told in one line; 130 stopped
by the user; 141 stopped because nobody reads the output any more. `--debug` shows the traceback as well.
"""

import argparse
import difflib
import os
import re
import sys

from mrcnn import __version__
from mrcnn.cli import check, completion, convert, evaluate, inspect, predict, report, train, view

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "convert": convert,
            "check": check, "view": view, "inspect": inspect, "report": report,
            "completion": completion}
DESCRIPTION = "Mask R-CNN on Keras 3: find the objects on photographs, each with its class, its box and its mask."
EPILOG = """\
examples:
  mrcnn train shapes --count 2000 --epochs 4
  mrcnn evaluate shapes --weights last
  mrcnn predict photo.jpg --weights coco
`mrcnn COMMAND --help` shows the options of a command, with examples of its own.

environment:
  KERAS_BACKEND   tensorflow (the default), jax or torch
  MRCNN_CACHE     where downloaded weights are kept (default: ~/.cache/mrcnn)
  NO_COLOR        no colours on the terminal

exit codes: 0 done; 1 done, but something was left out, or found wrong, and is named; 2 an error, told in one line;
130 stopped by Ctrl-C; 141 stopped because nobody reads the output any more. `--debug` behind a command shows the
traceback of an error."""
# What bad input raises; anything else is a fault of the program, and its message says so.
USER_ERRORS = (ValueError, OSError, ImportError)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and which takes no abbreviated options."""

    def __init__(self, **kwargs):
        kwargs.setdefault("allow_abbrev", False)
        told = kwargs.get("description") or ""
        kwargs["description"] = told[:1].upper() + told[1:]
        super().__init__(**kwargs)

    def parse_known_args(self, args=None, namespace=None):
        """Parse, and refuse what is left over here, where the command's own options are known to name the nearest."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            first = unknown[0].split("=", 1)[0]
            near = difflib.get_close_matches(first, [o for o in self._option_string_actions if o.startswith("--")], n=1)
            self.error(f"unrecognized argument {first}" + (f": did you mean {near[0]}?" if near else ""))
        return namespace, unknown

    def error(self, message):
        """Write the message and what to do, and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser():
    """Return the parser of the whole command line, an `argparse.ArgumentParser`."""
    parser = Parser(prog="mrcnn", description=DESCRIPTION, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"mrcnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        # argparse would write out all options; a module says what matters of them
        usage = f"mrcnn {name} {module.USAGE}" if hasattr(module, "USAGE") else None
        command = commands.add_parser(
            name, help=module.HELP, description=module.HELP + ".", epilog=module.EPILOG,
            usage=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv=None):
    """Run the command line.

    Args:
        argv: list of str, the arguments after the program's name. None: those of the process.

    Returns:
        int. The exit code.
    """
    parser, argv = build_parser(), sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    # TensorFlow's notices about CPU features are noise here; whoever wants them sets the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        code = COMMANDS[args.command].run(args) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"mrcnn {args.command}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        if isinstance(error, BrokenPipeError):
            # Python flushes once more as it ends: to nowhere, or it would tell the error again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        print(f"mrcnn {args.command}: error: {describe(error)}", file=sys.stderr)
        return 2


def describe(error):
    """Return the one line that tells of an error: str."""
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines() if line.strip()]
    # a line that ends as a sentence does, or announces what follows, needs no more than a space
    text = "".join(line + (" " if line[-1] in ".:;," else "; ") for line in lines).rstrip("; ")
    text = re.sub(r"^\[Errno \d+\] ", "", text)
    if isinstance(error, USER_ERRORS) and text:
        return text
    return f"{type(error).__name__}: {text} (unexpected: run again with --debug for the traceback)"


if __name__ == "__main__":
    sys.exit(main())
