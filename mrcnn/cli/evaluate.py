"""`mrcnn evaluate`: average precision of boxes and masks on a data set, as COCO or LVIS define it."""

import argparse
from typing import TYPE_CHECKING

from mrcnn.cli import options
from mrcnn.cli.backend import compiling_first, load_model

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.datasets.dataset import Dataset
    from mrcnn.training.mask_rcnn import MaskRCNN

# The value of --subset for all images of undivided data, those used for training included.
ALL = "all"
HELP = "measure box and mask AP on a data set"
USAGE = "FORMAT [--weights W] [--dataset PATH] [--subset NAME] [--limit N] [--output FILE.json] [OPTION ...]"
EPILOG = """\
examples:
  mrcnn evaluate shapes
  mrcnn evaluate coco --dataset ~/coco --weights logs/coco20260101T1200/mask_rcnn_coco_0010.h5 --output results.json
The configuration is read from the run folder of the weights; with --set NAME=NAME, `best` and `last` are of the newest run of
that name.
DETECTION_MIN_CONFIDENCE is 0 unless --set changes it, because average precision needs detections of every score. LVIS
evaluates only the categories that each image was annotated for, with up to 300 detections per image. `mrcnn train lvis`
sets DETECTION_MAX_INSTANCES to 300; for weights trained on other data add --set DETECTION_MAX_INSTANCES=300."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    options.add_data_arguments(parser)
    add_subset_arguments(parser)
    options.add_weights_arguments(parser, classes=False)
    parser.add_argument("--output", type=options.new_file, metavar="FILE.json",
                        help="write the metrics as JSON, including those per class")
    options.add_precision(
        options.add_config_arguments(parser, config_file="a config.json, for weights that have none next to them"))


def add_subset_arguments(parser: "argparse._ActionsContainer") -> None:
    """Add the images to evaluate on."""
    parser.add_argument("--subset", metavar="NAME",
                        help="subset to evaluate on (default: val if there are subsets, else the images that training held "
                             "out; `all` for every image of undivided data)")
    parser.add_argument("--limit", type=options.at_least(1), metavar="N",
                        help="only the first N images (default: all; shapes: 100)")


def run(args: argparse.Namespace) -> None:
    """Evaluate, and print the table of metrics."""
    from mrcnn.config import Config, ConfigError
    from mrcnn.training.runs import load_config
    from mrcnn.training.trained_run import find_weights, network_settings_of
    from mrcnn.weights.catalogue import CATALOGUE

    weights, saved = args.weights, None
    if weights not in CATALOGUE:
        weights = find_weights(weights, args.model_dir, name=options.overrides(args).get("NAME"))
        saved = Config.load(args.config) if args.config else load_config(weights)
        if saved is None and not network_settings_of(weights):
            raise ConfigError(f"{weights}: no config.json next to these weights: give one with --config FILE, or make it: "
                              'YourConfig().save("config.json").')
    model, dataset = load(args, args.data, weights, saved)
    result = model.evaluate(dataset, limit=args.limit, progress=compiling_first(),
                            min_confidence=model.config.DETECTION_MIN_CONFIDENCE)
    if args.output:
        result.save(args.output)
    print(result.table())
    if args.output:
        print(f"Written: {args.output}")


def load(args: argparse.Namespace, format: str, weights: str, saved: "Config | None") -> "tuple[MaskRCNN, Dataset]":
    """Load the network and the data to evaluate it on.

    Args:
        args: with dataset, subset, limit, settings, model_dir and the options of the readers.
        format: name of the format of the data.
        weights: path of a checkpoint, or the name of published weights.
        saved: configuration that the weights were trained with, if known.

    Returns:
        model: in inference mode, with the weights. Its DETECTION_MIN_CONFIDENCE is 0 unless --set changes it.
        dataset: prepared.

    Raises:
        ConfigError, DataError: the configuration is invalid, or the data cannot be read.
    """
    from mrcnn.training.run_start import build_config, check_class_names, with_classes

    config = build_config(format, {"DETECTION_MIN_CONFIDENCE": 0.0, **options.overrides(args)}, saved, weights=weights)
    dataset = options.open_data(args, format, args.dataset, subset_of(args, format), count=args.limit or 100,
                                image_size=config.IMAGE_MAX_DIM)
    config = with_classes(config, dataset)
    check_class_names(weights, dataset)
    if subset_of(args, format) is None and args.subset != ALL:
        dataset = _held_out_images(dataset, weights)
    return load_model(config, args.model_dir, weights), dataset


def subset_of(args: argparse.Namespace, format: str) -> str | None:
    """Return the subset to evaluate on; None for all images of undivided data."""
    from mrcnn.datasets.catalog import subsets_of

    subsets = subsets_of(args.dataset, format)
    if args.subset == ALL and not subsets:
        return None
    return args.subset or ("val" if "val" in subsets else None)


def _held_out_images(dataset: "Dataset", weights: str) -> "Dataset":
    """Return the images that the run of these weights held out; all images if it held out none of them."""
    from pathlib import Path

    from mrcnn.training.held_out import divide, read_held_out

    held_out = read_held_out(Path(weights).parent)
    validation = divide(dataset, held_out)[1] if held_out else None
    if validation is None or not validation.num_images:
        return dataset
    print(f"Evaluating on the {validation.num_images} of {dataset.num_images} images that training held out (--subset {ALL}: "
          "on every image).")
    return validation
