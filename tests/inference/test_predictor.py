"""Batches of images of any sizes, with a fake model that records its inputs."""
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mrcnn.inference.mold import MoldSettings
from mrcnn.inference.predictor import Predictor

SETTINGS = MoldSettings(np.zeros(3, np.float32), resize_mode="pad64", min_dim=None, max_dim=None, min_scale=0, num_classes=3)


class FakeModel:
    """Detects the left half of each image as class 1, with the value of the first pixel / 256 as score.

    It takes anchors as input, like a network for images of any size.
    """

    inputs = [SimpleNamespace(name=name) for name in ("input_image", "input_image_meta", "input_anchors")]

    def __init__(self):
        self.shapes = []

    def predict_on_batch(self, inputs):
        images, metas, anchors = inputs
        assert len(images) == len(metas) == len(anchors)
        self.shapes.append((images.shape[:3], anchors.shape[1]))
        detections = np.zeros((len(images), 4, 6), np.float32)
        size = metas[:, 4:6]
        window = (metas[:, 7:11] - [0, 0, 1, 1]) / (np.concatenate([size, size], axis=1) - 1)
        detections[:, 0, :4] = window
        detections[:, 0, 3] = (window[:, 1] + window[:, 3]) / 2
        y, x = metas[:, 7].astype(int), metas[:, 8].astype(int)
        detections[:, 0, 4] = 1
        detections[:, 0, 5] = images[np.arange(len(images)), y, x, 0] / 256
        return [detections, np.ones((len(images), 4, 28, 28), np.float32)]


def _predictor(batch_size=2):
    model = FakeModel()
    return Predictor(model, batch_size, SETTINGS, lambda shape: np.zeros((shape[0] + shape[1], 4))), model


