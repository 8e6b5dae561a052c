import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mrcnn.inference.unmold import boxes_to_original, masks_of_class, unmold_detections

# A photograph of 48 x 64 enlarged by 2 to 96 x 128, in a square of 128 with 16 rows of padding above and below.
ORIGINAL, MOLDED, WINDOW = (48, 64, 3), (128, 128, 3), (16, 0, 112, 128)


def normalise(box, size=128):
    return (np.array(box, np.float64) - [0, 0, 1, 1]) / (size - 1)


def detection(box, class_id=1, score=0.9):
    return np.concatenate([normalise(box), [class_id, score]]).astype(np.float32)


def padded(rows, count=6):
    return np.concatenate([np.stack(rows), np.zeros((count - len(rows), 6), np.float32)])


@pytest.mark.parametrize(
    "box, expected",
    [
        ((16, 0, 112, 128), (0, 0, 48, 64)),  # the whole window becomes the whole photograph
        ((16, 0, 64, 64), (0, 0, 24, 32)),
        ((36, 20, 76, 100), (10, 10, 30, 50)),
        ((0, 0, 128, 128), (0, 0, 48, 64)),  # the padding is cut off
    ],
)
def test_boxes_are_halved_and_shifted(box, expected):
    boxes = boxes_to_original(normalise(box)[None], ORIGINAL, MOLDED, WINDOW)
    assert boxes.dtype == np.int32
    assert boxes[0].tolist() == list(expected)


def test_boxes_masks_classes_and_scores():
    detections = padded([detection((36, 20, 76, 100), 2, 0.9), detection((16, 0, 64, 64), 1, 0.8)])
    mrcnn_mask = np.zeros((6, 28, 28, 3), np.float32)
    mrcnn_mask[0, :, :14, 2] = 1  # the left half, for its class
    mrcnn_mask[0, :, :, 1] = 1  # another class, which must be ignored
    mrcnn_mask[1, 14:, :, 1] = 1  # the lower half
    boxes, class_ids, scores, masks = unmold_detections(detections, mrcnn_mask, ORIGINAL, MOLDED, WINDOW)
    assert boxes.tolist() == [[10, 10, 30, 50], [0, 0, 24, 32]] and boxes.dtype == np.int32
    assert class_ids.tolist() == [2, 1] and class_ids.dtype == np.int32
    assert scores.tolist() == pytest.approx([0.9, 0.8]) and scores.dtype == np.float32
    assert masks.shape == (48, 64, 2) and masks.dtype == bool
    expected = np.zeros((48, 64, 2), bool)
    expected[10:30, 10:30, 0] = True
    expected[12:24, 0:32, 1] = True
    assert (masks != expected).sum() <= 20 + 32  # one column or row at the edge of each half may be rounded either way
    assert not masks[:, 50:, 0].any() and not masks[:10, :, 0].any()


def test_rle_masks_equal_dense_masks():
    rng = np.random.default_rng(0)
    detections = padded([detection((36, 20, 76, 100), 2), detection((16, 0, 112, 128)), detection((16, 3, 20, 5))])
    mrcnn_mask = rng.random((6, 28, 28, 3)).astype(np.float32)
    dense = unmold_detections(detections, mrcnn_mask, ORIGINAL, MOLDED, WINDOW)[3]
    rles = unmold_detections(detections, mrcnn_mask, ORIGINAL, MOLDED, WINDOW, masks="rle")[3]
    assert len(rles) == 3
    for ix, rle in enumerate(rles):
        assert rle["size"] == [48, 64] and isinstance(rle["counts"], str)
        assert (coco_mask.decode(rle).astype(bool) == dense[:, :, ix]).all()


@pytest.mark.parametrize("form, empty", [("dense", (48, 64, 0)), ("rle", [])])
def test_no_detections(form, empty):
    boxes, class_ids, scores, masks = unmold_detections(
        np.zeros((5, 6)), np.zeros((5, 28, 28, 3)), ORIGINAL, MOLDED, WINDOW, masks=form
    )
    assert boxes.shape == (0, 4) and class_ids.shape == (0,) and scores.shape == (0,)
    assert (masks.shape if form == "dense" else masks) == empty


def test_boxes_without_area_in_the_image_are_dropped():
    rows = [
        detection((0, 0, 10, 30)),  # entirely in the padding
        detection((36, 20, 76, 100)),
        detection((40, 20, 40, 100)),  # no height
        np.array([np.nan, 0, 0, 0, 1, 0.5], np.float32),
    ]
    boxes, _, _, masks = unmold_detections(padded(rows), np.ones((6, 28, 28, 3)), ORIGINAL, MOLDED, WINDOW)
    assert boxes.tolist() == [[10, 10, 30, 50]]
    assert masks.shape == (48, 64, 1)
    assert masks[10:30, 10:50, 0].all() and masks.sum() == 20 * 40


def test_padding_rows_change_nothing():
    rows = [detection((36, 20, 76, 100), 2)]
    mrcnn_mask = np.random.default_rng(0).random((9, 28, 28, 3))
    few = unmold_detections(padded(rows, 2), mrcnn_mask[:2], ORIGINAL, MOLDED, WINDOW)
    many = unmold_detections(padded(rows, 9), mrcnn_mask, ORIGINAL, MOLDED, WINDOW)
    for a, b in zip(few, many, strict=True):
        assert (a == b).all()


def test_unknown_mask_format_is_an_error():
    with pytest.raises(ValueError, match='masks="polygons".*dense, rle'):
        unmold_detections(np.zeros((0, 6)), np.zeros((0, 28, 28, 3)), ORIGINAL, MOLDED, WINDOW, masks="polygons")


def test_mask_of_the_class_of_each_detection_is_selected():
    detections = np.zeros((3, 6), np.float32)
    detections[:, 4] = 2, 0, np.nan
    masks = np.arange(3 * 2 * 2 * 4, dtype=np.float32).reshape(3, 2, 2, 4)
    # row 0: class 2 of each pixel; for padding and for nan: background
    assert masks_of_class(detections, masks).tolist() == [[[2, 6], [10, 14]], [[16, 20], [24, 28]], [[32, 36], [40, 44]]]
