"""Accuracy compared with torchvision, both trained from random weights: `python benchmarks/accuracy.py`.

Our network is the one that `mrcnn train shapes` starts with; the peer is torchvision's `MaskRCNN` with a ResNet-18 and heads of
the same widths. Both see the same synthetic shapes in the same order and batches, for the same number of steps, with the same
learning-rate schedule, Adam, and the same gradient clipping; both train their batch normalisation. Both are then evaluated by
`mrcnn.evaluation.coco` on the same held-out images, with detections of every score. On a GPU both compute in bfloat16 (by a
Keras dtype policy, and by PyTorch's autocast), otherwise in float32. Each side may try the same --learning-rates, and its best
result by mask AP is reported. Everything else is the default of each side; `benchmarks/README.md` lists the differences.

Each side runs in its own process, because both need the whole machine. For a quick try:
`--steps 4 --batch-size 2 --images 8 --held-out 4`.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time
from typing import Any

import common
import numpy as np

from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.shapes import SUBSET_SEEDS, ShapesDataset
from mrcnn.evaluation.coco import CocoResult
from mrcnn.loading.loader import Loader
from mrcnn.training.presets import FORMAT_SETTINGS, FROM_SCRATCH, SMALL_NETWORK
from mrcnn.training.settings import make_loader

SMALL = {**FROM_SCRATCH, **SMALL_NETWORK, **FORMAT_SETTINGS["shapes"], "DETECTION_MAX_INSTANCES": 20}
METRICS = {"mask AP": "mask_AP", "mask AP50": "mask_AP50", "box AP50": "box_AP50"}
# The learning rate changes this often in a run. The first part includes compilation and does not count in images/s.
PARTS = 50


class CachedShapes(ShapesDataset):
    """Shapes that are drawn once and kept in memory, so that no step waits for drawing."""

    def __init__(self, count: int, size: int, subset: str) -> None:
        super().__init__()
        self.load_shapes(count, size, size, seed=SUBSET_SEEDS[subset])
        self.prepare()
        self._samples = [(super(CachedShapes, self).load_image(i), *super(CachedShapes, self).load_mask(i))
                         for i in self.image_ids]

    def load_image(self, image_id: int) -> np.ndarray:
        """Return a kept image: uint8 [H, W, 3]."""
        return self._samples[image_id][0]

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the kept masks of an image, bool [H, W, N], and their class ids, int32 [N]."""
        return self._samples[image_id][1:]


def schedule(peak: float, steps: int) -> list[tuple[int, float]]:
    """Return the learning rates of a run as a list of (number of steps, rate).

    The rate rises linearly over the first tenth of the steps, and then falls to a hundredth of `peak` along a half cosine.
    """
    bounds = np.linspace(0, steps, min(PARTS, steps) + 1).astype(int)
    done = (bounds[:-1] + bounds[1:]) / 2 / steps
    shape = np.where(done < 0.1, done / 0.1, 0.01 + 0.99 * (1 + np.cos(np.pi * (done - 0.1) / 0.9)) / 2)
    return [(int(count), float(peak * factor)) for count, factor in zip(np.diff(bounds), shape, strict=True)]


def batch_image_ids(loader: Loader, step: int) -> np.ndarray:
    """Return the image ids of a training step in the order of our loader: int64 [batch size]."""
    pass_ix, position = divmod(step, len(loader))
    return loader.order(pass_ix)[position * loader.batch_size :][: loader.batch_size]


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the Config attributes of our network."""
    return {**SMALL, "IMAGE_MIN_DIM": args.size, "IMAGE_MAX_DIM": args.size, "IMAGES_PER_GPU": args.batch_size}


class Ours:
    """Our side of the comparison."""

    def __init__(self, args: argparse.Namespace, train_set: Dataset) -> None:
        import keras

        from mrcnn.training.runs import describe_environment

        self.device = describe_environment()["devices"][0]
        if self.device.lower() != "cpu":
            keras.config.set_dtype_policy("mixed_bfloat16")
        self.model, self.loader = common.trainer(train_set, **settings(args))
        network = self.model.keras_model
        self.initial_weights = [keras.ops.convert_to_numpy(variable) for variable in network.variables]
        self.keras_model, self.optimizer, self.batches = network, network.optimizer, None

    def restart(self) -> None:
        """Restore the initial random weights without compiling again."""
        from mrcnn.training.fitting import stream

        for variable, value in zip(self.keras_model.variables, self.initial_weights, strict=True):
            variable.assign(value)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        if self.batches is not None:
            self.batches.close()
        self.batches = stream(self.loader.__getitem__, workers=max(2, (os.cpu_count() or 2) // 2))

    def train(self, steps: int, rate: float) -> float:
        """Train for some steps, wait for the device, and return their mean loss."""
        self.optimizer.learning_rate = rate
        history = self.keras_model.fit((next(self.batches) for _ in range(steps)), steps_per_epoch=steps, shuffle=False,
                                       verbose=0)
        return history.history["loss"][-1]

    def evaluate(self, held_out: Dataset) -> CocoResult:
        """Evaluate the network on a data set."""
        return self.model.evaluate(held_out)


def theirs(args: argparse.Namespace, train_set: Dataset) -> Any:
    """Return torchvision's side, which has the methods of `Ours`."""
    from torchvision_side import Theirs

    config = common.config(NUM_CLASSES=train_set.num_classes, **settings(args))
    loader = make_loader(train_set, config)
    return Theirs(train_set, config, lambda step: batch_image_ids(loader, step))


