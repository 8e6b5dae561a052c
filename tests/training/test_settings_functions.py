"""Functions of the user as attributes of a configuration: plain functions and methods."""
import keras
import numpy as np

from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.optimizers import make_optimizer
from mrcnn.training.settings import compute_backbone_shapes
from tests.training.small import SmallConfig, tiny_backbone


def own_backbone(pixels, stage5=True, train_bn=None):  # the image is the first argument, of any name
    return tiny_backbone(pixels, stage5, train_bn)


def own_shapes(image_shape):
    return [[image_shape[0] // stride, image_shape[1] // stride] for stride in (4, 8, 16, 32, 64)]


def own_optimizer(learning_rate, config):
    return keras.optimizers.Adam(learning_rate / config.IMAGES_PER_GPU)


class PlainConfig(SmallConfig):
    BACKBONE = own_backbone
    COMPUTE_BACKBONE_SHAPE = own_shapes
    OPTIMIZER = own_optimizer


class MethodConfig(SmallConfig):
    def BACKBONE(self, input_image, stage5, train_bn):
        return tiny_backbone(input_image, stage5, train_bn if self.TRAIN_BN is None else self.TRAIN_BN)

    def COMPUTE_BACKBONE_SHAPE(self, image_shape):
        return own_shapes(image_shape)


def test_plain_function_is_called_with_the_documented_arguments(tmp_path):
    config = PlainConfig()
    model = MaskRCNN("inference", config, str(tmp_path))
    assert model.keras_model.get_layer("res5a") is not None
    assert compute_backbone_shapes(config, (64, 128, 3)).tolist() == [[16, 32], [8, 16], [4, 8], [2, 4], [1, 2]]
    optimizer = make_optimizer(config.with_overrides({"IMAGES_PER_GPU": 4}), 0.4, 0.9)
    np.testing.assert_allclose(float(optimizer.learning_rate), 0.1, rtol=1e-6)


def test_method_is_called_with_the_configuration(tmp_path):
    model = MaskRCNN("inference", MethodConfig(), str(tmp_path))
    assert model.keras_model.get_layer("res5a") is not None
    assert compute_backbone_shapes(MethodConfig(), (64, 64))[0].tolist() == [16, 16]
