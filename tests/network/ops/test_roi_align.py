"""Crops of feature maps: hand-computed positions, and comparison with TensorFlow's operator."""
import keras
import numpy as np
import pytest

from mrcnn.network.ops.roi_align import pyramid_roi_align
from tests.compiled import compiled

# The rows sampled for a box on a map of h rows: y1 (h - 1) + i (y2 - y1) (h - 1) / (P - 1).


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _ramp(height, width):
    """Return a map whose two channels are the row and the column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns], axis=-1).astype(np.float32)[None]


def _align(maps, boxes, levels, crop):
    run = compiled(lambda *tensors: pyramid_roi_align(list(tensors[2:]), *tensors[:2], crop))
    arrays = [np.asarray(boxes, np.float32), np.asarray(levels, np.int32), *maps]
    return _numpy(run(*(keras.ops.convert_to_tensor(array) for array in arrays)))


def test_crop_of_a_ramp_shows_the_sampled_positions():
    # A map of 11 rows and 21 columns. Box 0.1 .. 0.5 high: rows 1 .. 5 in three samples: 1, 3, 5.
    # 0.2 .. 0.8 wide: columns 4 .. 16 in four: 4, 8, 12, 16.
    crop = _align([_ramp(11, 21)], [[[0.1, 0.2, 0.5, 0.8]]], [[0]], (3, 4))[0, 0]
    np.testing.assert_allclose(crop[:, :, 0], np.repeat([[1], [3], [5]], 4, axis=1), atol=1e-5)
    np.testing.assert_allclose(crop[:, :, 1], [[4, 8, 12, 16]] * 3, atol=1e-5)


def test_samples_between_cells_are_bilinear():
    values = np.array([[0, 10], [20, 50]], np.float32)[None, :, :, None]
    crop = _align([values], [[[0.5, 0.25, 0.5, 0.25]]], [[0]], (2, 2))[0, 0, :, :, 0]
    # row 0.5, column 0.25: (0.75 * 0 + 0.25 * 10 + 0.75 * 20 + 0.25 * 50) / 2 = (2.5 + 27.5) / 2
    np.testing.assert_allclose(crop, [[15, 15], [15, 15]])


def test_samples_outside_the_map_are_zero():
    ones = np.ones((1, 5, 9, 1), np.float32)
    # rows -2, 0, 2 and columns 4, 8, 12
    crop = _align([ones], [[[-0.5, 0.5, 0.5, 1.5]]], [[0]], (3, 3))[0, 0, :, :, 0]
    np.testing.assert_allclose(crop, [[0, 0, 0], [1, 1, 0], [1, 1, 0]])


def test_box_that_ends_at_the_edge_includes_the_last_row():
    ones = np.ones((1, 7, 13, 1), np.float32)
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.random((50, 2)) * 0.9, np.ones((50, 2))], axis=1)
    np.testing.assert_allclose(_align([ones], [boxes], [np.zeros(50)], (7, 7)), 1, atol=1e-5)


def test_each_box_is_cropped_from_its_level_and_image():
    # each map has a single value: 10 * image + level
    sizes = [(8, 4), (4, 2), (2, 2)]
    maps = [np.stack([np.full((*size, 1), 10 * image + level, np.float32) for image in range(2)])
            for level, size in enumerate(sizes)]
    boxes = np.tile(np.array([0.1, 0.2, 0.9, 0.7]), (2, 3, 1))
    levels = [[0, 1, 2], [2, 0, 1]]
    crops = _align(maps, boxes, levels, (2, 2))
    assert crops.shape == (2, 3, 2, 2, 1)
    np.testing.assert_allclose(crops[:, :, 0, 0, 0], [[0, 1, 2], [12, 10, 11]], atol=1e-5)
    assert np.ptp(crops, axis=(2, 3)).max() < 1e-5


def test_order_of_boxes_is_kept():
    rng = np.random.default_rng(1)
    maps = [rng.random((1, 8, 12, 2)).astype(np.float32), rng.random((1, 4, 6, 2)).astype(np.float32)]
    boxes = np.sort(rng.random((1, 6, 2, 2)), axis=2).reshape(1, 6, 4)
    levels = rng.integers(0, 2, (1, 6))
    crops, order = _align(maps, boxes, levels, (3, 2)), rng.permutation(6)
    np.testing.assert_allclose(_align(maps, boxes[:, order], levels[:, order], (3, 2)), crops[:, order], atol=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("size, crop", [((9, 14), (7, 7)), ((5, 3), (4, 6)), ((1, 6), (2, 3))])
def test_result_equals_crop_and_resize(size, crop):
    import tensorflow as tf

    rng = np.random.default_rng(2)
    feature_map = rng.random((2, *size, 3)).astype(np.float32)
    boxes = np.concatenate([rng.random((2, 20, 2)) * 0.8 - 0.2, rng.random((2, 20, 2)) * 0.7 + 0.5], axis=-1)
    boxes = boxes.astype(np.float32)
    expected = tf.image.crop_and_resize(feature_map, boxes.reshape(-1, 4), np.repeat([0, 1], 20), crop).numpy()
    ours = _align([feature_map], boxes, np.zeros((2, 20)), crop)
    np.testing.assert_allclose(ours.reshape(expected.shape), expected, atol=1e-4)


@pytest.mark.tensorflow_only
def test_only_sampled_cells_have_a_gradient():
    import tensorflow as tf

    feature_map = tf.Variable(_ramp(5, 9)[..., :1])
    with tf.GradientTape() as tape:
        # rows 1 and 2, columns 2 and 4, exactly at cells
        crop = pyramid_roi_align([feature_map], tf.constant([[[0.25, 0.25, 0.5, 0.5]]]), tf.constant([[0]]), (2, 2))
        total = tf.reduce_sum(crop)
    expected = np.zeros((1, 5, 9, 1))
    expected[0, 1:3, [2, 4]] = 1
    np.testing.assert_allclose(tape.gradient(total, feature_map), expected, atol=1e-5)


def test_nan_box_does_not_affect_others():
    boxes = np.full((1, 2, 4), np.nan, np.float32)
    boxes[0, 1] = [0, 0, 1, 1]
    feature_map = np.ones((1, 3, 5, 1), np.float32)
    assert (_align([feature_map], boxes, [[0, 0]], (2, 2))[0, 1] == 1).all()
