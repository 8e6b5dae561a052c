"""Seconds of a training step with ResNet-50: forward, losses, backward and update, all layers trained.

Three run in turns: ours, torchvision's `maskrcnn_resnet50_fpn`, and the floor, which is ours without everything behind the
RPN: trunk, pyramid and RPN head with their backward and no losses worth the name. Ours and the floor run by `fit`, as in
training: `train_on_batch` runs the same graph in other threads, and with other costs. `--precision mixed_bfloat16` is for
ours and the floor; torchvision's stays float32.
"""
import argparse
import itertools

import common
import numpy as np


def ours(size, batch_size):
    """Return a function that runs a step of ours on one batch of photographs, and the model."""
    model, loader = common.trainer(common.photographs(), IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch_size)
    return by_fit(model.keras_model, (loader[0],)), model


def floor(model, size, batch_size):
    """Return a function that runs forward and backward of the network up to the RPN, and a plain update."""
    import keras
    from keras import ops

    whole = model.keras_model
    images = whole.inputs[0]
    ends = [whole.get_layer(name).output for name in ("rpn_class_logits", "rpn_bbox")]
    trunk = keras.Model(images, ends)

    def size_of(_, predicted):
        return ops.mean(ops.square(predicted))

    trunk.compile(keras.optimizers.SGD(0.0), loss=[size_of, size_of])
    pixels = np.zeros((batch_size, size, size, 3), np.float32)
    nothing = [np.zeros((batch_size, 1), np.float32)] * 2
    return by_fit(trunk, (pixels, nothing))


def by_fit(model, data):
    """Return a function that trains a compiled keras.Model for a step on (inputs,) or (inputs, targets), fed as runs are."""
    return lambda: model.fit(itertools.repeat(data), steps_per_epoch=1, verbose=0)


def theirs(size, batch_size):
    """Return a function that runs torchvision's step on made images of eight instances, or None."""
    model = common.torchvision_model(size, train=True)
    if model is None:
        return None
    import torch

    images = [torch.rand(3, size, size) for _ in range(batch_size)]
    targets = [common.torchvision_targets(size) for _ in images]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()

    return step


def main():
    """Print the time of a training step, torchvision's beside it where it is installed, and the floor's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square images, in pixels")
    parser.add_argument("--batch-size", type=int, default=1, help="images in a step")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"], help="of ours")
    parser.add_argument("--repeat", type=int, default=5, help="steps to time; the median is printed")
    args = parser.parse_args()
    common.load_torchvision_first()
    import keras

    keras.config.set_dtype_policy(args.precision)
    print(common.machine())
    step, model = ours(args.size, args.batch_size)
    times = common.race({"ours": step, "theirs": theirs(args.size, args.batch_size),
                         "floor": floor(model, args.size, args.batch_size)}, args.repeat, warmup=2)  # fmt: skip
    what = f"training step at {args.size}, batch {args.batch_size}, {args.precision}"
    aim = {"float32": "0.80", "mixed_bfloat16": "0.40"}[args.precision]
    common.report(what, times["ours"], times["theirs"], target=f"{aim} of torchvision's float32")
    common.report(what, times["ours"], times["floor"], peer_name="floor")


if __name__ == "__main__":
    main()
