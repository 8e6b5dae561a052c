"""A very small but complete detector, and data for it."""
import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.network.layers.norms import BatchNorm
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.settings import make_loader


def tiny_backbone(input_image, stage5=True, train_bn=None):
    """Four convolutions with stride 2, named like the stages of a ResNet."""
    x = keras.layers.AveragePooling2D(2)(input_image)
    x = BatchNorm(name="bn_conv1", center=False, scale=False)(x, training=train_bn)
    maps = [None]
    for stage, channels in zip("2345", (8, 12, 16, 16)):
        x = keras.layers.Conv2D(channels, 3, strides=2, padding="same", name=f"res{stage}a")(x)
        x = BatchNorm(name=f"bn{stage}a")(x, training=train_bn)
        x = keras.layers.Activation("relu", name=f"res{stage}a_out")(x)
        maps.append(x)
    return maps


class SmallConfig(Config):
    """Images of 64 pixels, layers with a few channels, and few ROIs."""

    NAME = "small"
    BACKBONE = staticmethod(tiny_backbone)
    NUM_CLASSES = 1 + 3
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    RPN_HEAD_CHANNELS = 16
    MASK_HEAD_CHANNELS = 16
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    PRE_NMS_LIMIT = 100
    POST_NMS_ROIS_TRAINING = 40
    POST_NMS_ROIS_INFERENCE = 20
    TRAIN_ROIS_PER_IMAGE = 8
    MAX_GT_INSTANCES = 4
    MINI_MASK_SHAPE = (16, 16)
    DETECTION_MAX_INSTANCES = 5
    DETECTION_MIN_CONFIDENCE = 0
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    LOADER_WORKERS = 0


def small_config(**values):
    """Return a SmallConfig with `values` in place of the defaults."""
    return type("TestConfig", (SmallConfig,), values)()


def shapes(count, height=64, width=64, seed=0):
    """Return a prepared data set of shapes."""
    dataset = ShapesDataset()
    dataset.load_shapes(count, height, width, seed=seed)
    dataset.prepare()
    return dataset


def small_model(mode, tmp_path, **values):
    """Return a MaskRCNN with `small_config(**values)`."""
    return MaskRCNN(mode, small_config(**values), str(tmp_path))


def batch_of(config, count=2, seed=0):
    """Return the training arrays of the first batch of shapes."""
    return make_loader(shapes(count, seed=seed), config, shuffle=False)[0]


def to_numpy(value):
    """Convert a tensor, or a structure of tensors, to NumPy arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, value)


def weights_of(model, *names):
    """Return {layer/variable: array} for the layers with `names`, or for all layers."""
    found = {}
    for layer in model.layers:
        inner = layer.layers if hasattr(layer, "layers") else [layer]
        for one in inner:
            if not names or one.name in names:
                found |= {f"{one.name}/{w.name}": np.array(keras.ops.convert_to_numpy(w)) for w in one.weights}
    return found
