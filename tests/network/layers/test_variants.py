"""The layers of torchvision's and detectron2's variants on hand-computed cases."""
import keras
import numpy as np
import pytest

from mrcnn.geometry.anchors import generate_anchors
from mrcnn.geometry.boxes import denorm_boxes, norm_boxes
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.geometry.resize import plan_resize
from mrcnn.network.layers.detection import PerClassDetectionLayer
from mrcnn.network.layers.detection_target import DetectionTargetLayer
from mrcnn.network.layers.norms import Norm
from mrcnn.network.layers.proposal import LevelProposalLayer
from mrcnn.network.layers.pyramid_roi_align import AveragedPyramidROIAlign
from mrcnn.network.ops.boxes import apply_box_deltas
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model, run

SIZE = (64, 128)


def _meta(window=(0, 0, *SIZE), size=SIZE, classes=3):
    return compose_image_meta(0, (*size, 3), (*size, 3), window, 1.0, [1] * classes)[None].astype(np.float32)


def _pyramid(*maps):
    """Return P2 to P5 of an image of SIZE, of which only the given ones are not zero."""
    levels = [np.zeros((1, SIZE[0] // stride, SIZE[1] // stride, 1), np.float32) for stride in (4, 8, 16, 32)]
    for level, values in maps:
        levels[level - 2] = np.asarray(values, np.float32)[None, ..., None]
    return levels


def test_continuous_boxes_run_from_edge_to_edge():
    box = np.array([[16, 32, 64, 128]])
    np.testing.assert_allclose(norm_boxes(box, SIZE, continuous=True), [[0.25, 0.25, 1, 1]])
    assert denorm_boxes(np.array([[0.25, 0.25, 1, 1]]), SIZE, continuous=True).tolist() == box.tolist()


def test_log_scale_is_limited():
    moved = apply_box_deltas(keras.ops.convert_to_tensor([[0.0, 0.0, 1.0, 1.0]]),
                             keras.ops.convert_to_tensor([[0.0, 0.0, 9.0, np.log(2.0)]]), max_log_scale=float(np.log(4.0)))
    # height x 4 about the centre 0.5, width x 2
    np.testing.assert_allclose(keras.ops.convert_to_numpy(moved), [[-1.5, -0.5, 2.5, 1.5]], rtol=1e-6)


def test_anchors_are_rounded_and_shifted():
    # side 32, width / height 2: 22.63 x 45.25, half of it 11.31 and 22.63
    (anchor,) = generate_anchors(32, 2, (1, 1), 16, 1, rounded=True)
    assert anchor.tolist() == [-11, -23, 11, 23]
    (anchor,) = generate_anchors(32, 1, (1, 1), 16, 1, offset=0.5)
    assert anchor.tolist() == [-8, -8, 24, 24]


# A ramp along x on P2, whose cells are 4 pixels: the value of column c is c.
RAMP = np.tile(np.arange(32.0), (16, 1))


@pytest.mark.parametrize("samples, half_pixel, values", [
    # A box from x = 8 to 40 is 2 to 10 cells; bins of 4 cells: 2..6 and 6..10, in which samples average to their centres 4 and
    # 8.
    (2, False, [4, 8]), (1, False, [4, 8]),
    # Half a pixel: the value at a position is half a cell less.
    (2, True, [3.5, 7.5]), (0, True, [3.5, 7.5])])
def test_bins_average_their_samples(samples, half_pixel, values):
    box = np.array([[[0.25, 8 / 128, 0.75, 40 / 128]]], np.float32)
    layer = AveragedPyramidROIAlign((2, 2), samples, half_pixel)
    pooled = run(layer, [box, _meta(), *_pyramid((2, RAMP))])
    np.testing.assert_allclose(pooled[0, 0, :, :, 0], [values, values], rtol=1e-6)


def test_adaptive_samples_see_every_cell():
    """A single bright cell in a bin of 8 x 8 cells: 8 samples per axis hit it once, 2 samples per axis miss it."""
    cell = np.zeros((16, 32))
    cell[3, 5] = 64
    box = np.array([[[0, 0, 0.5, 32 / 128]]], np.float32)  # 8 x 8 cells, one bin
    adaptive, fixed = (
        run(AveragedPyramidROIAlign((1, 1), samples), [box, _meta(), *_pyramid((2, cell))]) for samples in (0, 2))
    # samples lie at cell centres, 1/64 of which is the bright one
    np.testing.assert_allclose(adaptive, 1, rtol=1e-6)
    assert fixed.item() == 0


def test_boxes_of_different_size_have_their_own_number_of_samples():
    rng = np.random.default_rng(0)
    maps = _pyramid((2, rng.random((16, 32))), (3, rng.random((8, 16))))
    boxes = np.array([[[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9], [0.5, 0.5, 0.51, 0.52], [0, 0, 0, 0]]], np.float32)
    layer = AveragedPyramidROIAlign((3, 2), 0)
    together = assert_same_in_a_model(layer, [boxes, _meta(), *maps])
    for i in range(4):
        np.testing.assert_allclose(run(layer, [boxes[:, i : i + 1], _meta(), *maps])[0, 0], together[0, i], atol=1e-6)
    assert_round_trip(AveragedPyramidROIAlign((3, 2), 0, False))


@pytest.mark.parametrize("side, level", [(223.9, 3), (224, 4), (447, 4), (448, 5), (111.9, 2), (40, 2)])
def test_level_is_rounded_down(side, level):
    maps = [np.full((1, 512 // s, 512 // s, 1), n, np.float32) for n, s in ((2, 4), (3, 8), (4, 16), (5, 32))]
    box = np.array([[[0, 0, side / 512, side / 512]]], np.float32)
    pooled = run(AveragedPyramidROIAlign((2, 2), 1), [box, _meta(size=(512, 512)), *maps])
    np.testing.assert_allclose(pooled, level)


def test_each_level_has_its_own_limit_and_suppression():
    """Two levels of 1 x 2 and 1 x 1 cells, one anchor per cell; one proposal of each level before suppression."""
    anchors = np.array([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.5, 0.5, 0.9], [0.1, 0.1, 0.5, 0.5]]], np.float32)
    foreground = np.array([0.9, 0.8, 0.7], np.float32)
    probs = np.stack([1 - foreground, foreground], axis=-1)[None]
    levels = [np.zeros((1, 1, 2, 1), np.float32), np.zeros((1, 1, 1, 1), np.float32)]
    inputs = [probs, np.zeros((1, 3, 4), np.float32), anchors, _meta(), *levels]
    layer = LevelProposalLayer(3, 0.7, pre_nms_limit=1)
    proposals = assert_same_in_a_model(layer, inputs)[0]
    # The second anchor is beyond the limit of its level. The third equals the first, but is of another level.
    np.testing.assert_allclose(proposals, [anchors[0, 0], anchors[0, 2], [0] * 4])
    proposals = run(LevelProposalLayer(3, 0.7, pre_nms_limit=5), inputs)[0]
    np.testing.assert_allclose(proposals, anchors[0])
    assert_round_trip(layer)


def test_proposals_are_clipped_to_the_image_without_its_padding():
    anchors = np.array([[[0.1, 0.1, 0.9, 0.9], [0.6, 0.1, 0.9, 0.9]]], np.float32)
    probs = np.array([[[0.2, 0.8], [0.1, 0.9]]], np.float32)
    inputs = [probs, np.zeros((1, 2, 4), np.float32), anchors, _meta((0, 0, 32, 64)), np.zeros((1, 1, 2, 1), np.float32)]
    proposals = run(LevelProposalLayer(2, 0.7, pre_nms_limit=5), inputs)[0]
    # The image is the upper left quarter; the second box lies in the padding, so nothing is left of it.
    np.testing.assert_allclose(proposals, [[0.1, 0.1, 0.5, 0.5], [0] * 4])


def test_one_roi_gives_a_detection_for_each_class():
    rois = np.array([[[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9], [0, 0, 0, 0]]], np.float32)
    probs = np.array([[[0.0, 0.6, 0.4], [0.9, 0.03, 0.07], [0, 1, 0]]], np.float32)  # the last row is padding
    deltas = np.zeros((1, 3, 3, 4), np.float32)
    deltas[0, 0, 2] = [1, 0, 0, 0]  # class 2 of the first ROI: a tenth of its height down
    layer = PerClassDetectionLayer(max_instances=5, min_confidence=0.05, nms_threshold=0.5, continuous=True)
    detections = assert_same_in_a_model(layer, [rois, probs, deltas, _meta()])[0]
    np.testing.assert_allclose(detections, [
        [0.1, 0.1, 0.5, 0.5, 1, 0.6], [0.14, 0.1, 0.54, 0.5, 2, 0.4], [0.5, 0.5, 0.9, 0.9, 2, 0.07], [0] * 6, [0] * 6],
        atol=1e-6)
    assert_round_trip(layer)


def test_negatives_fill_the_rows_that_positives_leave():
    """One object, one proposal on it and five elsewhere; T = 4."""
    gt = np.array([[[0.1, 0.1, 0.5, 0.5]]], np.float32)
    proposals = np.concatenate([gt, np.tile(np.array([0.6, 0.6, 0.9, 0.9], np.float32), (1, 5, 1))], axis=1)
    inputs = [proposals, np.array([[2]], np.int32), gt, np.ones((1, 1, 8, 8), bool)]
    plain, filled = (DetectionTargetLayer(rois_per_image=4, positive_ratio=0.5, mask_shape=(4, 4), fill_negatives=fill)
                     for fill in (False, True))  # fmt: skip
    assert [int((run(layer, inputs)[0][0] != 0).any(axis=1).sum()) for layer in (plain, filled)] == [2, 4]


def test_positive_iou_decides():
    gt = np.array([[[0.0, 0.0, 0.5, 0.5]]], np.float32)
    proposals = np.array([[[0.0, 0.0, 0.5, 0.3]]], np.float32)  # IoU 0.6
    inputs = [proposals, np.array([[1]], np.int32), gt, np.ones((1, 1, 8, 8), bool)]
    found = [run(DetectionTargetLayer(mask_shape=(4, 4), positive_iou=iou), inputs)[1][0, 0] for iou in (0.55, 0.65)]
    assert found == [1, 0]


def test_mask_targets_in_continuous_coordinates_are_sampled_at_bin_centres():
    """The left half of a 4 x 8 mini-mask is set, and the ROI is the box itself: bins of two cells fall on either half."""
    mask = np.zeros((1, 1, 4, 8), bool)
    mask[..., :4] = True
    box = np.array([[[0.2, 0.2, 0.6, 0.6]]], np.float32)
    layer = DetectionTargetLayer(rois_per_image=2, positive_ratio=0.5, mask_shape=(4, 4), continuous=True)
    targets = run(layer, [box, np.array([[1]], np.int32), box, mask])[3]
    np.testing.assert_array_equal(targets[0, 0], [[1, 1, 0, 0]] * 4)


@pytest.mark.parametrize("kind, weights", [(None, 0), ("batch", 4), ("group", 2)])
def test_norm_by_name(kind, weights):
    norm = Norm(kind, train_bn=False, epsilon=1e-5, keeps_bias=False)
    convolution = keras.layers.Conv2D(32, 1, use_bias=norm.use_bias)
    layer = norm.layer("norm")
    x = keras.Input((4, 6, 3))
    model = keras.Model(x, norm(x, convolution, layer))
    assert model.output_shape == (None, 4, 6, 32)
    assert norm.use_bias == (kind is None) and (0 if layer is None else len(layer.weights)) == weights
    assert layer is None or layer.epsilon == 1e-5


@pytest.mark.parametrize("method, resized", [
    ("classic", (50, 100)), ("opencv", (33, 66)), ("detectron2", (33, 66)), ("torchvision", (33, 66))])
def test_publishers_scale_down_to_the_short_side(method, resized):
    plan = plan_resize((50, 100), min_dim=33, max_dim=128, method=method, in_corner=True)  # a factor of 0.66
    assert plan.resized == resized
    assert plan.window == (0, 0, *plan.resized) and plan.size == (128, 128)


@pytest.mark.parametrize("method, width", [("detectron2", 167), ("torchvision", 166)])
def test_scaled_sides_are_rounded_as_the_publishers_do(method, width):
    # 230 x 150 to a long side of 256: 150 * 256 / 230 = 166.96
    assert plan_resize((230, 150), min_dim=192, max_dim=256, method=method).resized == (256, width)
