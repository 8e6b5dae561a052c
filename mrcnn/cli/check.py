"""`mrcnn check`: find errors in a data set before training on it, and write a repaired copy."""

import argparse
from typing import TYPE_CHECKING

from mrcnn.base.progress import progress_bar, working
from mrcnn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrcnn.tools.doctor import Report

HELP = "find errors in a data set"
USAGE = "DATASET [--subset NAME ...] [--fix OUT] [--json FILE] [--html FILE] [--strict] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn check ~/toys
  mrcnn check ~/coco --subset val --html val.html
  mrcnn check toys.json --images photographs --fix repaired.json
  mrcnn check ~/toys --strict --json findings.json
All subsets are checked unless --subset names some; images that are in two subsets are found only if both are checked. The
objects are compared with the anchors and the image size of the configuration, which --set changes. --fix does not change the
data: it writes a COCO JSON file with every problem repaired that has only one correct repair.
exit codes: 0 no errors; 1 there are errors (with --strict: or warnings); 2 the check failed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    options.add_source_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--fix", metavar="OUT",
                        help="write a repaired copy as COCO JSON: a .json file, or a folder if there are several subsets")
    parser.add_argument("--json", type=options.new_file, metavar="FILE", help="write the findings and statistics as JSON")
    parser.add_argument("--html", type=options.new_file, metavar="FILE", help="write a page with pictures of the worst cases")
    parser.add_argument("--workers", type=options.at_least(0), default=2, metavar="N",
                        help="threads that read images (default: %(default)s)")
    options.add_reader_arguments(parser.add_argument_group("data"))
    options.add_config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check the data, print the findings, and return the exit code."""
    from mrcnn.datasets.catalog import recognise_format
    from mrcnn.tools.doctor import check_dataset
    from mrcnn.training.run_start import build_config

    with working("recognising the format"):
        format = args.format or recognise_format(args.dataset)
    config = build_config(format, options.overrides(args))
    report = check_dataset(args.dataset, format=format, subset=args.subset, config=config, workers=args.workers,
                           progress=progress_bar, **options.reader_options(args))
    written: list[str] = []
    try:  # the files first: the pipe that the table is printed to may be closed
        if args.json:
            with working("writing"):
                report.save(args.json)
            written.append(f"Written: {args.json}")
        if args.html:
            with progress_bar("drawing") as show:
                report.save_html(args.html, show)
            written.append(f"Written: {args.html}")
        if args.fix:
            written += _fix(report, args.fix)
    finally:
        print(report.table(options.table_width()), *written, sep="\n")
    return report.exit_code(args.strict)


def _fix(report: "Report", output: str) -> "Iterator[str]":
    """Write the repaired copy and a list of the changes, and yield the lines of a summary."""
    from pathlib import Path

    from mrcnn.base.atomic_write import save_json
    from mrcnn.tools.doctor.repair import LEFT, repair

    repairs = repair(report, output, progress_bar)
    path = Path(output)
    changes = path.with_name(path.stem + "_changes.json") if path.suffix.lower() == ".json" else path / "changes.json"
    save_json(changes, repairs.to_dict(), indent=1)
    for file, folder in zip(repairs.files, repairs.folders, strict=True):
        yield (f"Repaired copy: {file}" + (f"; file names are relative to {folder} (--images {folder})" if folder else ""))
    yield f"Changes: {changes}"
    for what, count in repairs.counts().items():
        yield f"  {count:6} {what}"
    unchanged = [kind for kind in report.counts if kind in LEFT]
    if unchanged:
        yield f"  not repaired: {', '.join(unchanged)}"
