import numpy as np
import pytest

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.masks import (
    BITS,
    BitMasks,
    compute_overlaps_masks,
    expand_mask,
    minimize_mask,
    paste_mask,
    resize_mask,
    unmold_mask,
)
from mrcnn.geometry.resize import resize_image


def disc(height, width, y, x, radius):
    rows, cols = np.mgrid[:height, :width]
    return (rows + 0.5 - y) ** 2 + (cols + 0.5 - x) ** 2 < radius**2


def test_resize_mask_follows_its_image():
    # white objects on black: after the same scaling and padding the mask covers them
    mask = np.stack([disc(60, 100, 20, 30, 10), disc(60, 100, 40, 75, 12)], axis=-1)
    image = np.repeat(mask.any(axis=2)[:, :, None] * np.uint8(200), 3, axis=2)
    for mode, sizes in (
        ("square", dict(min_dim=80, max_dim=128)),
        ("pad64", dict(min_dim=128)),
        ("crop", dict(min_dim=90)),
    ):
        resized, _, scale, padding, crop = resize_image(image, mode=mode, **sizes)
        moved = resize_mask(mask, scale, padding, crop)
        assert moved.shape == (*resized.shape[:2], 2) and moved.dtype == bool
        drawn = resized[:, :, 0] > 100
        assert (moved.any(axis=2) != drawn).mean() < 0.01


def test_resize_mask_creates_no_new_values():
    labels = np.array([[1, 7], [7, 90]], np.int32)[:, :, None]
    resized = resize_mask(labels, 3.5, [(0, 0), (1, 2), (0, 0)])
    assert resized.shape == (7, 7 + 3, 1)
    assert set(np.unique(resized)) == {0, 1, 7, 90}


def test_resize_mask_by_hand():
    mask = np.array([[1, 0, 0, 1]], bool)[:, :, None]
    np.testing.assert_array_equal(resize_mask(mask, (1, 2), [(0, 0), (0, 1), (0, 0)])[:, :, 0], [[0, 1, 0]])
    np.testing.assert_array_equal(resize_mask(mask, 2, [(0, 0)] * 3)[:, :, 0], [[1, 1, 0, 0, 0, 0, 1, 1]] * 2)
    np.testing.assert_array_equal(resize_mask(mask, 1, [(0, 0)] * 3, crop=(0, 2, 1, 2))[:, :, 0], [[0, 1]])


def test_mini_masks_by_hand():
    mask = np.zeros((10, 20, 1), bool)
    mask[2:6, 4:8, 0] = True
    mask[6:10, 4:16, 0] = True  # an L in the box 2, 4, 10, 16
    mini = minimize_mask(np.array([[2, 4, 10, 16]]), mask, (4, 6))
    expected = [[1, 1, 0, 0, 0, 0]] * 2 + [[1] * 6] * 2
    np.testing.assert_array_equal(mini[:, :, 0], expected)


def test_expand_mask_inverts_minimize_mask():
    mask = np.stack([disc(90, 140, 40, 60, 30), disc(90, 140, 20, 110, 15)], axis=-1)
    boxes = extract_bboxes(mask)
    back = expand_mask(boxes, minimize_mask(boxes, mask, (28, 28)), (90, 140, 3))
    assert back.shape == mask.shape
    iou = (mask & back).sum(axis=(0, 1)) / (mask | back).sum(axis=(0, 1))
    assert (iou > 0.95).all()
    np.testing.assert_array_equal(extract_bboxes(back), boxes)


def test_mini_masks_of_no_instances_and_of_one_pixel():
    assert minimize_mask(np.zeros((0, 4), int), np.zeros((5, 5, 0), bool), (56, 56)).shape == (56, 56, 0)
    mask = np.zeros((5, 7, 1), bool)
    mask[4, 6] = True
    assert minimize_mask(np.array([[4, 6, 5, 7]]), mask, (56, 56)).all()


def test_box_without_area_is_an_error():
    with pytest.raises(ValueError, match=r"box 0 is \(3, 3, 3, 9\)"):
        minimize_mask(np.array([[3, 3, 3, 9]]), np.ones((10, 10, 1), bool), (4, 4))


