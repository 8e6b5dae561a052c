"""`mrcnn inspect`: show the training data, the stages of detection, and the weights."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mrcnn.base.progress import progress_bar, working
from mrcnn.cli import options
from mrcnn.cli.backend import compiling_first, load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mrcnn.training.mask_rcnn import MaskRCNN

HELP = "show the training data, the stages of detection, or the weights"
EPILOG = """\
examples:
  mrcnn inspect data coco --dataset ~/coco --subset train --output inspected
  mrcnn inspect model photo.jpg --output inspected
  mrcnn inspect weights --weights logs/toys20260101T1200 --output inspected
data prints the anchors, the arrays of a training batch and the fraction of positive ROIs, which should be about a third, and
draws the stages of one image, and the first samples of a run as augmentation changes them. model counts the outcomes of the
proposals on a picture, and draws every stage from anchors to masks. weights prints a table in which "dead?" marks a kernel
whose values are all equal, and "overflow?" one with values beyond 1000."""

DATA_USAGE = "FORMAT [--dataset PATH] [--subset NAME] [--image N] [--limit N] [--output DIR] [--set KEY=VALUE ...] [OPTION ...]"
DATA_EPILOG = """\
example:
  mrcnn inspect data shapes --output inspected
The configuration is the preset for training; --config reads that of a run, --set overrides attributes."""
MODEL_USAGE = "PICTURE --weights W [--layers NAME ...] [--output DIR] [--set KEY=VALUE ...] [OPTION ...]"
MODEL_EPILOG = """\
example:
  mrcnn inspect model photo.jpg --layers fpn_p2 rpn_conv_shared --output inspected"""
WEIGHTS_USAGE = "--weights W [--layers L] [--all] [--output DIR] [OPTION ...]"
WEIGHTS_EPILOG = """\
example:
  mrcnn inspect weights --weights coco --layers 'fpn.*' --all"""
# Width of the table of weights in a file or a pipe: wide enough that names are not broken into two lines, for grep.
PIPED_WIDTH = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-parser for each part: data, model and weights."""
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    for name, add, what, usage, epilog in (
            ("data", _add_data_arguments, "the training data", DATA_USAGE, DATA_EPILOG),
            ("model", _add_model_arguments, "detection on a picture, stage by stage", MODEL_USAGE, MODEL_EPILOG),
            ("weights", _add_weights_arguments, "statistics and histograms of the weights", WEIGHTS_USAGE,
             WEIGHTS_EPILOG)):  # fmt: skip
        part = parts.add_parser(name, help=what, description=what + ".", epilog=epilog, usage=f"mrcnn inspect {name} {usage}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        add(part)
        part.add_argument("--output", type=options.new_folder, metavar="DIR",
                          help="write figures to this folder, as PNG (default: none are drawn)")
        options.add_config_arguments(part, config_file="a config.json, such as that of a run")
        part.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_data_arguments(parser)
    parser.add_argument("--subset", metavar="NAME",
                        help="subset to look at (default: train if there are subsets, else all images)")
    parser.add_argument("--image", type=options.at_least(0), default=0, metavar="N", help="image to draw, counted from 0")
    parser.add_argument("--limit", type=options.at_least(1), default=100, metavar="N",
                        help="images over which the fraction of positive ROIs is averaged (default: %(default)s)")
    parser.add_argument("--batch", type=options.at_least(1), default=4, metavar="N",
                        help="images in the batch whose arrays are listed (default: %(default)s)")


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", metavar="PICTURE", help="picture to detect on")
    parser.add_argument("--layers", nargs="+", default=[], metavar="NAME", help="draw the activations of these layers too")
    options.add_weights_arguments(parser)


def _add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layers", metavar="L", help="only these layers: heads, 3+, 4+, 5+, all, or a regular expression over "
                                                     "layer names (default: all)")  # fmt: skip
    parser.add_argument("--all", action="store_true",
                        help="list every weight (default: the kernels, and weights with a suspicious verdict)")
    options.add_weights_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Inspect the chosen part."""
    {"data": _data, "model": _model, "weights": _weights}[args.part](args)


def _data(args: argparse.Namespace) -> None:
    """Print the anchors, a batch and the fraction of positive ROIs, and draw the stages of an image."""
    from mrcnn.config import Config
    from mrcnn.datasets.catalog import subsets_of
    from mrcnn.loading.inspection import describe_anchors, describe_batch, positive_roi_fractions, training_stages
    from mrcnn.training.run_start import build_config, with_classes
    from mrcnn.training.settings import inspection_settings, make_generator, training_loader

    config = build_config(args.data, options.overrides(args), Config.load(args.config) if args.config else None)
    subset = args.subset or ("train" if "train" in subsets_of(args.dataset, args.data) else None)
    dataset = options.open_data(args, args.data, args.dataset, subset, count=args.limit, image_size=config.IMAGE_MAX_DIM)
    if args.image >= len(dataset.image_ids):
        raise ValueError(f"--image {args.image}: the data set has {len(dataset.image_ids)} images, counted from 0")
    config = with_classes(config, dataset)
    settings = inspection_settings(config)
    print(f"images: {len(dataset.image_ids)}, classes including background: {dataset.num_classes}")
    print(describe_anchors(settings))
    with working("making a batch"):
        batch = next(make_generator(dataset, config, random_rois=2000, batch_size=args.batch, detection_targets=True))
    print(describe_batch(*batch))
    with progress_bar("ROIs") as progress:
        fractions = positive_roi_fractions(dataset, settings, dataset.image_ids[: args.limit], progress=progress)
    print(fractions)
    with working("processing an image"):
        stages = training_stages(dataset, args.image, settings)
    print(f"image {args.image}: {len(stages.positive_anchors)} positive anchors, {len(stages.negative_anchors)} negative, "
          f"{len(stages.neutral_anchors)} neutral; {stages.positive_fraction:.1%} of {len(stages.rois)} ROIs positive, "
          f"{stages.unique_fraction:.1%} unique")  # fmt: skip
    if args.output:
        figures = _data_figures(dataset, args.image, settings, stages, fractions, training_loader(dataset, config))
        _save(figures, args.output, "data")


def _data_figures(dataset: Any, image_id: int, settings: Any, stages: Any, fractions: Any, loader: Any,
                  ) -> "Iterator[tuple[str, Figure]]":  # fmt: skip
    """Draw the stages of a training image, and samples of a training run: yield (name, figure)."""
    from mrcnn.viz import training_stages as figures

    names = dataset.class_names
    yield "0_sample", figures.inspect_sample(dataset, image_id, settings)[0]
    yield "1_anchor_levels", figures.anchor_levels_figure(stages.image, settings)[0]
    yield "2_anchors", figures.anchor_targets_figure(stages)[0]
    yield "3_refined_anchors", figures.refined_anchors_figure(stages)[0]
    yield "4_rois", figures.roi_targets_figure(stages, names)[0]
    yield "5_mask_targets", figures.mask_targets_figure(stages, names)[0]
    yield "6_positive_fraction", figures.positive_fraction_figure(fractions)[0]
    yield "7_training_samples", figures.training_samples_figure(loader, names)[0]


def _model(args: argparse.Namespace) -> None:
    """Print the outcome of the proposals on a picture, and draw the stages."""
    from mrcnn.io.images import read_image

    image = read_image(args.picture)
    model, names = _load(args)
    from mrcnn.loading.inspection import describe_array
    from mrcnn.training.inspection import inference_stages, layer_activations
    from mrcnn.viz.labels import instance_text

    with compiling_first()("detecting"):
        stages = inference_stages(model, image)
        activations = layer_activations(model, image, args.layers) if args.layers else {}
    for name in ("image", "anchors", "rpn_scores", "top_anchors", "refined_anchors", "clipped_anchors", "proposals",
                 "class_probs", "box_deltas", "mask_probs"):  # fmt: skip
        print(describe_array(name, getattr(stages, name)))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in stages.outcome_counts().items())
    print(f"of {len(stages.proposals)} proposals: {outcomes or 'none'}")
    for class_id, score, box in zip(*(stages.detections[key] for key in ("class_ids", "scores", "rois")), strict=True):
        print(f"  {instance_text(class_id, names, score):30} box (y1, x1, y2, x2) {box.tolist()}")
    for name, activation in activations.items():
        print(describe_array(name, activation))
    if args.output:
        _save(_model_figures(stages, names, activations), args.output, "model")


def _model_figures(stages: Any, names: Sequence[str], activations: dict[str, Any]) -> "Iterator[tuple[str, Figure]]":
    """Draw the stages of detection, and activations: yield (name, figure)."""
    from mrcnn.viz.inference_stages import stage_figures
    from mrcnn.viz.layers import activations_figure

    yield from stage_figures(stages, names).items()
    for name, activation in activations.items():
        yield f"layer_{name.replace('/', '_')}", activations_figure(activation, name)[0]


def _weights(args: argparse.Namespace) -> None:
    """Print the statistics of the weights, and draw their histograms."""
    import re
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from mrcnn.training.trainable import layer_regex

    model, _ = _load(args)
    layers = layer_regex(args.layers or "all", model.keras_model)
    from mrcnn.viz.layers import AS_INITIALISED, weight_statistics

    with working("measuring the weights"):
        rows = [row for row in weight_statistics(model) if re.fullmatch(layers, row.layer)]
    if not rows:
        raise ValueError(f"--layers {args.layers}: no layer with weights matches")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("weight", "shape", "min", "max", "mean", "std", "verdict"):
        table.add_column(name, justify="left" if name in ("weight", "shape", "verdict") else "right", overflow="fold")
    for row in rows:
        if args.all or row.weight == "kernel" or row.verdict not in ("", AS_INITIALISED):
            figures = [f"{value:.4f}" for value in (row.min, row.max, row.mean, row.std)]
            table.add_row(f"{row.layer}/{row.weight}", "x".join(map(str, row.shape)), *figures, row.verdict)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
    verdicts = Counter(row.verdict for row in rows if row.verdict)
    print(f"weights: {len(rows)}" + "".join(f"; {verdict}: {count}" for verdict, count in sorted(verdicts.items())))
    if args.output:
        _save(_weight_figures(model, layers), args.output, "weights")


def _weight_figures(model: "MaskRCNN", layers: str) -> "Iterator[tuple[str, Figure]]":
    """Draw the histograms of the weights: yield (name, figure)."""
    from mrcnn.viz.layers import weights_figure

    yield "kernels", weights_figure(model, layers=layers)[0]


def _load(args: argparse.Namespace) -> "tuple[MaskRCNN, Sequence[str]]":
    """Load the network that the arguments specify, and the names of its classes."""
    from mrcnn.training.trained_run import find_trained_run

    trained = find_trained_run(args.weights, args.model_dir, config_file=args.config, classes_file=args.classes)
    model = load_model(trained.config.with_overrides(options.overrides(args)), args.model_dir, trained.weights)
    return model, trained.class_names


def _save(figures: "Iterable[tuple[str, Figure]]", output: str, part: str) -> None:
    """Write figures one by one to OUTPUT/<part>_<name>.png."""
    from pathlib import Path

    from matplotlib import pyplot as plt

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with working("drawing"):
        for name, figure in figures:
            written.append(folder / f"{part}_{name}.png")
            figure.savefig(written[-1], dpi=100)
            plt.close(figure)
    print(f"Written: {len(written)} figures, {folder / part}_*.png")
