"""Demo in minutes on two CPU cores: train a small Mask R-CNN from scratch, evaluate it, and draw its detections.

    python3 demo.py [--output DIR]

Nothing is downloaded: the images are drawn on demand. The last line printed is the result.
"""

import argparse
import sys
from pathlib import Path

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import cv2
import keras
import numpy as np

from mrcnn.cli.backend import compiling_first
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.model import MaskRCNN
from mrcnn.viz.draw import draw_detections

TRAIN_IMAGES, TRAIN_SEED = 2400, 0
TEST_IMAGES, TEST_SEED = 100, 1_000_000
EPOCHS = 2
PICTURES = 8


class DemoConfig(Config):
    """A network for 128-pixel images, small enough for a CPU, trained from scratch including its batch norm."""

    NAME = "demo"
    NUM_CLASSES = 1 + 3  # background, square, circle, triangle
    IMAGES_PER_GPU = 8
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    BACKBONE = "compact"
    TRAIN_BN = None
    GT_BOXES_AS_ROIS = True
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_HEAD_CHANNELS = 64
    MASK_HEAD_CHANNELS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    PRE_NMS_LIMIT = 300
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 32
    DETECTION_MAX_INSTANCES = 20
    OPTIMIZER = "adam"


def load_shapes(count, seed):
    """Return a prepared ShapesDataset of `count` images."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, DemoConfig.IMAGE_MAX_DIM, DemoConfig.IMAGE_MAX_DIM, seed=seed)
    dataset.prepare()
    return dataset


def draw(model, dataset, folder):
    """Write pictures of the detections on the first images of a data set, and a sheet with all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [dataset.load_image(i) for i in dataset.image_ids[:PICTURES]]
    pictures = [draw_detections(image, result, dataset.class_names, min_score=0.5)
                for image, result in zip(images, model.detect(images))]
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i:02}.png"), picture[:, :, ::-1])
    rows = [np.hstack(pictures[: PICTURES // 2]), np.hstack(pictures[PICTURES // 2 :])]
    cv2.imwrite(str(folder / "sheet.png"), np.vstack(rows)[:, :, ::-1])
    print(f"Pictures: {folder}/00.png to {len(images) - 1:02}.png, and sheet.png with all of them")


def main(argv=None):
    """Train, evaluate, draw, and print the result."""
    parser = argparse.ArgumentParser(description="Train a small Mask R-CNN on synthetic shapes, in minutes on a CPU.")
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "logs" / "demo", metavar="DIR",
                        help="folder of the run and its pictures (default: %(default)s)")
    args = parser.parse_args(argv)

    train_set, test_set = load_shapes(TRAIN_IMAGES, TRAIN_SEED), load_shapes(TEST_IMAGES, TEST_SEED)
    config = DemoConfig()
    model = MaskRCNN("training", config, str(args.output))
    steps = EPOCHS * TRAIN_IMAGES // config.BATCH_SIZE
    rate = keras.optimizers.schedules.CosineDecay(1e-4, steps, warmup_target=2e-3, warmup_steps=50, alpha=0.01)
    model.train(train_set, None, learning_rate=rate, epochs=EPOCHS, layers="all")

    result = model.evaluate(test_set, progress=compiling_first())
    result.save(args.output / "evaluation.json")
    print(result.table())
    draw(model, test_set, args.output / "pictures")
    print(f"mask AP50: {result.metrics['mask_AP50']:.3f}  box AP50: {result.metrics['box_AP50']:.3f}")


if __name__ == "__main__":
    sys.exit(run_script(main))