def test_unmold_by_hand():
    mask = np.array([[0.9, 0.1], [0.5, 0.2]])  # 0.5 counts as inside
    full = unmold_mask(mask, np.array([1, 2, 3, 4]), (4, 6, 3))
    assert full.dtype == bool and full.shape == (4, 6)
    assert np.argwhere(full).tolist() == [[1, 2], [2, 2]]


def test_mask_beyond_the_image_is_clipped_and_not_shrunk():
    mask = np.tile([0.0, 0.0, 1.0, 1.0], (4, 1))  # the right half
    full = unmold_mask(mask, np.array([-2, -4, 6, 4]), (5, 6))
    expected = np.zeros((5, 6), bool)
    expected[:, 0:4] = True
    np.testing.assert_array_equal(full, expected)
    canvas = np.zeros((5, 6), bool)
    paste_mask(mask, (10, 10, 14, 14), canvas)
    assert not canvas.any()


def test_cropping_and_pasting_commute():
    probabilities = np.random.default_rng(0).random((28, 28)).astype(np.float32)
    whole = unmold_mask(probabilities, (10, 20, 60, 90), (100, 120))
    shifted = unmold_mask(probabilities, (0, 0, 50, 70), (50, 70))
    np.testing.assert_array_equal(whole[10:60, 20:90], shifted)
    assert whole.sum() == shifted.sum()


def test_pasting_into_a_box_without_area_is_an_error():
    with pytest.raises(ValueError, match="zero area"):
        unmold_mask(np.ones((2, 2)), (3, 3, 3, 8), (10, 10))


def test_mask_overlaps_by_hand():
    first = np.zeros((4, 6, 2), bool)
    first[:2, :3, 0] = True  # 6 pixels
    second = np.zeros((4, 6, 3), bool)
    second[1:3, :3, 0] = True  # 6 pixels, 3 of them shared: 3 / 9
    second[3, 5, 1] = True  # disjoint
    np.testing.assert_allclose(compute_overlaps_masks(first, second), [[1 / 3, 0, 0], [0, 0, 0]])


def test_mask_overlaps_agree_with_counting_all_pixels():
    rng = np.random.default_rng(0)
    first, second = rng.random((20, 30, 4)), rng.random((20, 30, 5))
    a, b = (masks.reshape(-1, masks.shape[-1]) > 0.5 for masks in (first, second))
    shared = a.T.astype(int) @ b.astype(int)
    expected = shared / (a.sum(0)[:, None] + b.sum(0) - shared)
    np.testing.assert_allclose(compute_overlaps_masks(first, second), expected)


def test_mask_overlaps_without_masks_and_of_different_sizes():
    assert compute_overlaps_masks(np.zeros((4, 4, 0)), np.zeros((4, 4, 3))).shape == (0, 3)
    with pytest.raises(ValueError, match="different sizes"):
        compute_overlaps_masks(np.ones((4, 5, 1)), np.ones((5, 4, 1)))


def test_bit_masks_return_the_stored_masks():
    rng = np.random.default_rng(0)
    for count in (1, BITS, BITS + 1, 2 * BITS + 3):
        dense = rng.random((9, 14, count)) > 0.8
        masks = BitMasks.empty((9, 14), count)
        assert masks.maps.dtype == np.int32 and masks.maps.shape[2] == -(-count // BITS)
        for i in range(count):
            masks.put(i, (0, 0, 9, 14), dense[:, :, i])
        np.testing.assert_array_equal(masks.boxes(), extract_bboxes(dense))
        for i in range(count):
            np.testing.assert_array_equal(masks.cut(i, (2, 3, 8, 14)), dense[2:8, 3:14, i])


def test_overlapping_bit_masks_do_not_mix():
    masks = BitMasks.empty((5, 8), 3)
    masks.put(0, (0, 0, 4, 4), np.ones((4, 4), bool))
    masks.put(1, (2, 2, 5, 8), np.eye(3, 6, dtype=bool))
    assert masks.boxes().tolist() == [[0, 0, 4, 4], [2, 2, 5, 5], [0, 0, 0, 0]]
    assert masks.cut(1, (2, 2, 5, 5)).tolist() == np.eye(3, dtype=bool).tolist()


def test_bit_masks_without_masks():
    assert BitMasks.empty((5, 8), 0).boxes().shape == (0, 4)
