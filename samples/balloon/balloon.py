"""Balloons: a single class, annotated with the VGG Image Annotator, and a colour splash.

The data set is balloon_dataset.zip of the classic release (github.com/matterport/Mask_RCNN, release v2.1).
Train on the folder with train/ and val/, each with its images and a via_region_data.json:

    python3 balloon.py train --dataset=/path/to/balloon --weights=coco

Then turn everything but the balloons grey, in an image or a video:

    python3 balloon.py splash --weights=last --image=party.jpg
    python3 balloon.py splash --weights=/path/to/weights.h5 --video=party.mp4
"""

import argparse
import datetime
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.color
import skimage.draw
import skimage.io

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

from mrcnn import model as modellib
from mrcnn import utils
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.io.images import read_image, read_image_size
from mrcnn.training.run_start import load_start_weights

DEFAULT_LOGS_DIR = str(ROOT_DIR / "logs")


class BalloonConfig(Config):
    """Training on a few dozen photographs."""

    NAME = "balloon"
    NUM_CLASSES = 1 + 1  # background, balloon
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 100
    DETECTION_MIN_CONFIDENCE = 0.9


class BalloonDataset(utils.Dataset):
    """Photographs with VGG Image Annotator polygons, version 1 or 2."""

    def load_balloon(self, dataset_dir, subset):
        """Add the images of a subset that have at least one region.

        Args:
            dataset_dir: path. The folder with train/ and val/.
            subset: str, "train" or "val".
        """
        self.add_class("balloon", 1, "balloon")
        folder = Path(dataset_dir) / subset
        annotations = json.loads((folder / "via_region_data.json").read_text(encoding="utf-8"))
        # A saved project wraps the annotations; an export holds only the annotations.
        for entry in annotations.get("_via_img_metadata", annotations).values():
            regions = entry["regions"]
            # Version 1 wrote {"0": region, ...}, version 2 writes [region, ...].
            regions = regions.values() if isinstance(regions, dict) else regions
            polygons = [region["shape_attributes"] for region in regions]
            if polygons:
                path = folder / entry["filename"]
                height, width = read_image_size(path)
                self.add_image("balloon", image_id=entry["filename"], path=str(path), width=width, height=height,
                               polygons=polygons)

    def load_mask(self, image_id):
        """Return (masks bool [H, W, N], class ids int32 [N]), one mask per polygon."""
        info = self.image_info[image_id]
        if info["source"] != "balloon":
            return super().load_mask(image_id)
        shape = (info["height"], info["width"])
        masks = np.zeros((*shape, len(info["polygons"])), bool)
        for i, polygon in enumerate(info["polygons"]):
            # A vertex at the border may be a pixel outside the image: `shape` clips it.
            rows, cols = skimage.draw.polygon(polygon["all_points_y"], polygon["all_points_x"], shape)
            masks[rows, cols, i] = True
        return masks, np.ones(len(info["polygons"]), np.int32)

    def image_reference(self, image_id):
        """Return the path of an image."""
        info = self.image_info[image_id]
        return info["path"] if info["source"] == "balloon" else super().image_reference(image_id)


def train(model, dataset_dir, epochs=30):
    """Train the heads: with COCO weights and so few photographs that is enough."""
    subsets = []
    for subset in ("train", "val"):
        dataset = BalloonDataset()
        dataset.load_balloon(dataset_dir, subset)
        dataset.prepare()
        subsets.append(dataset)
    model.train(*subsets, learning_rate=model.config.LEARNING_RATE, epochs=epochs, layers="heads")


def color_splash(image, mask):
    """Keep the colours of the instances and turn the rest grey.

    Args:
        image: uint8 [H, W, 3].
        mask: bool [H, W, N], one instance per channel; N may be 0.

    Returns:
        uint8 [H, W, 3].
    """
    grey = (skimage.color.rgb2gray(image)[:, :, None] * 255).astype(np.uint8)
    return np.where(mask.any(axis=-1, keepdims=True), image, grey).astype(np.uint8)


def detect_and_color_splash(model, image_path=None, video_path=None):
    """Splash an image or a video and write the result to the working directory.

    Args:
        model: MaskRCNN in inference mode.
        image_path, video_path: path. Exactly one of them.

    Returns:
        str. The name of the file written.
    """
    if bool(image_path) == bool(video_path):
        raise ValueError("give either an image or a video")
    stamp = f"splash_{datetime.datetime.now():%Y%m%dT%H%M%S}"
    if image_path:
        image = read_image(image_path)  # greyscale and transparent images too
        result = model.detect([image], verbose=1)[0]
        name = f"{stamp}.png"
        skimage.io.imsave(name, color_splash(image, result["masks"]), check_contrast=False)
    else:
        name = f"{stamp}.avi"
        _splash_video(model, video_path, name)
    print("Saved to", name)
    return name


def _splash_video(model, video_path, name):
    source = cv2.VideoCapture(str(video_path))
    if not source.isOpened():
        raise OSError(f"{video_path}: OpenCV cannot open this video")
    size = int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT))
    # Not every container has a frame rate; 25 is a common one.
    writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"MJPG"), source.get(cv2.CAP_PROP_FPS) or 25, size)
    frames = 0
    try:
        while True:
            more, frame = source.read()
            if not more:
                break
            frame = np.ascontiguousarray(frame[..., ::-1])  # OpenCV uses BGR
            masks = model.detect([frame])[0]["masks"]
            writer.write(np.ascontiguousarray(color_splash(frame, masks)[..., ::-1]))
            frames += 1
    finally:
        source.release()
        writer.release()
    print("frames:", frames)


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train Mask R-CNN to find balloons.")
    parser.add_argument("command", choices=("train", "splash"))
    parser.add_argument("--dataset", metavar="DIR", help="folder with train/ and val/")
    parser.add_argument("--weights", required=True, metavar="coco|imagenet|last|PATH")
    parser.add_argument("--logs", default=DEFAULT_LOGS_DIR, metavar="DIR", help="folder of the runs")
    parser.add_argument("--image", metavar="FILE", help="image to splash")
    parser.add_argument("--video", metavar="FILE", help="video to splash")
    args = parser.parse_args(argv)
    if args.command == "train" and not args.dataset:
        parser.error("train needs --dataset")
    if args.command == "train" and not Path(args.dataset).is_dir():
        parser.error(f"{args.dataset}: no such folder: give the data set's folder, which contains train/ and val/")
    if args.command == "splash" and bool(args.image) == bool(args.video):
        parser.error("splash needs --image or --video")
    if args.command == "splash" and args.weights in ("coco", "imagenet", "none"):
        parser.error("splash needs weights that were trained on balloons: --weights=last or a path")

    training = args.command == "train"
    config = BalloonConfig()
    config.display()
    model = modellib.MaskRCNN(mode="training" if training else "inference", config=config, model_dir=args.logs)
    load_start_weights(model, args.weights)
    if training:
        train(model, args.dataset)
    else:
        detect_and_color_splash(model, image_path=args.image, video_path=args.video)


if __name__ == "__main__":
    sys.exit(run_script(main))
