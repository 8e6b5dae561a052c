"""Arguments that several commands share, and parsing of their values."""

import argparse
import ast
import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn.base.text import printable

if TYPE_CHECKING:
    from mrcnn.datasets.dataset import Dataset

# Width of a table in a file or a pipe, and minimum width on a terminal.
PIPED_WIDTH, MIN_WIDTH = 110, 60


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data format as a positional argument, and the arguments that locate and read the data."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("data", choices=FORMATS, metavar="FORMAT", help="format of the data, as listed below")
    parser.add_argument_group("formats", "\n".join(f"{name:<10}{what}" for name, (_, what) in FORMATS.items()))
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", metavar="PATH", help="folder or file of the data")
    add_reader_arguments(group)


def add_source_arguments(parser: argparse.ArgumentParser, *, what: str = "folder or file of the data") -> None:
    """Add the data set as a positional argument, whose format is detected, and --format and --subset."""
    parser.add_argument("dataset", metavar="DATASET", help=what)
    add_format_argument(parser)
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only these subsets (default: all)")


def add_format_argument(parser: "argparse._ActionsContainer") -> None:
    """Add --format, for commands that detect the format."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT", help=f"one of {', '.join(FORMATS)} (default: detected)")


def add_weights_arguments(parser: argparse.ArgumentParser, *, classes: bool = True) -> None:
    """Add the weights of a trained network, the folder in which to find the newest run and, with `classes`, the class names."""
    parser.add_argument("--weights", default="best", metavar="best|last|coco|PATH",
                        help="`best`, the best weights of the newest run by AP on its validation images; `last`, its newest "
                             "checkpoint; `coco` or another name of `mrcnn weights`, published weights; a run folder, for its "
                             "best weights; or a weight file (default: %(default)s)")
    add_model_dir_argument(parser)
    if classes:
        parser.add_argument("--classes", metavar="FILE", help="a classes.json: a list of names, background first")


def add_model_dir_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder in which to find the newest run."""
    parser.add_argument("--model-dir", default="logs", metavar="DIR",
                        help="folder in which to find the newest run (default: %(default)s)")  # fmt: skip


def _switch(help: str) -> dict[str, Any]:
    return {"action": "store_true", "default": None, "help": help}


def at_least(minimum: int, kind: type = int) -> Callable[[str], Any]:
    """Return a function for argparse's `type` that parses an int or float of at least `minimum`."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not value >= minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {minimum}")
        return value

    return parse


def boolean(text: str) -> bool:
    """Parse true or false, for argparse's `type`."""
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def bits(text: str) -> int:
    """Parse a number of bits from 1 to 16, for argparse's `type`."""
    value = at_least(1)(text)
    if value > 16:
        raise argparse.ArgumentTypeError(f"{text!r} is above 16")
    return value


# Options of the readers: the formats that have the option (empty: all), and its arguments for argparse. Their names are
# those of the options of `mrcnn.datasets.open`.
READER_ARGUMENTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "--year": (("coco", "panoptic"), {"help": "year in the file names, if there are several"}),
    "--lvis-version": (("lvis",), {"dest": "version", "metavar": "V",
                                   "help": "version in the file names, if there are several"}),
    "--images": (("coco", "lvis", "panoptic"),
                 {"metavar": "DIR", "help": "folder of the images of a JSON file (default: next to it)"}),
    "--labels": (("coco", "lvis", "labelme", "via", "yolo", "voc", "masks", "semantic"),
                 {"metavar": "FILE", "help": "text file with the class names in order, one per line"}),
    "--hole-label": (("labelme",), {"metavar": "LABEL", "help": "shapes with this label are holes in the others"}),
    "--line-width": (("labelme", "via"), {"metavar": "N", "type": float, "help": "width of lines, in pixels"}),
    "--attribute": (("via",), {"metavar": "NAME", "help": "region attribute that holds the class"}),
    "--class-name": (("masks", "via", "semantic"), {"metavar": "NAME", "help": "class of objects without one"}),
    "--levels": (("cocolvis",), {"metavar": "all|whole|parts", "help": "which objects to use (default: all)"}),
    "--allow-list": (("cocolvis",), {"metavar": "FILE", "help": "JSON list of image ids; use only these images"}),
    "--stuff": (("cocolvis", "panoptic"), _switch("also use stuff, such as sky and grass, as objects")),
    "--per-class": (("semantic",), _switch("one instance for all pixels of a class, not one per connected component")),
    "--ignore": (("semantic",), {"metavar": "N", "type": at_least(0),
                                 "help": "value of unlabelled pixels, or 0 for none (default: 255)"}),
    "--min-area": (("semantic",), {"metavar": "N", "type": at_least(1), "help": "skip components with fewer pixels"}),
    "--encoding": (("coco", "lvis", "labelme", "via"), {"metavar": "NAME", "help": "encoding of files that are not UTF-8"}),
    "--depth": ((), {"metavar": "BITS", "type": bits, "help": "bits that the values of 16-bit images use, such as 12"}),
    "--allow-outside": ((), _switch("accept files outside the data set's folder; only for data you trust")),
}


