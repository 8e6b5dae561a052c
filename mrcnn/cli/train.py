"""`mrcnn train`: train on a data set, and write a run folder with checkpoints."""

import argparse
from typing import TYPE_CHECKING

from mrcnn.base.progress import progress_bar
from mrcnn.cli import options
from mrcnn.cli.backend import build_model

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.datasets.dataset import Dataset

HELP = "train a network on a data set"
USAGE = "FORMAT [--dataset PATH] [--weights W] [--layers L] [--epochs N] [--set KEY=VALUE ...] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn train shapes --count 2000 --epochs 4
  mrcnn train coco --dataset ~/coco --weights coco --layers heads --epochs 10
  mrcnn train coco --dataset ~/coco --weights last --layers all --epochs 30 --learning-rate 0.0001
  mrcnn train labelme --dataset photographs --weights coco --layers heads --val-share 0.2
The configuration is that of the run that the weights come from (last, or a path in a run folder), otherwise a preset for
the data format; --set overrides attributes. A checkpoint for each epoch, config.json and classes.json are written to the run
folder, MODEL_DIR/NAME<date>."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    options.add_data_arguments(parser)
    parser.add_argument("--subset", metavar="NAME",
                        help="subset to train on (default: train if there are subsets, else all images)")
    parser.add_argument("--val-subset", metavar="NAME", help="subset for validation, or none (default: val, if it exists)")
    parser.add_argument("--val-dataset", metavar="PATH", help="validate on this folder or file, of the same format")
    parser.add_argument("--val-share", type=options.open_fraction, metavar="S",
                        help="if the data have no subset for validation: fraction of the images to hold out, stratified by "
                             "class and drawn with SEED of the configuration")
    parser.add_argument("--count", type=options.at_least(1), default=1000, metavar="N",
                        help="shapes: training images; a tenth as many for validation (default: %(default)s)")
    group = parser.add_argument_group("training")
    group.add_argument("--weights", default="none", metavar="coco|imagenet|last|none|PATH",
                       help="initial weights: published ones, the newest checkpoint in --model-dir, a file, or none for random "
                            "weights (default: %(default)s)")
    group.add_argument("--exclude", nargs="+", metavar="LAYER", default=[],
                       help="layers to exclude from the weights of a PATH: names, or `heads` for those whose shapes depend on "
                            "the number of classes")
    group.add_argument("--layers", default="all", metavar="heads|3+|4+|5+|all|REGEX",
                       help="layers to train (default: %(default)s)")
    group.add_argument("--epochs", type=options.at_least(1), default=10, metavar="N",
                       help="last epoch, counted from the start of the run (default: %(default)s)")
    group.add_argument("--learning-rate", type=options.at_least(0, float), metavar="X",
                       help="default: LEARNING_RATE of the configuration")
    group.add_argument("--model-dir", default="logs", metavar="DIR", help="folder of the runs (default: %(default)s)")
    config_group = options.add_config_arguments(parser)
    config_group.add_argument("--backbone", metavar="NAME", help="short for --set BACKBONE=NAME")


def run(args: argparse.Namespace) -> None:
    """Train, and print the run folder."""
    from mrcnn.base.errors import DataError
    from mrcnn.training.run_start import (
        WORDS,
        build_config,
        check_class_names,
        for_other_data,
        load_start_weights,
        with_classes,
    )
    from mrcnn.training.runs import checkpoint_name, find_checkpoint, load_config

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
    if checkpoint_name(weights) == name.lower():  # a run to resume
        check_class_names(weights, train_set)
    if val_set is not None and val_set.class_names != train_set.class_names:
        raise DataError(f"the training data have the classes {_names(train_set)}, the validation data {_names(val_set)}: they "
                        "must be the same, in the same order (--labels sets them if the data have no list).")
    model = build_model("training", config, args.model_dir)
    load_start_weights(model, weights, exclude=args.exclude)
    rate = config.LEARNING_RATE if args.learning_rate is None else args.learning_rate
    model.train(train_set, val_set, learning_rate=rate, epochs=args.epochs, layers=args.layers)
    print(f"Run folder: {model.log_dir}")


def _names(dataset: "Dataset") -> str:
    """Return the names of the first classes, without background."""
    names = dataset.class_names[1:]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _open_data(args: argparse.Namespace, config: "Config") -> "tuple[Dataset, Dataset | None]":
    """Open the training images, and the validation images if there are any."""
    from mrcnn.datasets.catalog import subsets_of

    def open_subset(path: str | None, subset: str | None, count: int) -> "Dataset":
        return options.open_data(args, args.data, path, subset, count=count, image_size=config.IMAGE_MAX_DIM)

    subsets = subsets_of(args.dataset, args.data)
    train_set = open_subset(args.dataset, args.subset or ("train" if "train" in subsets else None), args.count)
    val_count = max(args.count // 10, 1)
    if args.val_subset == "none":
        return train_set, None
    if args.val_dataset:
        return train_set, open_subset(args.val_dataset, args.val_subset, val_count)
    if args.val_subset or "val" in subsets:
        return train_set, open_subset(args.dataset, args.val_subset or "val", val_count)
    if args.val_share:
        return _hold_out(train_set, args.val_share, config.SEED)
    print("No validation: the data have no subset named val (see --val-share, --val-dataset, --val-subset).")
    return train_set, None


def _hold_out(dataset: "Dataset", fraction: float, seed: int) -> "tuple[Dataset, Dataset]":
    """Split a data set into training images and validation images."""
    from mrcnn.datasets.splits import split_images, subset_of

    with progress_bar("dividing") as show:
        ids = split_images(dataset, {"train": 1 - fraction, "val": fraction}, seed=seed, progress=show)
    print(f"Held out for validation: {len(ids['val'])} of {dataset.num_images} images.")
    return subset_of(dataset, ids["train"]), subset_of(dataset, ids["val"])
