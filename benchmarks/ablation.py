"""What each setting of the recipe `modern` contributes: `python benchmarks/ablation.py`.

A small network is trained with the recipe, and again with each of its settings alone at its classic value, with several seeds.
Without --photographs, the network that `mrcnn train shapes` starts with learns synthetic shapes from random weights. With it,
the network that `mrcnn train` builds on EfficientNet-Lite0 learns a folder of photographs from ImageNet weights, or with
--start none from random ones; --held-out names those to evaluate on. The weights of the last step are evaluated.

Each run is a process of its own, and its result a line of --results, from which a second call goes on. `--settings none` trains
with the recipe alone.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import common
from accuracy import SMALL, CachedShapes

import mrcnn.datasets
from mrcnn import recipes
from mrcnn.cli import options
from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.splits import subset_of
from mrcnn.training.presets import FROM_SCRATCH, PRETRAINED_NETWORK
from mrcnn.weights.imagenet import imagenet_settings

MODERN = recipes.values("modern")
WHOLE = "modern"
# Those with another value than the classic one; the minimum confidence is left out, because AP takes detections of every score.
SETTINGS = [name for name in MODERN if MODERN[name] != getattr(Config, name) and name != "DETECTION_MIN_CONFIDENCE"]
# Settings that only detection reads: they are evaluated on the weights of the whole recipe.
OF_DETECTION = ("DETECTION_PER_CLASS", "DETECTION_NMS_THRESHOLD", "MASK_PASTE")
SHAPES = {**SMALL, **MODERN, "LEARNING_RATE": 0.002}
# As `mrcnn train` builds on EfficientNet-Lite0, but with the length, the anchors and the augmentation of torchvision's side.
PHOTOGRAPHS = {**PRETRAINED_NETWORK, "IMAGES_PER_GPU": 2, "RPN_ANCHOR_SCALES": (16, 32, 64, 128, 256), "OPTIMIZER": "adamw",
               "WEIGHT_DECAY_KIND": "decoupled", "LEARNING_RATE": 0.0005, "TRAIN_AUGMENT": "flip"}  # fmt: skip


def data(args: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Return the training images and those to evaluate on."""
    if not args.photographs:
        return CachedShapes(2400, args.size, "train"), CachedShapes(100, args.size, "val")
    photographs = mrcnn.datasets.open(args.photographs)
    held_out = [i for i in photographs.image_ids if Path(photographs.image_info[i]["path"]).stem in args.held_out]
    if len(held_out) != len(args.held_out):
        sys.exit(f"--held-out names {len(args.held_out)} images, of which {args.photographs} has {len(held_out)}")
    return (subset_of(photographs, [i for i in photographs.image_ids if i not in held_out]), subset_of(photographs, held_out))


def settings(args: argparse.Namespace, switched: str, seed: int) -> dict[str, Any]:
    """Return the Config attributes of a run with one setting at its classic value."""
    values = dict(PHOTOGRAPHS if args.photographs else SHAPES)
    if args.start == "imagenet":
        values.update(imagenet_settings(values["BACKBONE"]), TRAIN_BN=False)
    else:
        values.update(FROM_SCRATCH)
    longest = -(-args.size * 4 // 3 // 64) * 64 if args.photographs else args.size  # room for photographs of 4:3
    classic = {} if switched == WHOLE else {switched: getattr(Config, switched)}
    return {**values, "IMAGE_MIN_DIM": args.size, "IMAGE_MAX_DIM": longest, "SEED": seed, **args.set, **classic}


def run(args: argparse.Namespace) -> None:
    """Train one network, and print its rows."""
    switched, seed = args.run[0], int(args.run[1])
    train_set, held_out = data(args)
    start = time.perf_counter()
    model, figures = common.short_run(train_set, args.steps, args.start, **settings(args, switched, seed))
    seconds = time.perf_counter() - start
    rows = [{"setting": switched, "metrics": model.evaluate(held_out).metrics}]
    if switched == WHOLE:
        for name in OF_DETECTION:
            if name in args.settings:
                setattr(model.config, name, getattr(Config, name))
                rows.append({"setting": name, "metrics": model.evaluate(held_out).metrics})
                setattr(model.config, name, MODERN[name])
    for row in rows:
        print(json.dumps({**row, "seed": seed, "seconds": round(seconds), **figures}))


def run_all(args: argparse.Namespace) -> None:
    """Run what --results lacks, and append its rows there."""
    done = {(row["setting"], row["seed"]) for row in read(args.results)}
    trained = [WHOLE, *(name for name in args.settings if name not in OF_DETECTION)]
    left = [(name, seed) for seed in args.seeds for name in trained if (name, seed) not in done]
    threads = str(max((os.cpu_count() or 1) // args.workers, 1))
    limits = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads} if args.workers > 1 else {}

    def one(job: tuple[str, int]) -> None:
        command = [sys.executable, __file__, *sys.argv[1:], "--run", job[0], str(job[1])]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **limits}, check=True).stdout
        rows = [line for line in output.splitlines() if line.startswith('{"setting"')]
        with open(args.results, "a", encoding="utf-8") as file:
            file.write("".join(row + "\n" for row in rows))
        print(f"{job[0]}, seed {job[1]}: mask AP {json.loads(rows[0])['metrics']['mask_AP']:.3f}", flush=True)

    with ThreadPoolExecutor(args.workers) as pool:
        list(pool.map(one, left))


