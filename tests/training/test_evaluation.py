"""COCO AP through the model: of detections of every score, whatever detection itself is asked for."""
import keras
import pytest

from tests.training.small import shapes, small_model


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_evaluation_counts_detections_that_detect_leaves_out(mode, tmp_path):
    model = small_model(mode, tmp_path, DETECTION_MIN_CONFIDENCE=1.0)
    # A class head that is sure of nothing: four classes of a quarter each, a square just ahead.
    logits = model.keras_model.get_layer("mrcnn_class_logits")
    logits.kernel.assign(keras.ops.zeros_like(logits.kernel))
    logits.bias.assign([0.0, 0.01, 0.0, 0.0])
    dataset = shapes(2)
    assert len(model.detect([dataset.load_image(0)])[0]["scores"]) == 0
    result = model.evaluate(dataset)
    assert result.info["images"] == 2 and result.info["detections"] > 0
    assert all(row["score"] == pytest.approx(0.2519, abs=1e-3) for row in result.rows)
    assert model.evaluate(dataset, min_confidence=0.9).info["detections"] == 0
    assert model.evaluate(dataset, limit=1).info["images"] == 1