def add_reader_arguments(group: "argparse._ActionsContainer", format: str | None = None) -> None:
    """Add the options of the reader of a format; None adds those of all readers."""
    for flag, (formats, settings) in READER_ARGUMENTS.items():
        if format is None:
            text = f"{', '.join(formats)}: {settings['help']}" if formats else settings["help"]
            group.add_argument(flag, **{**settings, "help": text})
        elif format in formats or not formats:
            group.add_argument(flag, **settings)


def reader_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_reader_arguments` as options of `open_dataset`; None stands for the default."""
    names = [settings.get("dest", flag.removeprefix("--").replace("-", "_"))
             for flag, (_, settings) in READER_ARGUMENTS.items()]  # fmt: skip
    return {name: getattr(args, name, None) for name in names}


def open_data(args: argparse.Namespace, format: str, path: str | None, subset: str | None, *, count: int | None = None,
              image_size: int | None = None) -> "Dataset":  # fmt: skip
    """Open a data set with the reader options of the arguments, showing a progress bar.

    Args:
        args: with the arguments of `add_reader_arguments`.
        format: name of the format.
        path: folder or file; None for "shapes".
        subset: None for undivided data.
        count: number of images to draw, for "shapes" only.
        image_size: height and width of the images to draw, for "shapes" only.

    Raises:
        DataError: the data cannot be read, or none of its image files exists.
    """
    from mrcnn.base.progress import progress_bar
    from mrcnn.datasets.catalog import open_dataset

    drawn = {"count": count, "image_size": image_size} if format == "shapes" else {}
    dataset = open_dataset(path, format, subset, progress_bar, **drawn, **reader_options(args))
    _require_image_files(dataset, path, format)
    return dataset


def _require_image_files(dataset: "Dataset", path: str | None, format: str) -> None:
    """Refuse a data set without a single existing image file, if its format stores images apart from the JSON file."""
    from mrcnn.base.errors import DataError

    paths = [info["path"] for info in dataset.image_info if info["path"] is not None]
    if format in READER_ARGUMENTS["--images"][0] and paths and not any(map(os.path.exists, paths)):
        given = "give" if path and os.path.isfile(path) else "copy them there, or give the JSON file and"
        raise DataError(f"{path}: none of its image files exists, such as {paths[0]}: {given} their folder with --images DIR")


def add_config_arguments(parser: argparse.ArgumentParser, *, config_file: str | None = None) -> "argparse._ArgumentGroup":
    """Add the arguments that set the configuration. If `config_file`, the help of --config, is given, --config is added."""
    group = parser.add_argument_group("configuration")
    group.add_argument("--set", dest="settings", metavar="KEY=VALUE", action="append", nargs="+", default=[],
                       type=setting, help="set attributes of Config, such as IMAGES_PER_GPU=1 STEPS_PER_EPOCH=50")
    if config_file:
        group.add_argument("--config", metavar="FILE", help=config_file)
    return group


def add_precision(group: "argparse._ArgumentGroup") -> None:
    """Add --precision, short for --set PRECISION=NAME."""
    group.add_argument("--precision", metavar="float32|mixed_bfloat16|mixed_float16",
                       help="numbers that the network computes with (default: those of the run, else float32)")


def setting(text: str) -> tuple[str, Any]:
    """Parse `KEY=VALUE`.

    Args:
        text: the value is a Python literal: a number, string, True, None, list, tuple or dict. Anything else is a plain
            string, so that BACKBONE=resnet50 needs no quotes. No code is executed.

    Raises:
        argparse.ArgumentTypeError: "=" or the key is missing.
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


def data_words(args: argparse.Namespace, dataset: str | None) -> list[str]:
    """Return the arguments that name the data, for a command that is suggested to the user.

    Args:
        args: with the format and the options of the readers.
        dataset: folder or file; None for "shapes".
    """
    words = [args.data] if dataset is None else [args.data, "--dataset", dataset]
    given = reader_options(args)
    for flag, (_, settings) in READER_ARGUMENTS.items():
        value = given[settings.get("dest", flag.removeprefix("--").replace("-", "_"))]
        if value is not None:
            words += [flag] if value is True else [flag, str(value)]
    return words


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Return the attributes given with --set, of which later values replace earlier ones, and --precision."""
    settings = dict(pair for group in args.settings for pair in group)
    precision = getattr(args, "precision", None)
    return settings if precision is None else {**settings, "PRECISION": precision}


def fraction(text: str) -> float:
    """Parse a number from 0 to 1, for argparse's `type`."""
    value = at_least(0, float)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is above 1")
    return value


def fraction_above_0(text: str) -> float:
    """Parse a number above 0, up to 1, for argparse's `type`."""
    value = fraction(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def open_fraction(text: str) -> float:
    """Parse a number above 0 and below 1, for argparse's `type`."""
    value = fraction_above_0(text)
    if value == 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not below 1")
    return value


def fraction_below_1(text: str) -> float:
    """Parse a number of at least 0, below 1, for argparse's `type`."""
    value = fraction(text)
    if value == 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not below 1")
    return value


def new_file(text: str) -> str:
    """Check the name of an output file, for argparse's `type`, so that a bad name fails before hours of work."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: give the name of a file in it")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: {parent} is not a folder that can be written to")
    return text


def new_folder(text: str) -> str:
    """Check the name of an output folder, for argparse's `type`, so that a bad name fails before hours of work."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file: give the name of a folder")
    folder = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: {folder} is not a folder that can be written to")
    return text


def is_page(text: str) -> bool:
    """Return whether the name of an output is that of a page, and not of a folder."""
    return Path(text).suffix.lower() in (".html", ".htm")


def page_or_folder(text: str) -> str:
    """Check the name of an output that may be a page or a folder, for argparse's `type`."""
    if Path(text).suffix.lower() in (".csv", ".json", ".jpg", ".jpeg", ".pdf", ".png"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a folder nor a page: give DIR or PAGE.html")
    return new_file(text) if is_page(text) else new_folder(text)


def print_reasons(what: str, reasons: Mapping[Any, str], limit: int = 10) -> None:
    """Print the reason for each image that was skipped, one per line; more than `limit` are only counted.

    Args:
        what: first words of each line.
        reasons: by image.
    """
    for image, reason in itertools.islice(reasons.items(), limit):
        print(f"{what} {printable(image)}: {printable(reason)}")
    if len(reasons) > limit:
        print(f"... and {len(reasons) - limit} more")


def table_width() -> int:
    """Return the width of a table: that of the terminal, within limits."""
    import shutil

    return max(shutil.get_terminal_size((PIPED_WIDTH, 24)).columns, MIN_WIDTH)


@contextlib.contextmanager
def quiet_readers() -> Iterator[None]:
    """Silence the readers' warnings about skipped annotations, where a table reports them."""
    logger = logging.getLogger("mrcnn.datasets")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
