"""Accuracy compared with torchvision, both trained from random weights: `python benchmarks/accuracy.py`.

Our network is the one that `mrcnn train shapes` starts with, or another --recipe with the same backbone and widths; the peer
is torchvision's `MaskRCNN` with a ResNet-18 and heads of the same widths. Both see the same synthetic shapes in the same order
and batches, for the same number of steps, with the same learning-rate schedule, Adam, and the same gradient clipping; both
train their batch normalisation. Both are then evaluated by `mrcnn.evaluation.coco` on the same held-out images, with
detections of every score. On a GPU both compute in bfloat16, otherwise in float32. Each side may try the same
--learning-rates; reported is the mean of the --seeds at its best rate by mask AP. Everything else is the default of each side;
`benchmarks/README.md` lists the differences.

Each side runs in its own process, because both need the whole machine. For a quick try:
`--steps 4 --batch-size 2 --images 8 --held-out 4`.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from typing import Any

import common
import numpy as np

from mrcnn import recipes
from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.shapes import SUBSET_SEEDS, ShapesDataset
from mrcnn.evaluation.coco import CocoResult
from mrcnn.loading.loader import Loader
from mrcnn.training.presets import FORMAT_SETTINGS, FROM_SCRATCH, SMALL_NETWORK
from mrcnn.training.settings import make_loader

SMALL = {**FROM_SCRATCH, **SMALL_NETWORK, **FORMAT_SETTINGS["shapes"], "DETECTION_MAX_INSTANCES": 20}
METRICS = {"mask AP": "mask_AP", "mask AP50": "mask_AP50", "box AP50": "box_AP50"}


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


def rate_at(step: int, peak: float, steps: int) -> float:
    """Return the learning rate of a step, counted from 0: the schedule "cosine" with a warm-up over the first tenth of them.

    It rises linearly from LEARNING_RATE_WARMUP_FACTOR times `peak`, then falls to a hundredth of `peak` along a half cosine.
    """
    warmup = steps // 10
    if step < warmup:
        factor = Config.LEARNING_RATE_WARMUP_FACTOR
        return peak * (factor + (1 - factor) * step / warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2)


def batch_image_ids(loader: Loader, step: int) -> np.ndarray:
    """Return the image ids of a training step in the order of our loader: int64 [batch size]."""
    pass_ix, position = divmod(step, len(loader))
    return loader.order(pass_ix)[position * loader.batch_size :][: loader.batch_size]


def settings(args: argparse.Namespace, recipe: str) -> dict[str, Any]:
    """Return the Config attributes of our network with a recipe."""
    own = {"IMAGE_MIN_DIM": args.size, "IMAGE_MAX_DIM": args.size, "IMAGES_PER_GPU": args.batch_size}
    return {**SMALL, **recipes.values(recipe), **own}


class Ours:
    """Our side of the comparison."""

    def __init__(self, args: argparse.Namespace, train_set: Dataset) -> None:
        from mrcnn.training.runs import describe_environment

        self.device = describe_environment()["devices"][0]
        self.train_set, self.steps, self.settings = train_set, args.steps, settings(args, args.recipe)
        if self.device.lower() != "cpu":
            self.settings["PRECISION"] = "mixed_bfloat16"

    def train(self, rate: float, seed: int) -> dict[str, float]:
        """Train from random weights; return "loss", the mean of the run, and "images/s"."""
        self.model, figures = common.short_run(self.train_set, self.steps, **self.settings, LEARNING_RATE=rate, SEED=seed)
        return figures

    def evaluate(self, held_out: Dataset) -> CocoResult:
        """Evaluate the network on a data set."""
        return self.model.evaluate(held_out)


def theirs(args: argparse.Namespace, train_set: Dataset) -> Any:
    """Return torchvision's side, which has the methods of `Ours`."""
    from torchvision_side import Theirs

    shared = {**settings(args, "classic"), "NUM_CLASSES": train_set.num_classes}
    loaders = {seed: make_loader(train_set, common.config(**shared, SEED=seed)) for seed in args.seeds}
    return Theirs(train_set, common.config(**shared), lambda step, seed: batch_image_ids(loaders[seed], step),
                  lambda step, peak: rate_at(step, peak, args.steps), args.steps)


def measure(side: Any, args: argparse.Namespace, held_out: Dataset) -> list[dict[str, float]]:
    """Train and evaluate one side with each learning rate and seed.

    Returns:
        For each run: "rate", "seed", "loss", "images/s" of training, "seconds", and METRICS, which are 0 if training diverged.
    """
    runs = []
    for peak in args.learning_rates:
        for seed in args.seeds:
            start = time.perf_counter()
            figures = side.train(peak, seed)
            seconds = time.perf_counter() - start
            diverged = not math.isfinite(figures["loss"])
            metrics = dict.fromkeys(METRICS.values(), 0.0) if diverged else side.evaluate(held_out).metrics
            runs.append({"rate": peak, "seed": seed, **figures, "seconds": seconds,
                         **{name: metrics[key] for name, key in METRICS.items()}})  # fmt: skip
    return runs


def run_side(args: argparse.Namespace) -> None:
    """Measure the side that --side names, and print its device and its runs as a line of JSON."""
    train_set, held_out = CachedShapes(args.images, args.size, "train"), CachedShapes(args.held_out, args.size, "val")
    side = (Ours if args.side == "ours" else theirs)(args, train_set)
    print(json.dumps({"device": side.device, "runs": measure(side, args, held_out)}))


def best(name: str) -> dict[str, float]:
    """Run one side in its own process, print its runs, and return the means of its best rate; {} if the side failed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--side", name, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name} exited with status {done.returncode}; see its output above", flush=True)
        return {}
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{name} on {result['device']}, {time.perf_counter() - start:.0f} s in total:")
    for run in result["runs"]:
        print("  " + ", ".join(f"{key} {value:.4g}" for key, value in run.items()), flush=True)
    return best_rate(result["runs"])


def best_rate(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over the seeds of METRICS and "images/s", at the rate with the best mean mask AP."""
    by_rate = [[run for run in runs if run["rate"] == rate] for rate in dict.fromkeys(run["rate"] for run in runs)]
    means = [{key: statistics.fmean(run[key] for run in of_rate) for key in (*METRICS, "images/s")} for of_rate in by_rate]
    return max(means, key=lambda mean: mean["mask AP"])


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the square images in pixels, a multiple of 64")
    parser.add_argument("--steps", type=int, default=600, help="training steps of each run")
    parser.add_argument("--batch-size", type=int, default=8, help="images per step")
    parser.add_argument("--images", type=int, default=2400, help="training images, a multiple of the batch size")
    parser.add_argument("--held-out", type=int, default=100, help="images to evaluate on")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.002], help="peak rates that each side tries")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the weights and of the order of images")
    parser.add_argument("--recipe", choices=recipes.names(), default="modern", help="recipe of our side (default: %(default)s)")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.steps < 2:
        parser.error(f"--steps {args.steps}: at least 2 are needed, because the first half of a run is not timed")
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
