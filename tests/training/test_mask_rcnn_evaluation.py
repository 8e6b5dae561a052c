"""MaskRCNN.evaluate uses detections of any score, and skips and reports images that cannot be read."""
import cv2
import keras
import numpy as np
import pytest

from mrcnn.datasets.formats.shapes import ShapesDataset
from tests.training.small import shapes, small_model


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_evaluation_includes_detections_below_the_threshold_of_detect(mode, tmp_path):
    model = small_model(mode, tmp_path, DETECTION_MIN_CONFIDENCE=1.0)
    # a class head with about equal probabilities for the four classes; that of squares is slightly higher
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


class ShapesWithBrokenImage(ShapesDataset):
    """Shapes of which OpenCV cannot decode the first image."""

    def load_image(self, image_id):
        if image_id == 0:
            raise cv2.error("imdecode: the buffer is empty")
        return super().load_image(image_id)


class ShapesWithPictures(ShapesDataset):
    """Shapes with `pictures` in place of the first images."""

    pictures: list = []

    def load_image(self, image_id):
        return self.pictures[image_id] if image_id < len(self.pictures) else super().load_image(image_id)


@pytest.mark.parametrize("picture, reason", [
    (np.zeros((64, 64, 5), np.uint8), "image has 5 channels"),
    (np.full((64, 64, 3), 65535, np.int32), "outside 0..255"),
    (np.zeros((64, 64, 3), complex), "load_image returned complex128"),
], ids=["five channels", "int32 out of range", "complex"])  # fmt: skip
def test_unsupported_image_is_skipped_and_reported(picture, reason, tmp_path):
    dataset = shapes(3)
    broken = ShapesWithPictures()
    broken.__dict__.update(dataset.__dict__)
    broken.pictures = [picture]
    left_out = small_model("inference", tmp_path).evaluate(broken).info["left_out"]
    assert list(left_out) == [0] and left_out[0].startswith("image 0 ") and reason in left_out[0]


def test_images_that_do_not_fit_the_pyramid_are_skipped_and_reported(tmp_path):
    dataset = ShapesDataset()
    dataset.load_shapes(1, 64, 64)
    dataset.load_shapes(1, 64, 100)
    dataset.prepare()
    result = small_model("inference", tmp_path, IMAGE_RESIZE_MODE="none").evaluate(dataset)
    assert result.info["images"] == 1 and list(result.info["left_out"]) == [1]
    assert "64 x 100 pixels" in result.info["left_out"][1] and "multiples of 64" in result.info["left_out"][1]


@pytest.mark.tensorflow_only
def test_unreadable_validation_image_does_not_stop_training(tmp_path, caplog):
    model = small_model("training", tmp_path, STEPS_PER_EPOCH=1, VALIDATION_AP_EVERY=1)
    validation = ShapesWithBrokenImage()
    validation.load_shapes(3, 64, 64, seed=1)
    validation.prepare()
    history = model.train(shapes(2), validation, 0.01, 1, "heads")
    assert "validation AP is computed on 2 images; skipped: 1" in caplog.text and "imdecode" in caplog.text
    assert "val_mask_AP" in history.history and model.epoch == 1
