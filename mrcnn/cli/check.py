"""`mrcnn check`: look a data set over before training on it, and write a mended copy."""

from mrcnn.cli import options
from mrcnn.cli.progress import progress_bar, working

HELP = "find what is wrong with a data set"
USAGE = "DATASET [--subset NAME ...] [--fix OUT] [--json FILE] [--html FILE] [--strict] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn check ~/toys
  mrcnn check ~/coco --subset val --html val.html
  mrcnn check toys.json --images photographs --fix mended.json
  mrcnn check ~/toys --strict --json findings.json
All parts of the data are checked unless --subset names some: only so are images found that stand in two of them. The
format is found out unless --format says it. --set gives the anchors and the image size that the objects are held
against. --fix leaves the data as they are, and writes COCO JSON in which what can be put right without a guess is.
exit codes: 0 no errors; 1 errors (with --strict: or warnings) were found; 2 the check could not be made."""


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("dataset", metavar="DATASET", help="the folder or file of the data")
    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT",
                        help=f"one of {', '.join(FORMATS)} (default: found out)")
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only these parts (default: all)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--fix", metavar="OUT",
                        help="write a mended copy as COCO JSON: a .json file, or a folder where there are several parts")
    parser.add_argument("--json", type=options.new_file, metavar="FILE", help="write the findings and figures as JSON")
    parser.add_argument("--html", type=options.new_file, metavar="FILE", help="write a page with pictures of the worst")
    parser.add_argument("--workers", type=options.at_least(0), default=2, metavar="N",
                        help="threads that read images (default: %(default)s)")
    options.add_reader_arguments(parser.add_argument_group("data"))
    options.add_config_arguments(parser)


def run(args):
    """Check as the arguments say, and print the findings.

    Returns:
        int. 1 when errors were found (strict: or warnings), else 0.
    """
    import shutil

    from mrcnn.datasets.catalog import recognise_format
    from mrcnn.tools.doctor import check_dataset
    from mrcnn.training.presets import build_config

    with working("recognising the format"):
        format = args.format or recognise_format(args.dataset)
    config = build_config(format, options.overrides(args))
    report = check_dataset(args.dataset, format=format, subset=args.subset, config=config, workers=args.workers,
                           progress=progress_bar, **options.reader_options(args))
    print(report.table(max(shutil.get_terminal_size((110, 24)).columns, 60)), end="")
    if args.fix:
        _fix(report, args.fix)
    if args.json:
        with working("writing"):
            report.save(args.json)
        print(f"Written: {args.json}")
    if args.html:
        with progress_bar("drawing") as show:
            report.save_html(args.html, show)
        print(f"Written: {args.html}")
    return report.exit_code(args.strict)


def _fix(report, output):
    """Write the mended copy, and say what was done to it."""
    from pathlib import Path

    from mrcnn.base.atomic_write import save_json
    from mrcnn.tools.doctor.mend import LEFT, mend

    mended = mend(report, output, progress_bar)
    output = Path(output)
    changes = output.with_name(output.stem + "_changes.json") if output.suffix.lower() == ".json" else output / "changes.json"
    save_json(changes, mended.to_dict(), indent=1)
    for path, folder in zip(mended.files, mended.folders, strict=True):
        print(f"Mended: {path}" + (f"; file names are relative to {folder} (--images {folder})" if folder else ""))
    print(f"What was done: {changes}")
    for what, count in mended.counts().items():
        print(f"  {count:6} {what}")
    left = [kind for kind in report.counts if kind in LEFT]
    if left:
        print(f"  left as they are: {', '.join(left)}")
