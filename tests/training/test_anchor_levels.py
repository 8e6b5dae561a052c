"""Fewer anchor scales than pyramid levels: the last levels have no anchors, in training, detection and inspection."""
import numpy as np
import pytest

from mrcnn import recipes
from mrcnn.training.inspection import inference_stages
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.settings import config_anchors, level_counts
from tests.training.small import shapes, small_config

pytestmark = [pytest.mark.filterwarnings("ignore:.*RPN_ANCHOR_SCALES has 3 values"),
              pytest.mark.filterwarnings("ignore:detecting with random weights")]
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
SCALES = {"RPN_ANCHOR_SCALES": (8, 16, 32), "DETECTION_MIN_CONFIDENCE": 0.0}


def test_anchors_are_those_of_the_first_levels():
    """On 64 x 64 pixels, P2 to P4 have 16 x 16, 8 x 8 and 4 x 4 cells with three anchors each."""
    config = small_config(**SCALES)
    anchors = config_anchors(config)
    assert level_counts(config) == [768, 192, 48] and anchors.shape == (1008, 4)
    np.testing.assert_array_equal(anchors, config_anchors(small_config(RPN_ANCHOR_SCALES=(8, 16, 32, 64, 128)))[:1008])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("recipe", ["classic", "modern"])
def test_network_trains_and_detects(recipe, tmp_path):
    values = {**recipes.values(recipe), **SCALES}
    model = MaskRCNN("training", small_config(**values), str(tmp_path))
    assert model.keras_model.output["rpn_class"].shape[1] == 1008
    history = model.train(shapes(2), None, 0.001, 1, "all").history
    assert np.isfinite(history["loss"]).all()
    assert len(model.detect([IMAGE])[0]["rois"]) > 0


@pytest.mark.tensorflow_only
def test_stages_are_those_of_the_detections(tmp_path):
    model = MaskRCNN("inference", small_config(IMAGE_RESIZE_MODE="pad64", **SCALES), str(tmp_path))
    found, stages = model.detect([IMAGE])[0], inference_stages(model, IMAGE)
    assert len(stages.anchors) == 1008 and stages.level_counts == [768, 192, 48]
    np.testing.assert_array_equal(stages.detections["rois"], found["rois"])
