"""Targets of the heads: sampling, matching, and all cases without anything to sample."""
import types

import numpy as np
import pytest

from mrcnn.geometry import boxes as array_boxes
from mrcnn.network.layers.detection_target import DetectionTargetLayer
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model, run

MASK = 4  # side of a mask target


def _layer(rois=8, ratio=0.5, **arguments):
    return DetectionTargetLayer(rois_per_image=rois, positive_ratio=ratio, mask_shape=(MASK, MASK), **arguments)


def _inputs(proposals, class_ids, boxes, masks=None, mini=(6, 6)):
    """Return the inputs for one image; without `masks`, every mask is full."""
    class_ids = np.asarray(class_ids, np.int32).reshape(-1)
    if masks is None:
        masks = np.ones((len(class_ids), *mini), bool)
    return [np.asarray(proposals, np.float32).reshape(1, -1, 4), class_ids[None],
            np.asarray(boxes, np.float32).reshape(1, -1, 4), np.asarray(masks, bool)[None]]


def _targets(layer, inputs):
    """Run a layer, and return rois, class ids, deltas and masks of the first image."""
    return [part[0] for part in run(layer, inputs)]


GT = [0.2, 0.2, 0.6, 0.8]  # 0.4 high, 0.6 wide
NEAR = [0.2, 0.2, 0.5, 0.8]  # IoU 0.3 / 0.4 = 0.75
FAR = [0.7, 0.0, 0.9, 0.3]


def test_positive_and_negatives_by_hand():
    # ratio 0.5: as many negatives as positives
    rois, class_ids, deltas, masks = _targets(_layer(), _inputs([FAR, NEAR, [0] * 4], [3], [GT]))
    np.testing.assert_allclose(rois, [NEAR, FAR] + [[0] * 4] * 6)
    assert class_ids.tolist() == [3, 0, 0, 0, 0, 0, 0, 0] and class_ids.dtype == np.int32
    # centres 0.35 and 0.4: 0.05 / 0.3, divided by 0.1; heights 0.4 / 0.3, divided by 0.2; the width is equal
    np.testing.assert_allclose(deltas[0], [0.05 / 0.3 / 0.1, 0, np.log(4 / 3) / 0.2, 0], atol=1e-4)
    assert not deltas[1:].any()
    assert masks.shape == (8, MASK, MASK) and masks[0].all() and not masks[1:].any()


def test_ratio_of_a_third_gives_two_negatives_per_positive():
    proposals = [[0.2, 0.2, 0.6 - 0.001 * i, 0.8] for i in range(20)] + [[0.7, 0.01 * i, 0.9, 0.3] for i in range(30)]
    rois, class_ids, _, _ = _targets(_layer(rois=12, ratio=1 / 3), _inputs(proposals, [1], [GT]))
    assert (class_ids > 0).sum() == 4 and (rois != 0).any(axis=1).sum() == 12
    # a single positive: int(1 / (1 / 3)) - 1 = 2 negatives
    rois, class_ids, _, _ = _targets(_layer(rois=12, ratio=1 / 3), _inputs(proposals[19:], [1], [GT]))
    assert (class_ids > 0).sum() == 1 and (rois != 0).any(axis=1).sum() == 3
    # the classic ratio: int(1 / 0.33) = 3 as well, and int(4 * 3.0303) = 12
    assert (_targets(_layer(rois=12, ratio=0.33), _inputs(proposals[19:], [1], [GT]))[0] != 0).any(axis=1).sum() == 3


@pytest.mark.parametrize("ratio, rois", [(0.33, 200), (0.5, 7), (0.1, 5), (1.0, 6), (0.25, 32)])
def test_positives_come_first_and_never_exceed_their_ratio(ratio, rois):
    rng = np.random.default_rng(0)
    proposals = np.concatenate([np.array(GT) + rng.uniform(-0.02, 0.02, (300, 4)),
                                np.array(FAR) + rng.uniform(0, 0.05, (300, 4))])
    layer = _layer(rois=rois, ratio=ratio)
    sampled, class_ids, deltas, masks = _targets(layer, _inputs(rng.permutation(proposals), [2], [GT]))
    positive, valid = class_ids > 0, (sampled != 0).any(axis=1)
    expected = max(int(rois * ratio), 1)
    assert layer.max_positives == expected and positive.sum() == expected and positive[:expected].all()
    assert valid.sum() == min(int(expected / ratio), rois) and valid[: valid.sum()].all()
    assert not deltas[~positive].any() and not masks[~positive].any()


