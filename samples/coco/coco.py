"""COCO: train on its instances, and evaluate with its metrics.

    python3 coco.py train --dataset=/path/to/coco --model=imagenet
    python3 coco.py train --dataset=/path/to/coco --model=last --year=2017 --download=true
    python3 coco.py evaluate --dataset=/path/to/coco --model=coco --limit=500

The year is 2014 unless --year is given, as scripts that call this one expect; `mrcnn train coco` detects the year.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

from mrcnn import model as modellib
from mrcnn.base.progress import tracked
from mrcnn.cli.backend import compiling_first
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.datasets.formats.coco import CocoDataset
from mrcnn.training.run_start import load_start_weights

DEFAULT_LOGS_DIR = str(ROOT_DIR / "logs")
DEFAULT_DATASET_YEAR = "2014"
EVAL_TYPES = {"bbox": ("bbox",), "segm": ("segm",), "both": ("bbox", "segm")}


class CocoConfig(Config):
    """Training on COCO: two images per 12 GB GPU."""

    NAME = "coco"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 80  # background and COCO's classes


class InferenceConfig(CocoConfig):
    """Evaluation: one image at a time, and detections of every score, which average precision needs."""

    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


def build_coco_results(dataset, image_ids, rois, class_ids, scores, masks):
    """Convert the detections of an image to COCO's results format.

    Args:
        dataset: CocoDataset, which maps class ids to COCO's.
        image_ids: list of COCO's image ids, usually of one image.
        rois: [N, (y1, x1, y2, x2)] pixels, or None if there are no detections.
        class_ids: int [N].
        scores: float [N].
        masks: bool or uint8 [H, W, N].

    Returns:
        list of {"image_id", "category_id", "bbox" [x, y, width, height], "score", "segmentation"}.
    """
    results = []
    for image_id in image_ids if rois is not None else []:
        for i, (y1, x1, y2, x2) in enumerate(np.asarray(rois, float)):
            results.append({
                "image_id": image_id,
                "category_id": dataset.get_source_class_id(class_ids[i], "coco"),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(scores[i]),
                "segmentation": mask_utils.encode(np.asfortranarray(masks[:, :, i], dtype=np.uint8)),
            })  # fmt: skip
    return results


def evaluate_coco(model, dataset, coco, eval_type="both", limit=0, image_ids=None):
    """Detect on the images of a data set, and print COCO's twelve metrics.

    Args:
        model: MaskRCNN in inference mode.
        dataset: CocoDataset, prepared.
        coco: pycocotools COCO, as returned by load_coco(return_coco=True).
        eval_type: "bbox", "segm" or "both".
        limit: int. Only the first `limit` images; 0 for all.
        image_ids: ids of `dataset`, None for all of them.

    Returns:
        {"bbox" and/or "segm": float [12], COCOeval's stats}.
    """
    kinds = EVAL_TYPES[eval_type]
    image_ids = list(dataset.image_ids if image_ids is None else image_ids)
    image_ids = image_ids[:limit] if limit else image_ids
    coco_image_ids = [dataset.image_info[image_id]["id"] for image_id in image_ids]
    results, seconds = [], 0.0
    with compiling_first()("detecting") as show:
        for image_id, coco_image_id in tracked(zip(image_ids, coco_image_ids, strict=True), show, len(image_ids)):
            image = dataset.load_image(image_id)
            start = time.perf_counter()
            result = model.detect([image], verbose=0)[0]
            seconds += time.perf_counter() - start
            results += build_coco_results(dataset, [coco_image_id], result["rois"], result["class_ids"],
                                          result["scores"], result["masks"])
    print(f"Detection: {seconds:.1f} s, {seconds / max(len(image_ids), 1):.2f} s per image")

    detections = _load_results(coco, results)
    stats = {}
    for kind in kinds:
        evaluation = COCOeval(coco, detections, kind)
        evaluation.params.imgIds = coco_image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        stats[kind] = evaluation.stats
    return stats


def _load_results(coco, results):
    if results:
        return coco.loadRes(results)
    # loadRes fails on an empty list, and a network that has barely trained may detect nothing.
    detections = COCO()
    detections.dataset = {**coco.dataset, "annotations": []}
    detections.createIndex()
    return detections


def train(model, dataset_dir, year, download):
    """Train the heads, then ResNet from stage 4 on, then all layers at a tenth of the learning rate."""
    train_set = CocoDataset()
    train_set.load_coco(dataset_dir, "train", year=year, auto_download=download)
    if year == "2014":
        # The 35k images of the 2014 validation set that are customarily used for training too.
        train_set.load_coco(dataset_dir, "valminusminival", year=year, auto_download=download)
    train_set.prepare()
    val_set = CocoDataset()
    val_set.load_coco(dataset_dir, validation_subset(year), year=year, auto_download=download)
    val_set.prepare()

    import imgaug.augmenters as iaa  # takes seconds to import

    augmentation = iaa.Fliplr(0.5)
    rate = model.config.LEARNING_RATE
    for layers, epochs, learning_rate in (("heads", 40, rate), ("4+", 120, rate), ("all", 160, rate / 10)):
        if model.epoch < epochs:  # a resumed run may have completed a stage
            model.train(train_set, val_set, learning_rate=learning_rate, epochs=epochs, layers=layers,
                        augmentation=augmentation)


def validation_subset(year):
    """Return the subset to validate on: "minival" (5k images) in 2014, else "val"."""
    return "minival" if year == "2014" else "val"


def flag(text):
    """Parse true or false, for argparse's `type`."""
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train Mask R-CNN on COCO.")
    parser.add_argument("command", choices=("train", "evaluate"))
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder with annotations/ and the images")
    parser.add_argument("--model", required=True, metavar="coco|last|imagenet|PATH", help="initial weights")
    parser.add_argument("--logs", default=DEFAULT_LOGS_DIR, metavar="DIR", help="folder of the runs")
    parser.add_argument("--year", default=DEFAULT_DATASET_YEAR,
                        help="year in the names of files and folders, 2014 or 2017 (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="evaluate only N images (default: all)")
    parser.add_argument("--download", type=flag, nargs="?", const=True, default=False, metavar="true|false",
                        help="download the data to --dataset if they are missing (default: false)")
    args = parser.parse_args(argv)

    if not args.download and not Path(args.dataset).is_dir():
        parser.error(f"{args.dataset}: no such folder: give the one that contains annotations/, or --download=true")
    training = args.command == "train"
    config = CocoConfig() if training else InferenceConfig()
    config.display()
    model = modellib.MaskRCNN(mode="training" if training else "inference", config=config, model_dir=args.logs)
    load_start_weights(model, args.model)
    if training:
        train(model, args.dataset, args.year, args.download)
    else:
        dataset = CocoDataset()
        coco = dataset.load_coco(args.dataset, validation_subset(args.year), year=args.year, return_coco=True,
                                 auto_download=args.download)
        dataset.prepare()
        evaluate_coco(model, dataset, coco, "both", limit=args.limit)


if __name__ == "__main__":
    sys.exit(run_script(main))
