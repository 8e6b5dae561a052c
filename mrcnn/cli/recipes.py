"""`mrcnn recipes`: list the recipes, or print the settings of one of them with the source of each."""

import argparse
import inspect
import textwrap

HELP = "list the recipes: named configurations"
USAGE = "[NAME]"
EPILOG = """\
examples:
  mrcnn recipes torchvision_v2
  mrcnn train coco --dataset ~/coco --recipe torchvision_v2"""
WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print everything that this recipe sets")


def run(args: argparse.Namespace) -> None:
    """Print a paragraph per recipe, or the docstring and the values of one."""
    from mrcnn import recipes

    if args.name is None:
        for name in recipes.names():
            print(textwrap.fill(f"{name}: {recipes.summary(name)}", WIDTH, subsequent_indent="    "))
        return
    recipe = recipes.get(args.name)
    print(inspect.getdoc(recipe))
    print("\nAll values:")
    for name, value in sorted(recipes.values(args.name).items()):
        print(f"  {name} = {value.tolist() if hasattr(value, 'tolist') else value!r}")
