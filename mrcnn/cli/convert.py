"""`mrcnn convert`: write a data set in another format, or build one from several sources."""

import argparse
from typing import Any

from mrcnn.base.progress import progress_bar
from mrcnn.cli import options

HELP = "convert annotations to another format"
EPILOG = """\
examples:
  mrcnn convert labelme photographs
  mrcnn convert labelme photographs --output toys.json --split 0.8 --seed 0
  mrcnn convert labelme photographs --output toys.json --folds 5
  mrcnn convert coco ~/coco --output ~/coco-yolo --to yolo
  mrcnn convert voc VOCdevkit/VOC2012 --subset train val --output voc.json
`mrcnn convert FORMAT --help` documents the arguments of each format."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-parser for each readable format, and for the two conversions with their own arguments."""
    from mrcnn.datasets.catalog import FORMATS, GENERATED

    kinds = parser.add_subparsers(dest="kind", metavar="FORMAT", required=True)
    for name, (_, what) in FORMATS.items():
        if name not in GENERATED:
            usage = FORMAT_USAGE.replace("--output OUT", "[--output OUT]") if name == "labelme" else FORMAT_USAGE
            _add_format_arguments(_add_parser(kinds, name, what, usage, FORMAT_EPILOG.format(name=name)), name)
    _add_panoptic_arguments(_add_parser(kinds, "panoptic-tfrecord", PANOPTIC_HELP, PANOPTIC_USAGE, PANOPTIC_EPILOG))
    _add_cocolvis_arguments(_add_parser(kinds, "coco+lvis", COCOLVIS_HELP, COCOLVIS_USAGE, COCOLVIS_EPILOG))


def run(args: argparse.Namespace) -> int:
    """Convert, print a summary, and return the exit code: 1 if something was skipped."""
    if args.kind == "panoptic-tfrecord":
        return _convert_panoptic(args)
    if args.kind == "coco+lvis":
        return _build_cocolvis(args)
    return _convert_format(args)


def _add_parser(kinds: Any, name: str, what: str, usage: str, epilog: str) -> argparse.ArgumentParser:
    """Add the parser of a conversion, which accepts `--debug` as the command does."""
    parser = kinds.add_parser(name, help=what, description=what + ".", usage=f"mrcnn convert {name} {usage}", epilog=epilog,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return parser


def _add_workers(parser: argparse.ArgumentParser, default: str = "one per core") -> None:
    parser.add_argument("--workers", type=options.at_least(1), metavar="N", help=f"processes (default: {default})")


# --- One format to another -------------------------------------------------------------------------------------------
# what labelme's own users know from other converters
LABELME_OUTPUT = "trainval.json"
FORMAT_USAGE = "INPUT --output OUT [--to TARGET] [--subset NAME ...] [--split S ... | --folds K] [OPTION ...]"
FORMAT_EPILOG = """\
examples:
  mrcnn convert {name} INPUT --output annotations.json
  mrcnn convert {name} INPUT --output annotations.json --split 0.8 --copy-images
  mrcnn convert {name} INPUT --output folder --to yolo --split 0.7 0.15 0.15
Each subset of the data, such as train and val, is converted: to annotations_train.json and annotations_val.json.
--split and --folds divide all images again. Folds are written as annotations_fold1_train.json, annotations_fold1_val.json
and so on, or as folders fold1 and so on, each with train and val; every image is in the val of exactly one fold.
File names in COCO JSON are relative to the folder of the images, or of their copies. Running a conversion again replaces
its output: each file once the new one is complete, and all files of a split or of folds together. Folders with files of an
earlier split are refused.
exit codes: 0 everything was converted; 1 something was skipped, and the table says what and why; 2 an error."""


def _add_format_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    from mrcnn.datasets.catalog import TARGETS

    parser.add_argument("input", metavar="INPUT", help="folder or file of the data")
    default = f" (default: {LABELME_OUTPUT})" if name == "labelme" else ""
    parser.add_argument("--output", required=not default, metavar="OUT",
                        help=f"a .json file for COCO, a folder for other formats{default}")
    parser.add_argument("--to", choices=TARGETS, default="coco", help="output format (default: %(default)s)")
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only these subsets (default: all)")
    parser.add_argument("--copy-images", nargs="?", const=True, metavar="DIR",
                        help="copy the images too; for COCO to DIR (default: images/ next to OUT); YOLO always copies them")
    _add_workers(parser, "one per core if there are many images")
    group = parser.add_argument_group("splitting the images")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--split", type=options.open_fraction, nargs="+", metavar="S",
                      help="fraction of the images for train, such as 0.8, with the rest for val; or the fractions of train, "
                           "val and test, such as 0.7 0.15 0.15. The split is stratified by class")
    ways.add_argument("--folds", type=options.at_least(2), metavar="K",
                      help="K pairs of train and val for cross-validation, stratified by class")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split (default: 0)")
    group.add_argument("--group", metavar="REGEX",
                       help="keep images together whose ids have the same match, such as ^[^_]+ for scene1_04.jpg")
    options.add_reader_arguments(parser.add_argument_group("reading the data"), name)


