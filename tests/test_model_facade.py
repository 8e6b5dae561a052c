"""The adapters of `mrcnn.model`: classic arguments, and the results of the functions that they call."""
import keras
import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn.network.layers.proposal import ProposalLayer
from mrcnn.parallel_model import ParallelModel
from tests.training.small import shapes, small_config


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_classes_are_those_of_the_new_packages():
    assert modellib.ProposalLayer is ProposalLayer
    assert set(modellib.__all__) <= set(dir(modellib))


def test_tensor_helpers():
    boxes = np.array([[1, 2, 3, 4], [0, 0, 0, 0], [5, 6, 7, 8]], np.float32)
    kept, valid = modellib.trim_zeros_graph(boxes)
    assert _numpy(kept).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and _numpy(valid).tolist() == [True, False, True]
    packed = modellib.batch_pack_graph(keras.ops.convert_to_tensor(boxes.reshape(3, 4, 1)), np.array([1, 0, 2]), 3)
    assert _numpy(packed)[:, 0].tolist() == [1, 5, 6]
    np.testing.assert_allclose(_numpy(modellib.log2_graph(np.array([1, 2, 8], np.float32))), [0, 1, 3], atol=1e-6)
    np.testing.assert_allclose(_numpy(modellib.overlaps_graph(boxes[:1], boxes[:1])), [[1]])
    np.testing.assert_allclose(_numpy(modellib.apply_box_deltas_graph(boxes[:1], np.zeros((1, 4), np.float32))), boxes[:1])
    np.testing.assert_allclose(_numpy(modellib.clip_boxes_graph(boxes[2:], np.array([0, 0, 6, 7], np.float32))), [[5, 6, 6, 7]])


def test_unmold_image_reverses_mold_image():
    config = small_config()
    image = np.full((2, 3, 3), 200, np.uint8)
    molded = modellib.mold_image(image, config)
    np.testing.assert_allclose(molded[0, 0], [76.3, 83.2, 96.1], atol=1e-4)
    np.testing.assert_array_equal(modellib.unmold_image(molded, config), image)


def test_detection_targets_of_one_image():
    config = small_config(TRAIN_ROIS_PER_IMAGE=4, ROI_POSITIVE_RATIO=0.5)
    gt = np.array([[0.2, 0.2, 0.6, 0.8]], np.float32)
    proposals = np.array([[0.7, 0.0, 0.9, 0.3], [0.2, 0.2, 0.6, 0.8]], np.float32)
    rois, class_ids, deltas, masks = (_numpy(t) for t in modellib.detection_targets_graph(
        proposals, np.array([3], np.int32), gt, np.ones((16, 16, 1), bool), config))
    np.testing.assert_allclose(rois, [proposals[1], proposals[0], [0] * 4, [0] * 4])
    assert class_ids.tolist() == [3, 0, 0, 0] and not deltas.any() and masks[0].all() and not masks[1:].any()


def test_load_image_gt_follows_its_flags():
    dataset, config = shapes(1, height=48, width=64), small_config()
    image, meta, class_ids, boxes, masks = modellib.load_image_gt(dataset, config, 0)
    assert image.shape == (64, 64, 3) and masks.shape == (16, 16, len(class_ids)) and len(meta) == 16
    _, _, _, same, whole = modellib.load_image_gt(dataset, config, 0, use_mini_mask=False)
    assert whole.shape == (64, 64, len(class_ids))
    np.testing.assert_array_equal(same, boxes)
    y1, x1, y2, x2 = boxes[0]
    assert whole[:, :, 0].sum() == whole[y1:y2, x1:x2, 0].sum() > 0


@pytest.mark.parametrize("make", [
    lambda image, meta: modellib.fpn_classifier_graph(image[0], image[1:], meta, 7, 4, False, 8),
    lambda image, meta: [modellib.build_fpn_mask_graph(image[0], image[1:], meta, 14, 4, False)],
])  # fmt: skip
def test_heads_are_built_on_roi_align(make):
    rois, meta = keras.Input((5, 4)), keras.Input((16,))
    maps = [keras.Input((64 // s, 64 // s, 6)) for s in (4, 8, 16, 32)]
    model = keras.Model([rois, meta, *maps], make([rois, *maps], meta))
    shapes_of = [tuple(t.shape[1:]) for t in model.outputs]
    assert shapes_of in ([(5, 4), (5, 4), (5, 4, 4)], [(5, 28, 28, 4)])
    values = [np.random.default_rng(0).random((1, *i.shape[1:])).astype(np.float32) for i in model.inputs]
    values[1][:, 4:7] = [64, 64, 3]
    assert all(np.isfinite(_numpy(t)).all() for t in keras.tree.flatten(model(values)))


def test_data_generator_class_yields_every_image_once_per_epoch():
    dataset = shapes(5)
    data = modellib.DataGenerator(dataset, small_config())
    assert len(data) == 3
    orders = []
    for _ in range(2):
        inputs = [data[i][0] for i in range(len(data))]
        assert [len(batch[0]) for batch in inputs] == [2, 2, 1]
        orders.append([int(meta[0]) for batch in inputs for meta in batch[1]])
        data.on_epoch_end()
    assert sorted(orders[0]) == sorted(orders[1]) == [0, 1, 2, 3, 4] and orders[0] != orders[1]


def test_parallel_model_delegates_to_the_model():
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    parallel = ParallelModel(model, 1)
    assert parallel.get_layer("dense") is model.get_layer("dense") and parallel.weights == model.weights
    assert parallel.gpu_count == 1 and parallel.make_parallel() == model.outputs
    with pytest.raises(ValueError, match="set_distribution"):
        ParallelModel(model, 2)


def test_data_generator_with_detection_targets_needs_rois():
    with pytest.raises(ValueError, match="detection_targets needs ROIs"):
        modellib.DataGenerator(None, None, detection_targets=True)
