import numpy as np
import pytest

from mrcnn.geometry.boxes import apply_box_deltas, compute_overlaps, extract_bboxes
from mrcnn.geometry.masks import minimize_mask
from mrcnn.loading.targets.random_rois import build_detection_targets, cut_mask, generate_random_rois

STD = np.array([0.1, 0.1, 0.2, 0.2])
SETTINGS = dict(positive_ratio=0.33, num_classes=5, bbox_std_dev=STD, mask_shape=(14, 14))


def scene():
    """Return class ids, boxes and full masks of two objects and a crowd in 100 x 160."""
    masks = np.zeros((100, 160, 3), bool)
    masks[10:50, 20:80, 0] = True
    masks[10:30, 20:50, 0] = False  # its upper left quarter is missing
    masks[60:90, 100:140, 1] = True
    masks[60:95, 5:60, 2] = True
    return np.array([2, 4, -1], np.int32), extract_bboxes(masks), np.moveaxis(masks, -1, 0)


def mini_masks(boxes, masks, shape):
    return np.moveaxis(minimize_mask(boxes, np.moveaxis(masks, 0, -1), shape), -1, 0)


def test_detection_targets_by_hand():
    class_ids, boxes, masks = scene()
    rois = np.array([[10, 20, 50, 80], [60, 100, 90, 120], [0, 100, 30, 130]], np.int32)
    kept, ids, deltas, drawn = build_detection_targets(
        rois, class_ids, boxes, masks, rois_per_image=6, use_mini_mask=False, **{**SETTINGS, "positive_ratio": 0.5}
    )
    assert (kept.dtype, ids.dtype, deltas.dtype, drawn.dtype) == (np.int32, np.int32, np.float32, np.float32)
    assert kept.shape == (6, 4) and deltas.shape == (6, 5, 4) and drawn.shape == (6, 14, 14, 5)
    assert ids.tolist() == [2, 4, 0, 0, 0, 0]  # both positive ROIs first, then the only negative one, repeated
    np.testing.assert_array_equal(kept[2:], np.tile(rois[2], (4, 1)))
    np.testing.assert_allclose(deltas[0, 2], 0)  # the box itself
    # from 30 x 20 to 30 x 40: half a width to the right, and twice as wide
    np.testing.assert_allclose(deltas[1, 4], [0, 0.5 / 0.1, 0, np.log(2) / 0.2], rtol=1e-5)
    expected = np.ones((14, 14))
    expected[:7, :7] = 0
    np.testing.assert_array_equal(drawn[0, :, :, 2], expected)
    np.testing.assert_array_equal(drawn[1, :, :, 4], 1)
    # all other classes are zero
    assert deltas[0].any(axis=1).sum() == 0 and deltas[1].any(axis=1).tolist() == [0, 0, 0, 0, 1]
    assert drawn.any(axis=(1, 2)).tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]] + [[0] * 5] * 4


def test_mini_masks_and_full_masks_give_the_same_targets():
    class_ids, boxes, masks = scene()
    mini = mini_masks(boxes, masks, (56, 56))
    rois = generate_random_rois((100, 160), 400, class_ids, boxes, np.random.default_rng(0))
    results = [
        build_detection_targets(
            rois,
            class_ids,
            boxes,
            m,
            rois_per_image=60,
            use_mini_mask=is_mini,
            rng=np.random.default_rng(1),
            **SETTINGS,
        )
        for m, is_mini in ((masks, False), (mini, True))
    ]
    for full, small in zip(results[0][:3], results[1][:3], strict=True):
        np.testing.assert_array_equal(full, small)
    assert (results[0][3] != results[1][3]).mean() * 5 < 0.02  # only one class in five is not empty


def test_iou_of_exactly_one_half_is_positive():
    class_ids, boxes, masks = scene()
    roi = np.array([[60, 100, 90, 120]])  # half of the second object
    assert build_detection_targets(roi, class_ids, boxes, masks, rois_per_image=1, use_mini_mask=False,
                                   **{**SETTINGS, "positive_ratio": 1.0})[1].tolist() == [4]  # fmt: skip


def test_a_third_of_the_rois_is_positive_if_there_are_enough():
    class_ids, boxes, masks = scene()
    rng = np.random.default_rng(0)
    rois = generate_random_rois((100, 160, 3), 2000, class_ids, boxes, rng)
    _, ids, _, _ = build_detection_targets(
        rois, class_ids, boxes, masks, rois_per_image=200, use_mini_mask=False, rng=rng, **SETTINGS
    )
    assert (ids > 0).sum() == 66 and set(ids[ids > 0]) == {2, 4}


