"""Nuclei: the 2018 Data Science Bowl, with many small cells in microscope images, and its submission file.

The data folder has stage1_train/ and stage1_test/, with a folder for each image:
<id>/images/<id>.png and <id>/masks/<one PNG per nucleus>.png.

    python3 nucleus.py train --dataset=/path/to/data --subset=train --weights=imagenet
    python3 nucleus.py detect --dataset=/path/to/data --subset=stage1_test --weights=last
"""

import argparse
import datetime
import hashlib
import sys
from pathlib import Path

import numpy as np
import skimage.io

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT_DIR))  # for a clone that is not installed

from mrcnn import model as modellib
from mrcnn import utils
from mrcnn.cli.main import run_script
from mrcnn.config import Config
from mrcnn.io.images import read_stored
from mrcnn.training.run_start import load_start_weights
from mrcnn.viz.draw import draw_detections

DEFAULT_LOGS_DIR = str(ROOT_DIR / "logs")
RESULTS_DIR = str(ROOT_DIR / "results" / "nucleus")


class NucleusConfig(Config):
    """Training on random crops: image sizes vary a lot, and nuclei are small and numerous."""

    NAME = "nucleus"
    NUM_CLASSES = 1 + 1  # background, nucleus
    BACKBONE = "resnet50"
    IMAGES_PER_GPU = 6
    # 512-pixel crops of images at twice their size, so that nuclei of a dozen pixels are large enough for the anchors.
    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512
    IMAGE_MIN_SCALE = 2.0
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    # Nuclei touch each other: keep proposals with a large overlap.
    RPN_NMS_THRESHOLD = 0.9
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    POST_NMS_ROIS_TRAINING = 1000
    POST_NMS_ROIS_INFERENCE = 2000
    MEAN_PIXEL = np.array([43.53, 39.56, 48.22])
    TRAIN_ROIS_PER_IMAGE = 128
    MAX_GT_INSTANCES = 200
    DETECTION_MAX_INSTANCES = 400
    DETECTION_MIN_CONFIDENCE = 0


class NucleusInferenceConfig(NucleusConfig):
    """Detection on whole images, padded to the multiple that the pyramid needs."""

    IMAGES_PER_GPU = 1
    IMAGE_RESIZE_MODE = "pad64"
    RPN_NMS_THRESHOLD = 0.7


class NucleusDataset(utils.Dataset):
    """One folder per image, one PNG per nucleus."""

    def load_nucleus(self, dataset_dir, subset):
        """Add the images of a subset.

        Args:
            dataset_dir: path. The data folder.
            subset: str. "train" and "val" split stage1_train/ nine to one; any other name is a folder, such as
                "stage1_train" or "stage1_test".
        """
        self.add_class("nucleus", 1, "nucleus")
        folder = Path(dataset_dir) / ("stage1_train" if subset in ("train", "val") else subset)
        ids = sorted(path.name for path in folder.iterdir() if path.is_dir())
        held_out = validation_ids(ids)
        if subset == "val":
            ids = held_out
        elif subset == "train":
            ids = [i for i in ids if i not in set(held_out)]
        for i in ids:
            self.add_image("nucleus", image_id=i, path=str(folder / i / "images" / f"{i}.png"))

    def load_mask(self, image_id):
        """Return (masks bool [H, W, N], class ids int32 [N]), one mask per file."""
        info = self.image_info[image_id]
        if info["source"] != "nucleus":
            return super().load_mask(image_id)
        folder = Path(info["path"]).parents[1] / "masks"
        masks = [read_stored(path) > 0 for path in sorted(folder.glob("*.png"))]
        if not masks:
            return super().load_mask(image_id)
        # Some files are RGB images.
        masks = [mask if mask.ndim == 2 else mask.any(axis=-1) for mask in masks]
        return np.stack(masks, axis=-1), np.ones(len(masks), np.int32)

    def image_reference(self, image_id):
        """Return the challenge's id of an image."""
        info = self.image_info[image_id]
        return info["id"] if info["source"] == "nucleus" else super().image_reference(image_id)


