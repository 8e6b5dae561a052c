"""`mrcnn train`: train on a data set and write a run folder with checkpoints."""

from mrcnn.cli import options
from mrcnn.cli.backend import load_backend
from mrcnn.cli.progress import progress_bar, working

HELP = "train a network on a data set"
USAGE = "FORMAT [--dataset PATH] [--weights W] [--layers L] [--epochs N] [--set KEY=VALUE ...] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn train shapes --count 2000 --epochs 4
  mrcnn train coco --dataset ~/coco --weights coco --layers heads --epochs 10
  mrcnn train coco --dataset ~/coco --weights last --layers all --epochs 30 --learning-rate 0.0001
  mrcnn train labelme --dataset photographs --weights coco --layers heads --val-share 0.2
The configuration is that of the run the weights come from, where they come from one (last, or a path into a run
folder), and a preset for the data otherwise; --set changes either. The run folder, MODEL_DIR/NAME<date>, holds a
checkpoint of each epoch, config.json and classes.json."""


def add_arguments(parser):
    """Add the arguments of the command to its parser."""
    options.add_data_arguments(parser)
    parser.add_argument("--subset", metavar="NAME",
                        help="the part to train on (default: train where the data are divided into parts, else all)")
    parser.add_argument("--val-subset", metavar="NAME", help="the part for validation, or none (default: val if there)")
    parser.add_argument("--val-dataset", metavar="PATH", help="validate on this folder or file of the same format")
    parser.add_argument("--val-share", type=options.open_share, metavar="S",
                        help="where the data have no part for validation: hold back this share of the images, of each "
                             "class alike, drawn by SEED of the configuration")
    parser.add_argument("--count", type=options.at_least(1), default=1000, metavar="N",
                        help="shapes: training images; a tenth as many for validation (default: %(default)s)")
    group = parser.add_argument_group("training")
    group.add_argument("--weights", default="none", metavar="coco|imagenet|last|none|PATH",
                       help="where to start: published weights, the newest checkpoint under --model-dir, a file, or "
                            "none for random ones (default: %(default)s)")
    group.add_argument("--exclude", nargs="+", metavar="LAYER", default=[],
                       help="layers to leave out of the weights of a PATH: names, or `heads` for those whose shapes "
                            "depend on the number of classes")
    group.add_argument("--layers", default="all", metavar="heads|3+|4+|5+|all|REGEX",
                       help="the layers to train (default: %(default)s)")
    group.add_argument("--epochs", type=options.at_least(1), default=10, metavar="N",
                       help="the epoch to train up to, counted from the start of the run (default: %(default)s)")
    group.add_argument("--learning-rate", type=options.at_least(0, float), metavar="X",
                       help="default: LEARNING_RATE of the configuration")
    group.add_argument("--model-dir", default="logs", metavar="DIR", help="folder of the runs (default: %(default)s)")
    group = options.add_config_arguments(parser)
    group.add_argument("--backbone", metavar="NAME", help="the same as --set BACKBONE=NAME")


def run(args):
    """Train as the arguments say."""
    from mrcnn.base.errors import DataError
    from mrcnn.training.presets import build_config, for_other_data, with_classes
    from mrcnn.training.runs import find_checkpoint, load_config
    from mrcnn.training.start_weights import WORDS, load_start_weights

    settings = options.overrides(args)
    if args.backbone:
        settings["BACKBONE"] = args.backbone
    name = settings.get("NAME", args.data)
    weights, saved = args.weights, None
    if weights not in WORDS:
        weights = find_checkpoint(weights, args.model_dir, name)
        saved = for_other_data(load_config(weights), name)
    config = build_config(args.data, settings, saved, from_scratch=weights == "none")
    train_set, val_set = _open_data(args, config)
    config = with_classes(config, train_set)
    if val_set is not None and val_set.class_names != train_set.class_names:
        raise DataError(f"the classes to train on are {_names(train_set)}, those of the validation {_names(val_set)}: "
                        "they must be the same, in the same order (--labels fixes them where the data have no list).")

    load_backend()
    from mrcnn.training.mask_rcnn import MaskRCNN

    with working("building the network"):
        model = MaskRCNN(mode="training", config=config, model_dir=args.model_dir)
    load_start_weights(model, weights, exclude=args.exclude)
    rate = config.LEARNING_RATE if args.learning_rate is None else args.learning_rate
    model.train(train_set, val_set, learning_rate=rate, epochs=args.epochs, layers=args.layers)
    print(f"Run folder: {model.log_dir}")


def _names(dataset):
    """Show the names of a few classes, without the background: str."""
    names = dataset.class_names[1:]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _open_data(args, config):
    """Open the images to train on and those to validate on, which may be None."""
    from mrcnn.datasets.catalog import open_dataset, subsets_of

    reader = options.reader_options(args)

    def open_part(path, subset, count):
        made = {"count": count, "image_size": config.IMAGE_MAX_DIM} if args.data == "shapes" else {}
        dataset = open_dataset(path, args.data, subset, progress_bar, **made, **reader)
        options.need_image_files(dataset, path, args.data)
        return dataset

    parts = subsets_of(args.dataset, args.data)
    train_set = open_part(args.dataset, args.subset or ("train" if "train" in parts else None), args.count)
    val_count = max(args.count // 10, 1)
    if args.val_subset == "none":
        return train_set, None
    if args.val_dataset:
        return train_set, open_part(args.val_dataset, args.val_subset, val_count)
    if args.val_subset or "val" in parts:
        return train_set, open_part(args.dataset, args.val_subset or "val", val_count)
    if args.val_share:
        return _hold_back(train_set, args.val_share, config.SEED)
    print("No validation: the data have no part named val (see --val-share, --val-dataset, --val-subset).")
    return train_set, None


def _hold_back(dataset, share, seed):
    """Divide a data set: (the images to train on, those to validate on)."""
    from mrcnn.datasets.splits import split_images, subset_of

    with progress_bar("dividing") as show:
        ids = split_images(dataset, {"train": 1 - share, "val": share}, seed=seed, progress=show)
    print(f"Held back for validation: {len(ids['val'])} of {dataset.num_images} images.")
    return subset_of(dataset, ids["train"]), subset_of(dataset, ids["val"])
