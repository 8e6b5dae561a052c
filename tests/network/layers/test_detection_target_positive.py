"""The mask head trains only on the rows of positive ROIs, and learns the same as from all rows."""
import keras
import numpy as np
import pytest

from mrcnn.network import mask_rcnn
from mrcnn.network.layers.detection_target import PositiveRois
from mrcnn.network.ops.device import on_tensorflow_cpu
from tests.network.layers.check import run
from tests.training.small import batch_of, small_config, small_model

needs_free_shapes = pytest.mark.skipif(not on_tensorflow_cpu(), reason="graphs have one size on this backend")


def _rows(*counts, num_rows=5):
    """Return ROIs numbered by row, and class ids with the given number of positives in each image."""
    rois = np.broadcast_to(np.arange(1, num_rows + 1, dtype=np.float32)[None, :, None], (len(counts), num_rows, 4))
    class_ids = (np.arange(num_rows)[None] < np.array(counts)[:, None]).astype(np.int32) * 3
    return [np.ascontiguousarray(rois), class_ids]


@needs_free_shapes
@pytest.mark.parametrize(("counts", "rows"), [((0, 0), 1), ((1, 0), 1), ((1, 4), 4), ((5, 2), 5)])
def test_rows_are_limited_to_the_most_positives_of_an_image(counts, rows):
    rois, class_ids = _rows(*counts)
    kept_rois, kept_ids = run(PositiveRois(), [rois, class_ids])
    np.testing.assert_array_equal(kept_rois, rois[:, :rows])
    np.testing.assert_array_equal(kept_ids, class_ids[:, :rows])


@needs_free_shapes
def test_boxes_keep_their_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rois, class_ids = _rows(2)
        kept, _ = run(PositiveRois(), [rois * np.float32(0.7012345), class_ids])
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_array_equal(kept, rois[:, :2] * np.float32(0.7012345))


@needs_free_shapes
def test_step_equals_that_of_all_rows(tmp_path, monkeypatch):
    config = {"TRAIN_BN": False, "TRAIN_ROIS_PER_IMAGE": 24, "USE_RPN_ROIS": False}
    batch = [np.asarray(part) for part in batch_of(small_config(**config))]
    rois = np.zeros((2, 40, 4), np.int32)
    rois[:, :4] = batch[6]  # exactly the objects are proposed
    batch.append(rois)
    few = small_model("training", tmp_path, **config)
    monkeypatch.setattr(mask_rcnn, "on_tensorflow_cpu", lambda: False)
    every = small_model("training", tmp_path, **config)
    every.keras_model.set_weights(few.keras_model.get_weights())
    shapes, losses = [], []
    for model in (few, every):
        shapes.append(model.keras_model.predict_on_batch(batch)["mrcnn_mask"].shape[1])
        model.compile(0.01, 0.9)
        losses.append([model.keras_model.train_on_batch(batch, return_dict=True) for _ in range(3)])
    assert 1 <= shapes[0] < shapes[1] == 7  # int(24 * 0.33); not all rows may be positive, or the test would be meaningless
    for one, other in zip(*losses, strict=True):
        assert one["mrcnn_mask_loss"] > 0.1
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            {name: float(value) for name, value in other.items()}, rel=1e-4)
    for one, other in zip(few.keras_model.get_weights(), every.keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@needs_free_shapes
@pytest.mark.parametrize(("train_bn", "rows"), [(False, None), (None, 2), (True, 2)])
def test_batch_statistics_need_all_rows(tmp_path, train_bn, rows):
    model = small_model("training", tmp_path, TRAIN_BN=train_bn)
    names = [layer.name for layer in model.keras_model.layers]
    assert model.keras_model.output["mrcnn_mask"].shape[1] == rows
    assert ("positive_rois" in names) == (rows is None)


def test_static_graphs_keep_all_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_rcnn, "on_tensorflow_cpu", lambda: False)
    model = small_model("training", tmp_path, TRAIN_BN=False)
    assert model.keras_model.output["mrcnn_mask"].shape[1] == 2  # int(8 * 0.33)


def test_layer_survives_its_configuration():
    layer = PositiveRois(name="positive_rois")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy, PositiveRois) and copy.name == layer.name
