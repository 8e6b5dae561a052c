"""Layers and losses, compared with recorded outputs of the classic code on fixed inputs."""
import keras
import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.config import Config
from tests.shared_data import shared_path

ARRAYS = ("RPN_BBOX_STD_DEV", "BBOX_STD_DEV", "MEAN_PIXEL")
COMPUTED = ("BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE")


@pytest.fixture(scope="module")
def recorded():
    return np.load(shared_path("parity/classic_resnet50_128.npz"))


@pytest.fixture(scope="module")
def config(recorded):
    """The configuration of the recorded run."""
    values = {}
    for name in (key.removeprefix("config_") for key in recorded.files if key.startswith("config_")):
        value = recorded[f"config_{name}"]
        if name not in COMPUTED:
            values[name] = value if name in ARRAYS else value.item() if value.ndim == 0 else tuple(value.tolist())
    return type("RecordedConfig", (Config,), values)()


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_anchors(recorded, config):
    shapes = modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE)
    anchors = utils.generate_pyramid_anchors(config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS, shapes,
                                             config.BACKBONE_STRIDES, config.RPN_ANCHOR_STRIDE)
    np.testing.assert_allclose(anchors, recorded["anchors"], atol=1e-3)


def test_proposals(recorded, config):
    foreground, anchors = recorded["prop_probs_fg"], recorded["anchors"]
    norm = np.broadcast_to(utils.norm_boxes(anchors, (128, 128)), (2, len(anchors), 4)).astype(np.float32)
    layer = modellib.ProposalLayer(100, 0.7, config=config)
    ours = layer([np.stack([1 - foreground, foreground], axis=-1), recorded["prop_bbox"], norm])
    np.testing.assert_allclose(_numpy(ours), recorded["proposals"], atol=1e-4)


def test_roi_align(recorded):
    maps = [recorded[f"roi_feat{level}"] for level in range(4)]
    ours = modellib.PyramidROIAlign([7, 7])([recorded["roi_rois"], recorded["roi_meta"], *maps])
    np.testing.assert_allclose(_numpy(ours), recorded["roi_pooled"], atol=1e-3)


def test_detections(recorded, config):
    ours = modellib.DetectionLayer(config)(
        [recorded[name] for name in ("roi_rois", "det_probs", "det_deltas", "roi_meta")])
    np.testing.assert_allclose(_numpy(ours), recorded["detections"], atol=1e-4)


def test_refine_detections_graph_equals_the_layer_for_each_image(recorded, config):
    meta = modellib.parse_image_meta(recorded["roi_meta"])
    for image in range(2):
        window = utils.norm_boxes(meta["window"][image : image + 1], meta["image_shape"][image])[0]
        ours = modellib.refine_detections_graph(recorded["roi_rois"][image], recorded["det_probs"][image],
                                                 recorded["det_deltas"][image], window, config)
        np.testing.assert_allclose(_numpy(ours), recorded["detections"][image], atol=1e-4)


def _loss_cases(recorded, config):
    masks = np.unpackbits(recorded["loss_tm"])[: 2 * 32 * 28 * 28].reshape(2, 32, 28, 28).astype(np.float32)
    part = {key.removeprefix("loss_"): recorded[key] for key in recorded.files if key.startswith("loss_")}
    return {
        "L_rpn_class": modellib.rpn_class_loss_graph(part["match"], part["rl"]),
        "L_rpn_bbox": modellib.rpn_bbox_loss_graph(config, part["tb"], part["match"], part["rbx"]),
        "L_class": modellib.mrcnn_class_loss_graph(part["tid"], part["plog"], part["act"]),
        "L_bbox": modellib.mrcnn_bbox_loss_graph(part["tbb"], part["tid"], part["pbb"]),
        "L_mask": modellib.mrcnn_mask_loss_graph(masks, part["tid"], part["pmk"].astype(np.float32)),
    }


def test_losses(recorded, config):
    for name, value in _loss_cases(recorded, config).items():
        assert float(_numpy(value)) == pytest.approx(float(recorded[name]), abs=1e-4), name


def test_every_anchor_is_matched_as_in_the_classic_code(recorded, config):
    every = config.with_overrides({"RPN_TRAIN_ANCHORS_PER_IMAGE": 2 * len(recorded["anchors"])})
    ids, boxes = recorded["gt_class_ids"], recorded["bboxes"]
    match, deltas = modellib.build_rpn_targets((128, 128, 3), recorded["anchors"], ids, boxes, every)
    np.testing.assert_array_equal(match, recorded["rpn_match_all"])
    np.testing.assert_allclose(deltas[: len(recorded["rpn_bbox_all"])], recorded["rpn_bbox_all"], atol=1e-4)
    crowds = np.where(np.arange(len(ids)) < 2, -ids, ids)
    match, _ = modellib.build_rpn_targets((128, 128, 3), recorded["anchors"], crowds, boxes, every)
    np.testing.assert_array_equal(match, recorded["rpn_match_crowd"])
