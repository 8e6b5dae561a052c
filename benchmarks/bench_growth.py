"""How the time of a training step and of a detection scales with image size, batch size, instances and classes.

Prints each time and plots all of them in `benchmarks/results/growth.png`. ResNet-50 with random weights. What is not varied
is fixed: 512 pixels (256 when the batch size varies), one image, 81 classes, 8 instances in a step, 100 in a detection.
"""
import argparse
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import common
import numpy as np

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

SIZES, BATCHES, INSTANCES, CLASSES = (256, 512, 768, 1024), (1, 2, 4, 8), (1, 10, 30, 100), (2, 21, 81, 400, 1204)
# The values of what is not varied.
STEP = {"size": 512, "batch": 1, "instances": 8, "classes": 81}
DETECTION = {"size": 512, "instances": 100, "classes": 81}
# The maximum time with 1204 classes, relative to that with 81.
CLASSES_TARGET = 1.3


def made_batch(model: "MaskRCNN", instances: int) -> tuple[np.ndarray, ...]:
    """Return a training batch of noise with this many random boxes per image."""
    from mrcnn.geometry.meta import compose_image_meta
    from mrcnn.loading.targets.rpn import build_rpn_targets
    from mrcnn.training.settings import config_anchors

    config = model.config
    rng = np.random.default_rng(0)
    height, width, channels = (int(v) for v in config.IMAGE_SHAPE)
    anchors = config_anchors(config)
    rows = []
    for _ in range(config.BATCH_SIZE):
        corner = rng.uniform(0, 0.6, (instances, 2)) * (height, width)
        boxes = np.concatenate([corner, corner + rng.uniform(16, 0.35 * height, (instances, 2))], 1).astype(np.int32)
        ids = rng.integers(1, config.NUM_CLASSES, instances).astype(np.int32)
        targets = build_rpn_targets(anchors, ids, boxes, num_train_anchors=config.RPN_TRAIN_ANCHORS_PER_IMAGE,
                                    bbox_std_dev=config.RPN_BBOX_STD_DEV)  # fmt: skip
        slots = config.MAX_GT_INSTANCES
        meta = compose_image_meta(0, (height, width, 3), (height, width, 3), (0, 0, height, width), 1.0,
                                  np.ones(config.NUM_CLASSES, np.int32))  # fmt: skip
        rows.append((rng.integers(0, 255, (height, width, channels)).astype(np.uint8), meta.astype(np.float32),
                     *targets, np.pad(ids, (0, slots - instances)),
                     np.pad(boxes, ((0, slots - instances), (0, 0))),
                     np.arange(slots) < instances))  # fmt: skip
    *arrays, valid = (np.stack(parts) for parts in zip(*rows, strict=True))
    masks = np.broadcast_to(valid[:, :, None, None], (*valid.shape, *config.MINI_MASK_SHAPE))
    return *arrays, np.ascontiguousarray(masks)


@lru_cache(maxsize=1)
def model_to_train(size: int, batch: int, classes: int) -> "MaskRCNN":
    """Return a MaskRCNN to train. The last one is cached, because another number of instances needs no other model."""
    return common.training_model(NUM_CLASSES=classes, IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch)


# cached: a point that lies on several curves is measured once
@cache
def step_seconds(repeat: int, *, size: int, batch: int, instances: int, classes: int) -> float:
    """Return the median seconds of a training step."""
    model = model_to_train(size, batch, classes)
    return common.seconds(common.fit_step(model.keras_model, made_batch(model, instances)), repeat)


@cache
def detection_seconds(repeat: int, *, size: int, instances: int, classes: int) -> float:
    """Return the median seconds of a detection."""
    model = common.detector(size, num_classes=classes, instances=instances)
    image = np.random.default_rng(0).integers(0, 255, (size, size, 3)).astype(np.uint8)
    return common.seconds(lambda: model.detect([image]), repeat)


def draw(curves: Sequence[tuple[str, Mapping[str, Mapping[int, float]]]], path: Path) -> None:
    """Plot the seconds, with one panel for each varied quantity: its name, and {label: {value: seconds}}."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), layout="constrained")
    for ax, (name, lines) in zip(axes, curves, strict=True):
        for label, points in lines.items():
            ax.plot(list(points), list(points.values()), marker="o", label=label)
        ax.set(xlabel=name, ylabel="seconds", ylim=(0, None))
        ax.grid(alpha=0.3)
        ax.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print and plot how the time scales."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="steps and detections to time; the median is printed")
    args = parser.parse_args()
    print(common.machine())

    def step(**varied):
        return step_seconds(args.repeat, **{**STEP, **varied})

    def detect(**varied):
        return detection_seconds(args.repeat, **{**DETECTION, **varied})

    curves = []
    for name, values, works in (
            ("image size", SIZES, {"step": lambda v: step(size=v), "detection": lambda v: detect(size=v)}),
            ("batch, at 256", BATCHES, {"step": lambda v: step(size=256, batch=v)}),
            ("instances", INSTANCES, {"step": lambda v: step(instances=v), "detection": lambda v: detect(instances=v)}),
            ("classes", CLASSES, {"step": lambda v: step(classes=v), "detection": lambda v: detect(classes=v)})):
        lines = {label: {v: work(v) for v in values} for label, work in works.items()}
        curves.append((name, lines))
        for label, points in lines.items():
            for value, seconds in points.items():
                common.report(f"{label}, {name} {value}", seconds)
    classes = curves[-1][1]["detection"]
    common.report("detection with 1204 classes", classes[1204], classes[81], peer_name="81 classes", target=str(CLASSES_TARGET))
    draw(curves, Path(__file__).parent / "results" / "growth.png")


if __name__ == "__main__":
    main()
