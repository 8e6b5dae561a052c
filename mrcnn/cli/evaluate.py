"""`mrcnn evaluate`: average precision of boxes and masks over a data set, as COCO or LVIS define it."""

from mrcnn.cli import options
from mrcnn.cli.backend import load_backend
from mrcnn.cli.progress import compiling_first, progress_bar, working

HELP = "measure box and mask AP on a data set"
USAGE = "FORMAT --weights W [--dataset PATH] [--subset NAME] [--limit N] [--output FILE.json] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn evaluate shapes --weights last
  mrcnn evaluate coco --dataset ~/coco --weights logs/coco20260101T1200/mask_rcnn_coco_0010.h5 --output results.json
The configuration is the one that the run folder keeps beside its checkpoints; DETECTION_MIN_CONFIDENCE is 0 here unless
--set says otherwise, because average precision looks at detections of every score. LVIS has its own figures, of the
classes that each image was searched for and of up to 300 detections an image: DETECTION_MAX_INSTANCES is 300 in what
`mrcnn train lvis` starts from; for weights trained on other data add --set DETECTION_MAX_INSTANCES=300."""


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    options.add_data_arguments(parser)
    parser.add_argument("--subset", metavar="NAME",
                        help="the part to measure on (default: val where the data are divided into parts, else all)")
    parser.add_argument("--limit", type=options.at_least(1), metavar="N",
                        help="only the first N images (default: all; shapes: 100)")
    parser.add_argument("--weights", required=True, metavar="PATH|last|coco",
                        help="a checkpoint, a run folder (its newest one), the newest run (of NAME, where --set gives it), or "
                             "the published weights")
    parser.add_argument("--model-dir", default="logs", metavar="DIR", help="where `last` looks (default: %(default)s)")
    parser.add_argument("--output", type=options.new_file, metavar="FILE.json",
                        help="write the figures, per class too, as JSON")
    group = options.add_config_arguments(parser)
    group.add_argument("--config", metavar="FILE", help="a config.json, for weights without one beside them")


def run(args):
    """Measure as the arguments say, and print the table."""
    from mrcnn.config import Config, ConfigError
    from mrcnn.training.runs import find_checkpoint, load_config

    weights, saved = args.weights, None
    if weights != "coco":
        weights = find_checkpoint(weights, args.model_dir, name=options.overrides(args).get("NAME"))
        saved = Config.load(args.config) if args.config else load_config(weights)
        if saved is None:
            raise ConfigError(f"{weights}: no config.json beside these weights: give one with --config FILE.")
    model, dataset = load(args, args.data, weights, saved)
    result = model.evaluate(dataset, limit=args.limit, progress=compiling_first(),
                            min_confidence=model.config.DETECTION_MIN_CONFIDENCE)
    print(result.table())
    if args.output:
        result.save(args.output)
        print(f"Written: {args.output}")


def load(args, data, weights, saved):
    """Open what is to be evaluated.

    Args:
        args: argparse.Namespace with dataset, subset, limit, settings, model_dir and the arguments of the readers.
        data: str. The format of the data.
        weights: str. Path of a checkpoint, or "coco".
        saved: Config or None. The configuration that the weights were trained with.

    Returns:
        model: MaskRCNN in inference mode with these weights. Its DETECTION_MIN_CONFIDENCE is 0 unless --set says otherwise.
        dataset: Dataset, prepared.

    Raises:
        ConfigError, DataError: what contradicts itself, or cannot be read.
    """
    from mrcnn.datasets.catalog import open_dataset
    from mrcnn.training.presets import build_config, with_classes

    config = build_config(data, {"DETECTION_MIN_CONFIDENCE": 0.0, **options.overrides(args)}, saved)
    made = {"count": args.limit or 100, "image_size": config.IMAGE_MAX_DIM} if data == "shapes" else {}
    dataset = open_dataset(args.dataset, data, subset_of(args, data), progress_bar, **made, **options.reader_options(args))
    options.need_image_files(dataset, args.dataset, data)
    config = with_classes(config, dataset)

    load_backend()
    from mrcnn.training.mask_rcnn import MaskRCNN
    from mrcnn.training.start_weights import load_trained_weights

    with working("building the network"):
        model = MaskRCNN(mode="inference", config=config, model_dir=args.model_dir)
    load_trained_weights(model, weights)
    return model, dataset


def subset_of(args, data):
    """Choose the part of the data to measure on: str, or None where they are undivided. Arguments as of `load`."""
    from mrcnn.datasets.catalog import subsets_of

    return args.subset or ("val" if "val" in subsets_of(args.dataset, data) else None)
