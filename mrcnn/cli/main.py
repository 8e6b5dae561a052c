"""Entry points of the command `mrcnn` and of the samples: parse arguments, run, report an error in one line.

Exit codes: 0 success; 1 success, but some inputs were skipped, and are listed; 2 an error, reported in one line; 130 stopped
by the user; 141 the output pipe was closed (training continues without it). `--debug` also shows the traceback.
"""

import argparse
import codecs
import difflib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mrcnn import __version__
from mrcnn.base.text import printable
from mrcnn.cli import check, completion, convert, evaluate, inspect, predict, recipes, report, train, view, weights

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "convert": convert,
            "check": check, "view": view, "inspect": inspect, "report": report,
            "recipes": recipes, "weights": weights, "completion": completion}
DESCRIPTION = "Mask R-CNN on Keras 3: detect the objects in images, each with its class, box and mask."
EPILOG = """\
examples:
  mrcnn train shapes --count 2000 --epochs 4
  mrcnn evaluate shapes --weights last
  mrcnn predict photo.jpg --weights coco
`mrcnn COMMAND --help` documents a command, with examples.

environment:
  KERAS_BACKEND   tensorflow (the default), jax or torch
  MRCNN_CACHE     folder for downloaded weights (default: ~/.cache/mrcnn)
  NO_COLOR        no colours on the terminal

exit codes: 0 success; 1 some inputs were skipped or have errors, and are listed; 2 an error, reported in one line; 130
stopped by Ctrl-C; 141 the output pipe was closed. `--debug` after a command shows the traceback of an error."""
# lines of tables, and an ellipsis
_SIMILAR = {"─": "-", "━": "=", "…": "..."}
# Raised for bad input. Any other error is a bug, and its message says so.
USER_ERRORS = (ValueError, OSError, ImportError, MemoryError)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors and without abbreviated options."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        text = kwargs.get("description") or ""
        kwargs["description"] = text[:1].upper() + text[1:]
        super().__init__(**kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse unknown options here, because only the parser of the command can suggest its options."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            first = unknown[0].split("=", 1)[0]
            close = difflib.get_close_matches(first, [o for o in self._option_string_actions if o.startswith("--")], n=1)
            self.error(f"unrecognized argument {first}" + (f": did you mean {close[0]}?" if close else ""))
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Write the message and a hint, and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="mrcnn", description=DESCRIPTION, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"mrcnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        # argparse would list every option in the usage line; USAGE names the important ones
        usage = f"mrcnn {name} {module.USAGE}" if hasattr(module, "USAGE") else None
        command = commands.add_parser(
            name, help=module.HELP, description=module.HELP + ".", epilog=module.EPILOG,
            usage=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments after the program's name; None for those of the process.
    """
    parser, argv = build_parser(), sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    args.parser = parser  # for `mrcnn completion`
    _replace_unknown_characters()
    # Hide TensorFlow's notices about CPU features, unless the user has set the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return _exit_code(f"mrcnn {args.command}", args.debug, lambda: COMMANDS[args.command].run(args))


def run_script(script: Callable[[list[str]], object], argv: Sequence[str] | None = None) -> int:
    """Run the `main` function of a sample as a command, and return its exit code.

    Args:
        script: function of the list of arguments.
        argv: None for the arguments of the process. `--debug` is removed; it shows the traceback of an error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _replace_unknown_characters()
    if "tensorflow" in sys.modules:  # a sample that trains or detects
        from mrcnn.cli.backend import keep_memory_on_cpu

        keep_memory_on_cpu()

    def run() -> None:
        script([word for word in arguments if word != "--debug"])

    return _exit_code(Path(sys.argv[0]).name, "--debug" in arguments, run)


def _replace_unknown_characters() -> None:
    """Make characters that the terminal's encoding lacks appear as similar ones or as "?" instead of ending a finished run."""

    def replace(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return "".join(_SIMILAR.get(letter, "?") for letter in error.object[error.start : error.end]), error.end

    codecs.register_error("similar", replace)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="similar")


def _exit_code(name: str, debug: bool, run: Callable[[], int | None]) -> int:
    """Run a command; report an error as one line on standard error, or with `debug` as a traceback."""
    try:
        try:
            return run() or 0
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        if isinstance(error, BrokenPipeError):
            # Python flushes again at exit, which would raise the error a second time
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        print(f"{name}: error: {describe(error)}", file=sys.stderr)
        return 2


def describe(error: BaseException) -> str:
    """Return an error as one line of text."""
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines() if line.strip()]
    # a line that ends a sentence or introduces the next line is followed by a space, any other by a semicolon
    text = "".join(line + (" " if line[-1] in ".:;," else "; ") for line in lines).rstrip("; ")
    text = printable(_with_options(re.sub(r"^\[Errno \d+\] ", "", text)))
    if isinstance(error, USER_ERRORS) and text:
        return text
    return f"{type(error).__name__}: {text} (unexpected: run again with --debug for the traceback)"


def _with_options(text: str) -> str:
    """Give the advice of a message in options of the command line.

    Messages that name an argument of a function give the option in parentheses: "open it with x=True (--x)", "allow it
    (x=True, --x)", "say which (x, --x)". Attributes of Config are set with --set.
    """
    text = re.sub(r"\(\w+(?:=[^()]*)?, (--[^()]*)\)", r"(\1)", text)
    text = re.sub(r"\b[a-z_]+=(?:\[[^]]*\]|\S+) \((--[^()]*)\)", r"\1", text)
    return re.sub(r"(?<!--)\bset ([A-Z][A-Z_]+)(?:=| to )", r"give --set \1=", text)


if __name__ == "__main__":
    sys.exit(main())
