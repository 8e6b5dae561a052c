"""`mrcnn report`: one HTML page of a run: curves, figures, the worst images, configuration and environment."""

from mrcnn.cli import options
from mrcnn.cli.progress import compiling_first, progress_bar, working

HELP = "write a page of a run: curves, figures, worst images"
USAGE = "RUN_DIR|last [--format F] [--dataset PATH] [--weights W] [--limit N] [--output FILE.html] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn report last --format shapes
  mrcnn report logs/coco20260101T1200 --dataset ~/coco --subset val --weights best --limit 500
  mrcnn report logs/toys20260101T1200 --dataset photographs --output toys.html
Without a data set the page holds what the run folder tells alone: losses, speed, configuration, environment. With one the
network detects once, and all of these come from it: AP as `mrcnn evaluate` gives it, precision over recall, the confusion
matrix, the images with the most mistakes. The page is one file that needs no other and no network.
--weights best is the epoch of the highest val_mask_AP, or where AP was not measured during training, the lowest val_loss."""
_NO_DATA = ("Average precision, precision and recall, confusion matrix, worst images, speed of detection: no data set was "
            "given (--dataset PATH, or --format shapes).")  # fmt: skip


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    from mrcnn.datasets.catalog import FORMATS

    parser.add_argument("run", metavar="RUN_DIR|last",
                        help="the folder of the run, such as logs/toys20260101T1200, or the newest run under --model-dir")
    parser.add_argument("--model-dir", default="logs", metavar="DIR", help="where `last` looks (default: %(default)s)")
    parser.add_argument("--output", type=options.new_file, metavar="FILE.html", help="default: report.html in the run folder")
    parser.add_argument("--weights", default="last", metavar="last|best|PATH",
                        help="which checkpoint of the run to measure, or a weight file (default: %(default)s)")
    group = parser.add_argument_group("data")
    group.add_argument("--format", choices=FORMATS, metavar="FORMAT",
                       help=f"one of {', '.join(FORMATS)} (default: found out from the data)")
    group.add_argument("--dataset", metavar="PATH", help="the folder or file of the data to measure on")
    group.add_argument("--subset", metavar="NAME",
                       help="the part to measure on (default: val where the data are divided into parts, else all)")
    group.add_argument("--limit", type=options.at_least(1), metavar="N",
                       help="only the first N images (default: all; shapes: 100)")
    group.add_argument("--min-score", type=options.share, metavar="S",
                       help="least score of a detection in the confusion matrix and the worst images (default: "
                            "DETECTION_MIN_CONFIDENCE of the run, which `mrcnn predict` draws from)")
    options.add_reader_arguments(group)
    options.add_config_arguments(parser)


def run(args):
    """Write the page as the arguments say."""
    from pathlib import Path

    from mrcnn.tools.report.page import write_report
    from mrcnn.tools.report.run import read_run
    from mrcnn.training.runs import find_checkpoint

    record = read_run(Path(find_checkpoint("last", args.model_dir)).parent if args.run == "last" else args.run)
    measured, left_out = None, [_NO_DATA]
    if args.dataset is not None or args.format is not None:
        measured, left_out = _measure(args, record), []
    output = args.output or str(record.folder / "report.html")
    with progress_bar("drawing") as show:
        write_report(output, record, measured, left_out, show)
    if measured is not None:
        print(measured.result.table(per_class=False))
    print(f"Written: {output}")


def _measure(args, record):
    """Detect on the data that the arguments name: Measured."""
    from mrcnn.cli.evaluate import load, subset_of
    from mrcnn.config import ConfigError
    from mrcnn.datasets.catalog import recognise_format
    from mrcnn.tools.report.measured import measure
    from mrcnn.tools.report.run import choose_checkpoint

    if record.config is None:
        raise ConfigError(f"{record.folder} has no config.json, by which the network is built: leave out the data set for a "
                          "page without figures.")
    weights = choose_checkpoint(record, args.weights)
    with working("recognising the format"):
        format = args.format or recognise_format(args.dataset)
    args.model_dir = str(record.folder.parent)
    model, dataset = load(args, format, weights, record.config)
    min_score = args.min_score if args.min_score is not None else record.config.DETECTION_MIN_CONFIDENCE or 0.0
    told = " ".join(str(part) for part in (format, args.dataset, subset_of(args, format)) if part is not None)
    return measure(model, dataset, weights=weights, data=told, min_score=min_score, limit=args.limit,
                   progress=compiling_first())