def test_iou_of_exactly_one_half_is_positive():
    gt = [0.0, 0.0, 0.5, 0.5]
    half, less = [0.0, 0.0, 0.25, 0.5], [0.0, 0.0, 0.2495, 0.5]
    assert _targets(_layer(), _inputs([half], [5], [gt]))[1].tolist() == [5] + [0] * 7
    assert _targets(_layer(), _inputs([less, half], [5], [gt]))[1].tolist() == [5] + [0] * 7
    rois, class_ids, _, _ = _targets(_layer(), _inputs([less, gt], [5], [gt]))
    np.testing.assert_allclose(rois[:2], [gt, less])
    assert class_ids.tolist() == [5] + [0] * 7


def test_object_with_the_best_overlap_is_the_target():
    boxes = [[0.0, 0.0, 0.4, 0.5], [0.05, 0.0, 0.4, 0.5]]
    rois, class_ids, deltas, _ = _targets(_layer(), _inputs([[0.06, 0.0, 0.4, 0.5]], [1, 2], boxes))
    assert class_ids[0] == 2 and abs(deltas[0]).max() < 1
    np.testing.assert_allclose(array_boxes.apply_box_deltas(rois[:1], deltas[:1] * [0.1, 0.1, 0.2, 0.2]), boxes[1:], atol=1e-6)


@pytest.mark.parametrize("slots", [1, 3])
def test_image_without_objects_trains_on_background(slots):
    proposals = np.random.default_rng(0).uniform(0.1, 0.4, (30, 4)) + [0, 0, 0.4, 0.4]
    inputs = _inputs(proposals, [0] * slots, [[0] * 4] * slots)
    rois, class_ids, deltas, masks = _targets(_layer(), inputs)
    assert (rois != 0).any(axis=1).all() and len(np.unique(rois, axis=0)) == 8  # T different negatives
    assert not class_ids.any() and not deltas.any() and not masks.any()


def test_objects_without_overlapping_proposals_give_no_targets():
    rois, class_ids, deltas, masks = _targets(_layer(), _inputs([FAR, FAR], [1], [GT]))
    assert not rois.any() and not class_ids.any() and not deltas.any() and not masks.any()


def test_image_without_proposals_gives_no_targets():
    for ids, box in (([1], GT), ([0], [0] * 4)):
        rois, class_ids, deltas, masks = _targets(_layer(), _inputs(np.zeros((5, 4)), ids, [box]))
        assert not rois.any() and not class_ids.any() and np.isfinite(deltas).all() and not masks.any()


def test_crowds_are_neither_positives_nor_negatives():
    crowd, outside = [0.0, 0.5, 0.9, 1.0], [0.1, 0.0, 0.3, 0.3]
    inside, touching = [0.1, 0.6, 0.8, 0.9], [0.1, 0.0, 0.6, 0.51]
    # only crowds: proposals that touch them are ignored, the rest is background
    rois, class_ids, _, _ = _targets(_layer(), _inputs([inside, touching, outside, crowd], [-1], [crowd]))
    np.testing.assert_allclose(rois, [outside] + [[0] * 4] * 7)
    assert not class_ids.any()
    # a crowd and an object: the same
    proposals = [inside, NEAR, crowd, FAR, outside]
    rois, class_ids, _, _ = _targets(_layer(ratio=0.25), _inputs(proposals, [4, -1], [GT, crowd]))
    assert class_ids.tolist()[:2] == [4, 0]
    np.testing.assert_allclose(rois[0], NEAR)
    assert sorted(map(tuple, np.round(rois[1:3], 3))) == [tuple(outside), tuple(FAR)] and not rois[3:].any()


def test_slight_overlap_with_a_crowd_is_accepted():
    crowd = [0.0, 0.5, 1.0, 1.0]
    # areas 0.5 and 0.5, with a common strip of 0.0005 x 1: 0.0005 / 0.9995 < 0.001
    rois, _, _, _ = _targets(_layer(), _inputs([[0.0, 0.0005, 1.0, 0.5005]], [-1], [crowd]))
    assert rois.any()
    rois, _, _, _ = _targets(_layer(), _inputs([[0.0, 0.002, 1.0, 0.502]], [-1], [crowd]))
    assert not rois.any()


