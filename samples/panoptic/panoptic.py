"""COCO panoptic: write annotations as TFRecord shards, look into them, and train on the things.

    python3 panoptic.py                                      # generates images of shapes first
    python3 panoptic.py --coco-root=~/coco --epochs=10
    python3 panoptic.py --examples=/path/to/examples         # panoptic_examples.json, its PNGs and input_images/
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import mrcnn.datasets
from mrcnn import model as modellib
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.formats.shapes import SHAPE_NAMES, ShapesDataset
from mrcnn.datasets.panoptic.annotations import LABEL_DIVISOR, colors_of_ids
from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic
from mrcnn.viz.colors import random_colors
from mrcnn.viz.draw import draw_detections

DRAWN_IMAGES = 8
GROUND = len(SHAPE_NAMES) + 1  # the stuff category, after the shapes
PICTURES = 4


class PanopticConfig(Config):
    """A small network to train from scratch for a few steps on a CPU."""

    NAME = "panoptic"
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    BACKBONE = "compact"
    TRAIN_BN = None
    GT_BOXES_AS_ROIS = True
    TOP_DOWN_PYRAMID_SIZE = 32
    RPN_HEAD_CHANNELS = 32
    MASK_HEAD_CHANNELS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    PRE_NMS_LIMIT = 300
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 16
    OPTIMIZER = "adam"


def draw_root(root, count=DRAWN_IMAGES):
    """Generate images of shapes with COCO's panoptic annotations: shapes are things, the ground is stuff."""
    shapes = ShapesDataset()
    shapes.load_shapes(count, 96, 128)
    shapes.prepare()
    categories = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(SHAPE_NAMES, start=1)]
    content = {"images": [], "annotations": [], "categories": [*categories, {"id": GROUND, "name": "ground", "isthing": 0}]}
    images, pngs = root / "train2017", root / "annotations" / "panoptic_train2017"
    for folder in (images, pngs):
        folder.mkdir(parents=True, exist_ok=True)
    for i in shapes.image_ids:
        masks, class_ids = shapes.load_mask(i)
        ids = np.full(masks.shape[:2], 1, np.int32)  # segment 1 is the ground
        for number, mask in enumerate(np.moveaxis(masks, 2, 0), start=2):
            ids[mask] = number * 70000
        categories_of = {1: GROUND, **{n * 70000: int(c) for n, c in enumerate(class_ids, start=2)}}
        segments = [{"id": n, "category_id": categories_of[n], "area": int((ids == n).sum()), "iscrowd": 0}
                    for n in np.unique(ids).tolist()]  # fmt: skip
        Image.fromarray(shapes.load_image(i)).save(images / f"{i:012d}.jpg", quality=95)
        Image.fromarray(colors_of_ids(ids)).save(pngs / f"{i:012d}.png")
        content["images"].append({"id": int(i), "file_name": f"{i:012d}.jpg", "height": 96, "width": 128})
        content["annotations"].append({"image_id": int(i), "file_name": f"{i:012d}.png", "segments_info": segments})
    (root / "annotations" / "panoptic_train2017.json").write_text(json.dumps(content))


def lay_out_examples(source, root):
    """Copy the published examples (panoptic_examples.json, its PNGs, input_images/) into COCO's layout, as train2017."""
    annotations = root / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "panoptic_examples.json", annotations / "panoptic_train2017.json")
    shutil.copytree(source / "panoptic_examples", annotations / "panoptic_train2017", dirs_exist_ok=True)
    shutil.copytree(source / "input_images", root / "train2017", dirs_exist_ok=True)


def show(dataset, folder):
    """Write pictures: an image with its things next to its panoptic map, a colour per segment, ignored pixels black."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in dataset.image_ids[:PICTURES]:
        image, panoptic = dataset.load_image(i), dataset.record_of(i).panoptic
        masks, class_ids = dataset.load_mask(i)
        things = {"rois": extract_bboxes(masks), "masks": masks, "class_ids": np.abs(class_ids), "scores": None}
        left = draw_detections(image, things, dataset.class_names, min_side=0)
        numbers, which = np.unique(panoptic, return_inverse=True)
        palette = (np.array(random_colors(len(numbers))) * 255).astype(np.uint8)
        palette[numbers < LABEL_DIVISOR] = 0
        picture = np.concatenate([left, palette[which.reshape(panoptic.shape)]], axis=1)
        cv2.imwrite(str(folder / f"{dataset.image_info[i]['id'].replace('/', '_')}.png"), picture[:, :, ::-1])
    print(f"Pictures: {folder}")


def main(argv=None):
    """Convert, open, show, train."""
    parser = argparse.ArgumentParser(description="Convert COCO panoptic to TFRecord shards, and train on its thing classes.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--coco-root", type=Path, metavar="DIR", help="a folder in COCO's layout (default: generated shapes)")
    source.add_argument("--examples", type=Path, metavar="DIR", help="folder of the published examples")
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "logs" / "panoptic", metavar="DIR",
                        help="folder of the shards, pictures and runs (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=2, metavar="N", help="files per split (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, metavar="N",
                        help="epochs to train, or 0 to skip training (default: %(default)s)")
    args = parser.parse_args(argv)

    root = args.coco_root.expanduser() if args.coco_root else args.output / "root"
    if args.examples:
        lay_out_examples(args.examples, root)
    elif not args.coco_root:
        draw_root(root)
    shards = args.output / "shards"
    print(convert_panoptic(root, shards, shards=args.shards).table())
    dataset = mrcnn.datasets.open(shards, subset="train")
    show(dataset, args.output / "pictures")
    if args.epochs:
        config = type("TrainConfig", (PanopticConfig,), {"NUM_CLASSES": dataset.num_classes})()
        model = modellib.MaskRCNN(mode="training", config=config, model_dir=str(args.output))
        model.train(dataset, None, learning_rate=0.001, epochs=args.epochs, layers="all")


if __name__ == "__main__":
    sys.exit(run_script(main))
