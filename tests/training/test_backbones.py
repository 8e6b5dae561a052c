"""A backbone of each family in a complete network: it trains a step, detects, and is saved and loaded."""
import keras
import numpy as np
import pytest

from mrcnn.network.backbones.resnet import ResNetVariant
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.trainable import backbone_stages, layer_regex, leaf_layers, set_trainable
from mrcnn.weights import imagenet
from tests.training.small import batch_of, shapes, small_config, to_numpy, weights_of

FAMILIES = ["efficientnet_lite0", *(
    pytest.param(name, marks=pytest.mark.tensorflow_only)
    for name in ("resnet18", "mobilenetv3_small", "resnet50v2", "convnext_tiny", "efficientnetv2_b0"))]  # fmt: skip


pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config")


@pytest.fixture(autouse=True)
def eager():
    """A step of a network that is not compiled takes a second, compiling it 15."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", FAMILIES)
def test_backbone_trains_detects_and_is_saved(name, tmp_path):
    model = MaskRCNN("training", small_config(BACKBONE=name, TRAIN_BN=None), str(tmp_path))
    before = weights_of(model.keras_model)
    model.train(shapes(2), None, 0.001, 1, "3+")
    stages, after = backbone_stages(model.keras_model), weights_of(model.keras_model)
    changed = {tensor.partition("/")[0] for tensor in before if not np.array_equal(before[tensor], after[tensor])}
    assert len(stages[2]) > 3 and not changed & set(stages[2])  # frozen, statistics included
    for stage in (3, 4, 5):
        assert len(changed & set(stages[stage])) > len(stages[stage]) // 2
    images = [np.full((40, 60, 3), 120, np.uint8), np.zeros((64, 50, 3), np.uint8)]
    detections = model.detect(images)

    model.save_weights(tmp_path / "w.h5")
    loaded = MaskRCNN("inference", small_config(BACKBONE=name, TRAIN_BN=None), str(tmp_path))
    report = loaded.load_weights(tmp_path / "w.h5")
    assert not report.missing and not report.unused
    for ours, theirs in zip(loaded.detect(images), detections, strict=True):
        np.testing.assert_array_equal(ours["rois"], theirs["rois"])
        np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)


@pytest.mark.parametrize("name", ["convnext_tiny", "efficientnetv2_b0", "mobilenetv3_small", "resnet50v2"])
@pytest.mark.tensorflow_only
def test_keras_file_gives_the_same_outputs(name, tmp_path):
    config = small_config(BACKBONE=name)
    model = MaskRCNN("training", config, str(tmp_path)).keras_model
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    outputs = [to_numpy(m(list(batch_of(config)), training=False)["rpn_class_logits"]) for m in (model, loaded)]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
    assert [layer.name for layer in leaf_layers(loaded)] == [layer.name for layer in leaf_layers(model)]
    with pytest.raises(ValueError, match="'nothing' matches no layer"):
        set_trainable(loaded, layer_regex("nothing", loaded))
    assert backbone_stages(loaded) == backbone_stages(model)


def test_imagenet_weights_are_those_of_the_variant_and_warn_about_other_pixels(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(imagenet, "imagenet_weights", lambda *args, **kwargs: calls.append((args, kwargs)) or tmp_path / "w.h5")
    model = MaskRCNN("inference", small_config(BACKBONE="resnet18", NORM_EPSILON=1e-5), str(tmp_path))
    with pytest.warns(UserWarning, match=r"weights of resnet18 need STD_PIXEL=\[58.395, 57.12, 57.375\], RESNET_PADDING='sym"):
        assert model.get_imagenet_weights() == str(tmp_path / "w.h5")
    assert calls == [(("resnet18",), {"resnet": ResNetVariant(epsilon=1e-5)})]
