"""The weights that a run starts from, by the words of the command line: coco, imagenet, last, none, or a path."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn.base.text import shorten_names
from mrcnn.training.runs import STAMP_LENGTH, parse_checkpoint
from mrcnn.weights.pretrained import coco_weights

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

# Words that name neither a path nor a run: weights to download, or none at all.
WORDS = ("coco", "imagenet", "none")
COCO_CLASSES, COCO_BACKBONE = 81, "resnet101"
# The layers whose shapes depend on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")


def load_start_weights(model: "MaskRCNN", weights: str, exclude: Sequence[str] = ()) -> None:
    """Load the weights that training starts from.

    Args:
        weights: "coco" for the published COCO weights (without the class layers if the classes are others), "imagenet" for a
            backbone trained on ImageNet, "last" for the newest checkpoint of a run of the configuration's NAME, "none" for
            the random weights that the model has, or the path of a file.
        exclude: Names of layers to leave unchanged; "heads" means CLASS_LAYERS.

    Raises:
        ValueError: The weights are of another network.
        FileNotFoundError: There is no such file, or no checkpoint.
        OSError: The download failed.
    """
    if weights == "none":
        print("Starting from random weights.")
        if model.config.TRAIN_BN is False:
            print("TRAIN_BN is False: batch norm keeps its initial statistics, which only suits pretrained weights. To train "
                  "from random weights set TRAIN_BN=None.")
        return
    excluded = {layer for name in exclude for layer in (CLASS_LAYERS if name == "heads" else (name,))}
    if weights in ("coco", "imagenet") and model.config.IMAGE_CHANNEL_COUNT != 3:
        excluded.add("conv1")  # its kernel is for red, green and blue
    path: Path | str = weights
    if weights == "coco":
        if model.config.NUM_CLASSES != COCO_CLASSES:
            excluded.update(CLASS_LAYERS)
        path = _coco(model)
    elif weights == "imagenet":
        path = model.get_imagenet_weights()
    elif weights == "last":
        path = model.find_last()
    print(f"Loading weights: {path}")
    model.load_weights(str(path), by_name=True, exclude=sorted(excluded) or None)
    checkpoint = parse_checkpoint(path)
    if checkpoint and checkpoint[0][:-STAMP_LENGTH] != (model.config.NAME or "").lower():
        # A checkpoint of another data set is where this run starts, not a run to resume: epoch and folder are new.
        model.set_log_dir()


def load_trained_weights(model: "MaskRCNN", weights: str) -> None:
    """Load the weights to detect with; the file must hold every layer of the model.

    Args:
        weights: "coco", or the path of a checkpoint.

    Raises:
        ValueError: The weights are of another network or of other classes, or the file lacks layers of the model.
    """
    path: Path | str = weights
    if weights == "coco":
        if model.config.NUM_CLASSES != COCO_CLASSES:
            raise ValueError(f"the published weights are of COCO's {COCO_CLASSES} classes (background included), and "
                             f"NUM_CLASSES is {model.config.NUM_CLASSES}: train on these data first.")
        path = _coco(model)
    print(f"Loading weights: {path}")
    report = model.load_weights(str(path), by_name=True)
    if report is not None and report.missing:  # None: a file of Keras's own layout, which loads completely or not at all
        raise ValueError(f"{path}: no weights for {shorten_names(report.missing_layers)}. Detection needs every layer, and "
                         "these would keep random values. Give a checkpoint of a whole network, or train one from this "
                         f"file first (mrcnn train ... --weights {path}).")


def _coco(model: "MaskRCNN") -> Path:
    if model.config.BACKBONE != COCO_BACKBONE:
        raise ValueError(f"the published COCO weights are of a {COCO_BACKBONE}, and BACKBONE is "
                         f"{model.config.BACKBONE!r}: set BACKBONE={COCO_BACKBONE}, or start from other weights.")
    return coco_weights()
