"""Accuracy beside torchvision, small networks of both trained from random weights: `python benchmarks/accuracy.py`.

Ours is the network that `mrcnn train shapes` starts with; theirs is torchvision's `MaskRCNN` over a ResNet-18 with heads of the
same widths. Both see the same drawn images of shapes in the same order and batches, for as many steps, with the same rise and
fall of the learning rate, Adam, and the same bound on the norm of the gradient; both train their batch normalisation. Both are
then evaluated by `mrcnn.evaluation.coco` on the same held-out images, detections of every score counted. On a graphics card
both compute in bfloat16 (a policy of Keras, autocast of PyTorch), elsewhere in float32. Each side may try the same
--learning-rates, and its best, by mask AP, is reported. All else is each side's own default; `benchmarks/README.md` says what
that comes to.

Each side runs in a process of its own, since both want the whole machine. `--steps 4 --batch-size 2 --images 8 --held-out 4`
tries it out.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time

import common
import numpy as np

from mrcnn.datasets.formats.shapes import SUBSET_SEEDS, ShapesDataset
from mrcnn.training.run_start import FORMAT_FROM_SCRATCH, FROM_SCRATCH, PRESETS
from mrcnn.training.settings import make_loader

SMALL = {**PRESETS["shapes"], **FROM_SCRATCH, **FORMAT_FROM_SCRATCH["shapes"], "DETECTION_MAX_INSTANCES": 20}
FIGURES = {"mask AP": "mask_AP", "mask AP50": "mask_AP50", "box AP50": "box_AP50"}
# The rate of a run changes this often; the first part warms up and compiles, and is left out of images/s.
PARTS = 50


class DrawnOnce(ShapesDataset):
    """Shapes that are kept once they are drawn, so that no step waits for a drawing."""

    def __init__(self, count, size, subset):
        super().__init__()
        self.load_shapes(count, size, size, seed=SUBSET_SEEDS[subset])
        self.prepare()
        self._drawn = [(super(DrawnOnce, self).load_image(i), *super(DrawnOnce, self).load_mask(i)) for i in self.image_ids]

    def load_image(self, image_id):
        """Return a kept image. Args: image_id: int. Returns: uint8 [H, W, 3]."""
        return self._drawn[image_id][0]

    def load_mask(self, image_id):
        """Return an image's kept masks. Args: image_id: int. Returns: bool [H, W, N], int32 [N] class ids."""
        return self._drawn[image_id][1:]


def schedule(peak, steps):
    """Return the learning rates of a run: a list of (number of steps, rate).

    They rise in a straight line over the first tenth, and fall along half a cosine to a hundredth of `peak`.
    """
    bounds = np.linspace(0, steps, min(PARTS, steps) + 1).astype(int)
    done = (bounds[:-1] + bounds[1:]) / 2 / steps
    shape = np.where(done < 0.1, done / 0.1, 0.01 + 0.99 * (1 + np.cos(np.pi * (done - 0.1) / 0.9)) / 2)
    return [(int(count), float(peak * factor)) for count, factor in zip(np.diff(bounds), shape, strict=True)]


def image_ids(loader, step):
    """Return the images of a training step in the order of our loader: int64 [batch size]."""
    pass_ix, position = divmod(step, len(loader))
    return loader.order(pass_ix)[position * loader.batch_size :][: loader.batch_size]


def settings(args):
    """Return what ours is configured by: dict."""
    return {**SMALL, "IMAGE_MIN_DIM": args.size, "IMAGE_MAX_DIM": args.size, "IMAGES_PER_GPU": args.batch_size}


