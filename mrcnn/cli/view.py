"""`mrcnn view`: what a data set holds, as a table, as pictures with their instances, as one page."""

from mrcnn.cli import options
from mrcnn.cli.progress import progress_bar, working

HELP = "show the images of a data set with their instances, and count them"
USAGE = "DATASET [--subset NAME ...] [--image ID ...] [--class NAME ...] [--output DIR|PAGE.html] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn view ~/toys
  mrcnn view ~/toys --output pictures
  mrcnn view ~/coco --subset val --class cat dog --limit 50 --output cats_and_dogs.html
  mrcnn view ~/coco --subset val --image 139 000000000285.jpg --output two
  mrcnn view shapes --show
Without --output and --show the table alone is printed. A folder gets a picture of each image, sheets of 24 with what each
holds, and statistics.png; a name that ends in .html becomes one page that needs no other file. The counts are of all
images, or of those that --image and --class choose; --limit is about pictures alone.
exit codes: 0 all was shown; 1 some images could not be read, and are named; 2 an error."""


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("dataset", metavar="DATASET", help="the folder or file of the data, or shapes")
    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT",
                        help=f"one of {', '.join(FORMATS)} (default: found out)")
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only these parts (default: all)")
    parser.add_argument("--image", nargs="+", metavar="ID",
                        help="only these images: ids, file names, or file names without their endings")
    parser.add_argument("--class", nargs="+", metavar="NAME", dest="classes",
                        help="only images that hold one of these classes")
    parser.add_argument("--limit", type=options.at_least(1), default=24, metavar="N",
                        help="at most so many pictures of each part (default: %(default)s)")
    parser.add_argument("--output", metavar="DIR|PAGE.html", help="write pictures to this folder, or one page")
    parser.add_argument("--show", action="store_true", help="open a window with the pictures, where there is a display")
    options.add_reader_arguments(parser.add_argument_group("data"))


def run(args):
    """Show as the arguments say.

    Returns:
        int. 1 when some images could not be read, else 0.
    """
    import shutil
    from pathlib import Path

    from mrcnn.tools.view.files import write_page, write_pictures

    if args.show:
        _check_display()
    width = max(shutil.get_terminal_size((110, 24)).columns, 60)
    parts, left_out = _open_parts(args, width)
    page = args.output and Path(args.output).suffix.lower() in (".html", ".htm")
    if page:
        left_out |= write_page(args.output, parts, title=str(args.dataset), progress=progress_bar)
        print(f"Written: {args.output}")
    for part in () if page or not args.output else parts:
        folder = Path(args.output) / part.name if len(parts) > 1 else Path(args.output)
        paths, unread = write_pictures(part.dataset, part.image_ids, folder, part.statistics, progress_bar)
        left_out |= unread
        print(f"Written: {folder}: {len(paths)} files")
    for image_id, reason in left_out.items():
        print(f"left out: image {image_id}: {reason}")
    if args.show:
        _show(parts)
    return 1 if left_out else 0


def _open_parts(args, width):
    """Open and measure the parts, and print the table of each: (list of ViewPart, {image id: reason} of unread images)."""
    from mrcnn.datasets.catalog import MADE, open_dataset, recognise_format, subsets_of
    from mrcnn.tools.view.figures import choose_images
    from mrcnn.tools.view.files import ViewPart
    from mrcnn.tools.view.statistics import dataset_statistics

    path = None if args.dataset in MADE else args.dataset
    with working("recognising the format"):
        format = args.format or (recognise_format(path) if path else args.dataset)
    made = {"count": args.limit} if format in MADE else {}
    names = args.subset or subsets_of(path, format) or [None]
    datasets = [open_dataset(path, format, name, progress_bar, **made, **options.reader_options(args)) for name in names]
    parts, left_out = [], {}
    with progress_bar("choosing images") as progress:
        chosen = choose_images(datasets, args.image, args.classes, progress)
    for name, dataset, image_ids in zip(names, datasets, chosen, strict=True):
        if image_ids:
            with progress_bar("counting") as progress:
                statistics = dataset_statistics(dataset, image_ids, progress)
            print(("" if name is None else f"{name}: ") + statistics.table(width))
            left_out |= dict(statistics.left_out)
            parts.append(ViewPart(name or "", dataset, image_ids[: args.limit], statistics))
    return parts, left_out


def _check_display():
    from mrcnn.viz.figure import can_show

    if not can_show():
        raise ValueError("--show: there is no display here: write pictures with --output DIR, or a page with --output "
                         "page.html.")


def _show(parts):
    from mrcnn.tools.view.files import sheets
    from mrcnn.viz.figure import show

    for part in parts:
        with progress_bar("drawing sheets") as progress:
            for _ in sheets(part.dataset, part.image_ids, progress):
                pass  # a figure is shown once all are drawn
    show()
