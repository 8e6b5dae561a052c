"""Networks of torchvision and detectron2 with their weights against their recorded intermediate tensors and detections.

The recordings are not part of the project: the tests need the folder `../shared/parity`, and are skipped without it.
"""
import sys

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mrcnn import recipes
from mrcnn.inference.mold import mold_inputs
from mrcnn.model import MaskRCNN
from mrcnn.training.settings import mold_settings
from mrcnn.weights.convert import load_state_dict
from tests.shared_data import SHARED

FOLDER = SHARED / "parity"
RECORDINGS = ("torchvision_maskrcnn_r50", "torchvision_v2", "detectron2_r50", "detectron2_lsj")
SIZE = 256  # of the network's input
CLASSES = 7

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there: no recordings of other frameworks")


def _model(recording):
    sys.path.insert(0, str(FOLDER))
    try:
        from modern_weights import kind_of, state_dict
    finally:
        sys.path.remove(str(FOLDER))
    values = {"NAME": "parity", "NUM_CLASSES": CLASSES, "IMAGE_RESIZE_MODE": "square", "IMAGE_MIN_DIM": 192,
              "IMAGE_MAX_DIM": SIZE, "PRE_NMS_LIMIT": 300, "POST_NMS_ROIS_INFERENCE": 100, "DETECTION_MAX_INSTANCES": 20,
              "DETECTION_MIN_CONFIDENCE": 0.02}  # fmt: skip
    config = type("ParityConfig", (recipes.get(kind_of(recording)),), values)()
    model = MaskRCNN("inference", config, None)
    load_state_dict(model, state_dict(recording))
    return model


@pytest.fixture(scope="module", params=RECORDINGS)
def run(request):
    """The recording, and the model with what it gives for both images."""
    recording = np.load(FOLDER / f"{request.param}.npz")
    model = _model(recording)
    images = [recording["photo0"], recording["photo1"]]
    molded, metas, _ = mold_inputs(images, mold_settings(model.config))
    names = {layer.name for layer in model.keras_model.layers}
    ends = [f"fpn_p{n}_bn" if f"fpn_p{n}_bn" in names else f"fpn_p{n}" for n in range(2, 7)]
    pyramid = keras.Model(model.keras_model.inputs[:2], [model.keras_model.get_layer(name).output for name in ends])
    maps = pyramid.predict_on_batch([np.stack(molded), metas.astype(np.float32)])
    outputs = model.full_predictor.run(np.stack(molded), metas)
    return recording, maps, outputs, model.detect(images)


def _assert_close(actual, expected):
    """Within a thousandth of the largest value."""
    assert_allclose(actual, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_pyramid(run):
    recording, maps, *_ = run
    names = [name for name in recording.files if name.startswith("fpn_")]
    for name, level in zip(names, maps, strict=True):
        _assert_close(level[..., :8].transpose(0, 3, 1, 2), recording[name].astype(np.float32))


def test_objectness_of_each_anchor(run):
    recording, _, outputs, _ = run
    probs, start = outputs[5], 0
    for level in range(5):
        expected = recording[f"objectness_{level}"]  # [B, anchors per cell, h, w]
        batch, per_cell, height, width = expected.shape
        of_level = probs[:, start : start + per_cell * height * width]
        start += of_level.shape[1]
        logits = np.log(of_level[..., 1] / of_level[..., 0]).reshape(batch, height, width, per_cell)
        _assert_close(logits.transpose(0, 3, 1, 2), expected)


def test_deltas_of_each_anchor(run):
    recording, _, outputs, _ = run
    deltas, start = outputs[6], 0
    for level in range(5):
        expected = recording[f"deltas_{level}"]  # [B, 4 * anchors per cell, h, w], (dx, dy, dw, dh)
        batch, channels, height, width = expected.shape
        of_level = deltas[:, start : start + channels // 4 * height * width]
        start += of_level.shape[1]
        by_cell = of_level[..., [1, 0, 3, 2]].reshape(batch, height, width, channels)
        _assert_close(by_cell.transpose(0, 3, 1, 2), expected)


def test_proposals_and_their_classes(run):
    recording, _, outputs, _ = run
    rois, probs = outputs[4], outputs[1]
    logits = recording["class_logits"].reshape(2, 100, CLASSES)
    expected = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected /= expected.sum(axis=-1, keepdims=True)
    if "detectron2" in str(recording["kind"] if "kind" in recording else ""):
        expected = np.roll(expected, 1, axis=-1)  # its background is the last class
    for i in range(2):
        assert_allclose(rois[i] * SIZE, recording[f"proposals_{i}"][:, [1, 0, 3, 2]], atol=0.02)
        assert_allclose(probs[i], expected[i], atol=1e-3)


def test_detections(run):
    recording, *_, found = run
    for i in range(2):
        boxes = recording[f"det{i}_boxes"][:, [1, 0, 3, 2]]
        packed, shape = recording[f"det{i}_masks"], recording[f"det{i}_masks_shape"]
        masks = np.unpackbits(packed)[: np.prod(shape)].reshape(shape).astype(bool)
        area = ((boxes[:, 2:] - boxes[:, :2]) > 2).all(axis=1)  # of smaller boxes, rounding may leave nothing
        for row in np.flatnonzero(area):
            is_other = found[i]["class_ids"] != recording[f"det{i}_labels"][row]
            nearest = np.abs(found[i]["rois"] - boxes[row]).max(axis=1) + is_other
            match = nearest.argmin()
            assert nearest[match] <= 0.52, "rounded to whole pixels"
            assert found[i]["scores"][match] == pytest.approx(recording[f"det{i}_scores"][row], abs=1e-3)
            assert (found[i]["masks"][..., match] != masks[row]).sum() <= 0.01 * masks[row].sum() + 1
