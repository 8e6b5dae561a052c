"""`mrcnn view`: show a data set as a table of counts, as pictures with the instances, or as one page."""

import argparse
from typing import TYPE_CHECKING

from mrcnn.base.progress import progress_bar, working
from mrcnn.cli import options

if TYPE_CHECKING:
    from mrcnn.tools.view.files import ViewPart

HELP = "show the images of a data set with their instances, and count them"
USAGE = "DATASET [--subset NAME ...] [--image ID ...] [--class NAME ...] [--output DIR|PAGE.html] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn view ~/toys
  mrcnn view ~/toys --output pictures
  mrcnn view ~/coco --subset val --class cat dog --limit 50 --output cats_and_dogs.html
  mrcnn view ~/coco --subset val --image 139 000000000285.jpg --output two
  mrcnn view shapes --show
Without --output and --show, only the table is printed. --output DIR writes a picture of each image, contact sheets of 24
images, statistics.png and counts.csv; --output PAGE.html writes a single page without external resources, and PAGE.csv. For
COCO+LVIS, both also show the layers of each image with the mask ids. The counts include all images, or those that --image and
--class select; --limit only applies to pictures.
exit codes: 0 everything was shown; 1 some images could not be read, and are listed; 2 an error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    options.add_source_arguments(parser, what="folder or file of the data, or shapes")
    parser.add_argument("--image", nargs="+", metavar="ID",
                        help="only these images: ids, or file names with or without extension")
    parser.add_argument("--class", nargs="+", metavar="NAME", dest="classes",
                        help="only images with an object of one of these classes")
    parser.add_argument("--limit", type=options.at_least(1), default=24, metavar="N",
                        help="maximum number of pictures of each subset (default: %(default)s)")
    parser.add_argument("--output", type=options.page_or_folder, metavar="DIR|PAGE.html",
                        help="write pictures to this folder, or one page")
    parser.add_argument("--show", action="store_true", help="open a window with the pictures, if there is a display")
    options.add_reader_arguments(parser.add_argument_group("data"))


def run(args: argparse.Namespace) -> int:
    """Show the data, and return the exit code: 1 if some images could not be read."""
    from pathlib import Path

    from mrcnn.tools.view.files import write_page, write_pictures

    if args.show:
        _check_display()
    parts, unread = _open_parts(args)
    written = []
    try:  # the files first: the pipe that the tables are printed to may be closed
        if args.output and options.is_page(args.output):
            unread |= write_page(args.output, parts, title=str(args.dataset), progress=progress_bar)
            written.append(f"Written: {args.output}, {Path(args.output).with_suffix('.csv')}")
        elif args.output:
            for part in parts:
                folder = Path(args.output) / part.name if len(parts) > 1 else Path(args.output)
                paths, undrawn = write_pictures(part.dataset, part.image_ids, folder, part.statistics, progress_bar)
                unread |= undrawn
                written.append(f"Written: {folder}: {len(paths)} files")
    finally:
        for part in parts:
            print((f"{part.name}: " if part.name else "") + part.statistics.table(options.table_width()))
        print(*written, sep="\n", end="\n" if written else "")
    options.print_reasons("skipped: image", unread)
    if args.show:
        _show(parts)
    return 1 if unread else 0


def _open_parts(args: argparse.Namespace) -> "tuple[list[ViewPart], dict[int, str]]":
    """Open and count the subsets. Return them, and {image id: reason} of images that cannot be read."""
    from mrcnn.datasets.catalog import GENERATED, open_dataset, recognise_format, subsets_of
    from mrcnn.tools.view.figures import choose_images
    from mrcnn.tools.view.files import ViewPart
    from mrcnn.tools.view.statistics import dataset_statistics

    path = None if args.dataset in GENERATED else args.dataset
    with working("recognising the format"):
        format = args.format or (recognise_format(path) if path else args.dataset)
    made = {"count": args.limit} if format in GENERATED else {}
    names = args.subset or subsets_of(path, format) or [None]
    datasets = [open_dataset(path, format, name, progress_bar, **made, **options.reader_options(args)) for name in names]
    parts: list[ViewPart] = []
    unread: dict[int, str] = {}
    with progress_bar("choosing images") as progress:
        chosen = choose_images(datasets, args.image, args.classes, progress)
    for name, dataset, image_ids in zip(names, datasets, chosen, strict=True):
        if image_ids:
            with progress_bar("counting") as progress:
                statistics = dataset_statistics(dataset, image_ids, progress)
            unread |= dict(statistics.skipped)
            parts.append(ViewPart(name or "", dataset, image_ids[: args.limit], statistics))
    return parts, unread


def _check_display() -> None:
    from mrcnn.viz.figure import can_show

    if not can_show():
        raise ValueError("--show: no display is available: write pictures with --output DIR, or a page with --output PAGE.html")


def _show(parts: "list[ViewPart]") -> None:
    from mrcnn.tools.view.files import sheets
    from mrcnn.viz.figure import show

    for part in parts:
        with progress_bar("drawing sheets") as progress:
            for _ in sheets(part.dataset, part.image_ids, progress):
                pass  # all figures are shown together at the end
    show()
