"""What each optimisation of the training step saves: ResNet-50 at 512, batch 1, with one of them replaced by its plain version.

Each variant runs in its own process; the processes take turns.
"""
import argparse
from unittest import mock

import common

VARIANTS = {
    "all": "with all of them",
    "rpn": "without RpnHead.at: the RPN losses gather from the outputs for all anchors",
    "fold": "without folding frozen batch norm into its convolution",
    "positives": "without PositiveRois: the mask head runs on all rows that may be positive (TensorFlow on a CPU)",
    "momentum": "without the update of the momentum in place (TensorFlow)",
}


def without(variant):
    """Return a context manager in which an optimisation is replaced by its plain version."""
    import keras

    from mrcnn.network import mask_rcnn
    from mrcnn.network.heads.rpn import ConvRpnHead, RpnHead
    from mrcnn.network.layers.batch_norm import BatchNorm
    from mrcnn.training.optimizers import SGD

    folded = BatchNorm.call

    def plain(self, inputs, training=None, source=None):
        return folded(self, inputs, training=training)

    return {
        "all": mock.patch.object(common, "VARIANT", variant, create=True),
        "rpn": mock.patch.object(ConvRpnHead, "at", RpnHead.at),
        "fold": mock.patch.object(BatchNorm, "call", plain),
        "positives": mock.patch.object(mask_rcnn, "on_tensorflow_cpu", lambda: False),
        "momentum": mock.patch.object(SGD, "update_step", keras.optimizers.SGD.update_step),
    }[variant]


def step_of(variant, size):
    """Return a function that trains a step in this process, and what it says of itself."""
    from bench_train_step import ours

    with without(variant):
        step = ours(size, 1)[0]
        step()  # traces the graph
    return step, variant


def main():
    """Print the seconds of a step of each variant, and their ratio to the step with all optimisations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square image, in pixels")
    parser.add_argument("--repeat", type=int, default=9, help="steps to time; the median is printed")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        common.serve(*step_of(args.variant, args.size))
        return
    print(common.machine())
    works = {name: common.elsewhere("--variant", name, "--size", str(args.size))[0] for name in VARIANTS}
    times = common.race(works, args.repeat)
    for name, seconds in times.items():
        print(f"step at {args.size} {VARIANTS[name]}: {seconds:.3f} s, ratio {seconds / times['all']:.2f}", flush=True)


if __name__ == "__main__":
    main()
