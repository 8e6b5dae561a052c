"""`mrcnn train`: train on a data set, and write a run folder with checkpoints and a report."""

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn.base.closed_pipe import closed_pipe_ignored
from mrcnn.base.progress import progress_bar
from mrcnn.cli import options
from mrcnn.cli.backend import build_model

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.datasets.dataset import Dataset
    from mrcnn.training.mask_rcnn import MaskRCNN

HELP = "train a network on a data set"
USAGE = "FORMAT [--dataset PATH] [--weights W] [--epochs N] [--set KEY=VALUE ...] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn train labelme --dataset photographs
  mrcnn train labelme --dataset photographs --weights coco
  mrcnn train coco --dataset ~/coco --weights last --layers all --epochs 30 --lr 0.0001
  mrcnn train shapes --count 2000 --epochs 4
Everything that no option sets is chosen from the data and the weights, and printed with the reason: from random weights a
small network, and images and anchors that fit the objects; with loaded weights what these were trained with. Weights of a run
(last, or a path in a run folder) resume it with its own configuration. --set overrides any attribute.
The run folder, MODEL_DIR/NAME<date>, gets the newest checkpoints, the best one by AP on the validation images (which predict,
evaluate and report use), config.json, classes.json, history.csv and report.html."""
# Options that stand for attributes of the configuration.
CONFIG_OPTIONS = {
    "epochs": "TRAIN_EPOCHS", "layers": "TRAIN_LAYERS", "lr": "LEARNING_RATE", "schedule": "LEARNING_RATE_SCHEDULE",
    "optimizer": "OPTIMIZER", "batch_size": "IMAGES_PER_GPU", "augment": "TRAIN_AUGMENT", "backbone": "BACKBONE"}

DEFAULT_MODEL_DIR = "logs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    options.add_data_arguments(parser)
    parser.add_argument("--subset", metavar="NAME",
                        help="subset to train on (default: train if there are subsets, else all images)")
    parser.add_argument("--val-subset", metavar="NAME", help="subset for validation, or none (default: val, if it exists)")
    parser.add_argument("--val-dataset", metavar="PATH", help="validate on this folder or file, of the same format")
    parser.add_argument("--val-share", type=options.fraction_below_1, metavar="S",
                        help="if the data have no subset for validation: fraction of the images to hold out, stratified by "
                             "class and drawn with SEED of the configuration; 0 holds out none (default: 0.2, at most 1000 "
                             "images)")
    parser.add_argument("--count", type=options.at_least(1), default=1000, metavar="N",
                        help="shapes: training images; a tenth as many for validation (default: %(default)s)")
    group = parser.add_argument_group("training (default: chosen from the data and the weights)")
    group.add_argument("--weights", metavar="coco|imagenet|last|best|none|PATH",
                       help="initial weights: published ones (coco, imagenet, or a name that `mrcnn weights` lists, which also "
                            "sets the network), the newest checkpoint in --model-dir, the best one of that run, a file or run "
                            "folder, or none for random weights (default: a small backbone trained on ImageNet, if "
                            "mrcnn[pretrained] is installed, else none)")
    group.add_argument("--exclude", nargs="+", metavar="LAYER", default=[],
                       help="layers to exclude from the weights of a PATH: names, or `heads` for those whose shapes depend on "
                            "the number of classes")
    group.add_argument("--classes-from", metavar="FILE|coco",
                       help="take over the rows of the class layers of a PATH for classes with the same name: a classes.json "
                            "with the names it was trained on, or coco (published weights always do this)")
    group.add_argument("--recipe", metavar="NAME",
                       help="a named configuration to build on, of those that `mrcnn recipes` lists (default: that of the "
                            "published weights, else classic)")
    group.add_argument("--layers", metavar="heads|3+|4+|5+|all|REGEX", help="layers to train")
    group.add_argument("--epochs", type=options.at_least(1), metavar="N",
                       help="last epoch, counted from the start of the run")
    group.add_argument("--lr", "--learning-rate", type=options.at_least(0, float), metavar="X",
                       help="learning rate, or the peak of its schedule")
    group.add_argument("--schedule", metavar="constant|cosine|step",
                       help="course of the learning rate; cosine and step include a warm-up")
    group.add_argument("--optimizer", metavar="NAME", help="sgd, adam, adamw or any other optimizer of Keras")
    group.add_argument("--batch-size", type=options.at_least(1), metavar="N", help="images per step and device")
    group.add_argument("--augment", metavar="none|flip|rotate|color|flip+color|rotate+color",
                       help="flip left-right; or flip both ways and rotate by any angle; color changes the colours")
    group.add_argument("--model-dir", default=DEFAULT_MODEL_DIR, metavar="DIR",
                       help="folder of the runs (default: %(default)s)")  # fmt: skip
    config_group = options.add_config_arguments(parser)
    options.add_precision(config_group)
    config_group.add_argument("--backbone", metavar="NAME", help="short for --set BACKBONE=NAME")


@closed_pipe_ignored()
def run(args: argparse.Namespace) -> None:
    """Train, evaluate the best weights, write the report, and say what can be done next."""
    from mrcnn.training.run_start import RunStart, load_start_weights

    began = time.perf_counter()
    settings = options.overrides(args)
    settings |= {name: value for option, name in CONFIG_OPTIONS.items() if (value := getattr(args, option)) is not None}
    start = RunStart.find(args.data, settings, args.weights, args.recipe, args.model_dir)
    config = start.config()
    train_set, val_set, validation = _open_data(args, config, start.run_folder)
    config, choices = start.choose(config, train_set, val_set, progress_bar)
    model = build_model("training", config, args.model_dir)
    from mrcnn.tools.train import begin_lines

    for line in begin_lines(train_set, val_set, validation, start.text, choices):
        print(line)
    load_start_weights(model, start.weights, exclude=args.exclude, class_names=train_set.class_names,
                       classes_from=args.classes_from or (None if args.exclude else start.classes_from))  # fmt: skip
    try:
        model.train(train_set, val_set, learning_rate=config.LEARNING_RATE, epochs=config.TRAIN_EPOCHS,
                    layers=config.TRAIN_LAYERS)
    except KeyboardInterrupt:
        if model.epoch:
            print(f"\nStopped after epoch {model.epoch}. To resume:\n  {_resume_command(args, model)}")
        raise
    _finish(args, model, val_set, began)


def _finish(args: argparse.Namespace, model: "MaskRCNN", val_set: "Dataset | None", began: float) -> None:
    """Evaluate the best weights, write the report, and print the results and the next commands."""
    from mrcnn.tools.train import end_lines, finish

    folder = str(model.log_dir)
    resume = _resume_command(args, model, more=True)
    data = options.data_words(args, args.val_dataset or args.dataset)
    data += [] if args.val_subset in (None, "none") else ["--subset", args.val_subset]
    measured, report = finish(model, folder, val_set, f"{' '.join(data)}, the validation images", progress_bar)
    for line in end_lines(folder, measured, report, time.perf_counter() - began):
        print(line)
    print("Next:")
    print(f"  {shlex.join(['mrcnn', 'predict', 'PICTURE', '--weights', folder])}")
    if val_set is not None:
        print(f"  {shlex.join(['mrcnn', 'evaluate', *data, '--weights', folder])}")
    print(f"  {resume}")


def _resume_command(args: argparse.Namespace, model: "MaskRCNN", more: bool = False) -> str:
    """Return the command that resumes a run, up to twice as many epochs with `more`."""
    words = ["mrcnn", "train", *options.data_words(args, args.dataset)]
    words += [] if model.config.NAME == args.data else ["--set", f"NAME={model.config.NAME}"]
    for option in ("subset", "val_subset", "val_dataset", "val_share", *(["count"] if args.data == "shapes" else [])):
        value = getattr(args, option)
        words += [] if value is None else [f"--{option.replace('_', '-')}", str(value)]
    words += [] if args.model_dir == DEFAULT_MODEL_DIR else ["--model-dir", args.model_dir]
    words += ["--weights", str(model.log_dir)]
    return shlex.join([*words, "--epochs", str(2 * model.epoch)] if more else words)


def _open_data(args: argparse.Namespace, config: "Config", earlier: Path | None) -> "tuple[Dataset, Dataset | None, str]":
    """Open the training images, and the validation images if there are any.

    Args:
        earlier: the folder of the run that is resumed, or None.

    Returns:
        Both data sets, and where the validation images come from, or why there are none.
    """
    from mrcnn.datasets.catalog import subsets_of
    from mrcnn.training.held_out import divide_data

    def open_subset(path: str | None, subset: str | None, count: int) -> "Dataset":
        return options.open_data(args, args.data, path, subset, count=count, image_size=config.IMAGE_MAX_DIM)

    subsets = subsets_of(args.dataset, args.data)
    train_set = open_subset(args.dataset, args.subset or ("train" if "train" in subsets else None), args.count)
    val_count = max(args.count // 10, 1)
    if args.val_subset == "none":
        return train_set, None, "--val-subset none"
    if args.val_dataset:
        return train_set, open_subset(args.val_dataset, args.val_subset, val_count), args.val_dataset
    if args.val_subset or "val" in subsets:
        subset = args.val_subset or "val"
        return train_set, open_subset(args.dataset, subset, val_count), f"subset {subset}"
    train_set, val_set, why = divide_data(train_set, args.val_share, config.SEED, progress_bar, earlier)
    return train_set, val_set, f"{why}; --val-share"
