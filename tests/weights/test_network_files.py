"""The weight file of the network has exactly the tensors of the classic file, and a classic file is loaded completely."""
import ast
import importlib.util

import keras
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.weights import classic_h5
from tests.shared_data import shared_path


def _model(backbone, mode, folder):
    settings = {"NAME": "files", "BACKBONE": backbone, "NUM_CLASSES": 81, "IMAGES_PER_GPU": 1, "IMAGE_MIN_DIM": 64,
                "IMAGE_MAX_DIM": 64, "POST_NMS_ROIS_TRAINING": 50, "POST_NMS_ROIS_INFERENCE": 50}  # fmt: skip
    return MaskRCNN(mode, type("FilesConfig", (Config,), settings)(), str(folder)).keras_model


def _classic_layout(backbone):
    """Return the set of (group, tensor, shape) of a classic file with 81 classes."""
    rows = shared_path(f"parity/h5_layout_{backbone}.tsv").read_text(encoding="utf-8").splitlines()
    return {(group, tensor, ast.literal_eval(shape)) for group, tensor, shape in (row.split("\t") for row in rows)}


BACKBONES = ["resnet50", pytest.param("resnet101", marks=pytest.mark.tensorflow_only)]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.tensorflow_only
def test_file_has_the_tensors_of_the_classic_file(tmp_path, backbone):
    expected = _classic_layout(backbone)
    classic_h5.save(_model(backbone, "inference", tmp_path), tmp_path / "w.h5")
    written = classic_h5.layout(tmp_path / "w.h5")
    assert len(written) == len(set(written))
    assert set(written) == expected


@pytest.mark.tensorflow_only
def test_inference_network_reads_the_file_of_the_training_network(tmp_path):
    training = _model("resnet50", "training", tmp_path)
    classic_h5.save(training, tmp_path / "w.h5")
    inference = _model("resnet50", "inference", tmp_path)
    report = classic_h5.load(inference, tmp_path / "w.h5", by_name=False)
    # 53 convolutions and norms of the backbone, 8 layers of the pyramid, 3 of the RPN, and the box and mask heads
    assert len(report.matched) == 53 * 6 + 8 * 2 + 3 * 2 + (2 * 6 + 2 * 2) + (4 * 6 + 2 * 2) == 384
    assert not report.missing and not report.unused
    rpn, read = training.get_layer("rpn_model").weights, inference.get_layer("rpn_model").weights
    for ours, theirs in zip(rpn, read, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours.value), keras.ops.convert_to_numpy(theirs.value))


def test_classic_file_is_loaded_completely(tmp_path):
    """The file of the parity recordings, in which each value is a function of the tensor name."""
    spec = importlib.util.spec_from_file_location("classic_weights", shared_path("parity/classic_weights.py"))
    classic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(classic)
    rows = [f"{tensor.removesuffix(':0')}/{shape}" for _, tensor, shape in sorted(_classic_layout("resnet50"))]
    classic.write_h5(tmp_path / "classic.h5", rows, salt=3)

    model = _model("resnet50", "inference", tmp_path)
    report = classic_h5.load(model, tmp_path / "classic.h5")
    assert len(report.matched) == len(rows) and not report.missing and not report.unused
    layers = [model.get_layer(name) for name in ("conv1", "bn4f_branch2c", "fpn_p2", "mrcnn_bbox_fc", "mrcnn_mask")]
    layers += [layer for layer in model.get_layer("rpn_model").layers if layer.weights]
    for layer in layers:
        for variable in layer.weights:
            expected = classic.weight(layer.name, variable.name, tuple(variable.shape), 3)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), expected)
