"""Hand-computed detections: the best class, its deltas, the window, and NMS per class."""
import types

import numpy as np

from mrcnn.geometry.boxes import norm_boxes
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.network.layers.detection import DetectionLayer
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model, run

SIZE = (101, 201)  # normalised steps of 1 / 100 and 1 / 200


def _meta(window=(0, 0, 101, 201), batch=1):
    meta = compose_image_meta(0, (*SIZE, 3), (*SIZE, 3), window, 1.0, [1, 1, 1])
    return np.stack([meta] * batch).astype(np.float32)


def _inputs(rois, probs, deltas=None, window=(0, 0, 101, 201)):
    rois, probs = np.asarray(rois, np.float32)[None], np.asarray(probs, np.float32)[None]
    deltas = np.zeros((*probs.shape, 4), np.float32) if deltas is None else np.asarray(deltas, np.float32)[None]
    return [rois, probs, deltas, _meta(window)]


def test_each_roi_gives_its_best_class_by_score():
    rois = [[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], [0.4, 0.0, 0.6, 0.2], [0.0, 0.6, 0.2, 0.8]]
    probs = [[0.1, 0.8, 0.1],  # class 1
             [0.0, 0.05, 0.95],  # class 2
             [0.9, 0.05, 0.05],  # background
             [0.2, 0.2, 0.6]]  # below the minimum score
    detections = assert_same_in_a_model(DetectionLayer(max_instances=3, min_confidence=0.7), _inputs(rois, probs))[0]
    np.testing.assert_allclose(detections, [[*rois[1], 2, 0.95], [*rois[0], 1, 0.8], [0] * 6], atol=1e-6)


def test_deltas_are_those_of_the_class():
    deltas = np.zeros((1, 3, 4))
    deltas[0, 1] = [9, 9, 9, 9]
    deltas[0, 2] = [1, -1, np.log(2) / 0.2, 0]  # times (0.1, 0.1, 0.2, 0.2)
    detections = run(DetectionLayer(), _inputs([[0.4, 0.4, 0.6, 0.6]], [[0.0, 0.1, 0.9]], deltas))[0, 0]
    # height 0.2: centre 0.5 + 0.02, doubled to 0.4; width 0.2: centre 0.5 - 0.02
    np.testing.assert_allclose(detections, [0.32, 0.38, 0.72, 0.58, 2, 0.9], atol=1e-6)


def test_boxes_are_clipped_to_the_window_of_the_image():
    window = (11, 0, 61, 101)  # rows 11..60, columns 0..100
    detections = run(DetectionLayer(), _inputs([[0.0, 0.1, 1.0, 1.0]], [[0, 1, 0]], window=window))[0, 0]
    np.testing.assert_allclose(detections[:4], norm_boxes(np.array([[11, 20, 61, 101]]), SIZE)[0], atol=1e-6)
    np.testing.assert_allclose(detections[:4], [0.11, 0.1, 0.6, 0.5], atol=1e-6)


def test_box_suppresses_only_weaker_boxes_of_its_class():
    rois = [[0.1, 0.1, 0.5, 0.5]] * 3
    probs = [[0, 0.9, 0.1], [0, 0.8, 0.2], [0, 0.3, 0.7]]
    detections = run(DetectionLayer(max_instances=5), _inputs(rois, probs))[0]
    np.testing.assert_allclose(detections[:, 4:], [[1, 0.9], [2, 0.7], [0, 0], [0, 0], [0, 0]], atol=1e-6)


def test_score_equal_to_the_minimum_is_enough():
    detections = run(DetectionLayer(min_confidence=0.75), _inputs([[0.1, 0.1, 0.5, 0.5]], [[0.25, 0.75, 0]]))
    assert detections[0, 0, 4] == 1


def test_everything_but_background_is_detected_without_a_minimum_score():
    for bound in (None, 0):
        layer = DetectionLayer(max_instances=3, min_confidence=bound, nms_threshold=1.0)
        detections = run(layer, _inputs([[0.1, 0.1, 0.5, 0.5]] * 2, [[0.34, 0.35, 0.31], [0.4, 0.3, 0.3]]))
        np.testing.assert_allclose(detections[0, :, 5], [0.35, 0, 0], atol=1e-6)


def test_padding_gives_no_detection():
    rois = [[0, 0, 0, 0], [0.1, 0.1, 0.5, 0.5], [0, 0, 0, 0]]
    detections = run(DetectionLayer(max_instances=4), _inputs(rois, [[0, 1, 0], [0, 0.9, 0.1], [0, 0, 1]]))[0]
    assert detections[:, 4].tolist() == [1, 0, 0, 0]


