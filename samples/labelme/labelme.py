"""Photographs annotated with labelme: train, evaluate, and pre-annotate new photographs with the network.

    python3 labelme.py train --dataset=/path/to/photographs --weights=coco
    python3 labelme.py evaluate --dataset=/path/to/photographs --weights=last
    python3 labelme.py predict --weights=last --pictures new_photographs/ --output=found

The data set is a folder of images with a JSON file next to each, or with such subfolders train/ and val/. Without val/, a
fifth of the images is held out. labelme opens what `predict` writes to found/labelme; correct it, and train on it too.
`--small` uses a network and images small enough to train on a CPU in minutes.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import mrcnn.datasets
from mrcnn import model as modellib
from mrcnn.cli.backend import compiling_first
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.catalog import subsets_of
from mrcnn.datasets.splits import split_images, subset_of
from mrcnn.tools.predict import find_pictures, predict_pictures
from mrcnn.training.run_start import load_start_weights, load_trained_weights, with_classes
from mrcnn.training.trained_run import load_trained_run

DEFAULT_LOGS_DIR = str(ROOT_DIR / "logs")
VAL_SHARE = 0.2


class LabelmeConfig(Config):
    """Training on a few dozen photographs."""

    NAME = "labelme"
    IMAGES_PER_GPU = 1
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 832
    IMAGE_RESIZE_MODE = "square"
    STEPS_PER_EPOCH = 100
    DETECTION_MIN_CONFIDENCE = 0.7


class SmallConfig(LabelmeConfig):
    """Small images and a small network, to train from random weights."""

    IMAGES_PER_GPU = 4
    IMAGE_MIN_DIM = 192
    IMAGE_MAX_DIM = 256
    BACKBONE = "compact"
    TRAIN_BN = None
    GT_BOXES_AS_ROIS = True
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_HEAD_CHANNELS = 64
    MASK_HEAD_CHANNELS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    RPN_ANCHOR_SCALES = (16, 32, 64, 96, 128)
    PRE_NMS_LIMIT = 300
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 32
    OPTIMIZER = "adam"


def open_parts(path):
    """Open the images to train on and those to validate on.

    Args:
        path: path of the folder.

    Returns:
        (train_set, val_set): prepared data sets with the same classes.
    """
    if {"train", "val"} <= set(subsets_of(path, "labelme")):
        return tuple(mrcnn.datasets.open(path, "labelme", part) for part in ("train", "val"))
    dataset = mrcnn.datasets.open(path, "labelme")
    ids = split_images(dataset, {"train": 1 - VAL_SHARE, "val": VAL_SHARE})  # the same split each time
    return subset_of(dataset, ids["train"]), subset_of(dataset, ids["val"])


def train(config, path, weights, logs, epochs):
    """Train the heads, then all layers for as many epochs again; from random weights, train all layers at once.

    Returns:
        The model.
    """
    train_set, val_set = open_parts(path)
    model = modellib.MaskRCNN(mode="training", config=with_classes(config, train_set), model_dir=logs)
    load_start_weights(model, weights)
    rate = config.LEARNING_RATE
    if weights != "none":
        model.train(train_set, val_set, learning_rate=rate, epochs=epochs, layers="heads")
        rate, epochs = rate / 10, 2 * epochs
    model.train(train_set, val_set, learning_rate=rate, epochs=epochs, layers="all")
    return model


def load_model(weights, logs, **settings):
    """Load a network with the configuration it was trained with, and some attributes changed.

    Returns:
        (model, class_names).
    """
    trained = load_trained_run(weights, logs)
    model = modellib.MaskRCNN(mode="inference", config=trained.config.with_overrides(settings), model_dir=logs)
    load_trained_weights(model, trained.weights)
    return model, trained.class_names


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Mask R-CNN on photographs annotated with labelme.")
    parser.add_argument("command", choices=("train", "evaluate", "predict"))
    parser.add_argument("--pictures", nargs="+", metavar="PATH", help="predict: pictures, or folders of pictures")
    parser.add_argument("--dataset", metavar="DIR", help="train, evaluate: folder with labelme's files")
    parser.add_argument("--weights", required=True, metavar="coco|imagenet|none|last|PATH")
    parser.add_argument("--logs", default=DEFAULT_LOGS_DIR, metavar="DIR", help="folder of the runs")
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="epochs per stage (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="train a small network on small images")
    parser.add_argument("--output", default="found", metavar="DIR", help="predict: output folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.command != "predict" and not args.dataset:
        parser.error(f"{args.command} needs --dataset")
    if args.command == "predict" and not args.pictures:
        parser.error("predict needs --pictures")

    if args.command == "train":
        train(SmallConfig() if args.small else LabelmeConfig(), args.dataset, args.weights, args.logs, args.epochs)
    elif args.command == "evaluate":
        model, _ = load_model(args.weights, args.logs, DETECTION_MIN_CONFIDENCE=0.0)
        print(model.evaluate(open_parts(args.dataset)[1], progress=compiling_first()).table())
    else:
        model, class_names = load_model(args.weights, args.logs)
        summary = predict_pictures(partial(model.detect, masks="rle"), find_pictures(args.pictures), args.output, class_names,
                                   batch_size=model.config.BATCH_SIZE, labelme="polygon", progress=compiling_first())
        print(f"{summary.instances} instances in {summary.pictures} pictures: {args.output}")


if __name__ == "__main__":
    sys.exit(run_script(main))
