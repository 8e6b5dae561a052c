"""What each optimisation of the training step saves: ResNet-50 at 512, batch 1, one of them replaced by its plain version.

Each variant runs in its own process; the processes take turns.
"""
import argparse
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import common

VARIANTS = {
    "all": "with all of them",
    "rpn": "without RpnHead.at: the RPN losses gather from the outputs for all anchors",
    "fold": "without folding frozen batch norm into its convolution",
    "positives": "without PositiveRois: the mask head runs on all rows that may be positive (TensorFlow on a CPU)",
    "momentum": "without the update of the momentum in place (TensorFlow)",
}


def without(variant: str) -> AbstractContextManager:
    """Return a context manager in which an optimisation is replaced by its plain version."""
    import keras

    from mrcnn.network import mask_rcnn
    from mrcnn.network.heads.rpn import ConvRpnHead, RpnHead
    from mrcnn.network.layers.norms import BatchNorm
    from mrcnn.training.optimizers import SGD

    folded = BatchNorm.call

    def plain(self, inputs, training=None, source=None):
        return folded(self, inputs, training=training)

    return {
        "all": nullcontext(),
        "rpn": mock.patch.object(ConvRpnHead, "at", RpnHead.at),
        "fold": mock.patch.object(BatchNorm, "call", plain),
        "positives": mock.patch.object(mask_rcnn, "on_tensorflow_cpu", lambda: False),
        "momentum": mock.patch.object(SGD, "update_step", keras.optimizers.SGD.update_step),
    }[variant]


def variant_step(variant: str, size: int) -> tuple[common.Work, str]:
    """Return the arguments of `common.serve`: a function that trains a step, and the name of the variant."""
    from bench_train_step import ours

    with without(variant):
        step = ours(size, 1)[0]
        step()  # traces the graph
    return step, variant


def main() -> None:
    """Print the seconds of a step with each variant, and their ratio to a step with all optimisations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image in pixels")
    parser.add_argument("--repeat", type=int, default=9, help="steps to time; the median is printed")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        common.serve(*variant_step(args.variant, args.size))
        return
    print(common.machine())
    works = {name: common.start_worker("--variant", name, "--size", str(args.size))[0] for name in VARIANTS}
    times = common.race(works, args.repeat)
    for name, seconds in times.items():
        print(f"step at {args.size} {VARIANTS[name]}: {seconds:.3f} s, ratio {seconds / times['all']:.2f}", flush=True)


if __name__ == "__main__":
    main()