def _convert_format(args: argparse.Namespace) -> int:
    from mrcnn.tools.convert.between_formats import convert
    from mrcnn.tools.write.summary import counted

    if args.output is None and args.to != "coco":
        raise ValueError(f"--to {args.to} needs --output, the folder to write")
    with options.quiet_readers():
        done = convert(args.input, args.output or LABELME_OUTPUT, format=args.kind, to=args.to, subsets=args.subset,
                       split=args.split, folds=args.folds, group=args.group, seed=args.seed, copy_images=args.copy_images,
                       workers=args.workers, progress=progress_bar, **options.reader_options(args))
    print(done.summary.table())
    for part, (path, summary) in done.parts.items():
        counts = f"{counted(summary.images, 'image')}, {counted(summary.instances, 'instance')}"
        print(f"Written: {path}" + (f" ({part}: {counts})" if part else ""))
    for folder in dict.fromkeys(done.images.values()):
        names = [done.parts[part][0].name for part, other in done.images.items() if other == folder]
        which = f" in {', '.join(names)}" if len(names) < len(done.images) else ""
        print(f"File names{which} are relative to {folder} (--images {folder}).")
    return 1 if done.summary.skipped else 0


# --- Panoptic annotations to TFRecord --------------------------------------------------------------------------------
PANOPTIC_HELP = "write COCO's images and panoptic annotations as TFRecord shards"
PANOPTIC_USAGE = "--coco-root ROOT --output-dir DIR [--shards N] [--splits NAME ...] [OPTION ...]"
PANOPTIC_EPILOG = """\
examples:
  mrcnn convert panoptic-tfrecord --coco-root ~/coco --output-dir ~/coco-shards
  mrcnn convert panoptic-tfrecord --coco-root ~/coco --output-dir small --splits val --shards 10 --workers 2
  mrcnn train panoptic --dataset ~/coco-shards
ROOT holds the images in train2017/, val2017/ and test2017/, annotations/panoptic_train2017.json and panoptic_val2017.json,
and the PNGs in folders with those names; test images have no annotations. After an interruption, run the command again to
write the missing shards. The options of DeepLab2's script are accepted too: --coco_root, --output_dir and
--treat_crowd_as_ignore=false. Exit code 1 means that something was skipped; the table lists it."""


def _add_panoptic_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--coco-root", "--coco_root", required=True, metavar="ROOT",
                        help="folder of COCO's images and annotations")
    parser.add_argument("--output-dir", "--output_dir", type=options.new_folder, required=True, metavar="DIR",
                        help="folder of the shards, created if missing")
    parser.add_argument("--shards", type=options.at_least(1), default=1000, metavar="N",
                        help="files per split (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", metavar="train|val|test", help="splits to convert (default: all that exist)")
    parser.add_argument("--treat-crowd-as-ignore", "--treat_crowd_as_ignore", nargs="?", const=True, default=True,
                        type=options.boolean, metavar="true|false",
                        help="whether pixels of crowds get the value 0 instead of their category (default: true)")
    parser.add_argument("--no-treat-crowd-as-ignore", "--notreat_crowd_as_ignore", dest="treat_crowd_as_ignore",
                        action="store_false", help="the same as --treat-crowd-as-ignore=false")
    _add_workers(parser)
    parser.add_argument("--allow-outside", action="store_true",
                        help="accept files outside their folders; only for data you trust")


def _convert_panoptic(args: argparse.Namespace) -> int:
    from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic

    summary = convert_panoptic(
        args.coco_root, args.output_dir, shards=args.shards, splits=args.splits,
        treat_crowd_as_ignore=args.treat_crowd_as_ignore, workers=args.workers, progress=progress_bar,
        allow_outside=args.allow_outside)
    print(summary.table())
    print(f"Written: {args.output_dir}")
    return 1 if summary.skipped else 0


# --- COCO and LVIS to COCO+LVIS --------------------------------------------------------------------------------------
COCOLVIS_HELP = "build COCO+LVIS, objects with their parts, from the COCO and LVIS annotations of the same images"
COCOLVIS_USAGE = "--coco FILE.json --lvis FILE.json --images DIR --output DIR [OPTION ...]"
COCOLVIS_EPILOG = """\
examples:
  mrcnn convert coco+lvis --coco instances_train2017.json --lvis lvis_v1_train.json --images ~/coco --output cocolvis/train
  mrcnn train cocolvis --dataset cocolvis --levels whole
Each image gets its LVIS instances, and the COCO instances that none of them covers. An object inside another one is a part
of it. DIR gets images/, masks/ and hannotation.pickle, which is written last. After an interruption, run the command again to
complete the data set. Exit code 1 means that something was skipped; the table lists it."""


def _add_cocolvis_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--coco", required=True, metavar="FILE.json", help="COCO's instances")
    parser.add_argument("--lvis", required=True, metavar="FILE.json", help="LVIS's annotations")
    parser.add_argument("--images", required=True, metavar="DIR",
                        help="folder of the images, or of COCO's train2017 and val2017")
    parser.add_argument("--output", type=options.new_folder, required=True, metavar="DIR",
                        help="folder of the subset, such as cocolvis/train")
    parser.add_argument("--overlap", type=options.fraction_above_0, default=0.5, metavar="S",
                        help="skip a COCO instance whose IoU with an LVIS instance is at least this (default: %(default)s)")
    parser.add_argument("--part-share", type=options.fraction_above_0, default=0.8, metavar="S",
                        help="fraction of an object that must lie inside another to be a part of it (default: %(default)s)")
    parser.add_argument("--link", action="store_true", help="link the image files, if possible, instead of copying them")
    _add_workers(parser)
    parser.add_argument("--allow-outside", action="store_true",
                        help="accept files outside the folder of the images; only for data you trust")


def _build_cocolvis(args: argparse.Namespace) -> int:
    from mrcnn.tools.convert.cocolvis import build_cocolvis

    summary = build_cocolvis(
        args.coco, args.lvis, args.images, args.output, overlap=args.overlap, part_share=args.part_share, link=args.link,
        workers=args.workers, progress=progress_bar, allow_outside=args.allow_outside)
    print(summary.table())
    print(f"Written: {args.output}")
    return 1 if summary.skipped else 0
