"""Seconds per detection with ResNet-50: from an image to boxes, scores and full-size masks of 100 instances.

torchvision's time is printed for comparison, then the fraction of our time spent outside the network, and the time to paste 100
masks at 4000 x 3000. `--precision mixed_bfloat16` applies to our side; torchvision always runs in float32.
"""
import argparse
import statistics
import time
from typing import TYPE_CHECKING

import common
import numpy as np

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN


def theirs(size: int) -> tuple[common.Work | None, int]:
    """Return a function that detects with torchvision and the number of instances it detects; (None, 0) if not installed."""
    model = common.torchvision_model(size, train=False)
    if model is None:
        return None, 0
    import torch

    image = torch.rand(3, size, size)

    def detect():
        with torch.inference_mode():
            return model([image])

    return detect, len(detect()[0]["labels"])


def time_outside(model: "MaskRCNN", image: np.ndarray) -> tuple[common.Work, list[float]]:
    """Return a function that detects, and a list to which each call appends the fraction of its time outside the network."""
    run, inside, fractions = model.predictor.run, [], []

    def timed_run(*inputs):
        start = time.perf_counter()
        outputs = run(*inputs)
        inside.append(time.perf_counter() - start)
        return outputs

    def detect():
        inside.clear()
        start = time.perf_counter()
        model.detect([image])
        fractions.append(1 - sum(inside) / (time.perf_counter() - start))

    model.predictor.run = timed_run
    return detect, fractions


def paste(instances: int = 100, height: int = 3000, width: int = 4000) -> common.Work:
    """Return a function that pastes the masks of boxes of many sizes into a large photograph."""
    from mrcnn.inference.unmold import paste_detections

    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.8, (instances, 2))
    sizes = np.exp(rng.uniform(np.log(0.01), np.log(0.5), (instances, 2)))
    boxes = np.concatenate([corners, np.minimum(corners + sizes, 1)], axis=1)
    detections = np.concatenate([boxes, rng.integers(1, 81, (instances, 1)), rng.random((instances, 1))], axis=1)
    masks = rng.random((instances, 28, 28)).astype(np.float32)
    return lambda: paste_detections(detections, masks, (height, width, 3), (1024, 1024, 3), (0, 0, 1024, 1024))


def main() -> None:
    """Print the time of a detection, compared with torchvision's if it is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image in pixels")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"], help="of our side")
    parser.add_argument("--repeat", type=int, default=7, help="detections to time; the median is printed")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        common.serve(*theirs(args.size))
        return
    import keras

    keras.config.set_dtype_policy(args.precision)
    print(common.machine())
    model = common.detector(args.size)
    image = np.random.default_rng(0).integers(0, 255, (args.size, args.size, 3)).astype(np.uint8)
    detections = len(model.detect([image])[0]["class_ids"])
    ours, outside = time_outside(model, image)
    peer, peer_detections = common.start_worker("--peer", "--size", str(args.size))
    times = common.race({"ours": ours, "theirs": peer}, args.repeat)
    instances = f"{detections} instances" + (f", torchvision {peer_detections}" if peer is not None else "")
    what = f"detection at {args.size}, {args.precision} ({instances})"
    common.report(what, times["ours"], times["theirs"], target="0.45 of torchvision's")
    common.report("  of it outside of the network", statistics.median(outside), unit="share", target="below 0.15")
    common.report("pasting 100 masks at 4000 x 3000", common.seconds(paste(), args.repeat), target="below 0.5 s")


if __name__ == "__main__":
    main()
