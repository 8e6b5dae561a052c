"""COCO+LVIS: class-agnostic objects with their parts. Build a data set, show its layers and trees, and train on it.

    python3 cocolvis.py                                      # generates COCO and LVIS files of shapes first
    python3 cocolvis.py --coco=instances_train2017.json --lvis=lvis_v1_train.json --images=~/coco --epochs=10
    python3 cocolvis.py --dataset=~/cocolvis --levels=parts --epochs=10
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot as plt

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

import mrcnn.datasets
from mrcnn import model as modellib
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.catalog import subsets_of
from mrcnn.datasets.formats.cocolvis.dataset import LEVELS
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.geometry.rle import encode_mask
from mrcnn.tools.convert.cocolvis import build_cocolvis
from mrcnn.viz.cocolvis import layers_figure, tree_figure

DRAWN_IMAGES, SIZE = 8, (96, 128)
MIN_RADIUS = 3  # of a generated part, in pixels
PICTURES = 4


class CocoLvisConfig(Config):
    """A small network to train from scratch for a few steps on a CPU. Photographs need a larger one."""

    NAME = "cocolvis"
    NUM_CLASSES = 1 + 1  # background, object
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


def draw_pair(folder, count=DRAWN_IMAGES):
    """Draw images of shapes with discs inside, and write two annotation files.

    COCO's file has all shapes; LVIS's has every second shape, and the discs, which are parts.

    Args:
        folder: Path.
        count: int. Number of images.

    Returns:
        (coco_json, lvis_json, images_dir): Paths.
    """
    shapes = ShapesDataset()
    shapes.load_shapes(count, *SIZE)
    shapes.prepare()
    files = {name: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing", "frequency": "f"}]}
             for name in ("instances.json", "lvis.json")}  # fmt: skip
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i in shapes.image_ids:
        image, masks = shapes.load_image(i), np.moveaxis(shapes.load_mask(i)[0], 2, 0)
        discs = [disc for disc in map(disc_in, masks) if disc.any()]
        for disc in discs:
            image[disc] = 255 - image[disc]
        cv2.imwrite(str(folder / "images" / f"{i + 1:012}.jpg"), image[:, :, ::-1])
        for content, drawn in zip(files.values(), ([*masks], [*masks[::2], *discs]), strict=True):
            content["images"].append({"id": int(i) + 1, "file_name": f"{i + 1:012}.jpg", "height": SIZE[0], "width": SIZE[1],
                                      "neg_category_ids": [], "not_exhaustive_category_ids": []})  # fmt: skip
            for mask in drawn:
                content["annotations"].append({"id": len(content["annotations"]) + 1, "image_id": int(i) + 1, "category_id": 1,
                                               "iscrowd": 0, "segmentation": encode_mask(mask)})  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return *(folder / name for name in files), folder / "images"


def disc_in(mask):
    """Return a disc bool [H, W] at the widest point of a mask, half as large as would fit; empty if that is too small."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    disc = np.zeros(mask.shape, np.uint8)
    if depth.max() >= 2 * MIN_RADIUS:
        y, x = np.unravel_index(np.argmax(depth), depth.shape)
        cv2.circle(disc, (int(x), int(y)), int(depth.max() / 2), 1, -1)
    return disc.astype(bool)


def show(dataset, folder):
    """Write the layers and the tree of the first images as pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in dataset.image_ids[:PICTURES]:
        for name, draw in (("layers", layers_figure), ("tree", tree_figure)):
            figure = draw(dataset, i)
            figure.savefig(folder / f"{dataset.image_info[i]['id']}_{name}.png", dpi=120)
            plt.close(figure)
    print(f"Pictures: {folder}")


def main(argv=None):
    """Build a data set, open it, show it, train on it."""
    parser = argparse.ArgumentParser(description="COCO+LVIS: build a data set, show it, and train on it.")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="an existing data set; its subset train, if it has subsets")
    for name, what in (("coco", "COCO's instances"), ("lvis", "LVIS's annotations"), ("images", "folder of the images")):
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=f"{what}, to build from (default: generated shapes)")
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "logs" / "cocolvis", metavar="DIR",
                        help="folder of the data set, pictures and runs (default: %(default)s)")
    parser.add_argument("--levels", choices=LEVELS, default="all", help="objects to train on (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, metavar="N",
                        help="epochs to train, or 0 to skip training (default: %(default)s)")
    args = parser.parse_args(argv)

    source = [args.coco, args.lvis, args.images]
    if any(source) and (not all(source) or args.dataset):
        parser.error("give --coco, --lvis and --images together, and without --dataset")
    folder = args.dataset.expanduser() if args.dataset else args.output / "set"
    if not args.dataset:
        pair = [path.expanduser() for path in source] if all(source) else draw_pair(args.output / "pair")
        print(build_cocolvis(*pair, folder / "train").table())
    subset = "train" if subsets_of(folder, "cocolvis") else None
    dataset = mrcnn.datasets.open(folder, "cocolvis", subset, levels=args.levels)
    show(dataset, args.output / "pictures")
    if args.epochs:
        model = modellib.MaskRCNN(mode="training", config=CocoLvisConfig(), model_dir=str(args.output))
        model.train(dataset, None, learning_rate=0.001, epochs=args.epochs, layers="all")


if __name__ == "__main__":
    sys.exit(run_script(main))
