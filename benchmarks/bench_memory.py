"""Peak memory of a process that trains ResNet-50 at 512, batch 1: ours and torchvision's, each in its own process.

TensorFlow imports JAX if it is installed, which takes a tenth of a GiB and has nothing to do with training. An installation of
`mrcnn` alone has no JAX, so it is hidden from TensorFlow here.
"""
import argparse
import os
import subprocess
import sys

import common

STEPS = 3


def train(side: str, size: int) -> None:
    """Run a few steps of "ours" or "theirs", and print the peak memory of this process in MiB."""
    import resource

    if side == "ours" and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        sys.modules["jax"] = None  # makes its import fail, as if it were not installed
    from bench_train_step import ours, theirs

    step = ours(size, 1)[0] if side == "ours" else theirs(size, 1)[0]
    if step is None:
        return
    for _ in range(STEPS):
        step()
    print(f"MiB {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}", flush=True)


def measure(side: str, size: int) -> float | None:
    """Run `train` in a new process, and return its peak memory in MiB; None if the side cannot run here."""
    output = subprocess.run([sys.executable, __file__, "--train", side, "--size", str(size)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
    values = [line.split()[1] for line in output.splitlines() if line.startswith("MiB ")]
    return float(values[0]) if values else None


def main() -> None:
    """Print the peak memory of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image in pixels")
    parser.add_argument("--train", choices=["ours", "theirs"], help="train here and print the memory (used internally)")
    args = parser.parse_args()
    if args.train:
        train(args.train, args.size)
        return
    common.report(f"memory of training at {args.size}, batch 1", measure("ours", args.size), measure("theirs", args.size),
                  unit="MiB", target="torchvision's")  # fmt: skip


if __name__ == "__main__":
    main()
