"""Arguments that several commands share, and the reading of `KEY=VALUE`."""

import argparse
import ast
import contextlib
import logging
import os
from pathlib import Path


def add_data_arguments(parser):
    """Add the positional data format and the arguments that say where its images lie."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("data", choices=FORMATS, metavar="FORMAT", help="the format of the data, one of those below")
    parser.add_argument_group("formats", "\n".join(f"{name:<10}{what}" for name, (_, what) in FORMATS.items()))
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", metavar="PATH", help="the folder or file of the data")
    add_reader_arguments(group)


def _switch(help):
    return {"action": "store_true", "default": None, "help": help}


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


# How data are to be read: the formats that an argument is for (none: all), and what argparse needs to know of it. The
# names are those of the options of `mrcnn.datasets.open`.
READER_ARGUMENTS = {
    "--year": (("coco", "panoptic"), {"help": "the year in the file names, where there are several"}),
    "--lvis-version": (("lvis",), {"dest": "version", "metavar": "V",
                                   "help": "the version in the file names, where there are several"}),
    "--images": (("coco", "lvis", "panoptic"),
                 {"metavar": "DIR", "help": "where the images lie that a JSON file speaks of (default: beside it)"}),
    "--labels": (("labelme", "via", "yolo", "voc", "masks", "semantic"),
                 {"metavar": "FILE", "help": "the classes and their order: a text file with a name a line"}),
    "--hole-label": (("labelme",), {"metavar": "LABEL", "help": "shapes of this label are holes in the others"}),
    "--line-width": (("labelme", "via"),
                     {"metavar": "N", "type": float, "help": "how wide lines are taken to be, in pixels"}),
    "--attribute": (("via",), {"metavar": "NAME", "help": "the attribute of the regions that holds their class"}),
    "--class-name": (("masks", "via"), {"metavar": "NAME", "help": "the class of what has none of its own"}),
    "--levels": (("cocolvis",), {"metavar": "all|whole|parts", "help": "which objects (default: all)"}),
    "--allow-list": (("cocolvis",), {"metavar": "FILE", "help": "a JSON list of image ids: only these images"}),
    "--stuff": (("cocolvis", "panoptic"), _switch("take stuff, such as sky and grass, for objects too")),
    "--per-class": (("semantic",), _switch("one instance of all pixels of a class, not one of each connected piece")),
    "--ignore": (("semantic",), {"metavar": "N", "type": at_least(0),
                                 "help": "the number of pixels that nothing is known of, 0 for none (default: 255)"}),
    "--min-area": (("semantic",), {"metavar": "N", "type": at_least(1), "help": "leave out pieces of fewer pixels"}),
    "--allow-outside": ((), _switch("take files outside the data set's folder; only for data you trust")),
}


def add_reader_arguments(group, format=None):
    """Add the arguments that say how a data set is to be read: those for one format, or all of them."""
    for flag, (formats, settings) in READER_ARGUMENTS.items():
        if format is None:
            told = f"{', '.join(formats)}: {settings['help']}" if formats else settings["help"]
            group.add_argument(flag, **{**settings, "help": told})
        elif format in formats or not formats:
            group.add_argument(flag, **settings)


def reader_options(args):
    """Return the arguments of `add_reader_arguments` as options of `open_dataset`: {str: value}, None for its default."""
    names = [settings.get("dest", flag.removeprefix("--").replace("-", "_"))
             for flag, (_, settings) in READER_ARGUMENTS.items()]  # fmt: skip
    return {name: getattr(args, name, None) for name in names}


def need_image_files(dataset, path, data):
    """Refuse a data set of which no image file is there, rather than tell it image by image.

    Args:
        dataset: Dataset.
        path: str or None. Where it was opened.
        data: str. Its format. Only those whose JSON file and images may lie apart are looked at.

    Raises:
        DataError: it names image files, and none of them is there.
    """
    from mrcnn.base.errors import DataError

    paths = [info["path"] for info in dataset.image_info if info["path"] is not None]
    if data in READER_ARGUMENTS["--images"][0] and paths and not any(map(os.path.exists, paths)):
        raise DataError(f"no image file of {path} is there, such as {paths[0]}: put them there, or say where the images of a "
                        "JSON file lie (--images DIR)")


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
    words = {"true": True, "false": False, "none": None}
    if value.strip().lower() in words:
        return key, words[value.strip().lower()]
    try:
        return key, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return key, value


def overrides(args):
    """Return the configuration values that the arguments ask for: {str: value}; a later one replaces an earlier."""
    return dict(pair for group in args.settings for pair in group)


def share(text):
    """Read a number from 0 to 1, for argparse's `type`."""
    value = at_least(0, float)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1")
    return value


def open_share(text):
    """Read a number between 0 and 1, neither of them, for argparse's `type`."""
    value = share(text)
    if value in (0, 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return value


def new_file(text):
    """Take the name of a file to be written, for argparse's `type`: what cannot be one is told before hours of work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: give the name of a file in it")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: {there} is no folder that can be written to")
    return text


@contextlib.contextmanager
def quiet_readers():
    """Keep what readers log of the things that they leave out from the terminal, where a table tells it."""
    logger = logging.getLogger("mrcnn.datasets")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
