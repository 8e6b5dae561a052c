"""Largest memory of a process that trains ResNet-50 at 512, batch 1: ours and torchvision's, each in its own process.

TensorFlow imports JAX where it finds it, as it does here and not where only `mrcnn` is installed: a tenth of a GiB, and
no part of training, so JAX is hidden from it.
"""
import argparse
import os
import subprocess
import sys

import common

STEPS = 3


def train(which, size):
    """Run a few steps of "ours" or "theirs" and print the largest memory of this process in MiB."""
    import resource

    if which == "ours" and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        sys.modules["jax"] = None  # an import of it fails, as where it is not installed
    from bench_train_step import ours, theirs

    step = ours(size, 1)[0] if which == "ours" else theirs(size, 1)[0]
    if step is None:
        return
    for _ in range(STEPS):
        step()
    print(f"MiB {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}", flush=True)


def measure(which, size):
    """Return the largest memory in MiB of a process of its own, None where it cannot run."""
    output = subprocess.run([sys.executable, __file__, "--train", which, "--size", str(size)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
    found = [line.split()[1] for line in output.splitlines() if line.startswith("MiB ")]
    return float(found[0]) if found else None


def main():
    """Print the peak of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image, in pixels")
    parser.add_argument("--train", choices=["ours", "theirs"], help="train here and print the memory; used by this script")
    args = parser.parse_args()
    if args.train:
        train(args.train, args.size)
        return
    common.report(f"memory of training at {args.size}, batch 1", measure("ours", args.size), measure("theirs", args.size),
                  unit="MiB", target="torchvision's")  # fmt: skip


if __name__ == "__main__":
    main()
