"""Seconds of a detection with ResNet-50: an image in, boxes, scores and full-size masks of 100 instances out.

Beside torchvision's the share of the time that is spent outside of the network is printed, and the seconds that 100 masks
take to be pasted at 4000 x 3000. `--precision mixed_bfloat16` is for ours; torchvision's stays float32.
"""
import argparse
import statistics
import time

import common
import numpy as np


def theirs(size):
    """Return (a function that detects with torchvision, how many instances it finds), or (None, 0)."""
    model = common.torchvision_model(size, train=False)
    if model is None:
        return None, 0
    import torch

    image = torch.rand(3, size, size)

    def detect():
        with torch.inference_mode():
            return model([image])

    return detect, len(detect()[0]["labels"])


def time_outside(model, image):
    """Return (a function that detects, a list that gets the share of each call's time outside of the network)."""
    run, inside, shares = model.predictor.run, [], []

    def timed_run(*inputs):
        start = time.perf_counter()
        found = run(*inputs)
        inside.append(time.perf_counter() - start)
        return found

    def detect():
        inside.clear()
        start = time.perf_counter()
        model.detect([image])
        shares.append(1 - sum(inside) / (time.perf_counter() - start))

    model.predictor.run = timed_run
    return detect, shares


def paste(instances=100, height=3000, width=4000):
    """Return a function that pastes masks of boxes of any size into a large photograph."""
    from mrcnn.inference.unmold import paste_detections

    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.8, (instances, 2))
    sizes = np.exp(rng.uniform(np.log(0.01), np.log(0.5), (instances, 2)))
    boxes = np.concatenate([corners, np.minimum(corners + sizes, 1)], axis=1)
    detections = np.concatenate([boxes, rng.integers(1, 81, (instances, 1)), rng.random((instances, 1))], axis=1)
    masks = rng.random((instances, 28, 28)).astype(np.float32)
    return lambda: paste_detections(detections, masks, (height, width, 3), (1024, 1024, 3), (0, 0, 1024, 1024))


def main():
    """Print the time of a detection, and torchvision's beside it where it is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image, in pixels")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"], help="of ours")
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
    found = len(model.detect([image])[0]["class_ids"])
    ours, outside = time_outside(model, image)
    peer, peer_found = common.elsewhere("--peer", "--size", str(args.size))
    times = common.race({"ours": ours, "theirs": peer}, args.repeat)
    instances = f"{found} instances" + (f", torchvision {peer_found}" if peer is not None else "")
    what = f"detection at {args.size}, {args.precision} ({instances})"
    common.report(what, times["ours"], times["theirs"], target="0.45 of torchvision's")
    common.report("  of it outside of the network", statistics.median(outside), unit="share", target="below 0.15")
    common.report("pasting 100 masks at 4000 x 3000", common.seconds(paste(), args.repeat), target="below 0.5 s")


if __name__ == "__main__":
    main()
