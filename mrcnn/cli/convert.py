"""`mrcnn convert`: write a data set of one format as another, or build one out of others."""

import argparse

from mrcnn.cli import convert_cocolvis, convert_panoptic, options
from mrcnn.cli.progress import progress_bar

HELP = "convert annotations of one format into another"
EPILOG = """\
examples:
  mrcnn convert labelme photographs --output trainval.json
  mrcnn convert labelme photographs --output toys.json --split 0.8 --seed 0
  mrcnn convert labelme photographs --output toys.json --folds 5
  mrcnn convert coco ~/coco --output ~/coco-yolo --to yolo
  mrcnn convert voc VOCdevkit/VOC2012 --subset train val --output voc.json
`mrcnn convert FORMAT --help` shows the arguments of each."""
FORMAT_EPILOG = """\
examples:
  mrcnn convert {name} INPUT --output annotations.json
  mrcnn convert {name} INPUT --output annotations.json --split 0.8 --copy-images
  mrcnn convert {name} INPUT --output folder --to yolo --split 0.7 0.15 0.15
Of data in parts, such as train and val, each part is converted: to annotations_train.json and annotations_val.json.
--split and --folds divide the images anew: folds come as annotations_fold1_train.json, annotations_fold1_val.json and so
on, or as folders fold1 and so on with a train and a val in each, and every image is in the val of one of them.
File names in COCO JSON are relative to the folder of the data's images, or of their copies. Running it again replaces
what was written before, each file once the new one is whole, and those of a division all at once; folders with files of
an earlier division are refused.
exit codes: 0 all was converted; 1 some was left out, and the table says what and why; 2 an error."""

FORMAT_USAGE = "INPUT --output OUT [--to TARGET] [--subset NAME ...] [--split S ... | --folds K] [OPTION ...]"

# Conversions that are no plain reading and writing, by name: modules of this package, each with HELP, USAGE,
# EPILOG, add_arguments(parser) and run(args), as a command has them.
BUILDERS = {"panoptic-tfrecord": convert_panoptic, "coco+lvis": convert_cocolvis}


def add_arguments(parser):
    """Add a sub-parser for each format that can be read, and for each of BUILDERS."""
    from mrcnn.datasets.catalog import FORMATS, MADE

    kinds = parser.add_subparsers(dest="kind", metavar="FORMAT", required=True)
    for name, (_, what) in FORMATS.items():
        if name not in MADE:
            _add_format_arguments(_sub_parser(kinds, name, what, FORMAT_USAGE, FORMAT_EPILOG.format(name=name)), name)
    for name, module in BUILDERS.items():
        module.add_arguments(_sub_parser(kinds, name, module.HELP, module.USAGE, module.EPILOG))


def _sub_parser(kinds, name, what, usage, epilog):
    """Make the parser of one conversion. `--debug` may stand behind it as behind the command."""
    parser = kinds.add_parser(name, help=what, description=what + ".", usage=f"mrcnn convert {name} {usage}", epilog=epilog,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return parser


def _add_format_arguments(parser, name):
    from mrcnn.datasets.catalog import TARGETS

    parser.add_argument("input", metavar="INPUT", help="the folder or file of the data")
    parser.add_argument("--output", required=True, metavar="OUT", help="a .json file for COCO, a folder for the others")
    parser.add_argument("--to", choices=TARGETS, default="coco", help="what is written (default: %(default)s)")
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only these parts of the data (default: all)")
    parser.add_argument("--copy-images", nargs="?", const=True, metavar="DIR",
                        help="copy the images too; for COCO to DIR (default: images/ beside OUT); for YOLO they always are")
    parser.add_argument("--workers", type=options.at_least(1), metavar="N",
                        help="processes (default: one a core where there are many images)")
    group = parser.add_argument_group("dividing the images anew")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--split", type=options.open_share, nargs="+", metavar="S",
                      help="the share of the images for the part train, such as 0.8, and the others are val; or the shares "
                           "of train, val and test, such as 0.7 0.15 0.15. Each class gets its share in each part")
    ways.add_argument("--folds", type=options.at_least(2), metavar="K",
                      help="divide into K pairs of train and val for cross-validation, each class alike")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="another seed divides otherwise (default: 0)")
    group.add_argument("--group", metavar="REGEX",
                       help="images whose ids agree in what this matches stay in one part, such as ^[^_]+ for scene1_04.jpg")
    options.add_reader_arguments(parser.add_argument_group("reading the data"), name)


def run(args):
    """Convert as the arguments say.

    Returns:
        int. 1 when something was left out, else 0.
    """
    if args.kind in BUILDERS:
        return BUILDERS[args.kind].run(args)
    from mrcnn.tools.convert.between_formats import convert
    from mrcnn.tools.write.summary import counted

    with options.quiet_readers():
        done = convert(args.input, args.output, format=args.kind, to=args.to, subsets=args.subset, split=args.split,
                       folds=args.folds, group=args.group, seed=args.seed, copy_images=args.copy_images, workers=args.workers,
                       progress=progress_bar, **options.reader_options(args))
    print(done.summary.table())
    for part, (path, summary) in done.parts.items():
        counts = f"{counted(summary.images, 'image')}, {counted(summary.instances, 'instance')}"
        print(f"Written: {path}" + (f" ({part}: {counts})" if part else ""))
    for folder in dict.fromkeys(done.images.values()):
        names = [done.parts[part][0].name for part, other in done.images.items() if other == folder]
        which = f" in {', '.join(names)}" if len(names) < len(done.images) else ""
        print(f"File names{which} are relative to {folder} (--images {folder}).")
    return 1 if done.summary.left_out else 0