class Ours:
    """Our side. `figures` says what there is to know of it beside accuracy."""

    def __init__(self, args, train_set):
        import keras

        from mrcnn.training.runs import describe_environment

        self.device = describe_environment()["devices"][0]
        if self.device.lower() != "cpu":
            keras.config.set_dtype_policy("mixed_bfloat16")
        self.model, self.loader = common.trainer(train_set, **settings(args))
        network = self.model.keras_model
        self.start = [keras.ops.convert_to_numpy(variable) for variable in network.variables]
        self.keras_model, self.optimizer, self.feed = network, network.optimizer, None

    def restart(self):
        """Go back to the random weights, without compiling anew."""
        from mrcnn.training.fitting import stream

        for variable, value in zip(self.keras_model.variables, self.start, strict=True):
            variable.assign(value)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        if self.feed is not None:
            self.feed.close()
        self.feed = stream(self.loader.__getitem__, workers=max(2, (os.cpu_count() or 2) // 2))

    def train(self, steps, rate):
        """Train some steps. Returns: float, their mean loss; the card is done with them."""
        self.optimizer.learning_rate = rate
        history = self.keras_model.fit((next(self.feed) for _ in range(steps)), steps_per_epoch=steps, shuffle=False, verbose=0)
        return history.history["loss"][-1]

    def evaluate(self, held_out):
        """Return the CocoResult of a data set."""
        return self.model.evaluate(held_out)


def theirs(args, train_set):
    """Return torchvision's side, of the methods of Ours."""
    from torchvision_side import Theirs

    config = common.config(NUM_CLASSES=train_set.num_classes, **settings(args))
    loader = make_loader(train_set, config)
    return Theirs(train_set, config, lambda step: image_ids(loader, step))


def measure(side, args, held_out):
    """Train and evaluate one side at each learning rate.

    Returns:
        list of dicts, one a rate: "rate", "images/s" of training, and those of FIGURES; 0 where training diverged.
    """
    runs = []
    for peak in args.learning_rates:
        side.restart()
        steps, seconds, loss = [], [], math.nan
        for count, rate in schedule(peak, args.steps):
            began = time.perf_counter()
            loss = side.train(count, rate)
            steps.append(count)
            seconds.append(time.perf_counter() - began)
            if not math.isfinite(loss):
                break
        found = side.evaluate(held_out).metrics if math.isfinite(loss) else dict.fromkeys(FIGURES.values(), 0.0)
        runs.append({"rate": peak, "loss": loss, "first part": seconds[0],
                     "images/s": args.batch_size * sum(steps[1:]) / max(sum(seconds[1:]), 1e-9),
                     **{name: found[metric] for name, metric in FIGURES.items()}})  # fmt: skip
    return runs


def run_side(args):
    """Measure the side that --side names, and print its device and its runs as a line of JSON."""
    train_set, held_out = DrawnOnce(args.images, args.size, "train"), DrawnOnce(args.held_out, args.size, "val")
    side = (Ours if args.side == "ours" else theirs)(args, train_set)
    print(json.dumps({"device": side.device, "runs": measure(side, args, held_out)}))


def best(name):
    """Run one side in a process of its own, and print its runs. Returns: dict, the run of the best mask AP."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--side", name, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name} ended with status {done.returncode}; what it said is above", flush=True)
        return {}
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name} on {found['device']}, {time.perf_counter() - began:.0f} s in all:")
    for run in found["runs"]:
        print("  " + ", ".join(f"{key} {value:.4g}" for key, value in run.items()), flush=True)
    return max(found["runs"], key=lambda run: run["mask AP"])


def parse(argv=None):
    """Return the arguments, held against each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the square images, in pixels, a multiple of 64")
    parser.add_argument("--steps", type=int, default=600, help="training steps of each run")
    parser.add_argument("--batch-size", type=int, default=8, help="images of a step")
    parser.add_argument("--images", type=int, default=2400, help="images to train on, a multiple of the batch size")
    parser.add_argument("--held-out", type=int, default=100, help="images to evaluate on")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.002], help="peaks that each side tries")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.steps < 2:
        parser.error(f"--steps {args.steps}: the first part of a run is not timed, give at least 2")
    if args.images < 1 or args.images % args.batch_size:
        parser.error(f"--images {args.images} is no multiple of --batch-size {args.batch_size}")
    return args


def main():
    """Print what each side's runs gave, and the table of their best."""
    args = parse()
    if args.side:
        run_side(args)
        return
    ours, peer = best("ours"), best("theirs")
    if not ours:
        sys.exit(1)
    where = f" after {args.steps} steps of {args.batch_size} at {args.size}"
    for name in FIGURES:
        common.report(name + where, ours[name], peer.get(name), unit="")
    common.report("training, in the same runs", ours["images/s"], peer.get("images/s"), unit="images/s")


if __name__ == "__main__":
    main()
