"""Networks of the recipes with small layers: they train a step, detect images of any size, and can be inspected."""
import numpy as np
import pytest

from mrcnn import recipes
from mrcnn.datasets.formats.shapes import ShapesDataset
from mrcnn.model import MaskRCNN
from mrcnn.training.inspection import inference_stages

SMALL = {
    "NAME": "small", "NUM_CLASSES": 4, "BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 32, "RPN_HEAD_CHANNELS": 32,
    "MASK_HEAD_CHANNELS": 32, "BOX_HEAD_CHANNELS": 32, "FPN_CLASSIF_FC_LAYERS_SIZE": 32, "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 128, "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128), "PRE_NMS_LIMIT": 40, "POST_NMS_ROIS_TRAINING": 20,
    "POST_NMS_ROIS_INFERENCE": 20, "TRAIN_ROIS_PER_IMAGE": 16, "DETECTION_MAX_INSTANCES": 10, "DETECTION_MIN_CONFIDENCE": 0.0,
    "STEPS_PER_EPOCH": 2, "LOADER_WORKERS": 0}  # fmt: skip
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 128, 3)).astype(np.uint8)


def _config(name, **values):
    return type("SmallConfig", (recipes.get(name),), {**SMALL, **values})()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("mode", ["square", "pad64"])
def test_inspection_gives_the_detections(mode):
    """In mode pad64 the sizes of the feature maps, which divide the anchors into levels, are known only at run time."""
    model = MaskRCNN("inference", _config("modern", IMAGE_RESIZE_MODE=mode), None)
    with pytest.warns(UserWarning, match="random weights"):
        found = model.detect([IMAGE])[0]
    stages = inference_stages(model, IMAGE)
    assert len(found["rois"]) > 0
    np.testing.assert_array_equal(stages.detections["rois"], found["rois"])
    np.testing.assert_array_equal(stages.detections["masks"], found["masks"])
    # a row for each of the three classes of a proposal
    assert len(stages.proposals) == len(stages.scores) and len(stages.proposals) % 3 == 0


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["detectron2_lsj", "modern"])
def test_a_step_is_trained(name, tmp_path):
    """Detection of `detectron2_lsj` has an adaptive number of samples in ROI align, which JAX could not train with."""
    data = ShapesDataset()
    data.load_shapes(4, 128, 128, seed=1)
    data.prepare()
    model = MaskRCNN("training", _config(name, TRAIN_LAYERS="all"), str(tmp_path))
    before = np.asarray(model.keras_model.get_layer("mrcnn_class_logits").kernel).copy()
    history = model.train(data, None, learning_rate=0.01, epochs=1, layers="all").history
    assert all(np.isfinite(history[loss]).all() for loss in history)
    assert history["positive_rois"][0] > 0, "ground truth is among the proposals"
    assert (np.asarray(model.keras_model.get_layer("mrcnn_class_logits").kernel) != before).any()
