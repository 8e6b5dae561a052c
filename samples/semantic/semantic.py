"""Semantic segmentation: a small U-Net on the classes of any data set, and its mean IoU before and after.

    python3 semantic.py --dataset=/path/to/coco
    python3 semantic.py --dataset=/path/to/coco --classes person bus --size 64 96 --figure batch.png

The data can be in any format that `mrcnn` reads; its subsets train and val are used if it has them. The network is an
ordinary Keras model: replace `build_unet` with your own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import keras
import numpy as np
from jaxtyping import Int64
from keras import layers, ops

from mrcnn.base.errors import DataError
from mrcnn.cli.main import run_script
from mrcnn.semantic.evaluation import class_ious, confusion_matrix, mean_iou
from mrcnn.semantic.figures import batch_figure
from mrcnn.semantic.training import SemanticGenerator

CLASSES = ("laptop", "tv", "cell phone")
LEVELS = 4
BALANCE = 0.75
AUGMENTATION = {
    "rotation_range": 10, "width_shift_range": 0.1, "height_shift_range": 0.1, "shear_range": 5, "zoom_range": (0.8, 1.1),
    "horizontal_flip": True, "brightness_range": (0.8, 1.2), "fill_mode": "constant",
}  # fmt: skip


def build_unet(size: Sequence[int], num_classes: int, filters: int = 16) -> keras.Model:
    """Build a U-Net of LEVELS levels, each half the size of the one above, with skip connections.

    Args:
        size: (height, width) in pixels, multiples of 2 ** (LEVELS - 1).
        num_classes: with background.
        filters: of the first level, a multiple of 8; each further level has twice as many.

    Returns:
        A model from images [B, h, w, 3] with values 0..1 to probabilities [B, h, w, num_classes].
    """
    step = 2 ** (LEVELS - 1)
    if size[0] % step or size[1] % step:
        raise ValueError(f"size is {size[0]} x {size[1]}: both sides must be multiples of {step}")
    image = keras.Input((*size, 3), name="image")
    x, skips = image, []
    for level in range(LEVELS):
        x = _convolve(x if level == 0 else layers.MaxPooling2D()(x), filters * 2**level)
        skips.append(x)
    for level in reversed(range(LEVELS - 1)):
        x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(x), skips[level]])
        x = _convolve(x, filters * 2**level)
    return keras.Model(image, layers.Conv2D(num_classes, 1, activation="softmax", name="classes")(x), name="unet")


def _convolve(x: Any, filters: int) -> Any:
    """Two convolutions, with group normalisation because the batches are small."""
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.GroupNormalization(groups=8)(x))
    return x


def balanced_cross_entropy(masks: Any, probs: Any) -> Any:
    """Compute the cross-entropy with larger weights for rare classes; without them a small network predicts only background.

    The weight of a class is (its share of the pixels of the batch) ** -BALANCE, scaled so that the mean over all pixels is 1.

    Args:
        masks: integers [B, h, w, 1].
        probs: float [B, h, w, K].

    Returns:
        A scalar.
    """
    truth = ops.one_hot(ops.cast(masks[..., 0], "int32"), probs.shape[-1], dtype=probs.dtype)  # [B, h, w, K]
    share = ops.mean(truth, axis=(0, 1, 2))  # [K]
    weight = ops.power(share + 1e-3, -BALANCE)  # limits the weight of a class that is almost absent
    weight = weight / ops.sum(weight * share)
    return -ops.mean(ops.sum(truth * weight * ops.log(probs + 1e-7), axis=-1))


def measure(model: keras.Model, generator: SemanticGenerator) -> Int64[np.ndarray, "K K"]:
    """Compute the confusion matrix over one epoch of a generator."""
    num_classes = len(generator.class_names)
    total = np.zeros((num_classes, num_classes), np.int64)
    for images, masks in generator:
        total += confusion_matrix(masks[..., 0], np.argmax(model.predict_on_batch(images), axis=-1), num_classes)
    return total


def table(class_names: Sequence[str], before: Int64[np.ndarray, "K K"], after: Int64[np.ndarray, "K K"]) -> str:
    """Format the IoU of each class and its mean: before, after, and for a prediction of only background.

    A dash marks a class that is in neither the truth nor the prediction.

    Args:
        before, after: confusion matrices.
    """
    background = np.zeros_like(before)
    background[:, 0] = before.sum(axis=1)
    matrices = (before, after, background)
    rows = [*zip(class_names, *map(class_ious, matrices), strict=True), ("mean", *map(mean_iou, matrices))]
    lines = [f"{'IoU':<16}{'before':>8}{'after':>8}{'(background)':>14}"]
    for name, *figures in rows:
        first, second, third = ("-" if np.isnan(v) else f"{v:.3f}" for v in figures)
        lines.append(f"{name:<16}{first:>8}{second:>8}{third:>14}")
    return "\n".join(lines)


def open_parts(args: argparse.Namespace) -> dict[str, SemanticGenerator]:
    """Open the generator to train on ("training") and those to measure on."""
    common = {"input_size": tuple(args.size), "batch_size": args.batch_size, "mask_type": "normal", "seed": args.seed,
              "format": args.format, "workers": 2}  # fmt: skip
    train = SemanticGenerator(args.dataset, args.classes, args.train, augmentation=AUGMENTATION, **common)
    common.pop("format")
    parts = {
        "training": train,
        "training images": SemanticGenerator(train.dataset, args.classes, image_ids=train.batches.image_ids, shuffle=False,
                                             **common),
    }  # fmt: skip
    if args.val:
        try:
            parts["validation images"] = SemanticGenerator(args.dataset, args.classes, args.val, shuffle=False,
                                                           format=args.format, **common)  # fmt: skip
        except DataError as error:
            print(f"No validation: {error}")
    return parts


def run(args: argparse.Namespace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Train, and print the IoUs.

    Returns:
        The confusion matrices before and after training, for "training images" and "validation images".
    """
    keras.utils.set_random_seed(args.seed)
    parts = open_parts(args)
    train = parts.pop("training")
    names = train.class_names
    model = build_unet(args.size, len(names), args.filters)
    # XLA on TensorFlow compiles slowly, and again for a last batch of another size
    compiled = {"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}
    model.compile(keras.optimizers.Adam(args.learning_rate), balanced_cross_entropy, **compiled)
    before = {part: measure(model, generator) for part, generator in parts.items()}
    model.fit(train, epochs=args.epochs, verbose=2)
    result = {part: (before[part], measure(model, generator)) for part, generator in parts.items()}
    for part, matrices in result.items():
        print(f"\n{part}: {len(parts[part].batches.image_ids)}\n{table(names, *matrices)}")
    if args.figure:
        images, masks = list(parts.values())[-1][0]
        figure = batch_figure(images, masks, names, np.argmax(model.predict_on_batch(images), axis=-1))
        figure.savefig(args.figure, dpi=120)
        print("\nSaved", args.figure)
    return result


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Train a small U-Net on classes of a data set.")
    parser.add_argument("--dataset", required=True, metavar="PATH", help="folder or file of the data")
    parser.add_argument("--format", help="of the data (default: recognised)")
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--train", default="train", metavar="SUBSET", help="subset to train on (default: %(default)s)")
    parser.add_argument("--val", default="val", metavar="SUBSET", help='subset to validate on, "" for none (default: val)')
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=[96, 128], metavar=("HEIGHT", "WIDTH"), help="(default: 96 128)")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--filters", type=int, default=16, metavar="N", help="of the first level, a multiple of 8")
    parser.add_argument("--learning-rate", type=float, default=0.003, metavar="RATE", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--figure", metavar="PNG", help="write a picture of a batch with its masks and predictions")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run the command line; see `run`."""
    return run(parse(argv))


if __name__ == "__main__":
    sys.exit(run_script(main))
