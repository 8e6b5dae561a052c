"""Seconds of a detection with ResNet-50: an image in, boxes, scores and full-size masks of 100 instances out."""
import argparse
import tempfile

import common
import numpy as np


def ours(size, repeat):
    """Return the median seconds of `detect` on one image, and how many instances it found."""
    from mrcnn.engine.mask_rcnn import MaskRCNN

    settings = common.config(IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, DETECTION_MIN_CONFIDENCE=0.0,
                             DETECTION_MAX_INSTANCES=100)  # fmt: skip
    model = MaskRCNN("inference", settings, tempfile.gettempdir())
    # Random weights see background everywhere; without it every ROI is an instance and the masks have work to do.
    bias = model.keras_model.get_layer("mrcnn_class_logits").weights[1]
    bias.assign(np.where(np.arange(settings.NUM_CLASSES) == 0, -20.0, 0.0).astype(np.float32))
    image = np.random.default_rng(0).integers(0, 255, (size, size, 3)).astype(np.uint8)
    found = len(model.detect([image])[0]["class_ids"])
    return common.seconds(lambda: model.detect([image]), repeat), found


def theirs(size, repeat):
    """Return the same of torchvision, or (None, 0)."""
    model = common.torchvision_model(size, train=False)
    if model is None:
        return None, 0
    import torch

    image = torch.rand(3, size, size)
    with torch.inference_mode():
        found = len(model([image])[0]["labels"])
        return common.seconds(lambda: model([image]), repeat), found


def main():
    """Print the time of a detection, and torchvision's beside it where it is installed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--size", type=int, default=512, help="side of the square image, in pixels")
    parser.add_argument("--repeat", type=int, default=5, help="detections to time; the median is printed")
    args = parser.parse_args()
    print(common.machine())
    seconds, found = ours(args.size, args.repeat)
    peer, peer_found = theirs(args.size, args.repeat)
    instances = f"{found} instances" + (f", torchvision {peer_found}" if peer is not None else "")
    common.report(f"detection at {args.size} ({instances})", seconds, peer)


if __name__ == "__main__":
    main()
