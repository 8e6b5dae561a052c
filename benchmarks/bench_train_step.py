"""Seconds of a training step with ResNet-50: forward, losses, backward and update, all layers trained.

Three run in turns: ours, torchvision's `maskrcnn_resnet50_fpn`, and the floor, which is ours without everything behind the
RPN: trunk, pyramid and RPN head with their backward, and no losses worth the name. Ours and the floor run by `fit`, as in
training: `train_on_batch` has other threads and other costs. The learning rate is 0 on all sides: the mask head runs on the
positive ROIs, and a network that learns the one batch would find more with every step. How many there are is printed.
`--precision mixed_bfloat16` is for ours and the floor; torchvision's stays float32.
"""
import argparse

import common
import numpy as np


def ours(size, batch_size):
    """Return (a function that times a step of ours on one batch of photographs, the keras.Model that it trains, the batch)."""
    model, loader = common.trainer(common.photographs(), IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch_size)
    network, batch = model.keras_model, loader[0]
    network.optimizer.learning_rate = 0.0
    return common.fit_step(network, batch), network, batch


def positive_rois(network, batch):
    """Count the positive ROIs that our network finds in a batch: int."""
    import keras

    _, class_ids, *_ = keras.Model(network.inputs, network.get_layer("proposal_targets").output)(batch)
    return int(keras.ops.sum(class_ids > 0))


def floor(network, size, batch_size, trained=256):
    """Return a function that times forward and backward of our network up to the RPN, and a plain update.

    As in ours the gradient goes through what the RPN says of some anchors, here the first of them.
    """
    import keras
    from keras import ops

    outputs = {name: network.output[name] for name in ("pyramid", "rpn_class", "rpn_bbox")}

    class Floor(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            anchors = ops.tile(ops.arange(trained, dtype="int32")[None], (batch_size, 1))
            logits, deltas = self.get_layer("rpn_model").at(y_pred["pyramid"], anchors)
            # those of all are computed too: proposals need them
            of_all = sum(ops.mean(ops.stop_gradient(y_pred[name])) for name in ("rpn_class", "rpn_bbox"))
            return ops.mean(ops.square(logits)) + ops.mean(ops.square(deltas)) + of_all

    trunk = Floor(network.inputs[0], outputs)
    trunk.compile(keras.optimizers.SGD(0.0))
    return common.fit_step(trunk, np.zeros((batch_size, size, size, 3), np.float32))


def theirs(size, batch_size):
    """Return (a function that runs torchvision's step on made images of eight instances, how many ROIs are positive), or
    (None, None)."""
    model = common.torchvision_model(size, train=True)
    if model is None:
        return None, None
    import torch

    images = [torch.rand(3, size, size) for _ in range(batch_size)]
    targets = [common.torchvision_targets(size) for _ in images]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)

    def step():
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()

    rows = []
    hook = model.roi_heads.mask_head.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    step()
    hook.remove()
    return step, rows[0]


def main():
    """Print the time of a training step, torchvision's beside it where it is installed, and the floor's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square images, in pixels")
    parser.add_argument("--batch-size", type=int, default=1, help="images in a step")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"], help="of ours")
    parser.add_argument("--repeat", type=int, default=7, help="steps to time; the median is printed")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        common.serve(*theirs(args.size, args.batch_size))
        return
    import keras

    keras.config.set_dtype_policy(args.precision)
    print(common.machine())
    step, network, batch = ours(args.size, args.batch_size)
    peer, peer_positives = common.elsewhere("--peer", "--size", str(args.size), "--batch-size", str(args.batch_size))
    print(f"positive ROIs: ours {positive_rois(network, batch)}, torchvision's {peer_positives}")
    works = {"ours": step, "theirs": peer, "floor": floor(network, args.size, args.batch_size)}
    times = common.race(works, args.repeat, warmup=2)
    what = f"training step at {args.size}, batch {args.batch_size}, {args.precision}"
    aim = {"float32": "0.80", "mixed_bfloat16": "0.40"}[args.precision]
    common.report(what, times["ours"], times["theirs"], target=f"{aim} of torchvision's float32")
    common.report(what, times["ours"], times["floor"], peer_name="floor")


if __name__ == "__main__":
    main()