def test_mini_mask_is_cropped_to_the_roi():
    # a mini-mask of 7 x 7 for the object; the ROI is the lower part of the object, from 1/3 of its height
    mini = np.zeros((7, 7), bool)
    mini[4:, 3:] = True
    gt = [0.1, 0.2, 0.7, 0.8]
    roi = [0.3, 0.2, 0.7, 0.8]  # rows 2 .. 6 and columns 0 .. 6 of the mini-mask
    rois, class_ids, _, masks = _targets(_layer(), _inputs([roi], [1], [gt], mini[None]))
    # rows 2, 10/3, 14/3, 6 and columns 0, 2, 4, 6; row 10/3 contains a third of row 4: 0.33, rounded to 0
    np.testing.assert_array_equal(masks[0], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])


def test_mini_mask_is_empty_outside_the_object():
    rois, class_ids, _, masks = _targets(_layer(), _inputs([[0.1, 0.1, 0.7, 0.8]], [1], [[0.2, 0.1, 0.7, 0.8]]))
    # the ROI begins a fifth of the object's height above it: samples at -0.2, 0.2, 0.6, 1
    np.testing.assert_array_equal(masks[0], [[0] * 4, [1] * 4, [1] * 4, [1] * 4])


def test_full_mask_is_cropped_to_the_roi():
    # an image of 13 x 25; the mask covers rows 4..8 and columns 6..12
    mask = np.zeros((13, 25), bool)
    mask[4:9, 6:13] = True
    gt = array_boxes.norm_boxes(np.array([[4, 6, 9, 13]]), (13, 25))[0]
    roi = [3 / 12, 6 / 24, 9 / 12, 12 / 24]  # rows 3, 5, 7, 9 and columns 6, 8, 10, 12
    layer = _layer(use_mini_mask=False)
    _, class_ids, _, masks = _targets(layer, _inputs([roi], [2], [gt], mask[None]))
    assert class_ids[0] == 2
    np.testing.assert_array_equal(masks[0], [[0] * 4, [1] * 4, [1] * 4, [0] * 4])


def test_each_positive_has_the_mask_of_its_object():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 6, 6)) < 0.5
    boxes = [[0.0, 0.0, 0.3, 0.2], [0.4, 0.4, 0.9, 0.6], [0.1, 0.7, 0.5, 0.95]]
    rois, class_ids, _, targets = _targets(_layer(rois=6, ratio=0.5), _inputs(boxes, [3, 1, 2], boxes, masks))
    assert sorted(class_ids[:3]) == [1, 2, 3]
    for roi, class_id, target in zip(rois[:3], class_ids[:3], targets):
        which = [3, 1, 2].index(class_id)
        np.testing.assert_allclose(roi, boxes[which], atol=1e-6)
        # samples at rows 0, 5/3, 10/3, 5 of six; the corners of the target are the corners of the mini-mask
        np.testing.assert_array_equal(target[::3, ::3], masks[which, ::5, ::5])


def _crowded(rng, objects):
    """Return proposals, ids, boxes and masks of two images, with more positives and negatives than slots."""
    corners = rng.random((2, objects, 2)) * 0.6
    boxes = np.concatenate([corners, corners + 0.1 + rng.random((2, objects, 2)) * 0.3], axis=-1)
    proposals = np.concatenate([boxes + rng.uniform(-0.01, 0.01, boxes.shape), rng.random((2, 40, 4)) * 0.1 +
                                [0.85, 0.85, 0.9, 0.9]], axis=1)
    return [proposals.astype(np.float32), rng.integers(1, 4, (2, objects)).astype(np.int32), boxes.astype(np.float32),
            rng.random((2, objects, 6, 6)) < 0.5]


def test_positives_are_limited_by_the_slots():
    inputs = _crowded(np.random.default_rng(1), 30)
    rois, class_ids, deltas, masks = run(_layer(rois=8, ratio=0.25), inputs)
    assert ((class_ids > 0).sum(axis=1) == 2).all() and (class_ids[:, :2] > 0).all()
    assert (rois != 0).any(axis=-1).all() and np.isfinite(deltas).all()


