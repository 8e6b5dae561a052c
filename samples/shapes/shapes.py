"""Shapes: squares, circles and triangles, drawn on demand. Needs no data and trains quickly.

    python3 shapes.py train --model=coco
    python3 shapes.py train --model=none
    python3 shapes.py evaluate --model=last --limit=100

The network is a ResNet-101, as in the classic sample. `evaluate` builds the network that the weights were trained with, so it
also takes those of `mrcnn train shapes` and other runs.
"""

import argparse
import sys
from pathlib import Path

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

from mrcnn import model as modellib
from mrcnn.cli.backend import compiling_first
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.training.presets import FROM_SCRATCH
from mrcnn.training.run_start import WORDS, load_start_weights
from mrcnn.training.runs import find_checkpoint, load_config

DEFAULT_LOGS_DIR = str(ROOT_DIR / "logs")
TRAIN_IMAGES, TRAIN_SEED = 500, 0
VAL_IMAGES, VAL_SEED = 50, 1_000_000


class ShapesConfig(Config):
    """Small images with few, simple objects: small anchors and few ROIs."""

    NAME = "shapes"
    NUM_CLASSES = 1 + 3  # background, square, circle, triangle
    GPU_COUNT = 1
    IMAGES_PER_GPU = 8
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 32
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = 5


class InferenceConfig(ShapesConfig):
    """Evaluation: detections of every score, which average precision needs."""

    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


def load_shapes(count, seed, config):
    """Return a prepared ShapesDataset of `count` images of the configuration's size."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, config.IMAGE_SHAPE[0], config.IMAGE_SHAPE[1], seed=seed)
    dataset.prepare()
    return dataset


def train(model, epochs=2):
    """Train the heads for one epoch, then all layers up to `epochs` at a tenth of the learning rate."""
    config = model.config
    sets = load_shapes(TRAIN_IMAGES, TRAIN_SEED, config), load_shapes(VAL_IMAGES, VAL_SEED, config)
    for layers, until, rate in (("heads", 1, config.LEARNING_RATE), ("all", epochs, config.LEARNING_RATE / 10)):
        if model.epoch < until:  # a resumed run may have completed a stage
            model.train(*sets, learning_rate=rate, epochs=until, layers=layers)


def evaluate(model, limit=VAL_IMAGES):
    """Print and return the AP of boxes and masks on `limit` images that were not trained on."""
    result = model.evaluate(load_shapes(limit, VAL_SEED, model.config), progress=compiling_first())
    print(result.table())
    return result


def inference_config(weights, logs):
    """Return the configuration to evaluate weights with: that of their run, if it was saved.

    Args:
        weights: str. A word such as "coco" or "none", "last", or the path of a checkpoint.
        logs: path. The folder of the runs.
    """
    saved = None if weights in WORDS else load_config(find_checkpoint(weights, logs, ShapesConfig.NAME))
    if saved is None:
        return InferenceConfig()
    return saved.with_overrides({"IMAGES_PER_GPU": 1, "DETECTION_MIN_CONFIDENCE": 0})


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train Mask R-CNN on synthetic shapes.")
    parser.add_argument("command", choices=("train", "evaluate"))
    parser.add_argument("--model", required=True, metavar="coco|last|imagenet|none|PATH", help="initial weights")
    parser.add_argument("--logs", default=DEFAULT_LOGS_DIR, metavar="DIR", help="folder of the runs")
    parser.add_argument("--limit", type=int, default=VAL_IMAGES, metavar="N", help="images to evaluate on")
    parser.add_argument("--epochs", type=int, default=2, metavar="N", help="epochs to train (default: %(default)s)")
    args = parser.parse_args(argv)

    training = args.command == "train"
    config = ShapesConfig() if training else inference_config(args.model, args.logs)
    if args.model == "none":
        config = config.with_overrides(FROM_SCRATCH)
    config.display()
    model = modellib.MaskRCNN(mode="training" if training else "inference", config=config, model_dir=args.logs)
    load_start_weights(model, args.model)
    if training:
        train(model, args.epochs)
    else:
        evaluate(model, args.limit)


if __name__ == "__main__":
    sys.exit(run_script(main))
