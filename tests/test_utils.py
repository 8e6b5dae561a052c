"""The facade `mrcnn.utils`, compared with recorded outputs of the classic code."""

import subprocess
import sys

import numpy as np
import pytest

from mrcnn import utils
from mrcnn.geometry.anchors import backbone_shapes
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.loading.generator import dense_rpn_match
from mrcnn.loading.targets.rpn import build_rpn_targets
from tests.shared_data import shared_path


@pytest.fixture(scope="module")
def recorded():
    return np.load(shared_path("parity/classic_resnet50_128.npz"))


def masks_of(recorded):
    shape = recorded["masks_shape"]
    return np.unpackbits(recorded["masks"])[: int(np.prod(shape))].reshape(shape).astype(bool)


def test_recorded_anchors(recorded):
    config = {
        name: recorded[f"config_{name}"] for name in ("RPN_ANCHOR_SCALES", "RPN_ANCHOR_RATIOS", "BACKBONE_STRIDES")
    }
    shapes = backbone_shapes(recorded["config_IMAGE_SHAPE"], config["BACKBONE_STRIDES"])
    anchors = utils.generate_pyramid_anchors(*list(config.values())[:2], shapes, config["BACKBONE_STRIDES"], 1)
    np.testing.assert_allclose(anchors, recorded["anchors"], atol=1e-3)


def test_recorded_boxes(recorded):
    first, second = recorded["b1"], recorded["b2"]
    np.testing.assert_allclose(utils.compute_overlaps(first, second), recorded["overlaps"], atol=1e-5)
    refined = utils.box_refinement(first[:30].astype(np.float32), second.astype(np.float32))
    np.testing.assert_allclose(refined, recorded["box_refinement"], atol=1e-5)
    applied = utils.apply_box_deltas(second.astype(np.float32), recorded["deltas"])
    np.testing.assert_allclose(applied, recorded["applied"], atol=1e-3)
    kept = utils.non_max_suppression(first, recorded["nms_scores"], 0.3)
    np.testing.assert_array_equal(kept, recorded["nms_keep"])


@pytest.mark.parametrize(
    ("mode", "sizes"),
    [("square", dict(min_dim=80, max_dim=128)), ("pad64", dict(min_dim=128, max_dim=128)), ("none", {})],
)
def test_recorded_resizing(recorded, mode, sizes):
    image, window, scale, padding, _ = utils.resize_image(recorded["image"], mode=mode, **sizes)
    assert np.abs(image.astype(float) - recorded[f"resize_{mode}_image"]).mean() < 1
    np.testing.assert_array_equal(window, recorded[f"resize_{mode}_window"])
    assert scale == pytest.approx(recorded[f"resize_{mode}_scale"], abs=1e-9)
    np.testing.assert_array_equal(padding, recorded[f"resize_{mode}_padding"])


def test_recorded_masks(recorded):
    masks, boxes = masks_of(recorded), recorded["bboxes"]
    np.testing.assert_array_equal(utils.extract_bboxes(masks), boxes)
    mini = utils.minimize_mask(boxes, masks, tuple(recorded["config_MINI_MASK_SHAPE"]))
    assert (mini != recorded["mini"]).mean() < 0.01
    unmolded = utils.unmold_mask(recorded["unmold_in"], np.array([10, 5, 60, 90]), (97, 150, 3))
    assert (unmolded != recorded["unmold_out"]).mean() < 0.01


def test_recorded_rpn_targets(recorded):
    anchors, ids, boxes = recorded["anchors"], recorded["gt_class_ids"], recorded["bboxes"]
    settings = dict(num_train_anchors=2 * len(anchors), bbox_std_dev=recorded["config_RPN_BBOX_STD_DEV"])
    positions, labels, deltas = build_rpn_targets(anchors, ids, boxes, **settings)
    match = dense_rpn_match(positions, labels, len(anchors))
    np.testing.assert_array_equal(match, recorded["rpn_match_all"])
    expected = recorded["rpn_bbox_all"]
    np.testing.assert_allclose(deltas[: len(expected)], expected, atol=1e-4)
    crowded = ids.copy()
    crowded[:2] *= -1
    positions, labels, _ = build_rpn_targets(anchors, crowded, boxes, **settings)
    np.testing.assert_array_equal(dense_rpn_match(positions, labels, len(anchors)), recorded["rpn_match_crowd"])


def test_recorded_meta(recorded):
    active = np.array([1, 0, 1, 1, 0, 1])
    meta = compose_image_meta(7, (97, 150, 3), (128, 128, 3), (2, 3, 100, 110), 1.25, active)
    np.testing.assert_allclose(meta, recorded["meta"])


def test_every_name_in_all_exists():
    assert all(hasattr(utils, name) for name in utils.__all__)


def test_facade_does_not_import_keras():
    code = "import sys, mrcnn.utils; print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_trim_zeros():
    rows = np.array([[0, 0, 5, 5], [0, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(utils.trim_zeros(rows), rows[[0, 2]])
    assert utils.trim_zeros(np.zeros((3, 4))).shape == (0, 4)


def test_mold_mask_follows_the_configuration():
    class Config:
        USE_MINI_MASK = True
        MINI_MASK_SHAPE = (8, 6)

    mask = np.zeros((20, 30, 2), bool)
    mask[5:10, 5:20, 0] = True  # the second mask is empty
    mini = utils.mold_mask(mask, Config)
    assert mini.shape == (8, 6, 2) and mini[..., 0].all() and not mini[..., 1].any()
    Config.USE_MINI_MASK = False
    np.testing.assert_array_equal(utils.mold_mask(mask, Config), mask)


def test_tensor_version_agrees_with_numpy():
    ops = pytest.importorskip("keras").ops
    boxes, targets = np.array([[0, 0, 10, 20], [5, 5, 9, 9]]), np.array([[5, 10, 25, 30], [4, 4, 9, 10]])
    refined = ops.convert_to_numpy(utils.box_refinement_graph(boxes, targets))
    np.testing.assert_allclose(refined, utils.box_refinement(boxes, targets), rtol=1e-5)


def test_batch_slice_processes_one_image_at_a_time():
    ops = pytest.importorskip("keras").ops
    values, scale = np.arange(12.0).reshape(3, 4), np.array([1.0, 10.0, 100.0])
    scaled = utils.batch_slice([values, scale], lambda v, s: v * s, 3)
    np.testing.assert_allclose(ops.convert_to_numpy(scaled), values * scale[:, None])
    both = utils.batch_slice(values, lambda v: (v + 1, ops.max(v)), 3, names=["next", "largest"])
    np.testing.assert_allclose(ops.convert_to_numpy(both[0]), values + 1)
    np.testing.assert_allclose(ops.convert_to_numpy(both[1]), [3, 7, 11])


def test_download_trained_weights_calls_coco_weights(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(utils, "coco_weights", lambda *arguments: calls.append(arguments))
    utils.download_trained_weights(tmp_path / "coco.h5", verbose=0)
    assert calls == [(tmp_path / "coco.h5", 0)]
