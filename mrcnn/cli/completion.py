"""`mrcnn completion`: TAB completion of commands, options and file names in a shell."""

import argparse
from collections.abc import Iterator

HELP = "print a shell's completion script for this command line"
EPILOG = """\
examples:
  mrcnn completion bash > ~/.local/share/bash-completion/completions/mrcnn
  mrcnn completion zsh > ~/.zfunc/_mrcnn                # with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  mrcnn completion fish > ~/.config/fish/completions/mrcnn.fish
New shells then complete commands, options, data formats and file names. Run this again after an update."""
SHELLS = ("bash", "zsh", "fish")
# Arguments that take folders or files, by the metavar in their help.
FOLDERS = ("DIR", "ROOT")
FILES = ("PATH", "FILE", "FILE.json", "FILE.html", "INPUT", "PICTURE", "DATASET", "OUT", "DIR|PAGE.html", "RUN_DIR|last",
         "PATH|last|coco", "coco|imagenet|last|none|PATH", "last|best|PATH")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}")


def run(args: argparse.Namespace) -> None:
    """Print the script for a shell. `args.parser` must be the parser of the whole command line."""
    import shtab

    for action in _arguments(args.parser):
        if action.choices is not None:
            action.choices = tuple(action.choices)  # shtab takes a dict for a list of commands
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # shtab reads it
        elif action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(args.parser, shell=args.shell))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:  # argparse has no public access to them; shtab uses this too
        if isinstance(action, argparse._SubParsersAction):
            for inner in set(action.choices.values()):
                yield from _arguments(inner)
        else:
            yield action
