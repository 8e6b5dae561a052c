"""Seconds of `mrcnn --help`, and from the start of Python to the end of the first training step of ResNet-50 at 512."""
import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import common


def first_step(size: int) -> None:
    """Build the network, compile it and run one step."""
    from bench_train_step import ours

    _, network, batch = ours(size, 1)
    common.fit_step(network, batch, steps=1)()


def python_run(*arguments: str) -> Callable[[], object]:
    """Return a function that runs Python with these arguments."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, cwd=common.REPOSITORY)  # fmt: skip


def main() -> None:
    """Print both times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="side of the square image in pixels")
    parser.add_argument("--first-step", action="store_true", help="run one step here (used internally)")
    args = parser.parse_args()
    if args.first_step:
        first_step(args.size)
        return
    common.report("mrcnn --help", common.seconds(python_run("-m", "mrcnn", "--help")), target="below 0.3 s")
    start = time.perf_counter()
    python_run(__file__, "--first-step", "--size", str(args.size))()
    common.report(f"first training step at {args.size}, imports and compilation included", time.perf_counter() - start,
                  target="below 40 s")  # fmt: skip


if __name__ == "__main__":
    main()
