"""`mrcnn convert coco+lvis`: COCO+LVIS out of COCO's instances and LVIS's annotations."""

import argparse

from mrcnn.cli import options
from mrcnn.cli.progress import progress_bar

HELP = "build COCO+LVIS, objects with their parts, out of COCO's and LVIS's annotations of the same images"
USAGE = "--coco FILE.json --lvis FILE.json --images DIR --output DIR [OPTION ...]"
EPILOG = """\
examples:
  mrcnn convert coco+lvis --coco instances_train2017.json --lvis lvis_v1_train.json --images ~/coco --output cocolvis/train
  mrcnn train cocolvis --dataset cocolvis --levels whole
An image gets its LVIS instances and the COCO instances that none of these covers. What lies in another object is a part of
it. DIR gets images/, masks/ and hannotation.pickle; the last is written when all is done. After an interruption run the
command again: it writes what is missing. Exit code 1 says that something was left out, which the table names."""


def add_arguments(parser):
    """Add the arguments of the conversion to its parser."""
    parser.add_argument("--coco", required=True, metavar="FILE.json", help="COCO's instances")
    parser.add_argument("--lvis", required=True, metavar="FILE.json", help="LVIS's annotations")
    parser.add_argument("--images", required=True, metavar="DIR",
                        help="the folder of the images, or of COCO's train2017 and val2017")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder of the part, such as cocolvis/train")
    parser.add_argument("--overlap", type=share_above_0, default=0.5, metavar="S",
                        help="a COCO instance is not taken where its IoU with an LVIS instance is at least this "
                             "(default: %(default)s)")
    parser.add_argument("--part-share", type=share_above_0, default=0.8, metavar="S",
                        help="share of an object that lies in another for it to be a part of that one (default: %(default)s)")
    parser.add_argument("--link", action="store_true", help="link the image files where that is possible, do not copy them")
    parser.add_argument("--workers", type=options.at_least(1), metavar="N", help="processes (default: one a core)")
    parser.add_argument("--allow-outside", action="store_true",
                        help="take files outside the folder of the images; only for data you trust")


def share_above_0(text):
    """Read a number above 0, up to 1, for argparse's `type`: at 0 whatever lies beside an object would be in it."""
    value = options.share(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def run(args):
    """Build as the arguments say, and print the summary.

    Returns:
        int. 1 when something was left out, else 0.
    """
    from mrcnn.tools.convert.cocolvis import build_cocolvis

    summary = build_cocolvis(
        args.coco, args.lvis, args.images, args.output, overlap=args.overlap, part_share=args.part_share, link=args.link,
        workers=args.workers, progress=progress_bar, allow_outside=args.allow_outside,
    )  # fmt: skip
    print(summary.table())
    print(f"Written: {args.output}")
    return 1 if summary.left_out else 0
