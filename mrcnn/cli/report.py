"""`mrcnn report`: an HTML page about a run: curves, metrics, worst images, configuration and environment."""

import argparse
from typing import TYPE_CHECKING

from mrcnn.base.progress import progress_bar, working
from mrcnn.cli import options
from mrcnn.cli.backend import compiling_first
from mrcnn.cli.evaluate import add_subset_arguments, load, subset_of

if TYPE_CHECKING:
    from mrcnn.tools.report.measurement import Measurement
    from mrcnn.tools.report.run import Run

HELP = "write a page about a run: curves, metrics, worst images"
USAGE = "RUN_DIR|last [--format F] [--dataset PATH] [--weights W] [--limit N] [--output FILE.html] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn report last --format shapes
  mrcnn report logs/coco20260101T1200 --dataset ~/coco --subset val --limit 500
  mrcnn report logs/toys20260101T1200 --dataset photographs --output toys.html
Without a data set, the page shows the content of the run folder: losses, speed, configuration, environment. With one, the
page also shows AP as computed by `mrcnn evaluate`, precision-recall curves, the confusion matrix and the images with the most
mistakes. The page is a single file without external resources.
The best weights are those of the epoch with the highest val_mask_AP, or the lowest val_loss if AP was not measured during
training."""
_NO_DATA = ("Average precision, precision and recall, confusion matrix, worst images, speed of detection: no data set was "
            "given (--dataset PATH, or --format shapes).")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("run", metavar="RUN_DIR|last",
                        help="folder of the run, such as logs/toys20260101T1200, or the newest run in --model-dir")
    options.add_model_dir_argument(parser)
    parser.add_argument("--output", type=options.new_file, metavar="FILE.html", help="default: report.html in the run folder")
    parser.add_argument("--weights", default="best", metavar="best|last|PATH",
                        help="checkpoint of the run to evaluate, or a weight file (default: %(default)s)")
    group = parser.add_argument_group("data")
    options.add_format_argument(group)
    group.add_argument("--dataset", metavar="PATH", help="folder or file of the data to evaluate on")
    add_subset_arguments(group)
    group.add_argument("--min-score", type=options.fraction, metavar="S",
                       help="minimum score of a detection in the confusion matrix and the worst images (default: "
                            "DETECTION_MIN_CONFIDENCE of the run, which `mrcnn predict` uses)")
    options.add_reader_arguments(group)
    options.add_config_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from pathlib import Path

    from mrcnn.tools.report.page import write_report
    from mrcnn.tools.report.run import read_run
    from mrcnn.training.runs import find_checkpoint

    record = read_run(Path(find_checkpoint("last", args.model_dir)).parent if args.run == "last" else args.run)
    measured, missing = None, [_NO_DATA]
    if args.dataset is not None or args.format is not None:
        measured, missing = _measure(args, record), []
    output = args.output or str(record.folder / "report.html")
    with progress_bar("drawing") as show:
        write_report(output, record, measured, missing, show)
    if measured is not None:
        print(measured.result.table(per_class=False))
    print(f"Written: {output}")


def _measure(args: argparse.Namespace, record: "Run") -> "Measurement":
    """Detect on the data set of the arguments, and compute the metrics."""
    from mrcnn.config import ConfigError
    from mrcnn.datasets.catalog import recognise_format
    from mrcnn.tools.report.measurement import measure
    from mrcnn.tools.report.run import choose_checkpoint

    if record.config is None:
        raise ConfigError(f"{record.folder} has no config.json, from which the network is built: omit the data set to get a "
                          "page without metrics.")
    weights = choose_checkpoint(record, args.weights)
    with working("recognising the format"):
        format = args.format or recognise_format(args.dataset)
    args.model_dir = str(record.folder.parent)
    model, dataset = load(args, format, weights, record.config)
    min_score = args.min_score if args.min_score is not None else record.config.DETECTION_MIN_CONFIDENCE or 0.0
    data = " ".join(str(part) for part in (format, args.dataset, subset_of(args, format)) if part is not None)
    return measure(model, dataset, weights=weights, data=data, min_score=min_score, limit=args.limit,
                   progress=compiling_first())