def test_deltas_lead_to_the_object():
    class_ids, boxes, masks = scene()
    rng = np.random.default_rng(0)
    rois = generate_random_rois((100, 160), 500, class_ids, boxes, rng)
    kept, ids, deltas, _ = build_detection_targets(
        rois, class_ids, boxes, masks, rois_per_image=50, use_mini_mask=False, rng=rng, **SETTINGS
    )
    rows = np.flatnonzero(ids)
    reached = apply_box_deltas(kept[rows], deltas[rows, ids[rows]] * STD)
    best = boxes[:2][compute_overlaps(kept[rows], boxes[:2]).argmax(axis=1)]
    np.testing.assert_allclose(reached, best, atol=1e-3)


def test_roi_on_a_crowd_is_not_background():
    class_ids, boxes, masks = scene()
    rois = np.array([[60, 5, 95, 60], [0, 100, 30, 130], [0, 0, 5, 5]])
    kept, ids, _, _ = build_detection_targets(
        rois, class_ids, boxes, masks, rois_per_image=8, use_mini_mask=False, **SETTINGS
    )
    assert not ids.any()
    assert not (kept == rois[0]).all(axis=1).any()


@pytest.mark.parametrize("class_ids", [[], [-1, -2], [0, 0]])
def test_images_without_objects_have_negative_rois_only(class_ids):
    boxes = np.array([[0, 0, 10, 10], [5, 5, 30, 40]])[: len(class_ids)] * (np.array(class_ids) != 0)[:, None]
    masks = np.ones((len(class_ids), 56, 56), bool)
    rois = np.array([[50, 50, 60, 60], [70, 70, 90, 95]], np.int32)
    kept, ids, deltas, drawn = build_detection_targets(
        rois, np.array(class_ids, int), boxes.reshape(-1, 4), masks, rois_per_image=8, use_mini_mask=True, **SETTINGS
    )
    assert kept.shape == (8, 4) and not ids.any() and not deltas.any() and not drawn.any()


def test_positives_are_repeated_if_there_are_no_negatives():
    class_ids, boxes, masks = scene()
    kept, ids, _, _ = build_detection_targets(
        boxes[:1], class_ids, boxes, masks, rois_per_image=5, use_mini_mask=False, **SETTINGS
    )
    assert ids.tolist() == [2] * 5


def test_padding_changes_nothing():
    class_ids, boxes, masks = scene()
    mini = mini_masks(boxes, masks, (28, 28))
    rois = generate_random_rois((100, 160), 100, class_ids, boxes, np.random.default_rng(0))
    padded = [
        np.concatenate([class_ids, [0, 0]]),
        np.pad(boxes, ((0, 2), (0, 0))),
        np.pad(mini, ((0, 2), (0, 0), (0, 0))),
    ]
    for plain, with_padding in zip(
        *(
            build_detection_targets(
                rois, *truth, rois_per_image=30, use_mini_mask=True, rng=np.random.default_rng(2), **SETTINGS
            )
            for truth in ((class_ids, boxes, mini), padded)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(plain, with_padding)


def test_no_rois_are_an_error():
    class_ids, boxes, masks = scene()
    with pytest.raises(ValueError, match="at least one ROI"):
        build_detection_targets(
            np.zeros((0, 4)), class_ids, boxes, masks, rois_per_image=5, use_mini_mask=False, **SETTINGS
        )


def test_mask_cropped_outside_is_empty():
    mask, box = np.ones((10, 10), bool), np.array([0, 0, 10, 10])
    assert not cut_mask(mask, box, np.array([50, 50, 60, 60]), (7, 7)).any()
    half = cut_mask(mask, box, np.array([0, 0, 10, 20]), (8, 8))
    assert half[:, :4].all() and not half[:, 5:].any()


@pytest.mark.parametrize("boxes", [[], [[10, 20, 50, 80]], [[0, 0, 1, 1]], [[0, 0, 100, 160], [99, 159, 100, 160]]])
def test_random_rois_are_boxes_inside_the_image(boxes):
    boxes = np.array(boxes, int).reshape(-1, 4)
    rois = generate_random_rois((100, 160, 3), 501, np.ones(len(boxes), int), boxes, np.random.default_rng(0))
    assert rois.shape == (501, 4) and rois.dtype == np.int32
    assert (rois[:, :2] >= 0).all() and (rois[:, 2] <= 100).all() and (rois[:, 3] <= 160).all()
    assert (rois[:, 2:] > rois[:, :2]).all()
    assert len(np.unique(rois, axis=0)) > 60


def test_every_object_gets_rois():
    class_ids, boxes, _ = scene()
    rois = generate_random_rois((100, 160), 300, class_ids, boxes, np.random.default_rng(0))
    positive = (compute_overlaps(rois, boxes) >= 0.5).sum(axis=0)
    assert (positive[:2] > 60).all() and positive[2] < positive[:2].min()