def _sets(outputs):
    """Return the rows of each image sorted, because the order of positives and of negatives is arbitrary."""
    rois, class_ids, deltas, masks = outputs
    rows = np.concatenate([rois, class_ids[..., None], deltas, masks.reshape(*masks.shape[:2], -1)], axis=-1)
    return [sorted(map(tuple, np.round(image, 3))) for image in rows.astype(float)]


def _all_sampled(inputs):
    """Run with so many slots that all ROIs are sampled, without random choice."""
    return run(_layer(rois=200, ratio=0.1), inputs)


def test_padding_and_order_of_objects_change_nothing():
    rng = np.random.default_rng(2)
    proposals, class_ids, boxes, masks = _crowded(rng, 6)
    plain = _sets(_all_sampled([proposals, class_ids, boxes, masks]))
    assert [sum(row[4] > 0 for row in image) for image in plain] == [6, 6]
    padded = [np.pad(proposals, ((0, 0), (0, 7), (0, 0))), np.pad(class_ids, ((0, 0), (0, 5))),
              np.pad(boxes, ((0, 0), (0, 5), (0, 0))), np.pad(masks, ((0, 0), (0, 5), (0, 0), (0, 0)))]
    assert _sets(_all_sampled(padded)) == plain
    order = rng.permutation(6)
    assert _sets(_all_sampled([proposals, class_ids[:, order], boxes[:, order], masks[:, order]])) == plain
    one_by_one = [_sets(_all_sampled([part[i : i + 1] for part in (proposals, class_ids, boxes, masks)]))[0] for i in (0, 1)]
    assert one_by_one == plain


def test_sampling_depends_on_the_seed():
    inputs = _crowded(np.random.default_rng(3), 30)
    first, again, other = (run(_layer(seed=seed), inputs) for seed in (5, 5, 6))
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_each_call_samples_anew():
    inputs, layer = _crowded(np.random.default_rng(4), 30), _layer()
    assert not np.array_equal(run(layer, inputs)[0], run(layer, inputs)[0])


def test_graph_gives_the_same_shapes_and_dtypes():
    inputs = _crowded(np.random.default_rng(5), 6)
    outputs = assert_same_in_a_model(_layer(), inputs, exact=False)
    assert [part.shape for part in outputs] == [(2, 8, 4), (2, 8), (2, 8, 4), (2, 8, MASK, MASK)]


def test_graph_gives_the_same_result_without_random_choice():
    proposals, class_ids, boxes, masks = _inputs([NEAR, FAR], [3], [GT])
    assert_same_in_a_model(_layer(), [proposals, class_ids, boxes, masks])


@pytest.mark.tensorflow_only
def test_no_gradient_flows_through_the_layer():
    import tensorflow as tf

    proposals, class_ids, boxes, masks = _inputs([NEAR, FAR], [3], [GT])
    variable = tf.Variable(proposals)
    with tf.GradientTape() as tape:
        rois, _, deltas, _ = _layer()([variable, class_ids, boxes, masks])
        total = tf.reduce_sum(rois) + tf.reduce_sum(deltas)
    assert tape.gradient(total, variable) is None


def test_classic_signature_reads_its_config():
    config = types.SimpleNamespace(TRAIN_ROIS_PER_IMAGE=9, ROI_POSITIVE_RATIO=0.4, BBOX_STD_DEV=np.array([1, 2, 3, 4]),
                                   MASK_SHAPE=[10, 12], USE_MINI_MASK=False)
    layer = DetectionTargetLayer(config)
    assert (layer.rois_per_image, layer.positive_ratio, layer.bbox_std_dev, layer.mask_shape, layer.use_mini_mask) == (
        9, 0.4, (1, 2, 3, 4), (10, 12), False)  # fmt: skip


def test_arguments_survive_the_configuration():
    arguments = {"rois_per_image": 9, "positive_ratio": 0.4, "bbox_std_dev": (0.3, 0.4, 0.5, 0.6), "mask_shape": (10, 12),
                 "use_mini_mask": False, "seed": 17}
    assert_round_trip(DetectionTargetLayer(**arguments, name="mine"), **arguments)
