"""Where a run starts from, by the words of the command line: coco, imagenet, last, none, or a path."""

from mrcnn.training.runs import STAMP_LENGTH, parse_checkpoint
from mrcnn.weights.classic_h5 import shorten_names
from mrcnn.weights.pretrained import coco_weights

# What is no path and no run: fetched, or nothing at all.
WORDS = ("coco", "imagenet", "none")
COCO_CLASSES, COCO_BACKBONE = 81, "resnet101"
# The layers whose shapes depend on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")


def load_start_weights(model, weights, exclude=()):
    """Load the weights that training starts from.

    Args:
        model: MaskRCNN.
        weights: str. "coco" for the published COCO weights (without the class layers where the classes are others),
            "imagenet" for a backbone trained on ImageNet, "last" for the newest checkpoint of a run of the
            configuration's NAME, "none" for the random weights that the model has, or the path of a file.
        exclude: names of layers to leave as they are; "heads" stands for CLASS_LAYERS.

    Raises:
        ValueError: the weights are of another network.
        FileNotFoundError: no such file, or no checkpoint. OSError: the download failed.
    """
    if weights == "none":
        print("Starting from random weights.")
        if model.config.TRAIN_BN is False:
            print("TRAIN_BN is False: BatchNorm keeps its first statistics, which is meant for pretrained weights. "
                  "From random ones set TRAIN_BN=None.")
        return
    exclude = {layer for name in exclude for layer in (CLASS_LAYERS if name == "heads" else (name,))}
    if weights in ("coco", "imagenet") and model.config.IMAGE_CHANNEL_COUNT != 3:
        exclude.add("conv1")  # its kernel is for red, green and blue
    if weights == "coco":
        if model.config.NUM_CLASSES != COCO_CLASSES:
            exclude.update(CLASS_LAYERS)
        weights = _coco(model)
    elif weights == "imagenet":
        weights = model.get_imagenet_weights()
    elif weights == "last":
        weights = model.find_last()
    print(f"Loading weights: {weights}")
    model.load_weights(str(weights), by_name=True, exclude=sorted(exclude) or None)
    checkpoint = parse_checkpoint(weights)
    if checkpoint and checkpoint[0][:-STAMP_LENGTH] != model.config.NAME.lower():
        # A checkpoint of another data set is a start, and no run to go on with: its epoch and folder are not ours.
        model.set_log_dir()


def load_trained_weights(model, weights):
    """Load the weights to detect with; the file must hold every layer of the model.

    Args:
        model: MaskRCNN.
        weights: str. "coco", or the path of a checkpoint.

    Raises:
        ValueError: the weights are of another network or of other classes, or the file lacks layers of the model.
    """
    if weights == "coco":
        if model.config.NUM_CLASSES != COCO_CLASSES:
            raise ValueError(f"the published weights know COCO's {COCO_CLASSES} classes (background included), and "
                             f"NUM_CLASSES is {model.config.NUM_CLASSES}: train on these data first.")
        weights = _coco(model)
    print(f"Loading weights: {weights}")
    report = model.load_weights(str(weights), by_name=True)
    if report is not None and report.missing:  # None: a file of Keras's own layout, which loads whole or not at all
        raise ValueError(f"{weights}: no weights for {shorten_names(report.missing_layers)}. Detection needs every layer, "
                         "and these would keep random values. Give a checkpoint of a whole network, or train one from this "
                         f"file first (mrcnn train ... --weights {weights}).")


def _coco(model):
    if model.config.BACKBONE != COCO_BACKBONE:
        raise ValueError(f"the published COCO weights are of a {COCO_BACKBONE}, and BACKBONE is "
                         f"{model.config.BACKBONE!r}: set BACKBONE={COCO_BACKBONE}, or start from other weights.")
    return coco_weights()