def validation_ids(ids):
    """Return the tenth of `ids` (at least one) to hold out for validation, sorted; it does not depend on their order."""
    by_hash = sorted(ids, key=lambda i: hashlib.md5(i.encode(), usedforsecurity=False).hexdigest())
    return sorted(by_hash[: max(len(ids) // 10, 1)])


def train(model, dataset_dir, subset):
    """Train the heads, then every layer."""
    train_set, val_set = NucleusDataset(), NucleusDataset()
    train_set.load_nucleus(dataset_dir, subset)
    train_set.prepare()
    val_set.load_nucleus(dataset_dir, "val")
    val_set.prepare()

    import imgaug.augmenters as iaa  # takes seconds to import

    augmentation = iaa.SomeOf((0, 2), [
        iaa.Fliplr(0.5),
        iaa.Flipud(0.5),
        iaa.OneOf([iaa.Rot90(1), iaa.Rot90(2), iaa.Rot90(3)]),
        iaa.Multiply((0.8, 1.5)),
        iaa.GaussianBlur(sigma=(0.0, 5.0)),
    ])  # fmt: skip
    for layers, epochs in (("heads", 20), ("all", 40)):
        if model.epoch < epochs:  # a resumed run may have completed a stage
            model.train(train_set, val_set, learning_rate=model.config.LEARNING_RATE, epochs=epochs, layers=layers,
                        augmentation=augmentation)


def rle_encode(mask):
    """Encode a mask in the challenge's format, "start length start length ...".

    Args:
        mask: bool [H, W]. Pixels are numbered down the columns, from 1 at the top left.

    Returns:
        str. Empty for an empty mask.
    """
    padded = np.concatenate([[False], np.asarray(mask, bool).T.ravel(), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])  # starts and ends in turn
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends, strict=True))


def rle_decode(rle, shape):
    """Decode what `rle_encode` returns.

    Args:
        rle: str.
        shape: (height, width).

    Returns:
        bool [H, W].
    """
    numbers = np.array(rle.split(), int)
    flat = np.zeros(shape[0] * shape[1], bool)
    for start, length in zip(numbers[::2] - 1, numbers[1::2], strict=True):
        flat[start : start + length] = True
    return flat.reshape(shape[1], shape[0]).T


def mask_to_rle(image_id, mask, scores):
    """Return the lines of the submission file for an image, one per instance.

    A pixel may belong to only one nucleus, the one with the highest score.

    Args:
        image_id: str.
        mask: bool [H, W, N].
        scores: float [N].
    """
    taken = np.zeros(mask.shape[:2], bool)
    lines = []
    for i in np.argsort(scores, kind="stable")[::-1]:
        free = mask[:, :, i].astype(bool) & ~taken
        taken |= free
        if free.any():
            lines.append(f"{image_id}, {rle_encode(free)}")
    # An image without nuclei needs a line too.
    return "\n".join(lines) or f"{image_id},"


def detect(model, dataset_dir, subset, results_dir=RESULTS_DIR):
    """Detect on a subset; write a picture for each image, and the submission file.

    Returns:
        Path. The submission file.
    """
    folder = Path(results_dir) / f"submit_{datetime.datetime.now():%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True)
    dataset = NucleusDataset()
    dataset.load_nucleus(dataset_dir, subset)
    dataset.prepare()
    lines = ["ImageId,EncodedPixels"]
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        result = model.detect([image])[0]
        name = dataset.image_info[image_id]["id"]
        lines.append(mask_to_rle(name, result["masks"], result["scores"]))
        picture = draw_detections(image, result, dataset.class_names)
        skimage.io.imsave(folder / f"{name}.png", picture, check_contrast=False)
    submission = folder / "submit.csv"
    submission.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("Saved to", folder)
    return submission


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Mask R-CNN for counting and segmenting nuclei.")
    parser.add_argument("command", choices=("train", "detect"))
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder with stage1_train/ and stage1_test/")
    parser.add_argument("--subset", help="train, val, or the name of a folder (default: train; detect: stage1_test)")
    parser.add_argument("--weights", required=True, metavar="coco|imagenet|last|PATH")
    parser.add_argument("--logs", default=DEFAULT_LOGS_DIR, metavar="DIR", help="folder of the runs")
    args = parser.parse_args(argv)

    if not Path(args.dataset).is_dir():
        parser.error(f"{args.dataset}: no such folder: give the one that contains stage1_train/ and stage1_test/")
    training = args.command == "train"
    if not training and args.weights in ("coco", "imagenet", "none"):
        parser.error("detect needs weights that were trained on nuclei: --weights=last or a path")
    config = NucleusConfig() if training else NucleusInferenceConfig()
    config.display()
    model = modellib.MaskRCNN(mode="training" if training else "inference", config=config, model_dir=args.logs)
    load_start_weights(model, args.weights)
    if training:
        train(model, args.dataset, args.subset or "train")
    else:
        detect(model, args.dataset, args.subset or "stage1_test")


if __name__ == "__main__":
    sys.exit(run_script(main))