def measure(side: Any, args: argparse.Namespace, held_out: Dataset) -> list[dict[str, float]]:
    """Train and evaluate one side with each learning rate.

    Returns:
        For each rate: "rate", "loss", "first part" (seconds), "images/s" of training, and METRICS, which are 0 if training
        diverged.
    """
    runs = []
    for peak in args.learning_rates:
        side.restart()
        steps, seconds, loss = [], [], math.nan
        for count, rate in schedule(peak, args.steps):
            start = time.perf_counter()
            loss = side.train(count, rate)
            steps.append(count)
            seconds.append(time.perf_counter() - start)
            if not math.isfinite(loss):
                break
        metrics = side.evaluate(held_out).metrics if math.isfinite(loss) else dict.fromkeys(METRICS.values(), 0.0)
        runs.append({"rate": peak, "loss": loss, "first part": seconds[0],
                     "images/s": args.batch_size * sum(steps[1:]) / max(sum(seconds[1:]), 1e-9),
                     **{name: metrics[key] for name, key in METRICS.items()}})  # fmt: skip
    return runs


def run_side(args: argparse.Namespace) -> None:
    """Measure the side that --side names, and print its device and its runs as a line of JSON."""
    train_set, held_out = CachedShapes(args.images, args.size, "train"), CachedShapes(args.held_out, args.size, "val")
    side = (Ours if args.side == "ours" else theirs)(args, train_set)
    print(json.dumps({"device": side.device, "runs": measure(side, args, held_out)}))


def best(name: str) -> dict[str, float]:
    """Run one side in its own process, print its runs, and return the one with the best mask AP; {} if the side failed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--side", name, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name} exited with status {done.returncode}; see its output above", flush=True)
        return {}
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{name} on {result['device']}, {time.perf_counter() - start:.0f} s in total:")
    for run in result["runs"]:
        print("  " + ", ".join(f"{key} {value:.4g}" for key, value in run.items()), flush=True)
    return max(result["runs"], key=lambda run: run["mask AP"])


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the square images in pixels, a multiple of 64")
    parser.add_argument("--steps", type=int, default=600, help="training steps of each run")
    parser.add_argument("--batch-size", type=int, default=8, help="images per step")
    parser.add_argument("--images", type=int, default=2400, help="training images, a multiple of the batch size")
    parser.add_argument("--held-out", type=int, default=100, help="images to evaluate on")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.002], help="peak rates that each side tries")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.steps < 2:
        parser.error(f"--steps {args.steps}: at least 2 are needed, because the first part of a run is not timed")
    if args.images < 1 or args.images % args.batch_size:
        parser.error(f"--images {args.images} must be a positive multiple of --batch-size {args.batch_size}")
    return args


def main() -> None:
    """Print the runs of each side, and a table of the best."""
    args = parse()
    if args.side:
        run_side(args)
        return
    ours, peer = best("ours"), best("theirs")
    if not ours:
        sys.exit(1)
    where = f" after {args.steps} steps of {args.batch_size} at {args.size}"
    for name in METRICS:
        common.report(name + where, ours[name], peer.get(name), unit="")
    common.report("training, in the same runs", ours["images/s"], peer.get("images/s"), unit="images/s")


if __name__ == "__main__":
    main()