def test_highest_scores_are_kept_if_there_are_too_many():
    rois = [[0.1 * i, 0.0, 0.1 * i + 0.05, 0.1] for i in range(6)]
    probs = [[0, s, 1 - s] for s in (0.71, 0.95, 0.8, 0.9, 0.75, 0.85)]
    detections = run(DetectionLayer(max_instances=3), _inputs(rois, probs))[0]
    np.testing.assert_allclose(detections[:, 5], [0.95, 0.9, 0.85], atol=1e-6)


def test_batch_of_two_equals_two_batches_of_one():
    rng = np.random.default_rng(0)
    rois = np.sort(rng.random((2, 12, 2, 2)), axis=2).reshape(2, 12, 4).astype(np.float32)
    probs = rng.dirichlet([0.2] * 3, (2, 12)).astype(np.float32)
    inputs = [rois, probs, rng.normal(0, 0.5, (2, 12, 3, 4)).astype(np.float32), _meta(batch=2)]
    layer = DetectionLayer(max_instances=8, min_confidence=0.4)
    both = run(layer, inputs)
    assert (both[:, 1, 4] > 0).all()
    for image in range(2):
        np.testing.assert_allclose(run(layer, [part[image : image + 1] for part in inputs])[0], both[image], atol=1e-6)


def test_classic_signature_reads_its_config():
    config = types.SimpleNamespace(DETECTION_MAX_INSTANCES=4, DETECTION_MIN_CONFIDENCE=None, DETECTION_NMS_THRESHOLD=0.2,
                                   BBOX_STD_DEV=np.array([1, 2, 3, 4]))
    layer = DetectionLayer(config)
    assert (layer.max_instances, layer.min_confidence, layer.nms_threshold, layer.bbox_std_dev) == (4, 0.0, 0.2, (1, 2, 3, 4))


def test_arguments_survive_the_configuration():
    layer = DetectionLayer(max_instances=7, min_confidence=0.25, nms_threshold=0.45, bbox_std_dev=(0.3, 0.4, 0.5, 0.6))
    assert_round_trip(layer, max_instances=7, min_confidence=0.25, nms_threshold=0.45, bbox_std_dev=(0.3, 0.4, 0.5, 0.6))


def test_boxes_of_any_class_suppress_each_other_on_request():
    rois = [[0.1, 0.1, 0.5, 0.5]] * 3
    probs = [[0, 0.9, 0.1], [0, 0.8, 0.2], [0, 0.3, 0.7]]
    detections = run(DetectionLayer(max_instances=5, nms="all"), _inputs(rois, probs))[0]
    np.testing.assert_allclose(detections[:, 4:], [[1, 0.9], [0, 0], [0, 0], [0, 0], [0, 0]], atol=1e-6)


def test_soft_suppression_lowers_scores_by_the_overlap():
    # The second box is the upper half of the first: IoU 0.5, factor exp(-0.25 / 0.5). The third is of another class.
    rois = [[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.3, 0.5], [0.1, 0.1, 0.5, 0.5]]
    probs = [[0, 0.9, 0.1], [0, 0.8, 0.2], [0, 0.3, 0.7]]
    layer = DetectionLayer(max_instances=4, min_confidence=0.3, nms="soft")
    detections = assert_same_in_a_model(layer, _inputs(rois, probs))[0]
    np.testing.assert_allclose(detections[:, 4:], [[1, 0.9], [2, 0.7], [1, 0.8 * np.exp(-0.5)], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(detections[:3, :4], [rois[0], rois[2], rois[1]], atol=1e-6)
    higher = run(DetectionLayer(max_instances=4, min_confidence=0.5, nms="soft"), _inputs(rois, probs))[0]
    np.testing.assert_allclose(higher[:, 4:], [[1, 0.9], [2, 0.7], [0, 0], [0, 0]], atol=1e-6)
    assert_round_trip(layer)


def test_soft_suppression_counts_every_kept_box():
    """Three equal boxes: the third is lowered twice."""
    detections = run(DetectionLayer(max_instances=4, min_confidence=0.01, nms="soft"),
                     _inputs([[0.1, 0.1, 0.5, 0.5]] * 3, [[0, 0.9, 0.1], [0, 0.8, 0.2], [0, 0.7, 0.3]]))[0]
    factor = np.exp(-1 / 0.5)
    np.testing.assert_allclose(detections[:, 5], [0.9, 0.8 * factor, 0.7 * factor**2, 0], atol=1e-6)