def read(path: str) -> list[dict[str, Any]]:
    """Return the rows of a results file; an empty list if it does not exist."""
    return [json.loads(row) for row in Path(path).read_text(encoding="utf-8").splitlines()] if Path(path).is_file() else []


def table(rows: list[dict[str, Any]], seeds: list[int]) -> list[str]:
    """Return the lines of a table in Markdown: the recipe, then each setting at its classic value, by what that changes."""
    by_setting: dict[str, dict[int, Any]] = {}
    for row in rows:
        if row["seed"] in seeds:
            by_setting.setdefault(row["setting"], {})[row["seed"]] = row["metrics"]
    whole = by_setting.pop(WHOLE)
    titles = ["setting at its classic value", *(f"AP, seed {seed}" for seed in seeds), "mean AP", "mean AP50", "change"]
    complete = [name for name, of_setting in by_setting.items() if set(seeds) <= set(of_setting)]
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), _row(f"none: `{WHOLE}`", whole, whole, seeds),
            *(_row(f"`{name}`", by_setting[name], whole, seeds)
              for name in sorted(complete, key=lambda name: _change(by_setting[name], whole, seeds)))]  # fmt: skip


def _change(metrics: dict[int, Any], whole: dict[int, Any], seeds: list[int]) -> float:
    return statistics.fmean(metrics[seed]["mask_AP"] - whole[seed]["mask_AP"] for seed in seeds)


def _row(name: str, metrics: dict[int, Any], whole: dict[int, Any], seeds: list[int]) -> str:
    means = [statistics.fmean(metrics[seed][key] for seed in seeds) for key in ("mask_AP", "mask_AP50")]
    cells = [name, *(f"{metrics[seed]['mask_AP']:.3f}" for seed in seeds), *(f"{mean:.3f}" for mean in means),
             "" if metrics is whole else f"{_change(metrics, whole, seeds):+.3f}"]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", metavar="FOLDER", help="a data set in any format that `mrcnn check` reads")
    parser.add_argument("--held-out", nargs="+", default=[], metavar="NAME", help="photographs to evaluate on, without suffix")
    parser.add_argument("--start", choices=("imagenet", "none"), help="default: imagenet for photographs, none for shapes")
    parser.add_argument("--size", type=int, help="short side of the images in pixels (default: 320 for photographs, else 128)")
    parser.add_argument("--steps", type=int, help="training steps of each run (default: 100 for photographs, 300 for shapes)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", default=SETTINGS, choices=[*SETTINGS, "none"], metavar="NAME")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--results", default="ablation.jsonl", metavar="FILE",
                        help="runs with other data, size or steps need a file of their own (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], type=options.setting, metavar="KEY=VALUE", help="settings of every run")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    photographs = bool(args.photographs)
    args.start = args.start or ("imagenet" if photographs else "none")
    args.size = args.size or (320 if photographs else 128)
    args.steps = args.steps or (100 if photographs else 300)
    args.set = dict(args.set)
    args.settings = [name for name in args.settings if name != "none"]
    return args


def main() -> None:
    """Run what is left, and print the table."""
    args = parse()
    if args.run:
        run(args)
        return
    run_all(args)
    print("\n".join(table(read(args.results), args.seeds)))


if __name__ == "__main__":
    main()
