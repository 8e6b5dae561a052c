"""Arguments that several commands share, and the reading of `KEY=VALUE`."""

import argparse
import ast
import sys


def add_data_arguments(parser):
    """Add the positional data format and the arguments that say where its images lie."""
    from mrcnn.data.catalog import FORMATS

    parser.add_argument("data", choices=FORMATS, metavar="FORMAT",
                        help="; ".join(f"{name}: {what}" for name, (_, what) in FORMATS.items()))
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", metavar="PATH", help="the folder or file of the data")
    add_reader_arguments(group)


def add_reader_arguments(group):
    """Add the arguments that say how a data set is to be read."""
    group.add_argument("--year", help="coco: the year in the file names, where there are several")
    group.add_argument("--images", metavar="DIR", help="coco: where the images of a single JSON file lie (default: beside it)")
    group.add_argument("--allow-outside", action="store_true", default=None,
                       help="take image files outside the data set's folder; only for data you trust")


def reader_options(args):
    """Return the arguments of `add_reader_arguments` as options of `open_dataset`: {str: value}, None for its default."""
    return {name: getattr(args, name) for name in ("year", "images", "allow_outside")}


def add_config_arguments(parser):
    """Add the arguments that change the configuration."""
    group = parser.add_argument_group("configuration")
    group.add_argument("--set", dest="settings", metavar="KEY=VALUE", action="append", nargs="+", default=[],
                       type=setting, help="any attribute of Config, such as IMAGES_PER_GPU=1 STEPS_PER_EPOCH=50")
    return group


def setting(text):
    """Read one `KEY=VALUE`.

    Args:
        text: str. The value is a Python literal (a number, a string, True, None, a list, a tuple or a dict of them);
            what is no literal is taken as a plain string, so that BACKBONE=resnet50 needs no quotes. Nothing is run.

    Returns:
        (str, value).

    Raises:
        argparse.ArgumentTypeError: no "=" or no key.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, for example IMAGES_PER_GPU=1")
    try:
        return key, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return key, value


def overrides(args):
    """Return the configuration values that the arguments ask for: {str: value}; a later one replaces an earlier."""
    return dict(pair for group in args.settings for pair in group)


def at_least(least, kind=int):
    """Return a reader of numbers of `kind` (int or float) that are at least `least`, for argparse's `type`."""

    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not value >= least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {least}")
        return value

    return read


def share(text):
    """Read a number from 0 to 1, for argparse's `type`."""
    value = at_least(0, float)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1")
    return value


def show_progress(done, total):
    """Show how many images are done, on one line of a terminal; nothing where the output goes to a file."""
    if sys.stderr.isatty():
        print(f"\r{done} of {total} images", end="\n" if done == total else "", file=sys.stderr, flush=True)
