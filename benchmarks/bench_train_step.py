"""Seconds of a training step with ResNet-50: forward, losses, backward and update, all layers trained.

Three networks take turns: ours, torchvision's `maskrcnn_resnet50_fpn`, and the floor, which is ours up to the RPN: forward and
backward of backbone, FPN and RPN head with a trivial loss. Ours and the floor run in `fit`, as in training, because
`train_on_batch` uses other threads and has other costs. The learning rate is 0 on all sides: the mask head runs on the positive
ROIs, and a network that learns its only batch would find more of them with every step. Their number is printed.
`--precision mixed_bfloat16` applies to ours and to the floor; torchvision always runs in float32.
"""
import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import common
import numpy as np

if TYPE_CHECKING:
    import keras

Batch = tuple[np.ndarray, ...]


def ours(size: int, batch_size: int) -> tuple[Callable[[], float], "keras.Model", Batch]:
    """Return a function that times our step on one batch of photographs, the model that it trains, and the batch."""
    model, loader = common.trainer(common.photographs(), IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch_size)
    network, batch = model.keras_model, loader[0]
    network.optimizer.learning_rate = 0.0
    return common.fit_step(network, batch), network, batch


def positive_rois(network: "keras.Model", batch: Batch) -> int:
    """Count the positive ROIs that our network samples in a batch."""
    import keras

    _, class_ids, *_ = keras.Model(network.inputs, network.get_layer("proposal_targets").output)(batch)
    return int(keras.ops.sum(class_ids > 0))


def floor(network: "keras.Model", size: int, batch_size: int, trained: int = 256) -> Callable[[], float]:
    """Return a function that times forward and backward of our network up to the RPN, and a plain update.

    As in our training, the gradient flows through the RPN outputs of some anchors only, here of the first `trained`.
    """
    import keras
    from keras import ops

    outputs = {name: network.output[name] for name in ("anchor_levels", "rpn_class", "rpn_bbox")}

    class Floor(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            anchors = ops.tile(ops.arange(trained, dtype="int32")[None], (batch_size, 1))
            logits, deltas = self.get_layer("rpn_model").at(y_pred["anchor_levels"], anchors)
            # the outputs for all anchors are computed too, because proposals need them
            all_outputs = sum(ops.mean(ops.stop_gradient(y_pred[name])) for name in ("rpn_class", "rpn_bbox"))
            return ops.mean(ops.square(logits)) + ops.mean(ops.square(deltas)) + all_outputs

    trunk = Floor(network.inputs[0], outputs)
    trunk.compile(keras.optimizers.SGD(0.0))
    return common.fit_step(trunk, np.zeros((batch_size, size, size, 3), np.float32))


def theirs(size: int, batch_size: int) -> tuple[common.Work | None, int | None]:
    """Return a function that runs torchvision's step on noise with eight instances, and its number of positive ROIs.

    Both are None if torchvision is not installed.
    """
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


def main() -> None:
    """Print the time of a training step, compared with torchvision's if it is installed, and with the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the square images in pixels")
    parser.add_argument("--batch-size", type=int, default=1, help="images per step")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"], help="of ours and the floor")
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
    peer, peer_positives = common.start_worker("--peer", "--size", str(args.size), "--batch-size", str(args.batch_size))
    print(f"positive ROIs: ours {positive_rois(network, batch)}, torchvision's {peer_positives}")
    works = {"ours": step, "theirs": peer, "floor": floor(network, args.size, args.batch_size)}
    times = common.race(works, args.repeat, warmup=2)
    what = f"training step at {args.size}, batch {args.batch_size}, {args.precision}"
    target = {"float32": "0.80", "mixed_bfloat16": "0.40"}[args.precision]
    common.report(what, times["ours"], times["theirs"], target=f"{target} of torchvision's float32")
    common.report(what, times["ours"], times["floor"], peer_name="floor")


if __name__ == "__main__":
    main()
