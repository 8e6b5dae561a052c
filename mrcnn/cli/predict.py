"""`mrcnn predict`: find the instances on pictures, draw them, and write them as COCO results and labelme files."""

from mrcnn.cli import options
from mrcnn.cli.backend import load_backend
from mrcnn.cli.progress import compiling_first, working

HELP = "find the instances on pictures"
USAGE = "INPUT [INPUT ...] --weights W [--output DIR] [--min-score S] [--save-labelme] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn predict photo.jpg --weights coco
  mrcnn predict holiday/ more/*.png --weights logs/toys20260101T1200 --output found --min-score 0.5
  mrcnn predict unlabelled/ --weights last --output found --save-labelme      # then: labelme found/labelme
Written to the output folder: <picture>_detections.jpg with boxes, masks, names and scores, and detections.json in
COCO's results format; with --save-labelme also a folder labelme, to be corrected there and trained on. The configuration
and the names of the classes are read from the run folder (config.json and classes.json beside the weights)."""


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, or a folder of pictures")
    parser.add_argument("--weights", required=True, metavar="PATH|last|coco",
                        help="a checkpoint, a run folder (its newest one), the newest run, or the published weights")
    parser.add_argument("--output", default="predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--min-score", type=options.share, metavar="S",
                        help="least score of an instance (default: DETECTION_MIN_CONFIDENCE of the configuration)")
    parser.add_argument("--save-labelme", action="store_true",
                        help="write what was found as labelme files too, each beside a copy of its picture")
    parser.add_argument("--labelme-shapes", choices=("polygon", "mask"), default="polygon",
                        help="outlines that are easily dragged, or masks, which are exact (default: %(default)s)")
    parser.add_argument("--model-dir", default="logs", metavar="DIR", help="where `last` looks (default: %(default)s)")
    group = options.add_config_arguments(parser)
    group.add_argument("--config", metavar="FILE", help="a config.json, for weights without one beside them")
    group.add_argument("--classes", metavar="FILE", help="a classes.json: a list of names, the background first")


def run(args):
    """Predict as the arguments say.

    Returns:
        int. 1 when some pictures could not be read, else 0.
    """
    from functools import partial

    from mrcnn.tools.predict import find_pictures, predict_pictures
    from mrcnn.training.runs import load_trained_run

    settings = options.overrides(args)
    if args.min_score is not None:
        settings["DETECTION_MIN_CONFIDENCE"] = args.min_score
    pictures = find_pictures(args.inputs, args.output)
    trained = load_trained_run(args.weights, args.model_dir, config_file=args.config, classes_file=args.classes)
    config = trained.config.with_overrides(settings)

    load_backend()
    from mrcnn.training.mask_rcnn import MaskRCNN
    from mrcnn.training.start_weights import load_trained_weights

    with working("building the network"):
        model = MaskRCNN(mode="inference", config=config, model_dir=args.model_dir)
    load_trained_weights(model, trained.weights)
    with compiling_first()("detecting") as show:
        summary = predict_pictures(partial(model.detect, masks="rle"), pictures, args.output, trained.class_names,
                                   channels=config.IMAGE_CHANNEL_COUNT, batch_size=config.BATCH_SIZE,
                                   labelme=args.labelme_shapes if args.save_labelme else None, progress=show)
    print(f"pictures: {summary.pictures}, instances: {summary.instances}, written to {args.output}")
    if summary.without_mask:
        print(f"instances whose mask is empty: {summary.without_mask}; of these there is a box alone")
    for path, reason in summary.unreadable.items():
        print(f"left out {path}: {reason}")
    return 1 if summary.unreadable else 0
