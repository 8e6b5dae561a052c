"""NMS with fixed shapes, compared with the greedy algorithm."""
import keras
import numpy as np
import pytest

from mrcnn.geometry import boxes as array_boxes
from mrcnn.network.ops import nms
from mrcnn.network.ops.nms import non_max_suppression
from tests.compiled import compiled


@pytest.fixture(autouse=True, params=["blocks", "operator"])
def implementation(request, monkeypatch):
    """Run each test with the blocks, and with TensorFlow's operator if TensorFlow runs on a CPU."""
    if request.param == "blocks":
        monkeypatch.setattr(nms, "on_tensorflow_cpu", lambda: False)
    elif not nms.on_tensorflow_cpu():
        pytest.skip("the operator is used only for TensorFlow on a CPU")


def _greedy(boxes, valid, threshold, limit, class_ids=None):
    """Apply the definition: keep each box in turn, unless a kept box of its class overlaps it by more than the threshold."""
    kept = []
    for i in range(len(boxes)):
        if not valid[i] or len(kept) == limit:
            continue
        overlaps = array_boxes.compute_overlaps(boxes[i : i + 1], boxes[kept])[0] if kept else np.zeros(0)
        same = np.array([class_ids is None or class_ids[k] == class_ids[i] for k in kept], bool)
        if not (overlaps[same] > threshold).any():
            kept.append(i)
    return kept


def _suppress(*arrays, **arguments):
    """Run NMS on a batch of arrays, and return arrays."""
    run = compiled(lambda boxes, valid: non_max_suppression(boxes, valid, **arguments))
    return [keras.ops.convert_to_numpy(t) for t in run(*(keras.ops.convert_to_tensor(array) for array in arrays))]


def _kept(boxes, valid, **arguments):
    """Run NMS on one image, and return the positions of the kept boxes."""
    indices, kept = _suppress(np.asarray(boxes, np.float32)[None], np.asarray(valid, bool)[None], **arguments)
    indices, kept = indices[0], kept[0]
    assert len(indices) == len(kept) == arguments["max_output"]
    assert not indices[~kept].any() and (np.sort(~kept) == ~kept).all()  # kept boxes come first
    return indices[kept].tolist()


def _random_boxes(rng, count):
    # multiples of 1/8: every overlap is the same in float32 and float64, except for ties with the threshold 0.3
    corners = rng.integers(0, 60, (count, 2))
    return np.concatenate([corners, corners + rng.integers(4, 40, (count, 2))], axis=1).astype(np.float32) / 8


def test_suppressed_box_does_not_suppress_others():
    # neighbours overlap by 6 of 10: IoU 6 / 14 = 0.43; every second box by 2 of 18: 0.11
    boxes = [[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18], [0, 12, 10, 22]]
    assert _kept(boxes, [1, 1, 1, 1], iou_threshold=0.4, max_output=4) == [0, 2]
    assert _kept(boxes, [0, 1, 1, 1], iou_threshold=0.4, max_output=4) == [1, 3]
    assert _kept(boxes, [1, 1, 1, 1], iou_threshold=0.5, max_output=4) == [0, 1, 2, 3]
    assert _kept(boxes, [1, 1, 1, 1], iou_threshold=0.5, max_output=3) == [0, 1, 2]
    assert _kept(boxes, [0, 0, 0, 0], iou_threshold=0.5, max_output=2) == []


def test_box_that_overlaps_by_exactly_the_threshold_is_kept():
    boxes = np.array([[0, 0, 10, 20], [5, 0, 10, 20]], np.float32)  # 100 / 200
    assert _kept(boxes, [1, 1], iou_threshold=0.5, max_output=2) == [0, 1]
    assert _kept(boxes, [1, 1], iou_threshold=0.4999, max_output=2) == [0]
    # the NumPy version agrees
    assert array_boxes.non_max_suppression(boxes, np.array([2.0, 1.0]), 0.5).tolist() == [0, 1]
    assert array_boxes.non_max_suppression(boxes, np.array([2.0, 1.0]), 0.4999).tolist() == [0]


def test_only_boxes_of_the_same_class_suppress_each_other():
    boxes = [[0, 0, 10, 10]] * 4
    class_ids = keras.ops.convert_to_tensor(np.array([[1, 2, 1, 2]], np.int32))
    assert _kept(boxes, [1] * 4, iou_threshold=0.3, max_output=4, class_ids=class_ids) == [0, 1]
    assert _kept(boxes, [1] * 4, iou_threshold=0.3, max_output=4) == [0]


def test_boxes_without_area_are_kept_and_suppress_nothing():
    boxes = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 5, 5]]
    assert _kept(boxes, [1, 1, 1], iou_threshold=0.3, max_output=3) == [0, 1, 2]


@pytest.mark.parametrize("block, count, limit, threshold", [
    (1, 6, 6, 0.3), (7, 33, 10, 0.3), (16, 50, 50, 0.05), (16, 50, 50, 0.3), (16, 50, 50, 0.7), (512, 33, 10, 0.3)])
def test_result_equals_the_greedy_algorithm(monkeypatch, block, count, limit, threshold):
    monkeypatch.setattr(nms, "BLOCK", block)
    rng = np.random.default_rng([block, int(100 * threshold)])
    boxes, valid = _random_boxes(rng, count), rng.random(count) < 0.9
    class_ids = rng.integers(1, 4, count).astype(np.int32)
    assert _kept(boxes, valid, iou_threshold=threshold, max_output=limit) == _greedy(boxes, valid, threshold, limit)
    kept = _kept(boxes, valid, iou_threshold=threshold, max_output=limit,
                 class_ids=keras.ops.convert_to_tensor(class_ids[None]))
    assert kept == _greedy(boxes, valid, threshold, limit, class_ids)


def test_a_long_chain_across_blocks(monkeypatch):
    monkeypatch.setattr(nms, "BLOCK", 16)
    left = 4 * np.arange(60, dtype=np.float32)
    zero = np.zeros(60)
    boxes = np.stack([zero, left, zero + 10, left + 10], axis=1)  # each overlaps the next by 0.43, so every second one is kept
    assert _kept(boxes, np.ones(60), iou_threshold=0.4, max_output=60) == list(range(0, 60, 2))


def test_batch_of_two_equals_two_batches_of_one(monkeypatch):
    monkeypatch.setattr(nms, "BLOCK", 16)
    rng = np.random.default_rng(3)
    boxes, valid = np.stack([_random_boxes(rng, 40) for _ in range(2)]), rng.random((2, 40)) < 0.8
    indices, kept = _suppress(boxes, valid, iou_threshold=0.3, max_output=30)
    for image in range(2):
        positions = indices[image][kept[image]].tolist()
        assert positions == _greedy(boxes[image], valid[image], 0.3, 30)


def test_max_output_may_exceed_the_number_of_boxes():
    boxes = [[0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert _kept(boxes, [1, 1, 1], iou_threshold=0.5, max_output=7) == [0, 1]


def test_padding_changes_nothing():
    rng = np.random.default_rng(4)
    boxes = _random_boxes(rng, 30)
    padded = np.concatenate([boxes, np.zeros((10, 4), np.float32)])
    plain = _kept(boxes, np.ones(30), iou_threshold=0.3, max_output=20)
    assert _kept(padded, [1] * 30 + [0] * 10, iou_threshold=0.3, max_output=20) == plain
