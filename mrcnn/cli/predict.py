"""`mrcnn predict`: detect instances in pictures, and write them as COCO results, counts, pictures and labelme files."""

import argparse

from mrcnn.cli import options
from mrcnn.cli.backend import compiling_first, load_model

HELP = "detect instances in pictures"
USAGE = "INPUT [INPUT ...] [--weights W] [--output DIR] [--min-score S] [--save-labelme] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn predict photo.jpg
  mrcnn predict photo.jpg --weights coco
  mrcnn predict holiday/ more/*.png --weights logs/toys20260101T1200 --output predictions --min-score 0.5
  mrcnn predict unlabelled/ --output predictions --save-labelme      # then: labelme predictions/labelme
Writes to the output folder: detections.json in COCO's results format; detections.csv with counts, areas and scores of each
picture; and <picture>_detections.jpg with boxes, masks, class names and scores. --save-labelme also writes a folder labelme,
whose files you can correct in labelme and train on.
The configuration and the class names are read from the run folder of the weights (config.json and classes.json)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, or a folder of pictures")
    options.add_weights_arguments(parser)
    parser.add_argument("--output", type=options.new_folder, default="predictions", metavar="DIR",
                        help="output folder (default: %(default)s)")
    parser.add_argument("--min-score", type=options.fraction, metavar="S",
                        help="minimum score of a detection (default: DETECTION_MIN_CONFIDENCE of the configuration)")
    parser.add_argument("--save-labelme", action="store_true",
                        help="also write the detections as labelme files, each next to a copy of its picture")
    parser.add_argument("--depth", type=options.bits, metavar="BITS",
                        help="bits that the values of 16-bit pictures use, such as 12, as in training")
    parser.add_argument("--labelme-shapes", choices=("polygon", "mask"), default="polygon",
                        help="polygons, which are easy to edit, or masks, which are exact (default: %(default)s)")
    options.add_precision(
        options.add_config_arguments(parser, config_file="a config.json, for weights that have none next to them"))


def run(args: argparse.Namespace) -> int:
    """Detect, write the results, and return the exit code: 1 if some pictures could not be read or written."""
    from functools import partial

    from mrcnn.base.text import shorten_names
    from mrcnn.tools.predict import find_pictures, other_files, predict_pictures
    from mrcnn.training.trained_run import find_trained_run

    settings = options.overrides(args)
    if args.min_score is not None:
        settings["DETECTION_MIN_CONFIDENCE"] = args.min_score
    pictures = find_pictures(args.inputs, args.output)
    trained = find_trained_run(args.weights, args.model_dir, config_file=args.config, classes_file=args.classes)
    config = trained.config.with_overrides(settings)
    model = load_model(config, args.model_dir, trained.weights)
    summary = predict_pictures(partial(model.detect, masks="rle"), pictures, args.output, trained.class_names,
                               channels=config.IMAGE_CHANNEL_COUNT, depth=args.depth, batch_size=config.BATCH_SIZE,
                               labelme=args.labelme_shapes if args.save_labelme else None, progress=compiling_first())
    print(f"pictures: {summary.pictures}, instances: {summary.instances}, written to {args.output}")
    if summary.without_mask:
        print(f"instances with an empty mask, written as a box only: {summary.without_mask}")
    others = other_files(args.inputs, args.output)
    if others:
        print(f"not read: {shorten_names(others, 'other file')}")
    if summary.darkened:
        print(f"nearly black: {shorten_names(summary.darkened, '16-bit picture')}: give the bits that the camera "
              "uses, such as --depth 12")  # fmt: skip
    options.print_reasons("skipped", summary.unreadable)
    options.print_reasons("not drawn", summary.unwritten)
    return 1 if summary.unreadable or summary.unwritten else 0
