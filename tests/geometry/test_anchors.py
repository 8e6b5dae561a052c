import numpy as np
import pytest

from mrcnn.geometry.anchors import backbone_shapes, best_anchor_overlaps, generate_anchors, generate_pyramid_anchors
from mrcnn.geometry.boxes import compute_overlaps


def test_anchors_by_hand():
    # scale 8 at ratio 1 is 8 x 8; at ratio 4 it is 4 high and 16 wide; centres at rows 0 and 16 and columns 0, 16, 32
    anchors = generate_anchors(8, [1, 4], (2, 3), 16, 1)
    assert anchors.shape == (2 * 3 * 2, 4)
    np.testing.assert_allclose(anchors[0], [-4, -4, 4, 4])
    np.testing.assert_allclose(anchors[1], [-2, -8, 2, 8])
    np.testing.assert_allclose(anchors[2], [-4, 12, 4, 20])  # the next column
    np.testing.assert_allclose(anchors[6], [12, -4, 20, 4])  # the next row
    np.testing.assert_allclose(anchors[-1], [14, 24, 18, 40])


def test_low_ratio_gives_a_tall_anchor():
    y1, x1, y2, x2 = generate_anchors(32, [0.5], (1, 1), 4, 1)[0]
    assert y2 - y1 == pytest.approx(2 * (x2 - x1))
    assert (y2 - y1) * (x2 - x1) == pytest.approx(32 * 32)


def test_an_anchor_stride_of_two_skips_every_other_cell():
    every = generate_anchors(8, [1], (4, 6), 4, 1).reshape(4, 6, 4)
    np.testing.assert_array_equal(generate_anchors(8, [1], (4, 6), 4, 2).reshape(2, 3, 4), every[::2, ::2])


def test_pyramid_of_the_default_configuration():
    strides = (4, 8, 16, 32, 64)
    shapes = backbone_shapes((1024, 1024, 3), strides)
    np.testing.assert_array_equal(shapes[:, 0], [256, 128, 64, 32, 16])
    anchors = generate_pyramid_anchors((32, 64, 128, 256, 512), [0.5, 1, 2], shapes, strides, 1)
    assert anchors.shape == (261888, 4)
    assert [3 * h * w for h, w in shapes] == [196608, 49152, 12288, 3072, 768]
    assert anchors.min() == pytest.approx(-362.03867, abs=1e-4)
    assert anchors.max() == pytest.approx(1322.03867, abs=1e-4)


def test_backbone_shapes_round_up_and_keep_height_first():
    np.testing.assert_array_equal(backbone_shapes((65, 130, 3), (4, 64)), [[17, 33], [2, 3]])


def test_missing_level_is_an_error():
    with pytest.raises(ValueError, match="2 scales, 1 feature shapes"):
        generate_pyramid_anchors((32, 64), [1], [[2, 2]], (4, 8), 1)


def test_best_anchor_overlaps_by_hand():
    # an anchor of 8 x 8 centred at (16, 32); a box of 8 x 8 shifted by 2 to the right shares 48 of 80 pixels with it
    boxes = np.array([[12, 28, 20, 36], [12, 30, 20, 38], [12, 28, 12, 36]])
    np.testing.assert_allclose(best_anchor_overlaps(boxes, (64, 128), [8], [1], [16], 1), [1, 0.6, 0])


@pytest.mark.parametrize("anchor_stride", [1, 2, 3])
def test_best_overlap_equals_the_maximum_over_all_anchors(anchor_stride):
    rng = np.random.default_rng(5)
    corner, size = rng.uniform(-20, 180, (200, 2)), rng.uniform(1, 150, (200, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    pyramid = (8, 24, 100), [0.5, 1, 3]
    for shape in ((130, 70), (64, 192)):
        shapes = backbone_shapes(shape, (4, 8, 32))
        anchors = generate_pyramid_anchors(*pyramid, shapes, (4, 8, 32), anchor_stride)
        expected = compute_overlaps(boxes, anchors).max(axis=1)
        overlaps = best_anchor_overlaps(boxes, np.tile(shape, (200, 1)), *pyramid, (4, 8, 32), anchor_stride)
        np.testing.assert_allclose(overlaps, expected, atol=1e-12)
