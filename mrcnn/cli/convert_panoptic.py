"""`mrcnn convert panoptic-tfrecord`: COCO's panoptic annotations as TFRecord shards."""

import argparse

from mrcnn.cli import options
from mrcnn.cli.progress import progress_bar

HELP = "write COCO's images and panoptic annotations as TFRecord shards"
USAGE = "--coco-root ROOT --output-dir DIR [--shards N] [--splits NAME ...] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn convert panoptic-tfrecord --coco-root ~/coco --output-dir ~/coco-shards
  mrcnn convert panoptic-tfrecord --coco-root ~/coco --output-dir small --splits val --shards 10 --workers 2
  mrcnn train panoptic --dataset ~/coco-shards
ROOT holds train2017/, val2017/ and test2017/ with the images, annotations/panoptic_train2017.json and
panoptic_val2017.json, and the PNGs in folders of those names; the test images have no annotations. A shard gets its
name once it is whole: after an interruption run the command again, and it writes what is missing. Exit code 1 says that
something was left out, which the table names."""


def add_arguments(parser):
    """Add the arguments of the conversion to its parser."""
    parser.add_argument("--coco-root", required=True, metavar="ROOT", help="the folder of COCO's images and annotations")
    parser.add_argument("--output-dir", required=True, metavar="DIR", help="the folder of the shards, made if missing")
    parser.add_argument("--shards", type=options.at_least(1), default=1000, metavar="N",
                        help="files a split (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", metavar="train|val|test",
                        help="what to convert (default: what there is)")
    parser.add_argument("--treat-crowd-as-ignore", action=argparse.BooleanOptionalAction, default=True,
                        help="give the pixels of crowds the number 0, not that of their category")
    parser.add_argument("--workers", type=options.at_least(1), metavar="N", help="processes (default: one a core)")
    parser.add_argument("--allow-outside", action="store_true",
                        help="take files outside their folders; only for data you trust")


def run(args):
    """Convert as the arguments say, and print the summary.

    Returns:
        int. 1 when something was left out, else 0.
    """
    from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic

    summary = convert_panoptic(
        args.coco_root, args.output_dir, shards=args.shards, splits=args.splits,
        treat_crowd_as_ignore=args.treat_crowd_as_ignore, workers=args.workers, progress=progress_bar,
        allow_outside=args.allow_outside,
    )  # fmt: skip
    print(summary.table())
    print(f"Written: {args.output_dir}")
    return 1 if summary.left_out else 0
