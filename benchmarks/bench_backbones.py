"""Parameters of the backbones, and milliseconds of a detection with each, as a table for docs/backbones.md.

A detection goes from a square image to its instances, of which there are none, with the classic pyramid and heads, 81 classes
and frozen batch-norm statistics.
"""
import argparse
import tempfile
import time

import common
import numpy as np

FAMILIES = ("resnet18", "resnet50", "resnet50v2", "convnext_tiny", "efficientnetv2_b0", "mobilenetv3_small",
            "efficientnet_lite0", "compact")  # fmt: skip


def fastest(work: common.Work, repeat: int) -> float:
    """Return the seconds of the fastest of several calls after two others. The median would depend on other load."""
    times = []
    for _ in range(2 + repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def measure(name: str, size: int, repeat: int) -> tuple[float, float, float, float]:
    """Return millions of parameters of a backbone and of the whole network, and milliseconds of both for one image."""
    import keras

    from mrcnn.cli.backend import build_model
    from mrcnn.network.backbones import get_backbone

    keras.backend.clear_session()
    config = common.config(BACKBONE=name, IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, DETECTION_MIN_CONFIDENCE=0.9)
    model = build_model("inference", config, tempfile.gettempdir())
    logits = model.keras_model.get_layer("mrcnn_class_logits")
    logits.set_weights([np.zeros(weight.shape, np.float32) for weight in logits.weights])  # every class is as likely: 1 / 81
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    whole = fastest(lambda: model.detect([image]), repeat)
    pixels = keras.Input((size, size, 3))
    backbone = keras.Model(pixels, get_backbone(name)(pixels, stage5=True, train_bn=False)[-4:])
    batch = image[None].astype(np.float32)
    alone = fastest(lambda: backbone.predict_on_batch(batch), repeat)
    return backbone.count_params() / 1e6, model.keras_model.count_params() / 1e6, alone * 1e3, whole * 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=FAMILIES, help="backbones, or all; by default the smallest of each family")
    parser.add_argument("--size", type=int, default=256, help="side of the square image in pixels")
    parser.add_argument("--repeat", type=int, default=15, help="detections to time; the fastest is printed")
    args = parser.parse_args()
    from mrcnn.config_rules import BACKBONE_NAMES

    print(f"{common.machine()}; one image of {args.size} x {args.size} pixels\n")
    print("| backbone | parameters (million) | of the whole network | backbone (ms) | detection (ms) |\n|---|---|---|---|---|")
    for name in BACKBONE_NAMES if args.names == ["all"] else args.names:
        own, all_of_them, alone, whole = measure(name, args.size, args.repeat)
        print(f"| `{name}` | {own:.1f} | {all_of_them:.1f} | {alone:.0f} | {whole:.0f} |", flush=True)


if __name__ == "__main__":
    main()
