"""`mrcnn completion`: what a shell needs to complete the commands, their options and file names with the TAB key."""

import argparse

HELP = "print a shell's completion of this command line"
EPILOG = """\
examples:
  mrcnn completion bash > ~/.local/share/bash-completion/completions/mrcnn
  mrcnn completion zsh > ~/.zfunc/_mrcnn                # with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  mrcnn completion fish > ~/.config/fish/completions/mrcnn.fish
New shells then complete commands, options, data formats and file names. Write it anew after an update."""
SHELLS = ("bash", "zsh", "fish")
# Arguments that take files and folders, by how their help calls the value.
FOLDERS = ("DIR", "ROOT")
FILES = ("PATH", "FILE", "FILE.json", "FILE.html", "INPUT", "PICTURE", "DATASET", "OUT", "DIR|PAGE.html", "RUN_DIR|last",
         "PATH|last|coco", "coco|imagenet|last|none|PATH", "last|best|PATH")


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}")


def run(args):
    """Print the script for a shell."""
    import shtab

    from mrcnn.cli.main import build_parser

    parser = build_parser()
    for action in _arguments(parser):
        if action.choices is not None:
            action.choices = tuple(action.choices)  # shtab takes a dict for a list of commands
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY
        elif action.metavar in FILES:
            action.complete = shtab.FILE
    print(shtab.complete(parser, shell=args.shell))


def _arguments(parser):
    """List the arguments of a parser and of the parsers of its commands."""
    for action in parser._actions:  # argparse has no public way to them; shtab looks there too
        if isinstance(action, argparse._SubParsersAction):
            for inner in set(action.choices.values()):
                yield from _arguments(inner)
        else:
            yield action