def _image(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_any_number_of_images(count):
    predictor, model = _predictor()
    results = predictor.detect([_image(50, 60, 10 * i + 1) for i in range(count)])
    np.testing.assert_allclose([r["scores"][0] for r in results], [(10 * i + 1) / 256 for i in range(count)])
    assert len(results) == count
    sizes = {0: [], 1: [1], 2: [2], 3: [2, 1], 5: [2, 2, 1]}[count]
    assert model.shapes == [((size, 64, 64), 128) for size in sizes]


@pytest.mark.parametrize("count, sizes", [(1, [1]), (2, [2]), (3, [4]), (5, [6]), (6, [6]), (9, [6, 4])])
def test_few_images_run_in_a_batch_smaller_than_batch_size(count, sizes):
    predictor, model = _predictor(batch_size=6)
    results = predictor.detect([_image(50, 60, 10 * i + 1) for i in range(count)])
    np.testing.assert_allclose([r["scores"][0] for r in results], [(10 * i + 1) / 256 for i in range(count)])
    assert [shape[0] for shape, _ in model.shapes] == sizes


def test_sizes_are_grouped_and_results_stay_in_order():
    predictor, model = _predictor()
    sizes = [(50, 60), (100, 60), (64, 64), (60, 100), (100, 50)]
    results = predictor.detect([_image(*size, 20 * i + 5) for i, size in enumerate(sizes)])
    for i, (size, result) in enumerate(zip(sizes, results)):
        assert result["masks"].shape == (*size, 1)
        np.testing.assert_allclose(result["scores"], [(20 * i + 5) / 256])
        height, width = size
        assert result["rois"][0].tolist()[:3] == [0, 0, height] and abs(result["rois"][0][3] - width / 2) <= 1
        assert result["masks"][:, : width // 2 - 1, 0].all() and not result["masks"][:, width // 2 + 1 :].any()
    assert sorted(model.shapes) == [((1, 64, 128), 192), ((2, 64, 64), 128), ((2, 128, 64), 192)]


class RecordingModel(FakeModel):
    """Records the dtype of its input. The image size is fixed, so it takes no anchors."""

    inputs = [SimpleNamespace(name=name) for name in ("input_image", "input_image_meta", "input_min_confidence")]

    def predict_on_batch(self, inputs):
        images, metas, min_confidence = inputs
        self.thresholds = min_confidence.tolist()
        self.seen = [*getattr(self, "seen", []), (images.dtype.name, images[0, 5, 5].tolist())]
        return super().predict_on_batch([images, metas, np.zeros((len(images), 1, 4))])


def test_model_receives_raw_images_and_the_minimum_score():
    model = RecordingModel()
    settings = replace(SETTINGS, mean_pixel=np.array([1.0, 2.0, 3.0], np.float32))
    predictor = Predictor(model, 4, settings, lambda shape: np.zeros((1, 4)))
    predictor.detect([_image(64, 64, 9), np.full((64, 64, 3), 9.5), _image(64, 64, 8)], min_confidence=0.25)
    assert model.seen == [("float32", [9.5, 9.5, 9.5]), ("uint8", [9, 9, 9])]
    assert model.thresholds == [[0.25], [0.25]]


def test_masks_as_rle():
    from pycocotools import mask as coco_mask

    predictor, _ = _predictor()
    image = _image(50, 60, 9)
    (dense,), (sparse,) = predictor.detect([image]), predictor.detect([image], masks="rle")
    assert len(sparse["masks"]) == 1
    np.testing.assert_array_equal(coco_mask.decode(sparse["masks"][0]).astype(bool), dense["masks"][:, :, 0])


def test_anchors_are_computed_once_per_shape():
    shapes = []
    predictor = Predictor(FakeModel(), 1, SETTINGS, lambda shape: shapes.append(shape) or np.array([[0, 0, 11, 21]]))
    anchors = predictor.anchors((11, 21, 3))
    assert predictor.anchors(np.array([11, 21, 3])) is anchors and shapes == [(11, 21, 3)]
    np.testing.assert_allclose(anchors, [[0, 0, 1, 1]])
    assert anchors.dtype == np.float32


def test_array_that_is_not_an_image_is_named_by_its_position():
    with pytest.raises(ValueError, match=r"images\[1\]: not an image"):
        _predictor()[0].detect([_image(50, 60, 1), np.zeros(7)])


def test_images_are_not_changed():
    image = _image(50, 60, 9)
    _predictor()[0].detect([image])
    assert (image == 9).all()


def test_only_a_few_batches_are_in_memory_at_a_time():
    """200 images of 250 x 250 pixels are padded to 256 x 256: 39 MB, of which a batch of 4 is 0.8 MB."""
    settings = replace(SETTINGS, resize_mode="square", max_dim=256)
    predictor = Predictor(FakeModel(), 4, settings, lambda shape: np.zeros((4, 4)))
    images = [_image(250, 250, ix % 250 + 1) for ix in range(200)]
    tracemalloc.start()
    results = predictor.detect(images, masks="rle")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [result["scores"][0] * 256 for result in results] == [ix % 250 + 1 for ix in range(200)]
    assert peak < 10e6


def test_invalid_image_in_a_later_batch_is_named_by_its_position():
    images = [_image(64, 64, 1) for _ in range(6)]
    images[4] = np.full((64, 64, 3), 300, np.int32)
    with pytest.raises(ValueError, match=r"images\[4\]: .*300..300, outside 0..255"):
        _predictor()[0].detect(images)


class CompiledModel(FakeModel):
    """Counts how often what was compiled is discarded."""

    discarded = 0

    def make_predict_function(self, force=False):
        assert force
        self.discarded += 1


def test_the_numbers_of_compiled_sizes_and_of_anchors_are_bounded(monkeypatch):
    monkeypatch.setattr("mrcnn.inference.predictor.MAX_COMPILED", 5)
    made, model = [], CompiledModel()
    predictor = Predictor(model, 1, SETTINGS, lambda shape: made.append(shape) or np.zeros((4, 4)))
    sizes = [(64 * rows, 64 * columns) for rows in range(1, 5) for columns in range(1, 4)]
    for size in sizes:
        predictor.detect([_image(*size, 9)])
    assert model.discarded == 2  # at the 6th and the 11th of 12 sizes
    assert len(made) == 12 and predictor._anchors_for.cache_info().currsize == 4
    predictor.detect([_image(*sizes[-1], 9)])
    assert len(made) == 12 and model.discarded == 2


def test_images_of_many_sizes_run_in_few():
    predictor, model = _predictor()
    sizes = [(height, 600) for height in range(513, 1025, 8)]
    results = predictor.detect([_image(*size, 9) for size in sizes], masks="rle")
    assert {shape for shape, _ in model.shapes} == {(2, side, 640) for side in (640, 768, 896, 1024)}
    for size, result in zip(sizes, results, strict=True):  # the window keeps them in the image: its left half, as detected
        assert result["rois"][0].tolist()[:3] == [0, 0, size[0]] and abs(result["rois"][0][3] - 300) <= 1


def test_an_image_that_is_not_padded_must_fit_the_pyramid():
    predictor = Predictor(FakeModel(), 1, replace(SETTINGS, resize_mode="none"), lambda shape: np.zeros((4, 4)))
    with pytest.raises(ValueError, match="600 x 64 pixels.*multiples of 64"):
        predictor.detect([_image(600, 64, 9)])
